//! What fails is told truly, and what may pass is tried again.

use crate::harness::{Fault, S3pull, Server, pattern, sooner_or_later};

fn server() -> Server {
    let server = Server::start();
    server.put_patterns(["k", "other"], 1_000_000);
    server
}

#[test]
fn a_missing_key_is_a_row_of_the_csv() {
    let server = server();
    let run = server.s3pull().keys(["k", "missing"]).run().expect(1);
    let csv = String::from_utf8(run.read("s3pull-failed.csv")).unwrap();
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "key,bucket,version_id,error,status,attempts,request_id,message,size,etag,dest,source,last_modified,md5,sha256,sha1,crc32,crc32c,crc64nvme"
        )
    );
    let row = lines.next().unwrap();
    assert!(
        row.starts_with("missing,bucket,,NoSuchKey,404,1,")
            && row.ends_with(",The specified key does not exist.,,,,-:2,,,,,,,"),
        "{row}"
    );
    assert_eq!(lines.next(), None);
    assert!(
        run.stderr
            .contains("s3pull: failed: missing: NoSuchKey: The specified key does not exist."),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("1 downloaded, 0 skipped, 1 failed"),
        "{}",
        run.stderr
    );
}

#[test]
fn server_errors_are_tried_again() {
    let server = server();
    server.script(
        "k",
        [
            Fault::Status(500, "InternalError"),
            Fault::Status(503, "SlowDown"),
            Fault::Status(502, ""),
        ],
    );
    let run = server.s3pull().keys(["k"]).run().expect(0);
    assert!(run.read("k") == pattern("k", 1_000_000));
    assert_eq!(server.n_requests("k"), 4);
}

#[test]
fn a_cut_body_is_tried_again() {
    let server = server();
    server.script("k", [Fault::Cut(0), Fault::Cut(1), Fault::Cut(999_999)]);
    let run = server.s3pull().keys(["k"]).run().expect(0);
    assert!(run.read("k") == pattern("k", 1_000_000));
    assert!(
        run.stderr.contains("976.6 KiB in "),
        "bytes fetched in vain count: {}",
        run.stderr
    );
    assert_eq!(run.files().len(), 1);
}

#[test]
fn the_budget_of_attempts_covers_whatever_fails() {
    let server = server();
    server.script(
        "k",
        [
            Fault::Status(500, ""),
            Fault::Cut(10),
            Fault::Status(500, "InternalError"),
            Fault::Cut(10),
        ],
    );
    let run = server
        .s3pull()
        .keys(["k"])
        .args(["--max-attempts", "3"])
        .run()
        .expect(1);
    assert_eq!(run.failed(), [("k".to_owned(), "InternalError".to_owned())]);
    let csv = String::from_utf8(run.read("s3pull-failed.csv")).unwrap();
    assert!(
        csv.contains("k,bucket,,InternalError,500,3,REQUEST-ID,scripted InternalError"),
        "{csv}"
    );
    assert_eq!(server.n_requests("k"), 3);
    assert!(!run.folder().join("k").exists());
}

#[test]
fn silence_ends_an_attempt() {
    let server = server();
    server.script("k", [Fault::Hang, Fault::Stall(500_000)]);
    let run = server
        .s3pull()
        .keys(["k"])
        .args(["--timeout", "0.3"])
        .run()
        .expect(0);
    assert!(run.read("k") == pattern("k", 1_000_000));
    server.script("k", [Fault::Stall(10), Fault::Hang]);
    let run = server
        .s3pull()
        .keys(["k"])
        .args(["--timeout", "0.3", "--max-attempts", "2"])
        .run()
        .expect(1);
    assert_eq!(run.failed(), [("k".to_owned(), "Timeout".to_owned())]);
}

#[test]
fn answers_without_an_s3_code_are_named_by_their_status() {
    let server = server();
    server.script("k", [Fault::Html(404)]);
    server.script("other", [Fault::Status(403, "")]);
    let run = server.s3pull().keys(["k", "other"]).run().expect(1);
    let codes: Vec<_> = run.failed().into_iter().map(|(_, code)| code).collect();
    assert!(
        codes
            .iter()
            .all(|code| code.starts_with("Http") || code == "NotFound"),
        "{codes:?}"
    );
}

