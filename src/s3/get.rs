//! One GET: [`GetRequest`] in, [`GetResponse`] or [`GetError`] out. The one place that builds `GetObject` requests.

use std::error::Error;
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumType, RequestPayer};
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

/// Region corrections that one request may lead to; more would be a server that sends us round in circles.
const MAX_CORRECTIONS: u32 = 2;

/// What to get.
#[derive(Debug, Clone, Copy)]
pub struct GetRequest<'a> {
    pub key: &'a str,
    pub version_id: Option<&'a str>,
}

/// An object, its body still to be read.
#[derive(Debug)]
pub struct GetResponse {
    /// Bytes of the body; `None` where the server does not say.
    pub size: Option<u64>,
    pub last_modified: Option<SystemTime>,
    /// A checksum of the whole object, where S3 returned one that its bytes can be compared with.
    pub checksum: Option<Checksum>,
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
    /// The bucket's region, where the answer named it.
    region_hint: Option<String>,
}

impl GetError {
    fn transient(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            class: Class::Transient,
            status: None,
            request_id: None,
            message: message.into(),
            region_hint: None,
        }
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
            ..
        } = error;
        Self {
            code,
            class,
            status,
            attempts: 0,
            request_id,
            message,
        }
    }
}

impl Client {
    /// Sends one GET. A wrong region is corrected on the way, once for all requests.
    ///
    /// # Errors
    /// [`GetError`], whose class says whether another attempt may help.
    pub async fn get(&self, request: &GetRequest<'_>) -> Result<GetResponse, GetError> {
        let mut n_corrections = 0;
        loop {
            let sdk = self.sdk();
            let error = match self.send(&sdk, request).await {
                Ok(output) => return Ok(self.response(output)),
                Err(error) => error_of(&error),
            };
            n_corrections += 1;
            if n_corrections > MAX_CORRECTIONS
                || !self.correct_region(&sdk, error.region_hint.as_deref())
            {
                return Err(error);
            }
        }
    }

    async fn send(
        &self,
        sdk: &aws_sdk_s3::Client,
        request: &GetRequest<'_>,
    ) -> Result<GetObjectOutput, SdkError<GetObjectError, HttpResponse>> {
        sdk.get_object()
            .bucket(&self.bucket)
            .key(request.key)
            .set_version_id(request.version_id.map(str::to_owned))
            .set_request_payer(self.requester_pays.then_some(RequestPayer::Requester))
            .send()
            .await
    }

    fn response(&self, output: GetObjectOutput) -> GetResponse {
        GetResponse {
            size: output
                .content_length()
                .and_then(|length| length.try_into().ok()),
            last_modified: output
                .last_modified()
                .and_then(|time| (*time).try_into().ok()),
            checksum: checksum_of(&output),
            body: Body {
                stream: output.body,
                timeout: self.timeout,
            },
        }
    }
}

/// The bytes of an object, as they arrive.
#[derive(Debug)]
pub struct Body {
    stream: ByteStream,
    timeout: Duration,
}

impl Body {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks, ends early, or is silent for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, GetError> {
        match tokio::time::timeout(self.timeout, self.stream.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(bytes))) => Ok(Some(bytes)),
            Ok(Some(Err(error))) => Err(GetError::transient(
                ErrorCode::IncompleteBody,
                one_line(&error),
            )),
            Err(_) => {
                let message = format!("no byte of the body for {} s", self.timeout.as_secs_f64());
                Err(GetError::transient(ErrorCode::Timeout, message))
            }
        }
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

fn error_of(error: &SdkError<GetObjectError, HttpResponse>) -> GetError {
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
        region_hint: header("x-amz-bucket-region"),
    }
}

fn error_without_answer(error: &SdkError<GetObjectError, HttpResponse>) -> GetError {
    if let Some(timeout) = find_cause::<TransportError>(error) {
        return GetError::transient(ErrorCode::Timeout, timeout.to_string());
    }
    match error {
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
