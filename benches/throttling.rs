//! Measures the cost of throttling: a server accepts N requests at once and refuses more with 503, or N per second, or closes
//! more than N connections. Runs that use more have to find the limit.
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

use harness::{RawServer, Reply, Run, Server};

const CAPACITY: usize = 16;
const LATENCY: Duration = Duration::from_millis(20);
const N_KEYS: usize = 6_000;
const N_RUNS: usize = 3;
/// Requests per second, and objects.
const RATES: [(f64, usize); 2] = [(5.0, 200), (20.0, 400)];
const CONNECTIONS: usize = 16;
const N_OVER_CONNECTIONS: usize = 3_000;

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
    println!("\na server that accepts so many requests per second\n");
    println!("  rate     -j   of that rate   refused");
    for (rate, n_keys) in RATES {
        for concurrency in ["auto", "256"] {
            let (used, refused) = run_at_rate(rate, n_keys, concurrency);
            println!(
                "{rate:4}/s   {concurrency:>4}   {:10.0} %   {:6.2} %",
                used * 100.0,
                refused * 100.0
            );
        }
    }
    println!(
        "\na server that closes more than {CONNECTIONS} connections; {N_OVER_CONNECTIONS} objects\n"
    );
    println!("  -j   objects/s   closed");
    for concurrency in ["16", "256", "auto"] {
        let (per_second, n_closed) = run_over_connections(concurrency);
        println!("{concurrency:>4}   {per_second:9.0}   {n_closed:6}");
    }
}

/// Returns the share of the allowed rate that was used, and the share of requests that were refused.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn run_at_rate(rate: f64, n_keys: usize, concurrency: &str) -> (f64, f64) {
    let server = Server::start();
    let keys: Vec<_> = (0..n_keys).map(|n| n.to_string()).collect();
    server.put_patterns(keys.iter().map(String::as_str), 1_000);
    server.limit_rate_to(rate);
    let started = Instant::now();
    let run = server
        .s3pull()
        .args(["-j", concurrency])
        .keys(keys.iter().map(String::as_str))
        .run();
    let elapsed = started.elapsed();
    assert_whole(&run);
    (
        n_keys as f64 / elapsed.as_secs_f64() / rate,
        server.n_refused() as f64 / server.log().len() as f64,
    )
}

/// Returns objects per second, and the connections that were closed at once.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
fn run_over_connections(concurrency: &str) -> (f64, usize) {
    let server = RawServer::start(|_| Reply::new("200 OK\nETag: \"e\"", [b'x'; 1_000]));
    server.limit_connections_to(CONNECTIONS);
    let keys: Vec<_> = (0..N_OVER_CONNECTIONS).map(|n| n.to_string()).collect();
    let started = Instant::now();
    let run = server
        .s3pull()
        .args(["-j", concurrency])
        .keys(keys.iter().map(String::as_str))
        .run();
    let elapsed = started.elapsed();
    assert_whole(&run);
    let per_second = N_OVER_CONNECTIONS as f64 / elapsed.as_secs_f64();
    (per_second, server.n_closed())
}

fn assert_whole(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
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
    assert_whole(&run);
    (
        N_KEYS as f64 / elapsed.as_secs_f64(),
        server.n_refused() as f64 / server.log().len() as f64,
    )
}
