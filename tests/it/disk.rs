//! A disk that takes no more ends the run at once, and the CSV says so for every row.

#![cfg(target_os = "linux")]

use std::path::Path;
use std::process::Command;

use crate::harness::{Fault, Server};

/// A small file system of its own at a folder, gone when dropped; `None` where mounting is not allowed.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    fn tmpfs(folder: &'a Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(folder).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "s3pull-test"])
            .arg(folder)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        #[expect(clippy::print_stderr, reason = "says why a test tests nothing")]
        {
            eprintln!("skipped: mounting a file system is not allowed here");
        }
        None
    }

    fn remount(&self, options: &str) {
        let options = format!("remount,{options}");
        assert!(
            Command::new("mount")
                .args(["-o", &options])
                .arg(self.0)
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
fn a_full_disk_ends_the_run() {
    let server = Server::start();
    let keys: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    server.put_patterns(keys.iter().map(String::as_str), 1_000_000);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let Some(_mount) = Mount::tmpfs(&out, "size=8m") else {
        return;
    };
    let run = server
        .s3pull()
        .within(folder.path())
        .keys(keys.iter().map(String::as_str))
        .args(["-o", "out", "-j", "2"]);
    let run = run.run().expect(3);
    assert!(
        run.stderr
            .contains("s3pull: error: DiskFull: the disk is full: cannot write"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("bytes are free; make room"),
        "{}",
        run.stderr
    );
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
fn a_large_object_that_does_not_fit_is_known_before_it_is_fetched() {
    let server = Server::start();
    server.put_patterns(["large"], 40_000_000);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let Some(_mount) = Mount::tmpfs(&out, "size=8m") else {
        return;
    };
    // Were it fetched first, this would never end.
    server.script("large", [Fault::Stall(1_000_000)]);
    let run = server
        .s3pull()
        .within(folder.path())
        .keys(["large"])
        .args(["-o", "out"])
        .run()
        .expect(3);
    assert!(
        run.stderr
            .contains("DiskFull: the disk is full: cannot make room for `large`"),
        "{}",
        run.stderr
    );
    assert_eq!(
        run.files()
            .keys()
            .filter(|name| name.starts_with("out/"))
            .count(),
        0,
        "{:?}",
        run.files().keys()
    );
}

#[test]
fn a_read_only_file_system_ends_the_run() {
    let server = Server::start();
    server.put_patterns(["k", "other"], 10);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let Some(mount) = Mount::tmpfs(&out, "size=8m") else {
        return;
    };
    mount.remount("ro");
    let run = server
        .s3pull()
        .within(folder.path())
        .keys(["k", "other"])
        .args(["-o", "out", "-j", "1"])
        .run()
        .expect(3);
    assert!(
        run.stderr.contains("Read-only file system"),
        "{}",
        run.stderr
    );
    assert_eq!(run.failed().len(), 2);
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
