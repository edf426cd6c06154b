//! Reads the head of the reply to a GET: pure, so that any reply can be tried on it.

use std::ops::Range;

use http::response::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::date;
use super::error::{GetError, changed};
use super::get::{Checksum, ChecksumAlgorithm, GetResponse, Part};
use crate::outcome::{Class, ErrorCode};

/// How the end of a body is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// By its length in bytes.
    Counted(u64),
    /// By a last, empty chunk.
    Chunked,
    /// By the end of the connection.
    Connection,
}

impl Framing {
    /// `length` is the one that HTTP's rules give the body.
    pub(super) fn of(head: &Parts, length: Option<u64>) -> Self {
        let is_chunked = || head.headers.contains_key(http::header::TRANSFER_ENCODING);
        match length {
            Some(length) => Self::Counted(length),
            None if is_chunked() => Self::Chunked,
            None => Self::Connection,
        }
    }
}

impl GetResponse<()> {
    /// Reads the head of the reply to a GET of a whole object, or of `part`, that has no error's status.
    ///
    /// # Errors
    /// When the reply is not, or may not be, what was asked for.
    pub(super) fn read(
        head: &Parts,
        framing: Framing,
        part: Option<&Part<'_>>,
    ) -> Result<Self, GetError> {
        let headers = Headers::read(&head.headers);
        let length = match framing {
            Framing::Counted(length) => Some(length),
            Framing::Chunked | Framing::Connection => None,
        };
        match part {
            Some(part) => check_part(head.status, &headers, length, part)?,
            None => check_whole(head.status, &headers, length)?,
        }
        let response = Self {
            length,
            etag: headers.etag.map(str::to_owned),
            version_id: headers.version_id.map(str::to_owned),
            last_modified: headers.last_modified.and_then(date::parse),
            // What some servers return with a part is the whole object's.
            checksum: part.is_none().then(|| checksum_of(&headers)).flatten(),
            md5: md5_of(&headers),
            ends_with_connection: framing == Framing::Connection,
            body: (),
        };
        if response.checksum.is_none() && part.is_none() {
            check_body(&headers, framing)?;
        }
        Ok(response)
    }
}

/// The headers that matter, the first of each name. One that is not text counts as absent.
#[derive(Debug, Default)]
struct Headers<'a> {
    etag: Option<&'a str>,
    version_id: Option<&'a str>,
    last_modified: Option<&'a str>,
    content_range: Option<&'a str>,
    content_encoding: Option<&'a str>,
    encryption: Option<&'a str>,
    customer_algorithm: Option<&'a str>,
    checksum_type: Option<&'a str>,
    crc64nvme: Option<&'a str>,
    crc32c: Option<&'a str>,
    crc32: Option<&'a str>,
    sha256: Option<&'a str>,
    sha1: Option<&'a str>,
}

impl<'a> Headers<'a> {
    fn read(headers: &'a HeaderMap) -> Self {
        let mut read = Self::default();
        for (name, value) in headers {
            let place = match name.as_str() {
                "etag" => &mut read.etag,
                "x-amz-version-id" => &mut read.version_id,
                "last-modified" => &mut read.last_modified,
                "content-range" => &mut read.content_range,
                "content-encoding" => &mut read.content_encoding,
                "x-amz-server-side-encryption" => &mut read.encryption,
                "x-amz-server-side-encryption-customer-algorithm" => &mut read.customer_algorithm,
                "x-amz-checksum-type" => &mut read.checksum_type,
                "x-amz-checksum-crc64nvme" => &mut read.crc64nvme,
                "x-amz-checksum-crc32c" => &mut read.crc32c,
                "x-amz-checksum-crc32" => &mut read.crc32,
                "x-amz-checksum-sha256" => &mut read.sha256,
                "x-amz-checksum-sha1" => &mut read.sha1,
                _ => continue,
            };
            if place.is_none() {
                *place = text(value);
            }
        }
        read
    }
}

