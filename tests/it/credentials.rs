//! Credentials that end during the run, and a source that does not give new ones.

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::harness::{ACCESS_KEY, RawServer, Reply, Run, SECRET_KEY, Server, pattern};

/// How long the first credentials last.
const LIFETIME: Duration = Duration::from_secs(3);

fn credentials(lifetime: Duration) -> Reply {
    let end = time::OffsetDateTime::from(SystemTime::now() + lifetime);
    let rfc3339 = time::format_description::well_known::Rfc3339;
    let end = end.replace_nanosecond(0).unwrap().format(&rfc3339).unwrap();
    let body = serde_json::json!({
        "AccessKeyId": ACCESS_KEY, "SecretAccessKey": SECRET_KEY, "Token": "token", "Expiration": end,
    });
    Reply::new("200 OK\nContent-Type: application/json", body.to_string())
}

/// What the container has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Has {
    /// Credentials that end soon.
    Brief,
    Nothing,
    Lasting,
}

/// Downloads one key with credentials of a container that end soon after, and then others, for which the container has
/// no more than `refusal` for some time.
fn run(refusal: fn() -> Reply, is_for_ever: bool) -> Run {
    let n_refused = Arc::new(AtomicUsize::new(0));
    let has = Arc::new(Mutex::new(Has::Brief));
    let (refused, now) = (Arc::clone(&n_refused), Arc::clone(&has));
    let container = RawServer::start(move |_| match *now.lock().unwrap() {
        Has::Brief => credentials(LIFETIME),
        Has::Lasting => credentials(Duration::from_hours(1)),
        Has::Nothing => {
            refused.fetch_add(1, SeqCst);
            refusal()
        }
    });
    let server = Server::start();
    server.put_patterns(["first", "second", "third"], 100);
    let (running, mut list) = server
        .s3pull()
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .env(
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            &container.url().replace("localhost", "127.0.0.1"),
        )
        .args(["--max-attempts", "1", "--progress", "plain"])
        .start();
    writeln!(list, "first").unwrap();
    until(|| running.folder().join("first").exists());
    *has.lock().unwrap() = Has::Nothing;
    // Until they are over, whenever they were given.
    std::thread::sleep(LIFETIME);
    writeln!(list, "second\nthird").unwrap();
    drop(list);
    if !is_for_ever {
        // The SDK itself asks three times each time.
        until(|| n_refused.load(SeqCst) >= 7);
        *has.lock().unwrap() = Has::Lasting;
    }
    running.wait()
}

fn until(is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_mins(3));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_source_that_fails_for_a_while_is_waited_for_and_no_key_pays() {
    let run = run(|| Reply::new("503 Service Unavailable", ""), false);
    let run = run.expect(0);
    for key in ["first", "second", "third"] {
        assert_eq!(run.read(key), pattern(key, 100));
    }
}

#[test]
fn a_source_that_refuses_ends_the_run_with_its_cause() {
    let run = run(|| Reply::new("403 Forbidden", ""), true);
    let run = run.expect(3);
    let told = "s3pull: error: Credentials: the AWS credentials have expired: the AWS credentials could not be loaded";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert!(
        run.stderr.contains("name a profile with `--profile NAME`"),
        "{}",
        run.stderr
    );
    assert_eq!(run.failed().len(), 2);
}
