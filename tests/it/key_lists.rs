//! Key lists in all formats, from files and pipes.

use std::io::Write;

use crate::harness::{Fault, LISTING, Object, Server, pattern};

fn server(keys: &[&str]) -> Server {
    let server = Server::start();
    server.put_patterns(keys.iter().copied(), 100);
    server
}

#[test]
fn a_recursive_listing_can_be_piped_in() {
    let server = server(&["p/a b.txt", "p/ c"]);
    let list = "2024-01-02 03:04:05        100 p/a b.txt\n2024-01-02 03:04:05        100 p/ c\n\nTotal Objects: 2\n   Total Size: 200\n";
    let run = server.s3pull().stdin(list).arg("-v").run().expect(0);
    assert!(
        run.stderr
            .contains("the key list on stdin is read as `aws-s3-ls`"),
        "{}",
        run.stderr
    );
    assert_eq!(run.read("p/ c"), pattern("p/ c", 100));
    assert_eq!(run.files().len(), 2);
}

#[test]
fn a_listing_of_one_level_needs_the_prefix_added_back() {
    let server = server(&["p/a"]);
    let list = "                           PRE sub/\n2024-01-02 03:04:05        100 a\n";
    let run = server
        .s3pull()
        .stdin(list)
        .args(["--key-prefix", "p/"])
        .run()
        .expect(0);
    assert_eq!(run.read("p/a"), pattern("p/a", 100));
}

#[test]
fn lines_may_be_uris_with_a_bom_and_crlf() {
    let server = server(&["a", "b c", "d "]);
    let run = server
        .s3pull()
        .file("list", "\u{feff}a\r\ns3://bucket/b c\r\n\r\nd \r\n")
        .args(["--keys", "list"])
        .run()
        .expect(0);
    assert_eq!(run.read("d "), pattern("d ", 100));
    assert!(run.stderr.contains("3 downloaded"), "{}", run.stderr);
}

#[test]
fn a_dash_is_stdin() {
    let server = server(&["a"]);
    let run = server
        .s3pull()
        .keys(["a"])
        .args(["--keys", "-"])
        .run()
        .expect(0);
    assert_eq!(run.read("a"), pattern("a", 100));
}

#[test]
fn rows_that_cannot_be_used_fail_with_their_line_and_the_run_continues() {
    let server = server(&["a", "b"]);
    let mut list = b"a\ns3://other/x\n\xff\xff\nb\n".to_vec();
    list.extend("k".repeat(1025).bytes());
    let run = server.s3pull().stdin(list).run().expect(1);
    let codes: Vec<_> = run.failed().into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["InvalidRow", "InvalidKey", "WrongBucket"]);
    assert!(
        run.stderr.contains("failed: line 3: InvalidRow: not UTF-8"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("2 downloaded, 0 skipped, 3 failed"),
        "{}",
        run.stderr
    );
    // When the CSV is the list they fail again, with the same messages.
    let again = server
        .s3pull()
        .again(&run)
        .args(["--keys", "s3pull-failed.csv"])
        .run()
        .expect(1);
    assert!(
        again
            .stderr
            .contains("failed: line 2: InvalidRow: not UTF-8")
            || again.stderr.contains("line 3: InvalidRow: not UTF-8"),
        "{}",
        again.stderr
    );
    assert_eq!(again.failed().len(), 3);
}

#[test]
fn downloads_start_while_the_list_is_still_arriving() {
    let server = server(&["first", "last"]);
    let (running, mut stdin) = server.s3pull().start();
    stdin.write_all(b"first\n").unwrap();
    server.wait_for_requests(1);
    stdin.write_all(b"last\n").unwrap();
    server.wait_for_requests(2);
    drop(stdin);
    let run = running.wait().expect(0);
    assert_eq!(run.files().len(), 2);
}

#[test]
fn an_empty_list_ends_at_once() {
    let server = server(&[]);
    let run = server.s3pull().run().expect(0);
    assert!(
        run.stderr.contains("0 downloaded, 0 skipped, 0 failed"),
        "{}",
        run.stderr
    );
    assert!(run.files().is_empty());
}

