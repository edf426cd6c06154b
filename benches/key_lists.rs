//! Measures how fast lists are read, and how much memory that takes: `cargo bench --bench key_lists`.
//!
//! `cargo bench --bench key_lists -- listing` measures the listing of a bucket of a million keys instead.
//!
//! The real binary reads, maps, checks and prints ten million rows per format with `--dry-run`. A last measurement is the
//! time from writing a row to a pipe that stays open until its GET arrives. Peak memory is Linux's `VmHWM`, sampled every
//! few milliseconds.

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
mod measure;
#[path = "server/mod.rs"]
#[expect(dead_code, reason = "what was sent is counted for another benchmark")]
mod quick_server;

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::Server;

const N_ROWS: u64 = 10_000_000;
/// The folder in memory that lists are written to, if it exists.
const IN_MEMORY: &str = "/dev/shm";

/// A format: its name, its header, and a function that writes a row.
type Format = (&'static str, &'static str, fn(&mut dyn Write, u64));

const FORMATS: [Format; 4] = [
    ("lines", "", |out, n| writeln!(out, "{}", key(n)).unwrap()),
    ("csv", "key,size\n", |out, n| {
        writeln!(out, "{},{}", key(n), n % 100_000).unwrap();
    }),
    ("json", "", |out, n| {
        let (key, size) = (key(n), n % 100_000);
        writeln!(out, r#"{{"key":"s3://b/{key}","etag":"d41d8cd98f00b204e9800998ecf8427e","type":"file","size":{size}}}"#).unwrap();
    }),
    ("aws-s3-ls", "", |out, n| {
        writeln!(out, "2024-01-02 03:04:05 {:10} {}", n % 100_000, key(n)).unwrap();
    }),
];

fn key(n: u64) -> String {
    format!("data/2024/{:04}/{n:08}.json", n / 10_000)
}

fn main() {
    if std::env::args().any(|arg| arg == "listing") {
        return listing();
    }
    let folder = if Path::new(IN_MEMORY).is_dir() {
        tempfile::tempdir_in(IN_MEMORY).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    };
    println!("{N_ROWS} rows, read, mapped, checked and printed to /dev/null");
    println!("format     | from | rows/s    | CPU ns/row   | peak MiB");
    for (format, header, write_row) in FORMATS {
        let path = folder.path().join(format);
        let mut out = BufWriter::new(File::create(&path).unwrap());
        out.write_all(header.as_bytes()).unwrap();
        (0..N_ROWS).for_each(|n| write_row(&mut out, n));
        out.into_inner().unwrap();
        report(format, "file", &mut dry_run(&path), N_ROWS, None);
        report(
            format,
            "pipe",
            &mut dry_run(Path::new("-")),
            N_ROWS,
            Some(&path),
        );
        let packed = folder.path().join("packed");
        let encoder = flate2::write::GzEncoder::new(
            File::create(&packed).unwrap(),
            flate2::Compression::fast(),
        );
        copy(&path, encoder);
        report(format, "gzip", &mut dry_run(&packed), N_ROWS, None);
        std::fs::remove_file(path).unwrap();
    }
    first_row();
}

/// Lists a bucket of a million keys.
fn listing() {
    const N_KEYS: u64 = 1_000_000;
    let server = quick_server::Server::start(Duration::ZERO, None, quick_server::Limits::default());
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3pull"));
    command
        .args(["--bucket", &format!("list-{N_KEYS}"), "--prefix", ""])
        .args(["--output", "/nonexistent", "--dry-run", "--no-sign-request"])
        .args(["--endpoint-url", &server.url()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    println!("source     | from | rows/s    | CPU ns per row | peak MiB");
    report("prefix", "S3  ", &mut command, N_KEYS, None);
    first_page();
}

/// Measures the time from sending a page until the GET of its object arrives.
fn first_page() {
    report_median("from a page to the GET of its object", || {
        let server = Server::start();
        server.put_patterns(["key"], 100);
        let gate = server.gate(harness::LISTING);
        let (running, pipe) = server.s3pull().args(["--prefix", ""]).start();
        server.wait_for_requests(1);
        let started = Instant::now();
        gate.open();
        server.wait_for_requests(2);
        let time = started.elapsed();
        drop(pipe);
        running.wait().expect(0);
        time
    });
}

fn dry_run(list: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_s3pull"));
    command
        .args([
            "--bucket",
            "b",
            "--output",
            "/nonexistent",
            "--dry-run",
            "--keys",
        ])
        .arg(list)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Runs `command` to its end, with the file `piped` on stdin, and prints its figures.
fn report(format: &str, from: &str, command: &mut Command, n_rows: u64, piped: Option<&Path>) {
    let mut writer = None;
    let (cost, mut child, status) = measure::cost(|| {
        let mut child = command.spawn().unwrap();
        let stdin = child.stdin.take().unwrap();
        writer = piped.map(|path| {
            let path = path.to_owned();
            std::thread::spawn(move || copy(&path, stdin))
        });
        child
    });
    if let Some(writer) = writer {
        writer.join().unwrap();
    }
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    let n = n_rows.to_string();
    let millions = n.strip_suffix("000000").unwrap();
    let said = format!("{millions},000,000 rows: {millions},000,000 to download");
    let is_right = status.success() && stderr.contains(&said);
    assert!(is_right, "{stderr}");
    #[expect(clippy::cast_precision_loss, reason = "shown rounded")]
    let (n_rows, peak_kib) = (n_rows as f64, cost.peak_kib as f64);
    println!(
        "{format:10} | {from} | {:9.0} | {:12.0} | {:8.1}",
        n_rows / cost.elapsed.as_secs_f64(),
        (cost.user + cost.system).as_secs_f64() * 1e9 / n_rows,
        peak_kib / 1024.0
    );
}

fn copy(path: &Path, mut to: impl Write) {
    std::io::copy(&mut File::open(path).unwrap(), &mut to).unwrap();
}

/// Measures the time from writing a row to an open pipe until its GET arrives.
fn first_row() {
    report_median("from a row in an open pipe to its GET", || {
        let server = Server::start();
        server.put_patterns(["key"], 100);
        let (running, mut pipe) = server.s3pull().start();
        // This is long enough for the process to start and wait for its list.
        std::thread::sleep(Duration::from_millis(500));
        let started = Instant::now();
        pipe.write_all(b"key\n").unwrap();
        server.wait_for_requests(1);
        let time = started.elapsed();
        drop(pipe);
        running.wait().expect(0);
        time
    });
}

fn report_median(what: &str, once: impl Fn() -> Duration) {
    const N_RUNS: usize = 9;
    let mut times: Vec<_> = (0..N_RUNS).map(|_| once()).collect();
    times.sort();
    println!("{what}: {:?} (median of {N_RUNS})", times[N_RUNS / 2]);
}
