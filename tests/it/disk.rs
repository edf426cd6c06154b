//! File systems other than the tests' own: one that takes no more ends the run at once, and the CSV says so for every
//! row; on one that folds names no file is lost.

#![cfg(target_os = "linux")]

use crate::harness::{Fault, Mount, Run, Server, SmallDisk, pattern, sooner_or_later};

/// The run's warnings.
fn warnings(run: &Run) -> Vec<&str> {
    let lines = run.stderr.lines();
    lines.filter(|line| line.contains("warning:")).collect()
}

#[test]
fn optional_steps_that_the_file_system_refuses_are_a_warning_each_and_every_file_is_there() {
    let server = Server::start();
    let large = 9 * 1024 * 1024 + 5;
    server.put_patterns(["a", "b", "d/c"], 1_000);
    server.put_patterns(["large", "d/large"], large);
    for (calls, errors, expected) in [
        ("flock", ["error=ENOLCK", "error=EINVAL"], "cannot lock"),
        // Refused, and ignored without an error.
        (
            "utimensat",
            ["error=EPERM", "retval=0"],
            "cannot set the time",
        ),
        (
            "fallocate",
            ["error=EINTR", "error=EPERM"],
            "cannot reserve room",
        ),
    ] {
        for error in errors {
            let injection = format!("inject={calls}:{error}");
            let Some(run) = server.s3pull_with_faults(&["-e", &injection]) else {
                return;
            };
            let run = run
                .args([
                    "--part-size",
                    "1MiB",
                    "--multipart-threshold",
                    "2MiB",
                    "-o",
                    "out",
                ])
                .keys(["a", "b", "d/c", "large", "d/large"])
                .run()
                .expect(0);
            let warned = warnings(&run);
            assert!(
                matches!(warned[..], [one] if one.contains(expected)),
                "{injection}: {warned:?}"
            );
            for (key, size) in [
                ("a", 1_000),
                ("d/c", 1_000),
                ("large", large),
                ("d/large", large),
            ] {
                assert!(
                    run.read(&format!("out/{key}")) == pattern(key, size),
                    "{injection} {key}"
                );
            }
            assert_eq!(run.files().len(), 5, "{:?}", run.files().keys());
        }
    }
}

#[test]
fn quiet_runs_keep_quiet_about_optional_steps() {
    let server = Server::start();
    server.put_patterns(["a"], 1_000);
    let faults = [
        "-e",
        "inject=flock:error=ENOLCK",
        "-e",
        "inject=utimensat:error=EPERM",
    ];
    let Some(run) = server.s3pull_with_faults(&faults) else {
        return;
    };
    let run = run.arg("-q").keys(["a"]).run().expect(0);
    assert_eq!(run.stderr, "");
    assert_eq!(run.read("a"), pattern("a", 1_000));
}

#[test]
fn a_disk_that_cannot_be_flushed_is_no_success_with_sync() {
    let server = Server::start();
    server.put_patterns(["a"], 1_000);
    for (options, code) in [(["--sync"].as_slice(), 3), (&[], 0)] {
        let Some(run) = server.s3pull_with_faults(&["-e", "inject=syncfs:error=EIO"]) else {
            return;
        };
        let run = run.args(options.iter().copied()).keys(["a"]);
        let run = run.run().expect(code);
        assert_eq!(run.stderr.contains("cannot flush"), code == 3);
        assert_eq!(run.read("a"), pattern("a", 1_000));
    }
}

#[test]
fn a_rename_that_fails_keeps_a_large_file_for_the_next_run() {
    let server = Server::start();
    let size = 5 * 1024 * 1024 + 5;
    server.put_patterns(["k"], size);
    let faults = ["-e", "inject=rename,renameat,renameat2:error=EIO"];
    let Some(run) = server.s3pull_with_faults(&faults) else {
        return;
    };
    let in_parts = ["--part-size", "1MiB", "--multipart-threshold", "2MiB"];
    let run = run.args(in_parts).keys(["k"]).run();
    assert!(
        run.stderr.contains("kept as `.s3pull-k.part`"),
        "{}",
        run.stderr
    );
    let n_before = server.n_requests("k");
    let next = server.s3pull().again(&run).args(in_parts);
    let next = next.keys(["k"]).run().expect(0);
    assert!(next.read("k") == pattern("k", size));
    // The one that finds out that it is still the same object.
    assert_eq!(server.n_requests("k") - n_before, 1);
}

#[test]
fn an_object_without_room_fails_alone_though_it_comes_as_one_stream() {
    let server = Server::start();
    server.put_patterns(["big"], 20 << 20);
    server.put_patterns(["a", "b", "c"], 1_000);
    // Of such an object no parts can be asked for, and no room is set aside.
    server.script("big", [Fault::Header("etag", "W/\"1\"")]);
    let Some(disk) = SmallDisk::of("8m") else {
        return;
    };
    let run = disk
        .s3pull(&server)
        .args(["-j", "1"])
        .keys(["a", "big", "b", "c"])
        .run()
        .expect(1);
    assert_eq!(run.failed(), [("big".to_owned(), "DiskFull".to_owned())]);
    for key in ["a", "b", "c"] {
        assert_eq!(run.read(&format!("out/{key}")), pattern(key, 1_000));
    }
}

