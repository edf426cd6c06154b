//! Stopped at any instant, nothing is half written and no row is lost.

use std::io::Write;
use std::time::Duration;

use crate::harness::{Gate, Run, Running, Server, pattern};

/// Keys `held` and `waiting…`, of which the first is held at the server.
fn held_run(server: &Server) -> (Running, Gate) {
    server.put_patterns(["held", "waiting1", "waiting2"], 100);
    let gate = server.gate("held");
    let (running, mut stdin) = server.s3pull().args(["-j", "1"]).start();
    stdin.write_all(b"held\nwaiting1\nwaiting2\n").unwrap();
    drop(stdin);
    server.wait_for_requests(1);
    (running, gate)
}

/// Each of the run's rows is a file or a row of the CSV.
fn assert_accounted_for(run: &Run, n_rows: usize) {
    let n_downloaded = run
        .files()
        .keys()
        .filter(|name| *name != "s3pull-failed.csv")
        .count();
    let n_failed = if run.folder().join("s3pull-failed.csv").exists() {
        run.failed().len()
    } else {
        0
    };
    assert_eq!(n_downloaded + n_failed, n_rows, "{}", run.stderr);
}

#[test]
fn after_a_signal_running_objects_finish_and_the_rest_is_recorded() {
    for (signal, code) in [("HUP", 129), ("INT", 130), ("TERM", 143)] {
        let server = Server::start();
        let (running, gate) = held_run(&server);
        running.signal(signal);
        // The signal is seen before the gate opens only if it is given time; both orders must account for every row.
        gate.open();
        let run = running.wait();
        assert_eq!(run.read("held"), pattern("held", 100));
        assert_accounted_for(&run, 3);
        assert_eq!(run.code, Some(code), "{}", run.stderr);
    }
}

#[test]
fn a_second_signal_gives_up_what_is_running() {
    let server = Server::start();
    let (running, _gate) = held_run(&server);
    running.signal("TERM");
    running.signal("INT");
    let run = running.wait();
    assert!(matches!(run.code, Some(130 | 143)), "{:?}", run.code);
    let failed = run.failed();
    assert_eq!(failed[0], ("held".to_owned(), "Interrupted".to_owned()));
    assert!(!run.folder().join("held").exists());
    assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
}

#[test]
fn a_hang_up_is_never_the_second_signal() {
    // A shell passes on the one that its terminal's end sends to all; systemd can send one right after SIGTERM.
    for (first, code) in [("HUP", 129), ("TERM", 143)] {
        let server = Server::start();
        let (running, gate) = held_run(&server);
        running.signal(first);
        running.signal("HUP");
        running.signal("HUP");
        gate.open();
        let run = running.wait().expect(code);
        assert_eq!(run.read("held"), pattern("held", 100));
        assert_accounted_for(&run, 3);
    }
}

#[test]
fn a_hang_up_and_then_a_signal_stop_at_once() {
    let server = Server::start();
    let (running, _gate) = held_run(&server);
    running.signal("HUP");
    running.signal("TERM");
    let run = running.wait();
    assert!(matches!(run.code, Some(129 | 143)), "{:?}", run.code);
    assert_eq!(run.failed().len(), 3);
}

/// As under `nohup`, and as the background jobs of `sh` are.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    use crate::harness::S3pull;
    for (ignored, other, code) in [("HUP", "TERM", 143), ("INT", "HUP", 129)] {
        let server = Server::start();
        server.put_patterns(["held", "next", "last"], 100);
        let gate = server.gate("held");
        let command = format!("trap '' {ignored}; exec \"$0\" \"$@\"");
        let shell = S3pull::of("sh").args(["-c", &command, env!("CARGO_BIN_EXE_s3pull")]);
        let (running, mut stdin) = shell
            .args(["--bucket", "bucket", "-j", "1"])
            .env("AWS_ENDPOINT_URL_S3", &server.url())
            .start();
        stdin.write_all(b"held\n").unwrap();
        server.wait_for_requests(1);
        running.signal(ignored);
        gate.open();
        let gate = server.gate("last");
        stdin.write_all(b"next\nlast\n").unwrap();
        // It goes on to other keys after the signal.
        server.wait_for_requests(3);
        running.signal(other);
        drop(stdin);
        gate.open();
        let run = running.wait().expect(code);
        for key in ["held", "next", "last"] {
            assert_eq!(run.read(key), pattern(key, 100));
        }
    }
}

