//! Downloads end as complete, verified files at the right paths.

use std::time::{Duration, SystemTime};

use crate::harness::{Fault, Object, Server, pattern};

#[test]
fn nested_keys_become_nested_files_with_the_time_of_their_object() {
    let server = Server::start();
    let keys = ["a.txt", "photos/2024/b.jpg", "photos/2024/c.jpg"];
    server.put_patterns(keys, 10_000);
    let run = server.s3pull().keys(keys).run().expect(0);
    assert_eq!(run.files().len(), 3);
    for key in keys {
        assert_eq!(run.read(key), pattern(key, 10_000), "{key}");
    }
    let modified = std::fs::metadata(run.folder().join("a.txt"))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(
        modified,
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_600_000_000)
    );
    assert!(
        run.stderr
            .contains("s3pull: 3 downloaded, 0 skipped, 0 failed"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("verified by crc64nvme (3 files)"),
        "{}",
        run.stderr
    );
    assert_eq!(run.stdout, "");
}

#[test]
fn odd_keys_keep_their_names() {
    let server = Server::start();
    let longest = format!("{0}/{0}/{0}/{0}x", "k".repeat(255));
    assert_eq!(longest.len(), 1024);
    let keys = [
        " leading",
        "trailing ",
        "a b",
        "\u{fc}",
        "u\u{308}",
        "a+b",
        "100%",
        "%2F",
        "#",
        "a?b=c",
        "a&b",
        "quo\"te",
        "com,ma",
        "new\nline",
        "tab\t",
        "日本/語",
        "...",
        "~",
        "-rf",
        "a\\b",
        "\u{1}",
        &longest,
    ];
    // macOS treats both forms of a letter as the same name.
    let is_same_name = |key: &&str| cfg!(target_os = "macos") && *key == "u\u{308}";
    let keys: Vec<_> = keys.into_iter().filter(|key| !is_same_name(key)).collect();
    // File names cannot have 256 bytes.
    let (too_long, keys) = keys.split_last().unwrap();
    server.put_patterns(keys.iter().copied(), 100);
    let longest_that_fits = format!("{0}/{0}/{0}/{0}/{1}", "k".repeat(200), "x".repeat(220));
    assert_eq!(longest_that_fits.len(), 1024);
    server.put_patterns([longest_that_fits.as_str()], 100);
    let mut list = csv::Writer::from_writer(Vec::new());
    list.write_record(["key", "size"]).unwrap();
    for key in keys.iter().chain([too_long, &longest_that_fits.as_str()]) {
        list.write_record([*key, "100"]).unwrap();
    }
    let run = server
        .s3pull()
        .stdin(list.into_inner().unwrap())
        .args(["-o", "out"])
        .run()
        .expect(1);
    for key in keys.iter().chain([&longest_that_fits.as_str()]) {
        assert_eq!(
            run.read(&format!("out/{key}")),
            pattern(key, 100),
            "{key:?}"
        );
    }
    assert_eq!(
        run.failed(),
        [((*too_long).to_owned(), "UnsafeKey".to_owned())]
    );
}

