//! Connections through an HTTP proxy, as `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower_service::Service;

use super::dns::CachingResolver;

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Which proxy, if any, serves a URL.
#[derive(Clone)]
pub struct Proxies(Option<Arc<Matcher>>);

impl Proxies {
    pub fn from_env() -> Self {
        const VARIABLES: [&str; 6] = [
            "HTTP_PROXY",
            "http_proxy",
            "HTTPS_PROXY",
            "https_proxy",
            "ALL_PROXY",
            "all_proxy",
        ];
        let is_set = VARIABLES
            .iter()
            .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        Self(is_set.then(|| Arc::new(Matcher::from_env())))
    }

    fn intercept(&self, url: &Uri) -> Option<Intercept> {
        self.0.as_ref()?.intercept(url)
    }

    /// The `Proxy-Authorization` for a plain HTTP request; a tunnel carries its own.
    pub fn authorization(&self, url: &Uri) -> Option<HeaderValue> {
        if url.scheme_str() != Some("http") {
            return None;
        }
        self.intercept(url)?.basic_auth().cloned()
    }
}

/// Connects TCP: to the host itself, or to its proxy, and then through it with CONNECT for `https`.
#[derive(Clone)]
pub struct ProxyConnector {
    tcp: HttpConnector<CachingResolver>,
    proxies: Proxies,
}

impl ProxyConnector {
    pub fn new(tcp: HttpConnector<CachingResolver>, proxies: Proxies) -> Self {
        Self { tcp, proxies }
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, url: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.intercept(&url) else {
            let connecting = self.tcp.call(url);
            return Box::pin(async {
                Ok(Stream {
                    io: connecting.await?,
                    is_proxied: false,
                })
            });
        };
        if proxy.uri().scheme_str() != Some("http") {
            let message = format!("the proxy `{}` is not an `http://` one", proxy.uri());
            return Box::pin(async { Err(message.into()) });
        }
        if url.scheme_str() == Some("https") {
            let mut tunnel = Tunnel::new(proxy.uri().clone(), self.tcp.clone());
            if let Some(authorization) = proxy.basic_auth() {
                tunnel = tunnel.with_auth(authorization.clone());
            }
            let connecting = tunnel.call(url);
            return Box::pin(async {
                Ok(Stream {
                    io: connecting.await?,
                    is_proxied: false,
                })
            });
        }
        let connecting = self.tcp.call(proxy.uri().clone());
        Box::pin(async {
            Ok(Stream {
                io: connecting.await?,
                is_proxied: true,
            })
        })
    }
}

/// A TCP stream that knows whether requests on it must name the whole URL, as a proxy needs.
pub struct Stream {
    io: TokioIo<TcpStream>,
    is_proxied: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        self.io.connected().proxy(self.is_proxied)
    }
}

impl hyper::rt::Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }
}