/// A header's value without the white space around it, if there is one.
pub(super) fn text(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Only 200 says that this is the object; a 206 does if its range covers all of it. A range that a 200 states counts too.
fn check_whole(
    status: StatusCode,
    headers: &Headers<'_>,
    length: Option<u64>,
) -> Result<(), GetError> {
    let covers_all = |content_range| {
        parse_content_range(content_range).is_some_and(|(range, size)| {
            let has_length = length.is_none_or(|length| length == range.end);
            range.start == 0 && size == Some(range.end) && has_length
        })
    };
    let is_whole = match (status, headers.content_range) {
        (StatusCode::OK, None) => true,
        (StatusCode::OK | StatusCode::PARTIAL_CONTENT, Some(range)) => covers_all(range),
        _ => false,
    };
    if is_whole {
        return Ok(());
    }
    let message = format!(
        "the answer may not be the whole object: status {}{}",
        status.as_u16(),
        shown_range(headers)
    );
    Err(invalid(status, message))
}

/// Whether the reply is the part that was asked for.
fn check_part(
    status: StatusCode,
    headers: &Headers<'_>,
    length: Option<u64>,
    part: &Part<'_>,
) -> Result<(), GetError> {
    // Not every server heeds If-Match.
    if let Some(etag) = headers.etag.filter(|etag| *etag != part.etag) {
        return Err(changed(format!(
            "its ETag was {}, and is {etag}",
            part.etag
        )));
    }
    if status == StatusCode::OK {
        let message =
            "the server ignores `Range`: it answered a part's request as one for the whole object";
        let ignored = GetError::transient(ErrorCode::InvalidResponse, message);
        return Err(ignored.with_status(status).without_parts());
    }
    if status != StatusCode::PARTIAL_CONTENT {
        let message = format!("asked for a part, got status {}", status.as_u16());
        return Err(invalid(status, message));
    }
    let Some((range, size)) = headers.content_range.and_then(parse_content_range) else {
        let message = format!(
            "a part without a usable `Content-Range`{}",
            shown_range(headers)
        );
        return Err(invalid(status, message));
    };
    let times = headers
        .last_modified
        .and_then(date::parse)
        .zip(part.last_modified);
    if times.is_some_and(|(now, before)| now != before) {
        return Err(changed("it has another `Last-Modified`"));
    }
    if size.is_some_and(|size| size != part.size) {
        return Err(changed(format!(
            "it had {} bytes, and has {}",
            part.size,
            size.unwrap_or_default()
        )));
    }
    // Without an ETag the time and the size must say that it is the same object.
    if headers.etag.is_none() && (times.is_none() || size.is_none()) {
        let message = "a part that does not say which object it is of: it has no `ETag`";
        return Err(invalid(status, message).without_parts());
    }
    if range != part.range || length.is_some_and(|length| length != range.end - range.start) {
        let message = format!(
            "asked for bytes {:?}, got {range:?} in {length:?} bytes",
            part.range
        );
        return Err(invalid(status, message));
    }
    Ok(())
}

/// Whether the body may be taken for the object although no checksum will tell.
fn check_body(headers: &Headers<'_>, framing: Framing) -> Result<(), GetError> {
    if framing == Framing::Connection {
        let message =
            "the answer states neither the length nor the end of its body, and no checksum";
        return Err(invalid(StatusCode::OK, message));
    }
    // S3 states the length of what it stores. A gateway that compresses cannot know it beforehand, or weakens the ETag.
    let encoding = headers.content_encoding.filter(|encoding| {
        encoding
            .split(',')
            .any(|one| !["identity", "aws-chunked", ""].contains(&one.trim()))
    });
    let is_weak = headers.etag.is_some_and(|etag| etag.starts_with("W/"));
    if let Some(encoding) = encoding.filter(|_| framing == Framing::Chunked || is_weak) {
        let message =
            format!("the body was compressed on the way (`Content-Encoding: {encoding}`)");
        let changed = GetError::new(Class::Permanent, ErrorCode::InvalidResponse, message);
        return Err(changed.with_status(StatusCode::OK));
    }
    Ok(())
}

fn invalid(status: StatusCode, message: impl Into<String>) -> GetError {
    GetError::transient(ErrorCode::InvalidResponse, message).with_status(status)
}

fn shown_range(headers: &Headers<'_>) -> String {
    headers
        .content_range
        .map(|range| format!(", `Content-Range: {}`", range.escape_debug()))
        .unwrap_or_default()
}

/// Range and size of `bytes 0-9/20`; the size may be `*`.
fn parse_content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (unit, range) = text.split_once(|c: char| c.is_ascii_whitespace() || c == '=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (range, size) = range.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    let size = match size.trim() {
        "*" => None,
        size => Some(number(size)?),
    };
    (first <= last).then_some((first..last.checked_add(1)?, size))
}

