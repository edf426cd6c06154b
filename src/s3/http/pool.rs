//! One pool of HTTP/1.1 connections for everything.
//!
//! No client that the SDK ships can do HTTP/1.1 only (HTTP/2 would put all downloads on one connection), a short
//! idle timeout, a resolver of one's own, proxies and a CA bundle at once.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::{Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tower_service::Service;

use super::address::host_and_port;
use super::dns::{CachingResolver, NotResolved};
use super::opening::Opening;
use super::proxy::{BoxError, Proxies, ProxyConnector, ProxyRefusal};
use super::stream::{Served, Stream};
use super::tls::Tls;
use crate::open_files;
use crate::s3::causes::{find_cause, one_line};

/// S3 drops connections that were idle for about 20 s; a request sent at that moment would be lost.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// The most bytes that a connection reads at once. hyper's own limit is 400 KiB; since a piece of a body keeps the whole
/// buffer that it is in alive, that would need half as much memory again. It also bounds a reply's head.
const MAX_READ_BUFFER: usize = 128 * 1024;
/// How soon a peer that is gone is noticed while a connection waits in the pool or for an answer.
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// S3 keeps 2 KiB of metadata per object, which is at most some 400 headers; hyper takes 100 unless it is told otherwise.
const MAX_HEADERS: usize = 1024;

/// Why no reply came.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error(transparent)]
    Connect(ConnectFailure),
    #[error("no answer within {} s", .0.as_secs_f64())]
    AnswerTimeout(Duration),
    /// The connection broke before the reply's head had arrived.
    #[error("{0}")]
    Broken(String),
    /// The same for one on which nothing had arrived yet.
    #[error("{0}")]
    NotTaken(String),
    /// The same for one that had been kept since an earlier reply. Servers close those that are idle, or have served often, and
    /// need not say so: the same request can be sent again, as other clients do.
    #[error("{0}")]
    ClosedIdle(String),
    /// The bytes received are not the head of an HTTP reply.
    #[error("the answer is not valid HTTP: {0}")]
    NotHttp(String),
    /// The reply had more headers than the pool accepted so far. It accepts more from now on, so the same request can be
    /// sent again.
    #[error("the answer has too many headers")]
    ManyHeaders,
}

/// Why there is no connection, as a complete message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct ConnectFailure {
    pub kind: ConnectProblem,
    pub message: String,
}

/// What callers need to know of a failure besides its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectProblem {
    Timeout,
    TooManyOpenFiles,
    /// The proxy answered `CONNECT` with this status.
    RefusedByProxy(u16),
    /// The certificate is not trusted, or the server does not speak TLS: another attempt would fail as well.
    NoTrust,
    /// Anything else; it may be transient.
    Other,
}

type Client = HyperClient<TimedConnector, Full<Bytes>>;

/// Sends requests over connections that are kept for reuse.
#[derive(Clone)]
pub(crate) struct Pool {
    client: Client,
    /// Uses the same connector, but accepts replies with very many headers, for which it needs more memory per reply.
    tolerant: Client,
    /// Whether a reply had more headers than `client` accepts.
    has_seen_many_headers: Arc<AtomicBool>,
    proxies: Proxies,
    opening: Opening,
}

impl Pool {
    /// `connect_timeout` covers name look-up, TCP, proxy and TLS together.
    pub(crate) fn new(connect_timeout: Duration, tls: Tls) -> Self {
        let mut tcp = HttpConnector::new_with_resolver(CachingResolver::default());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(TCP_KEEPALIVE));
        // It is divided among the addresses of a name, so that one that does not answer leaves time for the next.
        tcp.set_connect_timeout(Some(connect_timeout));
        let proxies = Proxies::from_env();
        let connector = TimedConnector {
            inner: ProxyConnector::new(tcp, proxies.clone()),
            proxies: proxies.clone(),
            tls,
            timeout: connect_timeout,
            opening: Opening::default(),
        };
        let opening = connector.opening.clone();
        let mut builder = HyperClient::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .http1_max_buf_size(MAX_READ_BUFFER)
            // Malformed headers that are not needed do not make a reply fail.
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_allow_obsolete_multiline_headers_in_responses(true);
        let client = builder.build(connector.clone());
        let tolerant = builder.http1_max_headers(MAX_HEADERS).build(connector);
        Self {
            client,
            tolerant,
            has_seen_many_headers: Arc::default(),
            proxies,
            opening,
        }
    }

    /// Sends `request` and waits for the reply's head, for `timeout` at most.
    ///
    /// # Errors
    /// [`TransportError`] when there is none.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        timeout: Duration,
    ) -> Result<Response<Incoming>, TransportError> {
        if let Some(authorization) = self.proxies.authorization(request.uri()) {
            request
                .headers_mut()
                .insert(PROXY_AUTHORIZATION, authorization);
        }
        let is_tolerant = self.has_seen_many_headers.load(Relaxed);
        let client = if is_tolerant {
            &self.tolerant
        } else {
            &self.client
        };
        let sent = tokio::time::timeout(timeout, client.request(request));
        let error = match sent.await {
            Ok(Ok(response)) => {
                if let Some(served) = response.extensions().get::<Served>() {
                    served.note();
                }
                return Ok(response);
            }
            Ok(Err(error)) => error,
            Err(_) => return Err(TransportError::AnswerTimeout(timeout)),
        };
        if let Some(failure) = find_cause::<ConnectFailure>(&error) {
            return Err(TransportError::Connect(failure.clone()));
        }
        // The wrapper around it says nothing of use.
        let cause = find_cause::<hyper::Error>(&error);
        let why = cause.map_or_else(|| one_line(&error), |cause| one_line(cause));
        if !cause.is_some_and(hyper::Error::is_parse) {
            let mut extras = http::Extensions::new();
            if let Some(connection) = error.connect_info() {
                connection.get_extras(&mut extras);
            }
            return Err(match extras.get::<Served>().map(Served::has_served) {
                Some(true) => TransportError::ClosedIdle(why),
                Some(false) => TransportError::NotTaken(why),
                None => TransportError::Broken(why),
            });
        }
        // hyper's client does not say what it failed to parse. Too many headers is the only cause that is not the server's
        // fault.
        if !is_tolerant {
            self.has_seen_many_headers.store(true, Relaxed);
            return Err(TransportError::ManyHeaders);
        }
        Err(TransportError::NotHttp(why))
    }

    /// Counts the connections that are being opened.
    pub(crate) fn opening(&self) -> &Opening {
        &self.opening
    }

    /// What is wrong with the proxy that serves `url`, if there is one that cannot be used.
    pub(crate) fn proxy_problem(&self, url: &Uri) -> Option<&str> {
        self.proxies.problem(url)
    }

    /// The proxy that serves `url`, as `host:port`.
    pub(crate) fn proxy_of(&self, url: &Uri) -> Option<String> {
        self.proxies.name(url)
    }
}

