//! Reads from a refusal how the request should be changed.

use std::time::SystemTime;

use http::header;
use http::response::Parts;

use super::account::region;
use super::date;
use super::error_body::ErrorBody;
use super::headers::text;

/// How to change a request that was refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Lesson {
    /// The bucket's region, if the refusal names it.
    pub region: Option<String>,
    /// The time by the server's clock, if that is why it refused.
    pub time: Option<SystemTime>,
    pub are_credentials_expired: bool,
    /// Replies with as many headers are accepted from now on.
    pub was_head_too_large: bool,
    /// A connection that had served before was closed, most likely while the request was on its way.
    pub was_closed_idle: bool,
}

impl Lesson {
    /// `None` if the reply says nothing of the kind.
    pub(super) fn of(head: &Parts, body: &ErrorBody) -> Option<Self> {
        let header = |name: &str| head.headers.get(name).and_then(text);
        let code = body.code.as_deref().unwrap_or_default();
        let region = [header("x-amz-bucket-region"), body.region.as_deref()]
            .into_iter()
            .flatten()
            .find(|name| region::is_name(name))
            .map(str::to_owned);
        let region = region.or_else(|| region::of_endpoint(body.endpoint.as_deref()?));
        // Some servers, and S3 for opt-in regions, name it only in the message.
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
            was_closed_idle: false,
        };
        (lesson != Self::default()).then_some(lesson)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(headers: &[(&str, &str)], body: &str) -> Option<Lesson> {
        let mut builder = http::Response::builder().status(400);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (head, ()) = builder.body(()).unwrap().into_parts();
        let body = ErrorBody::parse(body.as_bytes()).unwrap_or_default();
        Lesson::of(&head, &body)
    }

    fn error(inner: &str) -> String {
        format!("<Error>{inner}</Error>")
    }

    #[test]
    fn a_region_is_learned_from_wherever_it_stands() {
        let region = |headers: &[(&str, &str)], body: &str| {
            learned(headers, body).and_then(|lesson| lesson.region)
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
            learned(headers, &body).and_then(|lesson| lesson.time)
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
}
