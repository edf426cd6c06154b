//! Tables: which column holds the key, and checksums of the list.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use crate::harness::{Fault, Object, Server, pattern};

const MIB: usize = 1024 * 1024;

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn md5(bytes: &[u8]) -> String {
    hex(&md5::Md5::digest(bytes))
}

#[test]
fn checksums_of_the_list_are_verified_where_s3_has_none() {
    let server = Server::start();
    let mut list = "key,sha256,md5,crc32c,dest\n".to_owned();
    for (key, size) in [("small", 1000), ("large", 5 * MIB)] {
        let body = pattern(key, size);
        let object = Object::new(body.clone()).with_checksums(&[]);
        server.put(key, object);
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &body);
        writeln!(list, "{key},{},,,{key}/sha", sha256(&body)).unwrap();
        writeln!(list, "{key},,{},,{key}/md5", md5(&body)).unwrap();
        writeln!(list, "{key},,,{crc:08x},{key}/crc").unwrap();
    }
    let run = server
        .s3pull()
        .stdin(list)
        .args(["--part-size", "1MiB", "--multipart-threshold", "2MiB"])
        .run()
        .expect(0);
    assert!(
        run.stderr
            .contains("verified by crc32c (2 files), sha256 (2 files) and md5 (2 files)"),
        "{}",
        run.stderr
    );
    assert!(run.read("large/sha") == pattern("large", 5 * MIB));
}

#[test]
fn another_checksum_fails_and_its_retry_is_the_same_row() {
    let server = Server::start();
    for (key, size) in [("small", 1000), ("large", 5 * MIB)] {
        server.put_patterns([key], size);
    }
    let unknown = Object::new(pattern("unknown", 9)).with_checksums(&[]);
    server.put("unknown", unknown);
    let wrong = sha256(b"another");
    let list = format!("key,SHA256\nsmall,{wrong}\nlarge,{wrong}\nunknown,{wrong}\n");
    let run = server
        .s3pull()
        .stdin(list)
        .args(["--part-size", "1MiB", "--multipart-threshold", "2MiB"])
        .run()
        .expect(1);
    let failed = |key: &str| (key.to_owned(), "ChecksumMismatch".to_owned());
    let expected = ["large", "small", "unknown"].map(failed);
    assert_eq!(run.failed(), expected);
    assert!(
        run.stderr.contains(&format!("the list says `{wrong}`")),
        "{}",
        run.stderr
    );
    // S3 vouches for the bytes of one; those of the other are the same when they are asked for again.
    run.expect_requests(server.n_requests("small"), 1);
    run.expect_requests(server.n_requests("unknown"), 2);
    assert_eq!(
        run.files().keys().collect::<Vec<_>>(),
        ["s3pull-failed.csv"]
    );
    let retry = server
        .s3pull()
        .again(&run)
        .args(["--keys", "s3pull-failed.csv"])
        .run()
        .expect(1);
    assert_eq!(retry.failed(), expected);
    let off = server
        .s3pull()
        .again(&run)
        .args(["--keys", "s3pull-failed.csv", "--verify", "off"])
        .run()
        .expect(0);
    assert_eq!(off.read("small"), pattern("small", 1000));
}

#[test]
fn the_column_of_the_key_can_be_named() {
    let server = Server::start();
    server.put_patterns(["a b", "c"], 10);
    // A manifest of the GDC, and a table of URIs.
    let manifest = format!(
        "id\tfilename\tmd5\tsize\tstate\n1\ta b\t{}\t10\tlive\n",
        md5(&pattern("a b", 10))
    );
    let run = server
        .s3pull()
        .file("manifest.txt", manifest)
        .file("uris.csv", "name,s3_uri\nx,s3://bucket/c\n")
        .args(["--keys", "manifest.txt", "--key-column", "filename", "-v"])
        .run()
        .expect(0);
    assert_eq!(run.read("a b"), pattern("a b", 10));
    assert!(run.stderr.contains("is read as `tsv`"), "{}", run.stderr);
    assert!(
        run.stderr.contains("verified by md5 (1 file)"),
        "{}",
        run.stderr
    );
    let uris = server
        .s3pull()
        .again(&run)
        .args(["--keys", "uris.csv", "--key-column", "s3 uri"])
        .run()
        .expect(0);
    assert_eq!(uris.read("c"), pattern("c", 10));
    let missing = server
        .s3pull()
        .again(&run)
        .args(["--keys", "uris.csv", "--key-column", "path"])
        .run()
        .expect(3);
    assert!(
        missing
            .stderr
            .contains("its CSV header has no `path` column, only `name`, `s3_uri`"),
        "{}",
        missing.stderr
    );
}

