//! `--tar`: one archive in place of files, in the order of the list, each member whole and verified.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;
use std::process::Command;
#[cfg(unix)]
use std::time::Duration;

#[cfg(target_os = "linux")]
use crate::harness::SmallDisk;
use crate::harness::{Fault, Gate, Object, Run, S3pull, Server, pattern, skipped, sooner_or_later};
#[cfg(unix)]
use crate::harness::{named_pipe, reader_of};

const MIB: usize = 1024 * 1024;

/// Names and contents of the members, in their order.
fn members(archive: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, content)
    });
    entries.collect()
}

fn names(archive: &[u8]) -> Vec<String> {
    members(archive).into_iter().map(|(name, _)| name).collect()
}

/// Exit code and output of a program that may not be there.
fn read_by(folder: &Path, program: &str, args: &[&str]) -> Option<(Option<i32>, String)> {
    let mut command = Command::new(program);
    let Ok(output) = command.args(args).current_dir(folder).output() else {
        return skipped(&format!("{program} is not installed"));
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some((output.status.code(), text))
}

/// The binary with its stdout in the file `out.tar`.
fn to_stdout(server: &Server, script: &str) -> S3pull {
    S3pull::of("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_s3pull")])
        .args(["--bucket", "bucket", "--tar", "-"])
        .env("AWS_ENDPOINT_URL_S3", &server.url())
}

/// Objects of many kinds: small ones, empty ones, spooled ones, some in parts, a folder, and names that do not fit.
fn put_all_kinds(server: &Server) -> Vec<(String, usize)> {
    let mut objects: Vec<_> = (0..40)
        .map(|n| (format!("d{}/{n}", n % 3), n * 700))
        .collect();
    objects.extend([
        ("folder/".to_owned(), 0),
        ("spooled".to_owned(), 2 * MIB + 1),
        ("parts".to_owned(), 5 * MIB + 3),
        ("ü/日本".to_owned(), 5),
        ("n".repeat(150), 5),
        (format!("{}/{}", "p".repeat(120), "n".repeat(90)), 5),
        ("last".to_owned(), 511),
    ]);
    for (key, size) in &objects {
        server.put_patterns([key.as_str()], *size);
    }
    objects
}

#[test]
fn members_are_in_the_order_of_the_list_and_the_same_at_any_concurrency() {
    let server = Server::start();
    let objects = put_all_kinds(&server);
    let keys: Vec<_> = objects.iter().map(|(key, _)| key.as_str()).collect();
    let mut archives = Vec::new();
    for concurrency in ["1", "8", "64"] {
        let run = server
            .s3pull()
            .keys(keys.iter().copied())
            .args(["-j", concurrency, "--tar", "a.tar"])
            .args(["--part-size", "1MiB", "--multipart-threshold", "4MiB"])
            .run()
            .expect(0);
        assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
        archives.push((run.read("a.tar"), run));
    }
    let (archive, run) = &archives[0];
    let expected: Vec<_> = objects
        .iter()
        .map(|(key, size)| (key.clone(), pattern(key, *size)))
        .collect();
    assert!(members(archive) == expected);
    assert!(archives.iter().all(|(other, _)| other == archive));
    let lines = keys.join("\n") + "\n";
    let gnu = read_by(
        run.folder(),
        "tar",
        &["--quoting-style=literal", "-tf", "a.tar"],
    );
    if let Some(read) = gnu {
        assert_eq!(read, (Some(0), lines.clone()));
    }
    let script = "import tarfile,sys\nsys.stdout.reconfigure(encoding='utf-8')\nfor m in tarfile.open('a.tar'): print(m.name + '/' * m.isdir()); assert (m.mode, m.uid, m.gid) in ((0o644, 0, 0), (0o755, 0, 0)) and m.mtime == 1600000000";
    if let Some(read) = read_by(run.folder(), "python3", &["-c", script]) {
        assert_eq!(read, (Some(0), lines));
    }
}

