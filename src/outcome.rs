//! How a row of the key list can end: the outcomes, failures and error codes that the engine and the reporter share.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use crate::etag::ETag;

/// How one row ended. Every row of the list ends as exactly one of these.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A complete and verified file, or the folder of a folder marker, is at its final path.
    Downloaded(Downloaded),
    /// No download was needed.
    Skipped(SkipReason),
    /// A row for the failed-keys CSV.
    Failed(Failure),
}

/// A committed file, or the folder that a folder marker stands for.
#[derive(Debug, Clone)]
pub struct Downloaded {
    pub bytes: u64,
    pub object: ObjectInfo,
    pub verification: Verification,
    /// Attempts made: one more than the failures, where requests that fail together count once.
    pub attempts: u32,
    pub duration: Duration,
}

/// What the server says about an object.
#[derive(Debug, Clone, Default)]
pub struct ObjectInfo {
    pub etag: Option<ETag>,
    pub version_id: Option<String>,
    pub last_modified: Option<SystemTime>,
    /// Boxed, since few need it. `None` if no answer described the whole object.
    pub description: Option<Box<Description>>,
}

/// How its uploader describes an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Description {
    pub content_type: Option<String>,
    /// User metadata by name, as the server sends it; `None` if it is longer than S3 stores.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// What the bytes on disk were verified against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verification {
    Crc64Nvme,
    Crc32c,
    Crc32,
    Sha256,
    Sha1,
    /// The MD5 that the list gives.
    Md5,
    /// The ETag, which is an MD5.
    EtagMd5,
    /// Only the length: S3 returned no checksum of the whole object, or `--verify off` is set.
    Length,
    /// Nothing: S3 returned neither a checksum nor a length, and the body ended as HTTP requires.
    Unverified,
    /// Nothing: a folder marker has no bytes.
    Folder,
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc32c => "crc32c",
            Self::Crc32 => "crc32",
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
            Self::EtagMd5 => "etag-md5",
            Self::Length => "length",
            Self::Unverified => "unverified",
            Self::Folder => "folder",
        })
    }
}

impl SkipReason {
    /// The stable name of the reason, used in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::NotModified => "not-modified",
            Self::Verified => "verified",
            Self::NotVerified => "not-verified",
            Self::Duplicate => "duplicate",
            Self::OldVersion => "old-version",
            Self::DeleteMarker => "delete-marker",
            Self::Done => "done",
            Self::Superseded => "superseded",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exists => "exists",
            Self::NotModified => "not modified",
            Self::Verified => "the same content",
            Self::NotVerified => "the same size and time, and no checksum to compare",
            Self::Duplicate => "the same key was in flight",
            Self::OldVersion => "not the latest version",
            Self::DeleteMarker => "a delete marker",
            Self::Done => "in the done file",
            Self::Superseded => "a later row is of the same file",
        })
    }
}

/// Why no download was needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// `--if-exists skip` is set, and a file exists at the final path.
    Exists,
    /// `--if-exists newer` or `changed` is set, and the file at the final path is as new as the object, or the same.
    NotModified,
    /// `--if-exists verify` is set, and the file at the final path has the object's content.
    Verified,
    /// `--if-exists verify` is set, and nothing tells the object's content; the file has its size and time.
    NotVerified,
    /// The same key was in flight for an earlier row, which downloaded it.
    Duplicate,
    /// The row of an inventory is a version that is not the latest.
    OldVersion,
    /// The row of an inventory is a delete marker.
    DeleteMarker,
    /// `--skip-done` is set, and an earlier run has noted the object as done.
    Done,
    /// A later row of the done file is of the same file, which was replaced since, or kept.
    Superseded,
}

/// Bytes of an error's code, or of a request's ID.
const MAX_CODE: usize = 256;
/// Bytes of a message.
const MAX_MESSAGE: usize = 4096;

/// A key that could not be downloaded: one row of the failed-keys CSV.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Failure {
    pub code: ErrorCode,
    pub class: Class,
    /// HTTP status, if there was a response.
    pub status: Option<u16>,
    /// Attempts that failed; 0 if no request was made.
    pub attempts: u32,
    /// `x-amz-request-id`, which AWS support asks for.
    pub request_id: Option<String>,
    /// One line, lowercase, with literal values in backticks.
    pub message: String,
    /// The wait before the next attempt that the server asks for.
    pub retry_after: Option<Duration>,
    pub sign: Sign,
}

/// What a failure says of the server, besides its class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sign {
    #[default]
    Nothing,
    /// No connection could be made.
    NoConnection,
    /// No request could be made: the credentials are over, and where they come from does not work at the moment.
    NoCredentials,
    /// The server at the other end is not the one that was meant: its certificate is not trusted, or it speaks no TLS.
    NoTrust,
    /// The answer is that of something on the way, such as a proxy, or a network that one has to sign in to.
    Elsewhere,
    /// The server, or something before it, closed a new connection without an answer, as one does that takes no more of them.
    NotTaken,
    /// It gives no parts of objects, or not by what it says of this one: the whole object can still be had.
    NoParts,
    /// It names another ETag for a part than for the whole: the object was replaced, or the server has its own idea of
    /// ETags.
    OtherEtag,
}

impl Failure {
    /// A failure without a request.
    pub fn new(code: ErrorCode, class: Class, message: impl Into<String>) -> Self {
        Self {
            code,
            class,
            status: None,
            attempts: 0,
            request_id: None,
            message: message.into(),
            retry_after: None,
            sign: Sign::Nothing,
        }
    }

