//! Keys become paths by the rules, and two keys never become the same file.

use crate::harness::{Fault, Object, S3pull, Server, pattern, version_of};

const EACH_CONCURRENCY: [&str; 3] = ["1", "2", "64"];

fn conflict(key: &str) -> (String, String) {
    (key.to_owned(), "PathConflict".to_owned())
}

/// A run whose list has one version per row.
fn versions(server: &Server, rows: &[(&str, &str)]) -> S3pull {
    let rows = rows.iter().map(|(key, id)| format!("{key},{id}\n"));
    let list: String = std::iter::once("key,version_id\n".to_owned())
        .chain(rows)
        .collect();
    server.s3pull().stdin(list)
}

fn put_version(server: &Server, key: &str, id: &str, body: &str) {
    server.put(&version_of(key, id), Object::new(body.to_owned()));
}

#[test]
fn a_prefix_is_removed_and_keys_without_it_fail() {
    let server = Server::start();
    server.put_patterns(["p/a", "p/d/b", "other"], 10);
    server.put("p/", Object::new(""));
    let run = server
        .s3pull()
        .keys(["p/", "p/a", "p/d/b", "other"])
        .args(["--strip-prefix", "p/", "-o", "out"])
        .run()
        .expect(1);
    assert_eq!(run.read("out/a"), pattern("p/a", 10));
    assert_eq!(run.read("out/d/b"), pattern("p/d/b", 10));
    assert_eq!(
        run.failed(),
        [("other".to_owned(), "InvalidKey".to_owned())]
    );
    assert!(
        run.stderr.contains("which `--strip-prefix` takes off"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("--strip-prefix p/ --keys s3pull-failed.csv"),
        "{}",
        run.stderr
    );
    assert_eq!(server.n_requests("other"), 0);
}

#[test]
fn unsafe_keys_are_encoded_if_asked_for() {
    let server = Server::start();
    let long = format!("{}%", "l".repeat(300));
    let slashes = "/".repeat(1_023) + "e";
    let percents = "%".repeat(1_024);
    let deep = "../".repeat(341);
    let keys = [
        ("../evil", "%2E%2E/evil"),
        ("/etc/passwd", "%/etc/passwd"),
        ("a//b", "a/%/b"),
        ("100%", "100%25"),
        (".s3pull-k.part", "%2Es3pull-k.part"),
        ("plain/k", "plain/k"),
        (
            &long,
            &format!("{}%/{}%25", "l".repeat(244), "l".repeat(56)),
        ),
        (&slashes, &("%/".repeat(1_023) + "e")),
        (
            &percents,
            &(0..12)
                .map(|_| "%25".repeat(81) + "%/")
                .chain(["%25".repeat(52)])
                .collect::<String>(),
        ),
    ];
    server.put_patterns(keys.map(|(key, _)| key), 10);
    server.put(&deep, Object::new(""));
    let rows = keys.iter().flat_map(|(key, _)| ["s3://bucket/", key, "\n"]);
    let list: String = rows.collect();
    let run = server
        .s3pull()
        .stdin(format!("{list}s3://bucket/{deep}\n"))
        .args(["-o", "out", "--unsafe-keys", "encode"])
        .run()
        .expect(0);
    for (key, path) in keys {
        assert_eq!(run.read(&format!("out/{path}")), pattern(key, 10), "{key}");
    }
    assert!(
        run.folder()
            .join("out")
            .join("%2E%2E/".repeat(341))
            .is_dir()
    );
    assert_eq!(run.files().len(), keys.len());
}

#[test]
fn a_file_where_a_folder_is_needed_is_a_conflict_in_either_order() {
    let server = Server::start();
    server.put_patterns(["a", "a/b"], 10);
    server.put("a/", Object::new(""));
    for keys in [["a", "a/b"], ["a/b", "a"], ["a", "a/"], ["a/", "a"]] {
        let run = server.s3pull().keys(keys).args(["-j", "1"]).run().expect(1);
        assert_eq!(run.failed(), [conflict(keys[1])]);
        assert_eq!(run.folder().join("a").is_file(), keys[0] == "a", "{keys:?}");
        // When both are in flight at once, either may finish first.
        let run = server
            .s3pull()
            .keys(keys)
            .args(["-j", "64"])
            .run()
            .expect(1);
        let failed = run.failed();
        assert!(
            failed == [conflict(keys[0])] || failed == [conflict(keys[1])],
            "{failed:?}"
        );
        let is_file = failed[0].0 != "a";
        assert_eq!(
            run.folder().join("a").is_file(),
            is_file,
            "{keys:?}: {failed:?}"
        );
    }
}

#[test]
fn a_repeated_key_conflicts_only_if_its_object_changed_meanwhile() {
    let server = Server::start();
    server.put_patterns(["k"], 1_000);
    let again = |server: &Server| server.s3pull().keys(["k", "k"]).args(["-j", "1"]).run();
    again(&server).expect(0);
    // The second request, which the second row makes, gets another object.
    server.script(
        "k",
        [
            Fault::Header("x-nothing", "new"),
            Fault::Replace(Box::new(Object::new("changed"))),
        ],
    );
    let run = again(&server).expect(1);
    assert_eq!(run.failed(), [conflict("k")]);
    assert_eq!(run.read("k"), pattern("k", 1_000));
    assert!(
        run.stderr
            .contains("another version of this one, was written to `k` in this run"),
        "{}",
        run.stderr
    );
    assert_eq!(run.files().len(), 2, "{:?}", run.files().keys());
    // A later run replaces the file, however soon it starts.
    let later = server.s3pull().again(&run).keys(["k"]).run().expect(0);
    assert_eq!(later.read("k"), b"changed");
}

#[test]
fn the_first_of_two_versions_stays_at_any_concurrency() {
    let server = Server::start();
    put_version(&server, "k", "v1", "first");
    put_version(&server, "k", "v2", "second");
    put_version(&server, "k", "v3", "first");
    for concurrency in EACH_CONCURRENCY {
        let rows = [("k", "v1"), ("k", "v2"), ("k", "v3"), ("k", "v1")];
        let run = versions(&server, &rows)
            .args(["-j", concurrency])
            .run()
            .expect(1);
        assert_eq!(run.failed(), [conflict("k")], "-j {concurrency}");
        let csv = String::from_utf8(run.read("s3pull-failed.csv")).unwrap();
        assert!(csv.contains("\nk,bucket,v2,PathConflict,"), "{csv}");
        assert_eq!(run.read("k"), b"first");
    }
}

#[test]
fn a_row_that_waits_for_a_path_continues_if_the_first_row_fails() {
    let server = Server::start();
    put_version(&server, "k", "v2", "second");
    for concurrency in EACH_CONCURRENCY {
        let rows = [("k", "v1"), ("k", "v1"), ("k", "v2")];
        let run = versions(&server, &rows)
            .args(["-j", concurrency])
            .run()
            .expect(1);
        let missing = ("k".to_owned(), "NoSuchKey".to_owned());
        assert_eq!(run.failed(), [missing.clone(), missing], "-j {concurrency}");
        assert_eq!(run.read("k"), b"second");
    }
}

#[test]
fn rows_that_wait_for_a_path_are_not_tried_after_a_stop() {
    let server = Server::start();
    put_version(&server, "k", "v1", "first");
    let gate = server.gate("k");
    let (mut running, mut stdin) = server.s3pull().args(["-j", "8", "-v"]).start();
    let list = "key,version_id\nk,v1\nk,v2\nk,v3\nk,v1\n";
    std::io::Write::write_all(&mut stdin, list.as_bytes()).unwrap();
    drop(stdin);
    server.wait_for_requests(1);
    // What is running is given up after five seconds.
    running.signal_and_wait("TERM");
    let run = running.wait().expect(143);
    let codes: Vec<_> = run.failed().into_iter().map(|(_, code)| code).collect();
    assert_eq!(
        codes,
        ["Interrupted", "Interrupted", "NotAttempted", "NotAttempted"]
    );
    assert_eq!(server.n_requests("k"), 1);
    gate.open();
}

#[test]
fn a_row_whose_turn_comes_as_the_run_ends_is_not_tried() {
    let server = Server::start();
    server.script("k", [Fault::Status(403, "InvalidAccessKeyId")]);
    let rows = [("k", "v1"), ("k", "v2"), ("k", "v3")];
    let run = versions(&server, &rows).args(["-j", "8"]).run().expect(3);
    let codes: Vec<_> = run.failed().into_iter().map(|(_, code)| code).collect();
    assert_eq!(
        codes,
        ["InvalidAccessKeyId", "NotAttempted", "NotAttempted"]
    );
    assert_eq!(server.n_requests("k"), 1);
}

#[cfg(unix)]
#[test]
fn a_symlink_inside_the_folder_works_without_a_second_file() {
    let server = Server::start();
    server.put_patterns(["real/k", "alias/k", "alias/new"], 10);
    server.put("alias/same", Object::new("same"));
    server.put("real/same", Object::new("same"));
    let keys = ["real/k", "alias/k", "alias/new", "real/same", "alias/same"];
    for concurrency in EACH_CONCURRENCY {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("out/real")).unwrap();
        std::os::unix::fs::symlink("real", folder.path().join("out/alias")).unwrap();
        let run =
            server
                .s3pull()
                .within(folder.path())
                .keys(keys)
                .args(["-o", "out", "-j", concurrency]);
        let run = run.run().expect(1);
        assert_eq!(run.read("out/real/new"), pattern("alias/new", 10));
        assert_eq!(run.read("out/real/same"), b"same");
        let kept = run.read("out/real/k");
        assert!(kept == pattern("real/k", 10) || kept == pattern("alias/k", 10));
        let failed = run.failed();
        if concurrency == "1" {
            assert_eq!(failed, [conflict("alias/k")]);
        }
        let n_k = failed.iter().filter(|(key, _)| key.ends_with("/k")).count();
        assert_eq!(n_k, 1, "{failed:?}");
        assert!(
            failed.iter().all(|(_, code)| code == "PathConflict"),
            "{failed:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn large_objects_with_the_same_file_conflict_and_leave_nothing_behind() {
    let server = Server::start();
    server.put_patterns(["real/k", "alias/k"], 5_000_000);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", folder.path().join("alias")).unwrap();
    let run = server
        .s3pull()
        .within(folder.path())
        .keys(["real/k", "alias/k"])
        .args([
            "-j",
            "1",
            "--part-size",
            "1MiB",
            "--multipart-threshold",
            "2MiB",
        ])
        .run()
        .expect(1);
    assert_eq!(run.failed(), [conflict("alias/k")]);
    assert!(run.read("real/k") == pattern("real/k", 5_000_000));
    let names: Vec<_> = std::fs::read_dir(folder.path().join("real"))
        .unwrap()
        .collect();
    assert_eq!(names.len(), 1, "{names:?}");
}
