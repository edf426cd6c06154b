//! `s3pull check`, and what each way to compare a folder with a list finds, as the README says.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::harness::{Object, Run, S3pull, Server, of_bucket, pattern, skipped};

/// When the test server's objects were modified.
const MODIFIED: u64 = 1_600_000_000;
const TIME: &str = "2020-09-13T12:26:40Z";
const SIZE: usize = 1_000;

fn write(path: &Path, content: &[u8], seconds: u64) {
    std::fs::write(path, content).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let time: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_modified(time).unwrap();
}

fn spoilt(content: &[u8]) -> Vec<u8> {
    let mut bytes = content.to_vec();
    bytes[SIZE / 2] ^= 1;
    bytes
}

/// `s3pull check` with these options.
fn check(server: &Server, folder: &Path, args: &[&str]) -> S3pull {
    let run = S3pull::new().args(["check", "--bucket", "bucket"]);
    let run = run.env("AWS_ENDPOINT_URL_S3", &server.url());
    run.within(folder).args(args.iter().copied())
}

/// The rows of the README's table: what the file is, and what each way finds.
fn table() -> (Vec<String>, Vec<Vec<String>>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let readme = std::fs::read_to_string(path).unwrap();
    let start = readme.find("| the file | ").unwrap();
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim_matches('|');
        let cells = line.split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    };
    let mut lines = readme[start..]
        .lines()
        .take_while(|line| line.starts_with('|'));
    let ways = cells(lines.next().unwrap());
    (ways[1..].to_vec(), lines.skip(1).map(cells).collect())
}

/// Puts the file of a row of the table at `path`, of whose object the content is this.
fn put_file(path: &Path, what: &str, content: &[u8]) -> bool {
    let seconds = match what {
        what if what.ends_with("with its time") => MODIFIED,
        what if what.ends_with("with an earlier time") => MODIFIED - 5,
        what if what.ends_with("with a later time") => MODIFIED + 5,
        "not there" => return true,
        _ => return false,
    };
    let content = match what.split(',').next().unwrap() {
        "the object" => content.to_vec(),
        "other bytes of the same size" => spoilt(content),
        "cut off" => content[..SIZE / 2].to_vec(),
        "empty after a power cut" => Vec::new(),
        other => panic!("{other}"),
    };
    write(path, &content, seconds);
    true
}

#[test]
fn each_way_finds_what_the_readme_says() {
    let (ways, rows) = table();
    assert_eq!((ways.len(), rows.len()), (5, 9));
    for (n, way) in ways.iter().enumerate() {
        let server = Server::start();
        let folder = tempfile::tempdir().unwrap();
        let mut list = "key,size,last_modified\n".to_owned();
        let mut cases = Vec::new();
        for (row, cells) in rows.iter().enumerate() {
            let key = format!("k{row}");
            let content = pattern(&key, SIZE);
            if put_file(&folder.path().join(&key), &cells[0], &content) {
                server.put(&key, Object::new(content));
                writeln!(list, "{key},{SIZE},{TIME}").unwrap();
                cases.push((key, cells[0].clone(), cells[n + 1].clone()));
            }
        }
        assert_eq!(cases.len(), 8);
        std::fs::write(folder.path().join("list.csv"), list).unwrap();
        let words: Vec<_> = way.split(' ').collect();
        // With one GET at a time none is sent again for being slow.
        let words = [&words[..], &["--keys", "list.csv", "--json", "-j", "1"]].concat();
        let run = match words.split_first() {
            Some((&"check", args)) => check(&server, folder.path(), args).run().expect(1),
            _ => server
                .s3pull()
                .within(folder.path())
                .args(words)
                .run()
                .expect(0),
        };
        let events: Vec<serde_json::Value> = run
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        for (key, what, expected) in &cases {
            let event = events.iter().find(|event| event["key"] == **key).unwrap();
            let found = match event["status"].as_str().unwrap() {
                "downloaded" if what == "not there" => "downloaded",
                "downloaded" => "replaced",
                "skipped" if way.starts_with("check") => "right",
                "skipped" => "kept",
                _ => event["error"]["code"].as_str().unwrap(),
            };
            assert_eq!(found, expected, "{way}: {what}: {event}");
        }
        let of_right: Vec<_> = server
            .log()
            .into_iter()
            .filter(|logged| logged.key == "k0")
            .collect();
        let n_requests = match &of_right[..] {
            [] => "0".to_owned(),
            [one] => format!("1 {}", one.method),
            many => format!("{} requests", many.len()),
        };
        assert_eq!(n_requests, rows[8][n + 1], "{way}");
    }
}

