//! The words that `transfer` and `report` share: what became of a row of the key list.

use std::fmt;
use std::time::{Duration, SystemTime};

/// What became of one row. Every row of the list ends as exactly one of these.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// A complete and verified file, or the folder of a folder marker, is at its final path.
    Downloaded(Downloaded),
    /// Nothing had to be fetched.
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
    /// Attempts it took: one more than requests that failed.
    pub attempts: u32,
    pub duration: Duration,
}

/// What the server said of an object.
#[derive(Debug, Clone, Default)]
pub struct ObjectInfo {
    /// With its quotes.
    pub etag: Option<String>,
    pub version_id: Option<String>,
    pub last_modified: Option<SystemTime>,
}

/// By what the bytes on disk were compared with the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verification {
    Crc64Nvme,
    Crc32c,
    Crc32,
    Sha256,
    Sha1,
    /// The MD5 that the ETag is.
    EtagMd5,
    /// S3 returned no checksum that covers the whole object, or `--verify off`; its length is right.
    Length,
    /// Neither a checksum nor a length was returned; the transfer ended as HTTP says it should.
    Unverified,
    /// A folder marker: there are no bytes to compare.
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
            Self::EtagMd5 => "etag-md5",
            Self::Length => "length",
            Self::Unverified => "unverified",
            Self::Folder => "folder",
        })
    }
}

impl SkipReason {
    /// The stable word for it, in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exists => "exists",
            Self::NotModified => "not-modified",
            Self::Duplicate => "duplicate",
            Self::OldVersion => "old-version",
            Self::DeleteMarker => "delete-marker",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exists => "exists",
            Self::NotModified => "not modified",
            Self::Duplicate => "the same key was in flight",
            Self::OldVersion => "not the latest version",
            Self::DeleteMarker => "a delete marker",
        })
    }
}

/// Why nothing had to be fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipReason {
    /// `--if-exists skip`, and a file is at the final path.
    Exists,
    /// `--if-exists newer`, and the file at the final path is as new as the object.
    NotModified,
    /// The same key was in flight for an earlier row, which downloaded it.
    Duplicate,
    /// An inventory's row of a version that is not the latest.
    OldVersion,
    /// An inventory's row of a delete marker.
    DeleteMarker,
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
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// Requests that failed; 0 where none was made.
    pub attempts: u32,
    /// `x-amz-request-id`, which AWS support asks for.
    pub request_id: Option<String>,
    /// One line, lowercase, with literal values in backticks.
    pub message: String,
    /// How long the server asks to wait before another attempt.
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
    /// The server at the other end is not the one that was meant: its certificate is not trusted, or it speaks no TLS.
    NoTrust,
    /// It gives no parts of objects, or not by what it says of this one: the whole object can still be had.
    NoParts,
}

impl Failure {
    /// A failure that no request led to.
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
            }
        }
    }

    /// A panic in a task is a defect, but no reason to lose other keys.
    pub fn of_panic(error: &tokio::task::JoinError) -> Self {
        let message = format!("a defect of s3pull, please report it: {error}");
        Self::new(ErrorCode::Internal, Class::Permanent, message)
    }

    /// A row that was not tried because the run ended early, for the reason that `why` gives.
    pub fn not_attempted(why: &str) -> Self {
        Self::new(ErrorCode::NotAttempted, Class::Permanent, why)
    }
}

/// What an error means for the key and for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// May go away by itself: try again.
    Transient,
    /// The server asks for fewer requests: try again, more slowly.
    Throttled,
    /// This key will not work; others may.
    Permanent,
    /// No key will work: the run stops.
    Fatal,
}

/// The stable word for an error, in the CSV's `error` column: S3's own code where it gave one, else one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorCode {
    /// A code of S3's, such as `NoSuchKey`, or `Http404` for an answer that carried none.
    S3(String),
    /// The connection could not be made, or broke.
    ConnectionFailed,
    /// Connecting, the answer, or the next byte took too long.
    Timeout,
    /// The answer is not one that S3 would give.
    InvalidResponse,
    /// The body ended early or late, or its transfer broke.
    IncompleteBody,
    /// The bytes are not those that S3's checksum was made from.
    ChecksumMismatch,
    /// Another object was put under the key during its download, each time it was tried.
    ObjectChanged,
    /// No usable credentials.
    Credentials,
    /// The row cannot be read as one of its format.
    InvalidRow,
    /// A key that S3 cannot hold.
    InvalidKey,
    /// The row names another bucket than `--bucket`.
    WrongBucket,
    /// The key is no plain path below the output folder.
    UnsafeKey,
    /// Something else is, or will be, at that path.
    PathConflict,
    /// A key that ends in `/` has content, so it can be neither a file nor a folder.
    FolderMarkerHasContent,
    /// The file system allows no more bytes or files.
    DiskFull,
    /// The output folder is not there any more.
    OutputFolderGone,
    /// This process has as many files and connections open as it may; passes by itself.
    TooManyOpenFiles,
    /// The file system refused to create, write or rename a file.
    WriteFailed,
    /// Begun, but given up because the run was stopped.
    Interrupted,
    /// Never begun, because the run ended early.
    NotAttempted,
    /// A defect of this program.
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
            Self::FolderMarkerHasContent => "FolderMarkerHasContent",
            Self::DiskFull => "DiskFull",
            Self::OutputFolderGone => "OutputFolderGone",
            Self::TooManyOpenFiles => "TooManyOpenFiles",
            Self::WriteFailed => "WriteFailed",
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
