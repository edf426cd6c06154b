//! The files that a run writes itself: each has a name of its own, no list is written to, and a run that cannot start leaves
//! none behind.

use crate::harness::{S3pull, Server};

#[test]
fn no_two_files_that_a_run_writes_are_one() {
    let server = Server::start();
    for (args, named) in [
        (
            &["--done", "x", "--failed", "./x"][..],
            ["--done", "--failed"],
        ),
        (&["--events", "x", "--log", "x"], ["--events", "--log"]),
        (
            &["--events", "x", "--failed", "x"],
            ["--events", "--failed"],
        ),
        (&["--log", "d/../x", "--done", "x"], ["--log", "--done"]),
        (&["--log", "s3pull-failed.csv"], ["--log", "--failed"]),
        (&["--tar", "x", "--failed", "x"], ["--tar", "--failed"]),
        (&["--tar", "x", "--log", "x.incomplete"], ["--tar", "--log"]),
        (
            &["--tar", "x.tar", "--tar-index", "--events", "x.csv"],
            ["--tar-index", "--events"],
        ),
        (
            &["--tar", "x-%d", "--tar-count", "1", "--log", "x-0"],
            ["--tar", "--log"],
        ),
        (&["-o", "x", "--done", "x"], ["--output", "--done"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        let run = server.s3pull().within(folder.path()).keys(["a"]);
        let run = run.args(args.iter().copied()).run().expect(2);
        assert!(
            run.stderr.contains("name one file: give each its own"),
            "{args:?}: {}",
            run.stderr
        );
        for option in named {
            assert!(run.stderr.contains(option), "{args:?}: {}", run.stderr);
        }
        assert_eq!(run.files().len(), 0, "{args:?}: {:?}", run.files().keys());
    }
    assert_eq!(server.log().len(), 0);
}

// Elsewhere `/dev/stdout` is not known to be what it stands for.
#[cfg(target_os = "linux")]
#[test]
fn what_is_written_to_stdout_has_it_to_itself() {
    let server = Server::start();
    for script in [
        "s3pull -b bucket a --tar - --events out >out",
        "s3pull -b bucket a --tar - --failed /dev/stdout >out",
        "s3pull -b bucket a --json --failed out >out",
        "s3pull -b bucket a --json --log /dev/stdout | cat >out; exit ${PIPESTATUS[0]}",
    ] {
        let run = server.shell(script).run().expect(2);
        assert!(run.stderr.contains("name one file"), "{}", run.stderr);
        assert_eq!(run.read("out"), b"");
    }
    server.put_patterns(["a"], 10);
    let both = "s3pull -b bucket a missing --failed out --log /dev/null --events /dev/null >out";
    let run = server.shell(both).run().expect(1);
    assert!(run.read("out").starts_with(b"key,bucket,"));
}

#[cfg(unix)]
#[test]
fn a_list_that_stdin_is_redirected_from_is_not_written_to() {
    let server = Server::start();
    server.put_patterns(["a"], 10);
    let done = "key,bucket,version_id,size,etag,dest,last_modified,md5,sha256,sha1,crc32,crc32c,crc64nvme\n\
        a,bucket,,10,,a,,,,,,,\n";
    for (option, list) in [
        ("--events", "{\"type\":\"object\",\"key\":\"a\"}\n"),
        ("--done", done),
    ] {
        let script = format!("s3pull -b bucket {option} list <list");
        let run = server.shell(&script).file("list", list).run().expect(2);
        let said = format!("`list` is a key list of this run, so `{option}` must name another");
        assert!(run.stderr.contains(&said), "{}", run.stderr);
        assert_eq!(run.read("list"), list.as_bytes());
    }
    assert_eq!(server.log().len(), 0);
}

#[test]
fn own_files_may_be_in_an_output_folder_that_is_not_there_yet() {
    let server = Server::start();
    server.put_patterns(["a", "missing/e"], 10);
    for option in ["--done", "--log", "--events", "--failed"] {
        let run = server.s3pull().keys(["a", "e", "missing"]);
        let run = run.args(["-o", "out", option, "out/e"]).run().expect(1);
        assert!(!run.read("out/e").is_empty(), "{option}");
        assert_eq!(run.read("out/a").len(), 10, "{option}");
    }
}

#[test]
fn a_run_that_cannot_start_leaves_no_file_of_its_own() {
    for args in [
        &["--tar", "x.tar", "--tar-index", "--log", "log"][..],
        &["--done", "done.csv", "--events", "events"],
    ] {
        let run = S3pull::new().args(["-b", "b", "k", "--profile", "nope"]);
        let run = run.args(args.iter().copied()).run().expect(3);
        assert!(run.stderr.contains("`nope`"), "{}", run.stderr);
        assert_eq!(run.files().len(), 0, "{:?}", run.files().keys());
    }
}
