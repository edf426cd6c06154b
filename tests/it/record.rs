//! The failed-keys CSV destroys nothing: not the list that it may be itself, and no file that is not one of its kind.

use std::io::Write;
use std::path::Path;

use crate::harness::{Gate, Run, Running, S3pull, Server};

const HEADER: &str = "key,bucket,version_id,error,status,attempts,request_id,message,size,etag,dest,source,last_modified,md5,sha256,sha1,crc32,crc32c,crc64nvme\n";
const CSV: &str = "s3pull-failed.csv";
const INCOMPLETE: &str = "s3pull-failed.csv.incomplete";

/// A failed-keys CSV of an earlier run.
fn csv_of<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    let rows = keys
        .into_iter()
        .map(|key| format!("{key},bucket,,NotAttempted,,0,,stopped,,,,,\n"));
    HEADER.to_owned() + &rows.collect::<String>()
}

/// The keys of a failed-keys CSV.
fn keys_in(path: &Path) -> Vec<String> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| row[0].to_owned()).collect()
}

fn assert_says(run: &Run, text: &str) {
    assert!(run.stderr.contains(text), "{text:?} in:\n{}", run.stderr);
}

/// A run with an old CSV in its folder, of whose list, a pipe that stays open, the server holds the first key.
fn with_open_list(
    server: &Server,
    folder: &Path,
    args: &[&str],
) -> (Running, std::process::ChildStdin, Gate) {
    server.put_patterns(["held"], 100);
    let gate = server.gate("held");
    let run = server.s3pull().within(folder).args(args.iter().copied());
    let (running, mut stdin) = run.start();
    stdin.write_all(b"held\n").unwrap();
    server.wait_for_requests(1);
    (running, stdin, gate)
}

#[test]
fn a_record_of_half_a_list_replaces_nothing_and_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let old = csv_of(["of an earlier run"]);
    std::fs::write(at(CSV), &old).unwrap();
    for (n_before, args) in [&["-q"] as &[_], &[], &["--json"]].into_iter().enumerate() {
        let server = Server::start();
        let (running, stdin, _gate) = with_open_list(&server, folder.path(), args);
        running.signal("TERM");
        running.signal("INT");
        let run = running.wait_with(stdin);
        assert!(matches!(run.code, Some(130 | 143)), "{:?}", run.code);
        assert_eq!(std::fs::read_to_string(at(CSV)).unwrap(), old);
        // One of an earlier run is replaced.
        assert_eq!(keys_in(&at(INCOMPLETE)), ["held"], "after {n_before} runs");
        assert_eq!(run.files().len(), 2, "{:?}", run.files().keys());
        assert_says(&run, "the key list was not read to its end");
        assert_says(&run, &format!("1 failed row in {INCOMPLETE}"));
        assert_says(&run, "run the same command again");
        assert_says(&run, "`--if-exists skip`");
        assert!(!run.stderr.contains("--keys"), "{}", run.stderr);
        if args.contains(&"--json") {
            let summary = last_event(&run);
            assert_eq!(summary["list_complete"], false);
            assert_eq!(summary["failed_keys"], INCOMPLETE);
        }
    }
}

#[test]
fn a_list_that_is_also_the_csv_survives_two_signals() {
    let keys: Vec<_> = (0..400_000).map(|n| format!("k{n}")).collect();
    let list = csv_of(keys.iter().map(String::as_str));
    let server = Server::start();
    server.put_patterns(["k0"], 100);
    let _gate = server.gate("k0");
    let (running, _stdin) = server
        .s3pull()
        .file(CSV, &list)
        .args(["--keys", CSV, "-j", "1", "-q"])
        .start();
    server.wait_for_requests(1);
    running.signal("INT");
    running.signal("TERM");
    let run = running.wait();
    assert!(matches!(run.code, Some(130 | 143)), "{:?}", run.code);
    if run.folder().join(INCOMPLETE).exists() {
        assert!(run.read(CSV) == list.as_bytes(), "the list was replaced");
    } else {
        assert_eq!(keys_in(&run.folder().join(CSV)).len(), keys.len());
    }
}

