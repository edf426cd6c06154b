//! Replies as real servers, gateways and broken ones send them.

use std::time::{Duration, Instant};

use crate::harness::{RawServer, Reply, sooner_or_later};

const HELLO: &str = "hello";
static BLANKS: [u8; 64 * 1024] = [b' '; 64 * 1024];

fn hello(headers: &str) -> Reply {
    Reply::new(&format!("200 OK\nETag: \"e\"{headers}"), HELLO)
}

#[track_caller]
fn assert_downloads(reply: fn() -> Reply) {
    let server = RawServer::scripted([reply]);
    let run = server.s3pull().keys(["k"]).run().expect(0);
    assert_eq!(run.read("k"), HELLO.as_bytes());
    assert!(server.log().len() <= 2, "{:?}", server.log());
}

/// Fails with this code, and leaves nothing at the path.
#[track_caller]
fn assert_fails(reply: fn() -> Reply, code: &str) -> String {
    let server = RawServer::scripted([reply]);
    let run = server
        .s3pull()
        .args(["--max-attempts", "2"])
        .keys(["k"])
        .run();
    assert_ne!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(
        run.failed(),
        [("k".to_owned(), code.to_owned())],
        "{}",
        run.stderr
    );
    assert!(!run.folder().join("k").exists());
    run.stderr
}

#[test]
fn headers_that_nobody_needs_change_nothing() {
    let replies: [fn() -> Reply; 9] = [
        || {
            hello(
                "\nCache-Control: no-cache\nCache-Control: max-age=0\nContent-Type: a\nContent-Type: b",
            )
        },
        || hello("\nETag: \"other\""),
        || hello("\nLast-Modified: yesterday\nExpires: 0\nx-amz-missing-meta: many"),
        || {
            hello(
                "\nx-amz-server-side-encryption-bucket-key-enabled: True\nx-amz-delete-marker: no",
            )
        },
        || hello("\nx-amz-meta-name: caf\u{e9} \u{1f600}\nContent-Disposition: \u{fc}"),
        || hello("\nNo colon in this line\nBad Name: x\n(odd): y"),
        || hello("\nX-Folded: one\n two\n\tthree\nX-Space : z"),
        || Reply::new("200", HELLO),
        || hello(&"\nx-amz-meta-a: 1".repeat(400)),
    ];
    for reply in replies {
        assert_downloads(reply);
    }
}

#[test]
fn the_time_of_an_object_is_taken_in_any_form() {
    for written in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 09:49:37 +0100",
        "1994-11-06T08:49:37.000Z",
    ] {
        let server = RawServer::start(move |_| hello(&format!("\nLast-Modified: {written}")));
        let run = server.s3pull().keys(["k"]).run().expect(0);
        let modified = run
            .folder()
            .join("k")
            .metadata()
            .unwrap()
            .modified()
            .unwrap();
        let seconds = modified
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        assert_eq!(seconds, 784_111_777, "{written}");
    }
}

#[test]
fn only_success_that_is_the_object_is_success() {
    assert_downloads(|| Reply::new("206 Partial\nContent-Range: BYTES 0-4/5", HELLO));
    assert_downloads(|| {
        Reply::raw(
            "200 OK\nTransfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
        )
    });
    // CRC-32 of the body.
    assert_downloads(|| Reply::raw("200 OK\nx-amz-checksum-crc32: NhCmhg==", HELLO));
    let replies: [fn() -> Reply; 10] = [
        || Reply::new("206 Partial\nContent-Range: bytes 0-4/9", HELLO),
        || Reply::new("206 Partial\nContent-Range: bytes 1-5/6", HELLO),
        || Reply::new("206 Partial", HELLO),
        || Reply::raw("204 No Content", ""),
        || Reply::new("202 Accepted", HELLO),
        || Reply::new("203 Non-Authoritative", HELLO),
        // Nothing says whether this is all.
        || Reply::raw("200 OK", HELLO),
        || Reply::raw("200 OK\nTransfer-Encoding: identity", HELLO),
        || {
            Reply::raw(
                "200 OK\nTransfer-Encoding: gzip, chunked",
                "5\r\nhello\r\n0\r\n\r\n",
            )
        },
        || {
            Reply::raw(
                "200 OK\nTransfer-Encoding: chunked\nContent-Encoding: gzip",
                "5\r\nhello\r\n0\r\n\r\n",
            )
        },
    ];
    for reply in replies {
        assert_fails(reply, "InvalidResponse");
    }
    assert_fails(
        || Reply::raw("200 OK\nx-amz-checksum-crc32: AAAAAA==", HELLO),
        "ChecksumMismatch",
    );
}

