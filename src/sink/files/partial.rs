//! A file on its way: written under a name of its own in the folder it belongs to, and renamed when it is whole.
//!
//! The partial name is derived from the final one, so that what a killed run left is found and taken over, and it is
//! locked while in use, so that two processes never write one file. Nobody removes or renames a partial file without
//! holding its lock; so whoever has the lock, and still finds its file under the name, owns both.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::SystemTime;

use bytes::Bytes;
use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::error::LocalError;
use super::lock::{Claim, Found, InUse, TakeError, open_to_append, reserved_name, take};
use super::path::LocalPath;
use super::path::name::NameLimit;
use super::publish::{Commits, Put, replace};
use super::sys;
use super::warnings::OptionalStep;

pub(super) const PARTIAL_SUFFIX: &str = ".part";
pub(super) const JOURNAL_SUFFIX: &str = ".journal";

/// A file that is not whole yet; removed again when dropped, unless it was committed or is to be left.
#[derive(Debug)]
pub(crate) struct PartialFile {
    folder: Arc<Dir>,
    /// `None` for a file that does not belong to an object, which replaces whatever is at its path.
    commits: Option<Arc<Commits>>,
    /// Where the file system has no locks: the error, and this run's own note in place of a lock, which is given back
    /// before the file is closed.
    unlocked: Option<(io::Error, Claim)>,
    file: File,
    partial_name: String,
    path: LocalPath,
    /// Bytes in the file when it was taken, which another run left.
    n_left: u64,
    is_left: AtomicBool,
    /// It was removed.
    is_forgotten: AtomicBool,
}

impl PartialFile {
    /// Begins the file at `path`, empty.
    pub(super) fn create(
        folder: Arc<Dir>,
        commits: Option<Arc<Commits>>,
        path: &LocalPath,
    ) -> Result<Self, LocalError> {
        let (file, has_predecessor) = Self::begin(folder, commits, path, Found::Replace)?;
        if has_predecessor {
            // What a killed run knew of its parts is of no use now.
            file.remove_beside(JOURNAL_SUFFIX);
        }
        if file.n_left > 0 {
            file.empty()?;
        }
        Ok(file)
    }

    /// Begins the file at `path`, or goes on with what another run left there.
    pub(super) fn take(
        folder: Arc<Dir>,
        commits: Option<Arc<Commits>>,
        path: &LocalPath,
    ) -> Result<Self, LocalError> {
        let (file, _) = Self::begin(folder, commits, path, Found::Resume)?;
        if file.n_left > 0 {
            // Until it is known to be of no use.
            file.leave();
        }
        Ok(file)
    }

    /// The file, and whether another run had left one.
    fn begin(
        folder: Arc<Dir>,
        commits: Option<Arc<Commits>>,
        path: &LocalPath,
        if_found: Found,
    ) -> Result<(Self, bool), LocalError> {
        let partial_name = reserved_name(
            path.name(),
            PARTIAL_SUFFIX,
            name_limit(commits.as_deref(), &folder),
        );
        let in_use = commits
            .as_ref()
            .map_or_else(InUse::default, |commits| commits.in_use.clone());
        let taken = take(&folder, &partial_name, if_found, &in_use)
            .map_err(|error| error.of_file(&folder, "create", path))?;
        let file = Self {
            folder,
            commits,
            unlocked: taken.unlocked,
            file: taken.file,
            partial_name,
            path: path.clone(),
            n_left: taken.n_bytes,
            is_left: AtomicBool::new(false),
            is_forgotten: AtomicBool::new(false),
        };
        if let Some(error) = file.lock_refused() {
            file.warn(OptionalStep::Lock, error);
        }
        Ok((file, taken.has_predecessor))
    }

    /// Begins a file that does not belong to an object, at a path that the user named.
    ///
    /// # Errors
    /// When another process is writing it, or the file system refuses.
    pub(crate) fn beside(path: &Path) -> io::Result<Self> {
        let folder = Dir::open_ambient_dir(folder_of(path), ambient_authority())?;
        Self::create(Arc::new(folder), None, &name_of(path)?).map_err(without_action)
    }

