//! A record of half a list replaces nothing, and is left beside what is there.

use std::io::Write;

use super::{CSV, INCOMPLETE, PARTIAL, assert_says, csv_of, keys_in, last_event, with_open_list};
use crate::harness::{Run, Server, sooner_or_later};

#[test]
fn a_record_of_half_a_list_replaces_nothing_and_is_left_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let old = csv_of(["of an earlier run"]);
    std::fs::write(at(CSV), &old).unwrap();
    let is_left_beside = |args: &[&str]| {
        let server = Server::start();
        let (running, stdin, _gate) = with_open_list(&server, folder.path(), args);
        running.signal("TERM");
        running.signal("INT");
        let run = running.wait_with(stdin);
        assert!(matches!(run.code, Some(130 | 143)), "{:?}", run.code);
        assert_eq!(std::fs::read_to_string(at(CSV)).unwrap(), old);
        // A process that the machine gave no time ends without a word on what follows.
        if !run.stderr.contains("run the same command again") || !run.has_last_words() {
            return false;
        }
        // One of an earlier run is replaced.
        assert_eq!(keys_in(&at(INCOMPLETE)), ["held"]);
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
        true
    };
    for args in [&["-q"] as &[_], &[], &["--json"]] {
        sooner_or_later(|| is_left_beside(args));
    }
}

/// A run whose list of `n` keys, the first of which is held, is also its CSV, and which two signals stop at once; `None` if
/// it had no time to record the list whole, which is still there.
fn recorded_after_two_signals(n: usize) -> Option<Run> {
    let keys: Vec<_> = (0..n).map(|n| format!("k{n}")).collect();
    let list = csv_of(keys.iter().map(String::as_str));
    let server = Server::start();
    server.put_patterns(["k0"], 100);
    let _gate = server.gate("k0");
    let run = server.s3pull().file(CSV, &list);
    let (running, _stdin) = run.args(["--keys", CSV, "-j", "1"]).start();
    server.wait_for_requests(1);
    running.signal("INT");
    running.signal("TERM");
    let run = running.wait();
    let is_stopped = matches!(run.code, Some(130 | 143));
    assert!(is_stopped, "{:?}: {}", run.code, run.stderr);
    if run.folder().join(INCOMPLETE).exists() {
        assert!(run.read(CSV) == list.as_bytes(), "the list was replaced");
        return None;
    }
    assert_eq!(keys_in(&run.folder().join(CSV)).len(), keys.len());
    Some(run).filter(Run::has_ended_in_time)
}

#[test]
fn a_list_that_is_also_the_csv_survives_two_signals() {
    // Whether all of it is read in time depends on the machine.
    recorded_after_two_signals(400_000);
}

/// How soon the machine lets it is not to be foreseen, so that one of several runs is enough.
#[test]
fn a_short_list_is_recorded_whole_after_two_signals() {
    let run = (0..10).find_map(|_| recorded_after_two_signals(2_000));
    let run = run.expect("no list was read to its end");
    assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
}

#[cfg(unix)]
#[test]
fn a_closed_stdout_ends_the_run_but_not_the_reading_of_its_list() {
    let server = Server::start();
    let keys: Vec<_> = (0..20_000).map(|n| format!("k{n}")).collect();
    server.put_patterns(keys.iter().take(2_000).map(String::as_str), 10);
    let command = format!(
        "{{ s3pull --bucket bucket --keys {CSV} --json -j 4 -o out; echo $? >code; }} | head -1"
    );
    let run = server
        .shell(&command)
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
    sooner_or_later(|| {
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
        let is_in_time = run.stderr.contains("s3pull: stopped by ");
        if is_in_time {
            assert_eq!(keys_in(&at("s3pull-failed.csv.incomplete-3")), ["held"]);
            assert_says(&run, "s3pull-failed.csv.incomplete-3");
        }
        is_in_time
    });
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
            assert!(started.elapsed().as_secs() < 180, "{key} is not there");
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