#[test]
fn a_list_that_cannot_be_read_is_reported() {
    let server = server(&[]);
    let missing = server
        .s3pull()
        .args(["--keys", "nowhere.txt"])
        .run()
        .expect(3);
    assert!(
        missing
            .stderr
            .contains("s3pull: error: cannot open the key list `nowhere.txt`: No such file"),
        "{}",
        missing.stderr
    );
    let folder = server.s3pull().args(["--keys", "."]).run().expect(3);
    assert!(
        folder.stderr.contains("cannot open the key list `.`"),
        "{}",
        folder.stderr
    );
    let utf16 = server
        .s3pull()
        .stdin(b"\xff\xfea\0\n\0".to_vec())
        .run()
        .expect(3);
    assert!(utf16.stderr.contains("iconv"), "{}", utf16.stderr);
    let header = server
        .s3pull()
        .stdin("name,size\na,1\n")
        .args(["--keys-format", "csv"])
        .run()
        .expect(3);
    assert!(
        header
            .stderr
            .contains("no `key` column, only `name`, `size`"),
        "{}",
        header.stderr
    );
}

#[test]
fn the_csv_can_be_the_list_of_the_run_that_writes_it() {
    let server = server(&["good", "with,comma"]);
    let run = server
        .s3pull()
        .keys(["good", "late", "with,comma", "later\ttab"])
        .run()
        .expect(1);
    assert_eq!(run.failed().len(), 2);
    let n_good = server.n_requests("good");
    server.put_patterns(["late"], 100);
    let retry = server
        .s3pull()
        .again(&run)
        .args(["--keys", "s3pull-failed.csv"])
        .run()
        .expect(1);
    assert_eq!(
        retry.failed(),
        [("later\ttab".to_owned(), "NoSuchKey".to_owned())]
    );
    assert_eq!(server.n_requests("good"), n_good);
    server.put_patterns(["later\ttab"], 100);
    let last = server
        .s3pull()
        .again(&run)
        .args(["--keys", "s3pull-failed.csv"])
        .run()
        .expect(0);
    assert_eq!(last.failed(), []);
    assert_eq!(last.files().len(), 5, "{:?}", last.files().keys());
}

