//! What a stopped run fetched of a large object is not fetched again.

use std::io::Write;
use std::path::Path;

use crate::harness::{Fault, Object, Running, S3pull, Server, pattern, sooner_or_later};

const MIB: usize = 1024 * 1024;
const SIZE: usize = 48 * MIB + 321;
const PARTIAL: &str = ".s3pull-k.part";
const JOURNAL: &str = ".s3pull-k.journal";

fn in_parts(server: &Server, folder: &Path) -> S3pull {
    server.s3pull().within(folder).args([
        "--part-size",
        "1MiB",
        "--multipart-threshold",
        "2MiB",
        "-j",
        "4",
    ])
}

/// A run that fetches about 30 MiB of the object, and then nothing more.
fn stuck_run(server: &Server, folder: &Path) -> Running {
    server.put_patterns(["k"], SIZE);
    server.script("k", [Fault::Stall(5 * MIB as u64)]);
    server.script("k", (0..25).map(|_| Fault::Header("x-nothing", "")));
    server.script("k", (0..3).map(|_| Fault::Stall(1000)));
    let (running, mut stdin) = in_parts(server, folder).start();
    stdin.write_all(b"k\n").unwrap();
    drop(stdin);
    server.wait_for_bytes("k", 29 * MIB as u64);
    wait_for_parts(folder, 28);
    server.unscript("k");
    running
}

/// Waits until the journal has as many lines of parts.
fn wait_for_parts(folder: &Path, n: usize) {
    let started = std::time::Instant::now();
    while std::fs::read_to_string(folder.join(JOURNAL))
        .unwrap_or_default()
        .lines()
        .count()
        < n + 1
    {
        assert!(
            started.elapsed().as_secs() < 180,
            "the parts were not finished"
        );
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// A second run to the end; returns the bytes that the server sent for it.
fn second_run(server: &Server, folder: &Path) -> u64 {
    let before = server.bytes_sent("k");
    let run = in_parts(server, folder).keys(["k"]).run().expect(0);
    assert!(run.read("k") == pattern("k", SIZE), "the bytes differ");
    assert_eq!(
        run.files().len(),
        1,
        "left behind: {:?}",
        run.files().keys()
    );
    assert!(
        run.stderr.contains("verified by crc64nvme (1 file)"),
        "{}",
        run.stderr
    );
    server.bytes_sent("k") - before
}

/// What the plain GET of a resumed object may bring before it is given up: the buffers of a connection.
const BUFFERS: u64 = 8 * MIB as u64;

#[test]
fn after_kill_9_only_the_rest_is_fetched() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut running = stuck_run(&server, folder.path());
    running.kill();
    running.wait();
    assert!(!folder.path().join("k").exists());
    let sent = second_run(&server, folder.path());
    assert!(
        sent <= (SIZE - 28 * MIB) as u64 + BUFFERS,
        "{sent} bytes were sent again"
    );
}

#[test]
fn a_signal_leaves_the_same_state() {
    sooner_or_later(|| {
        let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
        let running = stuck_run(&server, folder.path());
        running.signal("INT");
        running.signal("TERM");
        let run = running.wait();
        if !run.has_ended_in_time() {
            return false;
        }
        assert_eq!(run.failed(), [("k".to_owned(), "Interrupted".to_owned())]);
        std::fs::remove_file(folder.path().join("s3pull-failed.csv")).unwrap();
        let sent = second_run(&server, folder.path());
        assert!(
            sent <= (SIZE - 28 * MIB) as u64 + BUFFERS,
            "{sent} bytes were sent again"
        );
        true
    });
}

#[test]
fn a_damaged_part_is_fetched_again() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut running = stuck_run(&server, folder.path());
    running.kill();
    running.wait();
    let partial = folder.path().join(PARTIAL);
    let mut bytes = std::fs::read(&partial).unwrap();
    bytes[40 * MIB] ^= 1;
    std::fs::write(&partial, bytes).unwrap();
    second_run(&server, folder.path());
}

