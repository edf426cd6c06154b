//! What the file system refused, and what that means for the run.

use std::io::{self, ErrorKind};

use crate::outcome::{Class, ErrorCode, Failure};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Something else is, or is being put, at the path.
    #[error("{0}")]
    Conflict(String),
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        action: &'static str,
        path: String,
        source: io::Error,
    },
}

impl LocalError {
    /// An error of doing `action` at `path`, below the output folder.
    pub(super) fn io(action: &'static str, path: &str, source: io::Error) -> Self {
        match source.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => Self::Conflict(format!(
                "a file is where `{}` needs a folder",
                path.escape_debug()
            )),
            ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => Self::Conflict(format!(
                "a folder is where the file `{}` would go",
                path.escape_debug()
            )),
            // The sandbox's own refusal: no system call failed.
            ErrorKind::PermissionDenied if source.raw_os_error().is_none() => {
                Self::Conflict(format!(
                    "`{}` leads out of the output folder through a symlink",
                    path.escape_debug()
                ))
            }
            _ => Self::Io {
                action,
                path: path.escape_debug().to_string(),
                source,
            },
        }
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        let (code, class) = match &error {
            LocalError::Conflict(_) => (ErrorCode::PathConflict, Class::Permanent),
            LocalError::Io { source, .. } => match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    (ErrorCode::DiskFull, Class::Fatal)
                }
                ErrorKind::ReadOnlyFilesystem => (ErrorCode::WriteFailed, Class::Fatal),
                _ if is_out_of_handles(source) => (ErrorCode::WriteFailed, Class::Transient),
                _ => (ErrorCode::WriteFailed, Class::Permanent),
            },
        };
        Self::new(code, class, error.to_string())
    }
}

/// `EMFILE` or `ENFILE`: passes when other files are closed.
fn is_out_of_handles(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}
