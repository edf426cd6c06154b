//! Demonstrates a run and a retry with an S3 server inside this process, so that no setup is needed.
//!
//!     cargo run --release --example demo
//!
//! Some thousand small objects and a few large ones are downloaded, and a key that does not exist fails. After its object is
//! added, a second run downloads it from the failed-keys CSV. The files are left in place so that you can inspect them.

#![expect(clippy::print_stdout, reason = "a demonstration prints what it does")]

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail, ensure};
use hyper_util::rt::TokioIo;
use s3pull::Job;
use s3pull::cli::Invocation;
use s3pull::config::Config;
use s3pull::exit_code::ExitCode;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;

const BUCKET: &str = "demo-bucket";
const N_SMALL: usize = 5_000;
const N_LARGE: usize = 3;
const LATE: &str = "reports/late.json";

fn main() -> anyhow::Result<()> {
    let store = tempfile::tempdir()?;
    let keys = fill_bucket(store.path())?;
    let address = start_server(store.path())?;

    let folder = tempfile::Builder::new()
        .prefix("s3pull-demo-")
        .tempdir()?
        .keep();
    let list = folder.join("keys.txt");
    fs::write(&list, keys.join("\n") + "\n")?;
    let endpoint = format!("http://{address}");
    let job = |list: &Path| {
        let words = [
            "s3pull",
            "--bucket",
            BUCKET,
            "--endpoint-url",
            &endpoint,
            "--no-sign-request",
            "-j",
            "32",
        ];
        let mut command: Vec<OsString> = words.map(OsString::from).to_vec();
        let paths = [
            ("--keys", list),
            ("--output", &folder.join("out")),
            ("--failed", &folder.join("failed.csv")),
        ];
        for (option, path) in paths {
            command.extend([option.into(), path.into()]);
        }
        command
    };

    println!(
        "The bucket contains {N_SMALL} small objects and {N_LARGE} large ones; the list names one more, `{LATE}`.\n"
    );
    let first = run(job(&list))?;
    ensure!(
        first == ExitCode::SomeKeysFailed,
        "one key should have failed, but the exit code is {}",
        first.code()
    );

    println!(
        "\nThe failed-keys CSV:\n\n{}",
        fs::read_to_string(folder.join("failed.csv"))?
    );
    println!("Now `{LATE}` is added to the bucket, and the CSV is the list of the second run.\n");
    put(store.path(), LATE, b"{\"late\": true}\n")?;
    let second = run(job(&folder.join("failed.csv")))?;
    ensure!(
        second == ExitCode::Success,
        "the retry failed with exit code {}",
        second.code()
    );

    for key in keys {
        let (stored, downloaded) = (
            store.path().join(BUCKET).join(&key),
            folder.join("out").join(&key),
        );
        ensure!(
            fs::read(stored)? == fs::read(downloaded)?,
            "`{key}` differs from its object"
        );
    }
    println!(
        "\nEvery file equals its object. They are in {}",
        folder.join("out").display()
    );
    Ok(())
}

/// Runs the command in this process, as `main` would.
fn run(command: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let shown: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    println!("$ {}", shown.join(" "));
    let Invocation::Download(cli) = Invocation::parse_from(command)? else {
        bail!("the command is not a download");
    };
    Ok(s3pull::run(Config::try_from(*cli)?, Job::Download))
}

/// Puts the objects into the server's folder, and returns the keys that the list names.
fn fill_bucket(store: &Path) -> anyhow::Result<Vec<String>> {
    let small = (0..N_SMALL).map(|n| {
        (
            format!("events/2024-06-{:02}/{n:05}.json", n % 30 + 1),
            2_000 + n % 8_000,
        )
    });
    let large = (0..N_LARGE).map(|n| (format!("images/scan {n}.tiff"), 24 * 1024 * 1024 + n));
    let mut keys = Vec::new();
    for (key, length) in small.chain(large) {
        let bytes: Vec<u8> = key.bytes().cycle().take(length).collect();
        put(store, &key, &bytes)?;
        keys.push(key);
    }
    keys.push(LATE.to_owned());
    Ok(keys)
}

fn put(store: &Path, key: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let path = store.join(BUCKET).join(key);
    fs::create_dir_all(path.parent().context("a key is below the bucket")?)?;
    Ok(fs::write(path, bytes)?)
}

/// Serves `store` on a port that the system picks, until the process ends.
fn start_server(store: &Path) -> anyhow::Result<SocketAddr> {
    let files = s3s_fs::FileSystem::new(store)
        .map_err(|error| anyhow::anyhow!("cannot open the store: {error:?}"))?;
    let service = S3ServiceBuilder::new(files).build();
    let runtime = tokio::runtime::Runtime::new()?;
    let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || runtime.block_on(serve(listener, service)));
    Ok(address)
}

async fn serve(listener: TcpListener, service: S3Service) {
    while let Ok((stream, _)) = listener.accept().await {
        let service = service.clone();
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // A client that disconnects is not an error of the server.
            let _ = connection.await;
        });
    }
}
