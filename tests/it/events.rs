//! `--json`: one event per row, and one for the run, as the README documents them.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::{Fault, Object, Run, S3pull, Server};

/// All but those of progress, which a slow run has too.
fn events(run: &Run) -> Vec<Value> {
    events_in(&run.stdout)
}

fn events_in(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|event: &Value| event["type"] != "progress")
        .collect()
}

fn members(event: &Value) -> BTreeSet<String> {
    event.as_object().unwrap().keys().cloned().collect()
}

/// A run with one row of each kind.
fn run() -> Run {
    let server = Server::start();
    server.put_patterns(["a", "b\n\u{202e}\u{1b}"], 100);
    server.put("there", Object::new(""));
    server.script("a", [Fault::Header("x-amz-meta-colour", "blue")]);
    server.script("b\n\u{202e}\u{1b}", [Fault::Status(500, "InternalError")]);
    server
        .s3pull()
        .file("there", "")
        .stdin("a\0b\n\u{202e}\u{1b}\0there\0missing\0s3://other/x\0")
        .args(["--json", "--if-exists", "skip", "--keys-format", "null"])
        .run()
        .expect(1)
}

#[test]
fn every_row_has_one_event_and_the_run_has_the_last() {
    let run = run();
    let events = events(&run);
    assert_eq!(events.len(), 6);
    let of = |key: &str| events.iter().find(|event| event["key"] == key).unwrap();
    let a = of("a");
    for (member, value) in [
        ("type", Value::from("object")),
        ("bucket", "bucket".into()),
        ("path", "a".into()),
        ("status", "downloaded".into()),
        ("bytes", 100.into()),
        ("last_modified", "2020-09-13T12:26:40Z".into()),
        ("verified", "crc64nvme".into()),
        ("metadata", serde_json::json!({"colour": "blue"})),
        ("content_type", Value::Null),
        ("attempts", 1.into()),
        ("error", Value::Null),
        ("reason", Value::Null),
    ] {
        assert_eq!(a[member], value, "{member}");
    }
    assert!(!a["etag"].as_str().unwrap().contains('"'), "{a}");
    // Keys are printed unchanged, whatever characters they contain.
    let odd = of("b\n\u{202e}\u{1b}");
    assert_eq!(odd["metadata"], serde_json::json!({}));
    assert_eq!(of("missing")["metadata"], Value::Null);
    assert_eq!(
        (&odd["attempts"], &odd["status"]),
        (&2.into(), &"downloaded".into())
    );
    assert_eq!(
        (&of("there")["status"], &of("there")["reason"]),
        (&"skipped".into(), &"exists".into())
    );
    let missing = &of("missing")["error"];
    assert_eq!(
        (&missing["code"], &missing["http_status"]),
        (&"NoSuchKey".into(), &404.into())
    );
    assert_eq!(of("x")["bucket"], "other");
    assert_eq!(of("x")["error"]["code"], "WrongBucket");

    let summary = events.last().unwrap();
    for (member, value) in [
        ("type", Value::from("summary")),
        ("rows", 5.into()),
        ("downloaded", 2.into()),
        ("skipped", 1.into()),
        ("failed", 2.into()),
        ("bytes", 200.into()),
        ("failed_keys", "s3pull-failed.csv".into()),
        ("exit_code", 1.into()),
    ] {
        assert_eq!(summary[member], value, "{member}");
    }
    assert_eq!(summary["verified"]["crc64nvme"], 2);
}

#[test]
fn the_readme_lists_every_member_and_no_other() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme.split("\n## Events\n").nth(1).unwrap();
    let blocks = section.split("```json\n").skip(1);
    let documented: Vec<Value> = blocks
        .flat_map(|block| {
            let block = block.split("```").next().unwrap();
            serde_json::Deserializer::from_str(block).into_iter()
        })
        .map(Result::unwrap)
        .collect();
    // A test beside the event of progress compares that one.
    let [object, _, summary] = &documented[..] else {
        panic!("{documented:?}")
    };
    let run = run();
    let events = events(&run);
    for event in &events[..5] {
        assert_eq!(members(event), members(object));
    }
    assert_eq!(members(events.last().unwrap()), members(summary));
    let failed = events
        .iter()
        .find(|event| !event["error"].is_null())
        .unwrap();
    assert_eq!(members(&failed["error"]), members(&object["error"]));
}

