//! Measures the cost of throttling: a server accepts N requests at once and refuses more with 503. One run uses a concurrency
//! of N; others use more and have to find the limit.
//!
//!     cargo bench --bench throttling

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its results and panics if it cannot continue"
)]

#[expect(
    dead_code,
    unused_imports,
    reason = "the harness is shared with the tests, which use the rest"
)]
#[path = "../tests/it/harness/mod.rs"]
mod harness;

use std::time::{Duration, Instant};

use harness::Server;

const CAPACITY: usize = 16;
const LATENCY: Duration = Duration::from_millis(20);
const N_KEYS: usize = 6_000;
const N_RUNS: usize = 3;

fn main() {
    println!(
        "a server that accepts {CAPACITY} requests at once and answers each after {LATENCY:?}; {N_KEYS} objects\n"
    );
    println!("  -j   objects/s   refused");
    for concurrency in [CAPACITY, 64, 256] {
        let mut runs: Vec<_> = (0..N_RUNS).map(|_| run(concurrency)).collect();
        runs.sort_by(|a, b| a.0.total_cmp(&b.0));
        let (per_second, refused) = runs[N_RUNS / 2];
        println!(
            "{concurrency:4}   {per_second:9.0}   {:6.2} %",
            refused * 100.0
        );
    }
}

/// Returns objects per second, and the share of requests that were refused.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn run(concurrency: usize) -> (f64, f64) {
    let server = Server::start();
    let keys: Vec<_> = (0..N_KEYS).map(|n| format!("{:02}/{n}", n % 50)).collect();
    server.put_patterns(keys.iter().map(String::as_str), 1_000);
    server.limit_to(CAPACITY, LATENCY);
    let started = Instant::now();
    let run = server
        .s3pull()
        .args(["-j", &concurrency.to_string()])
        .keys(keys.iter().map(String::as_str))
        .run();
    let elapsed = started.elapsed();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    (
        N_KEYS as f64 / elapsed.as_secs_f64(),
        server.n_refused() as f64 / server.log().len() as f64,
    )
}
