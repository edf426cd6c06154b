//! Compares the number in flight that a run finds by itself with fixed ones, from servers near and far, slow and limited:
//!
//!     cargo bench --bench concurrency [-- NAME… seconds=N runs=N]
//!
//! Each run downloads for some seconds (20 without `seconds`), in turn with each number, and is then ended; what counts is what
//! the server had sent by then. The last load, 30,000 objects, is run to its end. A name chooses the loads that contain it.
//! Files are written to a file system in memory if there is one, and removed as they are finished.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its results and panics if it cannot continue"
)]

mod server;

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use server::{Limits, Server};

/// The folder in memory that files are written to, if it exists.
const IN_MEMORY: &str = "/dev/shm";
const NUMBERS: [&str; 5] = ["auto", "8", "32", "128", "512"];
const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Bytes of unfinished files that fit into memory. What would need more is not run.
const ROOM: u64 = 10 << 30;
/// Objects of the run that is timed from its start to its end.
const WHOLE: usize = 30_000;

#[derive(Debug, Clone)]
struct Load {
    name: String,
    /// Bytes.
    size: u64,
    latency: Duration,
    limits: Limits,
    /// Objects of a run that ends by itself.
    n_objects: Option<usize>,
}

fn loads() -> Vec<Load> {
    let load = |name: String, size, latency, limits| Load {
        name,
        size,
        latency: Duration::from_millis(latency),
        limits,
        n_objects: None,
    };
    let sizes = [("10KiB", 10 * KIB), ("1MiB", MIB), ("64MiB", 64 * MIB)];
    let mut loads = Vec::new();
    for (name, size) in sizes {
        for latency in [0, 1, 10, 30, 100] {
            let name = format!("{name}-{latency}ms");
            loads.push(load(name, size, latency, Limits::default()));
        }
    }
    let bandwidth = Limits {
        bandwidth: 200 * MIB,
        ..Limits::default()
    };
    loads.push(load("1MiB-200MiB/s".to_owned(), MIB, 10, bandwidth));
    let slots = Limits {
        slots: 64,
        ..Limits::default()
    };
    loads.push(load("10KiB-64slots".to_owned(), 10 * KIB, 20, slots));
    loads.push(Load {
        n_objects: Some(WHOLE),
        ..load(
            "10KiB-30ms-whole".to_owned(),
            10 * KIB,
            30,
            Limits::default(),
        )
    });
    loads
}

fn main() {
    let args: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    let option = |name: &str| {
        args.iter()
            .find_map(|arg| arg.strip_prefix(name)?.parse::<u32>().ok())
    };
    let seconds = Duration::from_secs(option("seconds=").unwrap_or(20).into());
    let n_runs = option("runs=").unwrap_or(1);
    let names: Vec<_> = args.iter().filter(|arg| !arg.contains('=')).collect();
    println!("| load | {} | auto / best fixed |", NUMBERS.join(" | "));
    println!("|{}", " --- |".repeat(NUMBERS.len() + 2));
    for load in loads() {
        if !names.is_empty() && !names.iter().any(|name| load.name.contains(name.as_str())) {
            continue;
        }
        let mut results = NUMBERS.map(|_| Vec::new());
        for _ in 0..n_runs {
            for (number, results) in NUMBERS.iter().zip(&mut results) {
                let fits = |n: u64| n * load.size <= ROOM;
                if number.parse().is_ok_and(|n| !fits(n)) {
                    results.push(Measured::NOTHING);
                } else {
                    results.push(run(&load, number, seconds));
                }
            }
        }
        let medians = results.map(|mut results| {
            results.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
            results.swap_remove(results.len() / 2)
        });
        let best = medians[1..]
            .iter()
            .map(|result| result.per_second)
            .fold(0.0, f64::max);
        let shown: Vec<_> = medians.iter().map(|result| result.shown.as_str()).collect();
        println!(
            "| {} | {} | {:.2} |",
            load.name,
            shown.join(" | "),
            medians[0].per_second / best
        );
    }
}

