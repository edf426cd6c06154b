//! Where the failed-keys CSV goes when its name is not that of a plain file: through symlinks, to devices and to pipes.

use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::{CSV, HEADER, assert_says, keys_in};
use crate::harness::{Server, named_pipe, reader_of, skipped};

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

/// Waits until no more comes, since there is no more room.
fn wait_until_full(pipe: &std::fs::File) {
    let started = Instant::now();
    let (mut last, mut n_equal) = (0, 0);
    while last == 0 || n_equal < 20 {
        assert!(started.elapsed() < Duration::from_mins(3));
        std::thread::sleep(Duration::from_millis(10));
        let now = rustix::io::ioctl_fionread(pipe).unwrap();
        n_equal = if now == last { n_equal + 1 } else { 0 };
        last = now;
    }
}

#[test]
fn a_named_pipe_is_written_to() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let pipe = named_pipe(folder.path());
    let mut reader = reader_of(&pipe);
    let run = server.s3pull().within(folder.path()).keys(["missing"]);
    run.args(["--failed", "pipe"]).run().expect(1);
    let kind = std::fs::symlink_metadata(&pipe).unwrap().file_type();
    assert!(kind.is_fifo(), "{kind:?}");
    // There is room for all of it in the pipe.
    let mut bytes = vec![0; 64 * 1024];
    let n = std::io::Read::read(&mut reader, &mut bytes).unwrap();
    let text = String::from_utf8_lossy(&bytes[..n]);
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
        let mut reader = reader_of(&pipe);
        let run = server
            .s3pull()
            .within(folder.path())
            .file("keys.txt", &list);
        let run = run.args(["--failed", "pipe", "--keys", "keys.txt"]);
        let (mut running, _stdin) = run.start();
        if is_stopped {
            wait_until_full(&reader);
            running.signal("INT");
            running.signal("TERM");
            // It would wait for the reader for ever.
            let started = Instant::now();
            running.wait_unread();
            assert!(started.elapsed() < Duration::from_mins(3));
            continue;
        }
        let mut text = Vec::new();
        let started = Instant::now();
        while text.split(|byte| *byte == b'\n').count() < keys.len() + 2 {
            let mut buffer = [0; 4096];
            let n = std::io::Read::read(&mut reader, &mut buffer).unwrap();
            text.extend_from_slice(&buffer[..n]);
            assert!(started.elapsed() < Duration::from_mins(3));
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
        let waited = has_ended.recv_timeout(Duration::from_mins(3));
        waited.is_err().then(|| std::fs::read(pipe))
    });
    let run = running.wait_with(stdin);
    ended.send(()).unwrap();
    opener.join().unwrap();
    assert!(started.elapsed() < Duration::from_mins(3));
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
        let run = server
            .shell(&format!("s3pull --bucket bucket missing {redirected}"))
            .within(folder.path())
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
