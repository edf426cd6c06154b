//! Tries replies of all kinds.

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::outcome::Sign;
use crate::s3::checksum::ChecksumAlgorithm;
use crate::s3::headers::{number, text};

type Fields<'a> = &'a [(&'a str, &'a str)];

/// A reply's head; the body has the length that `content-length` states.
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
        etag: &ETag::of_header("\"e\""),
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
    assert_eq!(response.etag.as_ref().map(ETag::as_str), Some("\"e\""));
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
    let range = ("content-range", "bytes 5-9/20");
    let part = read_part(206, &[crc32, range, ("etag", "\"e\"")]).unwrap();
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
    let crc32 = ("x-amz-checksum-crc32", "AAAAAQ==");
    let verified = read(200, &[crc32]).unwrap();
    assert!(verified.ends_with_connection && verified.length.is_none());
    // Only `chunked`, applied last, is an end.
    let coding = |value| ("transfer-encoding", value);
    let without_end: [&[(&str, &str)]; 4] = [
        &[coding("identity")],
        &[coding("chunked, identity")],
        &[coding("chunked"), coding("identity")],
        &[coding("")],
    ];
    for headers in without_end {
        assert!(read(200, headers).is_err(), "{headers:?}");
        let verified = read(200, &[headers, &[crc32]].concat()).unwrap();
        assert!(verified.ends_with_connection, "{headers:?}");
    }
    for value in ["Chunked", "identity, chunked", " chunked "] {
        let read = read(200, &[coding(value)]).unwrap();
        assert!(!read.ends_with_connection, "{value}");
    }
}

#[test]
fn a_body_in_a_coding_that_is_not_undone_is_not_the_object() {
    let checksum = ("x-amz-checksum-crc32", "AAAAAQ==");
    for value in ["gzip, chunked", "gzip", "x", "chunked, deflate, chunked"] {
        let error = read(200, &[("transfer-encoding", value), checksum]).unwrap_err();
        assert_eq!(
            (error.code, error.class),
            (ErrorCode::InvalidResponse, Class::Permanent),
            "{value}"
        );
    }
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
        read.strong_etag().map(ToString::to_string)
    };
    assert_eq!(strong("\"e-2\"").as_deref(), Some("\"e-2\""));
    for etag in ["W/\"e\"", "e", "\"", "\"\"", "\"e", ""] {
        assert_eq!(strong(etag), None, "{etag}");
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
        let part = Part { range: 5..10, etag: &ETag::of_header("\"e\""), size: 20, last_modified: None };
        let framing = Framing::of(&head, length);
        for part in [None, Some(&part)] {
            let _ = GetResponse::read(&head, framing, part);
        }
    }

    #[test]
    fn only_what_is_known_to_be_whole_is_taken_for_an_object(
        status in prop::sample::select(vec![200_u16, 204, 206]),
        length in proptest::option::of(0_u64..4),
        fields in proptest::collection::vec(prop::sample::select(vec![
            ("content-range", "bytes 0-2/3"),
            ("content-range", "bytes 0-2/*"),
            ("content-range", "bytes 1-2/3"),
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "identity"),
            ("transfer-encoding", "gzip, chunked"),
            ("transfer-encoding", "chunked,"),
            ("content-encoding", "gzip"),
            ("etag", "\"e\""),
            ("etag", "W/\"e\""),
            ("x-amz-checksum-crc32", "AAAAAA=="),
            ("x-amz-checksum-crc32", "AAAAAA==-2"),
            ("x-amz-checksum-type", "COMPOSITE"),
        ]), 0..6),
    ) {
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.status = StatusCode::from_u16(status).unwrap();
        for (name, value) in &fields {
            head.headers.append(*name, HeaderValue::from_static(value));
        }
        let Ok(response) = GetResponse::read(&head, Framing::of(&head, length), None) else {
            return Ok(());
        };
        let has = |field| fields.contains(&field);
        let range = fields.iter().find(|(name, _)| *name == "content-range");
        prop_assert!(status != 204 && (status == 200 || range.is_some()));
        prop_assert!(range.is_none_or(|(_, range)| *range == "bytes 0-2/3"));
        prop_assert!(range.is_none() || length.is_none_or(|length| length == 3));
        prop_assert!(!has(("transfer-encoding", "gzip, chunked")));
        // Its end is known by HTTP, or by a checksum.
        let last = fields.iter().rfind(|(name, _)| *name == "transfer-encoding");
        let has_end = length.is_some() || last == Some(&("transfer-encoding", "chunked"));
        prop_assert_eq!(response.ends_with_connection, !has_end);
        prop_assert!(has_end || response.checksum.is_some());
    }
}
