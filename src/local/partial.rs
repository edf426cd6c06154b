//! A file on its way: written under a name of its own in the folder it belongs to, and renamed when it is whole.
//!
//! The partial name is derived from the final one, so that what a killed run left is found and taken over, and it is
//! locked while in use, so that two processes never write one file. Nobody removes or renames a partial file without
//! holding its lock; so whoever has the lock, and still finds its file under the name, owns both.

use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind, IoSlice, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use super::error::LocalError;
use super::path::{LocalPath, RESERVED_PREFIX};

/// Rounds of finding a partial file that others remove or finish meanwhile.
const MAX_ROUNDS: usize = 100;
/// The longest name that file systems take, in bytes.
const MAX_NAME: usize = 255;

/// A file that is not whole yet; removed again when dropped before [`PartialFile::commit`].
#[derive(Debug)]
pub struct PartialFile {
    folder: Arc<Dir>,
    file: File,
    partial_name: String,
    path: LocalPath,
    is_committed: bool,
}

impl PartialFile {
    pub(super) fn create(folder: Arc<Dir>, path: &LocalPath) -> Result<Self, LocalError> {
        let partial_name = partial_name(path.name());
        let file = take(&folder, &partial_name).map_err(|error| match error {
            TakeError::Busy => LocalError::Conflict(format!("another s3pull is writing `{path}`")),
            TakeError::NotAFile => LocalError::Conflict(format!(
                "`{partial_name}` is in the way and is no file: remove it"
            )),
            TakeError::Io(source) => LocalError::io("create", path.as_str(), source),
        })?;
        Ok(Self {
            folder,
            file,
            partial_name,
            path: path.clone(),
            is_committed: false,
        })
    }

    /// Begins a file that is no object's, at a path of the user's.
    ///
    /// # Errors
    /// When another process is writing it, or the file system refuses.
    pub fn beside(path: &Path) -> io::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let folder = Dir::open_ambient_dir(folder, ambient_authority())?;
        let name = path
            .file_name()
            .and_then(OsStr::to_str)
            .and_then(|name| LocalPath::of_key(name).ok());
        let name = name.ok_or_else(|| {
            io::Error::new(
                ErrorKind::InvalidFilename,
                "the name cannot be a file's here",
            )
        })?;
        Self::create(Arc::new(folder), &name).map_err(|error| match error {
            LocalError::Io { source, .. } => source,
            LocalError::Conflict(message) => io::Error::other(message),
        })
    }

    /// Writes `chunks` behind what was written before, without joining them first.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn append(&mut self, chunks: &[Bytes]) -> Result<(), LocalError> {
        write_all_vectored(&mut self.file, chunks)
            .map_err(|source| LocalError::io("write", self.path.as_str(), source))
    }

    /// Gives the file its time and its final name, replacing what was there.
    ///
    /// # Errors
    /// When a folder is at the final path, or the file system refuses.
    pub fn commit(mut self, modified: Option<SystemTime>) -> Result<(), LocalError> {
        if let Some(time) = modified {
            let set = self.file.set_modified(time);
            set.map_err(|source| LocalError::io("set the time of", self.path.as_str(), source))?;
        }
        let renamed = self
            .folder
            .rename(&self.partial_name, &self.folder, self.path.name());
        renamed.map_err(|source| LocalError::io("put in place", self.path.as_str(), source))?;
        self.is_committed = true;
        Ok(())
    }
}

impl Write for PartialFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_committed {
            // What cannot be removed is taken over by the next run.
            let _ = self.folder.remove_file(&self.partial_name);
        }
    }
}

enum TakeError {
    /// A live process holds it.
    Busy,
    /// Something that is no file has its name.
    NotAFile,
    Io(io::Error),
}

impl From<io::Error> for TakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Opens the partial file `name`, empty and locked, whether it is there already or not.
fn take(folder: &Dir, name: &str) -> Result<File, TakeError> {
    let mut create = OpenOptions::new();
    create.write(true).create_new(true);
    for _ in 0..MAX_ROUNDS {
        let file = match folder.open_with(name, &create) {
            Ok(file) => file.into_std(),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                match open_existing(folder, name)? {
                    Some(file) => file,
                    None => continue,
                }
            }
            Err(error) => return Err(error.into()),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TakeError::Busy),
            // Some network file systems have no locks; there the name alone must do.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let metadata = file.metadata()?;
        if !is_still_named(folder, name, &metadata) {
            continue;
        }
        if metadata.len() > 0 {
            file.set_len(0)?;
        }
        return Ok(file);
    }
    Err(TakeError::Busy)
}

