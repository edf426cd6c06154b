//! Shards of an archive: those that are complete are skipped by a later run, and what is written is what a run without a
//! break would have written. And archives of lists with several buckets, checksums and readers that take their time.

use std::collections::BTreeMap;
use std::io::{Read, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};

use crate::harness::{Object, Run, S3pull, Server, of_bucket, pattern};

/// Samples of two files each, in an order that is not that of their names, with sizes that differ.
fn put_samples(server: &Server) -> Vec<String> {
    let keys: Vec<_> = (0..40)
        .rev()
        .flat_map(|n| ["jpg", "json"].map(|suffix| format!("d/{n}.{suffix}")))
        .chain(["folder/".to_owned(), "n".repeat(150)])
        .collect();
    for (n, key) in keys.iter().enumerate() {
        let size = if key.ends_with('/') { 0 } else { 300 * (n % 7) };
        server.put_patterns([key.as_str()], size);
    }
    keys
}

/// A run that writes shards, in `folder`.
fn shards(server: &Server, folder: &Path, keys: &[String]) -> S3pull {
    let run = server.s3pull().within(folder);
    let run = run.args(["--tar", "t-%03d.tar", "--tar-size", "10k", "--tar-index"]);
    run.stdin(keys.join("\n") + "\n")
}

/// The shards and their indexes in a folder, as a whole run leaves them.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        (name, std::fs::read(entry.path()).unwrap())
    });
    files.filter(|(name, _)| name.starts_with("t-")).collect()
}

/// What a run without a break writes.
fn expected(server: &Server, keys: &[String]) -> BTreeMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    shards(server, folder.path(), keys).run().expect(0);
    files(folder.path())
}

fn names(archive: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(archive);
    let entries = archive.entries().unwrap();
    let name = |entry: std::io::Result<tar::Entry<'_, _>>| {
        String::from_utf8(entry.unwrap().path_bytes().into_owned()).unwrap()
    };
    entries.map(name).collect()
}

#[test]
fn runs_that_are_stopped_at_any_instant_end_as_one_without_a_break() {
    let server = Server::start();
    let keys = put_samples(&server);
    let expected = expected(&server, &keys);
    assert!(expected.len() > 12, "{:?}", expected.keys());
    let mut seed = 0x5eed_u64;
    for by_signals in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        for n_before in [0, 20, 40, 60] {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let held = &keys[n_before + usize::try_from(seed >> 60).unwrap()];
            let n_requests = server.n_requests(held);
            let gate = server.gate(held);
            let run = shards(&server, folder.path(), &[]).args(["-j", "3", "--if-exists", "skip"]);
            let (mut running, mut stdin) = run.start();
            stdin
                .write_all((keys.join("\n") + "\n").as_bytes())
                .unwrap();
            let started = Instant::now();
            while server.n_requests(held) == n_requests {
                assert!(started.elapsed() < Duration::from_mins(3), "{held}");
                std::thread::yield_now();
            }
            // While the writer is somewhere in what comes before.
            let instant = Duration::from_micros((seed >> 40) % 4_000);
            while started.elapsed() < instant {
                std::thread::yield_now();
            }
            if by_signals {
                running.signal("TERM");
                running.signal("INT");
                assert!(matches!(running.wait().code, Some(130 | 143)));
            } else {
                running.kill();
            }
            gate.open();
        }
        let run = shards(&server, folder.path(), &keys).args(["--if-exists", "skip"]);
        let run = run.run().expect(0);
        let found = files(folder.path());
        assert_eq!(
            found.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "{}",
            run.stderr
        );
        assert!(found == expected, "{}", run.stderr);
    }
}

#[test]
fn rows_of_complete_shards_are_skipped_without_a_request() {
    let server = Server::start();
    let keys = put_samples(&server);
    let expected = expected(&server, &keys);
    let folder = tempfile::tempdir().unwrap();
    let gate = server.gate("d/5.jpg");
    let (mut running, mut stdin) = shards(&server, folder.path(), &[]).start();
    stdin
        .write_all((keys.join("\n") + "\n").as_bytes())
        .unwrap();
    drop(stdin);
    // The shards before the one that is held up.
    let started = Instant::now();
    while !folder.path().join("t-002.tar").exists() {
        assert!(started.elapsed() < Duration::from_mins(3));
        std::thread::yield_now();
    }
    running.kill();
    gate.open();
    drop(running);
    let n_complete = (0..).take_while(|n| folder.path().join(format!("t-{n:03}.tar")).exists());
    let n_members: usize = n_complete
        .map(|n| names(&expected[&format!("t-{n:03}.tar")]).len())
        .sum();
    assert!(n_members > 5);
    let skipped = &keys[..n_members];
    let n_of_skipped = || {
        skipped
            .iter()
            .map(|key| server.n_requests(key))
            .sum::<usize>()
    };
    let n_before = n_of_skipped();
    let again = shards(&server, folder.path(), &keys).args(["--if-exists", "skip"]);
    let again = again.run().expect(0);
    let counts = format!("{} downloaded, {n_members} skipped", keys.len() - n_members);
    assert!(again.stderr.contains(&counts), "{counts}: {}", again.stderr);
    assert_eq!(n_of_skipped(), n_before);
    assert!(files(folder.path()) == expected);

    // Then there is nothing to do, and no shard without a member.
    let before = server.log().len();
    let third = shards(&server, folder.path(), &keys).args(["--if-exists", "skip"]);
    let third = third.run().expect(0);
    assert!(
        third.stderr.contains("0 downloaded, 82 skipped"),
        "{}",
        third.stderr
    );
    assert_eq!(server.log().len(), before);
    assert!(files(folder.path()) == expected);
}