#[test]
fn refused_credentials_end_the_run_and_no_row_is_lost() {
    let server = server();
    let keys: Vec<_> = (0..500).map(|n| n.to_string()).collect();
    let wrong = server
        .s3pull()
        .env("AWS_SECRET_ACCESS_KEY", "wrong")
        .keys(keys.iter().map(String::as_str))
        .args(["-j", "4"]);
    let run = wrong.run().expect(3);
    assert!(
        run.stderr.contains("s3pull: error: SignatureDoesNotMatch"),
        "{}",
        run.stderr
    );
    let failed = run.failed();
    assert_eq!(failed.len(), 500);
    assert!(
        failed
            .iter()
            .filter(|(_, code)| code == "NotAttempted")
            .count()
            >= 490,
        "{failed:?}"
    );
    assert!(server.log().len() <= 8, "{} requests", server.log().len());
}

#[test]
fn a_missing_bucket_ends_the_run() {
    let server = server();
    let run = server
        .s3pull()
        .keys(["k"])
        .args(["--bucket", "nowhere"])
        .run();
    assert_eq!(run.code, Some(2), "two buckets are a contradiction");
    let run = S3pull::new()
        .args(["--bucket", "nowhere", "--endpoint-url", &server.url()])
        .keys(["k", "other"])
        .run()
        .expect(3);
    assert!(
        run.stderr.contains("NoSuchBucket") && run.stderr.contains("\nhint: check `--bucket`"),
        "{}",
        run.stderr
    );
    assert_eq!(run.failed().len(), 2);
}

