//! Recognises replies that have the status of success, and hold something else than the object: the pages of networks that
//! one has to sign in to, and errors.

use http::header::{CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::headers::text;

/// What a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doubt {
    /// A web page.
    Page,
    /// An error's document; its root tells.
    Error,
}

impl Doubt {
    /// `None` if the body is an object's, for all that its head says. Those of S3 and of all servers like it have an ETag.
    pub(super) fn of(head: &Parts) -> Option<Self> {
        let headers = &head.headers;
        if head.status != StatusCode::OK || headers.contains_key(ETAG) {
            return None;
        }
        if headers.contains_key(LAST_MODIFIED) || has_any(headers, "x-amz-checksum-") {
            return None;
        }
        let kind = headers.get(CONTENT_TYPE).and_then(text)?;
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is = |known: &[&str]| known.iter().any(|known| kind.eq_ignore_ascii_case(known));
        if is(&["text/html", "application/xhtml+xml"]) {
            return (!has_any(headers, "x-amz-")).then_some(Self::Page);
        }
        is(&["application/xml", "text/xml"]).then_some(Self::Error)
    }
}

/// Whether the name of any header begins so.
fn has_any(headers: &HeaderMap, prefix: &str) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_no_sign_of_an_object_is_in_doubt() {
        let of = |status: u16, headers: &[(&str, &str)]| {
            let mut builder = http::Response::builder().status(status);
            for (name, value) in headers {
                builder = builder.header(*name, *value);
            }
            let (head, ()) = builder.body(()).unwrap().into_parts();
            Doubt::of(&head)
        };
        let html = ("content-type", "Text/HTML; charset=utf-8");
        let xml = ("content-type", "application/xml");
        assert_eq!(of(200, &[html]), Some(Doubt::Page));
        assert_eq!(of(200, &[xml]), Some(Doubt::Error));
        assert_eq!(
            of(200, &[xml, ("x-amz-request-id", "1")]),
            Some(Doubt::Error)
        );
        assert_eq!(of(200, &[]), None);
        assert_eq!(of(200, &[("content-type", "image/png")]), None);
        assert_eq!(of(404, &[html]), None);
        for (name, value) in [
            ("etag", "\"e\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("x-amz-checksum-crc32", "AAAAAA=="),
        ] {
            for kind in [html, xml] {
                assert_eq!(of(200, &[kind, (name, value)]), None, "{name}");
            }
        }
        assert_eq!(of(200, &[html, ("x-amz-request-id", "1")]), None);
    }
}
