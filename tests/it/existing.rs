//! What happens to files that are there already.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::{Fault, Object, Quirks, S3pull, Server, pattern};

/// When the test server's objects were modified.
fn modified() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_600_000_000)
}

fn set_time(path: &Path, time: SystemTime) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(time).unwrap();
}

fn newer(server: &Server, folder: &Path) -> S3pull {
    server
        .s3pull()
        .within(folder)
        .args(["--if-exists", "newer", "-v"])
}

#[test]
fn existing_files_are_replaced_or_kept_without_a_request() {
    let server = Server::start();
    server.put_patterns(["k", "new"], 1_000);
    let kept = server
        .s3pull()
        .file("k", "old")
        .keys(["k", "new"])
        .args(["--if-exists", "skip"])
        .run()
        .expect(0);
    assert_eq!(kept.read("k"), b"old");
    assert_eq!(server.n_requests("k"), 0);
    assert!(
        kept.stderr.contains("1 downloaded, 1 skipped, 0 failed"),
        "{}",
        kept.stderr
    );
    let replaced = server.s3pull().again(&kept).keys(["k"]).run().expect(0);
    assert_eq!(replaced.read("k"), pattern("k", 1_000));
}

#[test]
fn skip_keeps_only_a_file_of_the_size_that_the_row_gives() {
    let server = Server::start();
    server.put_patterns(["same", "other", "unknown"], 1_000);
    let old = "x".repeat(1_000);
    let start = || {
        server
            .s3pull()
            .file("same", &old)
            .file("other", "cut off")
            .file("unknown", "cut off")
            .file("keys.csv", "key,size\nsame,1000\nother,1000\nunknown,\n")
            .args(["--keys", "keys.csv", "--if-exists", "skip"])
    };
    let planned = start().arg("--dry-run").run().expect(0);
    assert_eq!(planned.stdout, "other -> other\n");
    let run = start().run().expect(0);
    assert_eq!(run.read("same"), old.as_bytes());
    assert_eq!(run.read("other"), pattern("other", 1_000));
    assert_eq!(run.read("unknown"), b"cut off");
    assert_eq!(server.log().len(), 1);
}

#[test]
fn a_file_that_is_kept_has_nothing_of_a_killed_run_beside_it() {
    let server = Server::start();
    server.put_patterns(["k", "d/k"], 1_000);
    for (mode, left) in [
        ("skip", ["part", "journal"].as_slice()),
        ("skip", &["journal"]),
        ("newer", &["part"]),
        ("newer", &["part", "journal"]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("d")).unwrap();
        for key in ["k", "d/k"] {
            let file = folder.path().join(key);
            std::fs::write(&file, "old").unwrap();
            for suffix in left {
                let name = format!(".s3pull-k.{suffix}");
                std::fs::write(file.with_file_name(name), "left").unwrap();
            }
        }
        let run = server
            .s3pull()
            .within(folder.path())
            .keys(["k", "d/k"])
            .args(["--if-exists", mode])
            .run()
            .expect(0);
        assert_eq!(
            run.files().into_keys().collect::<Vec<_>>(),
            ["d/k", "k"],
            "{mode} {left:?}"
        );
        assert_eq!(run.read("d/k"), b"old");
    }
}