#[test]
fn no_credentials_are_said_at_once_with_the_cure() {
    let server = server();
    let run = server
        .s3pull()
        .without_env("AWS_ACCESS_KEY_ID")
        .keys(["k"])
        .run()
        .expect(3);
    assert!(
        run.stderr
            .starts_with("s3pull: error: no AWS credentials found"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("hint: ")
            && run.stderr.contains("`--profile NAME`")
            && run.stderr.contains("`--no-sign-request`")
    );
    assert!(run.files().is_empty(), "{:?}", run.files().keys());
}

#[test]
fn nobody_listening_ends_the_run_with_its_cause() {
    let run = S3pull::new()
        .args([
            "--bucket",
            "bucket",
            "--endpoint-url",
            "http://127.0.0.1:1",
            "--max-attempts",
            "2",
        ])
        .keys(["k"])
        .run()
        .expect(3);
    assert_eq!(
        run.failed(),
        [("k".to_owned(), "ConnectionFailed".to_owned())]
    );
    assert!(run.stderr.contains("onnection refused"), "{}", run.stderr);
}

#[test]
fn a_csv_that_cannot_be_written_is_known_before_the_first_request() {
    let server = server();
    let run = server
        .s3pull()
        .keys(["k"])
        .args(["--failed", "no/such/folder.csv"])
        .run()
        .expect(3);
    assert!(
        run.stderr
            .contains("cannot write the failed-keys CSV `no/such/folder.csv`"),
        "{}",
        run.stderr
    );
    assert_eq!(server.log().len(), 0);
}

#[test]
fn server_text_cannot_act_on_the_terminal() {
    let server = server();
    let run = server.s3pull().stdin("evil\x1b[2J\n").run().expect(1);
    assert!(
        run.stderr.contains("evil\\u{1b}[2J") && !run.stderr.contains('\x1b'),
        "{:?}",
        run.stderr
    );
}

#[test]
fn a_body_that_trickles_is_given_up() {
    let server = server();
    server.script("k", [Fault::Trickle(std::time::Duration::from_millis(50))]);
    let run = server
        .s3pull()
        .keys(["k"])
        .args(["--timeout", "0.5"])
        .run()
        .expect(0);
    assert!(run.read("k") == pattern("k", 1_000_000));
    // Where the machine stalls, there may be no answer at all in that time.
    sooner_or_later(|| {
        let trickles = Fault::Trickle(std::time::Duration::from_millis(50));
        server.unscript("k");
        server.script("k", [trickles]);
        let run = server
            .s3pull()
            .keys(["k"])
            .args(["--timeout", "0.5", "--max-attempts", "1"])
            .run()
            .expect(1);
        assert!(run.stderr.contains("Timeout: "), "{}", run.stderr);
        run.stderr.contains("Timeout: only ") && run.stderr.contains("bytes of the body in")
    });
}

#[test]
fn the_wish_of_a_server_to_wait_is_heeded() {
    let server = server();
    server.script(
        "k",
        [Fault::StatusWith(
            503,
            "SlowDown",
            "x-amz-retry-after",
            "1500".to_owned(),
        )],
    );
    let started = std::time::Instant::now();
    server.s3pull().keys(["k"]).run().expect(0);
    assert!(
        started.elapsed().as_millis() >= 1_500,
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_storm_of_resets_loses_nothing() {
    let server = Server::start();
    let keys: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    server.put_patterns(keys.iter().map(String::as_str), 50_000);
    for key in &keys {
        server.script(key, [Fault::Cut(0), Fault::Cut(1_000)]);
    }
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(["-j", "256", "-o", "out"])
        .run()
        .expect(0);
    for key in &keys {
        assert!(
            run.read(&format!("out/{key}")) == pattern(key, 50_000),
            "{key}"
        );
    }
}

#[test]
fn too_many_failures_end_the_run_and_no_row_is_lost() {
    let server = server();
    let keys: Vec<_> = (0..300).map(|n| format!("missing/{n}")).collect();
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(["--max-failures", "5", "-j", "2"])
        .run()
        .expect(3);
    assert!(
        run.stderr
            .contains("s3pull: error: stopped after 5 failed keys (`--max-failures`)"),
        "{}",
        run.stderr
    );
    assert_eq!(run.failed().len(), 300);
    let n_tried = run
        .failed()
        .iter()
        .filter(|(_, code)| code == "NoSuchKey")
        .count();
    assert!((5..=7).contains(&n_tried), "{n_tried}");
}

#[cfg(unix)]
#[test]
fn a_closed_stderr_stops_nothing() {
    let server = server();
    let shell = S3pull::of("sh").args([
        "-c",
        "exec \"$0\" \"$@\" 2>&-",
        env!("CARGO_BIN_EXE_s3pull"),
        "--bucket",
        "bucket",
        "-v",
    ]);
    let run = shell
        .env("AWS_ENDPOINT_URL_S3", &server.url())
        .keys(["k", "missing"])
        .run()
        .expect(1);
    assert!(run.read("k") == pattern("k", 1_000_000));
}

#[cfg(unix)]
#[test]
fn more_concurrency_than_open_files_is_lowered_with_a_warning() {
    let server = Server::start();
    let keys: Vec<_> = (0..2_000).map(|n| format!("{}/{n}", n % 300)).collect();
    server.put_patterns(keys.iter().map(String::as_str), 100);
    let command = "ulimit -n 256 && exec \"$0\" \"$@\"";
    let shell = S3pull::of("sh").args([
        "-c",
        command,
        env!("CARGO_BIN_EXE_s3pull"),
        "--bucket",
        "bucket",
        "-j",
        "2000",
    ]);
    let run = shell
        .env("AWS_ENDPOINT_URL_S3", &server.url())
        .keys(keys.iter().map(String::as_str))
        .run()
        .expect(0);
    assert_eq!(run.files().len(), 2_000);
    let warning = "s3pull: warning: `--concurrency 2000` does not fit into the limit of open files: going on with 61";
    assert_eq!(run.stderr.matches("s3pull: warning:").count(), 1);
    assert!(run.stderr.contains(warning), "{}", run.stderr);
}
