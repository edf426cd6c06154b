//! How many GETs are in flight, with a number and without one.

use std::io::Write;
use std::time::Duration;

use crate::harness::{Gate, S3pull, Server, sooner_or_later};

#[test]
fn without_a_number_the_run_goes_beyond_where_it_starts() {
    // On a machine that is busy with the requests themselves it does not: then there is nothing to gain.
    let mut latency = Duration::from_millis(100);
    sooner_or_later(|| {
        let server = Server::start();
        let keys: Vec<_> = (0..600).map(|n| format!("{:02}/{n}", n % 50)).collect();
        server.put_patterns(keys.iter().map(String::as_str), 500);
        server.limit_to(usize::MAX, latency);
        let run = server
            .s3pull()
            .keys(keys.iter().map(String::as_str))
            .args(["-vv", "-o", "out"])
            .run()
            .expect(0);
        let peak = server.peak();
        assert!((2..=1_024).contains(&peak), "{peak} in flight");
        run.expect_requests(server.log().len(), keys.len());
        latency = (latency * 2).min(Duration::from_millis(800));
        let said = "\ns3pull: up to 64 GETs in flight (climbing; 32 gave ";
        peak >= 48 && run.stderr.contains(said)
    });
}

#[test]
fn a_number_is_not_exceeded_and_auto_is_a_number_like_others() {
    let server = Server::start();
    let keys: Vec<_> = (0..200).map(|n| format!("k{n}")).collect();
    server.put_patterns(keys.iter().map(String::as_str), 500);
    server.limit_to(usize::MAX, Duration::from_millis(10));
    // The server holds the first ones until as many came.
    let gates = || ["k0", "k1", "k2", "k3", "k4"].map(|key| server.gate(key));
    let run = |value, n_held| {
        let n_before = server.log().len();
        let gates = gates();
        let s3pull = server.s3pull().env("S3PULL_CONCURRENCY", value);
        let (running, mut list) = s3pull.args(["-vv", "--json"]).start();
        writeln!(list, "{}", keys.join("\n")).unwrap();
        drop(list);
        server.wait_for_requests(n_before + n_held);
        gates.iter().for_each(Gate::open);
        running.wait().expect(0)
    };
    let fixed = run("3", 3);
    let most = 3 + fixed.n_sent_again();
    assert!((3..=most).contains(&server.peak()), "{}", server.peak());
    assert!(
        !fixed.stderr.contains("GETs in flight ("),
        "{}",
        fixed.stderr
    );
    assert!(
        fixed.stdout.contains("\"best_in_flight\":null"),
        "{}",
        fixed.stdout
    );
    run("auto", 5);
    assert!(server.peak() >= 5, "{}", server.peak());
    for wrong in ["0", "many", "-1", "AUTO", "1.5"] {
        let refused = S3pull::new()
            .args(["-b", "b", "k", &format!("-j={wrong}")])
            .run()
            .expect(2);
        let why = "must be `auto`, or a number of at least 1";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}
