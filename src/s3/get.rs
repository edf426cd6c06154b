//! One GET: [`GetRequest`] in, [`GetResponse`] or [`GetError`] out. The one place that builds `GetObject` requests.

use std::error::Error;
use std::ops::Range;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumType, RequestPayer, ServerSideEncryption};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::{
    BeforeSerializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_runtime_api::http::NonUtf8HeaderHandling;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;

use super::class::classify;
use super::connect::Client;
use super::connector::TransportError;
use crate::outcome::{Class, ErrorCode, Failure};

/// Corrections that one request may lead to; more would be a server that sends us round in circles.
const MAX_CORRECTIONS: u32 = 4;
/// A body that brings fewer bytes than this in as long as it may be silent is as good as silent.
const MIN_BYTES: u64 = 1024;

/// What to get.
#[derive(Debug, Clone)]
pub struct GetRequest<'a> {
    pub key: &'a str,
    pub version_id: Option<&'a str>,
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
}

/// An object, or the part that was asked for, its body still to be read.
#[derive(Debug)]
pub struct GetResponse {
    /// Bytes of the body; `None` where the server does not say.
    pub length: Option<u64>,
    /// With its quotes.
    pub etag: Option<String>,
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

/// Why there is no object, or no more of it.
#[derive(Debug, Clone)]
pub struct GetError {
    pub code: ErrorCode,
    pub class: Class,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    pub request_id: Option<String>,
    /// One line.
    pub message: String,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// The bucket's region, where the answer named it.
    region_hint: Option<String>,
}

impl GetError {
    fn new(class: Class, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            class,
            status: None,
            request_id: None,
            message: message.into(),
            retry_after: None,
            region_hint: None,
        }
    }

    pub(super) fn region_hint(&self) -> Option<&str> {
        self.region_hint.as_deref()
    }

    fn transient(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(Class::Transient, code, message)
    }
}

impl From<GetError> for Failure {
    fn from(error: GetError) -> Self {
        let GetError {
            code,
            class,
            status,
            request_id,
            message,
            retry_after,
            ..
        } = error;
        Self {
            code,
            class,
            status,
            attempts: 0,
            request_id,
            message,
            retry_after,
        }
    }
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
        sdk.get_object()
            .bucket(&self.options.bucket)
            .key(request.key)
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
            .send()
            .await
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
            last_modified: output
                .last_modified()
                .and_then(|time| (*time).try_into().ok()),
            checksum: checksum_of(&output),
            md5: md5_of(&output),
            body: Body {
                stream: output.body,
                timeout: self.options.timeout,
                waited: Duration::ZERO,
                n_bytes: 0,
            },
        })
    }
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

fn changed(how: impl std::fmt::Display) -> GetError {
    GetError::transient(
        ErrorCode::ObjectChanged,
        format!("the object was replaced while it was downloaded: {how}"),
    )
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

/// The bytes of an object, as they arrive.
#[derive(Debug)]
pub struct Body {
    stream: ByteStream,
    timeout: Duration,
    /// Time spent waiting for the network, and nothing else, in the window that is being looked at.
    waited: Duration,
    /// Bytes that came in it.
    n_bytes: u64,
}

impl Body {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks, ends early, or is silent, or as good as silent, for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, GetError> {
        let started = Instant::now();
        let bytes = match tokio::time::timeout(self.timeout, self.stream.next()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(bytes))) => bytes,
            Ok(Some(Err(error))) => {
                return Err(GetError::transient(
                    ErrorCode::IncompleteBody,
                    one_line(&error),
                ));
            }
            Err(_) => {
                let message = format!("no byte of the body for {} s", self.timeout.as_secs_f64());
                return Err(GetError::transient(ErrorCode::Timeout, message));
            }
        };
        self.waited += started.elapsed();
        self.n_bytes += bytes.len() as u64;
        if self.waited < self.timeout {
            return Ok(Some(bytes));
        }
        if self.n_bytes < MIN_BYTES {
            let message = format!(
                "only {} bytes of the body in {} s",
                self.n_bytes,
                self.waited.as_secs_f64()
            );
            return Err(GetError::transient(ErrorCode::Timeout, message));
        }
        (self.waited, self.n_bytes) = (Duration::ZERO, 0);
        Ok(Some(bytes))
    }
}

/// Asks for the checksum headers without the SDK's own validation, which has false alarms, and has headers
/// passed over that are not UTF-8 and would fail the whole GET.
#[derive(Debug)]
pub struct AskForChecksums;