    /// Cuts what a server or a list says to a length that every reader of a record accepts.
    pub fn shorten(&mut self) {
        let mut code = match &mut self.code {
            ErrorCode::S3(code) => Some(code),
            _ => None,
        };
        let texts = [
            (code.take(), MAX_CODE),
            (self.request_id.as_mut(), MAX_CODE),
            (Some(&mut self.message), MAX_MESSAGE),
        ];
        for (text, max) in texts {
            if let Some(text) = text.filter(|text| text.len() > max) {
                text.truncate(text.floor_char_boundary(max));
                text.push('…');
                text.shrink_to_fit();
            }
        }
    }

    /// The failure of a key whose task panicked. A panic is a bug, but must not lose other keys.
    pub fn of_panic(error: &tokio::task::JoinError) -> Self {
        let message = format!("a bug in s3pull, please report it: {error}");
        Self::new(ErrorCode::Internal, Class::Permanent, message)
    }

    /// The failure of a row that was not tried because the run ended early; `why` is the message.
    pub fn not_attempted(why: &str) -> Self {
        Self::new(ErrorCode::NotAttempted, Class::Permanent, why)
    }
}

/// What an error means for the key and for the run. Code asks by the methods, each of which lists every class, so that
/// the compiler finds what a new one changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The error may pass: retry.
    Transient,
    /// The server asks for fewer requests: retry, more slowly.
    Throttled,
    /// This key cannot succeed; others may.
    Permanent,
    /// No key can succeed: the run stops.
    Fatal,
}

impl Class {
    /// Whether another attempt may help.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Transient | Self::Throttled => true,
            Self::Permanent | Self::Fatal => false,
        }
    }

    /// Whether the server asks for fewer requests.
    pub fn is_throttling(self) -> bool {
        match self {
            Self::Throttled => true,
            Self::Transient | Self::Permanent | Self::Fatal => false,
        }
    }

    /// Whether it is this key that fails, and would fail again.
    pub fn is_of_key(self) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient | Self::Throttled | Self::Fatal => false,
        }
    }

    /// Whether the run ends with it.
    pub fn ends_run(self) -> bool {
        match self {
            Self::Fatal => true,
            Self::Transient | Self::Throttled | Self::Permanent => false,
        }
    }
}

/// The stable name of an error in the CSV's `error` column: S3's own code if it sent one, otherwise one of s3pull's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorCode {
    /// A code of S3, such as `NoSuchKey`, or `Http404` for a response without a code.
    S3(String),
    /// The connection could not be established, or broke.
    ConnectionFailed,
    /// The connection, the response or the next bytes took too long.
    Timeout,
    /// The response is not one that S3 sends.
    InvalidResponse,
    /// The body was too short or too long, or broke off.
    IncompleteBody,
    /// The bytes do not match S3's checksum.
    ChecksumMismatch,
    /// The object was replaced during its download, in every attempt.
    ObjectChanged,
    /// There are no usable credentials.
    Credentials,
    /// The row is not valid in the format of its list.
    InvalidRow,
    /// A key that S3 cannot hold.
    InvalidKey,
    /// The row names a bucket other than `--bucket`.
    WrongBucket,
    /// The key is not a safe path below the output folder.
    UnsafeKey,
    /// Something else exists, or will exist, at that path.
    PathConflict,
    /// A shard that an earlier run completed does not have the object.
    NotInShard,
    /// A key that ends in `/` has content, so it can be neither a file nor a folder.
    FolderMarkerHasContent,
    /// The file system allows no more bytes or files.
    DiskFull,
    /// The output folder no longer exists.
    OutputFolderGone,
    /// The limit of open files and connections is reached. It passes once others are closed.
    TooManyOpenFiles,
    /// The file system refused to create, write or rename a file.
    WriteFailed,
    /// `s3pull check`: there is no file.
    Missing,
    /// `s3pull check`: the file is not the object's.
    Different,
    /// `s3pull check`: nothing tells whether the file is the object's.
    Unverifiable,
    /// The download was started, but the run was stopped.
    Interrupted,
    /// The download was never started, because the run ended early.
    NotAttempted,
    /// A bug in s3pull.
    Internal,
}

impl ErrorCode {
    pub fn as_str(&self) -> &str {
        match self {
            Self::S3(code) => code,
            Self::ConnectionFailed => "ConnectionFailed",
            Self::Timeout => "Timeout",
            Self::InvalidResponse => "InvalidResponse",
            Self::IncompleteBody => "IncompleteBody",
            Self::ChecksumMismatch => "ChecksumMismatch",
            Self::ObjectChanged => "ObjectChanged",
            Self::Credentials => "Credentials",
            Self::InvalidRow => "InvalidRow",
            Self::InvalidKey => "InvalidKey",
            Self::WrongBucket => "WrongBucket",
            Self::UnsafeKey => "UnsafeKey",
            Self::PathConflict => "PathConflict",
            Self::NotInShard => "NotInShard",
            Self::FolderMarkerHasContent => "FolderMarkerHasContent",
            Self::DiskFull => "DiskFull",
            Self::OutputFolderGone => "OutputFolderGone",
            Self::TooManyOpenFiles => "TooManyOpenFiles",
            Self::WriteFailed => "WriteFailed",
            Self::Missing => "Missing",
            Self::Different => "Different",
            Self::Unverifiable => "Unverifiable",
            Self::Interrupted => "Interrupted",
            Self::NotAttempted => "NotAttempted",
            Self::Internal => "Internal",
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_task_is_a_failure_of_its_key() {
        let ended = tokio::spawn(async { panic!("as a library may") }).await;
        let failure = Failure::of_panic(&ended.unwrap_err());
        assert_eq!(
            (failure.code, failure.class),
            (ErrorCode::Internal, Class::Permanent)
        );
        assert!(
            failure.message.contains("as a library may"),
            "{}",
            failure.message
        );
    }
}