#[test]
fn two_runs_on_one_csv_do_not_spoil_each_other() {
    let server = Server::start();
    let (first, gate) = held_run(&server);
    let second = server
        .s3pull()
        .within(first.folder())
        .keys(["waiting1"])
        .run()
        .expect(3);
    assert!(
        second
            .stderr
            .contains("another s3pull is writing `s3pull-failed.csv`"),
        "{}",
        second.stderr
    );
    let other = server
        .s3pull()
        .within(first.folder())
        .keys(["waiting1"])
        .args(["--failed", "other.csv"])
        .run()
        .expect(0);
    assert_eq!(other.read("waiting1"), pattern("waiting1", 100));
    gate.open();
    first.wait().expect(0);
}

#[test]
fn kill_9_at_random_instants_leaves_only_whole_files_and_the_next_run_completes() {
    let server = Server::start();
    let keys: Vec<_> = (0..60).map(|n| format!("{}/{n}", n % 7)).collect();
    let length = |key: &str| {
        if key.ends_with('3') {
            3_000_000
        } else {
            30_000
        }
    };
    for key in &keys {
        server.put_patterns([key.as_str()], length(key));
    }
    let mut n_killed_midway = 0;
    for round in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let (mut running, mut stdin) = server
            .s3pull()
            .within(folder.path())
            .args(["-j", "8", "-o", "out"])
            .start();
        stdin.write_all(keys.join("\n").as_bytes()).unwrap();
        drop(stdin);
        // Not a wait for something to happen: the instants to be killed at.
        std::thread::sleep(Duration::from_millis(15 + 3 * round * round));
        running.kill();
        let killed = running.wait();
        let n_whole = check_final_paths(&killed, &keys, length);
        n_killed_midway += usize::from(n_whole > 0 && n_whole < keys.len());

        let second = server
            .s3pull()
            .within(folder.path())
            .keys(keys.iter().map(String::as_str))
            .args(["-o", "out"]);
        let second = second.run().expect(0);
        assert_eq!(check_final_paths(&second, &keys, length), keys.len());
        assert_eq!(
            second.files().len(),
            keys.len(),
            "left behind: {:?}",
            second.files().keys()
        );
    }
    assert!(
        n_killed_midway > 0,
        "no round was killed between its first and its last file"
    );
}

/// Every file at a final path is whole; returns how many there are.
fn check_final_paths(run: &Run, keys: &[String], length: impl Fn(&str) -> usize) -> usize {
    let files = run.files();
    let mut n_whole = 0;
    for key in keys {
        if let Some(bytes) = files.get(&format!("out/{key}")) {
            assert!(*bytes == pattern(key, length(key)), "{key} is not whole");
            n_whole += 1;
        }
    }
    n_whole
}

#[test]
fn a_list_that_goes_on_is_not_waited_for_and_that_is_said() {
    let server = Server::start();
    server.put_patterns(["held"], 100);
    let _gate = server.gate("held");
    let (running, mut stdin) = server.s3pull().start();
    stdin.write_all(b"held\n").unwrap();
    server.wait_for_requests(1);
    running.signal("TERM");
    running.signal("INT");
    // The pipe stays open, as one from `tail -f` would.
    let run = running.wait_with(stdin);
    assert!(
        run.stderr
            .contains("s3pull: warning: the key list was not read to its end"),
        "{}",
        run.stderr
    );
    let csv = run.read("s3pull-failed.csv.incomplete");
    let csv = String::from_utf8(csv).unwrap();
    assert_eq!(csv.lines().count(), 2, "{csv}");
    assert!(csv.contains("\nheld,bucket,,Interrupted,"), "{csv}");
}
