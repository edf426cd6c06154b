//! One GET: [`GetRequest`] in, [`GetResponse`] or [`GetError`] out. The one place that builds `GetObject` requests.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_runtime::invocation_id::InvocationIdInterceptor;
use aws_runtime::request_info::RequestInfoInterceptor;
use aws_runtime::user_agent::UserAgentInterceptor;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::types::{ChecksumType, RequestPayer, ServerSideEncryption};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::client::interceptors::{Intercept, disable_interceptor};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::NonUtf8HeaderHandling;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use http::header::{CONTENT_LENGTH, CONTENT_RANGE};
use http::{HeaderMap, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::body::Body;
use super::connect::Client;
use super::connector::CHECKSUM_MODE;
use super::error::{GetError, changed, error_of};
use crate::outcome::ErrorCode;

/// Corrections that one request may lead to; more would be a server that sends us round in circles.
const MAX_CORRECTIONS: u32 = 4;

/// What to get.
#[derive(Debug, Clone)]
pub struct GetRequest<'a> {
    pub key: &'a str,
    pub version_id: Option<&'a str>,
    /// Where the object was not modified after this time, of which whole seconds count, there is no answer but
    /// [`GetError::is_not_modified`]; some servers send it nevertheless.
    pub if_modified_since: Option<SystemTime>,
    /// `None` for the whole object.
    pub part: Option<Part<'a>>,
}

/// A range of an object that is known from an earlier answer.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// Bytes, from 0; not empty.
    pub range: Range<u64>,
    /// The object's ETag, with its quotes: another one is another object.
    pub etag: &'a str,
    /// Bytes of the whole object.
    pub size: u64,
    /// Another time is another object's.
    pub last_modified: Option<SystemTime>,
}

/// An object, or the part that was asked for, its body still to be read.
#[derive(Debug)]
pub struct GetResponse {
    /// Bytes of the body; `None` where the server does not say.
    pub length: Option<u64>,
    /// With its quotes.
    pub etag: Option<String>,
    pub version_id: Option<String>,
    pub last_modified: Option<SystemTime>,
    /// A checksum of the whole object, where S3 returned one that its bytes can be compared with.
    pub checksum: Option<Checksum>,
    /// The whole object's MD5, where its ETag may be that.
    pub md5: Option<[u8; 16]>,
    pub body: Body,
}

/// A checksum of a whole object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checksum {
    pub algorithm: ChecksumAlgorithm,
    /// Big-endian, as long as the algorithm makes it.
    pub value: Vec<u8>,
}

/// The checksum algorithms of S3 that a stream can be checked with, fastest and strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChecksumAlgorithm {
    Crc64Nvme,
    Crc32c,
    Crc32,
    Sha256,
    Sha1,
}

impl Client {
    /// Sends one GET. A wrong region, expired credentials and a wrong clock are corrected on the way.
    ///
    /// # Errors
    /// [`GetError`], whose class says whether another attempt may help.
    pub async fn get(&self, request: &GetRequest<'_>) -> Result<GetResponse, GetError> {
        let mut n_corrections = 0;
        loop {
            let current = self.current();
            let error = match self.send(&current.sdk, request).await {
                Ok(output) => return self.response(output, request.part.as_ref()),
                Err(error) => error_of(&error, request.part.is_some()),
            };
            n_corrections += 1;
            if n_corrections > MAX_CORRECTIONS || !self.corrected(&current, &error).await {
                return Err(error);
            }
        }
    }

    async fn send(
        &self,
        sdk: &aws_sdk_s3::Client,
        request: &GetRequest<'_>,
    ) -> Result<GetObjectOutput, SdkError<GetObjectError, HttpResponse>> {
        let part = request.part.as_ref();
        // The SDK takes a key of white space alone for one that is not set (aws-sdk-rust issue 1216).
        let is_blank = request.key.trim().is_empty();
        let key = if is_blank {
            BLANK_STAND_IN
        } else {
            request.key
        };
        let get = sdk
            .get_object()
            .bucket(&self.options.bucket)
            .key(key)
            .set_version_id(request.version_id.map(str::to_owned))
            .set_request_payer(
                self.options
                    .requester_pays
                    .then_some(RequestPayer::Requester),
            )
            .set_range(
                part.map(|part| format!("bytes={}-{}", part.range.start, part.range.end - 1)),
            )
            .set_if_match(part.map(|part| part.etag.to_owned()))
            .set_if_modified_since(request.if_modified_since.map(whole_seconds));
        if is_blank {
            let right_key = BlankKey(request.key.to_owned());
            return get.customize().interceptor(right_key).send().await;
        }
        get.send().await
    }

    fn response(
        &self,
        output: GetObjectOutput,
        part: Option<&Part<'_>>,
    ) -> Result<GetResponse, GetError> {
        if let Some(part) = part {
            check_part(&output, part)?;
        }
        Ok(GetResponse {
            length: output
                .content_length()
                .and_then(|length| length.try_into().ok()),
            etag: output.e_tag().map(str::to_owned),
            version_id: output.version_id().map(str::to_owned),
            last_modified: output
                .last_modified()
                .and_then(|time| (*time).try_into().ok()),
            checksum: checksum_of(&output),
            md5: md5_of(&output),
            body: Body::new(output.body, self.options.timeout),
        })
    }
}