    /// Writes `chunks` at `offset`, without joining them first.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn write_at(&self, chunks: &[Bytes], offset: u64) -> Result<(), LocalError> {
        sys::write_at(&self.file, chunks, offset).map_err(|source| self.error("write", source))
    }

    /// Adds `bytes` to a file that is written from its start to its end.
    ///
    /// # Errors
    /// When the file system refuses; some of them may be written then.
    pub(crate) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    /// Reads as many bytes as `buffer` takes, from `offset` on. What is appended next goes where [`cut_at`](Self::cut_at)
    /// says, since some systems move the end with it.
    ///
    /// # Errors
    /// When there are not so many bytes, or the file system refuses.
    pub(crate) fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        sys::read_exact_at(&self.file, buffer, offset)
    }

    /// Cuts the file off at `n_bytes`, gives back the room behind it, and goes on from there.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn cut_at(&self, n_bytes: u64) -> io::Result<()> {
        (&self.file).seek(SeekFrom::Start(n_bytes))?;
        self.file.set_len(n_bytes)
    }

    /// Has room set aside for a file of `n_bytes`, where the file system can do so; its length stays.
    pub(crate) fn reserve(&self, n_bytes: u64) {
        // An optional step: without it a full disk shows with the next write.
        let _ = sys::preallocate(&self.file, n_bytes);
    }

    /// Whether nothing is in the file, or that cannot be found out.
    pub(crate) fn is_empty(&self) -> bool {
        self.file.metadata().map_or(true, |file| file.len() == 0)
    }

    /// Leaves the file under its working name, and returns that name.
    pub(crate) fn keep_partial(&self) -> &str {
        self.leave();
        &self.partial_name
    }

    /// Has the file's bytes written to the disk, and waits for it.
    ///
    /// # Errors
    /// When the file system could not.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the file its time and its final name, replacing what was there before the run.
    ///
    /// # Errors
    /// When something that must not be replaced is at the final path, or the file system refuses.
    pub(crate) fn commit(&self, modified: Option<SystemTime>) -> Result<(), LocalError> {
        let modified = modified.filter(|&time| match sys::set_times(&self.file, time) {
            Ok(()) => true,
            Err(error) => {
                // It is verified: no reason to lose it.
                self.warn(OptionalStep::SetTimes, &error);
                false
            }
        });
        if self
            .commits
            .as_ref()
            .is_some_and(|commits| commits.flushes_files())
        {
            sys::sync(&self.file).map_err(|source| self.error("flush", source))?;
        }
        let (folder, name) = (&self.folder, &self.partial_name);
        // Under the name of an unlocked file there may be another process's by now.
        if self.unlocked.is_some() && !self.is_still_named()? {
            return Err(TakeError::Busy.of_file(folder, "put in place", &self.path));
        }
        let put = match &self.commits {
            Some(commits) => commits.put(&self.file, folder, name, &self.path)?,
            None => replace(folder, name, &self.path).map(|()| Put::Renamed)?,
        };
        match put {
            Put::Renamed => {
                self.leave();
                if let (Some(commits), Some(time)) = (&self.commits, modified) {
                    commits.check_time(folder, &self.path, time);
                }
            }
            Put::SameWasThere => self.forget(),
            Put::Refused(error) => {
                self.forget();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives a file that was begun [`beside`](Self::beside) another one the name of `path`, in the same folder, whatever
    /// is there.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn commit_as(&self, path: &Path) -> io::Result<()> {
        replace(&self.folder, &self.partial_name, &name_of(path)?).map_err(without_action)?;
        self.leave();
        Ok(())
    }

    /// Why the file could not be locked, where the file system has no locks.
    pub(crate) fn lock_refused(&self) -> Option<&io::Error> {
        self.unlocked.as_ref().map(|(error, _)| error)
    }

    /// Warns of a step that the file does without. (The CSV's lock is told of by the report.)
    pub(super) fn warn(&self, step: OptionalStep, error: &io::Error) {
        if let Some(commits) = &self.commits {
            commits.warnings.refused(step, self.path.as_str(), error);
        }
    }

    /// Leaves the file as it is for a later run.
    pub(super) fn leave(&self) {
        self.is_left.store(true, Relaxed);
    }

    /// Takes [`leave`](Self::leave) back.
    pub(super) fn remove_when_dropped(&self) {
        self.is_left.store(false, Relaxed);
    }

    pub(crate) fn is_left(&self) -> bool {
        self.is_left.load(Relaxed)
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.is_forgotten.load(Relaxed)
    }

    pub(super) fn name(&self) -> &str {
        &self.partial_name
    }

    /// Removes the file now, whoever may still be writing to it: they write to a file without a name.
    pub(crate) fn forget(&self) {
        self.leave();
        self.is_forgotten.store(true, Relaxed);
        // Without a lock another process may have put its own file under the name.
        if self.unlocked.is_none() || self.is_still_named().unwrap_or(false) {
            // What cannot be removed is taken over by the next run.
            let _ = sys::remove(&self.folder, &self.partial_name);
        }
    }

    /// Bytes in the file when it was taken, which another run left.
    pub(super) fn n_left(&self) -> u64 {
        self.n_left
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn empty(&self) -> Result<(), LocalError> {
        self.set_length(0)
    }

    /// Cuts the file off, or fills it up with zeros, at `n_bytes`.
    pub(super) fn set_length(&self, n_bytes: u64) -> Result<(), LocalError> {
        sys::set_length(&self.file, n_bytes)
            .map_err(|source| self.error("set the length of", source))
    }

    fn is_still_named(&self) -> Result<bool, LocalError> {
        let named = sys::stat(&self.file)
            .and_then(|metadata| sys::is_still_named(&self.folder, &self.partial_name, &metadata));
        named.map_err(|source| self.error("look at", source))
    }

    /// Opens, or makes, this program's own file `suffix` beside this one, to add to it. Its lock covers that file too.
    pub(super) fn open_beside(&self, suffix: &str) -> Result<File, LocalError> {
        let name = reserved_name(
            self.path.name(),
            suffix,
            name_limit(self.commits.as_deref(), &self.folder),
        );
        open_to_append(&self.folder, &name)
            .map_err(|error| error.of_file(&self.folder, "make a journal for", &self.path))
    }

    pub(super) fn remove_beside(&self, suffix: &str) {
        // It is there only after a run that was killed; what cannot be removed is overwritten later.
        let _ = sys::remove(
            &self.folder,
            &reserved_name(
                self.path.name(),
                suffix,
                name_limit(self.commits.as_deref(), &self.folder),
            ),
        );
    }

    pub(super) fn error(&self, action: &'static str, source: io::Error) -> LocalError {
        LocalError::io(&self.folder, action, self.path.as_str(), source)
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        if !self.is_left() {
            self.forget();
        }
    }
}

/// The longest name in `folder`, as the run knows it or the file system says.
fn name_limit(commits: Option<&Commits>, folder: &Dir) -> NameLimit {
    commits.map_or_else(|| sys::name_limit(folder), |commits| commits.name_limit)
}

/// The last part of a path of the user's.
fn name_of(path: &Path) -> io::Result<LocalPath> {
    let name = path.file_name().and_then(OsStr::to_str);
    let name = name.and_then(|name| LocalPath::of_key(name).ok());
    name.ok_or_else(|| {
        io::Error::new(
            ErrorKind::InvalidFilename,
            "the name cannot be a file's here",
        )
    })
}

/// What is left to say of an error where the caller says what failed.
fn without_action(error: LocalError) -> io::Error {
    match error {
        LocalError::Io { source, .. }
        | LocalError::Full { source, .. }
        | LocalError::Quota { source, .. }
        | LocalError::NoInodes { source, .. }
        | LocalError::FolderFull { source, .. }
        | LocalError::Gone { source, .. } => source,
        LocalError::NotPutInPlace { error, .. } => without_action(*error),
        LocalError::Conflict(message) => io::Error::new(ErrorKind::ResourceBusy, message),
    }
}

/// The folder that a path of the user's is in.
pub(super) fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