#[test]
fn an_archive_on_stdout_is_the_same_as_in_a_file() {
    let server = Server::start();
    let objects = put_all_kinds(&server);
    let keys = || objects.iter().map(|(key, _)| key.as_str());
    let run = server
        .s3pull()
        .keys(keys())
        .args(["--tar", "a.tar"])
        .run()
        .expect(0);
    let piped = to_stdout(&server, "exec \"$0\" \"$@\" > out.tar")
        .keys(keys())
        .args(["--events", "events"])
        .run()
        .expect(0);
    assert!(run.read("a.tar") == piped.read("out.tar"));
    let events = String::from_utf8(piped.read("events")).unwrap();
    // A slow run tells of its progress too.
    let is_of_progress = |line: &&str| line.contains("\"type\":\"progress\"");
    let n_events = events.lines().filter(|line| !is_of_progress(line)).count();
    assert_eq!(n_events, objects.len() + 1);
}

#[test]
fn failed_rows_are_left_out_and_repeated_ones_are_skipped() {
    let server = Server::start();
    server.put_patterns(["a", "b", "c", "other"], 1000);
    let run = server
        .s3pull()
        .file(
            "k.csv",
            "key,dest\na,\nmissing,\nb,\na,\n../x,\nother,b\nb,b/c\nc,\n",
        )
        .args(["--keys", "k.csv", "--tar", "a.tar"])
        .run()
        .expect(1);
    assert_eq!(names(&run.read("a.tar")), ["a", "b", "c"]);
    let failed = run.failed();
    let failed: Vec<_> = failed
        .iter()
        .map(|(key, code)| (key.as_str(), code.as_str()))
        .collect();
    let expected = [
        ("../x", "UnsafeKey"),
        ("b", "PathConflict"),
        ("missing", "NoSuchKey"),
        ("other", "PathConflict"),
    ];
    assert_eq!(failed, expected);
    assert!(
        run.stderr.contains("3 downloaded, 1 skipped, 4 failed"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("--tar retry-a.tar"), "{}", run.stderr);
}

#[test]
fn whatever_breaks_members_are_whole() {
    let server = Server::start();
    let keys = ["cut", "flipped", "refused", "replaced", "large"];
    server.put_patterns(keys, 3000);
    server.put_patterns(["large"], 6 * MIB);
    server.script("cut", [Fault::Cut(100)]);
    server.script("flipped", [Fault::Flip(50)]);
    server.script("refused", [Fault::Status(503, "SlowDown")]);
    server.script("large", [Fault::Cut(2 * MIB as u64)]);
    let newer = Object::new(vec![7; 5000]);
    server.script(
        "replaced",
        [Fault::Cut(10), Fault::Replace(Box::new(newer))],
    );
    let run = server
        .s3pull()
        .keys(keys)
        .args(["--tar", "a.tar", "-j", "3"])
        .run()
        .expect(0);
    let members = members(&run.read("a.tar"));
    let found: Vec<_> = members.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(found, keys);
    for (name, content) in &members {
        let size = if name == "large" { 6 * MIB } else { 3000 };
        let is_newer = name == "replaced" && *content == vec![7; 5000];
        assert!(is_newer || *content == pattern(name, size), "{name}");
    }
}

#[test]
fn a_slow_object_does_not_stop_others_within_the_window() {
    let server = Server::start();
    let keys: Vec<_> = (0..30).map(|n| format!("k{n}")).collect();
    server.put_patterns(keys.iter().map(String::as_str), 1000);
    let gate = server.gate("k0");
    let options = ["-j", "2", "--tar", "a.tar", "--events", "events"];
    let (running, mut stdin) = server.s3pull().args(options).start();
    let lines = keys.join("\n") + "\n";
    std::io::Write::write_all(&mut stdin, lines.as_bytes()).unwrap();
    drop(stdin);
    // Four rows per GET in flight.
    for key in &keys[..8] {
        server.wait_for_requests_of(key, 1);
    }
    let partial = running.folder().join("a.tar.incomplete");
    assert_eq!(std::fs::metadata(partial).unwrap().len(), 0);
    // The first one, which is late, may have been asked for again.
    let asked: BTreeSet<_> = server.log().into_iter().map(|logged| logged.key).collect();
    assert_eq!(asked, keys[..8].iter().cloned().collect());
    gate.open();
    let run = running.wait().expect(0);
    assert_eq!(names(&run.read("a.tar")), keys);
}

/// The archive that an early end left cannot be read to its end, by anything.
fn assert_broken(run: &Run, name: &str) {
    if let Some((code, _)) = read_by(run.folder(), "tar", &["-tf", name]) {
        assert_eq!(code, Some(2), "tar -tf {name}");
    }
    let script = format!(
        "import tarfile; [0 for m in tarfile.open('{name}')]; tarfile.open('{name}').extractall('x')"
    );
    if let Some((code, _)) = read_by(run.folder(), "python3", &["-c", &script]) {
        assert_eq!(code, Some(1), "python: {name}");
    }
}

#[test]
fn a_run_that_ends_early_leaves_an_archive_on_which_tar_fails() {
    let server = Server::start();
    server.put_patterns(["a", "b", "never"], 1000);
    let keys = ["a", "b", "missing", "never"];
    let options = ["-j", "1", "--max-failures", "1"];
    let run = server
        .s3pull()
        .keys(keys)
        .args(options)
        .args(["--tar", "a.tar"])
        .run()
        .expect(3);
    assert!(!run.folder().join("a.tar").exists());
    let mut archive = run.read("a.tar.incomplete");
    assert_broken(&run, "a.tar.incomplete");
    assert!(run.stderr.contains("left as `"), "{}", run.stderr);
    archive.truncate(archive.len() - 512);
    assert_eq!(names(&archive)[..2], ["a", "b"]);
    let piped = to_stdout(&server, "exec \"$0\" \"$@\" > out.tar");
    let piped = piped.keys(keys).args(options).run().expect(3);
    assert_broken(&piped, "out.tar");
}

#[test]
fn a_signal_leaves_a_broken_archive_and_every_other_row_in_the_csv() {
    sooner_or_later(leaves_a_broken_archive);
}

/// Whether the run, after a second signal, had the time to end its archive.
fn leaves_a_broken_archive() -> bool {
    let server = Server::start();
    server.put_patterns(["a", "held", "c", "d"], 1000);
    let _gate = server.gate("held");
    let options = ["-j", "2", "--tar", "a.tar", "--events", "events"];
    let (running, mut stdin) = server.s3pull().args(options).start();
    std::io::Write::write_all(&mut stdin, b"a\nheld\nc\nd\n").unwrap();
    drop(stdin);
    server.wait_for_requests(4);
    running.signal("TERM");
    running.signal("INT");
    let run = running.wait();
    assert!(matches!(run.code, Some(130 | 143)), "{:?}", run.code);
    assert!(!run.folder().join("a.tar").exists());
    let events = String::from_utf8(run.read("events")).unwrap();
    let is_closed = run.stderr.contains("left as `") && events.contains("\"type\":\"summary\"");
    if !is_closed || !run.has_ended_in_time() {
        return false;
    }
    assert_broken(&run, "a.tar.incomplete");
    // Once the one that held them up has failed, the writer may come to the others before the end does.
    let events = events
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let in_archive = events
        .filter(|event: &serde_json::Value| event["status"] == "downloaded")
        .map(|event| event["key"].as_str().unwrap().to_owned());
    let failed: Vec<_> = run.failed().into_iter().map(|(key, _)| key).collect();
    assert!(failed.contains(&"held".to_owned()));
    let mut keys: Vec<_> = failed.into_iter().chain(in_archive).collect();
    keys.sort();
    assert_eq!(keys, ["a", "c", "d", "held"]);
    true
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_run() {
    let server = Server::start();
    let keys: Vec<_> = (0..200).map(|n| format!("k{n}")).collect();
    server.put_patterns(keys.iter().map(String::as_str), 50_000);
    let script = "{ \"$0\" \"$@\"; echo $? >code; } | head -c 1000 >start";
    let run = to_stdout(&server, script)
        .keys(keys.iter().map(String::as_str))
        .args(["--events", "events"])
        .run();
    assert_eq!(run.read("code"), b"3\n", "{}", run.stderr);
    assert!(
        run.stderr.contains("cannot write the archive `-`"),
        "{}",
        run.stderr
    );
    let events = String::from_utf8(run.read("events")).unwrap();
    let n_downloaded = events.matches("\"status\":\"downloaded\"").count();
    assert_eq!(n_downloaded + run.failed().len(), 200);
}

#[test]
fn only_an_archive_is_replaced_and_a_killed_run_replaces_nothing() {
    let server = Server::start();
    server.put_patterns(["a", "held"], 1000);
    let run = server
        .s3pull()
        .keys(["a"])
        .args(["--tar", "a.tar"])
        .run()
        .expect(0);
    let first = run.read("a.tar");
    let gate = server.gate("held");
    let again = server
        .s3pull()
        .again(&run)
        .args(["--tar", "a.tar", "a", "held"]);
    let (mut running, _stdin) = again.start();
    server.wait_for_requests(3);
    running.kill();
    drop(running);
    assert!(run.read("a.tar") == first);
    gate.open();
    let other = server
        .s3pull()
        .again(&run)
        .args(["--tar", "a.tar", "held"])
        .run()
        .expect(0);
    assert_eq!(names(&other.read("a.tar")), ["held"]);
    let list = "a\n".repeat(300);
    let run = server
        .s3pull()
        .file("k.txt", &list)
        .args(["--keys", "k.txt", "--tar", "k.txt"])
        .run()
        .expect(2);
    assert_eq!(run.read("k.txt"), list.as_bytes());
    assert!(
        run.stderr
            .contains("`k.txt` exists and is not a tar archive"),
        "{}",
        run.stderr
    );
}

#[test]
fn samples_are_never_split_over_shards_and_each_shard_has_its_index() {
    let server = Server::start();
    let keys: Vec<_> = (0..10)
        .flat_map(|n| ["jpg", "json"].map(|suffix| format!("d/{n}.{suffix}")))
        .collect();
    server.put_patterns(keys.iter().map(String::as_str), 1000);
    server.put_patterns(["large.bin"], 2 * MIB);
    let list = keys.iter().map(String::as_str).chain(["large.bin"]);
    let run = server
        .s3pull()
        .keys(list.clone())
        .args(["--tar", "t-%03d.tar", "--tar-size", "6k", "--tar-index"])
        .run()
        .expect(0);
    // A sample has 3 KiB with its headers, so that two of them fit.
    let mut expected: Vec<Vec<_>> = keys.chunks(4).map(<[String]>::to_vec).collect();
    expected.push(vec!["large.bin".to_owned()]);
    assert_eq!(run.files().len(), 12, "{:?}", run.files().keys());
    for (n, expected) in expected.iter().enumerate() {
        let shard = run.read(&format!("t-{n:03}.tar"));
        assert_eq!(names(&shard), *expected, "{n}");
        let index = run.read(&format!("t-{n:03}.csv"));
        let rows: Vec<_> = csv::Reader::from_reader(index.as_slice())
            .into_records()
            .map(Result::unwrap)
            .collect();
        assert_eq!(rows.len(), expected.len());
        for (row, (name, content)) in rows.iter().zip(members(&shard)) {
            let (start, size): (usize, usize) = (row[1].parse().unwrap(), row[2].parse().unwrap());
            assert_eq!((&row[0], size), (name.as_str(), content.len()));
            assert!(shard[start..start + size] == content, "{name}");
            let crc = crc_fast::crc64_nvme(&content).to_be_bytes();
            assert_eq!(&row[3], base64_simd::STANDARD.encode_to_string(crc));
        }
    }
    let counted = server
        .s3pull()
        .keys(list)
        .args(["--tar", "c-%d.tar", "--tar-count", "4"])
        .run()
        .expect(0);
    let sizes = (0..3).map(|n| names(&counted.read(&format!("c-{n}.tar"))).len());
    assert_eq!(sizes.collect::<Vec<_>>(), [8, 8, 5]);
}

#[test]
fn an_index_replaces_no_list_and_shards_need_a_number() {
    let server = Server::start();
    server.put_patterns(["a"], 10);
    let run = server
        .s3pull()
        .file("a.csv", "key\na\n")
        .args(["--keys", "a.csv", "--tar", "a.tar", "--tar-index"])
        .run()
        .expect(2);
    assert_eq!(run.read("a.csv"), b"key\na\n");
    for (args, named) in [
        (
            &["--tar", "a.tar", "--tar-size", "1g"][..],
            "train-%06d.tar",
        ),
        (&["--tar", "a-%06d.tar"], "--tar-size SIZE"),
        (&["--tar", "-", "--tar-index"], "--tar-index"),
        (&["--tar-count", "5"], "--tar"),
    ] {
        let run = S3pull::new()
            .args(["--bucket", "b", "k"])
            .args(args.iter().copied());
        let run = run.run().expect(2);
        assert!(run.stderr.contains(named), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn a_run_without_a_member_leaves_the_archive_that_is_there() {
    let server = Server::start();
    server.put_patterns(["a"], 10);
    let options = ["--tar", "a.tar", "--tar-index"];
    let run = server.s3pull().args(options).arg("a").run().expect(0);
    let before = run.files();
    for (keys, code) in [(&["missing"][..], 1), (&[], 0)] {
        let again = server.s3pull().again(&run).keys(keys.iter().copied());
        let again = again.args(options).run().expect(code);
        let mut after = again.files();
        after.remove("s3pull-failed.csv");
        assert!(after == before, "{:?}", after.keys());
    }
    let empty = server.s3pull().keys([]).args(options).run().expect(0);
    assert_eq!(empty.read("a.tar"), [0; 1024]);
}

#[test]
fn a_large_object_that_holds_up_the_line_gets_the_permits_of_those_that_wait_for_it() {
    let server = Server::start();
    let keys: Vec<_> = (0..40).map(|n| format!("k{n}")).collect();
    server.put_patterns(keys.iter().map(String::as_str), 100);
    server.put_patterns(["k0"], 4 * MIB);
    let gate = Gate::closed();
    server.script("k0", [Fault::Hold(1, gate.clone())]);
    let (running, mut stdin) = server
        .s3pull()
        .args(["--tar", "a.tar", "-j", "4", "--timeout", "600"])
        .args(["--part-size", "1MiB", "--multipart-threshold", "2MiB"])
        .start();
    std::io::Write::write_all(&mut stdin, (keys.join("\n") + "\n").as_bytes()).unwrap();
    drop(stdin);
    // A part of it is asked for while its first GET is held.
    server.wait_for_requests_of("k0", 2);
    gate.open();
    let run = running.wait().expect(0);
    assert!(names(&run.read("a.tar")) == keys);
}

#[test]
fn options_that_have_no_meaning_for_an_archive_are_refused_by_name() {
    for (tar, args, named) in [
        ("a.tar", &["-o", "out"][..], "--output"),
        ("a.tar", &["--if-exists", "skip"], "--if-exists"),
        ("a.tar", &["--dry-run"], "--dry-run"),
        ("-", &["--sync"], "--sync"),
        ("-", &["--json"], "--events FILE"),
    ] {
        let run = S3pull::new()
            .args(["--bucket", "b", "--tar", tar, "k"])
            .args(args.iter().copied())
            .run()
            .expect(2);
        assert!(run.stderr.contains(named), "{args:?}: {}", run.stderr);
        assert_eq!(run.files().len(), 0);
    }
    let check = S3pull::new()
        .args(["check", "--bucket", "b", "--tar", "a.tar", "k"])
        .run()
        .expect(2);
    assert!(check.stderr.contains("'--tar <FILE>'"), "{}", check.stderr);
    let spool = S3pull::new()
        .args(["--bucket", "b", "--spool", ".", "k"])
        .run()
        .expect(2);
    assert!(spool.stderr.contains("--tar"), "{}", spool.stderr);
}

#[test]
fn what_a_bucket_lists_goes_into_an_archive_under_the_names_of_a_template() {
    let server = Server::start();
    server.put_patterns(["p/2", "p/1", "p/no", "q"], 700);
    server.put_patterns(["p/large"], 3 * MIB);
    let run = server
        .s3pull()
        .args(["--prefix", "p/", "--exclude", "no", "--tar", "a.tar"])
        .args(["--path", "{bucket}/{name}"])
        .run()
        .expect(0);
    let expected = [("1", 700), ("2", 700), ("large", 3 * MIB)].map(|(name, size)| {
        let content = pattern(&format!("p/{name}"), size);
        (format!("bucket/{name}"), content)
    });
    assert!(members(&run.read("a.tar")) == expected, "{}", run.stderr);
}

#[test]
fn an_archive_goes_to_a_device_and_a_spool_that_takes_no_file_ends_the_run() {
    let server = Server::start();
    server.put_patterns(["a"], 2 * MIB);
    server
        .s3pull()
        .keys(["a"])
        .args(["--tar", "/dev/null"])
        .run()
        .expect(0);
    let run = server
        .s3pull()
        .keys(["a"])
        .args(["--tar", "a.tar", "--spool", "nowhere"])
        .run()
        .expect(3);
    assert!(run.stderr.contains("in `nowhere`"), "{}", run.stderr);
    assert_eq!(
        run.files().keys().collect::<Vec<_>>(),
        ["s3pull-failed.csv"]
    );
}

#[test]
fn an_index_has_the_name_of_neither_an_archive_nor_another_index() {
    let server = Server::start();
    server.put_patterns(["a", "b"], 1000);
    for (tar, archives, indexes) in [
        ("x.csv", &["x.csv"][..], &["x.csv.csv"][..]),
        ("x", &["x"], &["x.csv"]),
        ("x.TAR", &["x.TAR"], &["x.csv"]),
        ("x.%03d", &["x.000", "x.001"], &["x.000.csv", "x.001.csv"]),
    ] {
        let run = server.s3pull().keys(["a", "b"]);
        let mut run = run.args(["--tar", tar, "--tar-index"]);
        if archives.len() > 1 {
            run = run.args(["--tar-count", "1"]);
        }
        let run = run.run().expect(0);
        let found: Vec<_> = archives
            .iter()
            .flat_map(|name| names(&run.read(name)))
            .collect();
        assert_eq!(found, ["a", "b"], "{tar}");
        for name in indexes {
            assert!(run.read(name).starts_with(b"path,offset,"), "{name}");
        }
        assert_eq!(run.files().len(), archives.len() + indexes.len());
    }
}

#[test]
fn what_came_to_the_path_of_an_archive_or_its_index_during_the_run_stays() {
    let server = Server::start();
    server.put_patterns(["a", "held"], 1000);
    for (name, left) in [
        (
            "x.tar",
            "the archive is whole, and was left as `x.tar.incomplete`",
        ),
        (
            "x.csv",
            "the archive is incomplete, and was left as `x.tar.incomplete`",
        ),
    ] {
        let n_before = server.log().len();
        let gate = server.gate("held");
        let run = server.s3pull().args(["--tar", "x.tar", "--tar-index"]);
        let (running, _stdin) = run.args(["a", "held"]).start();
        server.wait_for_requests(n_before + 2);
        std::fs::write(running.folder().join(name), "mine").unwrap();
        gate.open();
        let run = running.wait().expect(3);
        assert_eq!(run.read(name), b"mine");
        let said = format!("`{name}` was put there meanwhile");
        assert!(run.stderr.contains(&said), "{}", run.stderr);
        assert!(run.stderr.contains(left), "{}", run.stderr);
        let mut archive = run.read("x.tar.incomplete");
        archive.truncate(2 * 1536);
        assert_eq!(names(&archive), ["a", "held"]);
    }
}

#[test]
fn a_shard_that_cannot_be_begun_ends_the_run_with_its_cause() {
    let server = Server::start();
    server.put_patterns(["a", "b"], 1000);
    let run = server.s3pull().file("x-1", "mine").keys(["a", "b"]);
    let run = run.args(["--tar", "x-%d", "--tar-count", "1"]);
    let run = run.run().expect(3);
    assert!(
        run.stderr
            .contains("error: WriteFailed: `x-1` exists and is not a tar archive"),
        "{}",
        run.stderr
    );
    // The shard before it is whole.
    assert!(!run.stderr.contains("incomplete"), "{}", run.stderr);
    assert_eq!(names(&run.read("x-0")), ["a"]);
    assert_eq!(run.read("x-1"), b"mine");
    assert_eq!(run.failed(), [("b".to_owned(), "WriteFailed".to_owned())]);
}

#[test]
fn what_an_earlier_run_left_is_not_written_to_under_its_other_names() {
    let server = Server::start();
    server.put_patterns(["a", "b"], 1000);
    let index = ["--tar-index", "--tar"];
    let run = server.s3pull().args(index).args(["x.tar", "a"]);
    let run = run.run().expect(0);
    let at = |name: &str| run.folder().join(name);
    for (kept, partial) in [("x.tar", "y.tar.incomplete"), ("x.csv", "y.csv.incomplete")] {
        std::fs::hard_link(at(kept), at(partial)).unwrap();
    }
    let before = (run.read("x.tar"), run.read("x.csv"));
    let again = server.s3pull().again(&run).args(index).args(["y.tar", "b"]);
    again.run().expect(0);
    assert!((run.read("x.tar"), run.read("x.csv")) == before);
    assert_eq!(names(&run.read("y.tar")), ["b"]);
}

#[cfg(target_os = "linux")]
#[test]
fn an_archive_on_a_full_disk_ends_in_its_last_whole_member_and_tar_fails_on_it() {
    let server = Server::start();
    let keys: Vec<_> = (0..100).map(|n| format!("k{n}")).collect();
    // In the second case the disk is full where a member ends, so that there is no room for a header.
    for size in [10_000, 4096 - 512] {
        server.put_patterns(keys.iter().map(String::as_str), size);
        let Some(disk) = SmallDisk::of("128k") else {
            return;
        };
        let run = server.s3pull().keys(keys.iter().map(String::as_str));
        let tar = disk.at("x.tar");
        let run = run.args(["-j", "1", "--events", "events", "--tar"]);
        let run = run.arg(tar.as_os_str()).run().expect(3);
        assert!(
            run.stderr
                .contains("error: DiskFull: cannot write the archive"),
            "{}",
            run.stderr
        );
        assert!(run.stderr.contains("x.tar.incomplete`"), "{}", run.stderr);
        let partial = disk.at("x.tar.incomplete");
        let archive = std::fs::read(&partial).unwrap();
        assert!(!tar.exists() && !archive.is_empty());
        let member = size.next_multiple_of(512) + 512;
        // Each member that is there counts as downloaded, and every other row is in the CSV.
        let events = String::from_utf8(run.read("events")).unwrap();
        let n_downloaded = events.matches("\"status\":\"downloaded\"").count();
        assert_eq!(run.failed().len() + n_downloaded, keys.len());
        let n_members = (archive.len() + 1) / member;
        assert_eq!(n_members, n_downloaded, "{}", archive.len());
        for (n, key) in keys.iter().take(n_members).enumerate() {
            let content =
                &archive[n * member + 512..][..size.min(archive.len() - n * member - 512)];
            assert!(pattern(key, size).starts_with(content), "{key}");
        }
        assert_broken(&run, partial.to_str().unwrap());
    }
}

/// The same holds for a file, should its disk hang.
#[cfg(unix)]
#[test]
fn a_pipe_that_nobody_reads_does_not_hold_up_the_end_after_a_signal() {
    let server = Server::start();
    let keys: Vec<_> = (0..40).map(|n| format!("k{n}")).collect();
    server.put_patterns(keys.iter().map(String::as_str), 400_000);
    for signals in [&["TERM"][..], &["TERM", "INT"]] {
        let folder = tempfile::tempdir().unwrap();
        let pipe = named_pipe(folder.path());
        let reader = reader_of(&pipe);
        let n_before = server.log().len();
        let run = server.s3pull().within(folder.path());
        let run = run.args(["-j", "4", "--tar", "pipe"]);
        let (mut running, mut stdin) = run.start();
        std::io::Write::write_all(&mut stdin, (keys.join("\n") + "\n").as_bytes()).unwrap();
        drop(stdin);
        server.wait_for_requests(n_before + 4);
        running.signal_and_wait(signals[0]);
        if let Some(second) = signals.get(1) {
            running.signal(second);
        }
        let (ended, has_ended) = std::sync::mpsc::channel::<()>();
        let closing = std::thread::spawn(move || {
            // Should the run wait for its reader after all, this ends it.
            let _ = has_ended.recv_timeout(Duration::from_mins(2));
            drop(reader);
        });
        let run = running.wait();
        drop(ended);
        closing.join().unwrap();
        assert!(matches!(run.code, Some(130 | 143)), "{:?}", run.code);
        assert!(!run.stderr.contains("Broken pipe"), "{}", run.stderr);
        if signals.len() == 1 {
            assert_eq!(run.failed().len(), keys.len(), "{}", run.stderr);
            assert!(run.stderr.contains("took nothing more"), "{}", run.stderr);
        }
    }
}
