//! Answers that may not be the whole object, or never end: neither is success, and neither holds up the run.

use std::time::{Duration, Instant};

use crate::harness::{BadBody, Fault, Server, pattern, sooner_or_later};

fn server() -> Server {
    let server = Server::start();
    server.put_patterns(["k", "other"], 10_000);
    server
}

#[test]
fn a_success_that_is_not_the_whole_object_is_tried_again() {
    let server = server();
    let faults = [
        Fault::Partial(206, 0..9_999),
        Fault::Partial(206, 1..10_000),
        Fault::Partial(200, 0..5_000),
        Fault::As(202),
        Fault::As(203),
        Fault::As(201),
        Fault::As(204),
        Fault::As(205),
    ];
    for fault in faults {
        let shown = format!("{fault:?}");
        server.script("k", [fault.clone()]);
        let run = server.s3pull().keys(["k"]).run().expect(0);
        assert!(run.read("k") == pattern("k", 10_000), "{shown}");

        server.script("k", [fault.clone(), fault]);
        let run = server
            .s3pull()
            .args(["--max-attempts", "2", "-j", "1"])
            .keys(["k", "other"])
            .run()
            .expect(1);
        let failed = ("k".to_owned(), "InvalidResponse".to_owned());
        assert_eq!(run.failed(), [failed], "{shown}");
        assert!(!run.folder().join("k").exists(), "{shown}");
    }
}

#[test]
fn a_206_that_covers_everything_is_the_object() {
    let server = server();
    server.script("k", [Fault::Partial(206, 0..10_000)]);
    let run = server.s3pull().keys(["k"]).run().expect(0);
    assert!(run.read("k") == pattern("k", 10_000));
    assert_eq!(server.n_requests("k"), 1);
}

#[test]
fn the_body_of_an_error_holds_up_nothing() {
    for body in [BadBody::Stalls, BadBody::Trickles, BadBody::IsEndless] {
        for status in [503, 404, 301] {
            // Where the machine stalls, good answers may not come in time either.
            sooner_or_later(|| {
                let server = server();
                server.script(
                    "k",
                    [Fault::BadError(status, body), Fault::BadError(status, body)],
                );
                // The body would come for a quarter of an hour, or for ever.
                let started = Instant::now();
                let run = server
                    .s3pull()
                    .args(["-j", "1", "--timeout", "0.5", "--max-attempts", "2"])
                    .keys(["k", "other"])
                    .run()
                    .expect(1);
                let shown = format!("{body:?} {status}: {}", run.stderr);
                assert!(started.elapsed() < Duration::from_mins(3), "{shown}");
                let failed: Vec<_> = run.failed().into_iter().map(|(key, _)| key).collect();
                assert_eq!(failed[0], "k", "{shown}");
                failed.len() == 1 && {
                    assert!(run.read("other") == pattern("other", 10_000), "{shown}");
                    true
                }
            });
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn an_error_without_end_costs_no_memory() {
    let server = server();
    server.script("k", [Fault::BadError(500, BadBody::IsEndless)]);
    let (running, mut stdin) = server.s3pull().args(["--timeout", "2"]).start();
    std::io::Write::write_all(&mut stdin, b"k\n").unwrap();
    server.wait_for_requests(2);
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.id())).unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    let kib: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    drop(stdin);
    running.wait().expect(0);
    assert!(kib < 100 * 1024, "{kib} KiB");
}

#[test]
fn a_credentials_endpoint_that_never_ends_its_answer_ends_the_run() {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}/credentials", listener.local_addr().unwrap());
    let answering = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n";
        stream.write_all(head).unwrap();
        // Until the client has had enough of it.
        let mut n_sent = 0_u64;
        while stream.write_all(&vec![b' '; 64 * 1024]).is_ok() && n_sent < 1 << 30 {
            n_sent += 64 * 1024;
        }
        n_sent
    });
    let server = server();
    let run = server
        .s3pull()
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)
        .keys(["k"])
        .run()
        .expect(3);
    assert!(run.stderr.contains("credentials"), "{}", run.stderr);
    assert!(answering.join().unwrap() < 64 << 20);
}

#[test]
fn a_key_of_white_space_is_a_key() {
    let server = server();
    let blank = [" ", "\t", "\u{3000}", "  \t "];
    server.put_patterns(blank, 100);
    let run = server
        .s3pull()
        .keys(["k", " ", "\t", "\u{3000}", "\r", "  \t ", "other"])
        .run()
        .expect(1);
    for key in blank {
        assert!(run.read(key) == pattern(key, 100), "{key:?}");
    }
    assert!(run.read("other") == pattern("other", 10_000));
    assert_eq!(run.failed(), [("\r".to_owned(), "NoSuchKey".to_owned())]);
    // The CSV goes back in.
    server.put_patterns(["\r"], 100);
    let retry = server
        .s3pull()
        .again(&run)
        .args(["--keys", "s3pull-failed.csv"])
        .run()
        .expect(0);
    assert!(retry.read("\r") == pattern("\r", 100));
}