/// HTTP's times have no fractions. Rounded down, so that an object is rather fetched than missed.
fn whole_seconds(time: SystemTime) -> DateTime {
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    DateTime::from_secs(since_1970.as_secs().try_into().unwrap_or(i64::MAX))
}

/// Whether the answer is the part that was asked for. Its status was looked at where the answer came in.
fn check_part(output: &GetObjectOutput, part: &Part<'_>) -> Result<(), GetError> {
    // Not every server heeds If-Match.
    if output.e_tag().is_some_and(|etag| etag != part.etag) {
        return Err(changed(format!(
            "its ETag was {}, and is {}",
            part.etag,
            output.e_tag().unwrap_or_default()
        )));
    }
    let modified = output
        .last_modified()
        .and_then(|time| SystemTime::try_from(*time).ok());
    let times = modified.zip(part.last_modified);
    if times.is_some_and(|(now, before)| now != before) {
        return Err(changed("it has another `Last-Modified`".to_owned()));
    }
    let Some((range, size)) = output.content_range().and_then(parse_content_range) else {
        let message = format!(
            "a part without a usable `Content-Range`: {:?}",
            output.content_range()
        );
        return Err(GetError::transient(ErrorCode::InvalidResponse, message));
    };
    if size.is_some_and(|size| size != part.size) {
        return Err(changed(format!(
            "it had {} bytes, and has {}",
            part.size,
            size.unwrap_or_default()
        )));
    }
    // Without an ETag the time and the size must say that it is the same object.
    if output.e_tag().is_none() && (times.is_none() || size.is_none()) {
        let message = "a part that does not say which object it is of: it has no `ETag`";
        return Err(GetError::transient(
            ErrorCode::InvalidResponse,
            message.to_owned(),
        ));
    }
    let length = output
        .content_length()
        .and_then(|length| u64::try_from(length).ok());
    if range != part.range || length.is_some_and(|length| length != range.end - range.start) {
        let message = format!(
            "asked for bytes {:?}, got {range:?} in {length:?} bytes",
            part.range
        );
        return Err(GetError::transient(ErrorCode::InvalidResponse, message));
    }
    Ok(())
}

/// Whether a success to a GET without `Range` is the whole object: 200, or a 206 whose `Content-Range` covers everything.
///
/// # Errors
/// What speaks against it. A 204 has no body, a 202 or 203 may have another one, a 206 holds what it says it holds.
pub fn check_whole(status: StatusCode, headers: &HeaderMap) -> Result<(), String> {
    let text = |name| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let length = text(CONTENT_LENGTH).and_then(|length| length.trim().parse::<u64>().ok());
    let content_range = text(CONTENT_RANGE);
    let covers_all = |content_range: &str| {
        parse_content_range(content_range).is_some_and(|(range, size)| {
            let has_length = length.is_none_or(|length| length == range.end);
            range.start == 0 && size == Some(range.end) && has_length
        })
    };
    match (status, content_range) {
        (StatusCode::OK, None) => Ok(()),
        (StatusCode::OK | StatusCode::PARTIAL_CONTENT, Some(range)) if covers_all(&range) => Ok(()),
        (_, None) => Err(format!("status {}", status.as_u16())),
        (_, Some(range)) => Err(format!(
            "status {}, `Content-Range: {range}`",
            status.as_u16()
        )),
    }
}

/// Range and size of `bytes 0-9/20`; the size may be `*`.
fn parse_content_range(text: &str) -> Option<(Range<u64>, Option<u64>)> {
    let (range, size) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let (first, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let size = match size.trim() {
        "*" => None,
        size => Some(size.parse().ok()?),
    };
    Some((first..last.checked_add(1)?, size))
}

/// What every GET has: it asks for the checksum headers, without the SDK's own validation, which has false alarms; headers
/// of the answer are passed over that are not UTF-8 and would fail it; and it says who asks in one short header. The SDK's
/// own account of itself and its retries, made up anew for each request, took a tenth of a request's time.
#[derive(Debug)]
pub struct EveryGet;

const USER_AGENT: &str = concat!("s3pull/", env!("CARGO_PKG_VERSION"));

impl Intercept for EveryGet {
    fn name(&self) -> &'static str {
        "EveryGet"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        const WHY: &str = "what it tells is of no use to S3";
        let state = config.interceptor_state();
        state.store_put(NonUtf8HeaderHandling::Skip);
        state.store_put(disable_interceptor::<UserAgentInterceptor>(WHY));
        state.store_put(disable_interceptor::<InvocationIdInterceptor>(WHY));
        state.store_put(disable_interceptor::<RequestInfoInterceptor>(WHY));
        Ok(())
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.request_mut().headers_mut();
        headers.insert(CHECKSUM_MODE, "ENABLED");
        headers.insert("user-agent", USER_AGENT);
        Ok(())
    }
}

