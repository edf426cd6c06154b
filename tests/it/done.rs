//! `--done`: what was downloaded or kept is noted, is an input for a check without requests, and can be skipped.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::{Duration, Instant};

#[cfg(target_os = "linux")]
use crate::harness::SmallDisk;
use crate::harness::{Fault, Object, Run, S3pull, Server, pattern};

const HEADER: &str =
    "key,bucket,version_id,size,etag,dest,last_modified,md5,sha256,sha1,crc32,crc32c,crc64nvme\n";
const MIB: usize = 1024 * 1024;
const ODD: &str = "x,\"y\"\nz";

/// The rows of a done file by their key: the columns by their name.
fn noted(run: &Run, name: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let bytes = run.read(name);
    assert!(bytes.starts_with(HEADER.as_bytes()), "{}", run.stderr);
    let mut reader = csv::Reader::from_reader(bytes.as_slice());
    let header = reader.headers().unwrap().clone();
    let rows = reader.records().map(|row| {
        let row = row.unwrap();
        let columns = header.iter().zip(&row);
        let columns = columns.map(|(name, value)| (name.to_owned(), value.to_owned()));
        (row[0].to_owned(), columns.collect())
    });
    rows.collect()
}

/// A check by a done file, which has neither a bucket nor credentials.
fn check_offline(run: &Run, args: &[&str]) -> Run {
    let check = S3pull::new()
        .again(run)
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .args(["check", "--offline", "--keys", "done.csv"])
        .args(args.iter().copied());
    check.run()
}

/// Downloads objects of many kinds to `out`.
fn download(server: &Server) -> Run {
    server.put_patterns(["a", "d/e", ODD], 1000);
    server.put_patterns(["large"], 5 * MIB + 1);
    let sha = Object::new(pattern("sha", 1000)).with_checksums(&["sha256", "crc32"]);
    server.put("sha", sha);
    let composite = |key: &str, size| Object {
        checksum_type: Some("COMPOSITE"),
        ..Object::new(pattern(key, size))
    };
    server.put("composite", composite("composite", 1000));
    server.put("composite-large", composite("composite-large", 3 * MIB));
    server.put("folder/", Object::new(""));
    let keys = [
        "a",
        "d/e",
        ODD,
        "large",
        "sha",
        "composite",
        "composite-large",
        "folder/",
        "missing",
    ];
    let run = server.s3pull().stdin(keys.join("\0") + "\0");
    let run = run.args(["--keys-format", "null", "-o", "out", "--done", "done.csv"]);
    let run = run.args(["--multipart-threshold", "2MiB", "--part-size", "1MiB"]);
    run.run().expect(1)
}

#[test]
fn what_was_downloaded_is_noted_and_checked_again_without_a_request() {
    let server = Server::start();
    let run = download(&server);
    let rows = noted(&run, "done.csv");
    let keys: Vec<_> = rows.keys().map(String::as_str).collect();
    let expected = [
        "a",
        "composite",
        "composite-large",
        "d/e",
        "folder/",
        "large",
        "sha",
        ODD,
    ];
    assert_eq!(keys, expected);
    for (key, row) in &rows {
        assert_eq!((&row["bucket"][..], &row["dest"]), ("bucket", key));
        assert_eq!(row["last_modified"], "2020-09-13T12:26:40Z");
        assert!(!row["etag"].is_empty());
        let checksums = ["md5", "sha256", "sha1", "crc32", "crc32c", "crc64nvme"];
        let known: Vec<_> = checksums
            .iter()
            .filter(|name| !row[**name].is_empty())
            .collect();
        match key.as_str() {
            "folder/" => assert!(known.is_empty(), "{row:?}"),
            "sha" => assert!(known.len() == 1 && known[0] != &"crc64nvme", "{row:?}"),
            key => {
                let content = run.read(&format!("out/{key}"));
                assert_eq!(row["size"], content.len().to_string(), "{key}");
                let crc = format!("{:016x}", crc_fast::crc64_nvme(&content));
                assert_eq!(
                    (known, &row["crc64nvme"]),
                    (vec![&"crc64nvme"], &crc),
                    "{key}"
                );
            }
        }
    }
    let n_requests = server.log().len();
    let right = check_offline(&run, &["-o", "out"]).expect(0);
    assert!(
        right.stderr.contains("checked: 8 right, 0 wrong"),
        "{}",
        right.stderr
    );

    // What is wrong is found, whatever its size and time say.
    let at = |name: &str| run.folder().join("out").join(name);
    let time = std::fs::metadata(at("large")).unwrap().modified().unwrap();
    let mut spoilt = run.read("out/large");
    spoilt[3 * MIB] ^= 1;
    std::fs::write(at("large"), spoilt).unwrap();
    let large = std::fs::File::options()
        .write(true)
        .open(at("large"))
        .unwrap();
    large.set_modified(time).unwrap();
    std::fs::write(at("composite"), "cut off").unwrap();
    std::fs::remove_file(at("d/e")).unwrap();
    let wrong = check_offline(&run, &["-o", "out"]).expect(1);
    let failed = [
        ("composite", "Different"),
        ("d/e", "Missing"),
        ("large", "Different"),
    ];
    assert_eq!(
        wrong.failed(),
        failed.map(|(key, code)| (key.to_owned(), code.to_owned()))
    );
    assert_eq!(server.log().len(), n_requests);
}

