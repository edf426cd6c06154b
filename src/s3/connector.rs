//! How requests travel: one pool of HTTP/1.1 connections for everything, handed to the SDK through its `HttpClient` trait.
//!
//! No client that the SDK ships can do HTTP/1.1 only (HTTP/2 would put all downloads on one connection), a short
//! idle timeout, a resolver of one's own, proxies and a CA bundle at once.

use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector as SmithyConnector, HttpConnectorFuture, HttpConnectorSettings,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::{Bytes, BytesMut};
use http::header::{PROXY_AUTHORIZATION, RANGE};
use http::{StatusCode, Uri};
use hyper::body::{Body as _, Incoming};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tower_service::Service;

use super::dns::CachingResolver;
use super::get::check_whole;
use super::proxy::{BoxError, Proxies, ProxyConnector, Stream};

/// S3 drops connections that were idle for about 20 s; a request sent at that moment would be lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// What a connection reads at once, in bytes, when much is there. hyper's own limit is 400 KiB; since a piece of a body
/// keeps the whole buffer that it is in, that would make memory half as large again.
const MAX_READ_BUFFER: usize = 128 * 1024;
/// Notices a peer that is gone while a connection waits in the pool or for an answer.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);

/// What is read of the body of an answer that is not a success, in bytes; S3's errors have a few hundred.
const MAX_ERROR: usize = 64 * 1024;
/// What is read of the answer of a service that gives credentials, in bytes; they have a few thousand.
const MAX_CREDENTIALS: usize = 1024 * 1024;
/// How long such a body may take where its request says nothing of it.
const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The header that tells a GET of an object from the requests of credential providers.
pub const CHECKSUM_MODE: &str = "x-amz-checksum-mode";

/// Why no answer came; found in the source chain of the SDK's errors.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error("no connection within {} s", .0.as_secs_f64())]
    ConnectTimeout(Duration),
    #[error("no answer within {} s", .0.as_secs_f64())]
    AnswerTimeout(Duration),
    #[error(
        "the server ignores `Range`: it answered a part's request with the status of a whole object"
    )]
    RangeIgnored,
    #[error("the answer may not be the whole object: {0}")]
    NotWhole(String),
}

/// The certificate authorities to trust cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    #[error("cannot read the CA bundle `{path}`: {source}")]
    Bundle {
        path: String,
        source: rustls::pki_types::pem::Error,
    },
    #[error("the CA bundle `{0}` holds no certificate")]
    EmptyBundle(String),
}

/// The SDK's way to our pool.
#[derive(Clone)]
pub struct Transport {
    pool: HyperClient<TimedConnector, SdkBody>,
    proxies: Proxies,
}

impl Transport {
    /// # Errors
    /// [`TrustError`] when `ca_bundle` is given and is no PEM file of certificates.
    pub fn new(connect_timeout: Duration, ca_bundle: Option<&Path>) -> Result<Self, TrustError> {
        let mut tcp = HttpConnector::new_with_resolver(CachingResolver::default());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        let proxies = Proxies::from_env();
        let connector = TimedConnector {
            inner: ProxyConnector::new(tcp, proxies.clone()),
            tls: match ca_bundle {
                Some(path) => Arc::new(OnceLock::from(Arc::new(trusting(bundle(path)?)))),
                None => Arc::default(),
            },
            no_tls: Arc::new(trusting(RootCertStore::empty())),
            timeout: connect_timeout,
        };
        let pool = HyperClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_buf_size(MAX_READ_BUFFER)
            .build(connector);
        Ok(Self { pool, proxies })
    }
}

/// The authorities of a PEM file.
fn bundle(path: &Path) -> Result<RootCertStore, TrustError> {
    let shown = path.display().to_string();
    let bundle_error = |source| TrustError::Bundle {
        path: shown.clone(),
        source,
    };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<_, _>>)
        .map_err(bundle_error)?;
    let mut roots = RootCertStore::empty();
    let (n_added, _) = roots.add_parsable_certificates(certificates);
    if n_added == 0 {
        return Err(TrustError::EmptyBundle(shown));
    }
    Ok(roots)
}

/// The system's authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` hold). Those that cannot be read show when a server
/// needs them.
fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider supports TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transport")
    }
}

