//! Classifies replies that are not successes, by S3 code and HTTP status, never by message text.

use crate::outcome::Class;

/// S3 codes whose class differs from that of their status. A code that is not listed has the class of its status.
/// Sources: S3 API reference, "List of error codes"; the throttling codes are those that the AWS SDKs share.
const BY_CODE: &[(Class, &[&str])] = &[
    (
        Class::Throttled,
        &[
            "BandwidthLimitExceeded",
            "EC2ThrottledException",
            "LimitExceededException",
            "PriorRequestNotComplete",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "RequestThrottledException",
            "ServiceUnavailable",
            "SlowDown",
            "ThrottledException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequests",
            "TooManyRequestsException",
            "TransactionInProgressException",
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
            "TemporaryRedirect",
        ],
    ),
    (
        Class::Fatal,
        &[
            // Credentials and signatures: if one key is refused, all are.
            "AccountProblem",
            "AuthFailure",
            "AuthorizationHeaderMalformed",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSecurity",
            "InvalidSignatureException",
            "InvalidToken",
            "InvalidTokenId",
            "MissingAuthenticationToken",
            "NotSignedUp",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "Unauthorized",
            "UnrecognizedClientException",
            // The bucket.
            "AllAccessDisabled",
            "IllegalLocationConstraintException",
            "InvalidBucketName",
            "NoSuchBucket",
            "PermanentRedirect",
        ],
    ),
];

/// The class of a reply: by its code if that is listed, else by its status. S3 hands on errors of other services, whose name
/// is put before the code (`KMS.ThrottlingException`).
pub(crate) fn classify(code: Option<&str>, status: u16) -> Class {
    let code = code.map(|code| code.rsplit_once('.').map_or(code, |(_, code)| code));
    let by_code = code.and_then(|code| BY_CODE.iter().find(|(_, codes)| codes.contains(&code)));
    if let Some((class, _)) = by_code {
        return *class;
    }
    match status {
        // The server or a proxy refuses the credentials.
        401 | 407 => Class::Fatal,
        429 | 503 => Class::Throttled,
        // 501 and 505 mean that the server never can, not that it cannot now.
        501 | 505 => Class::Permanent,
        // Too Early (RFC 8470) asks for the same request once more.
        408 | 425 | 500..=599 => Class::Transient,
        _ => Class::Permanent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_code_has_two_classes() {
        let mut codes: Vec<_> = BY_CODE.iter().flat_map(|(_, codes)| codes.iter()).collect();
        let n_codes = codes.len();
        codes.sort();
        codes.dedup();
        assert_eq!(codes.len(), n_codes);
    }

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
            (Some("ServiceUnavailable"), 503, Class::Throttled),
            (Some("ThrottlingException"), 400, Class::Throttled),
            (Some("RequestLimitExceeded"), 400, Class::Throttled),
            (Some("BandwidthLimitExceeded"), 509, Class::Throttled),
            (Some("TooManyRequestsException"), 429, Class::Throttled),
            (Some("OperationAborted"), 409, Class::Transient),
            (Some("TemporaryRedirect"), 307, Class::Transient),
            (Some("NoSuchVersion"), 404, Class::Permanent),
            (Some("MethodNotAllowed"), 405, Class::Permanent),
            (Some("PreconditionFailed"), 412, Class::Permanent),
            (Some("InvalidRange"), 416, Class::Permanent),
            (Some("NotFound"), 404, Class::Permanent),
            (Some("ExpiredToken"), 400, Class::Fatal),
            (Some("InvalidToken"), 400, Class::Fatal),
            (Some("SignatureDoesNotMatch"), 403, Class::Fatal),
            (Some("RequestTimeTooSkewed"), 403, Class::Fatal),
            (Some("AuthFailure"), 403, Class::Fatal),
            (Some("PermanentRedirect"), 301, Class::Fatal),
            (Some("AuthorizationHeaderMalformed"), 400, Class::Fatal),
            (
                Some("IllegalLocationConstraintException"),
                400,
                Class::Fatal,
            ),
            (Some("InvalidBucketName"), 400, Class::Fatal),
            (Some("KMS.ThrottlingException"), 400, Class::Throttled),
            (Some("KMS.DisabledException"), 400, Class::Permanent),
            (Some("NeverSeenBefore"), 400, Class::Permanent),
            (Some("NeverSeenBefore"), 502, Class::Transient),
            (None, 301, Class::Permanent),
            (None, 401, Class::Fatal),
            (Some("Unauthorized"), 401, Class::Fatal),
            (None, 403, Class::Permanent),
            (None, 407, Class::Fatal),
            (None, 404, Class::Permanent),
            (None, 405, Class::Permanent),
            (None, 500, Class::Transient),
            (None, 408, Class::Transient),
            (None, 425, Class::Transient),
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