#[test]
fn what_is_done_is_skipped_wherever_its_file_is_by_now() {
    let server = Server::start();
    server.put_patterns(["a", "b", "new"], 1000);
    let done = ["--done", "done.csv", "--skip-done"];
    let run = server.s3pull().args(done).keys(["a", "b"]).run().expect(0);
    let before = run.read("done.csv");
    std::fs::remove_file(run.folder().join("a")).unwrap();
    let n_requests = server.log().len();
    let again = server.s3pull().again(&run).args(done).arg("--json");
    let again = again.keys(["b", "a"]).run().expect(0);
    assert!(
        again.stderr.contains("0 downloaded, 2 skipped"),
        "{}",
        again.stderr
    );
    assert_eq!(again.stdout.matches("\"reason\":\"done\"").count(), 2);
    assert_eq!(
        (server.log().len(), again.read("done.csv")),
        (n_requests, before.clone())
    );

    // Another object, another path or another key is not done.
    let list = "key,size,dest\na,1000,\na,1000,elsewhere\nb,999,\nnew,,\n";
    let planned = server.s3pull().again(&run).args(done).stdin(list);
    let planned = planned.arg("--dry-run").run().expect(0);
    assert_eq!(planned.stdout, "a -> elsewhere\nb -> b\nnew -> new\n");
    assert_eq!(planned.read("done.csv"), before);
    let other = server.s3pull().again(&run).args(done).stdin(list);
    let other = other.run().expect(0);
    assert!(
        other.stderr.contains("3 downloaded, 1 skipped"),
        "{}",
        other.stderr
    );
    let after = other.read("done.csv");
    assert!(after.starts_with(&before));
    assert_eq!(after.split(|byte| *byte == b'\n').count(), 7);
    // Without the option, everything is fetched and noted again.
    let all = server.s3pull().again(&run).args(["--done", "done.csv"]);
    let all = all.keys(["a"]).run().expect(0);
    assert!(all.stderr.contains("1 downloaded"), "{}", all.stderr);
}

#[test]
fn half_a_row_of_a_killed_run_is_cut_off_and_its_key_fetched_again() {
    let server = Server::start();
    server.put_patterns(["a", "held", ODD], 1000);
    let gate = server.gate("held");
    let args = ["--done", "done.csv", "--skip-done", "--keys-format", "null"];
    let (mut running, mut stdin) = server.s3pull().args(args).start();
    stdin.write_all(b"a\0held\0").unwrap();
    let path = running.folder().join("done.csv");
    let is_noted = || std::fs::read(&path).is_ok_and(|bytes| bytes.len() > HEADER.len());
    let started = Instant::now();
    while !is_noted() {
        assert!(started.elapsed() < Duration::from_mins(3));
        std::thread::yield_now();
    }
    // Two runs never add to one file.
    let other = server.s3pull().within(running.folder()).args(args).arg("a");
    let other = other.run().expect(3);
    assert!(
        other
            .stderr
            .contains("another s3pull is writing `done.csv`"),
        "{}",
        other.stderr
    );
    running.kill();
    gate.open();
    let folder = tempfile::tempdir().unwrap();
    let whole = std::fs::read(&path).unwrap();
    let half = [&whole[..], b"\"x,\"\"y\"\"\nz"].concat();
    std::fs::write(folder.path().join("done.csv"), half).unwrap();
    drop(running);
    let run = || server.s3pull().within(folder.path()).args(args);
    let nothing = run().stdin("a\0").run().expect(0);
    let said = "the last row of `done.csv` was not whole";
    assert!(nothing.stderr.contains(said), "{}", nothing.stderr);
    assert!(nothing.read("done.csv") == whole);
    let run = run().stdin(format!("a\0held\0{ODD}\0"));
    let run = run.run().expect(0);
    assert!(
        run.stderr.contains("2 downloaded, 1 skipped"),
        "{}",
        run.stderr
    );
    let rows = noted(&run, "done.csv");
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["a", "held", ODD]);
}

