//! How many GETs are in flight, with a number and without one.

use std::time::Duration;

use crate::harness::{S3pull, Server};

#[test]
fn without_a_number_the_run_goes_beyond_where_it_starts() {
    let server = Server::start();
    let keys: Vec<_> = (0..800).map(|n| format!("{:02}/{n}", n % 50)).collect();
    server.put_patterns(keys.iter().map(String::as_str), 500);
    server.limit_to(usize::MAX, Duration::from_millis(100));
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(["-vv", "-o", "out"])
        .run()
        .expect(0);
    let peak = server.peak();
    assert!((48..=1_024).contains(&peak), "{peak} in flight");
    assert!(
        run.stderr
            .contains("\ns3pull: up to 64 GETs in flight (climbing; 32 gave "),
        "{}",
        run.stderr
    );
    assert_eq!(server.log().len(), keys.len());
}

#[test]
fn a_number_is_not_exceeded_and_auto_is_a_number_like_others() {
    let server = Server::start();
    let keys: Vec<_> = (0..200).map(|n| format!("k{n}")).collect();
    server.put_patterns(keys.iter().map(String::as_str), 500);
    server.limit_to(usize::MAX, Duration::from_millis(10));
    let run = |value| {
        let s3pull = server.s3pull().env("S3PULL_CONCURRENCY", value);
        s3pull
            .keys(keys.iter().map(String::as_str))
            .args(["-vv", "--json"])
            .run()
            .expect(0)
    };
    let fixed = run("3");
    assert!(server.peak() <= 3, "{}", server.peak());
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
    run("auto");
    assert!(server.peak() > 3, "{}", server.peak());
    for wrong in ["0", "many", "-1", "AUTO", "1.5"] {
        let refused = S3pull::new()
            .args(["-b", "b", "k", &format!("-j={wrong}")])
            .run()
            .expect(2);
        let why = "must be `auto`, or a number of at least 1";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}
