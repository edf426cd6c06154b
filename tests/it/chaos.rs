//! Every fault at once, at random: the books still balance, and the CSV completes the job.

use std::time::Duration;

use crate::harness::{Fault, Object, Server, pattern};

const N_KEYS: usize = 1_500;
const CONCURRENCY: usize = 64;

/// How many seeds are run, from 0; `S3PULL_TEST_SEEDS` asks for more.
fn n_seeds() -> u64 {
    std::env::var("S3PULL_TEST_SEEDS").map_or(2, |n| n.parse().unwrap())
}

/// The one object that has a hundred parts.
const IN_A_HUNDRED_PARTS: usize = 101;

fn length(n: usize) -> usize {
    if n == IN_A_HUNDRED_PARTS {
        return (99 << 20) + 5;
    }
    match n % 100 {
        0 => 3_000_000,
        1..10 => 100_000,
        n => n * 20,
    }
}

/// One request in eight goes wrong.
fn fault(random: &mut fastrand::Rng) -> Option<Fault> {
    if random.u32(..8) > 0 {
        return None;
    }
    Some(match random.u32(..14) {
        0 => Fault::Status(500, "InternalError"),
        1 => Fault::Status(503, "SlowDown"),
        2 => Fault::Status(502, ""),
        3 => Fault::Status(403, "AccessDenied"),
        4 => Fault::Status(404, "NoSuchKey"),
        5 => Fault::Html(503),
        6 => Fault::Hang,
        7 => Fault::Stall(random.u64(..1_000)),
        8 => Fault::Trickle(Duration::from_millis(30)),
        9 => Fault::Flip(random.u64(..1_000)),
        10 => Fault::Header("content-range", "bytes 0-0/1"),
        11 => Fault::Status(400, "NeverSeenBefore"),
        _ => Fault::Cut(random.u64(..2_000)),
    })
}

#[test]
fn whatever_happens_every_key_is_accounted_for() {
    for seed in 0..n_seeds() {
        check(seed);
    }
}

fn check(seed: u64) {
    let server = Server::start();
    let keys: Vec<_> = (0..N_KEYS).map(|n| format!("{}/{n}", n % 37)).collect();
    for (n, key) in keys.iter().enumerate() {
        let mut object = Object::new(pattern(key, length(n)));
        if n % 50 == 0 {
            object = object.with_checksums(&["sha256"]);
        }
        server.put(key, object);
    }
    let mut random = fastrand::Rng::with_seed(seed);
    server.by_chance(move || fault(&mut random));
    let args = [
        "-o",
        "out",
        "-j",
        "64",
        "--timeout",
        "1",
        "--max-attempts",
        "4",
        "--part-size",
        "1MiB",
        "--multipart-threshold",
        "2MiB",
    ];
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(args)
        .run();
    let failed = run.failed();
    let files = run.files();
    let n_files = keys
        .iter()
        .filter(|key| files.contains_key(&format!("out/{key}")))
        .count();
    let context = format!(
        "seed {seed}: {} failed, {n_files} files\n{}",
        failed.len(),
        run.stderr
    );
    assert_eq!(run.code, Some(1), "{context}");
    assert_eq!(failed.len() + n_files, N_KEYS, "{context}");
    let downloaded = format!(
        "s3pull: {n_files} downloaded",
        n_files = with_comma(n_files)
    );
    assert!(run.stderr.contains(&downloaded), "{context}");
    for (n, key) in keys.iter().enumerate() {
        if let Some(bytes) = files.get(&format!("out/{key}")) {
            assert!(
                *bytes == pattern(key, length(n)),
                "{key} is not its object; {context}"
            );
        }
    }
    // Only what a later run can use may be beside them: parts of large objects.
    let n_left = files
        .keys()
        .filter(|name| name.contains("/.s3pull-"))
        .count();
    assert!(
        n_left <= 2 * failed.len(),
        "{n_left} left behind; {context}"
    );
    // A request that the client gave up still counts at the server until its connection is closed, which takes a busy one
    // some time. Without a bound there would be as many as keys.
    assert!(
        server.peak() <= 8 * CONCURRENCY,
        "{} in flight; {context}",
        server.peak()
    );

    server.heal();
    let retry = server
        .s3pull()
        .again(&run)
        .args(["-o", "out", "--keys", "s3pull-failed.csv"]);
    let retry = retry
        .args(["--part-size", "1MiB", "--multipart-threshold", "2MiB"])
        .run();
    assert_eq!(
        retry.code,
        Some(0),
        "seed {seed}, the retry:\n{}",
        retry.stderr
    );
    let files = retry.files();
    assert_eq!(files.len(), N_KEYS + 1, "seed {seed}: stray files");
    assert_eq!(retry.failed(), [], "seed {seed}");
}

fn with_comma(n: usize) -> String {
    if n < 1_000 {
        n.to_string()
    } else {
        format!("{},{:03}", n / 1_000, n % 1_000)
    }
}
