//! `--if-exists verify`: a file is kept if it has its object's content.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use md5::{Digest, Md5};

use crate::harness::{Fault, Object, Run, Server, pattern};

const MODIFIED: u64 = 1_600_000_000;
const SIZE: usize = 1_000;

fn write(path: &Path, content: &[u8], seconds: u64) {
    std::fs::write(path, content).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let time: SystemTime = UNIX_EPOCH + Duration::from_secs(seconds);
    file.set_modified(time).unwrap();
}

fn object() -> Object {
    Object::new(pattern("k", SIZE))
}

fn md5() -> String {
    hex(Md5::digest(pattern("k", SIZE)))
}

fn hex(digest: impl AsRef<[u8]>) -> String {
    format!("{:x}", bytes::Bytes::copy_from_slice(digest.as_ref()))
}

/// The same size, and another content.
fn spoilt() -> Vec<u8> {
    let mut bytes = pattern("k", SIZE);
    bytes[SIZE / 2] ^= 1;
    bytes
}

struct Case {
    object: Object,
    list: String,
    content: Vec<u8>,
    seconds: u64,
}

impl Case {
    fn new(object: Object) -> Self {
        Self {
            object,
            list: "k\n".to_owned(),
            content: pattern("k", SIZE),
            seconds: MODIFIED,
        }
    }

    fn listed(self, row: &str) -> Self {
        Self {
            list: format!("key,size,etag\n{row}\n"),
            ..self
        }
    }

    fn content(self, content: Vec<u8>) -> Self {
        Self { content, ..self }
    }

    fn time(self, seconds: u64) -> Self {
        Self { seconds, ..self }
    }

    /// The methods of the requests, the run, and what is there then.
    fn run(self) -> (Vec<String>, Run, Vec<u8>) {
        let server = Server::start();
        server.put("k", self.object);
        let folder = tempfile::tempdir().unwrap();
        write(&folder.path().join("k"), &self.content, self.seconds);
        let run = server.s3pull().within(folder.path()).stdin(self.list);
        // With one GET at a time none is sent again for being slow.
        let run = run.args(["--if-exists", "verify", "-v", "-j", "1"]);
        let run = run.run().expect(0);
        // Whatever was there: in the end it is the object, or it was kept.
        let found = run.read("k");
        assert!(found == pattern("k", SIZE) || found == self.content);
        let methods = server.log().into_iter().map(|logged| logged.method);
        (methods.collect(), run, found)
    }

    #[track_caller]
    fn expect_kept(self, methods: &[&str], why: &str) {
        let content = self.content.clone();
        let (found, run, file) = self.run();
        assert_eq!(found, methods, "{}", run.stderr);
        assert!(file == content);
        assert!(
            run.stderr.contains(&format!("skipped k ({why}")),
            "{}",
            run.stderr
        );
    }

    #[track_caller]
    fn expect_replaced(self, methods: &[&str]) {
        let (found, run, file) = self.run();
        assert_eq!(found, methods, "{}", run.stderr);
        assert!(file == pattern("k", SIZE));
        assert!(
            run.stderr.contains("1 downloaded, 0 skipped"),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn the_row_s_etag_proves_the_content_without_a_request() {
    let md5 = md5();
    let of_parts = format!("{}-1", hex(Md5::digest(Md5::digest(pattern("k", SIZE)))));
    for etag in [md5.as_str(), &of_parts] {
        let object = || Object {
            etag: Some(etag.to_owned()),
            ..object()
        };
        // The file's time does not matter.
        let listed = Case::new(object()).listed(&format!("k,{SIZE},{etag}"));
        listed.time(5).expect_kept(&[], "the same content");
        // An ETag that is not confirmed proves nothing, so S3 is asked.
        let listed = Case::new(object()).listed(&format!("k,{SIZE},{etag}"));
        listed.content(spoilt()).expect_replaced(&["HEAD", "GET"]);
    }
}

#[test]
fn s3_s_checksum_decides_whatever_size_and_time_say() {
    for algorithm in ["crc64nvme", "crc32c", "crc32", "sha1", "sha256"] {
        let object = || object().with_checksums(&[algorithm]);
        let kept = Case::new(object()).time(5);
        kept.expect_kept(&["HEAD"], "the same content");
        let changed = Case::new(object()).content(spoilt());
        changed.expect_replaced(&["HEAD", "GET"]);
    }
    // KMS: the ETag is not an MD5.
    let kms = || Object {
        etag: Some("0".repeat(32)),
        encryption: Some("aws:kms"),
        ..object()
    };
    Case::new(kms()).expect_kept(&["HEAD"], "the same content");
    let listed = Case::new(kms()).listed(&format!("k,{SIZE},{}", "0".repeat(32)));
    listed.expect_kept(&["HEAD"], "the same content");
}

#[test]
fn an_etag_in_the_answer_counts_where_there_is_no_checksum() {
    let plain = || Object {
        etag: Some(md5()),
        ..object().with_checksums(&[])
    };
    Case::new(plain())
        .time(5)
        .expect_kept(&["HEAD"], "the same content");
    Case::new(plain())
        .content(spoilt())
        .expect_replaced(&["HEAD", "GET"]);
}

#[test]
fn what_nothing_tells_is_decided_by_size_and_time_and_that_is_said() {
    let composite = || Object {
        checksum_type: Some("COMPOSITE"),
        ..object()
    };
    let kms = || Object {
        etag: Some("0".repeat(32)),
        encryption: Some("aws:kms"),
        ..object().with_checksums(&[])
    };
    for object in [composite(), kms()] {
        let same = Case::new(object.clone());
        same.expect_kept(&["HEAD"], "the same size and time");
        Case::new(object).time(5).expect_replaced(&["HEAD", "GET"]);
    }
    let (_, run, _) = Case::new(composite()).run();
    assert!(
        run.stderr
            .contains("1 file kept by size and time: S3 has no checksum to verify them with"),
        "{}",
        run.stderr
    );
}

#[test]
fn files_of_another_size_are_replaced_without_being_read() {
    for content in [Vec::new(), b"cut off".to_vec(), pattern("k", SIZE + 1)] {
        Case::new(object())
            .content(content.clone())
            .expect_replaced(&["HEAD", "GET"]);
        let listed = Case::new(object()).listed(&format!("k,{SIZE},"));
        listed.content(content).expect_replaced(&["GET"]);
    }
}

#[test]
fn objects_that_are_gone_or_meant_otherwise_fail_as_ever_and_the_file_stays() {
    let server = Server::start();
    server.put("other", object());
    let run = server.s3pull().file("k", "kept").file("other", "kept");
    let run = run.stdin("key,etag\nk,\nother,abc\n");
    let run = run.args(["--if-exists", "verify"]).run().expect(1);
    let failed = [("k", "NoSuchKey"), ("other", "ObjectChanged")];
    assert_eq!(
        run.failed(),
        failed.map(|(key, code)| (key.to_owned(), code.to_owned()))
    );
    assert_eq!(
        (run.read("k"), run.read("other")),
        (b"kept".to_vec(), b"kept".to_vec())
    );
}

#[test]
fn a_head_that_fails_is_sent_again() {
    let server = Server::start();
    server.put("k", object());
    server.script(
        "k",
        [Fault::Status(503, "SlowDown"), Fault::Status(500, "")],
    );
    let run = server.s3pull().file("k", pattern("k", SIZE)).keys(["k"]);
    let run = run.args(["--if-exists", "verify"]).run().expect(0);
    assert!(
        run.stderr.contains("0 downloaded, 1 skipped"),
        "{}",
        run.stderr
    );
    assert_eq!(server.n_requests("k"), 3);
}