#[test]
fn what_was_kept_is_noted_with_what_is_known_of_it() {
    let server = Server::start();
    let listed = "key,size,md5\nlisted,1000,00000000000000000000000000000000\n";
    server.put_patterns(["listed", "verified"], 1000);
    let mode = |mode, list: &str| {
        let run = server
            .s3pull()
            .args(["--if-exists", mode, "--done", "done.csv"]);
        let run = run.file("listed", pattern("listed", 1000));
        let run = run.file("verified", pattern("verified", 1000)).stdin(list);
        noted(&run.run().expect(0), "done.csv")
    };
    let verified = mode("verify", "verified\n");
    let crc = format!("{:016x}", crc_fast::crc64_nvme(&pattern("verified", 1000)));
    assert_eq!(verified["verified"]["crc64nvme"], crc);
    assert_eq!(verified["verified"]["size"], "1000");
    let skipped = mode("skip", listed);
    assert_eq!(skipped["listed"]["md5"], "0".repeat(32));
    assert_eq!(skipped["listed"]["size"], "1000");
    let unknown = mode("skip", "verified\n");
    assert_eq!(unknown["verified"]["size"], "");
}

#[test]
fn where_nothing_was_hashed_nothing_is_noted_and_nothing_counts_as_right() {
    let server = Server::start();
    server.put_patterns(["small"], 1000);
    server.put_patterns(["large"], 3 * MIB);
    server.put("empty", Object::new(""));
    let run = server
        .s3pull()
        .args(["--verify", "off", "--done", "done.csv"]);
    let run = run.args(["--multipart-threshold", "2MiB", "--part-size", "1MiB"]);
    let run = run.keys(["small", "large", "empty"]).run().expect(0);
    for (key, row) in noted(&run, "done.csv") {
        assert_eq!(row["crc64nvme"], "", "{key}");
    }
    let checked = check_offline(&run, &[]).expect(1);
    let failed = [("large", "Unverifiable"), ("small", "Unverifiable")];
    assert_eq!(
        checked.failed(),
        failed.map(|(key, code)| (key.to_owned(), code.to_owned()))
    );
}

#[test]
fn nothing_but_a_done_file_is_added_to_and_it_is_never_overwritten() {
    let server = Server::start();
    server.put_patterns(["k", "done.csv"], 10);
    let foreign = "key,size\nk,10\n";
    for (file, args, named) in [
        (
            "other.csv",
            &["--done", "other.csv"][..],
            "is not a done file",
        ),
        (
            "list.csv",
            &["--done", "list.csv", "--keys", "list.csv"],
            "is a key list",
        ),
        ("x", &["--done", "."], "is not a plain file"),
        ("x", &["--done", "/dev/null"], "is not a plain file"),
        (
            "x",
            &["--done", "d.csv", "--failed", "d.csv"],
            "name one file",
        ),
        ("x", &["--skip-done"], "--done"),
        (
            "x",
            &["--done", "d.csv", "--tar", "a.tar"],
            "`--done` cannot be used with `--tar",
        ),
    ] {
        let run = server.s3pull().file(file, foreign).arg("k");
        let run = run.args(args.iter().copied());
        let run = run.run().expect(2);
        assert!(run.stderr.contains(named), "{args:?}: {}", run.stderr);
        assert_eq!(run.read(file), foreign.as_bytes());
        assert_eq!(run.files().len(), 1, "{args:?}: {:?}", run.files().keys());
    }
    for (args, named) in [
        (&["--done", "d.csv"][..], "'--done <FILE>'"),
        (&["--offline", "--prefix", "p"], "'--prefix <PREFIX>'"),
        (&["--offline", "--keys", "s3://b/k"], "a list in S3"),
        (&["--offline", "--quick"], "--quick"),
    ] {
        let check = S3pull::new().args(["check", "--bucket", "b"]);
        let check = check.args(args.iter().copied()).run().expect(2);
        assert!(check.stderr.contains(named), "{args:?}: {}", check.stderr);
    }
    let run = server
        .s3pull()
        .args(["--done", "done.csv"])
        .keys(["done.csv", "k"]);
    let run = run.run().expect(1);
    assert_eq!(
        run.failed(),
        [("done.csv".to_owned(), "PathConflict".to_owned())]
    );
    assert_eq!(noted(&run, "done.csv").len(), 1);
}

