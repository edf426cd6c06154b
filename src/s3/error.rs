//! Why a GET failed: replies, connections and requests as one kind of error, with what a retry, the CSV and people need.

use std::error::Error;
use std::fmt::Display;
use std::time::{Duration, SystemTime};

use http::response::Parts;
use http::{StatusCode, Uri, header};

use super::account::region;
use super::class::classify;
use super::date;
use super::error_body::{ErrorBody, cut};
use super::http::pool::{ConnectProblem, TransportError};
use super::reply::text;
use crate::outcome::{Class, ErrorCode, Failure, Sign};

/// Bytes of a redirect's target that are shown.
const MAX_TARGET: usize = 256;

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
    pub sign: Sign,
    /// Whether an S3 server wrote it.
    pub(super) is_of_s3: bool,
    /// What the client can learn from it, so that the same request is answered. Boxed: most errors have none.
    lesson: Option<Box<Lesson>>,
}

/// What a refusal says about how to ask.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lesson {
    /// The bucket's region.
    pub region: Option<String>,
    /// The server's clock.
    pub time: Option<SystemTime>,
    pub are_credentials_expired: bool,
    /// A reply with as many headers can be read now.
    pub was_head_too_large: bool,
}

/// What is known of a request whose reply is an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// A part was asked for.
    pub is_part: bool,
    /// `host:port`.
    pub server: &'a str,
    /// The proxy for it, as `host:port`.
    pub proxy: Option<&'a str>,
    /// Whether the server has answered as S3 does before.
    pub is_known_as_s3: bool,
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
            sign: Sign::Nothing,
            is_of_s3: false,
            lesson: None,
        }
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

    /// Whether it is no error at all, but the answer to `if_modified_since`.
    pub fn is_not_modified(&self) -> bool {
        self.status == Some(304)
    }

    pub(super) fn lesson(&self) -> Option<&Lesson> {
        self.lesson.as_deref()
    }

    /// What a reply with an error's status means; `body` is its body, or the beginning of it.
    pub(super) fn of_reply(head: &Parts, body: &[u8], asked: &Asked<'_>) -> Self {
        let status = head.status.as_u16();
        // A part that is no longer there is one of an object that is no longer the same.
        if asked.is_part && matches!(status, 412 | 416) {
            return changed(format!("status {status}")).with_status(head.status);
        }
        let header = |name: &str| head.headers.get(name).and_then(text);
        let parsed = ErrorBody::parse(body);
        let is_of_s3 = header("x-amz-request-id").is_some() || parsed.is_some();
        let body = parsed.unwrap_or_default();
        let code = body.code.as_deref();
        let class = classify(code, status);
        let mut message = match &body.message {
            Some(message) => message.clone(),
            None => without_s3_error(status, is_of_s3 || asked.is_known_as_s3, asked),
        };
        if head.status.is_redirection()
            && let Some(target) = target(head, &body)
        {
            message = format!("{message} (it redirects to `{target}`)");
        }
        Self {
            code: ErrorCode::S3(code.map_or_else(|| format!("Http{status}"), str::to_owned)),
            class,
            status: Some(status),
            request_id: header("x-amz-request-id").map(|id| cut(id, MAX_TARGET)),
            message,
            retry_after: retry_after(head),
            // What is not implemented is the range, or the condition on it: the whole object was had.
            sign: if asked.is_part && status == 501 {
                Sign::NoParts
            } else {
                Sign::Nothing
            },
            is_of_s3,
            lesson: Lesson::of(head, &body).map(Box::new),
        }
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
            TransportError::NotHttp(_) => ErrorCode::InvalidResponse,
            TransportError::ManyHeaders => {
                let mut error = Self::transient(ErrorCode::InvalidResponse, message);
                let lesson = Lesson {
                    was_head_too_large: true,
                    ..Lesson::default()
                };
                error.lesson = Some(Box::new(lesson));
                return error;
            }
        };
        Self::transient(code, message)
    }

    /// Takes out of a server's own words what they must not repeat.
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

