//! Trouble that hits everything for a time: it costs an object one attempt, however many of its parts it hits.

use std::time::Duration;

use crate::harness::{Fault, Gate, Object, RefusingPort, Run, Running, S3pull, Server, pattern};

const MIB: usize = 1024 * 1024;
const N_PARTS: usize = 100;
const CONCURRENCY: [&str; 3] = ["2", "16", "64"];
const IN_PARTS: [&str; 4] = ["--part-size", "1MiB", "--multipart-threshold", "2MiB"];

/// A server with one object of 100 parts.
fn server() -> Server {
    let server = Server::start();
    server.put("k", object("k"));
    server
}

fn object(seed: &str) -> Object {
    let mut object = Object::new(pattern(seed, N_PARTS * MIB));
    // Else it would be computed for each request.
    object.etag = Some(seed.to_owned());
    object
}

fn in_parts(server: &Server, concurrency: &str) -> S3pull {
    let run = server.s3pull().args(IN_PARTS);
    run.args(["-j", concurrency]).keys(["k"])
}

/// Runs while `trouble` happens, once a fifth of the object is on its way, and no more; it must come right.
#[track_caller]
fn outlasts(concurrency: &str, trouble: impl Fn(&Server)) -> Run {
    let server = server();
    server.dam("k", 20 * MIB as u64);
    let (running, mut stdin) = in_parts(&server, concurrency).start();
    std::io::Write::write_all(&mut stdin, b"k\n").unwrap();
    drop(stdin);
    server.wait_for_bytes("k", 20 * MIB as u64);
    trouble(&server);
    server.dam("k", u64::MAX);
    let run = running.wait().expect(0);
    assert!(run.read("k") == pattern("k", N_PARTS * MIB));
    assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
    run
}

#[test]
fn an_object_outlasts_connections_that_all_break() {
    for concurrency in CONCURRENCY {
        outlasts(concurrency, |server| {
            for _ in 0..3 {
                let more = server.bytes_sent("k") + MIB as u64;
                server.break_connections();
                server.dam("k", more);
                server.wait_for_bytes("k", more);
            }
        });
    }
}

#[test]
fn an_object_outlasts_a_server_that_is_restarted() {
    for concurrency in CONCURRENCY {
        outlasts(concurrency, |server| server.restart(Duration::from_secs(1)));
    }
}

#[test]
fn an_object_outlasts_a_second_of_refusals() {
    for concurrency in CONCURRENCY {
        outlasts(concurrency, |server| {
            server.refuse_for(Duration::from_secs(1));
        });
    }
}

#[test]
fn an_object_alone_outlasts_refusals_that_its_attempts_do_not() {
    // Seven attempts last for some fifteen seconds, or less, which the refusals may well do too.
    let server = server();
    server.dam("k", 20 * MIB as u64);
    let (running, mut stdin) = in_parts(&server, "16")
        .args(["--max-attempts", "7"])
        .start();
    std::io::Write::write_all(&mut stdin, b"k\n").unwrap();
    drop(stdin);
    server.wait_for_bytes("k", 20 * MIB as u64);
    server.refuse_for(Duration::from_secs(12));
    server.break_connections();
    server.dam("k", u64::MAX);
    let run = running.wait().expect(0);
    assert!(run.read("k") == pattern("k", N_PARTS * MIB));
}

#[test]
fn an_object_outlasts_a_server_that_takes_few_requests_at_once() {
    let server = server();
    server.limit_to(16, Duration::from_millis(20));
    let run = in_parts(&server, "64").run().expect(0);
    assert!(run.read("k") == pattern("k", N_PARTS * MIB));
}

/// 300 small objects. The server holds the last one, so that the run does not end before the trouble.
fn small_objects(server: &Server) -> (Vec<String>, Gate) {
    let keys: Vec<_> = (0..300).map(|n| n.to_string()).collect();
    server.put_patterns(keys.iter().map(String::as_str), 1_000);
    server.limit_to(usize::MAX, Duration::from_millis(10));
    (keys, server.gate("299"))
}

/// Starts the binary with these keys.
fn start(server: &Server, keys: &[String], args: &[&str]) -> Running {
    let (running, mut stdin) = server.s3pull().args(args.iter().copied()).start();
    std::io::Write::write_all(&mut stdin, (keys.join("\n") + "\n").as_bytes()).unwrap();
    running
}