#[test]
fn of_a_file_that_was_replaced_the_last_row_counts() {
    let server = Server::start();
    server.put_patterns(["replaced", "kept"], 1000);
    let args = ["--if-exists", "changed", "--done", "done.csv"];
    let keys = ["replaced", "kept"];
    let run = server.s3pull().args(args).keys(keys).run().expect(0);
    let mut newer = Object::new(pattern("newer", 700));
    newer.last_modified += Duration::from_hours(1);
    server.put("replaced", newer);
    let again = server.s3pull().again(&run).args(args).keys(keys).run();
    let again = again.expect(0);
    assert!(
        again.stderr.contains("1 downloaded, 1 skipped"),
        "{}",
        again.stderr
    );
    let csv = String::from_utf8(run.read("done.csv")).unwrap();
    // Nothing new is to be said of the file that was kept.
    assert_eq!(csv.lines().count(), 4, "{csv}");
    let right = check_offline(&run, &["--json"]).expect(0);
    assert_eq!(right.stdout.matches("\"reason\":\"superseded\"").count(), 1);
    std::fs::write(run.folder().join("replaced"), pattern("replaced", 1000)).unwrap();
    let wrong = check_offline(&run, &[]).expect(1);
    assert_eq!(
        wrong.failed(),
        [("replaced".to_owned(), "Different".to_owned())]
    );
}

#[test]
fn a_row_that_comes_right_in_a_later_round_is_noted() {
    let server = Server::start();
    server.put_patterns(["k", "other"], 10);
    server.script("k", [Fault::Status(500, "InternalError")]);
    let run = server
        .s3pull()
        .args(["--done", "done.csv", "--retry-failed", "1"]);
    let run = run.args(["--max-attempts", "1"]).keys(["k", "other"]);
    let run = run.run().expect(0);
    run.expect_requests(server.n_requests("k"), 2);
    let rows = noted(&run, "done.csv");
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["k", "other"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_done_file_on_a_full_disk_ends_the_run_and_a_later_one_goes_on_from_its_last_row() {
    let server = Server::start();
    let keys: Vec<_> = (0..100).map(|n| format!("k{n}")).collect();
    server.put_patterns(keys.iter().map(String::as_str), 100);
    let Some(disk) = SmallDisk::of("4k") else {
        return;
    };
    let run = || {
        let run = server.s3pull().keys(keys.iter().map(String::as_str));
        let run = run.args(["-j", "2", "--skip-done", "--done"]);
        run.arg(disk.at("done.csv").as_os_str())
    };
    let first = run().arg("-oout").run().expect(3);
    let said = format!(
        "cannot write the done file `{}`",
        disk.at("done.csv").display()
    );
    assert!(first.stderr.contains(&said), "{}", first.stderr);
    assert!(first.stderr.contains("No space left"), "{}", first.stderr);
    let files = first.files();
    let has_file = |key: &str| files.contains_key(&format!("out/{key}"));
    let failed: Vec<_> = first.failed().into_iter().map(|(key, _)| key).collect();
    // Each row is a file or in the CSV.
    assert!(keys.iter().all(|key| has_file(key) != failed.contains(key)));
    let rows = || {
        let csv = std::fs::read_to_string(disk.at("done.csv")).unwrap();
        assert!(csv.starts_with(HEADER) && csv.ends_with('\n'), "{csv}");
        let keys = csv
            .lines()
            .skip(1)
            .map(|row| row.split(',').next().unwrap());
        keys.map(str::to_owned).collect::<Vec<_>>()
    };
    let noted = rows();
    assert!(!noted.is_empty() && noted.iter().all(|key| has_file(key)));
    disk.mount.remount("size=1m");
    let second = run().again(&first).arg("-oout").run().expect(0);
    let skipped = format!("{} skipped", noted.len());
    assert!(second.stderr.contains(&skipped), "{}", second.stderr);
    let mut all = rows();
    all.sort();
    let mut expected = keys.clone();
    expected.sort();
    assert_eq!(all, expected);
}
