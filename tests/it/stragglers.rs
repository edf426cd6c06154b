//! One slow connection among fast ones, or one request that hangs at the end, does not hold up the run.

use std::io::Write;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::{Fault, Run, Server, pattern, sooner_or_later};

const MIB: usize = 1024 * 1024;

fn asked_again(run: &Run) -> Value {
    let summary = run.stdout.lines().last().unwrap();
    serde_json::from_str::<Value>(summary).unwrap()["asked_again"].clone()
}

#[test]
fn a_part_that_trickles_does_not_hold_up_its_object() {
    let size = 32 * MIB;
    // Where the machine stalls, the one request that may be sent again may be another part's.
    sooner_or_later(|| {
        let server = Server::start();
        server.put_patterns(["k"], size);
        // Its third request is for a part, which takes half a minute.
        server.skip("k", 2);
        server.script("k", [Fault::Slow(Duration::from_secs(2))]);
        let run = server
            .s3pull()
            .args(["--part-size", "1MiB", "--multipart-threshold", "2MiB"])
            .args(["-j", "8", "--json"])
            .keys(["k"])
            .run()
            .expect(0);
        assert!(run.read("k") == pattern("k", size));
        let log = server.log();
        let range = |n: usize| Some(log.get(n)?.headers.get("range")?.to_str().ok()?.to_owned());
        let Some(slow) = range(2) else {
            return false;
        };
        // The rest of it, whose last byte is the same.
        let (_, last) = slow.split_once('-').unwrap();
        let is_of_slow =
            |n: &usize| range(*n).is_some_and(|range| range.ends_with(&format!("-{last}")));
        let is_helped = (0..log.len()).filter(is_of_slow).count() == 2;
        if is_helped {
            assert_eq!(asked_again(&run), 1);
            let told = "1 request sent again because the first one was slow";
            assert!(run.stderr.contains(told), "{}", run.stderr);
        }
        is_helped
    });
}

#[test]
fn a_request_that_hangs_at_the_end_of_the_list_does_not_hold_up_the_run() {
    let server = Server::start();
    let keys: Vec<_> = (0..20).map(|n| n.to_string()).collect();
    server.put_patterns(keys.iter().map(String::as_str), 1_000);
    server.script("19", [Fault::Hang]);
    let (running, mut list) = server.s3pull().args(["--timeout", "120", "--json"]).start();
    writeln!(list, "{}", keys[..19].join("\n")).unwrap();
    // Once they are there, only the last one can be late.
    let started = Instant::now();
    let is_there = |key: &String| running.folder().join(key).exists();
    while !keys[..19].iter().all(is_there) {
        assert!(started.elapsed() < Duration::from_mins(3));
        std::thread::sleep(Duration::from_millis(5));
    }
    writeln!(list, "19").unwrap();
    drop(list);
    let run = running.wait().expect(0);
    assert_eq!(run.read("19"), pattern("19", 1_000));
    assert_eq!(asked_again(&run), 1);
    assert_eq!(server.n_requests("19"), 2);
}
