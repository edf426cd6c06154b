//! What an answer that is no success means: from the S3 code and the HTTP status, never from message text.

use crate::outcome::Class;

/// S3 codes that say more than their status does.
/// Sources: S3 API reference, "List of error codes"; the throttling codes are those the AWS SDKs share.
const BY_CODE: &[(Class, &[&str])] = &[
    (
        Class::Throttled,
        &[
            "BandwidthLimitExceeded",
            "LimitExceededException",
            "PriorRequestNotComplete",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequests",
            "TooManyRequestsException",
        ],
    ),
    (
        Class::Transient,
        &[
            "ConditionalRequestConflict",
            "InternalError",
            "OperationAborted",
            "RequestTimeout",
            "RequestTimeoutException",
        ],
    ),
    (
        Class::Fatal,
        &[
            "AccountProblem",
            "AllAccessDisabled",
            "AuthorizationHeaderMalformed",
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidAccessKeyId",
            "InvalidBucketName",
            "InvalidSecurity",
            "InvalidToken",
            "InvalidTokenId",
            "NoSuchBucket",
            "NotSignedUp",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "UnrecognizedClientException",
        ],
    ),
];

/// Gives an answer its class: by its code where that is known, else by its status.
pub fn classify(code: Option<&str>, status: u16) -> Class {
    let by_code = code.and_then(|code| BY_CODE.iter().find(|(_, codes)| codes.contains(&code)));
    if let Some((class, _)) = by_code {
        return *class;
    }
    match status {
        429 | 503 => Class::Throttled,
        // 501 and 505 say that the server can't, not that it can't now.
        501 | 505 => Class::Permanent,
        408 | 500..=599 => Class::Transient,
        _ => Class::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_follow_code_then_status() {
        let cases = [
            (Some("SlowDown"), 503, Class::Throttled),
            (Some("SlowDown"), 400, Class::Throttled),
            (Some("InternalError"), 500, Class::Transient),
            (Some("InternalError"), 200, Class::Transient),
            (Some("RequestTimeout"), 400, Class::Transient),
            (Some("NoSuchKey"), 404, Class::Permanent),
            (Some("AccessDenied"), 403, Class::Permanent),
            (Some("InvalidObjectState"), 403, Class::Permanent),
            (Some("NoSuchBucket"), 404, Class::Fatal),
            (Some("InvalidAccessKeyId"), 403, Class::Fatal),
            (Some("NeverSeenBefore"), 400, Class::Permanent),
            (Some("NeverSeenBefore"), 502, Class::Transient),
            (None, 404, Class::Permanent),
            (None, 408, Class::Transient),
            (None, 429, Class::Throttled),
            (None, 501, Class::Permanent),
            (None, 503, Class::Throttled),
            (None, 504, Class::Transient),
        ];
        for (code, status, class) in cases {
            assert_eq!(classify(code, status), class, "{code:?} {status}");
        }
    }
}