/// What the SDK is given in place of a key of white space alone.
const BLANK_STAND_IN: &str = "-";

/// Puts a key of white space alone where the SDK has put [`BLANK_STAND_IN`].
#[derive(Debug)]
struct BlankKey(String);

impl Intercept for BlankKey {
    fn name(&self) -> &'static str {
        "BlankKey"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let (url, query) = match request.uri().split_once('?') {
            Some((url, query)) => (url, format!("?{query}")),
            None => (request.uri(), String::new()),
        };
        let bucket = url
            .strip_suffix(BLANK_STAND_IN)
            .ok_or("an unexpected URL")?;
        let key = utf8_percent_encode(&self.0, NON_ALPHANUMERIC);
        let url = format!("{bucket}{key}{query}");
        request.set_uri(url)?;
        Ok(())
    }
}

/// The first checksum that can be compared with the whole body: a composite one, of a multipart upload's parts, can't.
fn checksum_of(output: &GetObjectOutput) -> Option<Checksum> {
    if output.checksum_type() == Some(&ChecksumType::Composite) {
        return None;
    }
    let values = [
        (ChecksumAlgorithm::Crc64Nvme, output.checksum_crc64_nvme()),
        (ChecksumAlgorithm::Crc32c, output.checksum_crc32_c()),
        (ChecksumAlgorithm::Crc32, output.checksum_crc32()),
        (ChecksumAlgorithm::Sha256, output.checksum_sha256()),
        (ChecksumAlgorithm::Sha1, output.checksum_sha1()),
    ];
    values.into_iter().find_map(|(algorithm, value)| {
        // A composite value ends in `-N`, which is no base64.
        let value = base64_simd::STANDARD.decode_to_vec(value?).ok()?;
        (value.len() == algorithm.length()).then_some(Checksum { algorithm, value })
    })
}

/// The MD5 that the ETag may be: never where it is a multipart upload's, or the object is encrypted with a key of its own
/// (S3 API reference, "Object", `ETag`).
fn md5_of(output: &GetObjectOutput) -> Option<[u8; 16]> {
    let is_plain = matches!(
        output.server_side_encryption(),
        None | Some(ServerSideEncryption::Aes256)
    ) && output.sse_customer_algorithm().is_none();
    let etag = output
        .e_tag()
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
    use super::*;

    #[test]
    fn content_ranges_are_read_as_numbers() {
        assert_eq!(parse_content_range("bytes 0-9/20"), Some((0..10, Some(20))));
        assert_eq!(parse_content_range("bytes 5-5/*"), Some((5..6, None)));
        for bad in [
            "",
            "bytes */20",
            "bytes 0-9",
            "0-9/20",
            "bytes a-b/c",
            "bytes 0-18446744073709551615/1",
        ] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_success_is_the_whole_object_or_none() {
        let cases = [
            (200, None, true),
            (200, Some("bytes 0-9/10"), true),
            (206, Some("bytes 0-9/10"), true),
            (200, Some("bytes 0-8/10"), false),
            (200, Some("nonsense"), false),
            (206, Some("bytes 0-8/10"), false),
            (206, Some("bytes 1-9/10"), false),
            (206, Some("bytes 0-9/*"), false),
            (206, Some("bytes 0-19/20"), false),
            (206, None, false),
            (201, None, false),
            (202, None, false),
            (203, None, false),
            (204, None, false),
            (205, None, false),
            (202, Some("bytes 0-9/10"), false),
        ];
        for (status, content_range, is_whole) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_LENGTH, 10.into());
            if let Some(range) = content_range {
                headers.insert(CONTENT_RANGE, range.parse().unwrap());
            }
            let checked = check_whole(StatusCode::from_u16(status).unwrap(), &headers);
            assert_eq!(checked.is_ok(), is_whole, "{status} {content_range:?}");
        }
    }

    #[test]
    fn only_an_etag_that_can_be_an_md5_is_taken_for_one() {
        let md5 = |etag: &str, encryption: Option<ServerSideEncryption>| {
            md5_of(
                &GetObjectOutput::builder()
                    .e_tag(etag)
                    .set_server_side_encryption(encryption)
                    .build(),
            )
        };
        let etag = "\"000102030405060708090a0b0c0d0e0f\"";
        let value = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(md5(etag, None), Some(value));
        assert_eq!(md5(etag, Some(ServerSideEncryption::Aes256)), Some(value));
        assert_eq!(md5(etag, Some(ServerSideEncryption::AwsKms)), None);
        for other in [
            "\"000102030405060708090a0b0c0d0e0f-2\"",
            "000102030405060708090a0b0c0d0e0f",
            "\"+0102030405060708090a0b0c0d0e0f0\"",
        ] {
            assert_eq!(md5(other, None), None, "{other}");
        }
    }
}
