//! Stopped at any instant, nothing is half written and no row is lost.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::harness::{Gate, Run, Running, Server, pattern, sooner_or_later};

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

/// Whether the object that was held became a file, which is whole then.
fn is_finished(run: &Run) -> bool {
    let is_finished = run.folder().join("held").exists();
    assert!(!is_finished || run.read("held") == pattern("held", 100));
    is_finished
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
        // What is running gets five seconds, which a machine that stalls may take.
        sooner_or_later(|| {
            let server = Server::start();
            let (mut running, gate) = held_run(&server);
            running.signal_and_wait(signal);
            gate.open();
            let run = running.wait();
            assert_accounted_for(&run, 3);
            assert_eq!(run.code, Some(code), "{}", run.stderr);
            is_finished(&run)
        });
    }
}

#[test]
fn a_second_signal_gives_up_what_is_running() {
    sooner_or_later(|| {
        let server = Server::start();
        let (running, _gate) = held_run(&server);
        running.signal("TERM");
        running.signal("INT");
        let run = running.wait();
        assert!(matches!(run.code, Some(130 | 143)), "{:?}", run.code);
        assert!(!run.folder().join("held").exists());
        if !run.has_ended_in_time() {
            return false;
        }
        let failed = run.failed();
        assert_eq!(failed[0], ("held".to_owned(), "Interrupted".to_owned()));
        assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
        true
    });
}

#[test]
fn a_hang_up_is_never_the_second_signal() {
    // A shell passes on the one that its terminal's end sends to all; systemd can send one right after SIGTERM.
    for (first, code) in [("HUP", 129), ("TERM", 143)] {
        sooner_or_later(|| {
            let server = Server::start();
            let (mut running, gate) = held_run(&server);
            running.signal_and_wait(first);
            running.signal("HUP");
            running.signal("HUP");
            gate.open();
            let run = running.wait().expect(code);
            assert_accounted_for(&run, 3);
            is_finished(&run)
        });
    }
}

#[test]
fn a_hang_up_and_then_a_signal_stop_at_once() {
    sooner_or_later(|| {
        let server = Server::start();
        let (running, _gate) = held_run(&server);
        running.signal("HUP");
        running.signal("TERM");
        let run = running.wait();
        assert!(matches!(run.code, Some(129 | 143)), "{:?}", run.code);
        run.has_ended_in_time() && {
            assert_eq!(run.failed().len(), 3);
            true
        }
    });
}

/// As under `nohup`, and as the background jobs of `sh` are.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    use crate::harness::S3pull;
    let stays_ignored = |ignored: &str, other: &str, code: i32| {
        let server = Server::start();
        server.put_patterns(["held", "next", "last"], 100);
        let gate = server.gate("held");
        let command = format!("trap '' {ignored}; exec \"$0\" \"$@\"");
        let shell = S3pull::of("sh").args(["-c", &command, env!("CARGO_BIN_EXE_s3pull")]);
        let (mut running, mut stdin) = shell
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
        running.signal_and_wait(other);
        drop(stdin);
        gate.open();
        let run = running.wait().expect(code);
        for key in ["held", "next"] {
            assert_eq!(run.read(key), pattern(key, 100));
        }
        run.folder().join("last").exists()
    };
    for (ignored, other, code) in [("HUP", "TERM", 143), ("INT", "HUP", 129)] {
        sooner_or_later(|| stays_ignored(ignored, other, code));
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
            .contains("(`--failed FILE` gives this run a file of its own): another s3pull is writing `s3pull-failed.csv`"),
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
        let n_before = server.log().len();
        // Every other one cannot come to its end, and is killed in the midst of it.
        let gate = (round % 2 == 1).then(|| server.gate(&keys[50]));
        let (mut running, mut stdin) = server
            .s3pull()
            .within(folder.path())
            .args(["-j", "8", "-o", "out"])
            .start();
        stdin.write_all(keys.join("\n").as_bytes()).unwrap();
        drop(stdin);
        match &gate {
            Some(_) => server.wait_for_requests(n_before + 8 + 2 * round),
            // Not a wait for something to happen: the instants to be killed at.
            None => std::thread::sleep(Duration::from_millis((15 + 3 * round * round) as u64)),
        }
        running.kill();
        let killed = running.wait();
        if let Some(gate) = gate {
            gate.open();
        }
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
    sooner_or_later(|| {
        let n_before = server.log().len();
        let (running, mut stdin) = server.s3pull().start();
        stdin.write_all(b"held\n").unwrap();
        server.wait_for_requests(n_before + 1);
        running.signal("TERM");
        running.signal("INT");
        // The pipe stays open, as one from `tail -f` would.
        let run = running.wait_with(stdin);
        if !run.stderr.contains("s3pull: stopped by ") {
            return false;
        }
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
        true
    });
}

/// Runs that could last for ever are ended by this.
const LONG: Duration = Duration::from_mins(3);

fn summary_line(run: &Run) -> &str {
    let mut lines = run.stderr.lines();
    lines.find(|line| line.contains("downloaded")).unwrap()
}