#[test]
fn what_is_not_http_is_an_invalid_response() {
    for bytes in ["SSH-2.0-OpenSSH_9.6", "HTTP/1.1 abc", "\u{0}\u{1}\u{2}"] {
        let server = RawServer::start(move |_| Reply::bytes(bytes));
        let run = server
            .s3pull()
            .args(["--max-attempts", "2"])
            .keys(["k"])
            .run()
            .expect(1);
        assert_eq!(
            run.failed(),
            [("k".to_owned(), "InvalidResponse".to_owned())],
            "{}",
            run.stderr
        );
    }
}

#[test]
fn the_body_of_an_error_is_bounded_in_time_and_size() {
    const HEAD: &str = "503 Slow Down\nContent-Length: 100000000";
    const SLOW: &str = "<Error><Code>SlowDown</Code><Message>m</Message>";
    let code = |server: &RawServer, timeout: &str| {
        let args = ["--max-attempts", "1", "--timeout", timeout];
        let run = server.s3pull().args(args).keys(["k"]).run().expect(1);
        run.failed()[0].1.clone()
    };
    let silent = RawServer::start(|_| Reply::raw(HEAD, SLOW).then_silence());
    let trickling =
        RawServer::start(|_| Reply::raw(HEAD, SLOW).then_again(b"x", Duration::from_millis(100)));
    for server in [silent, trickling] {
        // Where the machine stalls, the status may not come in time either.
        sooner_or_later(|| {
            let code = code(&server, "1");
            assert!(["SlowDown", "Timeout"].contains(&code.as_str()), "{code}");
            code == "SlowDown"
        });
    }
    let endless =
        RawServer::start(|_| Reply::raw("503 Slow Down", SLOW).then_again(&BLANKS, Duration::ZERO));
    let started = Instant::now();
    assert_eq!(code(&endless, "600"), "SlowDown");
    assert!(
        started.elapsed() < Duration::from_mins(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn errors_are_understood_however_they_are_written() {
    let replies: [fn() -> Reply; 4] = [
        || {
            Reply::new(
                "404 Not Found",
                "\n<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code></Error>",
            )
        },
        || {
            Reply::new(
                "404 Not Found",
                "<ErrorResponse><Error><Code>NoSuchKey</Code></Error></ErrorResponse>",
            )
        },
        || {
            Reply::raw(
                "404 Not Found\nConnection: close",
                "<Error><Code>NoSuchKey</Code><Message>cut",
            )
        },
        || {
            let text = "<Error><Code>NoSuchKey</Code></Error>";
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            Reply::new("404 Not Found", [b"\xfe\xff".as_slice(), &bytes].concat())
        },
    ];
    for reply in replies {
        assert_fails(reply, "NoSuchKey");
    }
}

#[test]
fn a_server_that_is_not_s3_is_called_so() {
    let stderr = assert_fails(|| Reply::new("404 Not Found", "<html></html>"), "Http404");
    assert!(
        stderr.contains("does not look like an S3 server"),
        "{stderr}"
    );
    let server = RawServer::start(|head| {
        if head.starts_with("GET /bucket/good") {
            hello("")
        } else {
            Reply::new("404 Not Found", "")
        }
    });
    let run = server
        .s3pull()
        .args(["-j", "1"])
        .keys(["good", "k"])
        .run()
        .expect(1);
    assert!(!run.stderr.contains("does not look like"), "{}", run.stderr);
}

const PAGE: &str = "200 OK\nContent-Type: text/html; charset=utf-8";

#[test]
fn a_web_page_in_place_of_the_first_object_ends_the_run() {
    let server = RawServer::start(|_| Reply::new(PAGE, "<html>Sign in</html>"));
    let run = server.s3pull().keys(["a", "b", "c"]).run().expect(3);
    assert!(run.stderr.contains("a web page in place"), "{}", run.stderr);
    assert_eq!(run.failed().len(), 3);
    assert!(!run.folder().join("a").exists());
}

#[test]
fn a_web_page_in_place_of_a_later_object_is_waited_out() {
    let replies: [fn() -> Reply; 2] = [
        || Reply::new(PAGE, "<html>Sign in</html>"),
        || Reply::new("302 Found\nLocation: http://login.example/", ""),
    ];
    for page in replies {
        let mut turn = 0;
        let server = RawServer::start(move |_| {
            turn += 1;
            if (2..5).contains(&turn) {
                page()
            } else {
                hello("\nx-amz-request-id: 1")
            }
        });
        assert_each_takes_one_attempt(&server);
    }
}

/// Downloads three objects, one after the other, of which none may fail once.
#[track_caller]
fn assert_each_takes_one_attempt(server: &RawServer) {
    let run = server
        .s3pull()
        .args(["-j", "1", "--max-attempts", "1"])
        .keys(["a", "b", "c"])
        .run()
        .expect(0);
    for key in ["a", "b", "c"] {
        assert_eq!(run.read(key), HELLO.as_bytes());
    }
}

#[test]
fn pages_and_documents_that_are_objects_are_downloaded() {
    assert_downloads(|| Reply::new(&format!("{PAGE}\nETag: \"e\""), HELLO));
    assert_downloads(|| {
        Reply::new(
            &format!("{PAGE}\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT"),
            HELLO,
        )
    });
    assert_downloads(|| Reply::new("200 OK\nContent-Type: application/xml", HELLO));
}

#[test]
fn an_error_with_the_status_of_success_is_an_error() {
    assert_fails(
        || {
            Reply::new(
                "200 OK\nContent-Type: application/xml\nx-amz-request-id: 1",
                "<?xml version=\"1.0\"?><Error><Code>InternalError</Code></Error>",
            )
        },
        "InternalError",
    );
}

#[test]
fn a_redirect_is_named_and_never_followed() {
    let other = RawServer::start(|_| hello(""));
    let location = format!("{}/bucket/k?X-Amz-Signature=secret", other.url());
    let server =
        RawServer::start(move |_| Reply::new(&format!("302 Found\nLocation: {location}"), ""));
    let run = server.s3pull().keys(["k"]).run().expect(1);
    let told = format!("(it redirects to `{}`)", other.url());
    assert!(run.stderr.contains(&told), "{}", run.stderr);
    assert!(!run.stderr.contains("Signature"), "{}", run.stderr);
    assert!(other.log().is_empty());
}

#[test]
fn refused_credentials_end_the_run_whatever_the_server_calls_them() {
    for reply in [
        (|| Reply::error(401, "Unauthorized")) as fn() -> Reply,
        || Reply::new("401 Unauthorized", ""),
    ] {
        let server = RawServer::scripted([reply]);
        let run = server
            .s3pull()
            .args(["-j", "1"])
            .keys(["a", "b"])
            .run()
            .expect(3);
        assert_eq!(run.failed().len(), 2);
        assert_eq!(server.log().len(), 1);
    }
}

#[test]
fn a_server_that_sends_round_in_circles_is_asked_five_times() {
    let mut turn = 0;
    let server = RawServer::start(move |_| {
        turn += 1;
        let body = format!(
            "<Error><Code>PermanentRedirect</Code><Region>eu-west-{}</Region></Error>",
            turn % 2 + 1
        );
        Reply::new("301 Moved", body)
    });
    server.s3pull().keys(["k"]).run().expect(3);
    assert_eq!(server.log().len(), 5);
}

#[test]
fn a_region_is_corrected_wherever_it_is_named() {
    let malformed = "AuthorizationHeaderMalformed";
    let cases = [
        (String::new(), format!("<Error><Code>{malformed}</Code><Region>eu-west-1</Region></Error>")),
        (
            String::new(),
            format!("<Error><Code>{malformed}</Code><Message>the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message></Error>"),
        ),
        (
            String::new(),
            "<Error><Code>IllegalLocationConstraintException</Code><Message>The eu-west-1 location constraint is incompatible for the region specific endpoint this request was sent to.</Message></Error>".to_owned(),
        ),
        ("\nx-amz-bucket-region: eu-west-1".to_owned(), String::new()),
    ];
    for (header, body) in cases {
        let server = RawServer::start(move |head| {
            if head.replace("%2F", "/").contains("/eu-west-1/s3/") {
                hello("")
            } else {
                Reply::new(&format!("400 Bad Request{header}"), &body)
            }
        });
        let run = server
            .s3pull()
            .args(["--max-attempts", "1"])
            .keys(["k"])
            .run()
            .expect(0);
        assert_eq!(run.read("k"), HELLO.as_bytes());
        assert_eq!(server.log().len(), 2);
    }
}

#[test]
fn a_region_that_is_not_one_is_ignored() {
    let server = RawServer::start(|_| {
        Reply::new(
            "301 Moved\nx-amz-bucket-region: evil.example/",
            "<Error><Code>PermanentRedirect</Code></Error>",
        )
    });
    server.s3pull().keys(["k"]).run().expect(3);
    assert_eq!(server.log().len(), 1);
}

#[test]
fn a_secret_that_a_server_repeats_is_not_shown() {
    let server = RawServer::start(|head| {
        let of_url = head.split_once("X-Amz-Security-Token=");
        let token = of_url.or_else(|| head.split_once("x-amz-security-token: "));
        let token = token.unwrap().1.split(['&', ' ', '\r']).next().unwrap();
        let body = format!(
            "<Error><Code>AccessDenied</Code><Message>{token} and wJalrXUtnFEMI</Message></Error>"
        );
        Reply::new("403 Forbidden", body)
    });
    let run = server
        .s3pull()
        .env("AWS_SESSION_TOKEN", "tokentokentoken")
        .env("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI")
        .keys(["k"])
        .run()
        .expect(1);
    let csv = String::from_utf8(run.read("s3pull-failed.csv")).unwrap();
    for text in [&run.stderr, &csv] {
        assert!(text.contains("*** and ***"), "{text}");
        assert!(
            !text.contains("tokentoken") && !text.contains("wJalrX"),
            "{text}"
        );
    }
}

#[test]
fn an_object_whose_etag_serves_for_no_part_comes_as_a_whole() {
    for etag in ["W/\"weak\"", "unquoted", ""] {
        let body = crate::harness::pattern("k", 3 << 20);
        let server = RawServer::start(move |head| {
            if head.to_lowercase().contains("if-match") {
                Reply::error(412, "PreconditionFailed")
            } else {
                Reply::new(&format!("200 OK\nETag: {etag}"), &body)
            }
        });
        let run = server
            .s3pull()
            .args(["--multipart-threshold", "1MiB", "--part-size", "1MiB"])
            .keys(["k"])
            .run()
            .expect(0);
        assert!(
            run.read("k") == crate::harness::pattern("k", 3 << 20),
            "{etag}"
        );
        assert_eq!(server.log().len(), 1, "{etag}");
    }
}

#[test]
fn a_connection_that_is_closed_under_the_next_request_costs_no_attempt() {
    // Each connection serves once, and closes when it is asked again.
    let mut turn = 0;
    let server = RawServer::start(move |_| {
        turn += 1;
        if turn % 2 == 1 {
            hello("")
        } else {
            Reply::nothing()
        }
    });
    assert_each_takes_one_attempt(&server);
}

#[test]
fn a_new_connection_that_is_closed_without_an_answer_costs_an_attempt() {
    let server = RawServer::start(|_| Reply::nothing());
    let run = server
        .s3pull()
        .args(["-j", "1", "--max-attempts", "2"])
        .keys(["k"])
        .run()
        .expect(1);
    let code = "ConnectionFailed".to_owned();
    assert_eq!(run.failed(), [("k".to_owned(), code)]);
    assert_eq!(server.log().len(), 2);
}

#[test]
fn a_body_that_was_compressed_on_the_way_is_told_by_its_etag_or_the_list() {
    // The MD5 of the body.
    let other = "200 OK\nContent-Encoding: gzip\nETag: \"00000000000000000000000000000000\"";
    assert_downloads(|| {
        Reply::new(
            "200 OK\nContent-Encoding: gzip\nETag: \"5d41402abc4b2a76b9719d911017c592\"",
            HELLO,
        )
    });
    let assert_refused = |head: &str, list: &str, code: &str| {
        let head = head.to_owned();
        let server = RawServer::start(move |_| Reply::new(&head, HELLO));
        let run = server.s3pull().stdin(list).run().expect(1);
        assert_eq!(run.failed(), [("k".to_owned(), code.to_owned())]);
        assert!(!run.folder().join("k").exists());
    };
    assert_refused(other, "k\n", "ChecksumMismatch");
    let opaque = "200 OK\nContent-Encoding: gzip\nETag: \"e-2\"";
    assert_refused(opaque, "key,size,etag\nk,99,e-2\n", "InvalidResponse");
    // The list is of an older object, or the object is stored so.
    for list in ["key,size\nk,99\n", "key,size,etag\nk,5,e-2\n"] {
        let server = RawServer::start(move |_| Reply::new(opaque, HELLO));
        server.s3pull().stdin(list).run().expect(0);
    }
}

#[test]
fn an_object_of_which_each_replica_states_something_else_comes_as_one_stream() {
    let body = crate::harness::pattern("k", 3 << 20);
    let mut turn = 0;
    let server = RawServer::start(move |head| {
        turn += 1;
        let etag = format!("\"{}\"", turn % 3);
        let head = head.to_lowercase();
        let asked = head.split_once("if-match: ").map(|(_, rest)| rest);
        match asked.map(|asked| asked.starts_with(&etag)) {
            None => Reply::new(&format!("200 OK\nETag: {etag}"), &body),
            Some(false) => Reply::error(412, "PreconditionFailed"),
            Some(true) => Reply::error(500, "InternalError"),
        }
    });
    let run = server
        .s3pull()
        .args(["--multipart-threshold", "1MiB", "--part-size", "1MiB"])
        .keys(["k"])
        .run()
        .expect(0);
    assert!(run.read("k") == crate::harness::pattern("k", 3 << 20));
}
