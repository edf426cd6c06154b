//! What the screen and the events say at the end of a run whose rows are not all files.

use std::io::Write;

use super::{assert_says, last_event};
use crate::harness::{Fault, Server, sooner_or_later};

#[test]
fn a_fatal_error_comes_first_and_alone() {
    let server = Server::start();
    let keys: Vec<_> = (0..20).map(|n| format!("k{n}")).collect();
    for key in &keys {
        server.script(key, [Fault::Status(404, "NoSuchBucket")]);
    }
    let run = server.s3pull().keys(keys.iter().map(String::as_str));
    // A slow run would tell of its progress first.
    let run = run.args(["-j", "8", "--progress", "none"]);
    let run = run.run().expect(3);
    let lines: Vec<_> = run.stderr.lines().collect();
    assert!(
        lines[0].starts_with("s3pull: error: NoSuchBucket"),
        "{}",
        run.stderr
    );
    assert!(lines[1].starts_with("hint: "), "{}", run.stderr);
    assert!(
        lines[2].starts_with("s3pull: 0 downloaded, "),
        "{}",
        run.stderr
    );
    assert_eq!(run.stderr.matches("error:").count(), 1, "{}", run.stderr);
    for repeated in ["Interrupted:", "failed: k", "--bucket bucket"] {
        assert!(!run.stderr.contains(repeated), "{}", run.stderr);
    }
    assert_says(
        &run,
        "20 failed rows in s3pull-failed.csv; run the same command again",
    );
    assert_eq!(run.failed().len(), 20);
}

#[test]
fn a_run_that_is_stopped_says_what_was_done_and_what_was_not() {
    sooner_or_later(is_told_what_was_done_and_what_was_not);
}

fn is_told_what_was_done_and_what_was_not() -> bool {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    server.put_patterns(["a", "held"], 100);
    let _gate = server.gate("held");
    let (running, mut stdin) = server
        .s3pull()
        .within(folder.path())
        .args(["-j", "1", "--json"])
        .start();
    stdin.write_all(b"a\nmissing\nheld\nx\ny\n").unwrap();
    drop(stdin);
    server.wait_for_requests(3);
    running.signal("INT");
    running.signal("TERM");
    let run = running.wait();
    if !run.has_ended_in_time() {
        return false;
    }
    let by = if run.code == Some(130) {
        "Ctrl-C"
    } else {
        "SIGTERM"
    };
    assert_says(
        &run,
        &format!(
            "s3pull: stopped by {by}: 1 downloaded, 1 failed, 1 given up, 2 not tried\ns3pull: "
        ),
    );
    assert_says(&run, "s3pull: errors: NoSuchKey (1)\n");
    let summary = last_event(&run);
    for (member, n) in [("failed", 4), ("interrupted", 1), ("not_attempted", 2)] {
        assert_eq!(summary[member], n, "{member}");
    }
    assert_eq!(
        summary["errors"],
        serde_json::json!({"NoSuchKey": 1, "Interrupted": 1, "NotAttempted": 2})
    );
    true
}

#[test]
fn a_list_of_which_no_key_exists_is_told_as_it_was_read() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    let row = |name: &str| format!("2024-01-02 03:04:05          3 {name}\n");
    for (list, said) in [
        (
            "a \nb\nc\n".to_owned(),
            "none of the 3 keys exists; the list was read as `lines`, and its first key is \"a \": mind the blank",
        ),
        (
            [row("a"), row("b"), row("c")].concat(),
            "read as `aws-s3-ls`, and its first key is \"a\": if the listing leaves out what was listed, put it back with `--key-prefix`",
        ),
        (
            "a\tb\tc\nd\te\ng\th\n".to_owned(),
            "\"a\\tb\\tc\": put one key on each line",
        ),
    ] {
        let run = server.s3pull().stdin(list).run().expect(1);
        assert_says(&run, said);
    }
    for list in ["a\nb\n", "a\nb\nc\nk\n"] {
        let run = server.s3pull().stdin(list).run().expect(1);
        assert!(!run.stderr.contains("keys exists"), "{}", run.stderr);
    }
}

#[test]
fn a_list_that_is_not_all_there_is_told_with_the_cure() {
    let server = Server::start();
    server.put_patterns(["k"], 3);
    let pre = "                           PRE a/\n";
    let object = "2024-01-02 03:04:05          3 k";
    for (list, warning) in [
        (String::new(), "has no rows: check"),
        ("\n\n".to_owned(), "has no rows: check"),
        (
            pre.to_owned(),
            "names 1 folder, and its objects are not downloaded: make the list with `aws s3 ls --recursive`",
        ),
        (format!("{pre}{pre}{object}\n"), "names 2 folders"),
        (object.to_owned(), "has no line end"),
        (
            "{\"key\":\"s3://bucket/sub/\",\"type\":\"directory\"}\n".to_owned(),
            "names 1 folder",
        ),
        (
            "{\"Contents\": [{\"Key\": \"k\"}],\n \"IsTruncated\": true}".to_owned(),
            "cut off",
        ),
        (
            "{\"Contents\": [{\"Key\": \"k\"}],\n \"NextToken\": \"x\"}".to_owned(),
            "cut off",
        ),
        (
            "key,size\nk,1.5\nk,\nk,-1\nk,3.0\n".to_owned(),
            "2 rows of the key list on stdin with a size that is not a number of bytes, such as `1.5`",
        ),
        (
            "{\"Key\":\"k\",\"Size\":2.5}\n{\"Key\":\"k\",\"Size\":-1}\n{\"Key\":\"k\",\"Size\":3.0}\n".to_owned(),
            "2 rows of the key list on stdin with a size that is not a number of bytes, such as `2.5`",
        ),
        (
            "key,md5\nk,0123456789abcdef0123456789abcdef-2\n".to_owned(),
            "1 row of the key list on stdin with a checksum that is neither hex nor base64",
        ),
    ] {
        let run = server.s3pull().stdin(list.clone()).run().expect(0);
        assert_says(&run, "s3pull: warning: ");
        assert_says(&run, warning);
        let quiet = server.s3pull().stdin(list).arg("-q").run().expect(0);
        assert_eq!(quiet.stderr, "");
    }
    for list in [
        format!("{object}\n"),
        "k".to_owned(),
        "{\"Contents\": [{\"Key\": \"k\"}],\n \"IsTruncated\": false}".to_owned(),
    ] {
        let run = server.s3pull().stdin(list).run().expect(0);
        assert!(!run.stderr.contains("warning"), "{}", run.stderr);
    }
}
