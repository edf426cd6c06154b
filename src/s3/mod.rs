//! Downloads objects from S3 with one shared client. This module alone knows the SDK and HTTP; callers see
//! [`GetResponse`] and [`GetError`].

mod account;
mod body;
mod buckets;
mod causes;
mod checksum;
mod class;
mod client;
mod customer_key;
mod date;
mod doubt;
mod error;
mod error_body;
mod get;
mod headers;
mod http;
mod lesson;
mod list;
mod options;
mod refusal;
mod reply;
mod session;
mod sessions;
mod sign;

pub(crate) use self::http::opening::Opening;
pub(crate) use self::http::tls::Trust;
pub(crate) use account::endpoint::check as check_endpoint;
pub(crate) use body::Body;
#[cfg(test)]
pub(crate) use body::Step;
pub(crate) use buckets::STAND_IN;
pub(crate) use checksum::{Checksum, ChecksumAlgorithm};
pub(crate) use class::classify;
pub(crate) use client::Client;
pub(crate) use customer_key::CustomerKey;
pub(crate) use error::GetError;
pub(crate) use get::{GetRequest, GetResponse, Method, Part, Purpose};
#[cfg(fuzzing)]
pub(crate) use list::read_page;
pub(crate) use list::{ListRequest, Page, Sequence, lists_in_order};
pub(crate) use options::{ConnectError, ConnectOptions};

/// Reads bytes as a reply to a GET of an object, and of a part of it, for fuzzing. The first line is the status, each line
/// after it up to an empty one is a header, and the rest is the body.
#[cfg(any(fuzzing, test))]
pub(crate) fn read_reply(bytes: &[u8]) {
    let (mut head, ()) = ::http::Response::new(()).into_parts();
    let mut rest = bytes;
    while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
        let line = &rest[..end];
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let mut fields = line.splitn(2, |byte| *byte == b':');
        let (name, value) = (fields.next().unwrap_or_default(), fields.next());
        match value {
            None => head.status = ::http::StatusCode::from_bytes(name).unwrap_or(head.status),
            Some(value) => {
                let name = ::http::HeaderName::from_bytes(name);
                if let (Ok(name), Ok(value)) = (name, ::http::HeaderValue::from_bytes(value)) {
                    head.headers.append(name, value);
                }
            }
        }
    }
    let _ = doubt::Doubt::of(&head);
    let part = Part {
        range: 5..10,
        etag: &crate::etag::ETag::of_header("\"e\""),
        size: 20,
        last_modified: None,
    };
    for part in [None, Some(&part)] {
        for length in [None, u64::try_from(rest.len()).ok()] {
            // The result does not matter; the test is that nothing panics.
            let _ = GetResponse::read(&head, reply::Framing::of(&head, length), part);
        }
        let asked = refusal::Asked {
            is_part: part.is_some(),
            server: "server",
            proxy: None,
            is_known_as_s3: false,
        };
        let _ = GetError::of_reply(&head, rest, &asked);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::read_reply;

    proptest! {
        #[test]
        fn no_bytes_as_a_reply_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read_reply(&bytes);
        }

        #[test]
        fn no_status_headers_and_body_together_panic(
            status in 100_u16..1000,
            fields in proptest::collection::vec((
                prop::sample::select(vec![
                    "etag", "date", "location", "retry-after", "content-range", "last-modified",
                    "content-type", "content-encoding", "transfer-encoding", "x-amz-request-id",
                    "x-amz-bucket-region", "x-amz-checksum-sha256", "x-amz-meta-a",
                ]),
                prop_oneof![
                    prop::sample::select(vec![
                        "\"e\"", "Sun, 06 Nov 1994 08:49:37 GMT", "http://a.example/", "5",
                        "bytes 5-9/20", "text/html", "application/xml", "gzip, chunked", "us-east-1",
                    ]).prop_map(str::to_owned),
                    "[ -~]{0,30}",
                ],
            ), 0..8),
            body in proptest::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![
                        "<Error>", "<Code>", "SlowDown", "</Code>", "<Message>", "<Region>", "eu-west-1",
                        "<Endpoint>", "<ServerTime>", "1994-11-06T08:49:37Z", "<![CDATA[", "&#x41;",
                    ]).prop_map(str::to_owned),
                    "[ -~]{0,10}",
                ],
                0..12,
            ),
        ) {
            let lines = fields.iter().map(|(name, value)| format!("{name}:{value}\n"));
            let head = lines.collect::<Vec<_>>().concat();
            let reply = format!("{status}\n{head}\n{}", body.concat());
            read_reply(reply.as_bytes());
        }
    }
}
