//! `--log`: the lines for people go to a file, to which later runs add theirs.

use crate::harness::{S3pull, Server};

#[test]
fn the_log_has_every_line_and_stderr_only_what_is_to_be_seen() {
    let server = Server::start();
    server.put_patterns(["a", "b"], 100);
    let run = || {
        server
            .s3pull()
            .keys(["a", "b", "missing"])
            .args(["--log", "run.log", "-v"])
    };
    let first = run().run().expect(1);
    assert!(
        !first.stderr.contains("downloaded a") && !first.stderr.contains("failed: missing"),
        "{}",
        first.stderr
    );
    assert!(
        first
            .stderr
            .contains("s3pull: 2 downloaded, 0 skipped, 1 failed\n"),
        "{}",
        first.stderr
    );
    let log = String::from_utf8(first.read("run.log")).unwrap();
    for line in [
        "s3pull: started at ",
        "s3pull: downloaded a (100 B, crc64nvme)\n",
        "s3pull: failed: missing: NoSuchKey: ",
        "s3pull: 2 downloaded, 0 skipped, 1 failed\n",
    ] {
        assert!(log.contains(line), "{log}");
    }
    let second = run().again(&first).run().expect(1);
    let both = String::from_utf8(second.read("run.log")).unwrap();
    assert!(both.starts_with(&log), "{both}");
    assert_eq!(both.matches("s3pull: started at ").count(), 2);
}

#[test]
fn nothing_but_a_log_is_added_to_and_no_object_replaces_it() {
    let server = Server::start();
    server.put_patterns(["a", "run.log"], 100);
    let cases: [(&str, &[&str]); 2] = [
        ("a\n", &["--keys", "keys.txt"]),
        (
            "s3pull: a key\n",
            &["--keys", "run.log", "--keys-format", "lines"],
        ),
    ];
    for (content, args) in cases {
        let run = server
            .s3pull()
            .file("run.log", content)
            .file("keys.txt", "a\n")
            .args(args)
            .args(["--log", "run.log"])
            .run()
            .expect(2);
        assert!(
            run.stderr.contains("`run.log`") && run.stderr.contains("`--log`"),
            "{}",
            run.stderr
        );
        assert_eq!(run.read("run.log"), content.as_bytes());
    }
    assert_eq!(server.log().len(), 0);
    let run = server.s3pull().keys(["a", "run.log"]);
    let run = run.args(["--log", "run.log"]).run().expect(1);
    assert_eq!(
        run.failed(),
        [("run.log".to_owned(), "PathConflict".to_owned())]
    );
}

#[test]
fn a_dry_run_prints_and_logs_nothing() {
    let run = S3pull::new().args(["-bb", "--dry-run", "--log", "run.log", "k"]);
    let run = run.run().expect(2);
    assert!(run.stderr.contains("--log <FILE>"), "{}", run.stderr);
    assert!(!run.folder().join("run.log").exists());
}
