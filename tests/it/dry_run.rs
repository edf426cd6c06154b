//! `--dry-run` prints what a run would do, and changes nothing.

use crate::harness::{S3pull, Server};

fn dry_run() -> S3pull {
    // Nothing listens on this port, and there are no credentials; a dry run needs neither.
    S3pull::new()
        .args([
            "--bucket",
            "b",
            "--dry-run",
            "--endpoint-url",
            "http://127.0.0.1:9",
        ])
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
}

#[test]
fn every_row_is_mapped_and_checked_and_nothing_is_written() {
    let list =
        "key,size,dest\na/b,10,\nsub/,0,\nc,20,d/e\n../x,1,\na,5,\n,,\ny\u{1b}[2J,1,\na/b,10,\n";
    let run = dry_run()
        .stdin(list)
        .args(["-o", "new/folder"])
        .run()
        .expect(1);
    assert_eq!(
        run.stdout,
        "a/b -> new/folder/a/b\nsub/ -> new/folder/sub/\nc -> new/folder/d/e\ny\\u{1b}[2J -> new/folder/y\\u{1b}[2J\n"
    );
    for printed in [
        "dry run: 8 rows: 4 to download, 1 to skip, 3 would fail",
        "would fail: InvalidRow (1), PathConflict (1) and UnsafeKey (1)",
        "would fail: a: PathConflict: `a` is a folder for an earlier row",
        "31 B to download",
        "free for `new/folder`",
    ] {
        assert!(run.stderr.contains(printed), "{printed}\n{}", run.stderr);
    }
    assert!(run.files().is_empty(), "{:?}", run.files());
    assert!(!run.folder().join("new").exists());
}

#[test]
fn existing_files_are_taken_into_account() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["file", "folder/file", "keys.txt"] {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    std::fs::write(
        folder.path().join("keys.txt"),
        "file\nfile/below\nfolder\nfolder/file\nfolder/new\nno/such/folder\nno/such/other\nkeys.txt\ns3pull-failed.csv\n",
    )
    .unwrap();
    let run = dry_run()
        .within(folder.path())
        .args(["--keys", "keys.txt", "--if-exists", "skip"])
        .run()
        .expect(1);
    assert_eq!(
        run.stdout,
        "folder/new -> folder/new\nno/such/folder -> no/such/folder\nno/such/other -> no/such/other\n"
    );
    assert!(
        run.stderr
            .contains("9 rows: 3 to download, 2 to skip, 4 would fail"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_list_that_cannot_be_read_ends_the_dry_run() {
    let run = dry_run().stdin("[\n\"a\",\n\"b").run().expect(3);
    assert!(run.stdout.starts_with("a -> a\n"), "{}", run.stdout);
    assert!(run.stderr.contains("it is not JSON"), "{}", run.stderr);
}

#[test]
fn quiet_prints_nothing_if_no_row_would_fail() {
    let run = dry_run().keys(["a"]).arg("-q").run().expect(0);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str()), ("", ""));
}

#[cfg(unix)]
#[test]
fn a_reader_that_closes_the_pipe_early_is_not_an_error() {
    let keys: Vec<_> = (0..20_000).map(|n| n.to_string()).collect();
    let script = format!(
        "{} --bucket b --dry-run | head -n 1",
        env!("CARGO_BIN_EXE_s3pull")
    );
    let run = S3pull::of("sh")
        .args(["-c", &script])
        .keys(keys.iter().map(String::as_str))
        .run()
        .expect(0);
    assert_eq!(run.stdout, "0 -> 0\n");
    assert!(run.stderr.contains("20,000 rows"), "{}", run.stderr);
}

#[test]
fn no_request_is_made() {
    let server = Server::start();
    server.s3pull().keys(["a"]).arg("--dry-run").run().expect(0);
    assert!(server.log().is_empty());
}