#[test]
fn a_list_that_is_called_a_csv_may_have_one_column() {
    let server = Server::start();
    server.put_patterns(["a"], 10);
    for name in ["keys.csv", "keys.CSV", "keys.tsv"] {
        let run = server
            .s3pull()
            .file(name, "key\na\n")
            .args(["--keys", name])
            .run()
            .expect(0);
        assert_eq!(run.read("a"), pattern("a", 10));
    }
    let run = server
        .s3pull()
        .file("keys.txt", "key\na\n")
        .args(["--keys", "keys.txt"])
        .run()
        .expect(1);
    assert_eq!(run.failed(), [("key".to_owned(), "NoSuchKey".to_owned())]);
}

#[test]
fn what_is_not_a_list_is_refused_with_the_cure() {
    let server = Server::start();
    let run = server
        .s3pull()
        .stdin(b"\xfd7zXZ\0\0\x04\xe6\xd6\xb4\x46\x02\0\x21".to_vec())
        .run()
        .expect(3);
    assert!(
        run.stderr.contains(
            "cannot read the key list on stdin: it is xz: decompress it: `xz -dc LIST | s3pull …`"
        ),
        "{}",
        run.stderr
    );
    assert!(server.log().is_empty());
}

#[test]
fn a_list_in_s3_goes_on_at_the_missing_byte() {
    let server = Server::start();
    let keys: Vec<_> = (0..2000).map(|n| format!("k{n:04}")).collect();
    server.put_patterns(keys.iter().take(5).map(String::as_str), 10);
    let list = format!("key\n{}\n", keys[..5].join("\n")).replace("k0004\n", "k0004\n\n");
    let padded = list + &"\n".repeat(100_000);
    server.put("lists/keys.csv", Object::new(padded.into_bytes()));
    server.script(
        "lists/keys.csv",
        [
            Fault::Cut(15),
            Fault::Status(503, "SlowDown"),
            Fault::Cut(40_000),
        ],
    );
    let run = server
        .s3pull()
        .args(["--keys", "s3://bucket/lists/keys.csv", "-v"])
        .run()
        .expect(0);
    for key in &keys[..5] {
        assert_eq!(run.read(key), pattern(key, 10));
        run.expect_requests(server.n_requests(key), 1);
    }
    assert_eq!(server.n_requests("lists/keys.csv"), 4);
    assert!(
        run.stderr
            .contains("the key list `s3://bucket/lists/keys.csv` is read as `csv`"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_list_in_s3_that_is_missing_or_changes_is_a_broken_list() {
    let server = Server::start();
    let run = server
        .s3pull()
        .args(["--keys", "s3://bucket/nowhere"])
        .run()
        .expect(3);
    assert!(
        run.stderr
            .contains("cannot read the key list `s3://bucket/nowhere`: NoSuchKey"),
        "{}",
        run.stderr
    );
    server.put_patterns(["a"], 10);
    let list = |key: &str| Object::new(format!("{key}{}", "\n".repeat(1 << 20)).into_bytes());
    server.put("list", list("a"));
    let replaced = Fault::Replace(Box::new(list("b")));
    server.script("list", [Fault::Cut(1 << 19), replaced]);
    let run = server
        .s3pull()
        .args(["--keys", "s3://bucket/list", "--max-attempts", "2"])
        .run()
        .expect(3);
    assert!(
        run.stderr
            .contains("cannot read the key list `s3://bucket/list`"),
        "{}",
        run.stderr
    );
}
