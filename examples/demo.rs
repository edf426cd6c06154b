//! Demonstrates a run and a retry with an S3 server inside this process, so that no setup is needed.
//!
//!     cargo run --release --example demo
//!
//! Some thousand small objects and a few large ones are downloaded and verified, and a key that does not exist fails. After its
//! object is added, a second run downloads it from the failed-keys CSV. The files are left in place so that you can inspect
//! them.

#![expect(clippy::print_stdout, reason = "a demonstration prints what it does")]

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{bail, ensure};
use crc_fast::CrcAlgorithm;
use futures::{StreamExt, stream};
use http::Request;
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3pull::Job;
use s3pull::cli::Invocation;
use s3pull::config::Config;
use s3pull::exit_code::ExitCode;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const BUCKET: &str = "demo-bucket";
const N_SMALL: usize = 3_000;
const N_LARGE: usize = 3;
/// Objects that are uploaded at once.
const UPLOADS: usize = 16;
const LATE: &str = "reports/late.json";
const LATE_CONTENT: &[u8] = b"{\"late\": true}\n";

/// The characters that are not percent-encoded in the path of a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'/');

fn main() -> anyhow::Result<()> {
    let store = tempfile::tempdir()?;
    let server = Server::start(store.path())?;
    let objects = server.fill()?;

    let folder = tempfile::Builder::new()
        .prefix("s3pull-demo-")
        .tempdir()?
        .keep();
    // So that all paths below are short.
    std::env::set_current_dir(&folder)?;
    let rows = objects.iter().map(|(key, size)| format!("{key},{size}\n"));
    fs::write(
        "keys.csv",
        format!("key,size\n{}", rows.collect::<String>()),
    )?;
    let endpoint = format!("http://{}", server.address);
    let command = |list: &str| {
        [
            "s3pull",
            "--bucket",
            BUCKET,
            "--endpoint-url",
            &endpoint,
            "--no-sign-request",
            "--keys",
            list,
            "--output",
            "out",
        ]
        .map(OsString::from)
        .to_vec()
    };

    println!(
        "The bucket contains {N_SMALL} small objects and {N_LARGE} large ones; the list names one more, `{LATE}`.\n\
         (The server is a part of this demo and shares the machine with s3pull, so that the rates are lower than they could be.)\n"
    );
    let first = run(command("keys.csv"))?;
    ensure!(
        first == ExitCode::SomeKeysFailed,
        "one key should have failed, but the exit code is {}",
        first.code()
    );

    println!(
        "\nThe failed-keys CSV:\n\n{}",
        fs::read_to_string("s3pull-failed.csv")?
    );
    println!("Now `{LATE}` is added to the bucket, and the CSV is the list of the second run.\n");
    let upload = server.put(LATE, LATE_CONTENT.to_vec());
    server.runtime.block_on(upload)?;
    let second = run(command("s3pull-failed.csv"))?;
    ensure!(
        second == ExitCode::Success,
        "the retry failed with exit code {}",
        second.code()
    );

    for (key, _) in objects {
        let (stored, downloaded) = (
            store.path().join(BUCKET).join(&key),
            Path::new("out").join(&key),
        );
        ensure!(
            fs::read(stored)? == fs::read(downloaded)?,
            "`{key}` differs from its object"
        );
    }
    println!(
        "\nEvery file equals its object. They are in {folder}; `rm -r {folder}` removes them.",
        folder = folder.display()
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

/// An S3 server on a port that the system picks, until the process ends.
struct Server {
    address: SocketAddr,
    service: S3Service,
    runtime: Runtime,
}

impl Server {
    /// Serves the folder `store`.
    fn start(store: &Path) -> anyhow::Result<Self> {
        fs::create_dir(store.join(BUCKET))?;
        let files = s3s_fs::FileSystem::new(store)
            .map_err(|error| anyhow::anyhow!("cannot open the store: {error:?}"))?;
        let service = S3ServiceBuilder::new(files).build();
        let runtime = Runtime::new()?;
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0)))?;
        let address = listener.local_addr()?;
        runtime.spawn(serve(listener, service.clone()));
        Ok(Self {
            address,
            service,
            runtime,
        })
    }

    /// Puts the objects into the bucket, and returns the keys and sizes that the list names.
    fn fill(&self) -> anyhow::Result<Vec<(String, usize)>> {
        let small = (0..N_SMALL).map(|n| {
            (
                format!("events/2024-06-{:02}/{n:05}.json", n % 30 + 1),
                2_000 + n % 8_000,
            )
        });
        let large = (0..N_LARGE).map(|n| (format!("images/scan {n}.tiff"), 24 * 1024 * 1024 + n));
        let mut objects: Vec<_> = small.chain(large).collect();
        let uploads = objects.iter().map(|(key, size)| {
            let bytes: Vec<u8> = key.bytes().cycle().take(*size).collect();
            self.put(key, bytes)
        });
        let uploads: Vec<_> = self
            .runtime
            .block_on(stream::iter(uploads).buffer_unordered(UPLOADS).collect());
        uploads.into_iter().collect::<anyhow::Result<()>>()?;
        objects.push((LATE.to_owned(), LATE_CONTENT.len()));
        Ok(objects)
    }

    /// Uploads an object with its checksum, as the AWS CLI does.
    async fn put(&self, key: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
        let crc = crc_fast::checksum(CrcAlgorithm::Crc64Nvme, &bytes).to_be_bytes();
        let url = format!(
            "http://{}/{BUCKET}/{}",
            self.address,
            utf8_percent_encode(key, PATH)
        );
        let request = Request::put(url)
            .header("host", self.address.to_string())
            .header("content-length", bytes.len())
            .header(
                "x-amz-checksum-crc64nvme",
                base64_simd::STANDARD.encode_to_string(crc),
            )
            .body(s3s::Body::from(bytes))?;
        let response = self.service.call(request).await;
        let status = response
            .map_err(|error| anyhow::anyhow!("cannot upload `{key}`: {error:?}"))?
            .status();
        ensure!(
            status.is_success(),
            "cannot upload `{key}`: status {status}"
        );
        Ok(())
    }
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