/// How soon the machine lets it is not to be foreseen, so that one of several runs is enough.
#[test]
fn a_short_list_is_recorded_whole_after_two_signals() {
    let server = Server::start();
    server.put_patterns(["k0"], 100);
    let keys: Vec<_> = (0..2_000).map(|n| format!("k{n}")).collect();
    let list = csv_of(keys.iter().map(String::as_str));
    let is_recorded = |n_before: usize| {
        let _gate = server.gate("k0");
        let run = server.s3pull().file(CSV, &list);
        let (running, _stdin) = run.args(["--keys", CSV, "-j", "1"]).start();
        server.wait_for_requests(n_before + 1);
        running.signal("INT");
        running.signal("TERM");
        let run = running.wait();
        assert!(matches!(run.code, Some(130 | 143)), "{:?}", run.code);
        if run.folder().join(INCOMPLETE).exists() {
            assert!(run.read(CSV) == list.as_bytes(), "the list was replaced");
            return false;
        }
        assert_eq!(run.failed().len(), 2_000);
        assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
        true
    };
    assert!((0..10).any(is_recorded), "no list was read to its end");
}

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

#[cfg(unix)]
#[test]
fn a_closed_stdout_ends_the_run_but_not_the_reading_of_its_list() {
    let server = Server::start();
    let keys: Vec<_> = (0..20_000).map(|n| format!("k{n}")).collect();
    server.put_patterns(keys.iter().take(2_000).map(String::as_str), 10);
    let command = format!(
        "{{ {} --bucket bucket --keys {CSV} --json -j 4 -o out; echo $? >code; }} | head -1",
        env!("CARGO_BIN_EXE_s3pull")
    );
    let run = S3pull::of("bash")
        .args(["-c", &command])
        .env("AWS_ENDPOINT_URL_S3", &server.url())
        .file(CSV, csv_of(keys.iter().map(String::as_str)))
        .run()
        .expect(0);
    assert_eq!(run.read("code"), b"3\n");
    assert_says(&run, "s3pull: error: cannot print an event: ");
    let n_files = std::fs::read_dir(run.folder().join("out")).unwrap().count();
    assert_eq!(run.failed().len() + n_files, keys.len());
    let not_attempted = run
        .failed()
        .iter()
        .filter(|(_, error)| error == "NotAttempted")
        .count();
    assert!(not_attempted > 10_000, "{not_attempted}");
}