#[test]
fn a_run_that_cannot_continue_says_so_in_its_last_event() {
    let server = Server::start();
    server.script("a", [Fault::Status(404, "NoSuchBucket")]);
    let run = server
        .s3pull()
        .keys(["a", "b"])
        .args(["--json", "-q", "-j", "1"])
        .run()
        .expect(3);
    let events = events(&run);
    let summary = events.last().unwrap();
    assert_eq!(summary["exit_code"], 3);
    assert!(
        summary["error"].as_str().unwrap().contains("NoSuchBucket"),
        "{summary}"
    );
    assert_eq!(summary["not_attempted"], 1);
}

#[test]
fn a_dry_run_has_events_too() {
    let run = S3pull::new()
        .args(["--bucket", "b", "--dry-run", "--json", "-o", "out"])
        .stdin("key,size\na/b,10\n../x,1\na/b,10\n")
        .run()
        .expect(1);
    let events = events(&run);
    let printed: Vec<_> = events[..3]
        .iter()
        .map(|event| (event["status"].as_str().unwrap(), event["path"].as_str()))
        .collect();
    assert_eq!(
        printed,
        [
            ("planned", Some("out/a/b")),
            ("failed", None),
            ("skipped", None)
        ]
    );
    let summary = &events[3];
    assert_eq!(
        (&summary["planned"], &summary["rows"], &summary["bytes"]),
        (&1.into(), &3.into(), &10.into())
    );
}

#[cfg(unix)]
#[test]
fn a_run_ends_if_nobody_reads_its_events() {
    let server = Server::start();
    let keys: Vec<_> = (0..500).map(|n| format!("{n:03}")).collect();
    server.put_patterns(keys.iter().map(String::as_str), 10);
    let script = format!(
        "{{ {} --bucket bucket --json -j 4; echo $? >code; }} | true",
        env!("CARGO_BIN_EXE_s3pull")
    );
    let run = S3pull::of("bash")
        .args(["-c", &script])
        .env("AWS_ENDPOINT_URL_S3", &server.url())
        .keys(keys.iter().map(String::as_str))
        .run()
        .expect(0);
    assert_eq!(run.read("code"), b"3\n");
    assert!(
        run.stderr
            .contains("s3pull: error: cannot print an event: "),
        "{}",
        run.stderr
    );
}

#[test]
fn only_a_file_of_events_is_replaced_by_events() {
    let server = Server::start();
    server.put_patterns(["a"], 100);
    let list = "{\"type\":\"x\",\"key\":\"a\"}\n";
    for (file, args) in [
        // A list of the run, though it looks like events.
        (list, ["--events", "e", "--keys", "e"]),
        ("a\n", ["--events", "e", "--keys", "keys.txt"]),
    ] {
        let run = server
            .s3pull()
            .file("e", file)
            .file("keys.txt", "a\n")
            .args(args)
            .run()
            .expect(2);
        assert!(
            run.stderr.contains("`e`") && run.stderr.contains("--events"),
            "{}",
            run.stderr
        );
        assert_eq!(run.read("e"), file.as_bytes());
    }
    for before in ["", "{\"type\":\"object\"}\n{\"type\":\"summary\"}\n"] {
        let run = server
            .s3pull()
            .file("e", before)
            .keys(["a"])
            .args(["--events", "e"])
            .run()
            .expect(0);
        let events = String::from_utf8(run.read("e")).unwrap();
        assert_eq!(events_in(&events).len(), 2, "{events}");
    }
}
