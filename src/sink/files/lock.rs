//! This program's own files in a folder: their names, which no key's file can have, and the lock that says whose they are.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use cap_std::fs::{Dir, Metadata, OpenOptions};

use super::error::LocalError;
use super::path::LocalPath;
use super::path::name::{NameLimit, RESERVED_PREFIX};
use super::sys::{self, FileId, Lock};
use crate::locks::lock;

/// Rounds of finding a file that others remove or finish meanwhile.
const MAX_ROUNDS: usize = 100;

/// Why there is no file to write to.
pub(super) enum TakeError {
    /// It is locked: a live process, or another download of this one, holds it.
    Busy,
    /// Something that is not a file has this name.
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
    pub(super) fn of_file(
        self,
        folder: &Dir,
        action: &'static str,
        path: &LocalPath,
    ) -> LocalError {
        match self {
            Self::Busy => LocalError::Conflict(format!(
                "another s3pull is writing `{path}`, or a key of this run that is the same file here"
            )),
            Self::NotAFile(name) => LocalError::Conflict(format!(
                "`{name}` is in the way and is not a file: remove it"
            )),
            Self::Io(source) => LocalError::io(folder, action, path.as_str(), source),
        }
    }
}

/// `.s3pull-NAME.SUFFIX`, with the name's checksum in its place where it is too long for that.
pub(super) fn reserved_name(name: &str, suffix: &str, limit: NameLimit) -> String {
    if RESERVED_PREFIX.len() + name.len() + suffix.len() <= limit.bytes() {
        return format!("{RESERVED_PREFIX}{name}{suffix}");
    }
    let sum = crc_fast::crc64_nvme(name.as_bytes());
    format!("{RESERVED_PREFIX}{sum:016x}{suffix}")
}

/// What is to be done with a file that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// What is in it is of no use, so a new one may take its place.
    Replace,
    /// It is used as it is, where this program can have left it.
    Resume,
}

/// A file of this program's own that no other process or download is using.
#[derive(Debug)]
pub(super) struct Taken {
    pub file: File,
    /// Bytes in the file, as found under the lock.
    pub n_bytes: u64,
    /// Whether there was a file of that name before this one.
    pub has_predecessor: bool,
    /// Where the file system has no locks: the error, and this run's own note of the file in place of a lock.
    pub unlocked: Option<(io::Error, Claim)>,
}

/// Opens the file `name`, locked, or makes it.
///
/// What is found under the lock decides, and not what opening the file said: between the two, another run may have
/// used the file.
pub(super) fn take(
    folder: &Dir,
    name: &str,
    if_found: Found,
    in_use: &InUse,
) -> Result<Taken, TakeError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let mut has_predecessor = false;
    for _ in 0..MAX_ROUNDS {
        let (file, opened) = open_or_make(folder, name, &options)?;
        let locked = sys::lock(&file)?;
        let metadata = sys::stat(&file)?;
        let unlocked = match locked {
            Lock::Held => None,
            Lock::HeldElsewhere => return Err(TakeError::Busy),
            // Some network file systems have no locks: there the name alone keeps two processes apart.
            Lock::Unavailable(error) => match in_use.claim(&metadata) {
                Some(claim) => Some((error, claim)),
                None => return Err(TakeError::Busy),
            },
        };
        if !sys::is_still_named(folder, name, &metadata)? {
            continue;
        }
        let is_new = opened == Opened::Made && metadata.len() == 0 && sys::has_one_name(&metadata);
        has_predecessor |= !is_new;
        // A file that another process may write to without a lock gets out of its way.
        let may_reuse =
            if_found == Found::Resume || unlocked.is_none() || sys::KEEPS_NAMES_OF_REMOVED;
        if is_new || may_reuse && is_reusable(folder, &metadata, opened)? {
            return Ok(Taken {
                file,
                n_bytes: metadata.len(),
                has_predecessor,
                unlocked,
            });
        }
        sys::remove(folder, name)?;
    }
    Err(TakeError::Busy)
}

/// Opens the file `name` to add to it, or makes it. The lock of another file must cover it.
pub(super) fn open_to_append(folder: &Dir, name: &str) -> Result<File, TakeError> {
    let mut options = OpenOptions::new();
    options.read(true).append(true);
    for _ in 0..MAX_ROUNDS {
        let (file, opened) = open_or_make(folder, name, &options)?;
        if opened == Opened::Made || is_reusable(folder, &sys::stat(&file)?, opened)? {
            return Ok(file);
        }
        sys::remove(folder, name)?;
    }
    Err(TakeError::Busy)
}

/// Whether a file can have been left by this program: writing to one with another name would change a file of the
/// user's, and one with another owner or other permissions may be changed by others, and would stay so.
fn is_reusable(folder: &Dir, file: &Metadata, opened: Opened) -> io::Result<bool> {
    Ok(opened != Opened::ToReplace
        && file.is_file()
        && sys::has_one_name(file)
        && sys::is_like_new(folder, file)?)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opened {
    Made,
    Found,
    /// It was found and cannot be written to, but it can be locked.
    ToReplace,
}

/// Opens the file `name` with `options`, or makes it.
fn open_or_make(
    folder: &Dir,
    name: &str,
    options: &OpenOptions,
) -> Result<(File, Opened), TakeError> {
    for _ in 0..MAX_ROUNDS {
        match sys::open(folder, name, options.clone().create_new(true)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return Ok((made?, Opened::Made)),
        }
        let opened = match sys::symlink_metadata(folder, name) {
            Ok(metadata) if metadata.is_file() => open_found(folder, name, options),
            Ok(_) => return Err(TakeError::NotAFile(name.to_owned())),
            Err(error) => Err(error),
        };
        match opened {
            // It was finished or dropped by its process, or replaced by a symlink, meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound || sys::is_loop(&error) => {}
            opened => return Ok(opened?),
        }
    }
    Err(TakeError::Busy)
}

fn open_found(folder: &Dir, name: &str, options: &OpenOptions) -> io::Result<(File, Opened)> {
    match sys::open(folder, name, options) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let file = sys::open(folder, name, OpenOptions::new().read(true));
            file.map(|file| (file, Opened::ToReplace))
                .map_err(|_| error)
        }
        opened => opened.map(|file| (file, Opened::Found)),
    }
}

/// The files that this run writes without a lock, so that no two of its downloads write one.
#[derive(Debug, Clone, Default)]
pub(super) struct InUse(Arc<Mutex<HashSet<FileId>>>);

impl InUse {
    /// Notes that the file is in use until the claim is dropped; `None` if it is in use already.
    fn claim(&self, file: &Metadata) -> Option<Claim> {
        let id = sys::file_id(file);
        let is_free = self.ids().insert(id);
        let in_use = self.clone();
        is_free.then(|| Claim { in_use, id })
    }

    fn ids(&self) -> std::sync::MutexGuard<'_, HashSet<FileId>> {
        lock(&self.0)
    }
}

/// A file in use without a lock.
#[derive(Debug)]
pub(super) struct Claim {
    in_use: InUse,
    id: FileId,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.in_use.ids().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_our_own_fit_and_stay_reserved() {
        for limit in [48, 143, 255] {
            for length in [1, 20, 34, 35, 36, 128, 143, 241, 242, 243, 255] {
                for suffix in [".part", ".journal"] {
                    let name = "x".repeat(length);
                    let name = reserved_name(&name, suffix, NameLimit::of_bytes(limit));
                    assert!(name.starts_with(RESERVED_PREFIX), "{length}");
                    assert!(name.len() as u64 <= limit, "{limit} {length}");
                }
            }
        }
    }
}