#[test]
fn what_a_check_finds_wrong_goes_straight_into_a_download() {
    let server = Server::start();
    server.put_patterns(["right", "d/missing", "changed", "short"], SIZE);
    server.put("folder/", Object::new(""));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    write(&out.join("right"), &pattern("right", SIZE), 5);
    write(
        &out.join("changed"),
        &spoilt(&pattern("changed", SIZE)),
        MODIFIED,
    );
    write(&out.join("short"), b"short", MODIFIED);
    let list = "right\nd/missing\nchanged\nshort\nfolder/\n../unsafe\n";
    let args = ["-o", "out", "--keys", "keys.txt"];
    let run = check(&server, folder.path(), &args).file("keys.txt", list);
    let run = run.run().expect(1);
    let failed: Vec<_> = run.failed();
    let failed: Vec<_> = failed
        .iter()
        .map(|(key, code)| (&key[..], &code[..]))
        .collect();
    assert_eq!(
        failed,
        [
            ("../unsafe", "UnsafeKey"),
            ("changed", "Different"),
            ("d/missing", "Missing"),
            ("folder/", "Missing"),
            ("short", "Different"),
        ]
    );
    for said in [
        "s3pull: checked: 1 right, 5 wrong\n",
        "changed: Different: crc64nvme of the bytes is `",
        "short: Different: the file has 5 bytes, S3 says 1,000",
        "d/missing: Missing: there is no file `d/missing`",
        "  s3pull --bucket bucket --output out --keys s3pull-failed.csv",
    ] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    assert!(server.log().iter().all(|logged| logged.method == "HEAD"));
    let files: Vec<_> = run.files().into_keys().collect();
    let expected = [
        "keys.txt",
        "out/changed",
        "out/right",
        "out/short",
        "s3pull-failed.csv",
    ];
    assert_eq!(files, expected);

    let download = server.s3pull().again(&run);
    let download = download.args(["-o", "out", "--keys", "s3pull-failed.csv"]);
    download.run().expect(1);
    let again = check(&server, folder.path(), &args).run().expect(1);
    assert_eq!(
        again.failed(),
        [("../unsafe".to_owned(), "UnsafeKey".to_owned())]
    );
}

#[test]
fn a_folder_that_is_right_is_a_success_and_leaves_no_csv() {
    let server = Server::start();
    server.put_patterns(["a", "b c"], SIZE);
    let folder = tempfile::tempdir().unwrap();
    let run = server.s3pull().within(folder.path()).keys(["a", "b c"]);
    run.run().expect(0);
    let run = check(&server, folder.path(), &[]).keys(["a", "b c"]);
    let run = run.run().expect(0);
    assert!(
        run.stderr.contains("s3pull: checked: 2 right, 0 wrong"),
        "{}",
        run.stderr
    );
    assert_eq!(run.files().len(), 2);
}

#[test]
fn a_quick_check_makes_no_request_and_needs_no_credentials() {
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("k"), &[b'x'; SIZE], MODIFIED);
    write(&folder.path().join("unknown"), &[b'x'; SIZE], MODIFIED);
    let list = format!("key,size,last_modified\nk,{SIZE},{TIME}\nunknown,,{TIME}\nk2,5,\n");
    let run = check(&server, folder.path(), &["--quick"]).stdin(list);
    let run = run
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .run()
        .expect(1);
    let failed = [("k2", "Missing"), ("unknown", "Unverifiable")];
    assert_eq!(
        run.failed(),
        failed.map(|(key, code)| (key.to_owned(), code.to_owned()))
    );
    assert_eq!(server.log().len(), 0);
    let both = check(&server, folder.path(), &["--quick", "--strict"]).run();
    both.expect(2);
    let dry = check(&server, folder.path(), &["--dry-run"])
        .run()
        .expect(2);
    assert!(
        dry.stderr
            .contains("'--dry-run' cannot be used with 'check'"),
        "{}",
        dry.stderr
    );
}

#[test]
fn what_cannot_be_verified_is_accepted_by_size_and_time_or_not_at_all() {
    let server = Server::start();
    server.put(
        "k",
        Object {
            checksum_type: Some("COMPOSITE"),
            ..Object::new(pattern("k", SIZE))
        },
    );
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("k"), &pattern("k", SIZE), MODIFIED);
    let run = |args: &[&str]| -> Run { check(&server, folder.path(), args).keys(["k"]).run() };
    let accepted = run(&[]).expect(0);
    assert!(
        accepted.stderr.contains("1 file kept by size and time"),
        "{}",
        accepted.stderr
    );
    let refused = run(&["--strict"]).expect(1);
    assert_eq!(
        refused.failed(),
        [("k".to_owned(), "Unverifiable".to_owned())]
    );
    write(&folder.path().join("k"), &pattern("k", SIZE), MODIFIED + 1);
    assert_eq!(
        run(&[]).expect(1).failed(),
        [("k".to_owned(), "Different".to_owned())]
    );
}

