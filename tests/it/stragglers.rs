//! One slow connection among fast ones, or one request that hangs at the end, does not hold up the run.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Fault, Run, Server, pattern};

const MIB: usize = 1024 * 1024;

fn asked_again(run: &Run) -> Value {
    let summary = run.stdout.lines().last().unwrap();
    serde_json::from_str::<Value>(summary).unwrap()["asked_again"].clone()
}

#[test]
fn a_part_that_trickles_does_not_hold_up_its_object() {
    let size = 32 * MIB;
    let server = Server::start();
    server.put_patterns(["k"], size);
    // Its third request is for a part, which takes minutes.
    server.skip("k", 2);
    server.script("k", [Fault::Slow(Duration::from_secs(10))]);
    let started = Instant::now();
    let run = server
        .s3pull()
        .args(["--part-size", "1MiB", "--multipart-threshold", "2MiB"])
        .args(["-j", "8", "--json"])
        .keys(["k"])
        .run()
        .expect(0);
    assert!(run.read("k") == pattern("k", size));
    assert!(started.elapsed() < Duration::from_mins(1));
    assert_eq!(asked_again(&run), 1);
    let told = "1 request sent again because the first one was slow";
    assert!(run.stderr.contains(told), "{}", run.stderr);
}

#[test]
fn a_request_that_hangs_at_the_end_of_the_list_does_not_hold_up_the_run() {
    let server = Server::start();
    let keys: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    let keys = || keys.iter().map(String::as_str);
    server.put_patterns(keys(), 1_000);
    server.script("19", [Fault::Hang]);
    let started = Instant::now();
    let run = server
        .s3pull()
        .args(["--timeout", "300", "--json"])
        .keys(keys())
        .run()
        .expect(0);
    assert_eq!(run.read("19"), pattern("19", 1_000));
    assert!(started.elapsed() < Duration::from_mins(1));
    assert_eq!(asked_again(&run), 1);
    assert_eq!(server.n_requests("19"), 2);
}
