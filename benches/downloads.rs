//! Measures speed, CPU and memory of downloads: `cargo bench --bench downloads`, or with the names of some loads after `--`.
//!
//! The real binary downloads from a server in this process that uses almost no CPU ([`server`]), to a file system in memory
//! if there is one; a bare HTTP client and a naive loop ([`yardsticks`]) do the same for comparison. CPU is that of the
//! process, without the server. The table is printed on stdout, all figures are written to `target/bench/downloads.json`, and
//! with `chart` a chart of throughput by concurrency is written to `benches/throughput.svg`.
//!
//! With `serve`, only the server runs, and prints its URL: `benches/README.md` shows where the instructions of an object
//! go.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints its results and panics if it cannot continue"
)]

mod chart;
mod measure;
#[expect(dead_code, reason = "other benchmarks count what was sent")]
mod server;
mod yardsticks;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use measure::Cost;
use server::{Limits, Server};
use tokio_rustls::TlsAcceptor;

/// The folder in memory that files are written to, if it exists.
const IN_MEMORY: &str = "/dev/shm";
const TOOLS: [&str; 3] = ["s3pull", "hyper", "naive"];

/// Objects to download.
#[derive(Debug, Clone, Copy)]
struct Load {
    name: &'static str,
    n_objects: usize,
    /// Bytes.
    size: u64,
    concurrency: usize,
    latency: Duration,
    tls: bool,
}

const SMALL: Load = Load {
    name: "small-j32",
    n_objects: 20_000,
    size: 10 << 10,
    concurrency: 32,
    latency: Duration::ZERO,
    tls: false,
};
const FAR: Duration = Duration::from_millis(30);

const LOADS: [Load; 13] = [
    Load {
        name: "small-j1",
        concurrency: 1,
        ..SMALL
    },
    SMALL,
    Load {
        name: "small-j256",
        concurrency: 256,
        ..SMALL
    },
    Load {
        name: "small-far-j32",
        latency: FAR,
        n_objects: 5_000,
        ..SMALL
    },
    Load {
        name: "small-far-j256",
        latency: FAR,
        concurrency: 256,
        ..SMALL
    },
    Load {
        name: "medium",
        n_objects: 500,
        size: 1 << 20,
        ..SMALL
    },
    Load {
        name: "large",
        n_objects: 1,
        size: 1 << 30,
        concurrency: 8,
        ..SMALL
    },
    Load {
        name: "large-j1",
        n_objects: 1,
        size: 1 << 30,
        concurrency: 1,
        ..SMALL
    },
    Load {
        name: "large-4",
        n_objects: 4,
        size: 1 << 30,
        concurrency: 8,
        ..SMALL
    },
    Load {
        name: "small-tls",
        tls: true,
        ..SMALL
    },
    Load {
        name: "medium-tls",
        n_objects: 500,
        size: 1 << 20,
        tls: true,
        ..SMALL
    },
    Load {
        name: "large-tls",
        n_objects: 1,
        size: 1 << 30,
        concurrency: 8,
        tls: true,
        ..SMALL
    },
    Load {
        name: "one-small",
        n_objects: 1,
        concurrency: 1,
        ..SMALL
    },
];

