//! Lists that stand in S3: inventories with their manifests and data files, and bodies that break off.

use std::io::Write;

use md5::{Digest, Md5};

use crate::harness::{Fault, LISTING, Object, RawServer, Reply, Run, Server, of_bucket, pattern};

const FOLDER: &str = "i/bucket/all/";
const MANIFEST: &str = "i/bucket/all/2024-02-01T00-00Z/manifest.json";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes)
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

/// A manifest whose data files are in the bucket `inv`.
fn manifest(format: &str, files: &[(String, Vec<u8>)]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|(key, body)| {
            let (size, md5) = (body.len(), md5(body));
            format!(r#"{{"key": "{key}", "size": {size}, "MD5checksum": "{md5}"}}"#)
        })
        .collect();
    format!(
        r#"{{"sourceBucket": "bucket", "destinationBucket": "arn:aws:s3:::inv", "version": "2016-11-30",
        "fileFormat": "{format}", "fileSchema": "Bucket, Key, Size", "files": [{}]}}"#,
        files.join(", ")
    )
}

/// A server with six objects, and their inventory of two rows per data file in the bucket `inv`.
fn server() -> Server {
    let server = Server::start();
    let keys: Vec<_> = (0..6).map(|n| format!("k {n}")).collect();
    server.put_patterns(keys.iter().map(String::as_str), 100);
    let row = |n: usize| format!("\"bucket\",\"k+{n}\",\"100\"\n");
    let files: Vec<_> = (0..3)
        .map(|n| {
            let rows = row(2 * n) + &row(2 * n + 1);
            // One is not compressed, whatever its name says.
            let body = if n == 1 {
                rows.into_bytes()
            } else {
                gzip(&rows)
            };
            (format!("{FOLDER}data/{n}.csv.gz"), body)
        })
        .collect();
    for (key, body) in &files {
        server.put(&of_bucket("inv", key), Object::new(body.clone()));
    }
    server.put(
        &of_bucket("inv", MANIFEST),
        Object::new(manifest("CSV", &files)),
    );
    server
}

fn keys_of(run: &Run) -> Vec<String> {
    run.files().into_keys().collect()
}

const SIX: [&str; 6] = ["k 0", "k 1", "k 2", "k 3", "k 4", "k 5"];

#[test]
fn a_manifest_in_s3_finds_its_data_files_in_its_destination_bucket() {
    let server = server();
    server.script(MANIFEST, [Fault::Region(301, "eu-west-1")]);
    server.script(&format!("{FOLDER}data/1.csv.gz"), [Fault::Cut(20)]);
    let uri = format!("s3://inv/{MANIFEST}");
    let run = server.s3pull().args(["--keys", &uri]).run().expect(0);
    assert_eq!(keys_of(&run), SIX);
    assert_eq!(run.read("k 5"), pattern("k 5", 100));
    // What is learned of the bucket of the lists is kept, and does not concern that of the objects.
    let log = server.log();
    for logged in log.iter().skip(1) {
        let is_of_list = logged.key.starts_with(FOLDER);
        let region = if is_of_list { "eu-west-1" } else { "us-east-1" };
        assert_eq!(logged.region(), region, "{}", logged.key);
    }
    assert_eq!(server.n_requests(MANIFEST), 2);
}

#[test]
fn the_newest_inventory_of_a_folder_is_taken_and_said() {
    let server = server();
    let old = format!("{FOLDER}2024-01-02T00-00Z/manifest.json");
    let unfinished = format!("{FOLDER}2024-03-01T00-00Z/manifest.checksum");
    for key in [&old, &unfinished] {
        server.put(&of_bucket("inv", key), Object::new("not read"));
    }
    for folder in [format!("s3://inv/{FOLDER}").as_str(), "s3://inv/"] {
        let args = ["--keys", folder, "--dry-run", "-v"];
        let run = server.s3pull().args(args).run().expect(0);
        assert_eq!(run.stdout.lines().count(), 6, "{}", run.stdout);
        for said in [
            format!("s3pull: the newest inventory below `{folder}` is `s3://inv/{MANIFEST}`"),
            format!("the key list `s3://inv/{MANIFEST}` is read as `inventory`"),
        ] {
            assert!(run.stderr.contains(&said), "{}", run.stderr);
        }
    }
    assert_eq!(server.n_requests(LISTING), 2);
    let args = ["--keys", "s3://inv/none/", "--dry-run"];
    let none = server.s3pull().args(args).run().expect(3);
    assert!(
        none.stderr
            .contains("cannot read the key list `s3://inv/none/`: there is no `YYYY-MM-DDTHH-MMZ/"),
        "{}",
        none.stderr
    );
    server.script(LISTING, [Fault::Status(403, "AccessDenied")]);
    let denied = server.s3pull().args(args).run().expect(3);
    assert!(denied.stderr.contains("s3:ListBucket"), "{}", denied.stderr);
}

