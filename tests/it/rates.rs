//! `--rps` and `--bwlimit` hold for all downloads together, and `--max-duration` for the whole run.

use std::time::{Duration, Instant};

use crate::harness::{Fault, LISTING, Quirks, Server, pattern};

fn took(server: &Server, args: &[&str], keys: &[&str], length: usize) -> Duration {
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
    time
}

#[test]
fn requests_are_spread_over_time() {
    let server = Server::start();
    let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k"];
    server.put_patterns(keys, 10);
    let time = took(&server, &["--rps", "10", "-j", "32"], &keys, 10);
    // Ten intervals, less what may be made up for.
    assert!(time >= Duration::from_millis(950), "{time:?}");
    assert_eq!(server.log().len(), keys.len());
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
    const LENGTH: usize = 150 * 1024;
    let server = Server::start();
    let keys = ["a", "b", "c", "d"];
    server.put_patterns(keys, LENGTH);
    let args = ["--bwlimit", "300KiB/s", "-j", "4", "--timeout", "1"];
    let time = took(&server, &args, &keys, LENGTH);
    // Of the first pieces of the four, the last one waits for longer than the server may be silent.
    assert!(time >= Duration::from_millis(1_900), "{time:?}");
    assert_eq!(server.log().len(), keys.len());
}

#[test]
fn a_run_that_takes_too_long_ends_with_the_rest_in_the_csv() {
    let server = Server::start();
    server.put_patterns(["a", "slow", "rest"], 100);
    server.script("slow", [Fault::Slow(Duration::from_millis(900))]);
    let run = server
        .s3pull()
        .args(["-j", "1", "--max-duration", "0.6"])
        .keys(["a", "slow", "rest"])
        .run()
        .expect(3);
    assert!(
        run.stderr.contains("error: `--max-duration 0.6` is over"),
        "{}",
        run.stderr
    );
    // What was running was finished.
    let failed = run.failed();
    assert!(
        failed.contains(&("rest".to_owned(), "NotAttempted".to_owned())),
        "{failed:?}"
    );
    assert!(
        failed.iter().all(|(_, code)| code == "NotAttempted"),
        "{failed:?}"
    );
    assert_eq!(
        run.files().len() + failed.len(),
        3 + 1,
        "the CSV is a file too"
    );
    assert_eq!(server.n_requests("rest"), 0);
}

#[test]
fn a_run_that_is_in_time_is_not_ended() {
    let server = Server::start();
    server.put_patterns(["a"], 100);
    let run = server.s3pull().args(["--max-duration", "600"]);
    run.keys(["a"]).run().expect(0);
}
