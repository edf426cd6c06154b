//! `--retry-failed`: what failed by an error that may pass is tried again at the end of the run, and counts once.

use serde_json::Value;

use crate::harness::{Fault, Run, S3pull, Server, pattern, sooner_or_later};

const ERROR: Fault = Fault::Status(500, "InternalError");

fn s3pull(server: &Server, rounds: &str) -> S3pull {
    server
        .s3pull()
        .args(["--retry-failed", rounds, "--max-attempts", "1", "-j", "1"])
}

/// Key, error and list with line of each failed row.
fn failed(run: &Run) -> Vec<[String; 3]> {
    let mut rows = csv::Reader::from_path(run.folder().join("s3pull-failed.csv")).unwrap();
    let rows = rows.records().map(Result::unwrap);
    rows.map(|row| [0, 3, 11].map(|column| row[column].to_owned()))
        .collect()
}

#[test]
fn rows_that_come_right_in_a_round_are_not_in_the_csv_and_count_once() {
    let server = Server::start();
    server.put_patterns(["a", "b", "c", "d"], 100);
    server.script("b", [ERROR, ERROR]);
    server.script("c", [ERROR]);
    let run = s3pull(&server, "3")
        .file(
            "keys.csv",
            "key,size,dest\na,100,\nb,100,x/b\nc,100,\nmissing,7,\nd,100,\n",
        )
        .args(["--keys", "keys.csv", "--json"])
        .run()
        .expect(1);
    assert_eq!(run.read("x/b"), pattern("b", 100));
    assert_eq!(failed(&run), [["missing", "NoSuchKey", "keys.csv:5"]]);
    let n_requests = ["a", "b", "c", "d", "missing"].map(|key| server.n_requests(key));
    assert_eq!(n_requests, [1, 3, 2, 1, 1]);
    for said in [
        "s3pull: trying 2 failed rows again (round 1 of 3)",
        "s3pull: trying 1 failed row again (round 2 of 3)",
        "s3pull: 4 downloaded, 0 skipped, 1 failed",
        "s3pull: errors: NoSuchKey (1)\n",
    ] {
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
    assert!(!run.stderr.contains("round 3"), "{}", run.stderr);
    let events: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_b: Vec<_> = events
        .iter()
        .filter(|event| event["key"] == "b")
        .map(|event| (event["status"].as_str().unwrap(), event["line"].as_u64()))
        .collect();
    let line = Some(3);
    assert_eq!(
        of_b,
        [("failed", line), ("failed", line), ("downloaded", line)]
    );
    let summary = events.last().unwrap();
    for (member, value) in [
        ("rows", Value::from(5)),
        ("downloaded", 4.into()),
        ("failed", 1.into()),
        ("bytes", 400.into()),
        ("errors", serde_json::json!({"NoSuchKey": 1})),
        ("list_complete", true.into()),
    ] {
        assert_eq!(summary[member], value, "{member}");
    }
}

#[test]
fn a_run_in_which_all_comes_right_has_succeeded_and_has_no_csv() {
    let server = Server::start();
    server.put_patterns(["a", "b"], 100);
    server.script("b", [ERROR]);
    let run = s3pull(&server, "1").keys(["a", "b"]).run().expect(0);
    assert_eq!(run.files().into_keys().collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn what_fails_in_the_last_round_too_is_in_the_csv_with_its_last_error() {
    let server = Server::start();
    server.put_patterns(["a", "b"], 100);
    server.script("b", [ERROR, Fault::Status(502, "")]);
    let run = s3pull(&server, "1").keys(["a", "b"]).run().expect(1);
    assert_eq!(failed(&run), [["b", "Http502", "-:2"]]);
}

#[test]
fn a_run_that_is_stopped_in_a_round_loses_no_row() {
    sooner_or_later(stopped_in_a_round_it_loses_no_row);
}

fn stopped_in_a_round_it_loses_no_row() -> bool {
    let server = Server::start();
    server.put_patterns(["a", "b", "c"], 100);
    server.script("b", [ERROR, Fault::Hang]);
    server.script("c", [ERROR]);
    let (mut running, pipe) = s3pull(&server, "1")
        .file("keys", "a\nb\nmissing\nc\n")
        .args(["--keys", "keys"])
        .start();
    drop(pipe);
    server.wait_for_requests(5);
    running.signal_and_wait("INT");
    running.signal("TERM");
    let run = running.wait().expect(130);
    if !run.has_ended_in_time() {
        return false;
    }
    let rows = failed(&run);
    let keys: Vec<_> = rows.iter().map(|[key, ..]| key.as_str()).collect();
    assert!(
        ["b", "c", "missing"].iter().all(|key| keys.contains(key)) && keys.len() == 3,
        "{rows:?}"
    );
    assert!(run.stderr.contains("1 downloaded"), "{}", run.stderr);
    true
}

#[test]
fn no_round_follows_an_early_end() {
    let server = Server::start();
    server.put_patterns(["a", "b", "c"], 100);
    server.script("b", [ERROR, ERROR]);
    let run = s3pull(&server, "2")
        .keys(["a", "b", "c"])
        .args(["--max-failures", "1"])
        .run()
        .expect(3);
    assert!(!run.stderr.contains("round"), "{}", run.stderr);
    assert_eq!(server.n_requests("b"), 1);
}

#[test]
fn rounds_are_refused_where_they_mean_nothing() {
    let server = Server::start();
    let cases: [(&[&str], &str); 3] = [
        (&["--dry-run"], "--dry-run"),
        (&["--tar", "a.tar"], "`--tar a.tar`"),
        (&["--failed", "/dev/stderr"], "`/dev/stderr`"),
    ];
    for (args, said) in cases {
        let run = s3pull(&server, "1").keys(["a"]).args(args).run().expect(2);
        assert!(
            run.stderr.contains("--retry-failed") && run.stderr.contains(said),
            "{}",
            run.stderr
        );
    }
    let check = S3pull::new()
        .args(["check", "-bb", "--retry-failed", "1", "k"])
        .run()
        .expect(2);
    assert!(check.stderr.contains("--retry-failed"), "{}", check.stderr);
    assert_eq!(server.log().len(), 0);
}