#[test]
fn a_data_file_that_is_missing_or_another_one_is_a_broken_list() {
    let name = format!("{FOLDER}data/1.csv.gz");
    let other = "\"bucket\",\"k+9\",\"100\"\n\"bucket\",\"k+3\",\"100\"\n";
    let uri = format!("s3://inv/{MANIFEST}");
    for (body, said) in [
        (Some(other), "has another MD5 than the manifest says"),
        (Some("\"bucket\",\"k\",\"1\"\n"), "but the manifest says"),
        (None, "NoSuchKey"),
    ] {
        let server = server();
        match body {
            Some(body) => server.put(&of_bucket("inv", &name), Object::new(body)),
            None => server.script(&name, [Fault::Status(404, "NoSuchKey")]),
        }
        let run = server.s3pull().args(["--keys", &uri]).run().expect(3);
        let named = format!("cannot read the key list `{uri}`: its data file `s3://inv/{name}`");
        assert!(
            run.stderr.contains(&named) && run.stderr.contains(said),
            "{said}: {}",
            run.stderr
        );
        assert!(run.stderr.contains("not read to its end"), "{}", run.stderr);
        // The rows before it are downloaded.
        assert_eq!(run.read("k 1"), pattern("k 1", 100));
    }
}

#[test]
fn a_local_manifest_reads_the_data_files_that_are_not_beside_it_from_s3() {
    let server = server();
    let [first, second] = [0, 1].map(|n| {
        let rows = format!("\"bucket\",\"k+{n}\",\"100\"\n");
        (format!("{FOLDER}data/x{n}.csv.gz"), gzip(&rows))
    });
    server.put(&of_bucket("inv", &second.0), Object::new(second.1.clone()));
    let manifest = manifest("CSV", &[first.clone(), second]);
    let run = server
        .s3pull()
        .file("manifest.json", &manifest)
        .file("x0.csv.gz", &first.1)
        .args(["--keys", "manifest.json", "-o", "out", "-vv"])
        .run()
        .expect(0);
    assert_eq!(run.read("out/k 0"), pattern("k 0", 100));
    assert_eq!(run.read("out/k 1"), pattern("k 1", 100));
    assert_eq!(server.n_requests(&first.0), 0);
    assert!(
        run.stderr
            .contains("GET s3://inv/i/bucket/all/data/x1.csv.gz"),
        "{}",
        run.stderr
    );
    // A manifest on stdin has no folder, and a dry run needs the rows too.
    server.put(&of_bucket("inv", &first.0), Object::new(first.1));
    let piped = server.s3pull().stdin(manifest).arg("--dry-run").run();
    assert_eq!(piped.expect(0).stdout, "k 0 -> k 0\nk 1 -> k 1\n");
}

#[cfg(feature = "parquet")]
#[test]
fn data_files_in_parquet_are_read_from_s3() {
    let server = Server::start();
    let body = include_bytes!("../lists/zstd.parquet").to_vec();
    let files = [("i/data/1.parquet".to_owned(), body.clone())];
    server.put(&of_bucket("inv", "i/data/1.parquet"), Object::new(body));
    server.put(
        &of_bucket("inv", "m.json"),
        Object::new(manifest("Parquet", &files)),
    );
    let run = crate::harness::S3pull::new()
        .env("AWS_ENDPOINT_URL_S3", &server.url())
        .args(["--bucket", "b", "--keys", "s3://inv/m.json", "--dry-run"])
        .run()
        .expect(1);
    assert_eq!(run.stdout.lines().count(), 2, "{}", run.stdout);
    assert!(run.stdout.contains("plain -> plain\n"), "{}", run.stdout);
}

#[test]
fn a_list_that_breaks_off_over_and_over_comes_to_its_end() {
    let list = format!("a\n{}b\n", "\n".repeat(50_000));
    let server = RawServer::start(move |head| {
        if !head.contains("/list ") {
            return Reply::new("200 OK\nETag: \"e\"", "x");
        }
        let range = head.lines().find_map(|line| line.split_once("bytes="));
        let start = range.map_or(0, |(_, range)| {
            range.split('-').next().unwrap().parse().unwrap()
        });
        let (size, rest) = (list.len(), &list[start..]);
        let status = match range {
            Some(_) => format!("206 Part\nContent-Range: bytes {start}-{}/{size}", size - 1),
            None => "200 OK".to_owned(),
        };
        let head = format!("{status}\nETag: \"l\"\nContent-Length: {}", rest.len());
        Reply::raw(&head, &rest[..rest.len().min(6_000)])
    });
    let run = server
        .s3pull()
        .args(["--keys", "s3://bucket/list", "--max-attempts", "3"])
        .run()
        .expect(0);
    assert_eq!(keys_of(&run), ["a", "b"]);
    let log = server.log();
    let n_requests = log.iter().filter(|head| head.contains("/list ")).count();
    assert!(n_requests >= 9, "{n_requests}");
}

#[test]
fn a_list_that_is_refused_says_why() {
    let server = Server::start();
    server.put_patterns(["a"], 10);
    server.put("list", Object::new("a\n"));
    server.script("list", [Fault::Status(403, "AccessDenied")]);
    let args = ["--keys", "s3://bucket/list", "--max-attempts", "2"];
    let run = server.s3pull().args(args).run().expect(3);
    assert!(
        run.stderr.contains("AccessDenied") && !run.stderr.contains("ListBucket"),
        "{}",
        run.stderr
    );
    for uri in ["s3://bucket", "s3:///list"] {
        let run = server.s3pull().args(["--keys", uri]).run().expect(2);
        assert!(run.stderr.contains("s3://bucket/key"), "{}", run.stderr);
    }
}