impl Lesson {
    fn of(head: &Parts, body: &ErrorBody) -> Option<Self> {
        let header = |name: &str| head.headers.get(name).and_then(text);
        let code = body.code.as_deref().unwrap_or_default();
        let region = [header("x-amz-bucket-region"), body.region.as_deref()]
            .into_iter()
            .flatten()
            .find(|name| region::is_name(name))
            .map(str::to_owned);
        let region = region.or_else(|| region::of_endpoint(body.endpoint.as_deref()?));
        // Some servers, and S3 for regions that are opted into, name it in the message alone.
        let region = region.or_else(|| {
            let names_it = [
                "AuthorizationHeaderMalformed",
                "IllegalLocationConstraintException",
            ];
            let message = body
                .message
                .as_deref()
                .filter(|_| names_it.contains(&code))?;
            region::in_message(message)
        });
        let time = body.server_time.as_deref().and_then(date::parse);
        let time = time.or_else(|| {
            let date = head.headers.get(header::DATE).and_then(text);
            date.filter(|_| code == "RequestTimeTooSkewed")
                .and_then(date::parse)
        });
        let are_credentials_expired = matches!(
            code,
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired"
        );
        let lesson = Self {
            region,
            time,
            are_credentials_expired,
            was_head_too_large: false,
        };
        (lesson != Self::default()).then_some(lesson)
    }
}

/// What to say of a reply that has no message of its own.
fn without_s3_error(status: u16, is_s3: bool, asked: &Asked<'_>) -> String {
    let server = asked.server;
    match (status, asked.proxy) {
        (407, Some(proxy)) => format!("the proxy `{proxy}` refuses its credentials (status 407)"),
        (407, None) => format!("a proxy before `{server}` wants credentials (status 407)"),
        (401, _) => format!("`{server}` refuses the credentials (status 401)"),
        // A gateway before a server that is down or busy says nothing about what the server is.
        (408 | 429 | 500.., _) => format!("the server answered with status {status}"),
        _ if is_s3 => format!("the server answered with status {status}"),
        _ => format!(
            "`{server}` does not look like an S3 server (it answered with status {status} and no S3 error)"
        ),
    }
}

/// Where a redirect points: scheme and host alone, for what else there is may be signed.
fn target(head: &Parts, body: &ErrorBody) -> Option<String> {
    let location = head.headers.get(header::LOCATION).and_then(text);
    let of_location = location.and_then(|location| {
        let uri: Uri = location.parse().ok()?;
        let host = uri.host()?;
        let port = uri
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        Some(format!("{}://{host}{port}", uri.scheme_str()?))
    });
    let target = of_location.or_else(|| body.endpoint.clone())?;
    let is_plain = target.chars().all(|c| c.is_ascii_graphic());
    is_plain.then(|| cut(&target, MAX_TARGET))
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

/// Another object is under the key than before.
pub fn changed(how: impl Display) -> GetError {
    GetError::transient(
        ErrorCode::ObjectChanged,
        format!("the object was replaced while it was downloaded: {how}"),
    )
}

/// `x-amz-retry-after` in milliseconds, or `Retry-After` in seconds; its form with a date is for longer waits than these.
fn retry_after(head: &Parts) -> Option<Duration> {
    let number = |name: &str| head.headers.get(name).and_then(text)?.parse().ok();
    let of_aws = number("x-amz-retry-after").map(Duration::from_millis);
    of_aws.or_else(|| number("retry-after").map(Duration::from_secs))
}

/// The first `T` among `error` and its causes.
pub fn find_cause<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    std::iter::successors(Some(error), |error| cause(*error)).find_map(|error| error.downcast_ref())
}

/// What `error` was made from. An I/O error hides the error that it wraps, and gives that one's cause instead.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