impl HttpClient for Transport {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // One pool whatever the settings: credential providers ask for other timeouts than S3 requests do.
        let answer_timeout = settings.read_timeout();
        SharedHttpConnector::new(TimedTransport {
            transport: self.clone(),
            answer_timeout,
        })
    }
}

#[derive(Debug)]
struct TimedTransport {
    transport: Transport,
    /// From the request to the answer's headers.
    answer_timeout: Option<Duration>,
}

impl SmithyConnector for TimedTransport {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let mut request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => {
                return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into())));
            }
        };
        if let Some(authorization) = self.transport.proxies.authorization(request.uri()) {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, authorization);
        }
        let is_part = request.headers().contains_key(RANGE);
        let is_whole = !is_part && request.headers().contains_key(CHECKSUM_MODE);
        let answer = self.transport.pool.request(request);
        let timeout = self.answer_timeout;
        HttpConnectorFuture::new(async move {
            let answer = match timeout {
                None => answer.await,
                Some(timeout) => tokio::time::timeout(timeout, answer).await.map_err(|_| {
                    ConnectorError::timeout(TransportError::AnswerTimeout(timeout).into())
                })?,
            };
            let answer = answer.map_err(|error| ConnectorError::io(error.into()))?;
            // The SDK does not tell one success from another.
            if is_part && answer.status() == StatusCode::OK {
                return Err(ConnectorError::other(
                    TransportError::RangeIgnored.into(),
                    None,
                ));
            }
            if is_whole && answer.status().is_success() {
                check_whole(answer.status(), answer.headers())
                    .map_err(TransportError::NotWhole)
                    .map_err(|error| ConnectorError::other(error.into(), None))?;
            }
            // An object's body is read, and bounded, by `Body`; every other one is read here.
            let is_object = is_part || is_whole;
            if is_object && answer.status().is_success() {
                return to_sdk(answer.map(SdkBody::from_body_1_x));
            }
            let (head, body) = answer.into_parts();
            let limit = if is_object {
                MAX_ERROR
            } else {
                MAX_CREDENTIALS
            };
            let body = bounded(body, limit, timeout.unwrap_or(DEFAULT_BODY_TIMEOUT)).await;
            to_sdk(http::Response::from_parts(head, SdkBody::from(body)))
        })
    }
}
fn to_sdk(answer: http::Response<SdkBody>) -> Result<HttpResponse, ConnectorError> {
    answer
        .try_into()
        .map_err(|error| ConnectorError::other(Box::new(error), None))
}

/// Reads `body` up to `limit` bytes and for `timeout` at most, and returns what came: the status says what happened, and
/// a server that stalls in the middle of its explanation must not hold up the run.
async fn bounded(mut body: Incoming, limit: usize, timeout: Duration) -> Bytes {
    let mut read = BytesMut::new();
    let reading = async {
        while read.len() < limit {
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            match frame.await {
                Some(Ok(frame)) => {
                    let data = frame.into_data().unwrap_or_default();
                    read.extend_from_slice(&data[..data.len().min(limit - read.len())]);
                }
                // A connection that breaks here has told enough.
                Some(Err(_)) | None => break,
            }
        }
    };
    let _ = tokio::time::timeout(timeout, reading).await;
    read.freeze()
}

/// Bounds connecting as a whole: name look-up, TCP, proxy and TLS.
#[derive(Clone)]
struct TimedConnector {
    inner: ProxyConnector,
    /// What is trusted, loaded with the first connection that needs it: plain HTTP needs none.
    tls: Arc<OnceLock<Arc<ClientConfig>>>,
    no_tls: Arc<ClientConfig>,
    timeout: Duration,
}

impl Service<Uri> for TimedConnector {
    type Response = MaybeHttpsStream<Stream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let tls = match url.scheme_str() {
            Some("https") => self.tls.get_or_init(|| Arc::new(trusting(system_roots()))),
            _ => &self.no_tls,
        };
        let connecting = HttpsConnector::from((self.inner.clone(), Arc::clone(tls))).call(url);
        let timeout = self.timeout;
        Box::pin(async move {
            tokio::time::timeout(timeout, connecting)
                .await
                .map_err(|_| TransportError::ConnectTimeout(timeout))?
        })
    }
}