#[test]
fn extra_files_are_reported_on_request_and_stay() {
    let server = Server::start();
    server.put_patterns(["k", "d/k"], SIZE);
    let folder = tempfile::tempdir().unwrap();
    let run = server.s3pull().within(folder.path()).args(["-o", "out"]);
    run.keys(["k", "d/k"]).run().expect(0);
    let args = ["-o", "out", "--extra", "--json"];
    let right = check(&server, folder.path(), &args).keys(["k", "d/k"]);
    let right = right.run().expect(0);
    assert!(!right.stderr.contains("extra"), "{}", right.stderr);

    let at = |name: &str| folder.path().join("out").join(name);
    std::fs::create_dir_all(at("e/f")).unwrap();
    // The list itself and partial files are of no row, and not extra.
    for name in [
        "extra",
        "d/extra",
        "e/f/extra",
        "keys.txt",
        "e/.s3pull-x.part",
    ] {
        write(&at(name), b"k\nd/k\nmissing\n", MODIFIED);
    }
    let args = [&args[..], &["--keys", "out/keys.txt"]].concat();
    let run = check(&server, folder.path(), &args).run().expect(1);
    let events = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<serde_json::Value> = events.collect();
    let mut extra: Vec<_> = events
        .iter()
        .filter(|event| event["type"] == "extra")
        .map(|event| event["path"].as_str().unwrap())
        .collect();
    extra.sort_unstable();
    assert_eq!(extra, ["out/d/extra", "out/e/f/extra", "out/extra"]);
    assert_eq!(events.last().unwrap()["extra"], 3);
    for said in [
        "s3pull: extra: out/e/f/extra\n",
        "s3pull: 3 extra files, of no row of the list\n",
    ] {
        assert!(run.stderr.contains(said), "{said}: {}", run.stderr);
    }
    assert_eq!(run.failed(), [("missing".to_owned(), "Missing".to_owned())]);
    assert!(at("extra").exists() && at("e/f/extra").exists());
    let unasked = check(&server, folder.path(), &["-o", "out"]).keys(["k", "d/k"]);
    unasked.run().expect(0);
}

#[cfg(unix)]
#[test]
fn what_could_not_be_checked_never_counts_as_right() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let server = Server::start();
    server.put_patterns(["link", "inside", "unreadable", "folder", "gone"], SIZE);
    let outside = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write(
        &outside.path().join("link"),
        &pattern("link", SIZE),
        MODIFIED,
    );
    symlink(outside.path().join("link"), at("link")).unwrap();
    write(&at("elsewhere"), &pattern("inside", SIZE), MODIFIED);
    symlink("elsewhere", at("inside")).unwrap();
    std::fs::create_dir(at("folder")).unwrap();
    write(&at("absent"), b"its object is not there", MODIFIED);
    write(&at("unreadable"), &pattern("unreadable", SIZE), MODIFIED);
    std::fs::set_permissions(at("unreadable"), std::fs::Permissions::from_mode(0o000)).unwrap();
    let keys = ["link", "inside", "unreadable", "folder", "absent"];
    let run = check(&server, folder.path(), &[])
        .keys(keys)
        .run()
        .expect(1);
    let failed = run.failed();
    let code = |key: &str| {
        let row = failed.iter().find(|(failed, _)| failed == key);
        row.map(|(_, code)| code.as_str())
    };
    assert_eq!(code("link"), Some("Unverifiable"));
    assert_eq!(code("inside"), None);
    assert_eq!(code("folder"), Some("PathConflict"));
    assert_eq!(code("absent"), Some("Http404"));
    if std::fs::File::open(at("unreadable")).is_ok() {
        skipped::<()>("everything can be read here");
    } else {
        assert_eq!(code("unreadable"), Some("WriteFailed"));
    }
}