#[test]
fn a_list_that_breaks_half_way_stays_and_so_does_the_csv() {
    use flate2::{Compression, write::GzEncoder};
    let old = csv_of(["of an earlier run"]);
    let many: Vec<_> = (0..1_000).map(|n| format!("missing{n}")).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(many.join("\n").as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let unclosed = csv_of(["missing"]) + "\"" + &"x".repeat(2 << 20);
    let lists: [(&str, &[u8]); 3] = [
        (CSV, unclosed.as_bytes()),
        ("keys.gz", &gzip[..gzip.len() / 2]),
        ("keys.json", b"[{\"Key\":\"missing\"},{\"Key\":"),
    ];
    for (name, list) in lists {
        let server = Server::start();
        let run = server
            .s3pull()
            .file(CSV, &old)
            .file(name, list)
            .args(["--keys", name, "-q"])
            .run()
            .expect(3);
        assert_says(&run, "s3pull: error: cannot read the key list");
        assert_says(&run, INCOMPLETE);
        let expected = if name == CSV { list } else { old.as_bytes() };
        assert!(run.read(CSV) == expected, "{name}: the CSV was replaced");
        assert!(run.read(name) == list, "{name} was replaced");
        assert!(!keys_in(&run.folder().join(INCOMPLETE)).is_empty());
    }
}

#[test]
fn a_list_that_cannot_be_read_at_all_changes_nothing() {
    let server = Server::start();
    let utf16: Vec<_> = [0xff, 0xfe]
        .into_iter()
        .chain("key\n".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    let old = csv_of(["of an earlier run"]);
    let run = server.s3pull().file(CSV, &old).file("keys.txt", utf16);
    let run = run.args(["--keys", "keys.txt"]).run().expect(3);
    assert_eq!(run.read(CSV), old.as_bytes());
    assert_eq!(run.files().len(), 2, "{:?}", run.files().keys());
}

#[test]
fn what_is_at_the_name_of_the_incomplete_record_and_is_not_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let server = Server::start();
    std::fs::write(at(INCOMPLETE), "a file of the user's").unwrap();
    std::fs::create_dir(at("s3pull-failed.csv.incomplete-2")).unwrap();
    let (running, stdin, _gate) = with_open_list(&server, folder.path(), &[]);
    running.signal("TERM");
    running.signal("INT");
    let run = running.wait_with(stdin);
    assert_eq!(run.read(INCOMPLETE), b"a file of the user's");
    assert_eq!(keys_in(&at("s3pull-failed.csv.incomplete-3")), ["held"]);
    assert_says(&run, "s3pull-failed.csv.incomplete-3");
}

#[test]
fn a_list_that_is_an_incomplete_record_is_not_replaced_by_another() {
    let broken = csv_of(["missing"]) + "\"" + &"x".repeat(2 << 20);
    let server = Server::start();
    let run = server.s3pull().file(INCOMPLETE, &broken);
    let run = run.args(["--keys", INCOMPLETE]).run().expect(3);
    assert!(run.read(INCOMPLETE) == broken.as_bytes());
    let beside = run.folder().join("s3pull-failed.csv.incomplete-2");
    assert_eq!(keys_in(&beside), ["missing"]);
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

#[test]
fn a_fatal_error_comes_first_and_alone() {
    let server = Server::start();
    let keys: Vec<_> = (0..20).map(|n| format!("k{n}")).collect();
    for key in &keys {
        server.script(key, [crate::harness::Fault::Status(404, "NoSuchBucket")]);
    }
    let run = server.s3pull().keys(keys.iter().map(String::as_str));
    let run = run.args(["-j", "8"]).run().expect(3);
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
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    server.put_patterns(["a", "held"], 100);
    let gate = server.gate("held");
    let (running, mut stdin) = server
        .s3pull()
        .within(folder.path())
        .args(["-j", "1", "--json"])
        .start();
    stdin.write_all(b"a\nmissing\nheld\n").unwrap();
    server.wait_for_requests(3);
    running.signal("INT");
    running.signal("TERM");
    stdin.write_all(b"x\ny\n").unwrap();
    drop(stdin);
    let run = running.wait();
    drop(gate);
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
}

fn last_event(run: &Run) -> serde_json::Value {
    serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap()
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

/// The run's file that holds the rows until it ends.
const PARTIAL: &str = ".s3pull-s3pull-failed.csv.part";

#[test]
fn each_row_outlives_the_process_as_soon_as_it_failed() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let (mut running, mut stdin, _gate) = with_open_list(&server, folder.path(), &[]);
    for key in ["missing1", "missing2"] {
        writeln!(stdin, "{key}").unwrap();
        let is_there = || {
            let text = std::fs::read_to_string(folder.path().join(PARTIAL)).unwrap_or_default();
            text.contains(&format!("\n{key},"))
        };
        let started = std::time::Instant::now();
        while !is_there() {
            assert!(started.elapsed().as_secs() < 60, "{key} is not there");
            std::thread::yield_now();
        }
    }
    running.kill();
    drop(running.wait_with(stdin));
    assert_eq!(
        keys_in(&folder.path().join(PARTIAL)),
        ["missing1", "missing2"]
    );
}

#[cfg(target_os = "linux")]
mod full_disk {
    use super::*;
    use crate::disk::with_faults;

    fn missing(n: usize) -> Vec<String> {
        (0..n).map(|n| format!("missing{n}")).collect()
    }

    #[test]
    fn a_record_that_cannot_be_whole_ends_in_a_whole_row_and_all_is_told() {
        let server = Server::start();
        // The list is longer than what is kept in memory, and much more than the file may hold.
        for n in [500, 20_000] {
            let command = format!(
                "trap '' XFSZ; ulimit -f 16; exec {} --bucket bucket --json -j 4 --keys -",
                env!("CARGO_BIN_EXE_s3pull")
            );
            let run = S3pull::of("sh")
                .args(["-c", &command])
                .env("AWS_ENDPOINT_URL_S3", &server.url())
                .keys(missing(n).iter().map(String::as_str))
                .run()
                .expect(3);
            assert_says(&run, "s3pull: error: cannot write the failed-keys CSV");
            let left = run.folder().join(INCOMPLETE);
            let n_rows = keys_in(&left).len();
            assert!(n_rows > 10, "{n_rows}");
            assert_says(&run, &format!("{n_rows} failed rows in {INCOMPLETE}"));
            assert!(std::fs::read(left).unwrap().ends_with(b"\n"));
            let summary = last_event(&run);
            assert_eq!(summary["type"], "summary");
            assert_eq!(summary["exit_code"], 3);
            assert_eq!(summary["list_complete"], false);
            assert_eq!(summary["failed_keys"], INCOMPLETE);
            assert_says(&run, "0 downloaded");
        }
    }

    #[test]
    fn rows_for_which_there_was_no_room_are_recorded_once_there_is() {
        let server = Server::start();
        server.put_patterns(["k"], 10);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(PARTIAL);
        let path = path.to_str().unwrap();
        let faults = ["-P", path, "-e", "inject=write:error=ENOSPC:when=2..4"];
        let Some(run) = with_faults(&server, folder.path(), &faults) else {
            return;
        };
        let keys = missing(200);
        let run = run.args(["-j", "4"]).keys(keys.iter().map(String::as_str));
        let run = run.run().expect(3);
        assert_says(
            &run,
            "s3pull: error: cannot write the failed-keys CSV: No space left",
        );
        assert_eq!(run.failed().len(), 200, "{}", run.stderr);
        assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
        assert!(
            run.failed()
                .iter()
                .any(|(_, error)| error == "NotAttempted")
        );
    }

    #[test]
    fn a_record_that_cannot_be_synced_is_not_put_in_place() {
        let server = Server::start();
        let old = csv_of(["of an earlier run"]);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(CSV), &old).unwrap();
        let path = folder.path().join(PARTIAL);
        let path = path.to_str().unwrap();
        let faults = ["-P", path, "-e", "inject=fsync,fdatasync:error=EIO"];
        let Some(run) = with_faults(&server, folder.path(), &faults) else {
            return;
        };
        let run = run.arg("--sync").keys(["missing"]).run().expect(3);
        assert_eq!(run.read(CSV), old.as_bytes());
        assert_eq!(keys_in(&folder.path().join(INCOMPLETE)), ["missing"]);
        assert_says(&run, "Input/output error");
        assert_says(&run, "0 downloaded, 0 skipped, 1 failed");
    }

    #[test]
    fn a_record_that_can_have_no_name_stays_under_its_working_name_and_that_is_told() {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let faults = ["-e", "inject=rename,renameat,renameat2:error=EIO"];
        let Some(run) = with_faults(&server, folder.path(), &faults) else {
            return;
        };
        let run = run.keys(["missing"]).run().expect(3);
        assert_eq!(keys_in(&folder.path().join(PARTIAL)), ["missing"]);
        assert_says(&run, &format!("1 failed row in {PARTIAL}"));
    }
}

/// The rows of a failed-keys CSV, without what differs from run to run.
fn rows_in(path: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names = reader.headers().unwrap().clone();
    let of_the_row = |name: &str| !matches!(name, "request_id" | "source");
    let rows = reader.records().map(Result::unwrap).map(|row| {
        let columns = names.iter().zip(row.iter());
        let columns = columns.filter(|(name, _)| of_the_row(name));
        columns.map(|(_, text)| text.to_owned()).collect()
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    rows.sort();
    rows
}

/// Runs the command that `run` printed.
fn retry(server: &Server, run: &Run) -> Run {
    let command = run
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("  s3pull "));
    let command = format!("{} {}", env!("CARGO_BIN_EXE_s3pull"), command.unwrap());
    S3pull::of("sh")
        .again(run)
        .args(["-c", &command])
        .env("AWS_ENDPOINT_URL_S3", &server.url())
        .run()
}

#[cfg(unix)]
#[test]
fn a_failed_row_keeps_all_it_said_through_every_retry() {
    let server = Server::start();
    let list = "key,bucket,version_id,size,etag,dest,last_modified\n\
                missing,,v1,7,abc,to/there,2024-01-02T03:04:05Z\n\
                other,elsewhere,v2,8,def,d,2024-01-02 03:04:05\n\
                x/../y,bucket,v3,9,ghi,,\n\
                k,,v4,1,,../out,\n\
                bad size,bucket,v5,1.0e3,jkl,e,\n\
                ,bucket,v6,2,mno,f,\n\
                \"line\nbreak, \"\"quoted\"\" \",,v7,3,pqr,g,\n"
        .to_owned()
        + &format!("{},,v8,4,stu,h,\n", "k".repeat(1025))
        + &format!("long,,v9,5,vwx,{},\n", "d".repeat(100_000));
    let folder = tempfile::tempdir().unwrap();
    let first = server.s3pull().within(folder.path()).file("list.csv", list);
    let first = first.args(["--keys", "list.csv", "--key-prefix=p/"]);
    let first = first.run().expect(1);
    let rows = rows_in(&first.folder().join(CSV));
    assert_eq!(rows.len(), 9);
    let of = |code: &str, version: &str| {
        let row = rows.iter().find(|row| row[2] == version).unwrap();
        assert_eq!(row[3], code, "{row:?}");
        row.clone()
    };
    let missing = of("NoSuchKey", "v1");
    assert_eq!(missing[0], "p/missing");
    let time = "2024-01-02T03:04:05Z";
    assert_eq!(
        missing[7..11],
        ["7", "abc", "to/there", time].map(str::to_owned)
    );
    let other = of("WrongBucket", "v2");
    assert_eq!(other[..2], ["p/other", "elsewhere"].map(str::to_owned));
    let local = "2024-01-02 03:04:05";
    assert_eq!(other[7..11], ["8", "def", "d", local].map(str::to_owned));
    assert_eq!(of("UnsafeKey", "v3")[0], "p/x/../y");
    assert_eq!(of("UnsafeKey", "v4")[9], "../out");
    assert_eq!(
        of("NoSuchKey", "v5")[7..11],
        ["1000", "jkl", "e", ""].map(str::to_owned)
    );
    of("InvalidRow", "v9");
    let mut run = first;
    for _ in 0..2 {
        run = retry(&server, &run).expect(1);
        let again = rows_in(&run.folder().join(CSV));
        for (row, again) in rows.iter().zip(&again) {
            // But for the count in the message of a key that was cut.
            let is_same = row == again || row[3] == "InvalidKey" && row[7..] == again[7..];
            assert!(is_same, "{:?}", &again[2..7]);
        }
        assert_eq!(again.len(), rows.len());
    }
}

#[test]
fn a_record_can_be_read_back_whatever_the_row_and_the_server_said() {
    let server = Server::start();
    let message: &str = "m\"".repeat(30_000).leak();
    let code: &str = "C".repeat(2_000).leak();
    server.put_patterns(["k"], 10);
    server.script("k", [crate::harness::Fault::Message(403, code, message)]);
    // As JSON, whose rows may be longer than those of a CSV.
    let long = "\\\"".repeat(1 << 20);
    let list = format!(
        "{{\"Key\":\"k\"}}\n{{\"Key\":\"{long}\"}}\n{{\"Key\":\"a\",\"VersionId\":\"{long}\"}}\n\
         {{\"Key\":\"b\",\"Bucket\":\"{long}\"}}\n"
    );
    let run = server.s3pull().file("list", list).args(["--keys", "list"]);
    let run = run.run().expect(1);
    let codes = |run: &Run| -> Vec<String> {
        run.failed()
            .into_iter()
            .map(|(_, code)| code.chars().take(20).collect())
            .collect()
    };
    let first = codes(&run);
    assert_eq!(first.len(), 4);
    assert!(run.read(CSV).len() < 500_000, "{}", run.read(CSV).len());
    server.script("k", [crate::harness::Fault::Message(403, code, message)]);
    let again = server.s3pull().again(&run).args(["--keys", CSV]);
    let again = again.run().expect(1);
    assert_eq!(codes(&again), first);
    assert!(again.stderr.len() < 100_000, "{}", again.stderr.len());
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

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::process::Command;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::harness::skipped;

    #[test]
    fn a_symlink_stays_and_its_target_is_the_csv() {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("d")).unwrap();
        symlink("d/link", at(CSV)).unwrap();
        symlink("target.csv", at("d/link")).unwrap();
        // At first it leads nowhere, and then to a CSV.
        for key in ["missing", "absent"] {
            let run = server.s3pull().within(folder.path()).keys([key]);
            run.run().expect(1);
            assert_eq!(std::fs::read_link(at(CSV)).unwrap(), Path::new("d/link"));
            assert!(at("d/link").is_symlink() && !at("d/target.csv").is_symlink());
            assert_eq!(keys_in(&at("d/target.csv")), [key]);
        }
        std::fs::write(at("d/target.csv"), "a file of the user's").unwrap();
        let run = server.s3pull().within(folder.path()).keys(["missing"]);
        let run = run.run().expect(2);
        assert_eq!(run.read("d/target.csv"), b"a file of the user's");
        // No key may write what it leads to.
        std::fs::remove_file(at("d/target.csv")).unwrap();
        server.put_patterns(["d/target.csv"], 10);
        let run = server.s3pull().within(folder.path()).keys(["d/target.csv"]);
        let run = run.run().expect(1);
        assert_eq!(run.failed()[0].1, "PathConflict");
    }

    #[test]
    fn a_symlink_to_itself_is_an_error() {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        symlink("loop", folder.path().join("loop")).unwrap();
        let run = server.s3pull().within(folder.path()).keys(["missing"]);
        let run = run.args(["--failed", "loop"]).run().expect(3);
        assert_says(&run, "cannot write the failed-keys CSV `loop`");
    }

    #[test]
    fn a_device_is_written_to_and_stays_a_device() {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("null");
        // The numbers of /dev/null.
        let made = Command::new("mknod")
            .arg(&node)
            .args(["c", "1", "3"])
            .status();
        if !made.is_ok_and(|status| status.success()) || std::fs::write(&node, "").is_err() {
            skipped::<()>("devices cannot be made here");
            return;
        }
        for keys in [&["missing"] as &[_], &[]] {
            let run = server.s3pull().within(folder.path());
            let run = run.keys(keys.iter().copied()).args(["--failed", "null"]);
            let run = run.run();
            assert_eq!(run.code, Some(i32::from(!keys.is_empty())));
            let kind = std::fs::symlink_metadata(&node).unwrap().file_type();
            assert!(kind.is_char_device(), "{kind:?}");
            let names = std::fs::read_dir(folder.path()).unwrap().count();
            assert_eq!(names, 1);
            assert!(!run.stderr.contains("--keys null"), "{}", run.stderr);
        }
    }

    #[test]
    fn a_disk_and_a_socket_are_refused() {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        // A number that no driver has.
        let made = Command::new("mknod")
            .arg(at("disk"))
            .args(["b", "240", "0"])
            .status();
        let has_disk = made.is_ok_and(|status| status.success());
        for name in ["socket", "disk"]
            .into_iter()
            .take(1 + usize::from(has_disk))
        {
            let run = server.s3pull().within(folder.path()).keys(["missing"]);
            let run = run.args(["--failed", name]).run().expect(2);
            assert_says(&run, &format!("`{name}` is a "));
            assert!(!std::fs::symlink_metadata(at(name)).unwrap().is_file());
        }
    }

    fn named_pipe(folder: &Path) -> std::path::PathBuf {
        let pipe = folder.join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        pipe
    }

    #[test]
    fn a_named_pipe_is_written_to() {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let pipe = named_pipe(folder.path());
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read_to_string(pipe).unwrap()
        });
        let run = server.s3pull().within(folder.path()).keys(["missing"]);
        run.args(["--failed", "pipe"]).run().expect(1);
        // Before its reader is waited for, which would never end.
        let kind = std::fs::symlink_metadata(&pipe).unwrap().file_type();
        assert!(kind.is_fifo(), "{kind:?}");
        let text = reader.join().unwrap();
        assert!(text.starts_with(&format!("{HEADER}missing,")), "{text}");
    }

    #[test]
    fn a_named_pipe_whose_reader_stalls_loses_no_row_and_holds_up_no_second_signal() {
        let server = Server::start();
        let keys: Vec<_> = (0..6_000).map(|n| format!("../unsafe{n}")).collect();
        let list: String = keys.join("\n") + "\n";
        for is_stopped in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let pipe = named_pipe(folder.path());
            // As it is for reading and writing, opening it does not wait for the run.
            let mut reader = std::fs::File::options()
                .read(true)
                .write(true)
                .open(&pipe)
                .unwrap();
            let run = server
                .s3pull()
                .within(folder.path())
                .file("keys.txt", &list);
            let run = run.args(["--failed", "pipe", "--keys", "keys.txt"]);
            let (mut running, _stdin) = run.start();
            if is_stopped {
                std::thread::sleep(Duration::from_secs(1));
                running.signal("INT");
                running.signal("TERM");
                let started = Instant::now();
                running.wait_unread();
                assert!(started.elapsed() < Duration::from_secs(5));
                continue;
            }
            let mut text = Vec::new();
            let started = Instant::now();
            while text.split(|byte| *byte == b'\n').count() < keys.len() + 2 {
                let mut buffer = [0; 4096];
                let n = std::io::Read::read(&mut reader, &mut buffer).unwrap();
                text.extend_from_slice(&buffer[..n]);
                assert!(started.elapsed() < Duration::from_mins(1));
            }
            running.wait().expect(1);
            let csv = folder.path().join("read.csv");
            std::fs::write(&csv, text).unwrap();
            assert!(keys_in(&csv) == keys);
        }
    }

    #[test]
    fn a_named_pipe_that_nobody_reads_is_not_waited_for() {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let pipe = named_pipe(folder.path());
        let started = Instant::now();
        let run = server.s3pull().within(folder.path()).keys(["missing"]);
        let (running, stdin) = run.args(["--failed", "pipe"]).start();
        // A run that waits for ever is let go on, so that the test ends.
        let (ended, has_ended) = std::sync::mpsc::channel::<()>();
        let opener = std::thread::spawn(move || {
            let waited = has_ended.recv_timeout(Duration::from_mins(1));
            waited.is_err().then(|| std::fs::read(pipe))
        });
        let run = running.wait_with(stdin);
        ended.send(()).unwrap();
        opener.join().unwrap();
        assert!(started.elapsed() < Duration::from_mins(1));
        assert_eq!(run.code, Some(3), "{}", run.stderr);
        assert_says(&run, "no process reads the named pipe");
        assert_eq!(server.log().len(), 0);
    }

    /// By way of links in the test's own folder, so that a program that replaces what it should write to harms nothing.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_is_open_already_is_written_to_whatever_it_is() {
        let server = Server::start();
        let row = format!("{HEADER}missing,bucket,,NoSuchKey,404,");
        let links = || {
            let folder = tempfile::tempdir().unwrap();
            for n in [1, 2, 5] {
                let link = folder.path().join(format!("fd{n}"));
                symlink(format!("/proc/self/fd/{n}"), link).unwrap();
            }
            folder
        };
        for name in ["fd2", "/proc/self/fd/2"] {
            let folder = links();
            let run = server.s3pull().within(folder.path()).keys(["missing"]);
            let run = run.args(["--failed", name]).run().expect(1);
            assert_says(&run, &row);
            assert!(!run.stderr.contains("--keys"), "{}", run.stderr);
        }
        let folder = links();
        let run = server.s3pull().within(folder.path()).keys(["missing"]);
        let run = run.args(["--failed", "fd1"]).run().expect(1);
        assert!(run.stdout.starts_with(&row), "{}", run.stdout);

        for redirected in [
            "--failed fd2 2>log",
            "--failed log 2>log",
            "--failed fd1 >log",
            "--failed fd5 5>>log",
        ] {
            let folder = links();
            std::fs::write(folder.path().join("log"), "").unwrap();
            let command = format!(
                "{} --bucket bucket missing {redirected}",
                env!("CARGO_BIN_EXE_s3pull")
            );
            let run = S3pull::of("bash")
                .within(folder.path())
                .args(["-c", &command])
                .env("AWS_ENDPOINT_URL_S3", &server.url())
                .run()
                .expect(1);
            let text = String::from_utf8(run.read("log")).unwrap();
            assert!(text.contains(&row), "{redirected}: {text}\n{}", run.stderr);
            if redirected.contains('2') {
                assert!(text.contains("0 downloaded, 0 skipped, 1 failed"), "{text}");
            }
            assert!(folder.path().join("fd5").is_symlink());
        }
    }
}
