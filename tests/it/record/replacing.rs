//! Which files the failed-keys CSV replaces: those of its kind, and none by surprise.

use std::io::Write;

use super::{CSV, HEADER, INCOMPLETE, assert_says, csv_of, keys_in, with_open_list};
use crate::harness::{S3pull, Server};

#[test]
fn the_failed_keys_of_another_bucket_are_not_replaced_by_surprise() {
    let server = Server::start();
    let other = csv_of(["k"]).replace("k,bucket,", "k,photos,");
    let refused = |run: S3pull| {
        let run = run.file(CSV, &other).keys(["missing"]).run().expect(2);
        assert_eq!(run.read(CSV), other.as_bytes());
        assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
        assert_eq!(
            run.stderr,
            "s3pull: error: `s3pull-failed.csv` has the failed keys of the bucket `photos`, which this run would replace\n\
             hint: retry them first, with `--bucket photos --keys s3pull-failed.csv`; or name another file for this run with `--failed FILE`; `--failed s3pull-failed.csv` replaces it\n"
        );
    };
    refused(server.s3pull());
    refused(server.s3pull().arg("--dry-run"));
    refused(server.s3pull().args(["--keys", "-"]));
    assert_eq!(server.log().len(), 0);

    // What was typed, what is empty, and what is read is replaced.
    let typed = server.s3pull().file(CSV, &other).keys(["missing"]);
    let typed = typed.args(["--failed", CSV]).run().expect(1);
    assert_eq!(
        typed.failed(),
        [("missing".to_owned(), "NoSuchKey".to_owned())]
    );
    let by_variable = server.s3pull().file(CSV, &other).keys(["missing"]);
    by_variable.env("S3PULL_FAILED", CSV).run().expect(1);
    let empty = server.s3pull().file(CSV, HEADER).keys(["missing"]);
    empty.run().expect(1);
    let both = csv_of(["k", "missing"]).replace("k,bucket,", "k,photos,");
    let both = server.s3pull().file(CSV, both).keys(["missing"]);
    both.run().expect(1);
    let itself = server.s3pull().file(CSV, &other).args(["--keys", CSV]);
    let itself = itself.run().expect(1);
    assert_eq!(
        itself.failed(),
        [("k".to_owned(), "WrongBucket".to_owned())]
    );
}

#[test]
fn a_file_that_is_not_a_failed_keys_csv_is_not_replaced() {
    let server = Server::start();
    let contents: [&[u8]; 8] = [
        b"k\nmissing\n",
        b"key,bucket,size\nk,bucket,1\n",
        b"key,bucket,version_id,error,status,attempts,request_id\nk,,,,,,\n",
        b"\n",
        b"\xff\xfek\0e\0y\0",
        b"\x1f\x8b\x08\0\0\0\0\0",
        &[0; 10_000],
        b"\"key,bucket,version_id,error",
    ];
    for content in contents {
        for args in [&[] as &[_], &["--dry-run"], &["--keys", "keys.txt"]] {
            let run = server
                .s3pull()
                .file("keys.txt", content)
                .keys(["missing"])
                .args(["--failed", "keys.txt", "-o", "out"])
                .args(args.iter().copied())
                .run()
                .expect(2);
            assert_eq!(run.read("keys.txt"), content);
            assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
            assert!(!run.folder().join("out").exists());
            assert_eq!(
                run.stderr,
                "s3pull: error: `keys.txt` exists and is not a failed-keys CSV, so it is not replaced\n\
                 hint: `--failed` names the file to write; to retry failed keys, give the CSV as `--keys`\n"
            );
        }
    }
    assert_eq!(server.log().len(), 0);
}

#[test]
fn a_file_that_came_to_the_path_of_the_csv_during_the_run_is_not_replaced() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let (running, mut stdin, gate) = with_open_list(&server, folder.path(), &[]);
    std::fs::write(folder.path().join(CSV), "a file of the user's").unwrap();
    stdin.write_all(b"missing\n").unwrap();
    drop(stdin);
    gate.open();
    let run = running.wait().expect(3);
    assert_eq!(run.read(CSV), b"a file of the user's");
    assert_eq!(keys_in(&folder.path().join(INCOMPLETE)), ["missing"]);
    assert_says(&run, INCOMPLETE);
}

#[test]
fn a_failed_keys_csv_of_any_version_is_replaced() {
    let server = Server::start();
    let newer = HEADER.replace("source", "source,more") + "k,,,,,,,,,,,,,\n";
    let first_columns = "key,bucket,version_id,error,status,attempts,request_id,message\n";
    let quoted = HEADER.trim_end().replace(',', "\",\"");
    for content in [
        HEADER.to_owned(),
        csv_of(["k"]),
        first_columns.to_owned(),
        newer,
        format!("\u{feff}{}", csv_of(["k"])),
        csv_of(["k"]).replace('\n', "\r\n"),
        format!("\"{quoted}\"\r\n"),
        String::new(),
    ] {
        let run = server
            .s3pull()
            .file(CSV, &content)
            .keys(["missing"])
            .run()
            .expect(1);
        let csv = run.folder().join(CSV);
        assert_eq!(keys_in(&csv), ["missing"], "{content:?}");
        assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
    }
}

#[test]
fn a_run_that_read_no_row_leaves_the_csv_as_it_was() {
    let server = Server::start();
    let old = csv_of(["of an earlier run"]);
    for (list, args) in [
        ("", &[] as &[_]),
        ("\n\n", &[]),
        ("key,size\n", &[]),
        ("missing\n", &["--dry-run"]),
    ] {
        let run = server.s3pull().file(CSV, &old).stdin(list);
        let run = run.args(args.iter().copied()).run().expect(0);
        assert_eq!(run.read(CSV), old.as_bytes(), "{list:?}");
        assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
    }
}

#[test]
fn a_shard_does_not_replace_the_list_that_all_shards_share() {
    let server = Server::start();
    let list = csv_of((0..20).map(|n| ["a", "b", "c", "d"][n % 4]));
    let run = server
        .s3pull()
        .file(CSV, &list)
        .args(["--keys", CSV, "--failed", CSV, "--shard", "0/2"])
        .run()
        .expect(2);
    assert_eq!(run.read(CSV), list.as_bytes());
    assert_says(&run, "`--shard`");
}

#[test]
fn a_folder_is_refused_with_the_cure() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    for name in ["d", "d/", "."] {
        let run = server.s3pull().within(folder.path()).keys(["k"]);
        let run = run.args(["--failed", name]).run().expect(2);
        assert_says(&run, "is a folder");
        assert_says(&run, "\nhint: `--failed` names a file");
    }
    assert_eq!(server.log().len(), 0);
}