/// A number without a sign.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// The first checksum that can be compared with the whole body: a composite one, of a multipart upload's parts, can't.
fn checksum_of(headers: &Headers<'_>) -> Option<Checksum> {
    let is_composite = |kind: &str| kind.eq_ignore_ascii_case("COMPOSITE");
    if headers.checksum_type.is_some_and(is_composite) {
        return None;
    }
    let values = [
        (ChecksumAlgorithm::Crc64Nvme, headers.crc64nvme),
        (ChecksumAlgorithm::Crc32c, headers.crc32c),
        (ChecksumAlgorithm::Crc32, headers.crc32),
        (ChecksumAlgorithm::Sha256, headers.sha256),
        (ChecksumAlgorithm::Sha1, headers.sha1),
    ];
    values.into_iter().find_map(|(algorithm, value)| {
        // A composite value ends in `-N`, which is no base64.
        let value = base64_simd::STANDARD.decode_to_vec(value?).ok()?;
        (value.len() == algorithm.length()).then_some(Checksum { algorithm, value })
    })
}

/// The MD5 that the ETag may be: never where it is a multipart upload's, or the object is encrypted with a key of its own
/// (S3 API reference, "Object", `ETag`).
fn md5_of(headers: &Headers<'_>) -> Option<[u8; 16]> {
    let is_plain =
        matches!(headers.encryption, None | Some("AES256")) && headers.customer_algorithm.is_none();
    let etag = headers
        .etag
        .filter(|_| is_plain)?
        .strip_prefix('"')?
        .strip_suffix('"')?;
    let is_hex = etag.len() == 32 && etag.bytes().all(|byte| byte.is_ascii_hexdigit());
    let value = u128::from_str_radix(etag, 16).ok().filter(|_| is_hex)?;
    Some(value.to_be_bytes())
}

impl ChecksumAlgorithm {
    /// Bytes of a value.
    fn length(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
            Self::Sha256 => 32,
            Self::Sha1 => 20,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::outcome::Sign;

    type Fields<'a> = &'a [(&'a str, &'a str)];

    /// A reply's head; the body has the length that its `content-length` says.
    fn head(status: u16, headers: &[(&str, &str)]) -> (Parts, Framing) {
        let mut builder = http::Response::builder().status(status);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (head, ()) = builder.body(()).unwrap().into_parts();
        let length = head
            .headers
            .get("content-length")
            .and_then(text)
            .and_then(number);
        let framing = Framing::of(&head, length);
        (head, framing)
    }

    fn read(status: u16, headers: &[(&str, &str)]) -> Result<GetResponse<()>, GetError> {
        let (head, framing) = head(status, headers);
        GetResponse::read(&head, framing, None)
    }

    const TIME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

    fn read_part(status: u16, headers: &[(&str, &str)]) -> Result<GetResponse<()>, GetError> {
        let part = Part {
            range: 5..10,
            etag: "\"e\"",
            size: 20,
            last_modified: date::parse(TIME),
        };
        let (head, framing) = head(status, headers);
        GetResponse::read(&head, framing, Some(&part))
    }

    #[test]
    fn only_a_reply_that_is_the_whole_object_is_taken_for_it() {
        let length = ("content-length", "20");
        let range = |value| [length, ("content-range", value)];
        assert!(read(200, &[length]).is_ok());
        assert!(read(200, &[("transfer-encoding", "chunked")]).is_ok());
        assert!(read(206, &range("bytes 0-19/20")).is_ok());
        for value in [
            "bytes 0-9/20",
            "bytes 1-19/20",
            "bytes 0-19/*",
            "bytes 0-20/21",
            "bytes */20",
            "items 0-19/20",
        ] {
            let error = read(206, &range(value)).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidResponse, "{value}");
        }
        assert!(read(200, &range("bytes 0-19/20")).is_ok());
        for value in ["bytes 0-18/20", "bytes 0-18/19", "nonsense"] {
            assert!(read(200, &range(value)).is_err(), "{value}");
        }
        for status in [201, 202, 203, 204, 205, 206, 226] {
            let error = read(status, &[length]).unwrap_err();
            assert_eq!(
                (error.code, error.status),
                (ErrorCode::InvalidResponse, Some(status))
            );
        }
    }