#[test]
fn a_quota_is_called_one_and_fails_its_row() {
    let server = Server::start();
    server.put_patterns(["a"], 1_000);
    let faults = [
        "-e",
        "trace=pwritev,pwritev2,pwrite64",
        "-e",
        "inject=pwritev,pwritev2,pwrite64:error=EDQUOT",
    ];
    let Some(run) = server.s3pull_with_faults(&faults) else {
        return;
    };
    let run = run.keys(["a"]).run().expect(1);
    assert_eq!(run.failed(), [("a".to_owned(), "DiskFull".to_owned())]);
    assert!(
        run.stderr.contains("the disk quota is used up"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_full_disk_ends_the_run() {
    let server = Server::start();
    let keys: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    server.put_patterns(keys.iter().map(String::as_str), 1_000_000);
    let Some(disk) = SmallDisk::of("8m") else {
        return;
    };
    let run = disk.s3pull(&server).args(["-j", "2"]);
    let run = run.keys(keys.iter().map(String::as_str)).run().expect(3);
    assert!(
        run.stderr
            .contains("s3pull: error: DiskFull: the disk is full: cannot write"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains(" free; make room"), "{}", run.stderr);
    let n_whole = run
        .files()
        .keys()
        .filter(|name| name.starts_with("out/"))
        .count();
    assert!((5..=8).contains(&n_whole), "{:?}", run.files().keys());
    assert_eq!(run.failed().len() + n_whole, 40);
    assert!(run.failed().iter().any(|(_, code)| code == "NotAttempted"));
}

#[test]
fn a_disk_without_inodes_is_not_said_to_lack_room() {
    let server = Server::start();
    let keys: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    server.put_patterns(keys.iter().map(String::as_str), 10);
    let Some(disk) = SmallDisk::of("8m,nr_inodes=4") else {
        return;
    };
    let run = disk.s3pull(&server).args(["-j", "1"]);
    let run = run.keys(keys.iter().map(String::as_str)).run().expect(3);
    assert!(
        run.stderr
            .contains("s3pull: error: DiskFull: the disk takes no more files: cannot create"),
        "{}",
        run.stderr
    );
    assert!(!run.stderr.contains(" free"), "{}", run.stderr);
    assert!(run.failed().iter().any(|(_, code)| code == "NotAttempted"));
}

#[test]
fn a_large_object_that_does_not_fit_is_known_before_it_is_fetched_and_fails_alone() {
    let server = Server::start();
    server.put_patterns(["large"], 40_000_000);
    server.put_patterns(["small", "another"], 1_000);
    let Some(disk) = SmallDisk::of("8m") else {
        return;
    };
    // If it were fetched first, this would never end.
    server.script("large", [Fault::Stall(1_000_000)]);
    let run = disk
        .s3pull(&server)
        .keys(["large", "small", "another"])
        .args(["-j", "1"])
        .run()
        .expect(1);
    for said in [
        "failed: large: DiskFull: the disk is full: cannot make room for `large`",
        "8 MiB free, 38.1 MiB needed; make room",
    ] {
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
    assert_eq!(run.stderr.matches("38.1 MiB").count(), 1, "{}", run.stderr);
    assert_eq!(run.failed(), [("large".to_owned(), "DiskFull".to_owned())]);
    let files: Vec<_> = run.files().into_keys().collect();
    assert_eq!(files, ["out/another", "out/small", "s3pull-failed.csv"]);
}

#[test]
fn many_large_objects_that_replace_others_wait_for_room_and_not_for_each_other() {
    let server = Server::start();
    let keys: Vec<_> = (0..8).map(|n| format!("large{n}")).collect();
    let size = 3 << 20;
    server.put_patterns(keys.iter().map(String::as_str), size);
    server.put_patterns(["small"], 200_000);
    // There is room for one more file beside the old ones.
    let Some(disk) = SmallDisk::of("28m") else {
        return;
    };
    for key in &keys {
        std::fs::write(disk.at(key), vec![0; size]).unwrap();
    }
    let run = disk
        .s3pull(&server)
        .keys(keys.iter().map(String::as_str).chain(["small"]))
        .args(["-j", "9"])
        .args(["--part-size", "1MiB", "--multipart-threshold", "2MiB"])
        .run()
        .expect(0);
    for key in &keys {
        assert!(
            run.read(&format!("out/{key}")) == pattern(key, size),
            "{key}"
        );
    }
}

#[test]
fn a_list_that_does_not_fit_is_told_before_the_first_request() {
    let server = Server::start();
    server.put_patterns(["a", "b"], 1_000);
    let Some(disk) = SmallDisk::of("8m") else {
        return;
    };
    let said = "8 MiB free, 39.1 MiB needed for `out`";
    let list = "key,size\na,1000\nb,41000000\n";
    let run = || {
        let run = disk.s3pull(&server).file("keys.csv", list);
        run.args(["-k", "keys.csv", "-vv"])
    };
    // A list is not waited for any longer than for a moment, in which a slow machine may not have counted it.
    sooner_or_later(|| {
        let downloaded = run().run().expect(0);
        std::fs::remove_file(disk.at("a")).unwrap();
        std::fs::remove_file(disk.at("b")).unwrap();
        let requested = downloaded.stderr.find("s3pull: GET").unwrap();
        let warned = downloaded.stderr.find(said);
        let is_in_time = warned.is_some_and(|warned| warned < requested);
        if is_in_time {
            assert_eq!(downloaded.stderr.matches(said).count(), 1);
            assert_eq!(warnings(&downloaded).len(), 1, "{}", downloaded.stderr);
        }
        is_in_time
    });
    let planned = run().arg("--dry-run").run().expect(0);
    assert!(planned.stderr.contains(said), "{}", planned.stderr);

    // What is here already needs no more room.
    std::fs::write(disk.at("b"), vec![0; 7 << 20]).unwrap();
    let list = format!("key,size\na,1000\nb,{}\n", 7 << 20);
    for args in [&[] as &[_], &["--dry-run"]] {
        let run = run().file("keys.csv", &list).args(args.iter().copied());
        let run = run.run().expect(0);
        assert!(!run.stderr.contains("needed"), "{}", run.stderr);
    }
}

#[test]
fn a_read_only_file_system_ends_the_run() {
    let server = Server::start();
    server.put_patterns(["k", "other"], 10);
    let Some(disk) = SmallDisk::of("8m") else {
        return;
    };
    let s3pull = || disk.s3pull(&server).args(["-j", "1"]);
    let gate = server.gate("k");
    let (running, mut stdin) = s3pull().start();
    std::io::Write::write_all(&mut stdin, b"k\nother\n").unwrap();
    drop(stdin);
    server.wait_for_requests(1);
    disk.mount.remount("ro");
    gate.open();
    let run = running.wait().expect(3);
    assert!(
        run.stderr.contains("Read-only file system"),
        "{}",
        run.stderr
    );
    assert_eq!(run.failed().len(), 2);
    // One that is read-only from the start is told before any request.
    let n_requests = server.log().len();
    let again = s3pull().keys(["k", "other"]).run().expect(3);
    assert!(
        again.stderr.contains("cannot use the output folder `out`"),
        "{}",
        again.stderr
    );
    assert_eq!(server.log().len(), n_requests);
}

#[test]
fn an_output_folder_that_vanishes_ends_the_run() {
    let server = Server::start();
    server.put_patterns(["k", "other"], 10);
    let gate = server.gate("k");
    let (running, mut stdin) = server.s3pull().args(["-o", "out", "-j", "1"]).start();
    std::io::Write::write_all(&mut stdin, b"k\nother\n").unwrap();
    drop(stdin);
    server.wait_for_requests(1);
    std::fs::remove_dir(running.folder().join("out")).unwrap();
    gate.open();
    let run = running.wait().expect(3);
    assert!(
        run.stderr
            .contains("OutputFolderGone: the output folder is gone"),
        "{}",
        run.stderr
    );
    assert_eq!(
        run.failed()[1],
        ("other".to_owned(), "NotAttempted".to_owned())
    );
}

#[test]
fn keys_that_differ_by_case_or_normal_form_never_lose_a_file() {
    let server = Server::start();
    let pairs = [["K", "k"], ["d/x", "D/x"], ["\u{e9}", "e\u{301}"]];
    server.put_patterns(pairs.as_flattened().iter().copied(), 1_000);
    let temporary = tempfile::tempdir().unwrap();
    for (n, (pair, concurrency)) in pairs
        .into_iter()
        .flat_map(|pair| [(pair, "1"), (pair, "64")])
        .enumerate()
    {
        let folder = temporary.path().join(n.to_string());
        let Some(_mount) = Mount::folding_case(&folder) else {
            return;
        };
        let run = server
            .s3pull()
            .within(&folder.join("out"))
            .keys(pair)
            .args(["-j", concurrency])
            .run()
            .expect(1);
        let failed = run.failed();
        assert_eq!((failed.len(), failed[0].1.as_str()), (1, "PathConflict"));
        let kept = pair.into_iter().find(|key| *key != failed[0].0).unwrap();
        assert!(
            run.files()
                .into_values()
                .any(|content| content == pattern(kept, 1_000))
        );
    }
}

#[test]
fn the_list_and_the_csv_are_kept_where_names_are_folded() {
    let server = Server::start();
    server.put_patterns(["KEYS.TXT", "S3PULL-FAILED.CSV"], 10);
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("folded");
    let Some(_mount) = Mount::folding_case(&folder) else {
        return;
    };
    let list = "KEYS.TXT\nS3PULL-FAILED.CSV\n";
    let run = server
        .s3pull()
        .within(&folder.join("out"))
        .file("keys.txt", list)
        .args(["--keys", "keys.txt"])
        .run()
        .expect(1);
    assert_eq!(run.read("keys.txt"), list.as_bytes());
    assert!(
        run.failed().iter().all(|(_, code)| code == "PathConflict"),
        "{:?}",
        run.failed()
    );
    assert_eq!(run.failed().len(), 2);
}
