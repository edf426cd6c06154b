//! What the file system refused, and what that means for the run.

use std::io::{self, ErrorKind};

use cap_std::fs::Dir;

use super::path::{LocalPath, NoPath};
use super::sys;
use crate::open_files;
use crate::outcome::{Class, ErrorCode, Failure};
use crate::printable::{bytes, room};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// Something else is, or is being put, at the path.
    #[error("{0}")]
    Conflict(String),
    #[error("the disk is full: cannot {action} `{path}`: {source}{}; make room, then try the failed rows again", how_much_is_free(*.free, *.needed))]
    Full {
        action: &'static str,
        path: String,
        source: io::Error,
        /// Bytes, where the file system says so.
        free: Option<u64>,
        /// Bytes of the whole file, where they are known.
        needed: Option<u64>,
    },
    #[error(
        "the disk takes no more files: cannot {action} `{path}`: {source}, since all its inodes are in use; remove files, then try the failed rows again"
    )]
    NoInodes {
        action: &'static str,
        path: String,
        source: io::Error,
    },
    #[error(
        "the disk quota is used up: cannot {action} `{path}`: {source}; make room within it, then try the failed rows again"
    )]
    Quota {
        action: &'static str,
        path: String,
        source: io::Error,
    },
    #[error(
        "the folder is full: cannot {action} `{path}`: {source}, although the disk has room: ext4 takes only so many names per folder; use more folders, or a file system with ext4's feature `large_dir`"
    )]
    FolderFull {
        action: &'static str,
        path: String,
        source: io::Error,
    },
    #[error(
        "the output folder is gone: cannot {action} `{path}`: {source}; do not remove it while s3pull runs"
    )]
    Gone {
        action: &'static str,
        path: String,
        source: io::Error,
    },
    #[error(
        "{error}; the object is downloaded and kept as `{}`: the next run goes on from there", .partial_name.escape_debug()
    )]
    NotPutInPlace {
        error: Box<Self>,
        partial_name: String,
    },
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        action: &'static str,
        path: String,
        source: io::Error,
    },
}

fn how_much_is_free(free: Option<u64>, needed: Option<u64>) -> String {
    match (free, needed) {
        (Some(free), Some(needed)) => format!(", {}", room(free, needed)),
        (Some(free), None) => format!(", {} free", bytes(free)),
        (None, _) => String::new(),
    }
}

/// Whether `action` adds a name to a folder.
fn takes_a_name(action: &str) -> bool {
    [
        "create",
        "make a journal for",
        "make the folder",
        "put in place",
    ]
    .contains(&action)
}

impl LocalError {
    /// An error of doing `action` at `path`, in or below `folder`.
    pub(super) fn io(folder: &Dir, action: &'static str, path: &str, source: io::Error) -> Self {
        let shown = path.escape_debug();
        match source.kind() {
            ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
                Self::Conflict(format!("a file is where `{shown}` needs a folder"))
            }
            ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => {
                Self::Conflict(format!("a folder is where the file `{shown}` would go"))
            }
            _ if leads_out(&source) => Self::Conflict(format!(
                "`{shown}` leads out of the output folder through a symlink"
            )),
            ErrorKind::StorageFull if takes_a_name(action) && sys::is_index_full(folder) => {
                Self::FolderFull {
                    action,
                    path: shown.to_string(),
                    source,
                }
            }
            ErrorKind::StorageFull if takes_a_name(action) && sys::has_no_inodes(folder) => {
                Self::NoInodes {
                    action,
                    path: shown.to_string(),
                    source,
                }
            }
            ErrorKind::QuotaExceeded => Self::Quota {
                action,
                path: shown.to_string(),
                source,
            },
            ErrorKind::StorageFull => Self::Full {
                action,
                path: shown.to_string(),
                source,
                free: sys::free_bytes(folder),
                needed: None,
            },
            _ if sys::is_loop(&source) => {
                Self::Conflict(format!("symlinks at `{shown}` lead round in circles"))
            }
            _ => Self::Io {
                action,
                path: shown.to_string(),
                source,
            },
        }
    }

    /// The same, of a file that needs so many bytes.
    pub(super) fn needing(self, n_bytes: u64) -> Self {
        match self {
            Self::Full {
                action,
                path,
                source,
                free,
                ..
            } => Self::Full {
                action,
                path,
                source,
                free,
                needed: Some(n_bytes),
            },
            error => error,
        }
    }

    /// `path` is that of a file that this run reads or writes itself.
    pub(super) fn is_kept(path: &LocalPath) -> Self {
        Self::Conflict(format!(
            "`{path}` is the key list or the failed-keys CSV of this run"
        ))
    }

    /// The same, where a folder that is not there can only be the output folder itself.
    pub(super) fn or_gone(self) -> Self {
        match self {
            Self::Io {
                action,
                path,
                source,
            } if source.kind() == ErrorKind::NotFound => Self::Gone {
                action,
                path,
                source,
            },
            error => error,
        }
    }

    /// What it means for the row and for the run.
    fn meaning(&self) -> (ErrorCode, Class) {
        match self {
            Self::Conflict(_) => (ErrorCode::PathConflict, Class::Permanent),
            Self::Full { .. } | Self::NoInodes { .. } => (ErrorCode::DiskFull, Class::Fatal),
            // A smaller object, or one of another folder's project, may still fit.
            Self::Quota { .. } => (ErrorCode::DiskFull, Class::Permanent),
            // Other folders have room.
            Self::FolderFull { .. } => (ErrorCode::WriteFailed, Class::Permanent),
            Self::Gone { .. } => (ErrorCode::OutputFolderGone, Class::Fatal),
            Self::NotPutInPlace { error, .. } => error.meaning(),
            Self::Io { source, .. } => match source.kind() {
                // A folder of another file system than the output folder's.
                ErrorKind::InvalidFilename => (ErrorCode::UnsafeKey, Class::Permanent),
                ErrorKind::ReadOnlyFilesystem => (ErrorCode::WriteFailed, Class::Fatal),
                _ => (ErrorCode::WriteFailed, Class::Permanent),
            },
        }
    }

    /// Whether the cause passes when other files are closed.
    pub(super) fn is_out_of_handles(&self) -> bool {
        matches!(self, Self::Io { source, .. } if open_files::is_exhausted(source))
    }
}

impl From<LocalError> for Failure {
    fn from(error: LocalError) -> Self {
        let (code, class) = error.meaning();
        Self::new(code, class, error.to_string())
    }
}

impl From<NoPath> for Failure {
    fn from(error: NoPath) -> Self {
        let code = match &error {
            NoPath::Unsafe(_) => ErrorCode::UnsafeKey,
            NoPath::OtherPrefix { .. } => ErrorCode::InvalidKey,
        };
        Self::new(code, Class::Permanent, error.to_string())
    }
}

/// Whether it is the sandbox's own refusal: no system call failed.
pub(super) fn leads_out(error: &io::Error) -> bool {
    error.kind() == ErrorKind::PermissionDenied && error.raw_os_error().is_none()
}
