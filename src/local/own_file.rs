//! This program's own files in a folder: their names, which no key's file can have, and the lock that says whose they are.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};

use cap_std::fs::{Dir, OpenOptions};

use super::error::LocalError;
use super::name::{MAX_NAME, RESERVED_PREFIX};
use super::path::LocalPath;

/// Rounds of finding a file that others remove or finish meanwhile.
const MAX_ROUNDS: usize = 100;

/// Why there is no file to write to.
pub enum TakeError {
    /// It is locked: a live process, or another download of this one, holds it.
    Busy,
    /// Something that is no file has this name.
    NotAFile(String),
    Io(io::Error),
}

impl From<io::Error> for TakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl TakeError {
    /// The error of doing `action` for the file at `path`.
    pub fn of_file(self, folder: &Dir, action: &'static str, path: &LocalPath) -> LocalError {
        match self {
            Self::Busy => LocalError::Conflict(format!(
                "another s3pull is writing `{path}`, or a key of this run that is the same file here"
            )),
            Self::NotAFile(name) => {
                LocalError::Conflict(format!("`{name}` is in the way and is no file: remove it"))
            }
            Self::Io(source) => LocalError::io(folder, action, path.as_str(), source),
        }
    }
}

/// `.s3pull-NAME.SUFFIX`, with the name's checksum in its place where it is too long for that.
pub fn reserved_name(name: &str, suffix: &str) -> String {
    if RESERVED_PREFIX.len() + name.len() + suffix.len() <= MAX_NAME {
        return format!("{RESERVED_PREFIX}{name}{suffix}");
    }
    let sum = crc_fast::crc64_nvme(name.as_bytes());
    format!("{RESERVED_PREFIX}{sum:016x}{suffix}")
}

/// Opens the file `name`, locked, or makes it; and says whether it was there.
pub fn take(folder: &Dir, name: &str) -> Result<(File, bool), TakeError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    for _ in 0..MAX_ROUNDS {
        let (file, was_there) = open_or_make(folder, name, &options)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TakeError::Busy),
            // Some network file systems have no locks; there the name alone must do.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        if is_still_named(folder, name, &file.metadata()?) {
            return Ok((file, was_there));
        }
    }
    Err(TakeError::Busy)
}

/// Opens the file `name` with `options`, or makes it; and says whether it was there.
pub fn open_or_make(
    folder: &Dir,
    name: &str,
    options: &OpenOptions,
) -> Result<(File, bool), TakeError> {
    for _ in 0..MAX_ROUNDS {
        match folder.open_with(name, options.clone().create_new(true)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return Ok((made?.into_std(), false)),
        }
        let opened = match folder.symlink_metadata(name) {
            Ok(metadata) if metadata.is_file() => folder.open_with(name, options),
            Ok(_) => return Err(TakeError::NotAFile(name.to_owned())),
            Err(error) => Err(error),
        };
        match opened {
            // It was finished or dropped by its process meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            opened => return Ok((opened?.into_std(), true)),
        }
    }
    Err(TakeError::Busy)
}

/// Whether the locked file is the one that `name` stands for: its last owner may just have renamed or removed it.
#[cfg(unix)]
fn is_still_named(folder: &Dir, name: &str, locked: &std::fs::Metadata) -> bool {
    use cap_std::fs::MetadataExt as _;
    use std::os::unix::fs::MetadataExt as _;
    folder
        .symlink_metadata(name)
        .is_ok_and(|named| (named.dev(), named.ino()) == (locked.dev(), locked.ino()))
}

/// Where files have no numbers to compare, an open file keeps its name.
#[cfg(not(unix))]
fn is_still_named(_: &Dir, _: &str, _: &std::fs::Metadata) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_our_own_fit_and_stay_reserved() {
        for length in [1, 241, 242, 243, 255] {
            let name = reserved_name(&"x".repeat(length), ".part");
            assert!(
                name.len() <= MAX_NAME && name.starts_with(RESERVED_PREFIX),
                "{length}"
            );
        }
    }
}