#[test]
fn small_objects_outlast_a_server_that_is_restarted() {
    for concurrency in CONCURRENCY {
        let server = Server::start();
        let (keys, last) = small_objects(&server);
        let running = start(&server, &keys, &["-j", concurrency]);
        server.wait_for_requests(50);
        server.restart(Duration::from_secs(1));
        last.open();
        let run = running.wait().expect(0);
        assert_eq!(run.files().len(), 300);
    }
}

#[test]
fn an_outage_of_the_run_is_charged_to_no_key() {
    let outages: [fn(&Server); 2] = [
        |server| server.restart(Duration::from_secs(5)),
        |server| server.refuse_for(Duration::from_secs(5)),
    ];
    for outage in outages {
        let server = Server::start();
        let (keys, last) = small_objects(&server);
        // The first two seconds may cost an object some of its attempts, the rest of the outage none.
        let running = start(&server, &keys, &["-j", "64", "--max-attempts", "6"]);
        server.wait_for_requests(50);
        outage(&server);
        last.open();
        let run = running.wait().expect(0);
        assert_eq!(run.files().len(), 300);
        // One at a time tries: no storm of requests meanwhile.
        assert!(server.log().len() < 500, "{} requests", server.log().len());
    }
}

#[test]
fn objects_that_always_fail_are_not_taken_for_an_outage_when_all_others_are_done() {
    let server = Server::start();
    server.put_patterns(["a", "b", "c", "d"], 100);
    for key in ["c", "d"] {
        let faults = std::iter::repeat_n(Fault::Status(500, "InternalError"), 100);
        server.script(key, faults);
    }
    let run = server
        .s3pull()
        .args(["-j", "2", "--max-attempts", "7", "--max-outage", "5"])
        .keys(["a", "b", "c", "d"])
        .run()
        .expect(1);
    let mut failed = run.failed();
    failed.sort();
    let code = "InternalError".to_owned();
    assert_eq!(
        failed,
        [("c".to_owned(), code.clone()), ("d".to_owned(), code)]
    );
}

#[test]
fn an_outage_that_lasts_ends_the_run_with_its_cause_and_every_row() {
    let server = Server::start();
    let (keys, _last) = small_objects(&server);
    let running = start(&server, &keys, &["-j", "16", "--max-outage", "2"]);
    server.wait_for_requests(50);
    server.restart(Duration::from_hours(1));
    let run = running.wait().expect(3);
    assert!(
        run.stderr.contains("nothing got through for"),
        "{}",
        run.stderr
    );
    let n_files = keys
        .iter()
        .filter(|key| run.folder().join(key).exists())
        .count();
    assert_eq!(n_files + run.failed().len(), 300);
}

#[test]
fn a_server_that_was_never_there_ends_the_run_soon() {
    let port = RefusingPort::new();
    for endpoint in [port.url(), "http://nosuch.invalid".to_owned()] {
        let started = std::time::Instant::now();
        let keys: Vec<_> = (0..10_000).map(|n| n.to_string()).collect();
        let run = S3pull::new()
            .args(["--bucket", "b", "--endpoint-url", &endpoint])
            .keys(keys.iter().map(String::as_str))
            .run()
            .expect(3);
        // An outage is waited out for five minutes.
        assert!(started.elapsed() < Duration::from_mins(3), "{endpoint}");
        assert_eq!(run.failed().len(), 10_000);
    }
}

#[test]
fn a_server_with_a_rate_is_followed() {
    for concurrency in ["64", "256"] {
        let server = Server::start();
        let keys: Vec<_> = (0..200).map(|n| n.to_string()).collect();
        server.put_patterns(keys.iter().map(String::as_str), 100);
        server.limit_rate_to(40.0);
        let run = server
            .s3pull()
            .args(["-j", concurrency])
            .keys(keys.iter().map(String::as_str))
            .run()
            .expect(0);
        assert_eq!(run.files().len(), 200);
        // A quarter is refused, and three quarters where nothing follows.
        let (n_refused, n) = (server.n_refused(), server.log().len());
        assert!(n_refused * 2 < n, "{n_refused} of {n} refused");
    }
}

#[test]
fn one_row_that_is_refused_after_others_were_accepted_fails_alone() {
    let server = Server::start();
    server.put_patterns(["a", "b", "c"], 100);
    for code in [
        "SignatureDoesNotMatch",
        "AccessDenied",
        "InvalidAccessKeyId",
    ] {
        server.script("b", [Fault::Status(403, code)]);
        let run = server
            .s3pull()
            .args(["-j", "1"])
            .keys(["a", "b", "c"])
            .run()
            .expect(1);
        assert_eq!(run.failed(), [("b".to_owned(), code.to_owned())]);
        // Before anything was accepted they are everybody's.
        if code != "AccessDenied" {
            server.script("b", [Fault::Status(403, code)]);
            server
                .s3pull()
                .args(["-j", "1"])
                .keys(["b", "a"])
                .run()
                .expect(3);
        }
    }
}