#[test]
fn one_signal_is_enough_for_an_object_and_a_list_that_never_end() {
    let server = Server::start();
    server.put_patterns(["held"], 100);
    let _gate = server.gate("held");
    let (running, mut stdin) = server.s3pull().start();
    stdin.write_all(b"held\n").unwrap();
    server.wait_for_requests(1);
    running.signal("TERM");
    let signalled = Instant::now();
    let run = running.wait_with(stdin);
    assert!(signalled.elapsed() < LONG, "{:?}", signalled.elapsed());
    assert_eq!(run.code, Some(143), "{}", run.stderr);
    assert!(
        run.stderr.contains(
            "s3pull: stopping: 1 object gets up to 5 s; send SIGTERM again to stop now\n"
        ),
        "{}",
        run.stderr
    );
    assert_eq!(
        summary_line(&run),
        "s3pull: stopped by SIGTERM: 0 downloaded, 1 given up"
    );
    assert!(
        run.stderr.contains("was not read to its end"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_list_that_trickles_does_not_hold_up_the_end() {
    let server = Server::start();
    server.put_patterns(["held"], 100);
    // After a signal, and after an end of the run's own.
    for args in [&[] as &[_], &["--max-failures", "1"]] {
        let gate = server.gate("held");
        let (running, mut stdin) = server.s3pull().args(args.iter().copied()).start();
        stdin.write_all(b"held\n").unwrap();
        server.wait_for_requests(1);
        if args.is_empty() {
            running.signal("INT");
        } else {
            stdin.write_all(b"missing\n").unwrap();
        }
        gate.open();
        let started = Instant::now();
        let trickle = std::thread::spawn(move || {
            let mut n = 0;
            while started.elapsed() < LONG && writeln!(stdin, "late{n}").is_ok() {
                n += 1;
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let run = running.wait();
        assert!(started.elapsed() < LONG, "{args:?}: {}", run.stderr);
        trickle.join().unwrap();
        assert!(
            run.stderr.contains("was not read to its end"),
            "{}",
            run.stderr
        );
        let csv = run.read("s3pull-failed.csv.incomplete");
        let n_rows = String::from_utf8(csv)
            .unwrap()
            .matches(",NotAttempted,")
            .count();
        assert!(n_rows > 1, "{n_rows}");
        assert!(
            summary_line(&run).ends_with(&format!("{n_rows} not tried")),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn the_same_signal_twice_at_once_is_one() {
    // Where the machine stalls between the two, they are not at once.
    sooner_or_later(|| {
        let server = Server::start();
        let (mut running, gate) = held_run(&server);
        // As `timeout` does.
        let id = running.id().to_string();
        let command = "kill -TERM \"$0\"; sleep 0.02; kill -TERM \"$0\"";
        let sent = std::process::Command::new("sh")
            .args(["-c", command, &id])
            .status();
        assert!(sent.unwrap().success());
        running.wait_until_stopping();
        // A run that takes the second one for another one ends meanwhile.
        std::thread::sleep(Duration::from_millis(300));
        gate.open();
        let run = running.wait().expect(143);
        // A second signal may end the process before its record is in place.
        is_finished(&run) && {
            assert_accounted_for(&run, 3);
            true
        }
    });
}

#[test]
fn quiet_runs_stop_without_a_word() {
    // The run does not say when it has heard of the signal, so that the gate may open too early.
    sooner_or_later(|| {
        let server = Server::start();
        server.put_patterns(["held"], 100);
        let gate = server.gate("held");
        let (running, mut stdin) = server.s3pull().arg("-q").start();
        stdin.write_all(b"held\n").unwrap();
        drop(stdin);
        server.wait_for_requests(1);
        running.signal("INT");
        gate.open();
        let run = running.wait();
        assert_eq!(run.stderr, "");
        run.code == Some(130)
    });
}

/// As under a disk that does not answer: the process ends all the same, and the rows are under a name that a user sees.
#[cfg(target_os = "linux")]
#[test]
fn a_second_signal_ends_the_process_whatever_the_disk_does() {
    // The process has a fifth of a second for its last words.
    sooner_or_later(|| {
        let server = Server::start();
        server.put_patterns(["held"], 100);
        let _gate = server.gate("held");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".s3pull-s3pull-failed.csv.part");
        let path = path.to_str().unwrap();
        // In microseconds. (strace itself cannot let go of the process before that, so how soon it ends is not looked at.)
        let faults = [
            "-P",
            path,
            "-e",
            "inject=fsync,fdatasync:delay_enter=5000000",
        ];
        let Some(run) = server.s3pull_with_faults(&faults) else {
            return true;
        };
        let (running, mut stdin) = run.within(folder.path()).arg("--sync").start();
        stdin.write_all(b"held\n").unwrap();
        drop(stdin);
        server.wait_for_requests(1);
        let pid = child_of(running.id());
        for signal in ["INT", "TERM"] {
            let sent = std::process::Command::new("kill")
                .args([&format!("-{signal}"), &pid])
                .status();
            assert!(sent.unwrap().success());
        }
        let run = running.wait();
        assert!(matches!(run.code, Some(130 | 143)), "{:?}", run.code);
        let incomplete = run.folder().join("s3pull-failed.csv.incomplete");
        let csv = std::fs::read_to_string(incomplete).unwrap_or_default();
        let said = "the failed rows so far are in s3pull-failed.csv.incomplete";
        csv.contains("\nheld,bucket,,Interrupted,") && run.stderr.contains(said)
    });
}

/// The process that strace has started.
#[cfg(target_os = "linux")]
fn child_of(id: u32) -> String {
    let children = format!("/proc/{id}/task/{id}/children");
    let children = std::fs::read_to_string(children).unwrap();
    children.split_whitespace().next().unwrap().to_owned()
}
