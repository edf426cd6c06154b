//! `--include` and `--exclude`, for every source, with the rows that are left out counted and not failed.

use crate::harness::{Run, S3pull, Server};

fn dry_run(args: &[&str]) -> Run {
    S3pull::new()
        .args(["--bucket", "b", "--dry-run"])
        .args(args.iter().copied())
        .keys(["a.json", "é.json", "b/a.json", "b/c.txt", "d"])
        .run()
        .expect(0)
}

#[test]
fn patterns_count_in_the_order_of_the_command_line() {
    let planned = |args: &[&str]| {
        let run = dry_run(args);
        let keys = run
            .stdout
            .lines()
            .map(|line| line.split(' ').next().unwrap().to_owned());
        keys.collect::<Vec<_>>()
    };
    assert_eq!(
        planned(&["--include", "*.json"]),
        ["a.json", "é.json", "b/a.json"]
    );
    assert_eq!(planned(&["--include", "?.json"]), ["a.json", "é.json"]);
    assert_eq!(
        planned(&["--exclude", "*", "--include=b/*"]),
        ["b/a.json", "b/c.txt"]
    );
    assert_eq!(planned(&["--include=b/*", "--exclude", "*"]), [""; 0]);
    assert_eq!(
        planned(&["--exclude", "*.json", "--include", "b/*"]),
        ["b/a.json", "b/c.txt", "d"]
    );
}

#[test]
fn rows_that_are_left_out_are_counted_and_do_not_fail() {
    let run = dry_run(&["--exclude", "*.json"]);
    assert!(
        run.stderr
            .contains("2 rows: 2 to download, 0 to skip, 0 would fail"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("3 rows filtered out"), "{}", run.stderr);
    let server = Server::start();
    server.put_patterns(["p/a", "p/b", "q"], 10);
    let run = server
        .s3pull()
        .args([
            "--prefix",
            "p/",
            "--keys",
            "list",
            "p/a",
            "--json",
            "--include",
            "b",
            "--include",
            "q*",
        ])
        .file("list", "q\nq/../x\np/b\n")
        .run()
        .expect(1);
    // The prefix is not part of what is matched in a listing, but it is in a list.
    assert_eq!(
        run.failed(),
        [("q/../x".to_owned(), "UnsafeKey".to_owned())]
    );
    assert!(run.folder().join("p/b").exists() && run.folder().join("q").exists());
    assert!(!run.folder().join("p/a").exists());
    assert!(
        run.stderr
            .contains("2 downloaded, 0 skipped, 1 failed, 3 filtered out"),
        "{}",
        run.stderr
    );
    let summary = run.stdout.lines().last().unwrap();
    assert!(
        summary.contains(r#""rows":3,"#) && summary.contains(r#""filtered":3,"#),
        "{summary}"
    );
    assert!(
        run.stderr
            .contains("s3pull --bucket bucket --json --keys s3pull-failed.csv"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_pattern_that_cannot_be_read_is_wrong_usage() {
    let run = S3pull::new()
        .args(["--bucket", "b", "--exclude", "[a", "k"])
        .run()
        .expect(2);
    assert!(
        run.stderr.contains("`--exclude [a` is not a valid pattern"),
        "{}",
        run.stderr
    );
}
