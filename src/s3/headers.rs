//! Reads the headers that matter in a reply.

use std::collections::BTreeMap;
use std::ops::Range;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};

use super::checksum::{Checksum, ChecksumAlgorithm};
use crate::etag::ETag;
use crate::outcome::Description;

/// What the names of user metadata begin with.
const METADATA: &str = "x-amz-meta-";
/// The most bytes of user metadata that are kept. S3 stores 2 KiB (S3 user guide, "Working with object metadata").
const MAX_METADATA: usize = 8 * 1024;
/// The most bytes of a content type that are kept.
const MAX_CONTENT_TYPE: usize = 1024;

/// The headers that matter, the first of each name. A value that is not text counts as absent.
#[derive(Debug, Default)]
pub(super) struct Headers<'a> {
    pub etag: Option<&'a str>,
    pub version_id: Option<&'a str>,
    pub last_modified: Option<&'a str>,
    pub content_range: Option<&'a str>,
    pub content_encoding: Option<&'a str>,
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
    pub(super) fn read(headers: &'a HeaderMap) -> Self {
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

/// How the object is described. The first value of each name counts.
pub(super) fn description_of(headers: &HeaderMap) -> Description {
    let content_type = headers.get(CONTENT_TYPE).and_then(text);
    let content_type = content_type.filter(|value| value.len() <= MAX_CONTENT_TYPE);
    let mut metadata = BTreeMap::new();
    let mut n_bytes = 0;
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix(METADATA) else {
            continue;
        };
        // Not every server restricts itself to ASCII.
        let value = String::from_utf8_lossy(value.as_bytes());
        n_bytes += name.len() + value.len();
        metadata
            .entry(name.to_owned())
            .or_insert_with(|| value.into_owned());
    }
    Description {
        content_type: content_type.map(str::to_owned),
        metadata: (n_bytes <= MAX_METADATA).then_some(metadata),
    }
}

/// A header's value without surrounding white space; `None` if it is empty or not text.
pub(super) fn text(value: &HeaderValue) -> Option<&str> {
    let text = value.to_str().ok()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Range and size of `bytes 0-9/20`; the size may be `*`.
pub(super) fn parse_content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
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
pub(super) fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| text.parse().ok()).flatten()
}

/// The first checksum that can be compared with the whole body. A composite one, made from the checksums of a multipart
/// upload's parts, cannot.
pub(super) fn checksum_of(headers: &Headers<'_>) -> Option<Checksum> {
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
        // A composite value ends in `-N`, which is not valid base64.
        let value = base64_simd::STANDARD.decode_to_vec(value?).ok()?;
        (value.len() == algorithm.length()).then_some(Checksum { algorithm, value })
    })
}

/// The ETag as an MD5, if it may be one: a multipart upload's is not, nor is that of an object encrypted with a KMS or
/// customer key (S3 API reference, "Object", `ETag`).
pub(super) fn md5_of(headers: &Headers<'_>, etag: Option<&ETag>) -> Option<[u8; 16]> {
    let is_plain =
        matches!(headers.encryption, None | Some("AES256")) && headers.customer_algorithm.is_none();
    etag.filter(|_| is_plain)?.md5()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_described_by_its_type_and_its_metadata_within_bounds() {
        let described = |pairs: &[(&'static str, String)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
            }
            description_of(&headers)
        };
        let short = described(&[
            ("content-type", "image/jpeg".to_owned()),
            ("x-amz-meta-colour", "blü".to_owned()),
            ("x-amz-meta-colour", "second".to_owned()),
            ("x-amz-meta-", String::new()),
            ("etag", "\"e\"".to_owned()),
        ]);
        assert_eq!(short.content_type.as_deref(), Some("image/jpeg"));
        let expected = [("", ""), ("colour", "blü")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(short.metadata, Some(BTreeMap::from(expected)));
        let none = described(&[]);
        assert_eq!(none.content_type, None);
        assert_eq!(none.metadata, Some(BTreeMap::new()));
        let long = described(&[
            ("content-type", "t".repeat(MAX_CONTENT_TYPE + 1)),
            ("x-amz-meta-a", "a".repeat(MAX_METADATA)),
        ]);
        assert_eq!(long, Description::default());
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
}
