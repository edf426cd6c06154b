//! The programs that s3pull is compared with. Each runs as a separate process: `benches/downloads.rs` starts itself again.
//!
//! `hyper` is the lower bound: a bare HTTP client sends the same GETs, unsigned, and writes the same files. `naive` is a simple
//! loop: one `aws_sdk_s3` client calls `get_object` in a `buffer_unordered`, collects each body and writes it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_http_client::tls::{self, TlsContext, TrustStore, rustls_provider::CryptoMode};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// The download that a yardstick performs.
pub struct Job {
    pub url: String,
    pub keys: PathBuf,
    pub output: PathBuf,
    pub concurrency: usize,
    pub ca: Option<PathBuf>,
}

/// Runs the yardstick called `name`.
pub fn run(name: &str, job: Job) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    match name {
        "hyper" => runtime.block_on(hyper(Arc::new(job))),
        "naive" => runtime.block_on(naive(job)),
        other => panic!("no yardstick is called {other}"),
    }
}

fn keys(job: &Job) -> Vec<String> {
    let keys = std::fs::read_to_string(&job.keys).unwrap();
    keys.lines().map(str::to_owned).collect()
}

async fn hyper(job: Arc<Job>) {
    let tls = match &job.ca {
        Some(ca) => hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(trusting(ca)),
        None => hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(rustls::crypto::aws_lc_rs::default_provider())
            .unwrap(),
    };
    let connector = tls.https_or_http().enable_http1().build();
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .build(connector);
    let client = Arc::new(client);
    stream::iter(keys(&job))
        .map(|key| {
            let (client, job) = (Arc::clone(&client), Arc::clone(&job));
            tokio::spawn(async move {
                let uri = format!("{}/bucket/{key}", job.url).parse().unwrap();
                let response = client.get(uri).await.unwrap();
                assert_eq!(response.status(), 200);
                let path = job.output.join(key);
                let mut body = response.into_body();
                let mut pieces = Vec::new();
                let mut file = None;
                while let Some(frame) = body.frame().await {
                    pieces.extend(frame.unwrap().into_data());
                    if pieces.iter().map(Bytes::len).sum::<usize>() >= 1 << 20 {
                        let pieces = std::mem::take(&mut pieces);
                        file = Some(write(file, path.clone(), pieces).await);
                    }
                }
                let file = write(file, path.clone(), pieces).await;
                tokio::task::spawn_blocking(move || {
                    file.set_modified(SystemTime::UNIX_EPOCH).unwrap();
                    std::fs::rename(path.with_extension("part"), path).unwrap();
                })
                .await
                .unwrap();
            })
        })
        .buffer_unordered(job.concurrency)
        .for_each(async |done| done.unwrap())
        .await;
}

async fn write(file: Option<std::fs::File>, path: PathBuf, pieces: Vec<Bytes>) -> std::fs::File {
    let writing = move || {
        use std::io::Write;
        let mut file = file.unwrap_or_else(|| {
            std::fs::File::create(path.with_extension("part")).unwrap_or_else(|_| {
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::File::create(path.with_extension("part")).unwrap()
            })
        });
        for piece in pieces {
            file.write_all(&piece).unwrap();
        }
        file
    };
    tokio::task::spawn_blocking(writing).await.unwrap()
}

async fn naive(job: Job) {
    let trusted = match &job.ca {
        Some(ca) => TrustStore::empty().with_pem_certificate(std::fs::read(ca).unwrap()),
        None => TrustStore::default(),
    };
    let context = TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .unwrap();
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
        .tls_context(context)
        .build_https();
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("a", "b", None, None, "bench"))
        .endpoint_url(&job.url)
        .force_path_style(true)
        .http_client(http)
        .build();
    let client = aws_sdk_s3::Client::from_conf(config);
    stream::iter(keys(&job))
        .map(|key| {
            let client = client.clone();
            let path = job.output.join(&key);
            async move {
                let object = client
                    .get_object()
                    .bucket("bucket")
                    .key(key)
                    .send()
                    .await
                    .unwrap();
                let bytes = object.body.collect().await.unwrap().into_bytes();
                tokio::fs::create_dir_all(path.parent().unwrap())
                    .await
                    .unwrap();
                tokio::fs::write(path, bytes).await.unwrap();
            }
        })
        .buffer_unordered(job.concurrency)
        .for_each(async |()| {})
        .await;
}

fn trusting(ca: &Path) -> rustls::ClientConfig {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth()
}