impl Intercept for AskForChecksums {
    fn name(&self) -> &'static str {
        "AskForChecksums"
    }

    fn read_before_execution(
        &self,
        _: &BeforeSerializationInterceptorContextRef<'_>,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        config
            .interceptor_state()
            .store_put(NonUtf8HeaderHandling::Skip);
        Ok(())
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context
            .request_mut()
            .headers_mut()
            .insert("x-amz-checksum-mode", "ENABLED");
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

fn error_of(error: &SdkError<GetObjectError, HttpResponse>, is_part: bool) -> GetError {
    if let Some(cause) = find_cause::<CredentialsError>(error) {
        let message = format!(
            "the AWS credentials could not be loaded: {}",
            one_line(cause)
        );
        return GetError {
            class: Class::Fatal,
            ..GetError::transient(ErrorCode::Credentials, message)
        };
    }
    let Some(response) = error.raw_response() else {
        return error_without_answer(error);
    };
    let status = response.status().as_u16();
    // A part that is no longer there is one of an object that is no longer the same.
    if is_part && matches!(status, 412 | 416) {
        return GetError {
            status: Some(status),
            ..changed(format!("status {status}"))
        };
    }
    let header = |name| response.headers().get(name).map(str::to_owned);
    let metadata = error.as_service_error().map(ProvideErrorMetadata::meta);
    let code = metadata.and_then(|metadata| metadata.code());
    let (code, class) = match code {
        Some(code) => (ErrorCode::S3(code.to_owned()), classify(Some(code), status)),
        None if status >= 300 => (
            ErrorCode::S3(format!("Http{status}")),
            classify(None, status),
        ),
        None => (ErrorCode::InvalidResponse, Class::Transient),
    };
    let message = metadata
        .and_then(|metadata| metadata.message())
        .filter(|message| !message.is_empty());
    let message = match message {
        Some(message) => message.to_owned(),
        None if code == ErrorCode::InvalidResponse => one_line(error),
        None => format!("the server answered with status {status}"),
    };
    GetError {
        code,
        class,
        status: Some(status),
        request_id: header("x-amz-request-id"),
        message,
        retry_after: retry_after(response),
        region_hint: header("x-amz-bucket-region"),
    }
}

/// `x-amz-retry-after` in milliseconds, or `Retry-After` in seconds; its form with a date is for longer waits than these.
fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let number = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.trim().parse().ok())
    };
    let of_aws = number("x-amz-retry-after").map(Duration::from_millis);
    of_aws.or_else(|| number("retry-after").map(Duration::from_secs))
}

fn error_without_answer(error: &SdkError<GetObjectError, HttpResponse>) -> GetError {
    match find_cause::<TransportError>(error) {
        Some(ignored @ TransportError::RangeIgnored) => {
            let hint = "raise `--multipart-threshold` above its objects' sizes";
            return GetError::new(
                Class::Permanent,
                ErrorCode::RangeIgnored,
                format!("{ignored}: {hint}"),
            );
        }
        Some(timeout) => return GetError::transient(ErrorCode::Timeout, timeout.to_string()),
        None => {}
    }
    match error {
        SdkError::DispatchFailure(_) if is_out_of_handles(error) => {
            GetError::transient(ErrorCode::TooManyOpenFiles, one_line(error))
        }
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            let message = failure
                .as_connector_error()
                .map_or_else(|| one_line(error), |cause| one_line(cause));
            GetError::transient(ErrorCode::ConnectionFailed, message)
        }
        SdkError::TimeoutError(_) => GetError::transient(ErrorCode::Timeout, one_line(error)),
        // The request could not be made: no other attempt will fare better, and no other key either.
        _ => GetError {
            class: Class::Fatal,
            ..GetError::transient(ErrorCode::Internal, one_line(error))
        },
    }
}

/// Whether a connection could not be made because this process has too many files open (`EMFILE`, `ENFILE`).
fn is_out_of_handles(error: &(dyn Error + 'static)) -> bool {
    let cause = find_cause::<std::io::Error>(error).and_then(std::io::Error::raw_os_error);
    cfg!(unix) && matches!(cause, Some(23 | 24))
}

/// The first `T` among `error` and its causes.
pub fn find_cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |error| (*error).source())
        .find_map(|error| error.downcast_ref())
}

/// The chain of causes in one line, each said once.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in std::iter::successors(Some(error), |error| (*error).source()) {
        let text = cause.to_string();
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line.replace(['\r', '\n'], " ")
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