#[test]
fn empty_objects_and_folder_markers_are_created() {
    let server = Server::start();
    server.put("empty", Object::new(""));
    server.put("folder/", Object::new(""));
    server.put("deep/er/", Object::new(""));
    let run = server
        .s3pull()
        .keys(["empty", "folder/", "deep/er/"])
        .run()
        .expect(0);
    assert_eq!(run.read("empty"), b"");
    assert!(run.folder().join("folder").is_dir() && run.folder().join("deep/er").is_dir());
    assert!(
        run.stderr
            .contains("crc64nvme (1 file) and folder (2 files)"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_folder_marker_with_content_fails() {
    let server = Server::start();
    server.put_patterns(["folder/"], 3);
    let run = server.s3pull().keys(["folder/"]).run().expect(1);
    assert_eq!(
        run.failed(),
        [("folder/".to_owned(), "FolderMarkerHasContent".to_owned())]
    );
}

#[test]
fn a_large_object_streams_through() {
    let server = Server::start();
    let length = 33 * 1024 * 1024 + 12_345;
    server.put_patterns(["large"], length);
    let run = server.s3pull().keys(["large"]).run().expect(0);
    assert!(
        run.read("large") == pattern("large", length),
        "the bytes differ"
    );
    assert_eq!(run.files().len(), 1);
}

#[test]
fn every_checksum_algorithm_of_s3_is_verified() {
    let server = Server::start();
    for algorithm in ["crc64nvme", "crc32c", "crc32", "sha1", "sha256"] {
        let body = pattern(algorithm, 2_500_000);
        server.put(
            &format!("good/{algorithm}"),
            Object::new(body.clone()).with_checksums(&[algorithm]),
        );
        let wrong = Object::new(body.clone())
            .with_checksums(&[algorithm])
            .wrong_checksum(&Object::new("other"));
        server.put(&format!("bad/{algorithm}"), wrong);
        let good = format!("good/{algorithm}");
        let bad = format!("bad/{algorithm}");
        let run = server
            .s3pull()
            .keys([good.as_str(), bad.as_str()])
            .args(["--max-attempts", "2"])
            .run()
            .expect(1);
        assert!(run.read(&good) == body);
        assert!(
            run.stderr
                .contains(&format!("verified by {algorithm} (1 file)")),
            "{}",
            run.stderr
        );
        assert_eq!(run.failed(), [(bad.clone(), "ChecksumMismatch".to_owned())]);
        run.expect_requests(server.n_requests(&bad), 2);
        assert!(!run.folder().join(&bad).exists());
    }
}

#[test]
fn a_composite_checksum_does_not_fail_its_key() {
    let server = Server::start();
    let mut object = Object::new(pattern("c", 5_000)).with_checksums(&["crc32"]);
    object.checksum_type = Some("COMPOSITE");
    object.wrong_checksum = Some("AAAAAA==-3".to_owned());
    server.put("with-suffix", object.clone());
    // Some servers omit the suffix; the type shows that the checksum is composite.
    object.wrong_checksum = Some("AAAAAA==".to_owned());
    server.put("without-suffix", object);
    let run = server
        .s3pull()
        .keys(["with-suffix", "without-suffix"])
        .run()
        .expect(0);
    assert!(
        run.stderr.contains("verified by length (2 files)"),
        "{}",
        run.stderr
    );
}

#[test]
fn an_object_with_a_flipped_byte_is_downloaded_again() {
    let server = Server::start();
    server.put_patterns(["k"], 3_000_000);
    server.script("k", [Fault::Flip(2_999_999)]);
    let run = server.s3pull().keys(["k"]).run().expect(0);
    assert!(run.read("k") == pattern("k", 3_000_000));
    run.expect_requests(server.n_requests("k"), 2);
}

#[test]
fn one_get_per_object_and_no_other_request() {
    let server = Server::start();
    server.put_patterns(["a", "b/c"], 10);
    let run = server
        .s3pull()
        .keys(["a", "b/c"])
        .args(["--request-payer", "requester"])
        .run()
        .expect(0);
    let log = server.log();
    run.expect_requests(log.len(), 2);
    for request in log {
        assert_eq!(request.method, "GET");
        assert!(request.headers.get("range").is_none());
        assert_eq!(request.headers["x-amz-checksum-mode"], "ENABLED");
        assert_eq!(request.headers["x-amz-request-payer"], "requester");
        assert!(
            request.headers["user-agent"]
                .to_str()
                .unwrap()
                .starts_with("s3pull/"),
            "{:?}",
            request.headers["user-agent"]
        );
    }
}

#[test]
fn five_thousand_keys_stay_within_the_concurrency() {
    let server = Server::start();
    let keys: Vec<_> = (0..5_000).map(|n| format!("{:02}/{n}", n % 50)).collect();
    server.put_patterns(keys.iter().map(String::as_str), 500);
    // So that requests overlap however fast the server is.
    server.limit_to(usize::MAX, Duration::from_millis(1));
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(["-j", "64", "-o", "out"])
        .run()
        .expect(0);
    let files = run.files();
    assert_eq!(files.len(), 5_000);
    for key in &keys {
        assert!(files[&format!("out/{key}")] == pattern(key, 500), "{key}");
    }
    let most = 64 + run.n_sent_again();
    assert!(
        (2..=most).contains(&server.peak()),
        "{} in flight",
        server.peak()
    );
    run.expect_requests(server.log().len(), 5_000);
}

#[test]
fn the_same_key_in_flight_is_downloaded_once() {
    let server = Server::start();
    server.put_patterns(["k"], 1_000);
    let gate = server.gate("k");
    let (running, mut stdin) = server.s3pull().arg("-v").start();
    std::io::Write::write_all(&mut stdin, b"k\nk\nk\n").unwrap();
    drop(stdin);
    server.wait_for_requests(1);
    gate.open();
    let run = running.wait().expect(0);
    assert_eq!(server.n_requests("k"), 1);
    assert!(
        run.stderr.contains("1 downloaded, 2 skipped, 0 failed"),
        "{}",
        run.stderr
    );
}

#[test]
fn rows_that_differ_only_in_size_are_one_object_in_a_run_and_in_a_dry_run() {
    let list = "key,size\nk,1000\nk,\nk,5\n";
    let server = Server::start();
    server.put_patterns(["k"], 1_000);
    let gate = server.gate("k");
    let (running, mut stdin) = server.s3pull().start();
    std::io::Write::write_all(&mut stdin, list.as_bytes()).unwrap();
    drop(stdin);
    server.wait_for_requests(1);
    gate.open();
    let run = running.wait().expect(0);
    assert!(
        run.stderr.contains("1 downloaded, 2 skipped, 0 failed"),
        "{}",
        run.stderr
    );
    assert_eq!(server.n_requests("k"), 1);

    let dry_run = server.s3pull().stdin(list).arg("--dry-run").run().expect(0);
    assert!(
        dry_run.stderr.contains("3 rows: 1 to download, 2 to skip"),
        "{}",
        dry_run.stderr
    );
}

#[test]
fn keys_that_would_leave_the_output_folder_write_no_file() {
    let server = Server::start();
    let keys = [
        "../evil",
        "/tmp/s3pull-evil",
        "a/../../evil",
        "a//b",
        "./a",
        "..",
        "x/.s3pull-x.part",
    ];
    server.put_patterns(keys, 10);
    let list = keys.map(|key| format!("s3://bucket/{key}\n")).concat();
    let run = server
        .s3pull()
        .stdin(list)
        .args(["-o", "in/out"])
        .run()
        .expect(1);
    assert!(
        run.failed().iter().all(|(_, code)| code == "UnsafeKey"),
        "{:?}",
        run.failed()
    );
    assert_eq!(run.failed().len(), keys.len());
    assert_eq!(
        run.files().keys().collect::<Vec<_>>(),
        ["s3pull-failed.csv"]
    );
    assert_eq!(server.log().len(), 0);
}

#[test]
fn the_list_and_the_csv_are_never_overwritten() {
    let server = Server::start();
    server.put_patterns(
        ["keys.txt", "s3pull-failed.csv", "s3pull-failed.csv.bak"],
        10,
    );
    let list = "keys.txt\ns3pull-failed.csv\ns3pull-failed.csv.bak\n";
    let run = server
        .s3pull()
        .file("keys.txt", list)
        .args(["--keys", "keys.txt"])
        .run()
        .expect(1);
    assert_eq!(run.read("keys.txt"), list.as_bytes());
    let conflict = |key: &str| (key.to_owned(), "PathConflict".to_owned());
    assert_eq!(
        run.failed(),
        [conflict("keys.txt"), conflict("s3pull-failed.csv")]
    );
}

#[test]
fn versions_of_a_key_are_requested_by_id() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    server
        .s3pull()
        .stdin("key,version_id\nk,v1\n")
        .run()
        .expect(0);
    assert!(
        server.log()[0].uri.contains("versionId=v1"),
        "{}",
        server.log()[0].uri
    );
}

#[test]
fn a_file_as_the_output_folder_is_refused_at_once() {
    let server = Server::start();
    let run = server
        .s3pull()
        .file("out", "a file")
        .keys(["k"])
        .args(["-o", "out"])
        .run()
        .expect(2);
    assert!(
        run.stderr
            .contains("`--output out`: it is a file, not a folder"),
        "{}",
        run.stderr
    );
    assert_eq!(server.log().len(), 0);
}
