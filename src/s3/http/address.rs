//! The server that a URL names.

use http::Uri;

/// The URL's `host:port` alone, with the scheme's default port if it names none.
pub(crate) fn host_and_port(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    let default = if url.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    format!("{host}:{}", url.port_u16().unwrap_or(default))
}
