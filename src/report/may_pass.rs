//! Which failures may pass, by what the failed-keys CSV says of them. Pure.

use crate::s3;

/// The errors of this program's own that may pass; those of S3 have the class of their code and status.
const OF_OURS: [&str; 7] = [
    "ChecksumMismatch",
    "ConnectionFailed",
    "IncompleteBody",
    "InvalidResponse",
    "ObjectChanged",
    "Timeout",
    "TooManyOpenFiles",
];

/// Whether a row that failed with this code and HTTP status may succeed later in the run.
pub(super) fn may_pass(code: &str, status: Option<u16>) -> bool {
    OF_OURS.contains(&code)
        || status.is_some_and(|status| s3::classify(Some(code), status).may_pass())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_may_pass_are_tried_again() {
        for (code, status, expected) in [
            ("Timeout", None, true),
            ("SlowDown", Some(503), true),
            ("InternalError", Some(500), true),
            ("Http502", Some(502), true),
            ("RequestTimeout", Some(400), true),
            ("NoSuchKey", Some(404), false),
            ("AccessDenied", Some(403), false),
            ("ExpiredToken", Some(400), false),
            ("InvalidRow", None, false),
            ("UnsafeKey", None, false),
            ("NotAttempted", None, false),
            ("Interrupted", None, false),
            ("DiskFull", None, false),
        ] {
            assert_eq!(may_pass(code, status), expected, "{code}");
        }
    }
}
