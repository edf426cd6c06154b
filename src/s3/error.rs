//! The error of a GET, whether the reply, the connection or the request failed, with all that retries, the CSV and people
//! need.

use std::fmt::Display;
use std::time::{Duration, SystemTime};

use http::StatusCode;

use super::class::classify;
use super::http::pool::{ConnectProblem, TransportError};
use super::lesson::Lesson;
use crate::outcome::{Class, ErrorCode, Failure, Sign};

/// Why an object, or the rest of it, could not be had.
#[derive(Debug, Clone)]
pub struct GetError {
    pub code: ErrorCode,
    pub class: Class,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    pub request_id: Option<String>,
    /// One line.
    pub message: String,
    /// How long the server asks the client to wait.
    pub retry_after: Option<Duration>,
    /// When the object was last modified, if the answer says so: one that [is not modified](Self::is_not_modified) may.
    pub last_modified: Option<SystemTime>,
    pub sign: Sign,
    /// Whether the reply came from an S3 server.
    pub(super) is_of_s3: bool,
    /// How the client can change so that the same request succeeds. Boxed, since most errors have none.
    lesson: Option<Box<Lesson>>,
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
            last_modified: None,
            sign: Sign::Nothing,
            is_of_s3: false,
            lesson: None,
        }
    }

    /// The error of a request in a run that makes none.
    pub fn not_sent() -> Self {
        let message = "a bug in s3pull, please report it: this run makes no request";
        Self::new(Class::Permanent, ErrorCode::Internal, message)
    }

    /// Any error, in tests of what is done about it.
    #[cfg(test)]
    pub fn scripted(class: Class, code: ErrorCode) -> Self {
        Self::new(class, code, "scripted")
    }

    pub(super) fn transient(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::new(Class::Transient, code, message)
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status.as_u16());
        self
    }

    pub(super) fn without_parts(mut self) -> Self {
        self.sign = Sign::NoParts;
        self
    }

    pub(super) fn without_credentials(message: impl Into<String>) -> Self {
        let mut error = Self::transient(ErrorCode::Credentials, message);
        error.sign = Sign::NoCredentials;
        error
    }

    pub(super) fn by_etag(mut self) -> Self {
        self.sign = Sign::OtherEtag;
        self
    }

    pub(super) fn with_lesson(mut self, lesson: Option<Lesson>) -> Self {
        self.lesson = lesson.map(Box::new);
        self
    }

    /// Whether it is not an error but the answer to `if_modified_since`.
    pub fn is_not_modified(&self) -> bool {
        self.status == Some(304)
    }

    /// Whether the server itself answered, though not with what was asked for: it is there, and works.
    pub(crate) fn is_from_server(&self) -> bool {
        self.status.is_some_and(|status| status < 500) && self.sign != Sign::Elsewhere
    }

    pub(super) fn lesson(&self) -> Option<&Lesson> {
        self.lesson.as_deref()
    }

    /// Why there was no reply.
    pub(super) fn of_transport(error: &TransportError) -> Self {
        let message = error.to_string();
        let code = match error {
            TransportError::Connect(failure) => match failure.kind {
                ConnectProblem::Timeout => ErrorCode::Timeout,
                ConnectProblem::TooManyOpenFiles => ErrorCode::TooManyOpenFiles,
                ConnectProblem::RefusedByProxy(status) => {
                    let class = classify(None, status);
                    let mut refused =
                        Self::new(class, ErrorCode::S3(format!("Http{status}")), message);
                    refused.status = Some(status);
                    refused.sign = Sign::Elsewhere;
                    return refused;
                }
                ConnectProblem::NoTrust => {
                    let code = ErrorCode::ConnectionFailed;
                    let mut untrusted = Self::new(Class::Permanent, code, message);
                    untrusted.sign = Sign::NoTrust;
                    return untrusted;
                }
                ConnectProblem::Other => {
                    let mut unreachable = Self::transient(ErrorCode::ConnectionFailed, message);
                    unreachable.sign = Sign::NoConnection;
                    return unreachable;
                }
            },
            TransportError::AnswerTimeout(_) => ErrorCode::Timeout,
            TransportError::Broken(_) => ErrorCode::ConnectionFailed,
            TransportError::NotTaken(_) => {
                let mut error = Self::transient(ErrorCode::ConnectionFailed, message);
                error.sign = Sign::NotTaken;
                return error;
            }
            TransportError::ClosedIdle(_) => {
                let lesson = Lesson {
                    was_closed_idle: true,
                    ..Lesson::default()
                };
                return Self::transient(ErrorCode::ConnectionFailed, message)
                    .with_lesson(Some(lesson));
            }
            TransportError::NotHttp(_) => ErrorCode::InvalidResponse,
            TransportError::ManyHeaders => {
                let lesson = Lesson {
                    was_head_too_large: true,
                    ..Lesson::default()
                };
                return Self::transient(ErrorCode::InvalidResponse, message)
                    .with_lesson(Some(lesson));
            }
        };
        Self::transient(code, message)
    }

    /// Masks secrets in text that comes from the server.
    pub(super) fn mask(&mut self, secrets: &[String]) {
        let mask = |text: &mut String| {
            for secret in secrets {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), "***");
                }
            }
        };
        mask(&mut self.message);
        self.request_id.as_mut().map(mask);
        if let ErrorCode::S3(code) = &mut self.code {
            mask(code);
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
            retry_after,
            sign,
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
            sign,
        }
    }
}

/// The key now holds another object than before.
pub(super) fn changed(how: impl Display) -> GetError {
    GetError::transient(
        ErrorCode::ObjectChanged,
        format!("the object was replaced while it was downloaded: {how}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_what_a_server_says() {
        let code = ErrorCode::S3("hushToken".to_owned());
        let mut error = GetError::new(Class::Permanent, code, "got hush, hush and token");
        error.request_id = Some("hush-1".to_owned());
        error.mask(&["hush".to_owned(), "token".to_owned()]);
        assert_eq!(error.message, "got ***, *** and ***");
        assert_eq!(error.request_id.as_deref(), Some("***-1"));
        assert_eq!(error.code.as_str(), "***Token");
    }
}
