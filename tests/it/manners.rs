//! What is told of a run, where, and whether it is true.

use std::time::Duration;

use crate::harness::{Fault, Run, Running, Server, pattern, sooner_or_later};

fn keys(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("{n:04}")).collect()
}

fn server(keys: &[String], length: usize) -> Server {
    let server = Server::start();
    server.put_patterns(keys.iter().map(String::as_str), length);
    server
}

/// What the run of `args` waited for, as its last event says.
fn bottleneck(server: &Server, keys: &[String], concurrency: &str) -> serde_json::Value {
    let run = run(server, keys, &["-j", concurrency, "--json"]);
    let summary = run.stdout.lines().last().unwrap();
    let summary: serde_json::Value = serde_json::from_str(summary).unwrap();
    summary["bottleneck"].clone()
}

/// Fails the test unless it is the bottleneck at some scale: the busier the machine, the slower the server has to be to stand
/// out.
#[track_caller]
fn comes_to_be(expected: &str, mut bottleneck: impl FnMut(u32) -> serde_json::Value) {
    let mut scale = 1;
    sooner_or_later(|| {
        let found = bottleneck(scale);
        scale = (scale * 2).min(16);
        found == expected
    });
}

/// Downloads all of them.
fn run(server: &Server, keys: &[String], args: &[&str]) -> Run {
    let keys = keys.iter().map(String::as_str);
    let args = args.iter().copied();
    server.s3pull().keys(keys).args(args).run().expect(0)
}

#[test]
fn requests_are_told_at_vv() {
    let server = Server::start();
    server.put_patterns(["large"], 3 << 20);
    server.script("large", [Fault::Status(503, "SlowDown")]);
    let run = server
        .s3pull()
        .keys(["large"])
        .args([
            "-vv",
            "--part-size",
            "1MiB",
            "--multipart-threshold",
            "2MiB",
        ])
        .run()
        .expect(0);
    let requests: Vec<_> = run
        .stderr
        .lines()
        .filter(|line| line.starts_with("s3pull: GET large"))
        .collect();
    // Of two requests for the same only one is told.
    run.expect_requests(server.n_requests("large"), requests.len());
    assert!(requests[0].contains("SlowDown"), "{}", run.stderr);
}

#[test]
fn nothing_without_a_terminal_has_escape_codes() {
    let keys = keys(50);
    let server = server(&keys, 100);
    for progress in ["auto", "bar", "plain", "none"] {
        let run = run(&server, &keys, &["--progress", progress, "-v"]);
        assert!(
            !run.stderr.contains('\u{1b}') && !run.stderr.contains('\r'),
            "{progress}"
        );
    }
}

#[test]
fn a_quiet_run_that_goes_well_is_silent() {
    let keys = keys(5);
    let server = server(&keys, 100);
    let run = run(&server, &keys, &["-q"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
}

#[test]
fn a_run_with_sync_succeeds_where_the_disk_can_be_flushed() {
    let keys = keys(5);
    let server = server(&keys, 100);
    let run = run(&server, &keys, &["--sync"]);
    assert_eq!(run.files().len(), 5);
}

#[test]
fn a_server_that_answers_slowly_asks_for_more_at_once() {
    let keys = keys(60);
    comes_to_be("first-byte", |scale| {
        let server = server(&keys, 100);
        server.limit_to(usize::MAX, Duration::from_millis(100) * scale);
        bottleneck(&server, &keys, "4")
    });
}

#[test]
fn a_server_that_sends_slowly_is_told_from_one_that_answers_slowly() {
    let keys = keys(20);
    comes_to_be("bytes", |scale| {
        let server = server(&keys, 256 << 10);
        server.by_chance(move || Some(Fault::Slow(Duration::from_millis(100) * scale)));
        bottleneck(&server, &keys, "4")
    });
}

#[test]
fn a_server_that_throttles_is_no_reason_for_more_at_once() {
    // Of a hundred requests one that is refused is enough.
    let keys = keys(80);
    let server = server(&keys, 100);
    server.limit_to(4, Duration::from_millis(60));
    server.refuse_one_first();
    assert_eq!(bottleneck(&server, &keys, "32"), "throttled");
}

/// Every write takes half a second, by way of strace.
#[cfg(target_os = "linux")]
#[test]
fn a_slow_disk_is_the_bottleneck() {
    use crate::harness::{S3pull, skipped};
    if std::process::Command::new("strace")
        .arg("-V")
        .output()
        .is_err()
    {
        skipped::<()>("strace, which slows the disk down, is not installed");
        return;
    }
    let keys = keys(16);
    let server = server(&keys, 100);
    let run = S3pull::of("strace")
        .args(["-f", "-o", "/dev/null", "-e", "trace=pwritev"])
        .args(["-e", "inject=pwritev:delay_enter=500000"])
        .arg(env!("CARGO_BIN_EXE_s3pull"))
        .args(["--bucket", "bucket", "-j", "4", "--json"])
        .env("AWS_ENDPOINT_URL_S3", &server.url())
        .keys(keys.iter().map(String::as_str))
        .run();
    if run.code != Some(0) && run.stderr.contains("ptrace") {
        skipped::<()>("processes may not be traced here");
        return;
    }
    let run = run.expect(0);
    assert!(
        run.stdout.contains("\"bottleneck\":\"disk\""),
        "{}",
        run.stdout
    );
}

#[test]
fn every_message_is_a_line_that_can_be_searched_for() {
    let keys = keys(3);
    let server = server(&keys, 100);
    let keys = keys.iter().map(String::as_str).chain(["missing", "a\nb"]);
    let run = server
        .s3pull()
        .stdin(keys.collect::<Vec<_>>().join("\0"))
        .args(["-vv", "--keys-format", "null"])
        .run()
        .expect(1);
    for line in run.stderr.lines() {
        // The command that retries is for copying.
        assert!(
            line.starts_with("s3pull: ") || line.starts_with("  s3pull --bucket"),
            "{line}"
        );
    }
}

#[test]
fn two_runs_on_one_folder_never_spoil_each_other() {
    let keys = keys(200);
    let server = server(&keys, 5_000);
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("keys");
    std::fs::write(&list, keys.join("\n")).unwrap();
    let runs: Vec<_> = ["1.csv", "2.csv"]
        .map(|failed| {
            let (running, pipe) = server
                .s3pull()
                .within(folder.path())
                .args(["--keys", "keys", "-o", "out", "-v", "--failed", failed])
                .start();
            drop(pipe);
            running
        })
        .into_iter()
        .map(Running::wait)
        .collect();
    for key in &keys {
        let file = std::fs::read(folder.path().join("out").join(key)).unwrap();
        assert_eq!(file, pattern(key, 5_000), "{key}");
    }
    for run in &runs {
        let n_downloaded = run.stderr.matches("s3pull: downloaded ").count();
        let n_conflicts = run.stderr.matches(": PathConflict: ").count();
        assert_eq!(n_downloaded + n_conflicts, keys.len(), "{}", run.stderr);
    }
    let n_files = std::fs::read_dir(folder.path().join("out"))
        .unwrap()
        .count();
    assert_eq!(n_files, keys.len(), "nothing of either run is left");
}