    #[test]
    fn a_part_is_the_one_that_was_asked_for() {
        let etag = ("etag", "\"e\"");
        let length = ("content-length", "5");
        for value in [
            "bytes 5-9/20",
            "Bytes 5-9/20",
            "bytes 5-9/*",
            "bytes  5-9/20",
            "bytes=5-9/20",
        ] {
            assert!(
                read_part(206, &[etag, length, ("content-range", value)]).is_ok(),
                "{value}"
            );
        }
        // Without an ETag its time and the total must say whose part it is.
        let range = ("content-range", "bytes 5-9/20");
        let time = ("last-modified", TIME);
        assert!(read_part(206, &[range, time]).is_ok());
        for unknown in [&[range][..], &[("content-range", "bytes 5-9/*"), time]] {
            let error = read_part(206, unknown).unwrap_err();
            assert_eq!(error.sign, Sign::NoParts, "{unknown:?}");
        }
        let other = ("last-modified", "Mon, 07 Nov 1994 08:49:37 GMT");
        let changed = read_part(206, &[etag, range, other]).unwrap_err();
        assert_eq!(changed.code, ErrorCode::ObjectChanged);
        let cases: [(u16, Fields<'_>, ErrorCode); 11] = [
            (206, &[etag, length], ErrorCode::InvalidResponse),
            (
                206,
                &[etag, ("content-range", "bytes 5-8/20")],
                ErrorCode::InvalidResponse,
            ),
            (
                206,
                &[etag, ("content-range", "bytes 0-9/20")],
                ErrorCode::InvalidResponse,
            ),
            (
                206,
                &[etag, ("content-range", "bytes 5-9/21")],
                ErrorCode::ObjectChanged,
            ),
            (
                206,
                &[("etag", "\"f\""), ("content-range", "bytes 5-9/20")],
                ErrorCode::ObjectChanged,
            ),
            (
                206,
                &[("etag", "W/\"e\""), ("content-range", "bytes 5-9/20")],
                ErrorCode::ObjectChanged,
            ),
            (
                206,
                &[
                    etag,
                    ("content-length", "6"),
                    ("content-range", "bytes 5-9/20"),
                ],
                ErrorCode::InvalidResponse,
            ),
            (
                200,
                &[etag, ("content-length", "20")],
                ErrorCode::InvalidResponse,
            ),
            // `rclone serve s3`.
            (
                200,
                &[etag, length, ("content-range", "bytes 5-9/20")],
                ErrorCode::InvalidResponse,
            ),
            (200, &[("etag", "\"f\"")], ErrorCode::ObjectChanged),
            (204, &[etag], ErrorCode::InvalidResponse),
        ];
        for (status, headers, code) in cases {
            let error = read_part(status, headers).unwrap_err();
            assert_eq!(error.code, code, "{status} {headers:?}");
            let is_ignored = status == 200 && code == ErrorCode::InvalidResponse;
            assert_eq!(error.sign == Sign::NoParts, is_ignored);
        }
    }

    #[test]
    fn headers_that_are_not_needed_or_not_valid_change_nothing() {
        let (mut head, framing) = head(200, &[("content-length", "3"), ("etag", "\"e\"")]);
        for (name, value) in [
            ("cache-control", b"no-cache".as_slice()),
            ("cache-control", b"max-age=0"),
            ("etag", b"\"second\""),
            ("last-modified", b"yesterday"),
            ("x-amz-missing-meta", b"many"),
            ("x-amz-server-side-encryption-bucket-key-enabled", b"True"),
            ("x-amz-meta-name", b"\xff\xfe"),
            ("content-type", b"\xff"),
            ("x-amz-version-id", b"\xff"),
            ("x-amz-version-id", b"v1"),
            ("x-amz-checksum-crc32", b"not base64"),
            ("x-amz-checksum-crc32c", b"AAAA"),
            ("expires", b"0"),
        ] {
            let value = HeaderValue::from_bytes(value).unwrap();
            head.headers
                .append(http::HeaderName::from_static(name), value);
        }
        let response = GetResponse::read(&head, framing, None).unwrap();
        assert_eq!(response.etag.as_deref(), Some("\"e\""));
        assert_eq!(response.version_id.as_deref(), Some("v1"));
        assert_eq!((response.length, response.last_modified), (Some(3), None));
        assert_eq!(response.checksum, None);
    }

    #[test]
    fn the_strongest_whole_checksum_is_taken() {
        let crc32 = ("x-amz-checksum-crc32", "AAAAAQ==");
        let crc64 = ("x-amz-checksum-crc64nvme", "AAAAAAAAAAI=");
        let taken = |headers: &[(&str, &str)]| {
            let length = [("content-length", "3")];
            let checksum = read(200, &[&length, headers].concat()).unwrap().checksum?;
            Some((checksum.algorithm, *checksum.value.last()?))
        };
        assert_eq!(
            taken(&[crc32, crc64]),
            Some((ChecksumAlgorithm::Crc64Nvme, 2))
        );
        assert_eq!(taken(&[crc32]), Some((ChecksumAlgorithm::Crc32, 1)));
        assert_eq!(
            taken(&[("x-amz-checksum-crc64nvme", "AAAAAQ=="), crc32]),
            Some((ChecksumAlgorithm::Crc32, 1))
        );
        assert_eq!(taken(&[crc32, ("x-amz-checksum-type", "COMPOSITE")]), None);
        assert_eq!(taken(&[("x-amz-checksum-crc32", "AAAAAQ==-2")]), None);
        let part = read_part(206, &[crc32, ("content-range", "bytes 5-9/20")]).unwrap();
        assert_eq!(
            part.checksum, None,
            "what comes with a part may be the whole object's"
        );
    }

    #[test]
    fn a_body_without_an_end_needs_a_checksum() {
        assert_eq!(
            read(200, &[("etag", "\"e\"")]).unwrap_err().code,
            ErrorCode::InvalidResponse
        );
        let verified = read(200, &[("x-amz-checksum-crc32", "AAAAAQ==")]).unwrap();
        assert!(verified.ends_with_connection && verified.length.is_none());
    }

    #[test]
    fn a_body_that_was_compressed_on_the_way_is_told_from_one_stored_so() {
        let gzip = ("content-encoding", "gzip");
        let chunked = ("transfer-encoding", "chunked");
        let weak = ("etag", "W/\"e\"");
        let length = ("content-length", "3");
        let checksum = ("x-amz-checksum-crc32", "AAAAAQ==");
        let stored: [&[(&str, &str)]; 5] = [
            &[gzip, length],
            &[gzip, chunked, checksum],
            &[gzip, length, weak, checksum],
            &[("content-encoding", "identity"), chunked],
            &[("content-encoding", "aws-chunked"), chunked],
        ];
        for headers in stored {
            assert!(read(200, headers).is_ok(), "{headers:?}");
        }
        let compressed: [&[(&str, &str)]; 3] = [
            &[gzip, chunked],
            &[gzip, length, weak],
            &[("content-encoding", "aws-chunked,br"), chunked],
        ];
        for headers in compressed {
            let error = read(200, headers).unwrap_err();
            assert_eq!(
                (error.code, error.class),
                (ErrorCode::InvalidResponse, Class::Permanent),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn only_a_strong_etag_serves_to_ask_for_parts() {
        let strong = |etag| {
            let read = read(200, &[("content-length", "3"), ("etag", etag)]).unwrap();
            read.strong_etag().map(str::to_owned)
        };
        assert_eq!(strong("\"e-2\"").as_deref(), Some("\"e-2\""));
        for etag in ["W/\"e\"", "e", "\"", "\"\"", "\"e", ""] {
            assert_eq!(strong(etag), None, "{etag}");
        }
    }

    #[test]
    fn content_ranges_are_read_as_numbers() {
        assert_eq!(parse_content_range("bytes 0-9/20"), Some((0..10, Some(20))));
        assert_eq!(parse_content_range("BYTES 5-5/*"), Some((5..6, None)));
        for bad in [
            "",
            "bytes */20",
            "bytes 0-9",
            "0-9/20",
            "bytes a-b/c",
            "bytes 9-0/20",
            "bytes +0-9/20",
            "bytes 0-18446744073709551615/1",
        ] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_an_etag_that_can_be_an_md5_is_taken_for_one() {
        let md5 = |etag, encryption: &[(&str, &str)]| {
            let headers = [("content-length", "3"), ("etag", etag)];
            read(200, &[&headers, encryption].concat()).unwrap().md5
        };
        let etag = "\"000102030405060708090a0b0c0d0e0f\"";
        let value = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let encryption = "x-amz-server-side-encryption";
        assert_eq!(md5(etag, &[]), Some(value));
        assert_eq!(md5(etag, &[(encryption, "AES256")]), Some(value));
        assert_eq!(md5(etag, &[(encryption, "aws:kms")]), None);
        let customer = "x-amz-server-side-encryption-customer-algorithm";
        assert_eq!(md5(etag, &[(customer, "AES256")]), None);
        for other in [
            "\"000102030405060708090a0b0c0d0e0f-2\"",
            "000102030405060708090a0b0c0d0e0f",
            "\"+0102030405060708090a0b0c0d0e0f0\"",
        ] {
            assert_eq!(md5(other, &[]), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_head_panics(
            status in 100_u16..1000,
            length in proptest::option::of(any::<u64>()),
            fields in proptest::collection::vec((
                prop::sample::select(vec![
                    "etag", "content-range", "last-modified", "content-encoding", "x-amz-checksum-crc32",
                    "x-amz-checksum-crc64nvme", "x-amz-checksum-type", "transfer-encoding", "x-amz-version-id",
                ]),
                prop_oneof![
                    proptest::collection::vec(any::<u8>(), 0..30),
                    "bytes [0-9*]{0,20}-[0-9]{0,20}/[0-9*]{0,20}".prop_map(String::into_bytes),
                ],
            ), 0..12),
        ) {
            let (mut head, ()) = http::Response::new(()).into_parts();
            head.status = StatusCode::from_u16(status).unwrap();
            for (name, value) in fields {
                if let Ok(value) = HeaderValue::from_bytes(&value) {
                    head.headers.append(http::HeaderName::from_static(name), value);
                }
            }
            let part = Part { range: 5..10, etag: "\"e\"", size: 20, last_modified: None };
            let framing = Framing::of(&head, length);
            for part in [None, Some(&part)] {
                let _ = GetResponse::read(&head, framing, part);
            }
        }
    }
}