#[test]
fn another_object_starts_over() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut running = stuck_run(&server, folder.path());
    running.kill();
    running.wait();
    let new = pattern("new", SIZE);
    server.put("k", Object::new(new.clone()));
    let run = in_parts(&server, folder.path()).keys(["k"]).run().expect(0);
    assert!(run.read("k") == new, "stitched from two versions");
    assert_eq!(run.files().len(), 1);
}

#[test]
fn a_partial_file_of_a_live_process_is_a_conflict() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut running = stuck_run(&server, folder.path());
    let other = in_parts(&server, folder.path())
        .args(["--failed", "other.csv"])
        .keys(["k"])
        .run()
        .expect(1);
    assert!(
        other
            .stderr
            .contains("PathConflict: another s3pull is writing `k`"),
        "{}",
        other.stderr
    );
    std::fs::remove_file(folder.path().join("other.csv")).unwrap();
    running.kill();
    running.wait();
    second_run(&server, folder.path());
}

#[test]
fn kill_9_again_and_again_still_ends_with_the_object() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.put_patterns(["k"], SIZE);
    for round in 0..8 {
        let (mut running, mut stdin) = in_parts(&server, folder.path()).start();
        stdin.write_all(b"k\n").unwrap();
        drop(stdin);
        // Not a wait for something to happen: the instants to be killed at.
        std::thread::sleep(std::time::Duration::from_millis(60 + 35 * round));
        running.kill();
        let killed = running.wait();
        if let Some(bytes) = killed.files().get("k") {
            assert!(
                *bytes == pattern("k", SIZE),
                "the final path holds a part of the object"
            );
        }
    }
    second_run(&server, folder.path());
}

#[test]
fn a_failed_object_leaves_only_what_can_be_used() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.put_patterns(["k"], SIZE);
    server.script("k", (0..9).map(|_| Fault::Cut(1000)));
    let args = ["--max-attempts", "1"];
    let run = in_parts(&server, folder.path())
        .args(args)
        .keys(["k"])
        .run()
        .expect(1);
    assert_eq!(
        run.files().keys().collect::<Vec<_>>(),
        ["s3pull-failed.csv"],
        "no part was whole"
    );
}

#[test]
fn a_connection_that_died_while_parts_were_read_again_is_no_failed_attempt() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut running = stuck_run(&server, folder.path());
    running.kill();
    running.wait();
    let partial = folder.path().join(PARTIAL);
    let mut bytes = std::fs::read(&partial).unwrap();
    // So that the first part is fetched from the first answer.
    bytes[0] ^= 1;
    std::fs::write(&partial, bytes).unwrap();
    server.script("k", [Fault::Cut(700_000)]);
    let run = in_parts(&server, folder.path())
        .keys(["k"])
        .args(["--max-attempts", "1"])
        .run()
        .expect(0);
    assert!(run.read("k") == pattern("k", SIZE), "the bytes differ");
}

#[test]
fn the_same_bytes_put_again_are_another_object() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    let mut running = stuck_run(&server, folder.path());
    running.kill();
    running.wait();
    // As after another object with the same ETag was put.
    let later = "Sun, 13 Sep 2020 12:26:41 GMT";
    server.script("k", (0..100).map(|_| Fault::Header("last-modified", later)));
    assert!(second_run(&server, folder.path()) >= SIZE as u64);
}

#[test]
fn a_part_with_another_time_is_not_mixed_in() {
    let (server, folder) = (Server::start(), tempfile::tempdir().unwrap());
    server.put_patterns(["k"], 4 * MIB);
    let later = "Sun, 13 Sep 2020 12:26:41 GMT";
    // The first answer is the object's start; the next one is a part's.
    server.script(
        "k",
        [Fault::Stall(1_000), Fault::Header("last-modified", later)],
    );
    let run = in_parts(&server, folder.path()).keys(["k"]).run().expect(0);
    let log = server.log();
    let n_whole = log.iter().filter(|one| !one.headers.contains_key("range"));
    run.expect_requests(n_whole.count(), 2);
}