#[test]
fn an_object_that_is_replaced_once_comes_right_and_is_charged_once() {
    for concurrency in CONCURRENCY {
        let server = server();
        let new = object("new");
        // The first GET does not bring it all, so that there is a sixth one.
        server.script("k", [Fault::Stall(MIB as u64)]);
        server.skip("k", 4);
        server.script("k", [Fault::Replace(Box::new(new.clone()))]);
        let run = in_parts(&server, concurrency)
            .args(["--max-attempts", "2", "--json"])
            .run()
            .expect(0);
        assert!(run.read("k") == new.body, "-j {concurrency}");
        assert!(run.stdout.contains(r#""attempts":2,"#), "{}", run.stdout);
        assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
    }
}

#[test]
fn an_object_that_is_replaced_for_ever_fails_after_its_attempts() {
    let server = server();
    // No plain GET brings it all: each attempt needs parts.
    server.spoil_wholes(Fault::Stall(MIB as u64));
    let others: Vec<_> = (0..12)
        .map(|n| {
            let mut other = Object::new(pattern(&n.to_string(), 20 * MIB));
            other.etag = Some(n.to_string());
            other
        })
        .collect();
    let mut n = 0;
    server.by_chance(move || {
        n += 1;
        (n % 8 == 0).then(|| Fault::Replace(Box::new(others[n / 8 % 12].clone())))
    });
    let run = in_parts(&server, "16")
        .args(["--max-attempts", "3"])
        .run()
        .expect(1);
    assert_eq!(run.failed(), [("k".to_owned(), "ObjectChanged".to_owned())]);
    assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
}

#[test]
fn a_part_that_always_fails_is_not_tried_for_ever() {
    let server = Server::start();
    server.put_patterns(["k"], 4 * MIB);
    server.by_chance(|| Some(Fault::Cut(1000)));
    let run = in_parts(&server, "4")
        .args(["--max-attempts", "3"])
        .run()
        .expect(1);
    assert_eq!(run.failed()[0].0, "k");
    // Four parts, three rounds.
    let most = 12 + run.n_sent_again();
    assert!(
        server.log().len() <= most,
        "{} requests",
        server.log().len()
    );
}

#[test]
fn the_first_part_is_never_asked_for_again() {
    for (n_parts, concurrency) in [(2, "16"), (3, "64")] {
        let server = Server::start();
        let keys: Vec<_> = (0..16).map(|n| n.to_string()).collect();
        server.put_patterns(keys.iter().map(String::as_str), n_parts * MIB);
        for key in &keys {
            server.script(key, [Fault::Slow(Duration::from_millis(10))]);
        }
        let run = server
            .s3pull()
            .args(IN_PARTS)
            .args(["-j", concurrency])
            .keys(keys.iter().map(String::as_str))
            .run()
            .expect(0);
        for key in &keys {
            assert!(run.read(key) == pattern(key, n_parts * MIB));
        }
        let log = server.log();
        let most = keys.len() * n_parts + run.n_sent_again();
        assert!(log.len() <= most, "{}", log.len());
        let is_of_first = |range: &str| range.starts_with("bytes=0-");
        let ranges = log
            .iter()
            .filter_map(|request| request.headers.get("range"));
        let n_first = ranges
            .filter(|range| is_of_first(range.to_str().unwrap()))
            .count();
        assert!(n_first <= run.n_sent_again(), "{n_first}");
    }
}

#[test]
fn as_many_parts_are_as_many_requests() {
    // The first GET is held and there is a permit for each part: every other part goes to a helper.
    for n_parts in [2, 3, 16] {
        let server = Server::start();
        server.put_patterns(["k"], n_parts * MIB);
        let gate = Gate::closed();
        server.script("k", [Fault::Hold(1, gate.clone())]);
        // So that no silence is a reason for another request.
        let args = [&IN_PARTS[..], &["--timeout", "600"]].concat();
        let running = start(&server, &["k".to_owned()], &args);
        server.wait_for_requests(n_parts);
        gate.open();
        let run = running.wait().expect(0);
        run.expect_requests(server.n_requests("k"), n_parts);
    }
}