#[test]
fn newer_replaces_what_is_older_than_its_object_with_one_get_each() {
    let server = Server::start();
    server.put_patterns(["older", "same", "newer", "none"], 1_000);
    let folder = tempfile::tempdir().unwrap();
    let second = Duration::from_secs(1);
    for (name, time) in [
        ("older", modified() - second),
        ("same", modified()),
        // Fractions of the file's time do not count.
        ("newer", modified() + second / 2),
    ] {
        std::fs::write(folder.path().join(name), "old").unwrap();
        set_time(&folder.path().join(name), time);
    }
    for ignores_if_modified_since in [false, true] {
        server.quirks(Quirks {
            ignores_if_modified_since,
            ..Quirks::default()
        });
        std::fs::write(folder.path().join("older"), "old").unwrap();
        set_time(&folder.path().join("older"), modified() - second);
        let n_before = server.log().len();
        let keys = ["older", "same", "newer", "none"];
        let run = newer(&server, folder.path()).keys(keys).run().expect(0);
        assert_eq!(run.read("older"), pattern("older", 1_000));
        assert_eq!(run.read("none"), pattern("none", 1_000));
        assert_eq!(
            (run.read("same"), run.read("newer")),
            (b"old".into(), b"old".into())
        );
        assert!(
            run.stderr.contains("skipped same (not modified)"),
            "{}",
            run.stderr
        );
        run.expect_requests(server.log().len() - n_before, 4);
    }
    let of = |key: &str| server.log().into_iter().find(|logged| logged.key == key);
    let condition = |key: &str| of(key).unwrap().headers.get("if-modified-since").cloned();
    assert_eq!(condition("newer").unwrap(), "Sun, 13 Sep 2020 12:26:40 GMT");
    assert_eq!(condition("none"), None);
}

#[test]
fn an_answer_that_was_not_asked_for_is_dropped_before_its_body() {
    let server = Server::start();
    server.put_patterns(["k"], 1_000_000);
    server.quirks(Quirks {
        ignores_if_modified_since: true,
        ..Quirks::default()
    });
    // If it were read, this would fail after the longest silence.
    server.script("k", [Fault::Stall(10)]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("k"), "old").unwrap();
    let run = newer(&server, folder.path()).keys(["k"]);
    let run = run
        .args(["--timeout", "20", "--max-attempts", "1"])
        .run()
        .expect(0);
    assert_eq!(run.read("k"), b"old");
}

#[test]
fn a_304_that_was_not_asked_for_is_a_failure() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    server.script("k", [Fault::Status(304, "")]);
    let run = server.s3pull().keys(["k"]).run().expect(1);
    assert_eq!(run.failed(), [("k".to_owned(), "Http304".to_owned())]);
}

#[test]
fn a_large_object_that_is_newer_comes_in_parts_and_goes_on_after_a_break() {
    let server = Server::start();
    let size = 9 * 1024 * 1024 + 5;
    server.put_patterns(["k"], size);
    server.script("k", [Fault::Cut(300_000)]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("k"), "old").unwrap();
    set_time(&folder.path().join("k"), UNIX_EPOCH);
    let run = newer(&server, folder.path())
        .args(["--part-size", "1MiB", "--multipart-threshold", "2MiB"])
        .keys(["k"])
        .run()
        .expect(0);
    assert!(run.read("k") == pattern("k", size), "the bytes differ");
    // The condition is for the whole object: a part that is asked for on it might not come.
    for request in server.log() {
        let is_conditional = request.headers.contains_key("if-modified-since");
        assert_ne!(is_conditional, request.headers.contains_key("range"));
    }
    assert!(server.log().len() > 1);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_fails_its_key_and_stays_in_every_mode() {
    use std::os::unix::fs::FileTypeExt;
    let server = Server::start();
    server.put_patterns(["folder", "pipe", "file/below"], 10);
    server.put("file/", Object::new(""));
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("out/folder")).unwrap();
    std::fs::write(folder.path().join("out/file"), "old").unwrap();
    let pipe = folder.path().join("out/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    for mode in ["skip", "newer", "overwrite"] {
        let run = server
            .s3pull()
            .within(folder.path())
            .keys(["folder", "pipe", "file/below", "file/"])
            .args(["-o", "out", "--if-exists", mode])
            .run()
            .expect(1);
        let conflicts = ["file/", "file/below", "folder", "pipe"];
        assert_eq!(
            run.failed(),
            conflicts.map(|key| (key.to_owned(), "PathConflict".to_owned())),
            "{mode}"
        );
        assert!(
            run.stderr
                .contains("a named pipe is where the file `pipe` would go"),
            "{}",
            run.stderr
        );
        assert!(
            std::fs::symlink_metadata(&pipe)
                .unwrap()
                .file_type()
                .is_fifo()
        );
        assert_eq!(run.read("out/file"), b"old");
        // Only the folder marker has to be asked for.
        if mode != "overwrite" {
            assert_eq!(
                server.n_requests("pipe") + server.n_requests("folder"),
                0,
                "{mode}"
            );
        }
    }
}

