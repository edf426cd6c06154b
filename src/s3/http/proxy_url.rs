//! The values of `HTTP_PROXY` and its like: URLs as people write them, with blanks around them, and passwords as they are.

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What is encoded in names and passwords; `%` is left, since most of them are encoded already.
const USER: AsciiSet = NON_ALPHANUMERIC
    .remove(b'%')
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why a proxy cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it is not the URL of a proxy")]
    Malformed,
    #[error("`{0}` proxies are not supported")]
    Scheme(String),
}

/// The URL of an HTTP proxy, in a form that every parser reads alike.
///
/// # Errors
/// When it is another kind of proxy, or none.
pub(super) fn normal(value: &str) -> Result<String, Unusable> {
    let value = value.trim();
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    // A password may hold what ends an authority.
    let authority = match rest.rsplit_once('@') {
        Some((user, host)) if !authority.contains('@') => {
            let host = host.split(['/', '?', '#']).next().unwrap_or_default();
            &rest[..user.len() + 1 + host.len()]
        }
        _ => authority,
    };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let scheme = scheme.to_ascii_lowercase();
    if scheme != "http" {
        let is_name = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
        return Err(if is_name && !scheme.is_empty() {
            Unusable::Scheme(scheme)
        } else {
            Unusable::Malformed
        });
    }
    let user = user.map_or_else(String::new, |user| {
        let encoded = |text| utf8_percent_encode(text, &USER).to_string();
        match user.split_once(':') {
            Some((name, password)) => format!("{}:{}@", encoded(name), encoded(password)),
            None => format!("{}@", encoded(user)),
        }
    });
    let url = format!("http://{user}{host}");
    let parsed: Uri = url.parse().map_err(|_| Unusable::Malformed)?;
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.ends_with(']'));
    let is_port = parsed.port_u16().is_some();
    if parsed.host().is_none_or(str::is_empty) || has_port != is_port {
        return Err(Unusable::Malformed);
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_as_people_write_them() {
        for (value, url) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("proxy:3128", "http://proxy:3128"),
            ("proxy", "http://proxy"),
            (" HTTP://proxy:3128/path\n", "http://proxy:3128"),
            ("http://[::1]:3128", "http://[::1]:3128"),
            ("http://[::1]", "http://[::1]"),
            ("http://user@proxy", "http://user@proxy"),
            (
                "http://u%40corp:p%2Fw@proxy:1",
                "http://u%40corp:p%2Fw@proxy:1",
            ),
            (
                "http://u@corp:p@ss:w@proxy:1",
                "http://u%40corp:p%40ss%3Aw@proxy:1",
            ),
            ("u:p/w#?@proxy:1", "http://u:p%2Fw%23%3F@proxy:1"),
        ] {
            assert_eq!(normal(value).as_deref(), Ok(url), "{value}");
        }
    }

    #[test]
    fn what_is_not_an_http_proxy_is_told_from_what_is_none() {
        for scheme in ["socks5", "socks5h", "https", "ftp"] {
            let value = format!("{scheme}://u:p@proxy:1");
            assert_eq!(normal(&value), Err(Unusable::Scheme(scheme.to_owned())));
        }
        for value in [
            "http://",
            "http://proxy:port",
            "http://[::1",
            "http://a b:1",
            ":3128",
            "://x",
        ] {
            assert_eq!(normal(value), Err(Unusable::Malformed), "{value}");
        }
    }
}