/// Connects within a time limit, and makes errors that name what failed.
#[derive(Clone)]
struct TimedConnector {
    inner: ProxyConnector,
    proxies: Proxies,
    tls: Tls,
    timeout: Duration,
    opening: Opening,
}

impl Service<Uri> for TimedConnector {
    type Response = MaybeHttpsStream<Stream>;
    type Error = ConnectFailure;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, ConnectFailure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let Self {
            mut inner,
            proxies,
            tls,
            timeout,
            opening,
        } = self.clone();
        Box::pin(async move {
            let _turn = opening.turn().await;
            let connecting = async {
                if url.scheme_str() == Some("https") {
                    let mut https = HttpsConnector::from((inner, tls.config()));
                    https.call(url.clone()).await
                } else {
                    Ok(MaybeHttpsStream::Http(inner.call(url.clone()).await?))
                }
            };
            match tokio::time::timeout(timeout, connecting).await {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) => Err(failure(&url, proxies.name(&url), &error)),
                Err(_) => Err(ConnectFailure {
                    kind: ConnectProblem::Timeout,
                    message: format!(
                        "no connection within {} s to `{}`",
                        timeout.as_secs_f64(),
                        proxies.name(&url).unwrap_or_else(|| host_and_port(&url))
                    ),
                }),
            }
        })
    }
}

/// What failed on the way to `url`, through `proxy` where there is one.
fn failure(url: &Uri, proxy: Option<String>, error: &BoxError) -> ConnectFailure {
    let error: &(dyn std::error::Error + 'static) = &**error;
    let mut kind = ConnectProblem::Other;
    let server = host_and_port(url);
    let message = if let Some(refusal) = find_cause::<ProxyRefusal>(error) {
        kind = ConnectProblem::RefusedByProxy(refusal.status);
        let proxy = proxy.unwrap_or_default();
        match refusal.status {
            407 => format!("the proxy `{proxy}` refuses its credentials (status 407)"),
            400..500 => format!(
                "the proxy `{proxy}` does not connect to `{server}` (status {}): have it allowed there, or exempt it with NO_PROXY",
                refusal.status
            ),
            status => {
                format!("the proxy `{proxy}` does not connect to `{server}` (status {status})")
            }
        }
    } else if let Some(error) = find_cause::<rustls::Error>(error) {
        // A connection that breaks during the handshake is an I/O error instead.
        kind = ConnectProblem::NoTrust;
        tls_failure(url, error)
    } else if let Some(NotResolved { host, source }) = find_cause::<NotResolved>(error) {
        if open_files::is_exhausted(source) {
            kind = ConnectProblem::TooManyOpenFiles;
        }
        format!("cannot resolve `{host}`")
    } else {
        let whom = match proxy {
            Some(proxy) => format!("the proxy `{proxy}`"),
            None => format!("`{server}`"),
        };
        let why = match find_cause::<io::Error>(error) {
            Some(error) if open_files::is_exhausted(error) => {
                kind = ConnectProblem::TooManyOpenFiles;
                "too many open files".to_owned()
            }
            Some(error) => match error.kind() {
                ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                ErrorKind::ConnectionReset => "connection reset".to_owned(),
                ErrorKind::UnexpectedEof => "the connection was closed".to_owned(),
                ErrorKind::TimedOut => "it does not answer".to_owned(),
                ErrorKind::HostUnreachable => "host unreachable".to_owned(),
                ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
                _ => one_line(error),
            },
            None => one_line(error),
        };
        format!("cannot connect to {whom}: {why}")
    };
    ConnectFailure { kind, message }
}

fn tls_failure(url: &Uri, error: &rustls::Error) -> String {
    use rustls::CertificateError as Bad;
    let host = url.host().unwrap_or_default();
    match error {
        rustls::Error::InvalidMessage(_) => format!(
            "the server at `{}` does not speak TLS: try `http://`",
            host_and_port(url)
        ),
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => format!(
            "the certificate of `{host}` is signed by an unknown authority (UnknownIssuer): give its certificate as `--ca-bundle FILE`"
        ),
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            format!("the certificate of `{host}` has expired, or the clock is wrong")
        }
        rustls::Error::InvalidCertificate(
            Bad::NotValidForName | Bad::NotValidForNameContext { .. },
        ) => format!("the certificate of `{host}` is for another name"),
        error => format!("no TLS connection to `{host}`: {error}"),
    }
}