#[cfg(unix)]
#[test]
fn a_symlink_counts_as_what_it_leads_to_or_as_itself_where_that_is_outside() {
    let server = Server::start();
    server.put_patterns(["inside", "outside", "dangling"], 10);
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(folder.path().join("d")).unwrap();
    std::fs::write(folder.path().join("d/target"), "kept").unwrap();
    std::fs::write(other.path().join("target"), "kept").unwrap();
    let link = |target: &Path, name: &str| {
        std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
    };
    link(Path::new("d/target"), "inside");
    link(&other.path().join("target"), "outside");
    link(Path::new("nowhere"), "dangling");
    for mode in ["skip", "newer"] {
        let run = server
            .s3pull()
            .within(folder.path())
            .keys(["inside", "outside", "dangling"])
            .args(["--if-exists", mode])
            .run()
            .expect(0);
        assert_eq!(
            (run.read("inside"), run.read("outside")),
            (b"kept".into(), b"kept".into())
        );
        assert_eq!(run.read("dangling"), pattern("dangling", 10));
    }
}

#[cfg(unix)]
#[test]
fn a_new_file_keeps_nothing_of_the_old_one_and_its_mode_follows_the_umask() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start();
    server.put_patterns(["k", "d/large"], 3_000_000);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mode = |name: &str| std::fs::metadata(at(name)).unwrap().permissions().mode() & 0o7777;
    std::fs::write(at("k"), "old").unwrap();
    std::fs::hard_link(at("k"), at("other link")).unwrap();
    std::fs::set_permissions(at("k"), std::fs::Permissions::from_mode(0o4777)).unwrap();
    let command = "umask 027 && exec \"$0\" \"$@\"";
    let shell = S3pull::of("sh").args(["-c", command, env!("CARGO_BIN_EXE_s3pull")]);
    let run = shell
        .within(folder.path())
        .env("AWS_ENDPOINT_URL_S3", &server.url())
        .args([
            "--bucket",
            "bucket",
            "--part-size",
            "1MiB",
            "--multipart-threshold",
            "2MiB",
        ])
        .keys(["k", "d/large"])
        .run()
        .expect(0);
    assert!(run.read("k") == pattern("k", 3_000_000));
    assert_eq!(run.read("other link"), b"old");
    assert_eq!(mode("other link"), 0o4777);
    assert_eq!(
        (mode("k"), mode("d/large"), mode("d")),
        (0o640, 0o640, 0o750)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_looked_at_is_never_replaced_and_fails_its_row_without_a_request() {
    let server = Server::start();
    server.put_patterns(["k", "d/k"], 10);
    for (mode, error) in [
        ("skip", "EIO"),
        ("skip", "ESTALE"),
        ("skip", "EACCES"),
        ("skip", "ELOOP"),
        ("skip", "ENAMETOOLONG"),
        ("newer", "EIO"),
        ("newer", "ESTALE"),
    ] {
        for key in ["k", "d/k"] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join(key);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, "old").unwrap();
            // Only what is asked of that very path fails.
            let injection = format!("inject=openat2,openat,statx,newfstatat:error={error}");
            let Some(run) = server.s3pull_with_faults(&["-P", key, "-e", &injection]) else {
                return;
            };
            let run = run.within(folder.path()).args(["--if-exists", mode]);
            let run = run.keys([key]).run().expect(1);
            assert_eq!(run.read(key), b"old", "{mode} {error} {key}");
            assert_eq!(server.n_requests(key), 0, "{mode} {error} {key}");
            assert!(run.stderr.contains("failed: "), "{}", run.stderr);
        }
    }
}