#[test]
fn a_run_without_failures_does_not_create_a_csv() {
    let server = server(&["a"]);
    let run = server.s3pull().keys(["a"]).run().expect(0);
    assert_eq!(run.files().keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn the_csv_contains_whole_keys_so_that_the_retry_needs_no_prefix() {
    let server = server(&[]);
    let run = server
        .s3pull()
        .keys(["a"])
        .args(["--key-prefix", "p/", "-j", "7"])
        .run()
        .expect(1);
    assert_eq!(run.failed(), [("p/a".to_owned(), "NoSuchKey".to_owned())]);
    assert!(
        run.stderr
            .contains("\n  s3pull --bucket bucket --concurrency 7 --keys s3pull-failed.csv\n"),
        "{}",
        run.stderr
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_that_has_a_path_is_read_only_once() {
    let keys: Vec<_> = (0..3_000).map(|n| format!("{n:05}")).collect();
    let server = Server::start();
    server.put_patterns(keys.iter().map(String::as_str), 10);
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(["--keys", "/dev/stdin"])
        .run()
        .expect(0);
    assert_eq!(run.files().len(), 3_000);
    assert!(run.stderr.contains("3,000 downloaded"), "{}", run.stderr);
}

#[test]
fn one_run_may_have_several_lists_and_keys_as_arguments() {
    let server = server(&["a", "b", "c d", "e"]);
    let run = server
        .s3pull()
        .file("1.txt", "a\n")
        .file("2.csv", "size,key\n100,b\n,\n")
        .args(["--keys", "1.txt", "--keys", "2.csv", "-v"])
        .args(["c d", "s3://bucket/e"])
        .run()
        .expect(1);
    for key in ["a", "b", "c d", "e"] {
        assert_eq!(run.read(key), pattern(key, 100));
    }
    assert!(
        run.stderr
            .contains("failed: line 3 of the list `2.csv`: InvalidRow"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("the key list `2.csv` is read as `csv`: its first line is a header"),
        "{}",
        run.stderr
    );
    // The format of keys on the command line is fixed, so `-v` does not report it.
    assert!(
        !run.stderr.contains("the key list on the command line"),
        "{}",
        run.stderr
    );
}

#[test]
fn compressed_lists_are_recognised_by_their_bytes() {
    let server = server(&["a", "b"]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"a\n").unwrap();
    let run = server
        .s3pull()
        .file("gzip.txt", gzip.finish().unwrap())
        .file("zstd", zstd::encode_all(&b"[\n\"b\"\n]\n"[..], 0).unwrap())
        .args(["-v", "--keys", "gzip.txt", "--keys", "zstd"])
        .run()
        .expect(0);
    assert!(
        run.stderr.contains("`zstd` is read as zstd, `json`"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("2 downloaded"), "{}", run.stderr);
}

#[test]
fn a_truncated_list_ends_the_run_after_its_complete_rows() {
    let server = server(&["a"]);
    let list: String = std::iter::once("a\n".to_owned())
        .chain((0..20_000).map(|n| format!("s3://other/{n}\n")))
        .collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(list.as_bytes()).unwrap();
    let whole = gzip.finish().unwrap();
    let run = server
        .s3pull()
        .stdin(&whole[..whole.len() / 2])
        .run()
        .expect(3);
    assert_eq!(run.read("a"), pattern("a", 100));
    assert!(
        run.stderr
            .contains("s3pull: error: cannot read the key list on stdin: "),
        "{}",
        run.stderr
    );
}

#[test]
fn only_the_latest_versions_of_an_inventory_are_downloaded() {
    let server = server(&["a b", "gone"]);
    let data = "\"bucket\",\"a+b\",\"true\",\"false\",\"100\"\n\"bucket\",\"a+b\",\"false\",\"false\",\"9\"\n\
                \"bucket\",\"gone\",\"true\",\"true\",\"\"\n";
    let manifest = format!(
        r#"{{"sourceBucket":"bucket","fileFormat":"CSV","fileSchema":"Bucket, Key, IsLatest, IsDeleteMarker, Size","files":[{{"key":"x/data/1.csv","size":{}}}]}}"#,
        data.len()
    );
    let run = server
        .s3pull()
        .file("manifest.json", manifest)
        .file("1.csv", data)
        .args(["--keys", "manifest.json", "-v", "-o", "out"])
        .run()
        .expect(0);
    assert_eq!(run.read("out/a b"), pattern("a b", 100));
    for printed in [
        "1 downloaded, 2 skipped, 0 failed",
        "skipped a b (not the latest version)",
        "skipped gone (a delete marker)",
    ] {
        assert!(run.stderr.contains(printed), "{}", run.stderr);
    }
    // A data file without its manifest needs the columns.
    let alone = server
        .s3pull()
        .again(&run)
        .args(["--keys", "1.csv", "-o", "again"])
        .run()
        .expect(3);
    assert!(alone.stderr.contains("--keys-columns"), "{}", alone.stderr);
    let columns = "Bucket, Key, IsLatest, IsDeleteMarker, Size";
    let alone = server
        .s3pull()
        .again(&run)
        .args(["--keys", "1.csv", "-o", "again", "--keys-columns", columns])
        .run()
        .expect(0);
    assert_eq!(alone.read("again/a b"), pattern("a b", 100));
}

#[test]
fn a_wildcard_at_the_end_of_an_s5cmd_source_is_listed() {
    let server = server(&["p/1", "p/sub/2", "p/sub/3", "q", "r"]);
    server.put("p/sub/", Object::new(""));
    let list = "cp s3://bucket/p/* all/\ncp -f 's3://bucket/p/s*' flat\ncp s3://bucket/q x\n\
                cp s3://bucket/*/1 y\ncp s3://bucket/none/* z\n";
    let run = server.s3pull().stdin(list).run().expect(1);
    let files: Vec<_> = run.files().into_keys().collect();
    assert_eq!(
        files,
        [
            "all/1",
            "all/sub/2",
            "all/sub/3",
            "flat/2",
            "flat/3",
            "s3pull-failed.csv",
            "x"
        ]
    );
    assert_eq!(run.read("all/sub/2"), pattern("p/sub/2", 100));
    assert!(
        run.stderr
            .contains("line 4: InvalidRow: only a `*` at the end"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("line 5: InvalidRow: there is no object that begins so"),
        "{}",
        run.stderr
    );
    // A listing that is refused is not an empty one.
    server.script(LISTING, [Fault::Status(403, "AccessDenied")]);
    let run = server.s3pull().stdin(list).run().expect(3);
    assert!(run.stderr.contains("AccessDenied"), "{}", run.stderr);
}

#[test]
fn version_etag_and_dest_of_a_row_are_used() {
    let server = Server::start();
    let version = |id: &str, etag: &str| Object {
        version_id: Some(id.to_owned()),
        etag: Some(etag.to_owned()),
        ..Object::new(pattern(id, 100))
    };
    server.put_version("a", version("v1", "e1"));
    server.put_version("a", version("v2", "e2"));
    let list = "key,version_id,etag,dest,size\n\
                a,v1,e1,old/a,100\na,,e2,new/a,100\na,v2,e1,changed,\na,,,../out,\na,,,other-size,7\n";
    let run = server.s3pull().stdin(list).run().expect(1);
    assert_eq!(run.read("old/a"), pattern("v1", 100));
    assert_eq!(run.read("new/a"), pattern("v2", 100));
    assert_eq!(run.read("other-size"), pattern("v2", 100));
    let codes: Vec<_> = run.failed().into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["ObjectChanged", "UnsafeKey"]);
    assert!(
        run.stderr
            .contains("1 object of another size than the list says"),
        "{}",
        run.stderr
    );
    assert!(!run.folder().join("changed").exists());
    // The CSV keeps all columns of the row.
    let csv = String::from_utf8(run.read("s3pull-failed.csv")).unwrap();
    assert!(csv.contains(",e1,changed,-:4,"), "{csv}");
    let etag_again = Object {
        etag: Some("e1".into()),
        ..version("v2", "e1")
    };
    server.put_version("a", etag_again);
    let retry = server
        .s3pull()
        .again(&run)
        .args(["--keys", "s3pull-failed.csv"])
        .run()
        .expect(1);
    assert_eq!(retry.read("changed"), pattern("v2", 100));
}

#[test]
fn shards_cover_every_key_once_and_write_separate_csvs() {
    let keys: Vec<_> = (0..60).map(|n| format!("k{n:02}")).collect();
    let server = Server::start();
    server.put_patterns(keys.iter().skip(6).map(String::as_str), 10);
    let mut failed = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    for index in 0..3 {
        let run = server
            .s3pull()
            .within(folder.path())
            .keys(keys.iter().map(String::as_str))
            .args(["-o", "out", "--shard", &format!("{index}/3")])
            // So that none is sent again for being slow.
            .args(["-j", "1"])
            .run();
        let name = format!("s3pull-failed-{index}-of-3.csv");
        if run.code == Some(1) {
            assert!(
                run.stderr
                    .contains(&format!("--keys {name} --failed {name}")),
                "{}",
                run.stderr
            );
            failed.extend(
                String::from_utf8(run.read(&name))
                    .unwrap()
                    .lines()
                    .skip(1)
                    .map(str::to_owned),
            );
        }
    }
    assert_eq!(failed.len(), 6, "{failed:?}");
    for key in &keys {
        assert_eq!(server.n_requests(key), 1, "{key}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path().join("out"))
            .unwrap()
            .count(),
        54
    );
}

#[test]
fn a_shard_is_read_from_the_environment_or_reported_missing() {
    let server = server(&["a"]);
    let array = [("JOB_COMPLETION_INDEX", "0"), ("S3PULL_SHARDS", "1")];
    let command = array
        .into_iter()
        .fold(server.s3pull().keys(["a"]), |command, (name, value)| {
            command.env(name, value)
        });
    let run = command.args(["--shard", "auto"]).run().expect(0);
    assert_eq!(run.read("a"), pattern("a", 100));
    let run = server
        .s3pull()
        .keys(["a"])
        .args(["--shard", "auto"])
        .run()
        .expect(2);
    assert!(run.stderr.contains("finds no array job"), "{}", run.stderr);
}
