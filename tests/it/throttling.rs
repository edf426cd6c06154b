//! A server that asks for fewer requests slows the run, and gets what it asks for.

use std::time::{Duration, Instant};

use crate::harness::{Fault, RawServer, Reply, Server};

fn keys(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("{:02}/{n}", n % 20)).collect()
}

#[test]
fn a_server_that_takes_few_requests_at_once_seldom_has_to_refuse() {
    let server = Server::start();
    let keys = keys(1_500);
    server.put_patterns(keys.iter().map(String::as_str), 1_000);
    server.limit_to(12, Duration::from_millis(15));
    server.refuse_one_first();
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(["-j", "64"])
        .run()
        .expect(0);
    assert_eq!(run.files().len(), 1_500);
    assert!(
        run.stderr.contains("\ns3pull: throttled: "),
        "{}",
        run.stderr
    );
    // One in thirty is refused, most of them at the start, which is a guess too high; and one in three where nothing follows.
    let (n_refused, n) = (server.n_refused(), server.log().len());
    assert!(n_refused * 5 < n, "{n_refused} of {n} refused");
}

#[test]
fn a_server_that_closes_more_connections_than_it_takes_is_asked_for_fewer() {
    let server = RawServer::start(|_| Reply::new("200 OK\nETag: \"e\"", "hello"));
    server.limit_connections_to(4);
    let keys = keys(1_500);
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(["-j", "64"])
        .run()
        .expect(0);
    assert_eq!(run.files().len(), 1_500);
    assert!(server.n_closed() > 0);
    assert!(
        run.stderr.contains("\ns3pull: throttled: "),
        "{}",
        run.stderr
    );
}

#[test]
fn a_storm_of_refusals_ends_with_every_object() {
    let server = Server::start();
    let keys = keys(60);
    server.put_patterns(keys.iter().map(String::as_str), 1_000);
    // Nine of ten requests, for two seconds.
    let (started, mut n) = (Instant::now(), 0);
    server.by_chance(move || {
        n += 1;
        (started.elapsed() < Duration::from_secs(2) && n % 10 != 0)
            .then_some(Fault::Status(503, "SlowDown"))
    });
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(["-j", "32"])
        .run()
        .expect(0);
    assert_eq!(run.files().len(), 60);
}
