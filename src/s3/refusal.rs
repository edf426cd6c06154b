//! Reads replies with an error's status. All functions are pure, so that tests can try any reply.

use std::time::Duration;

use http::response::Parts;
use http::{StatusCode, Uri, header};

use super::class::classify;
use super::date;
use super::error::{GetError, changed};
use super::error_body::{ErrorBody, cut};
use super::headers::text;
use super::lesson::Lesson;
use crate::outcome::{Class, ErrorCode, Sign};

/// The most bytes of a redirect's target or a request ID that are shown.
const MAX_TARGET: usize = 256;

/// What is known about a request whose reply is an error.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Whether it was for a part of an object.
    pub is_part: bool,
    /// `host:port`.
    pub server: &'a str,
    /// The proxy it went through, as `host:port`.
    pub proxy: Option<&'a str>,
    /// Whether the server has answered as an S3 server does before.
    pub is_known_as_s3: bool,
}

impl GetError {
    /// The error that a reply stands for; `body` is its body, or the beginning of it.
    pub(super) fn of_reply(head: &Parts, body: &[u8], asked: &Asked<'_>) -> Self {
        let status = head.status.as_u16();
        // A part that no longer exists means that the object has changed.
        if asked.is_part && matches!(status, 412 | 416) {
            let error = changed(format!("status {status}")).with_status(head.status);
            return if status == 412 {
                error.by_etag()
            } else {
                error
            };
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
        let code = code.map_or_else(|| format!("Http{status}"), str::to_owned);
        let mut error = Self::new(class, ErrorCode::S3(code), message)
            .with_status(head.status)
            .with_lesson(Lesson::of(head, &body));
        error.request_id = header("x-amz-request-id").map(|id| cut(id, MAX_TARGET));
        error.retry_after = retry_after(head);
        error.last_modified = header("last-modified").and_then(date::parse);
        // A server of S3 does not redirect like that: it is a network that one has to sign in to again.
        let is_sent_away = matches!(status, 302 | 303 | 307) && is_other_host(head, asked.server);
        if asked.is_known_as_s3 && !is_of_s3 && is_sent_away {
            (error.class, error.sign) = (Class::Transient, Sign::Elsewhere);
        }
        // Ranges or conditions on them are not implemented: the server did send the whole object.
        if asked.is_part && status == 501 {
            error.sign = Sign::NoParts;
        }
        error.is_of_s3 = is_of_s3;
        error
    }
}

impl GetError {
    /// The error of a reply with a web page in place of the object. It comes from something on the way if the server is known
    /// to be one of S3, and may else be all that it ever sends.
    pub(super) fn of_page(server: &str, is_known_as_s3: bool) -> Self {
        let message = format!(
            "`{server}` answered with a web page in place of the object: check `--endpoint-url`, and whether this network wants you to sign in"
        );
        let class = if is_known_as_s3 {
            Class::Transient
        } else {
            Class::Permanent
        };
        let mut error = Self::new(class, ErrorCode::InvalidResponse, message);
        error.sign = Sign::Elsewhere;
        error.with_status(StatusCode::OK)
    }
}

/// The message for a reply that has none of its own.
fn without_s3_error(status: u16, is_s3: bool, asked: &Asked<'_>) -> String {
    let server = asked.server;
    match (status, asked.proxy) {
        (407, Some(proxy)) => format!("the proxy `{proxy}` refuses its credentials (status 407)"),
        (407, None) => format!("a proxy before `{server}` requires credentials (status 407)"),
        (401, _) => format!("`{server}` refuses the credentials (status 401)"),
        // These may come from a gateway before a server that is down or busy, whatever kind that is.
        (408 | 429 | 500.., _) => format!("the server answered with status {status}"),
        _ if is_s3 => format!("the server answered with status {status}"),
        _ => format!(
            "`{server}` does not look like an S3 server (it answered with status {status} and no S3 error)"
        ),
    }
}

/// Whether a redirect points to another host than that of `server`, which is `host:port`.
fn is_other_host(head: &Parts, server: &str) -> bool {
    let location = head.headers.get(header::LOCATION).and_then(text);
    let uri = location.and_then(|location| location.parse::<Uri>().ok());
    let host = uri.as_ref().and_then(Uri::host);
    let own = server.rsplit_once(':').map_or(server, |(own, _)| own);
    host.is_some_and(|host| !host.eq_ignore_ascii_case(own))
}

/// Where a redirect points: scheme and host only, since the rest may hold a signature.
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

/// The wait from `x-amz-retry-after` in milliseconds, or `Retry-After` in seconds or as a time by the server's clock.
fn retry_after(head: &Parts) -> Option<Duration> {
    let header = |name: &str| head.headers.get(name).and_then(text);
    let number = |name: &str| header(name)?.parse().ok();
    let of_aws = number("x-amz-retry-after").map(Duration::from_millis);
    let in_seconds = || number("retry-after").map(Duration::from_secs);
    let until = || {
        let time = |name: &str| date::parse(header(name)?);
        time("retry-after")?.duration_since(time("date")?).ok()
    };
    of_aws.or_else(in_seconds).or_else(until)
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
    fn a_redirect_without_any_sign_of_s3_is_not_of_a_server_that_is_known() {
        let known = Asked {
            is_known_as_s3: true,
            ..ASKED
        };
        let page = [("location", "http://login.example/")];
        let of = |headers: &[(&str, &str)], asked| {
            let error = GetError::of_reply(&head(302, headers), b"<html>", asked);
            (error.class, error.sign)
        };
        let elsewhere = (Class::Transient, Sign::Elsewhere);
        assert_eq!(of(&page, &known), elsewhere);
        assert_ne!(of(&page, &ASKED), elsewhere);
        assert_ne!(of(&[page[0], ("x-amz-request-id", "1")], &known), elsewhere);
        for location in ["/k/", "https://S3.example/k/"] {
            assert_ne!(of(&[("location", location)], &known), elsewhere);
        }
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
            assert_eq!(part(status).sign == Sign::OtherEtag, status == 412);
        }
        assert_eq!(part(501).sign, Sign::NoParts);
        assert_eq!(of_reply(501, &[], "").sign, Sign::Nothing);
        assert_eq!(part(500).sign, Sign::Nothing);
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
        let until = ("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
        let now = |date| wait(&[until, ("date", date)]);
        assert_eq!(
            now("Sun, 06 Nov 1994 08:49:30 GMT"),
            Some(Duration::from_secs(7))
        );
        assert_eq!(now("Sun, 06 Nov 1994 08:49:38 GMT"), None);
        assert_eq!(wait(&[until]), None);
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