#[test]
fn a_row_that_a_complete_shard_lacks_fails_and_is_written_once_the_shard_is_gone() {
    let server = Server::start();
    let keys = put_samples(&server);
    let failing = keys[3].clone();
    let whole = expected(&server, &keys);
    server.script(&failing, [crate::harness::Fault::Status(404, "NoSuchKey")]);
    let folder = tempfile::tempdir().unwrap();
    let run = shards(&server, folder.path(), &keys).run().expect(1);
    assert_eq!(run.failed(), [(failing.clone(), "NoSuchKey".to_owned())]);
    let skip = ["--if-exists", "skip"];
    let again = shards(&server, folder.path(), &keys).args(skip).run();
    let again = again.expect(1);
    assert_eq!(again.failed(), [(failing, "NotInShard".to_owned())]);
    assert!(
        again.stderr.contains("`t-000.tar` is complete"),
        "{}",
        again.stderr
    );
    assert!(
        again.stderr.contains("0 downloaded, 81 skipped, 1 failed"),
        "{}",
        again.stderr
    );
    std::fs::remove_file(folder.path().join("t-000.tar")).unwrap();
    let anew = shards(&server, folder.path(), &keys).args(skip).run();
    anew.expect(0);
    let found = files(folder.path());
    for (name, content) in &whole {
        assert!(found[name] == *content, "{name}");
    }
}

#[test]
fn only_shards_are_skipped_and_only_by_skip() {
    for args in [
        &["--tar", "a.tar", "--if-exists", "skip"][..],
        &[
            "--tar",
            "a-%d.tar",
            "--tar-count",
            "5",
            "--if-exists",
            "newer",
        ],
    ] {
        let run = S3pull::new().args(["--bucket", "b", "k"]);
        let run = run.args(args.iter().copied()).run().expect(2);
        let said = "`--if-exists` cannot be used with `--tar";
        assert!(run.stderr.contains(said), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn rows_of_several_buckets_with_checksums_become_members() {
    let server = Server::start();
    server.put_patterns(["a", "wrong"], 1000);
    let other = of_bucket("other", "a");
    server.put(&other, Object::new(pattern("other", 700)));
    let md5 = |content: Vec<u8>| {
        let digest = Md5::digest(content);
        format!("{:x}", bytes::Bytes::copy_from_slice(&digest))
    };
    let list = format!(
        "Name,md5\ns3://bucket/a,{}\ns3://other/a,{}\ns3://bucket/wrong,{}\n",
        md5(pattern("a", 1000)),
        md5(pattern("other", 700)),
        md5(pattern("a", 1000)),
    );
    let run = S3pull::new()
        .env("AWS_ENDPOINT_URL_S3", &server.url())
        .file("k.csv", list)
        .args(["--keys", "k.csv", "--key-column", "Name", "--tar", "a.tar"])
        .args(["--path", "{bucket}/{name}"])
        .run()
        .expect(1);
    assert_eq!(names(&run.read("a.tar")), ["bucket/a", "other/a"]);
    assert_eq!(
        run.failed(),
        [("wrong".to_owned(), "ChecksumMismatch".to_owned())]
    );
    assert!(
        run.stderr.contains("verified by md5 (2 files)"),
        "{}",
        run.stderr
    );
}

#[cfg(unix)]
#[test]
fn a_reader_that_takes_its_time_gets_the_same_bytes_and_no_more_is_fetched_than_the_window() {
    let server = Server::start();
    let keys: Vec<_> = (0..60).map(|n| format!("k{n}")).collect();
    server.put_patterns(keys.iter().map(String::as_str), 100_000);
    let in_file = server.s3pull().stdin(keys.join("\n") + "\n");
    let in_file = in_file.args(["--tar", "a.tar"]).run().expect(0);
    let before = server.log().len();
    let script = "mkfifo go; { \"$0\" \"$@\"; echo $? >code; } | { read x <go; cat >out.tar; }";
    let run = S3pull::of("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_s3pull")])
        .args(["--bucket", "bucket", "--tar", "-", "-j", "2"])
        .env("AWS_ENDPOINT_URL_S3", &server.url());
    let (running, mut stdin) = run.start();
    stdin
        .write_all((keys.join("\n") + "\n").as_bytes())
        .unwrap();
    drop(stdin);
    // The first members fill the pipe; behind them there are four rows per GET.
    server.wait_for_requests(before + 8);
    let n_ahead = server.log().len() - before;
    assert!(n_ahead <= 30, "{n_ahead}");
    let fifo = running.folder().join("go");
    std::fs::write(fifo, "\n").unwrap();
    let run: Run = running.wait();
    assert_eq!(run.read("code"), b"0\n", "{}", run.stderr);
    assert!(run.read("out.tar") == in_file.read("a.tar"));
    let mut first = Vec::new();
    let out = run.read("out.tar");
    let mut archive = tar::Archive::new(out.as_slice());
    let mut entries = archive.entries().unwrap();
    entries
        .next()
        .unwrap()
        .unwrap()
        .read_to_end(&mut first)
        .unwrap();
    assert!(first == pattern("k0", 100_000));
}
