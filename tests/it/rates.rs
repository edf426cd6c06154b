//! `--rps` and `--bwlimit` hold for all downloads together, and `--max-duration` for the whole run.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::harness::{LISTING, Quirks, Run, Server, pattern, sooner_or_later};

/// How long downloading them took, at least.
fn took(server: &Server, args: &[&str], keys: &[&str], length: usize) -> (Duration, Run) {
    let started = Instant::now();
    let run = server
        .s3pull()
        .args(args.iter().copied())
        .keys(keys.iter().copied());
    let run = run.run().expect(0);
    let time = started.elapsed();
    for key in keys {
        assert!(run.read(key) == pattern(key, length), "{key}");
    }
    (time, run)
}

#[test]
fn requests_are_spread_over_time() {
    let server = Server::start();
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    server.put_patterns(keys, 10);
    let (time, run) = took(&server, &["--rps", "4", "-j", "32"], &keys, 10);
    // Ten intervals, less what may be made up for.
    assert!(time >= Duration::from_millis(2_400), "{time:?}");
    // None is taken for late, and sent again, while it waits for its turn.
    assert_eq!((server.log().len(), run.n_sent_again()), (keys.len(), 0));
}

#[test]
fn pages_of_a_listing_are_requests_too() {
    let server = Server::start();
    server.put_patterns(["a", "b", "c", "d", "e", "f"], 10);
    server.quirks(Quirks {
        page_size: 1,
        ..Quirks::default()
    });
    let started = Instant::now();
    let run = server
        .s3pull()
        .args(["--prefix", "", "--rps", "10", "-j", "32"]);
    run.run().expect(0);
    // Six pages and six objects have eleven intervals, less what may be made up for.
    let time = started.elapsed();
    assert!(time >= Duration::from_millis(1_050), "{time:?}");
    let started = Instant::now();
    let run = server
        .s3pull()
        .args(["--prefix", "", "--rps", "10", "--dry-run"]);
    run.run().expect(0);
    let time = started.elapsed();
    assert!(time >= Duration::from_millis(450), "{time:?}");
    assert_eq!(server.n_requests(LISTING), 12);
}

#[test]
fn all_downloads_share_the_bytes_of_a_second_and_waiting_for_them_is_no_silence() {
    const LENGTH: usize = 64 * 1024;
    // Where the machine stalls, the server may really be silent for so long.
    sooner_or_later(|| {
        let server = Server::start();
        let keys = ["a", "b", "c", "d"];
        server.put_patterns(keys, LENGTH);
        let args = ["--bwlimit", "100KiB/s", "-j", "4", "--timeout", "1"];
        let (time, _) = took(&server, &args, &keys, LENGTH);
        // Of the first pieces of the four, the last one waits for longer than the server may be silent.
        assert!(time >= Duration::from_millis(1_900), "{time:?}");
        server.log().len() == keys.len()
    });
}

#[test]
fn a_run_that_takes_too_long_ends_with_the_rest_in_the_csv() {
    // Where the machine stalls, the time may be over before the first request, or that of what is running after it.
    sooner_or_later(|| {
        let server = Server::start();
        server.put_patterns(["running"], 100);
        let gate = server.gate("running");
        let run = server.s3pull().file("first", "running\n");
        let run = run.args(["--keys", "first", "--keys", "-"]);
        let (running, mut list) = run.args(["-j", "2", "--max-duration", "0.6"]).start();
        let record = running.folder().join(".s3pull-s3pull-failed.csv.part");
        let is_over = || {
            let record = std::fs::read_to_string(&record);
            record.is_ok_and(|record| record.contains(",NotAttempted,"))
        };
        let started = Instant::now();
        let mut n = 0;
        while !is_over() {
            assert!(started.elapsed() < Duration::from_mins(3));
            writeln!(list, "missing{n}").unwrap();
            n += 1;
            std::thread::sleep(Duration::from_millis(20));
        }
        gate.open();
        drop(list);
        let run = running.wait().expect(3);
        assert!(
            run.stderr.contains("error: `--max-duration 0.6` is over"),
            "{}",
            run.stderr
        );
        let failed = run.failed();
        for (key, code) in &failed {
            let is_tried = server.n_requests(key) > 0;
            assert_eq!(is_tried, code != "NotAttempted", "{key}: {code}");
        }
        // What was running was finished.
        let is_finished = run.folder().join("running").exists();
        assert_eq!(failed.len(), n + usize::from(!is_finished));
        is_finished
    });
}

#[test]
fn a_run_that_is_in_time_is_not_ended() {
    let server = Server::start();
    server.put_patterns(["a"], 100);
    let run = server.s3pull().args(["--max-duration", "600"]);
    run.keys(["a"]).run().expect(0);
}
