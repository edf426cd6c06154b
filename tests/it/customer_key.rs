//! `--sse-c-key`: the key is sent with every request for an object, signed and by https only; never for lists, and never shown.

use crate::connection::tls_server;
use crate::harness::{Fault, LISTING, Object, Run, S3pull, Server, pattern};

const RAW: &str = "0123456789abcdefghijklmnopqrstuv";
const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=";
const MD5: &str = "qkvGcbTBx6OOKYAPUO9jRg==";

const PREFIX: &str = "x-amz-server-side-encryption-customer-";

fn s3pull(server: &Server, certificate: &str) -> S3pull {
    server
        .s3pull()
        .file("ca.pem", certificate)
        .file("key", RAW)
        .args(["--ca-bundle", "ca.pem", "--sse-c-key", "key"])
}

fn assert_secret(run: &Run) {
    for text in [RAW, KEY, MD5] {
        assert!(
            !run.stdout.contains(text) && !run.stderr.contains(text),
            "{}",
            run.stderr
        );
    }
}

/// Downloads what is listed, in a listing and in a list in S3, and checks it.
fn every_request_has_it(signer: &str) {
    let (server, certificate) = tls_server();
    server.put_patterns(["d/a"], 100);
    server.put_patterns(["d/large"], 3 << 20);
    server.put_patterns(["b"], 100);
    server.put("list", Object::new("b\n"));
    let args = [
        ["--part-size", "1MiB"],
        ["--multipart-threshold", "2MiB"],
        ["--prefix", "d/"],
        ["--keys", "s3://bucket/list"],
    ];
    let run = s3pull(&server, &certificate)
        .env("S3PULL_SIGNER", signer)
        .args(args.concat())
        .args(["-vv", "--json"])
        .run()
        .expect(0);
    assert_secret(&run);
    assert_eq!(run.read("d/large"), pattern("d/large", 3 << 20));
    let kept = s3pull(&server, &certificate)
        .again(&run)
        .env("S3PULL_SIGNER", signer)
        .args(args.concat())
        .args(["--if-exists", "verify"])
        .run()
        .expect(0);
    assert_secret(&kept);
    let log = server.log();
    let n_of = |method: &str| log.iter().filter(|logged| logged.method == method).count();
    assert!(n_of("HEAD") >= 3, "{}", n_of("HEAD"));
    assert!(
        log.iter()
            .any(|logged| logged.headers.contains_key("range"))
    );
    for logged in &log {
        let value = |name: &str| {
            let value = logged.headers.get(format!("{PREFIX}{name}"));
            value.map(|value| value.to_str().unwrap())
        };
        let values = ["algorithm", "key", "key-md5"].map(value);
        let is_of_list = logged.key == LISTING || logged.key == "list";
        if is_of_list {
            assert_eq!(values, [None; 3], "{} {}", logged.method, logged.key);
            continue;
        }
        assert_eq!(values, ["AES256", KEY, MD5].map(Some), "{}", logged.key);
        let authorization = logged.headers.get("authorization");
        let text = authorization.map_or(logged.uri.as_str(), |value| value.to_str().unwrap());
        let is_signed = text.contains("ignature");
        assert!(
            !is_signed || text.contains(&format!("{PREFIX}key-md5")),
            "{text}"
        );
    }
}

#[test]
fn every_request_for_an_object_has_the_key_and_none_for_a_list() {
    every_request_has_it("");
}

#[test]
fn presigned_requests_have_the_key_too() {
    every_request_has_it("presigned");
}

#[test]
fn a_server_that_repeats_the_key_does_not_get_it_shown() {
    let (server, certificate) = tls_server();
    server.script("k", [Fault::Message(400, "InvalidRequest", KEY)]);
    let run = s3pull(&server, &certificate).keys(["k"]).run().expect(1);
    assert_secret(&run);
    let csv = String::from_utf8(run.read("s3pull-failed.csv")).unwrap();
    assert!(csv.contains("***") && !csv.contains(KEY), "{csv}");
}

#[test]
fn without_tls_or_without_a_key_nothing_is_sent() {
    let server = Server::start();
    let run = |file: &str, content: &str| {
        let run = server.s3pull().file("key", content).keys(["k"]);
        run.args(["--sse-c-key", file]).run().expect(2)
    };
    let open = run("key", RAW);
    assert!(
        open.stderr.contains("`--sse-c-key`") && open.stderr.contains("https"),
        "{}",
        open.stderr
    );
    for (file, said) in [
        ("missing", "`missing`"),
        ("key", "32 bytes"),
        (KEY, "put it into a file"),
    ] {
        let refused = run(file, "too short");
        assert!(
            refused.stderr.contains("`--sse-c-key`") && refused.stderr.contains(said),
            "{}",
            refused.stderr
        );
        assert_secret(&refused);
    }
    assert_eq!(server.log().len(), 0);
}
