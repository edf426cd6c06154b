//! Connections through an HTTP proxy, as `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` say.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower_service::Service;

use super::address::host_and_port;
use super::dns::CachingResolver;
use super::proxy_url::normal;
use super::stream::{Served, Stream};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The longest reply to `CONNECT` that is read, in bytes.
const MAX_TUNNEL_REPLY: usize = 8 * 1024;

/// The variables that name proxies.
const VARIABLES: [&str; 6] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// A proxy refused to open a tunnel.
#[derive(Debug, thiserror::Error)]
#[error("the proxy answered `CONNECT` with status {status}")]
pub(crate) struct ProxyRefusal {
    pub status: u16,
}

/// Which proxy, if any, serves a URL.
#[derive(Clone)]
pub(crate) struct Proxies(Option<Arc<Rules>>);

struct Rules {
    matcher: Matcher,
    /// What is wrong with the proxy for `http` URLs, and with that for `https` ones.
    problems: [Option<String>; 2],
}

/// Stands for a proxy that cannot be used, so that the matcher says what it would serve.
const STAND_IN: &str = "http://unusable.invalid";

impl Proxies {
    pub(crate) fn from_env() -> Self {
        let variable = |name: &'static str| {
            let value = std::env::var(name).ok();
            Some((name, value.filter(|value| !value.trim().is_empty())?))
        };
        // Whoever asks a CGI program for something chooses its `HTTP_PROXY`.
        let is_cgi = std::env::var_os("REQUEST_METHOD").is_some();
        let first = |names: [&'static str; 4]| names.into_iter().find_map(variable);
        let values = [
            first(["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]),
            first(["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
        ];
        let except = variable("NO_PROXY").or_else(|| variable("no_proxy"));
        let except = except.map_or_else(String::new, |(_, rules)| rules);
        // The matcher applies `*` to names only, not to addresses.
        let is_none_used = except.split(',').any(|rule| rule.trim() == "*");
        if is_cgi || is_none_used || values.iter().all(Option::is_none) {
            return Self(None);
        }
        let mut problems = [None, None];
        let mut urls = [String::new(), String::new()];
        for (n, value) in values.into_iter().enumerate() {
            let Some((name, value)) = value else { continue };
            urls[n] = normal(&value).unwrap_or_else(|why| {
                problems[n] = Some(format!("the proxy in {name} cannot be used: {why}"));
                STAND_IN.to_owned()
            });
        }
        let [http, https] = urls;
        let matcher = Matcher::builder().http(http).https(https).no(except);
        let matcher = matcher.build();
        Self(Some(Arc::new(Rules { matcher, problems })))
    }

    fn intercept(&self, url: &Uri) -> Option<Intercept> {
        self.0.as_ref()?.matcher.intercept(url)
    }

    /// What is wrong with the proxy that serves `url`, if there is one that cannot be used.
    pub(crate) fn problem(&self, url: &Uri) -> Option<&str> {
        let rules = self.0.as_ref()?;
        rules.matcher.intercept(url)?;
        let is_https = url.scheme_str() == Some("https");
        rules.problems[usize::from(is_https)].as_deref()
    }

    /// The `Proxy-Authorization` for a plain HTTP request; for https it is sent when the tunnel is opened.
    pub(crate) fn authorization(&self, url: &Uri) -> Option<HeaderValue> {
        self.0.as_ref()?;
        if url.scheme_str() != Some("http") {
            return None;
        }
        self.intercept(url)?.basic_auth().cloned()
    }

    /// The proxy for `url`, as `host:port`, without its password.
    pub(crate) fn name(&self, url: &Uri) -> Option<String> {
        Some(host_and_port(self.intercept(url)?.uri()))
    }

    /// The passwords of the environment's proxies, as they stand in their URLs.
    pub(crate) fn secrets() -> Vec<String> {
        let urls = VARIABLES.iter().filter_map(|name| std::env::var(name).ok());
        urls.filter_map(|url| password(&url)).collect()
    }
}

/// The password in a URL.
fn password(url: &str) -> Option<String> {
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    Some(password.to_owned())
}

/// Connects TCP: to the host itself, or to its proxy, and then through it with CONNECT for `https`.
#[derive(Clone)]
pub(crate) struct ProxyConnector {
    tcp: HttpConnector<CachingResolver>,
    proxies: Proxies,
}

impl ProxyConnector {
    pub(crate) fn new(tcp: HttpConnector<CachingResolver>, proxies: Proxies) -> Self {
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
                    served: Served::default(),
                })
            });
        };
        if let Some(problem) = self.proxies.problem(&url) {
            let problem = problem.to_owned();
            return Box::pin(async { Err(problem.into()) });
        }
        let connecting = self.tcp.call(proxy.uri().clone());
        Box::pin(async move {
            let io = connecting.await?;
            if url.scheme_str() != Some("https") {
                return Ok(Stream {
                    io,
                    is_proxied: true,
                    served: Served::default(),
                });
            }
            let io = io.into_inner();
            let io = tunnelled(io, &host_and_port(&url), proxy.basic_auth()).await?;
            Ok(Stream {
                io: TokioIo::new(io),
                is_proxied: false,
                served: Served::default(),
            })
        })
    }
}

/// Asks a proxy to connect to `server`, for TLS through the proxy.
async fn tunnelled(
    mut io: TcpStream,
    server: &str,
    authorization: Option<&HeaderValue>,
) -> Result<TcpStream, BoxError> {
    let mut request = format!("CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n").into_bytes();
    if let Some(value) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(value.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    io.write_all(&request).await?;
    let mut reply = Vec::new();
    // In TLS the client speaks first, so every byte up to here is the proxy's.
    while !reply.ends_with(b"\r\n\r\n") {
        if reply.len() >= MAX_TUNNEL_REPLY {
            return Err("the proxy's reply to `CONNECT` is too long".into());
        }
        reply.push(io.read_u8().await?);
    }
    match status_of(&reply) {
        Some(200..=299) => Ok(io),
        Some(status) => Err(ProxyRefusal { status }.into()),
        None => Err("the proxy does not answer `CONNECT` in HTTP".into()),
    }
}

/// The status of `HTTP/1.1 200 OK`.
fn status_of(reply: &[u8]) -> Option<u16> {
    let line = reply.strip_prefix(b"HTTP/1.")?;
    let status = line.get(2..5)?;
    std::str::from_utf8(status).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_found_in_urls() {
        let cases = [
            ("http://user:pass@host:1", Some("pass")),
            ("user:p:a@s@host", Some("p:a@s")),
            ("http://user@host", None),
            ("http://host/a:b@c", None),
            ("http://host:80", None),
        ];
        for (url, found) in cases {
            assert_eq!(password(url).as_deref(), found, "{url}");
        }
    }

    #[test]
    fn a_tunnel_s_status_is_read_from_its_first_line() {
        let cases: [(&[u8], _); 4] = [
            (b"HTTP/1.1 200 OK\r\n\r\n", Some(200)),
            (b"HTTP/1.0 407 Auth\r\n\r\n", Some(407)),
            (b"SSH-2.0\r\n\r\n", None),
            (b"HTTP/1.1\r\n\r\n", None),
        ];
        for (reply, status) in cases {
            assert_eq!(status_of(reply), status);
        }
    }
}
