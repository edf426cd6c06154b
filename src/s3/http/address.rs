//! What a URL names as the other end of a connection.

use http::Uri;

/// `host:port`, without what else a URL holds.
pub fn host_and_port(url: &Uri) -> String {
    let host = url.host().unwrap_or_default();
    let default = if url.scheme_str() == Some("https") {
        443
    } else {
        80
    };
    format!("{host}:{}", url.port_u16().unwrap_or(default))
}
