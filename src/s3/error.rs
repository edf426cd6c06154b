//! Why a GET failed: the SDK's many kinds of errors as one, with what a retry, the CSV and people need to know.

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;

use super::class::classify;
use super::connector::TransportError;
use crate::open_files;
use crate::outcome::{Class, ErrorCode, Failure};

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
    pub(super) fn new(class: Class, code: ErrorCode, message: impl Into<String>) -> Self {
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

    /// Whether it is no error at all, but the answer to `if_modified_since`.
    pub fn is_not_modified(&self) -> bool {
        self.status == Some(304)
    }

    pub(super) fn region_hint(&self) -> Option<&str> {
        self.region_hint.as_deref()
    }

    pub(super) fn transient(code: ErrorCode, message: impl Into<String>) -> Self {
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

/// Another object is under the key than before.
pub fn changed(how: impl Display) -> GetError {
    GetError::transient(
        ErrorCode::ObjectChanged,
        format!("the object was replaced while it was downloaded: {how}"),
    )
}

/// What the SDK's error says, without the SDK's types; `is_part` where a part was asked for.
pub fn error_of(error: &SdkError<GetObjectError, HttpResponse>, is_part: bool) -> GetError {
    if let Some(cause) = find_cause::<CredentialsError>(error) {
        let message = format!(
            "the AWS credentials could not be loaded: {}",
            one_line(cause)
        );
        return GetError::new(Class::Fatal, ErrorCode::Credentials, message);
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
        Some(not_whole @ TransportError::NotWhole(_)) => {
            return GetError::transient(ErrorCode::InvalidResponse, not_whole.to_string());
        }
        Some(timeout @ (TransportError::ConnectTimeout(_) | TransportError::AnswerTimeout(_))) => {
            return GetError::transient(ErrorCode::Timeout, timeout.to_string());
        }
        None => {}
    }
    match error {
        SdkError::DispatchFailure(_)
            if find_cause::<std::io::Error>(error).is_some_and(open_files::is_exhausted) =>
        {
            GetError::transient(ErrorCode::TooManyOpenFiles, one_line(error))
        }
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => {
            let message = failure
                .as_connector_error()
                .map_or_else(|| one_line(error), |cause| one_line(cause));
            GetError::transient(ErrorCode::ConnectionFailed, message)
        }
        SdkError::TimeoutError(_) => GetError::transient(ErrorCode::Timeout, one_line(error)),
        // There is no request for this key; other keys may have one.
        SdkError::ConstructionFailure(_) => GetError::new(
            Class::Permanent,
            ErrorCode::InvalidKey,
            format!("no request can be made for the key: {}", one_line(error)),
        ),
        // No other attempt will fare better, and no other key either.
        _ => GetError::new(Class::Fatal, ErrorCode::Internal, one_line(error)),
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
