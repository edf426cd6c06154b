//! `--if-exists changed`: a file is kept if it has size and time of its object.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::{Object, Quirks, Run, Server, pattern};

/// When the test server's objects were modified, in seconds since 1970 and as lists say it.
const MODIFIED: u64 = 1_600_000_000;
const TIME: &str = "2020-09-13T12:26:40Z";
const SIZE: usize = 1_000;

/// A server with the object `k`, and a folder with a file at its path.
fn with_file(server: &Server, content: &[u8], seconds: u64) -> tempfile::TempDir {
    server.put_patterns(["k"], SIZE);
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("k"), content, seconds);
    folder
}

fn write(path: &Path, content: &[u8], seconds: u64) {
    std::fs::write(path, content).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let time: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds) + Duration::from_millis(300);
    file.set_modified(time).unwrap();
}

fn run(server: &Server, folder: &Path, list: &str) -> Run {
    let run = server.s3pull().within(folder);
    // With one GET at a time none is sent again for being slow.
    let run = run.args(["--if-exists", "changed", "-j", "1"]).stdin(list);
    run.run().expect(0)
}

/// Whether the file was kept, and the number of requests.
fn kept(list: &str, content: &[u8], seconds: u64) -> (bool, usize) {
    let server = Server::start();
    let folder = with_file(&server, content, seconds);
    let planned = server.s3pull().within(folder.path()).stdin(list);
    let planned = planned.args(["--if-exists", "changed", "--dry-run"]);
    let planned = planned.run().expect(0);
    let run = run(&server, folder.path(), list);
    let is_kept = run.read("k") == content;
    assert!(is_kept || run.read("k") == pattern("k", SIZE), "{list}");
    let counts = if is_kept {
        "0 downloaded, 1 skipped"
    } else {
        "1 downloaded, 0 skipped"
    };
    assert!(run.stderr.contains(counts), "{list}: {}", run.stderr);
    let n_requests = server.n_requests("k");
    // A dry run knows what needs no request.
    let is_planned = planned.stdout.contains("k -> k");
    assert_eq!(is_planned, n_requests > 0, "{list}: {}", planned.stdout);
    (is_kept, n_requests)
}

#[test]
fn a_row_with_size_and_time_decides_without_a_request() {
    let file = [b'x'; SIZE];
    for list in [
        format!("key,size,last_modified\nk,{SIZE},{TIME}\n"),
        format!("key,size,last_modified\nk,{SIZE},2020-09-13T12:26:40.999Z\n"),
        format!(
            "{{\"Key\":\"k\",\"Size\":{SIZE},\"LastModified\":\"2020-09-13T14:26:40+02:00\"}}\n"
        ),
        // `aws s3 ls` prints the time of an unknown zone.
        "2020-09-13 12:26:40       1000 k\n".to_owned(),
        "2020-09-13 17:56:40       1000 k\n".to_owned(),
        format!("2020/09/13 12:26:40              {SIZE}  k\n"),
    ] {
        assert_eq!(kept(&list, &file, MODIFIED), (true, 0), "{list}");
    }
}

#[test]
fn what_a_row_does_not_say_is_asked_for_once() {
    let file = [b'x'; SIZE];
    for list in [
        "k\n".to_owned(),
        format!("key,size\nk,{SIZE}\n"),
        format!("key,last_modified\nk,{TIME}\n"),
        // Sizes for people are rounded.
        "2020-09-13 12:26:40 1000.0 KiB k\n".to_owned(),
        // The list is of an earlier or a later time than the object.
        format!("key,size,last_modified\nk,{SIZE},2020-09-13T12:26:41Z\n"),
        format!("key,size,last_modified\nk,5,{TIME}\n"),
        "2020-09-13 12:26:41       1000 k\n".to_owned(),
    ] {
        assert_eq!(kept(&list, &file, MODIFIED), (true, 1), "{list}");
    }
}

#[test]
fn a_file_of_another_time_is_replaced_whether_older_or_newer() {
    let file = [b'x'; SIZE];
    for (list, n_if_older) in [
        // Whether it has the size is asked first.
        ("k\n".to_owned(), 2),
        (format!("key,size\nk,{SIZE}\n"), 1),
        (format!("key,size,last_modified\nk,{SIZE},{TIME}\n"), 1),
    ] {
        let older = kept(&list, &file, MODIFIED - 1);
        assert_eq!(older, (false, n_if_older), "{list}");
        // The first answer says only that the object is not newer.
        assert_eq!(kept(&list, &file, MODIFIED + 3600), (false, 2), "{list}");
    }
}

#[test]
fn a_file_that_was_cut_off_is_replaced_although_it_has_its_time() {
    for list in [
        format!("key,size\nk,{SIZE}\n"),
        format!("key,size,last_modified\nk,{SIZE},{TIME}\n"),
        "2020-09-13 12:26:40       1000 k\n".to_owned(),
    ] {
        for content in [&b""[..], b"cut off"] {
            assert_eq!(kept(&list, content, MODIFIED), (false, 1), "{list}");
        }
    }
    // A file without a byte is never trusted for its time, and no other whose size is not known to be right.
    assert_eq!(kept("k\n", b"", MODIFIED), (false, 1));
    for list in ["k\n".to_owned(), format!("key,last_modified\nk,{TIME}\n")] {
        assert_eq!(kept(&list, b"cut off", MODIFIED), (false, 2), "{list}");
    }
}

#[test]
fn servers_that_do_not_tell_the_time_or_ignore_the_condition_do_not_matter() {
    let file = [b'x'; SIZE];
    let silent = Quirks {
        is_silent_about_time: true,
        ..Quirks::default()
    };
    let ignoring = Quirks {
        ignores_if_modified_since: true,
        ..Quirks::default()
    };
    for (quirks, seconds, is_kept, n_requests) in [
        (silent, MODIFIED, true, 2),
        (silent, MODIFIED + 1, false, 2),
        (ignoring, MODIFIED, true, 1),
        (ignoring, MODIFIED + 1, false, 1),
        (ignoring, MODIFIED - 1, false, 1),
    ] {
        let server = Server::start();
        server.quirks(quirks);
        let folder = with_file(&server, &file, seconds);
        let run = run(&server, folder.path(), &format!("key,size\nk,{SIZE}\n"));
        assert_eq!(run.read("k") == file, is_kept, "{quirks:?} {seconds}");
        assert_eq!(server.n_requests("k"), n_requests, "{quirks:?} {seconds}");
    }
}

#[test]
fn what_s3pull_wrote_is_recognised_and_empty_objects_are_too() {
    let server = Server::start();
    server.put_patterns(["k", "d/large"], 3 << 20);
    server.put("empty", Object::new(""));
    let folder = tempfile::tempdir().unwrap();
    let list = "k\nd/large\nempty\n";
    let first = run(&server, folder.path(), list);
    assert!(first.stderr.contains("3 downloaded"), "{}", first.stderr);
    let n_before = server.log().len();
    let again = run(&server, folder.path(), list);
    assert!(
        again.stderr.contains("0 downloaded, 3 skipped"),
        "{}",
        again.stderr
    );
    assert_eq!(server.log().len() - n_before, 3);
    let names: Vec<_> = again.files().into_keys().collect();
    assert_eq!(names, ["d/large", "empty", "k"]);
}