fn main() {
    let args: Vec<_> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if let [yardstick, name, url, keys, output, concurrency, ca] = &args[..]
        && yardstick == "yardstick"
    {
        let job = yardsticks::Job {
            url: url.clone(),
            keys: keys.into(),
            output: output.into(),
            concurrency: concurrency.parse().unwrap(),
            ca: Some(PathBuf::from(ca)).filter(|ca| !ca.as_os_str().is_empty()),
        };
        yardsticks::run(name, job);
        return;
    }
    if args.iter().any(|arg| arg == "serve") {
        let server = Server::start(Duration::ZERO, None, Limits::default());
        println!("{}", server.url());
        // Serves until the end of stdin.
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        return;
    }
    let bench = Bench::new();
    if args.iter().any(|arg| arg == "chart") {
        bench.chart();
        return;
    }
    let mut results = Vec::new();
    println!("load | tool | objects/s | MiB/s | CPU user + system | peak MiB");
    println!("--- | --- | --- | --- | --- | ---");
    for load in LOADS {
        if !args.is_empty() && !args.iter().any(|arg| arg == load.name) {
            continue;
        }
        for (tool, cost) in bench.compare(&load, 3) {
            println!("{}", line(&load, tool, &cost));
            results.push(json(&load, tool, &cost));
        }
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("downloads.json");
    std::fs::write(&path, format!("{:#}\n", serde_json::Value::from(results))).unwrap();
    println!("\nall figures: {}", path.display());
}

/// The parts that all loads share.
struct Bench {
    folder: tempfile::TempDir,
    tls: TlsAcceptor,
}

impl Bench {
    fn new() -> Self {
        let folder = if Path::new(IN_MEMORY).is_dir() {
            tempfile::tempdir_in(IN_MEMORY).unwrap()
        } else {
            tempfile::tempdir().unwrap()
        };
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("ca.pem"), signed.cert.pem()).unwrap();
        let key = signed.signing_key.serialize_der().try_into().unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![signed.cert.der().clone()], key)
            .unwrap();
        let tls = TlsAcceptor::from(Arc::new(config));
        Self { folder, tls }
    }

    /// The median cost of `n_runs` runs of each tool, which alternate.
    fn compare(&self, load: &Load, n_runs: usize) -> Vec<(&'static str, Cost)> {
        let server = Server::start(
            load.latency,
            load.tls.then(|| self.tls.clone()),
            Limits::default(),
        );
        let keys: Vec<_> = (0..load.n_objects)
            .map(|n| format!("{}/{:03}/{n:06}\n", load.size, n / 1000))
            .collect();
        std::fs::write(self.folder.path().join("keys"), keys.concat()).unwrap();
        let mut costs = TOOLS.map(|tool| (tool, Vec::new()));
        for _ in 0..n_runs {
            for (tool, costs) in &mut costs {
                costs.push(self.run(tool, load, &server));
            }
        }
        let median = |mut costs: Vec<Cost>| {
            costs.sort_by_key(|cost| cost.elapsed);
            costs[costs.len() / 2]
        };
        costs.map(|(tool, costs)| (tool, median(costs))).into()
    }

    fn run(&self, tool: &str, load: &Load, server: &Server) -> Cost {
        let (folder, output) = (self.folder.path(), self.folder.path().join("out"));
        let (cost, _, status) = measure::cost(|| self.start(tool, load, server, &output));
        assert!(status.success(), "{tool} failed at {}", load.name);
        let (n_files, bytes) = contents(&output);
        assert_eq!(
            (n_files, bytes),
            (load.n_objects, load.size * load.n_objects as u64),
            "{tool} at {}",
            load.name
        );
        std::fs::remove_dir_all(&output).unwrap();
        assert!(folder.join("keys").exists());
        cost
    }

    fn start(&self, tool: &str, load: &Load, server: &Server, output: &Path) -> Child {
        let (keys, ca) = (
            self.folder.path().join("keys"),
            self.folder.path().join("ca.pem"),
        );
        let concurrency = load.concurrency.to_string();
        let mut command;
        if tool == "s3pull" {
            command = Command::new(env!("CARGO_BIN_EXE_s3pull"));
            command
                .args([
                    "--bucket",
                    "bucket",
                    "--quiet",
                    "--concurrency",
                    &concurrency,
                ])
                .args(["--endpoint-url", &server.url(), "--keys"])
                .arg(&keys)
                .arg("--output")
                .arg(output);
            if load.tls {
                command.arg("--ca-bundle").arg(&ca);
            }
        } else {
            command = Command::new(std::env::current_exe().unwrap());
            command
                .args(["yardstick", tool, &server.url()])
                .args([&keys, output])
                .arg(&concurrency)
                .arg(if load.tls {
                    ca.as_path()
                } else {
                    Path::new("")
                });
        }
        command
            .env_remove("AWS_CA_BUNDLE")
            .env("AWS_ACCESS_KEY_ID", "a")
            .env("AWS_SECRET_ACCESS_KEY", "b")
            .env("AWS_REGION", "us-east-1")
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// Objects per second by concurrency, from a server 30 ms away.
    fn chart(&self) {
        const MAX: usize = 256;
        let mut series = TOOLS.map(|name| chart::Series {
            name,
            points: Vec::new(),
        });
        for power in 0..=MAX.ilog2() {
            let concurrency = 1 << power;
            let load = Load {
                name: "chart",
                concurrency,
                // Each run takes some two seconds, or longer at low concurrency.
                n_objects: (concurrency * 60).min(SMALL.n_objects),
                latency: FAR,
                ..SMALL
            };
            for (series, (tool, cost)) in series.iter_mut().zip(self.compare(&load, 3)) {
                let rate = per_second(load.n_objects as u64, &cost);
                println!("-j {concurrency} {tool}: {rate:.0} objects/s");
                series.points.push((concurrency, rate));
            }
        }
        let title = "Objects of 10 KiB per second by concurrency, 30 ms from the server";
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/throughput.svg");
        std::fs::write(path, chart::svg(title, MAX, &series)).unwrap();
    }
}

/// The number of files below `folder`, and their total bytes.
fn contents(folder: &Path) -> (usize, u64) {
    let mut found = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let (n_files, bytes) = if entry.file_type().unwrap().is_dir() {
            contents(&entry.path())
        } else {
            (1, entry.metadata().unwrap().len())
        };
        found.0 += n_files;
        found.1 += bytes;
    }
    found
}

#[expect(clippy::cast_precision_loss, reason = "shown rounded")]
fn per_second(n: u64, cost: &Cost) -> f64 {
    n as f64 / cost.elapsed.as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "shown rounded")]
fn line(load: &Load, tool: &str, cost: &Cost) -> String {
    let bytes = load.size * load.n_objects as u64;
    let (user, system) = (cost.user.as_secs_f64(), cost.system.as_secs_f64());
    let cpu = if load.size < 1 << 20 {
        let micros = |seconds: f64| seconds * 1e6 / load.n_objects as f64;
        format!("{:.0} + {:.0} µs per object", micros(user), micros(system))
    } else {
        let per_gib = |seconds: f64| seconds * (1_u64 << 30) as f64 / bytes as f64;
        format!("{:.2} + {:.2} s per GiB", per_gib(user), per_gib(system))
    };
    format!(
        "{} | {tool} | {:.0} | {:.0} | {cpu} | {:.1}",
        load.name,
        per_second(load.n_objects as u64, cost),
        per_second(bytes, cost) / f64::from(1 << 20),
        cost.peak_kib as f64 / 1024.0
    )
}

fn json(load: &Load, tool: &str, cost: &Cost) -> serde_json::Value {
    serde_json::json!({
        "load": load.name,
        "tool": tool,
        "objects": load.n_objects,
        "size": load.size,
        "concurrency": load.concurrency,
        "latency_seconds": load.latency.as_secs_f64(),
        "tls": load.tls,
        "seconds": cost.elapsed.as_secs_f64(),
        "user_seconds": cost.user.as_secs_f64(),
        "system_seconds": cost.system.as_secs_f64(),
        "peak_kib": cost.peak_kib,
    })
}