#[test]
fn etags_of_the_usual_parts_prove_the_content_and_others_prove_nothing() {
    use md5::{Digest, Md5};
    const MIB: usize = 1 << 20;
    let hex = |digest: &[u8]| format!("{:x}", bytes::Bytes::copy_from_slice(digest));
    let content = pattern("k", 20 * MIB + 1);
    let server = Server::start();
    let folder = tempfile::tempdir().unwrap();
    let mut list = "key,size,etag\n".to_owned();
    for part in [5, 8, 16, 64] {
        let mut parts = Md5::new();
        for part in content.chunks(part * MIB) {
            parts.update(Md5::digest(part));
        }
        let n_parts = content.len().div_ceil(part * MIB);
        let etag = format!("{}-{n_parts}", hex(&parts.finalize()));
        writeln!(list, "{part},{},{etag}", content.len()).unwrap();
        let object = Object {
            etag: Some(etag),
            ..Object::new(content.clone())
        };
        server.put(&part.to_string(), object.with_checksums(&[]));
        write(&folder.path().join(part.to_string()), &content, 5);
    }
    for args in [&[][..], &["--offline"]] {
        let run = check(&server, folder.path(), args).stdin(list.clone());
        let run = run.run().expect(0);
        assert!(run.stderr.contains("4 right, 0 wrong"), "{}", run.stderr);
    }
    assert_eq!(server.log().len(), 0);

    let mut changed = content;
    changed[MIB] ^= 1;
    write(&folder.path().join("5"), &changed, 5);
    write(&folder.path().join("8"), &changed, MODIFIED);
    let codes = |args: &[&str]| {
        let run = check(&server, folder.path(), args).stdin(list.clone());
        run.run().expect(1).failed()
    };
    let rows = |rows: &[(&str, &str)]| -> Vec<(String, String)> {
        let owned = rows
            .iter()
            .map(|(key, code)| ((*key).to_owned(), (*code).to_owned()));
        owned.collect()
    };
    assert_eq!(codes(&[]), rows(&[("5", "Different")]));
    assert_eq!(
        codes(&["--strict"]),
        rows(&[("5", "Different"), ("8", "Unverifiable")])
    );
    let offline = rows(&[("5", "Unverifiable"), ("8", "Unverifiable")]);
    assert_eq!(codes(&["--offline"]), offline);
}

#[test]
fn encoded_keys_and_those_of_several_buckets_are_checked_at_their_paths() {
    let server = Server::start();
    let keys = ["a//b", "100%", "../up"];
    server.put_patterns(keys, SIZE);
    let folder = tempfile::tempdir().unwrap();
    let encoded = ["--unsafe-keys", "encode", "-o", "out"];
    let run = server.s3pull().within(folder.path()).args(encoded);
    run.args(["--done", "done.csv"]).keys(keys).run().expect(0);
    let right = check(&server, folder.path(), &encoded).keys(keys).run();
    let right = right.expect(0);
    assert!(
        right.stderr.contains("3 right, 0 wrong"),
        "{}",
        right.stderr
    );
    let offline = ["--offline", "--keys", "done.csv", "-o", "out"];
    check(&server, folder.path(), &offline).run().expect(0);
    std::fs::remove_file(folder.path().join("out/100%25")).unwrap();
    let missing = check(&server, folder.path(), &encoded).keys(keys).run();
    let failed = [("100%".to_owned(), "Missing".to_owned())];
    assert_eq!(missing.expect(1).failed(), failed);

    let content = pattern("of another bucket", SIZE);
    server.put_patterns(["k"], SIZE);
    server.put(&of_bucket("other", "k"), Object::new(content.clone()));
    let folder = tempfile::tempdir().unwrap();
    let uris = ["s3://bucket/k", "s3://other/k"];
    let run = |args: &[&str]| {
        let run = S3pull::new().env("AWS_ENDPOINT_URL_S3", &server.url());
        let run = run.within(folder.path()).args(args.iter().copied());
        run.args(["--path", "{bucket}/{key}"]).keys(uris).run()
    };
    run(&["--done", "done.csv"]).expect(0);
    run(&["check"]).expect(0);
    let n_requests = server.log().len();
    run(&["check", "--offline", "--keys", "done.csv"]).expect(0);
    run(&["--done", "done.csv", "--skip-done"]).expect(0);
    assert_eq!(server.log().len(), n_requests);
    write(&folder.path().join("other/k"), &spoilt(&content), MODIFIED);
    for check in [
        &["check"][..],
        &["check", "--offline", "--keys", "done.csv"],
    ] {
        let wrong = run(check).expect(1);
        let csv = String::from_utf8(wrong.read("s3pull-failed.csv")).unwrap();
        assert!(csv.contains("\nk,other,,Different,"), "{csv}");
        assert_eq!(csv.lines().count(), 2, "{csv}");
    }
}