/// What one run came to.
struct Measured {
    /// Objects per second, or bytes where these are large.
    per_second: f64,
    shown: String,
}

impl Measured {
    const NOTHING: Self = Self {
        per_second: 0.0,
        shown: String::new(),
    };
}

#[expect(clippy::cast_precision_loss, reason = "shown rounded")]
fn run(load: &Load, number: &str, seconds: Duration) -> Measured {
    let server = Server::start(load.latency, None, load.limits);
    let folder = if Path::new(IN_MEMORY).is_dir() {
        tempfile::tempdir_in(IN_MEMORY).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    let output = folder.path().join("out");
    std::fs::create_dir(&output).unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let remover = {
        let (output, is_over) = (output.clone(), Arc::clone(&is_over));
        // Few files fit into memory if they are large.
        let is_needed = load.size >= MIB;
        std::thread::spawn(move || {
            while is_needed && !is_over.load(Relaxed) {
                remove_finished(&output);
                std::thread::sleep(Duration::from_millis(100));
            }
        })
    };
    let started = Instant::now();
    let (mut child, stdin) = start(&server, number, &output);
    let (size, n_objects) = (load.size, load.n_objects.unwrap_or(usize::MAX));
    let writer = std::thread::spawn(move || write_keys(stdin, size, n_objects));
    let elapsed = if load.n_objects.is_some() {
        assert!(child.wait().unwrap().success(), "{} {number}", load.name);
        started.elapsed()
    } else {
        std::thread::sleep(seconds);
        started.elapsed()
    };
    let (n, bytes) = (
        server.sent().n_bodies.load(Relaxed) as f64 / elapsed.as_secs_f64(),
        server.sent().bytes.load(Relaxed) as f64 / elapsed.as_secs_f64(),
    );
    let n_refused = server.sent().n_refused.load(Relaxed);
    if load.n_objects.is_none() {
        assert!(
            child.try_wait().unwrap().is_none(),
            "{} {number} has ended",
            load.name
        );
        child.kill().unwrap();
        child.wait().unwrap();
    }
    is_over.store(true, Relaxed);
    writer.join().unwrap();
    remover.join().unwrap();
    let refused = if n_refused > 0 {
        let share = n_refused as f64 / (n * elapsed.as_secs_f64() + n_refused as f64);
        format!(" ({:.1} % refused)", 100.0 * share)
    } else {
        String::new()
    };
    let (per_second, shown) = if load.size < MIB {
        (n, format!("{n:.0} objects/s{refused}"))
    } else {
        (bytes, format!("{:.0} MiB/s{refused}", bytes / MIB as f64))
    };
    let shown = match load.n_objects {
        Some(_) => format!("{:.2} s", elapsed.as_secs_f64()),
        None => shown,
    };
    Measured { per_second, shown }
}

fn start(server: &Server, number: &str, output: &Path) -> (Child, ChildStdin) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_s3pull"))
        .args(["--bucket", "bucket", "--quiet", "--keys", "-", "-j", number])
        .args(["--endpoint-url", &server.url(), "--output"])
        .arg(output)
        .env_remove("AWS_CA_BUNDLE")
        .env("AWS_ACCESS_KEY_ID", "a")
        .env("AWS_SECRET_ACCESS_KEY", "b")
        .env("AWS_REGION", "us-east-1")
        .current_dir(output.parent().unwrap())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    (child, stdin)
}

/// Writes keys until there are enough, or nobody reads them any more.
fn write_keys(stdin: ChildStdin, size: u64, n_objects: usize) {
    let mut stdin = std::io::BufWriter::new(stdin);
    for n in 0..n_objects {
        if writeln!(stdin, "{size}/{:05}/{n:08}", n / 1000).is_err() {
            return;
        }
    }
    // A child that was killed reads no more.
    let _ = stdin.flush();
}

/// Removes the files below `folder` that have their final names.
fn remove_finished(folder: &Path) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            remove_finished(&entry.path());
        } else if !entry.file_name().to_string_lossy().starts_with(".s3pull-") {
            // The run may have been ended, and its folder removed, meanwhile.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}