/// The chain of causes in one line, each said once.
pub fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in std::iter::successors(Some(error), |error| cause(*error)) {
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
    use proptest::prelude::*;

    use super::*;

    const ASKED: Asked<'static> = Asked {
        is_part: false,
        server: "s3.example:443",
        proxy: None,
        is_known_as_s3: false,
    };

    fn head(status: u16, headers: &[(&str, &str)]) -> Parts {
        let mut builder = http::Response::builder().status(status);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    fn of_reply(status: u16, headers: &[(&str, &str)], body: &str) -> GetError {
        GetError::of_reply(&head(status, headers), body.as_bytes(), &ASKED)
    }

    fn error(inner: &str) -> String {
        format!("<Error>{inner}</Error>")
    }

    #[test]
    fn a_region_is_learned_from_wherever_it_stands() {
        let region = |headers: &[(&str, &str)], body: &str| {
            let learned = of_reply(400, headers, body);
            learned.lesson().and_then(|lesson| lesson.region.clone())
        };
        let header = "x-amz-bucket-region";
        let malformed = "<Code>AuthorizationHeaderMalformed</Code>";
        let right = Some("eu-west-1".to_owned());
        assert_eq!(region(&[(header, "eu-west-1")], ""), right);
        assert_eq!(
            region(&[], &error("<Code>X</Code><Region>eu-west-1</Region>")),
            right
        );
        assert_eq!(
            region(
                &[],
                &error(
                    "<Code>PermanentRedirect</Code><Endpoint>b.s3.eu-west-1.amazonaws.com</Endpoint>"
                )
            ),
            right
        );
        let message = "<Message>the region 'us-east-1' is wrong; expecting 'eu-west-1'</Message>";
        assert_eq!(region(&[], &error(&format!("{malformed}{message}"))), right);
        let message = "<Message>The eu-west-1 location constraint is incompatible</Message>";
        assert_eq!(
            region(
                &[],
                &error(&format!(
                    "<Code>IllegalLocationConstraintException</Code>{message}"
                ))
            ),
            right
        );
        assert_eq!(
            region(&[], &error(&format!("<Code>AccessDenied</Code>{message}"))),
            None
        );
        for evil in ["evil.example/", "a@b", "a b", ""] {
            assert_eq!(region(&[(header, evil)], ""), None, "{evil}");
            let body = error(&format!("<Code>X</Code><Region>{evil}</Region>"));
            assert_eq!(region(&[], &body), None, "{evil}");
        }
        assert_eq!(
            region(
                &[(header, "evil.example/")],
                &error("<Region>eu-west-1</Region>")
            ),
            right
        );
    }

    #[test]
    fn the_server_s_clock_is_learned_where_it_matters() {
        let time = |headers: &[(&str, &str)], code: &str, time: &str| {
            let body = error(&format!("<Code>{code}</Code>{time}"));
            of_reply(403, headers, &body)
                .lesson()
                .and_then(|lesson| lesson.time)
        };
        let date = [("date", "Sun, 06 Nov 1994 08:49:37 GMT")];
        let right = date::parse(date[0].1);
        assert_eq!(time(&date, "RequestTimeTooSkewed", ""), right);
        assert_eq!(time(&date, "AccessDenied", ""), None);
        let element = "<ServerTime>1994-11-06T08:49:37Z</ServerTime>";
        assert_eq!(
            time(&[("date", "soon")], "RequestTimeTooSkewed", element),
            right
        );
        assert_eq!(time(&[("date", "soon")], "RequestTimeTooSkewed", ""), None);
    }

    #[test]
    fn a_redirect_names_host_and_nothing_else() {
        let message = |headers: &[(&str, &str)], body: &str| of_reply(307, headers, body).message;
        let signed = [(
            "location",
            "https://other.example:8443/b/k?X-Amz-Signature=abc",
        )];
        let told = message(&signed, "");
        assert!(
            told.ends_with("(it redirects to `https://other.example:8443`)"),
            "{told}"
        );
        let told = message(
            &[],
            &error("<Code>TemporaryRedirect</Code><Endpoint>b.example</Endpoint>"),
        );
        assert!(told.ends_with("(it redirects to `b.example`)"), "{told}");
        assert!(!message(&[("location", "/elsewhere")], "").contains("redirects"));
        assert!(!of_reply(404, &signed, "").message.contains("redirects"));
    }

    #[test]
    fn what_does_not_look_like_s3_is_said_to() {
        let phrase = "`s3.example:443` does not look like an S3 server";
        assert!(of_reply(404, &[], "<html></html>").message.contains(phrase));
        assert!(of_reply(403, &[], "").message.contains(phrase));
        assert!(
            !of_reply(404, &[], "<Error></Error>")
                .message
                .contains(phrase)
        );
        assert!(
            !of_reply(404, &[("x-amz-request-id", "1")], "")
                .message
                .contains(phrase)
        );
        assert!(!of_reply(502, &[], "<html></html>").message.contains(phrase));
        let known = Asked {
            is_known_as_s3: true,
            ..ASKED
        };
        let later = GetError::of_reply(&head(404, &[]), b"", &known);
        assert_eq!(later.message, "the server answered with status 404");
        assert_eq!(later.code.as_str(), "Http404");
    }

    #[test]
    fn refused_credentials_are_called_so() {
        let refused = of_reply(401, &[], "");
        assert_eq!(refused.class, Class::Fatal);
        assert!(
            refused.message.contains("refuses the credentials"),
            "{}",
            refused.message
        );
        let asked = Asked {
            proxy: Some("proxy:3128"),
            ..ASKED
        };
        let refused = GetError::of_reply(&head(407, &[]), b"", &asked);
        assert_eq!(refused.class, Class::Fatal);
        assert_eq!(
            refused.message,
            "the proxy `proxy:3128` refuses its credentials (status 407)"
        );
    }

    #[test]
    fn parts_that_cannot_be_had_are_told_from_a_changed_object() {
        let asked = Asked {
            is_part: true,
            ..ASKED
        };
        let part = |status| GetError::of_reply(&head(status, &[]), b"", &asked);
        for status in [412, 416] {
            assert_eq!(part(status).code, ErrorCode::ObjectChanged);
            assert_eq!(part(status).sign, Sign::Nothing);
        }
        assert_eq!(part(501).sign, Sign::NoParts);
        assert_eq!(of_reply(501, &[], "").sign, Sign::Nothing);
        assert_eq!(part(500).sign, Sign::Nothing);
    }

    #[test]
    fn secrets_are_masked_in_what_a_server_says() {
        let body = error("<Code>X</Code><Message>got hush, hush and token</Message>");
        let mut error = of_reply(403, &[("x-amz-request-id", "hush-1")], &body);
        error.mask(&["hush".to_owned(), "token".to_owned()]);
        assert_eq!(error.message, "got ***, *** and ***");
        assert_eq!(error.request_id.as_deref(), Some("***-1"));
    }

    #[test]
    fn waits_are_read_in_milliseconds_or_seconds() {
        let wait = |headers: &[(&str, &str)]| of_reply(503, headers, "").retry_after;
        assert_eq!(
            wait(&[("x-amz-retry-after", "1500")]),
            Some(Duration::from_millis(1500))
        );
        assert_eq!(
            wait(&[("retry-after", " 2 ")]),
            Some(Duration::from_secs(2))
        );
        assert_eq!(
            wait(&[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")]),
            None
        );
    }

    #[test]
    fn an_error_within_an_io_error_is_found() {
        let inner = TransportError::ManyHeaders;
        let wrapped = std::io::Error::other(std::io::Error::other(inner));
        assert!(find_cause::<TransportError>(&wrapped).is_some());
        assert_eq!(one_line(&wrapped), "the answer has too many headers");
    }

    proptest! {
        #[test]
        fn no_reply_panics(status in 100_u16..1000, body in proptest::collection::vec(any::<u8>(), 0..200), value in "[ -~]{0,60}") {
            let headers = ["location", "date", "x-amz-bucket-region", "retry-after", "x-amz-request-id"];
            let headers = headers.map(|name| (name, value.as_str()));
            let reply = head(status, &headers);
            for is_part in [false, true] {
                let _ = GetError::of_reply(&reply, &body, &Asked { is_part, ..ASKED });
            }
        }
    }
}