/// Opens what has the name; `None` if it was finished or dropped by its process meanwhile.
fn open_existing(folder: &Dir, name: &str) -> Result<Option<File>, TakeError> {
    let opened = match folder.symlink_metadata(name) {
        Ok(metadata) if metadata.is_file() => {
            folder.open_with(name, OpenOptions::new().write(true))
        }
        Ok(_) => return Err(TakeError::NotAFile),
        Err(error) => Err(error),
    };
    match opened {
        Ok(file) => Ok(Some(file.into_std())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
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

/// `.s3pull-NAME.part`, or the checksum of a name too long for that.
fn partial_name(name: &str) -> String {
    const SUFFIX: &str = ".part";
    if RESERVED_PREFIX.len() + name.len() + SUFFIX.len() <= MAX_NAME {
        return format!("{RESERVED_PREFIX}{name}{SUFFIX}");
    }
    let sum = crc_fast::crc64_nvme(name.as_bytes());
    format!("{RESERVED_PREFIX}{sum:016x}{SUFFIX}")
}

/// As `write_all`, but for many pieces in few system calls.
fn write_all_vectored(file: &mut File, chunks: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut slices = slices.as_mut_slice();
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.write_vectored(slices) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n_written) => IoSlice::advance_slices(&mut slices, n_written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Arc<Dir>) {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        (folder, Arc::new(dir))
    }

    fn path(key: &str) -> LocalPath {
        LocalPath::of_key(key).unwrap()
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        std::fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_committed_file_has_its_bytes_its_time_and_no_partial_beside_it() {
        let (folder, dir) = folder();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        let mut file = PartialFile::create(dir, &path("a")).unwrap();
        file.append(&[
            Bytes::from_static(b"12"),
            Bytes::new(),
            Bytes::from_static(b"345"),
        ])
        .unwrap();
        file.append(&[Bytes::from_static(b"6")]).unwrap();
        file.commit(Some(time)).unwrap();
        assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"123456");
        assert_eq!(
            std::fs::metadata(folder.path().join("a"))
                .unwrap()
                .modified()
                .unwrap(),
            time
        );
        assert_eq!(names(&folder), ["a"]);
    }

    #[test]
    fn a_dropped_file_leaves_nothing() {
        let (folder, dir) = folder();
        std::fs::write(folder.path().join("a"), "old").unwrap();
        let mut file = PartialFile::create(dir, &path("a")).unwrap();
        file.append(&[Bytes::from_static(b"new")]).unwrap();
        drop(file);
        assert_eq!(names(&folder), ["a"]);
        assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"old");
    }

    #[test]
    fn a_stale_partial_is_taken_over_and_a_live_one_is_a_conflict() {
        let (folder, dir) = folder();
        std::fs::write(
            folder.path().join(partial_name("a")),
            "left by a killed run",
        )
        .unwrap();
        let live = PartialFile::create(Arc::clone(&dir), &path("a")).unwrap();
        assert!(matches!(
            PartialFile::create(Arc::clone(&dir), &path("a")),
            Err(LocalError::Conflict(_))
        ));
        live.commit(None).unwrap();
        assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"");
    }

    #[cfg(unix)]
    #[test]
    fn a_symlink_under_the_partial_name_is_not_written_through() {
        let (folder, dir) = folder();
        std::fs::write(folder.path().join("victim"), "kept").unwrap();
        std::os::unix::fs::symlink("victim", folder.path().join(partial_name("a"))).unwrap();
        assert!(matches!(
            PartialFile::create(dir, &path("a")),
            Err(LocalError::Conflict(_))
        ));
        assert_eq!(
            std::fs::read(folder.path().join("victim")).unwrap(),
            b"kept"
        );
    }

    #[test]
    fn a_folder_at_the_final_path_is_a_conflict() {
        let (folder, dir) = folder();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let file = PartialFile::create(dir, &path("a")).unwrap();
        assert!(matches!(file.commit(None), Err(LocalError::Conflict(_))));
        assert_eq!(names(&folder), ["a"]);
    }

    #[test]
    fn partial_names_fit_and_stay_reserved() {
        for length in [1, 241, 242, 243, 255] {
            let name = partial_name(&"x".repeat(length));
            assert!(
                name.len() <= MAX_NAME && name.starts_with(RESERVED_PREFIX),
                "{length}"
            );
        }
    }
}
