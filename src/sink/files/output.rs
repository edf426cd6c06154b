//! The output folder, opened once as a capability: every file is created and renamed relative to it, so neither a key
//! nor a symlink can lead out of it.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use super::error::{LocalError, leads_out};
use super::journal::{DonePart, Identity, ResumableFile};
use super::lock::reserved_name;
use super::partial::{JOURNAL_SUFFIX, PARTIAL_SUFFIX, PartialFile, folder_of};
use super::path::LocalPath;
use super::path::name::{NameLimit, Platform, RESERVED_PREFIX};
use super::publish::{Commits, check_replaceable};
use super::sys;
use super::there::FileThere;
use super::warnings::Warnings;
use crate::locks::lock;

/// Bytes that are read at once.
const READ_SIZE: usize = 256 * 1024;

/// The folder that the files go to.
#[derive(Debug)]
pub(crate) struct OutputFolder {
    root: Arc<Dir>,
    commits: Arc<Commits>,
    /// Where it really is, to tell the files that must not be overwritten.
    location: PathBuf,
    folders: Mutex<HashMap<String, Arc<Dir>>>,
    /// Folder handles kept open.
    max_open_folders: usize,
    /// Paths below it that do not belong to keys: the list and the CSV.
    kept: Vec<String>,
}

impl OutputFolder {
    /// Opens `path`, made if it is not there. Handles of up to `max_open_folders` folders below it are kept open.
    ///
    /// # Errors
    /// When it cannot be made or opened as a folder.
    pub(crate) fn open(path: &Path, max_open_folders: usize) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        Self::open_with(path, max_open_folders, Commits::new)
    }

    /// Opens `path` to look at it only: nothing is made there.
    pub(crate) fn open_to_look(path: &Path) -> io::Result<Self> {
        Self::open_with(path, 0, Commits::never)
    }

    fn open_with(
        path: &Path,
        max_open_folders: usize,
        commits: impl FnOnce(&Dir) -> Commits,
    ) -> io::Result<Self> {
        let root = Dir::open_ambient_dir(path, ambient_authority())?;
        let location = path.canonicalize()?;
        Ok(Self {
            commits: Arc::new(commits(&root)),
            root: Arc::new(root),
            location,
            folders: Mutex::default(),
            max_open_folders,
            kept: Vec::new(),
        })
    }

    /// Tries whether files can be made in the folder: better known before anything is downloaded.
    ///
    /// # Errors
    /// When the file system allows none. What may have passed by the time there is an object to write is no error yet.
    pub(crate) fn try_to_write(&self) -> io::Result<()> {
        let name = format!("{RESERVED_PREFIX}try-{}", std::process::id());
        let options = OpenOptions::new().write(true).create_new(true).to_owned();
        match self.root.open_with(&name, &options) {
            Ok(file) => {
                drop(file);
                // It is this program's own, and empty: no later run minds it.
                let _ = self.root.remove_file(&name);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Err(error),
                _ => Ok(()),
            },
        }
    }

    /// Keeps the file at `path` from being overwritten, should it be in this folder.
    pub(crate) fn keep(&mut self, path: &Path) {
        // On a file system that folds case a key may have yet another name for it. A file that is not there yet needs
        // no more than its name: that of its partial file is folded too, and locked throughout the run.
        if let Ok(metadata) = sys::look_at(path) {
            self.commits.keep(metadata);
        }
        let (Ok(folder), Some(name)) = (folder_of(path).canonicalize(), path.file_name()) else {
            return;
        };
        // The file itself may be a symlink, and then both names count.
        let places = [Some(folder.join(name)), path.canonicalize().ok()];
        for place in places.into_iter().flatten() {
            if let Some(below) = place
                .strip_prefix(&self.location)
                .ok()
                .and_then(Path::to_str)
            {
                self.kept
                    .push(below.replace(std::path::MAIN_SEPARATOR, "/"));
            }
        }
    }

    /// The longest name that the folder's file system takes.
    pub(crate) fn name_limit(&self) -> NameLimit {
        self.commits.name_limit
    }

    /// The warnings of the run's file work.
    pub(crate) fn warnings(&self) -> &Warnings {
        &self.commits.warnings
    }

    /// The file that is at `path` already; `None` if there is none. Nothing is opened.
    ///
    /// # Errors
    /// When something else is there, a file is where the path needs a folder, or it cannot be looked at.
    pub(crate) fn file_at(&self, path: &LocalPath) -> Result<Option<FileThere>, LocalError> {
        self.waiting_for_handles(|| self.look(path))
    }

    /// Whether the folder is there that the folder marker at `path` stands for.
    ///
    /// # Errors
    /// When that cannot be seen.
    pub(crate) fn has_folder(&self, path: &LocalPath) -> Result<bool, LocalError> {
        if path.as_str().is_empty() {
            return Ok(true);
        }
        match sys::metadata(&self.root, path.as_str()) {
            Ok(metadata) => Ok(metadata.is_dir()),
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(LocalError::io(&self.root, "look at", path.as_str(), source)),
        }
    }

    /// Passes the path of every file below the folder to `each`, but for this program's own: partial files, the list and the
    /// CSV. Folders do not count as files, and symlinks do.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub(crate) fn for_each_file(&self, mut each: impl FnMut(&str)) -> Result<(), LocalError> {
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let error = |source| LocalError::io(&self.root, "read the folder", &folder, source);
            let entries = match folder.as_str() {
                "" => self.root.entries(),
                folder => sys::open_folder(&self.root, folder).and_then(|open| open.entries()),
            };
            for entry in entries.map_err(error)? {
                let entry = entry.map_err(error)?;
                let name = entry.file_name();
                let name = name.to_string_lossy();
                if name.starts_with(RESERVED_PREFIX) {
                    continue;
                }
                let path = match folder.as_str() {
                    "" => name.into_owned(),
                    folder => format!("{folder}/{name}"),
                };
                if entry.file_type().map_err(error)?.is_dir() {
                    folders.push(path);
                } else if !self.kept.iter().any(|kept| is_same_name(kept, &path)) {
                    each(&path);
                }
            }
        }
        Ok(())
    }

    /// Passes the bytes of the file at `path` to `each`, for as long as that says so, and returns their number.
    ///
    /// # Errors
    /// When the file cannot be read to its end.
    pub(crate) fn read(
        &self,
        path: &LocalPath,
        mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Result<u64, LocalError> {
        let error = |source| LocalError::io(&self.root, "read", path.as_str(), source);
        let mut file = self
            .waiting_for_handles(|| sys::open_to_read(&self.root, path.as_str()).map_err(error))?;
        let mut buffer = vec![0; READ_SIZE];
        let mut n_bytes = 0;
        loop {
            let n = match file.read(&mut buffer) {
                Ok(0) => return Ok(n_bytes),
                Ok(n) => n,
                Err(source) if source.kind() == ErrorKind::Interrupted => continue,
                Err(source) => return Err(error(source)),
            };
            n_bytes += n as u64;
            if each(&buffer[..n]).is_break() {
                return Ok(n_bytes);
            }
        }
    }

    /// Only "not found" says that nothing is there: after any other error there may be a file that must be kept. That
    /// holds for a name that is too long, too: it may be the one that a symlink leads to.
    pub(super) fn look(&self, path: &LocalPath) -> Result<Option<FileThere>, LocalError> {
        let error = |source| LocalError::io(&self.root, "look at", path.as_str(), source);
        let (at_path, is_link) = match sys::metadata(&self.root, path.as_str()) {
            // A symlink that leads out is not followed, but it is there.
            Err(source) if leads_out(&source) => {
                (sys::symlink_metadata(&self.root, path.as_str()), true)
            }
            at_path => (at_path, false),
        };
        match at_path {
            Ok(metadata) => {
                let is_known = !(is_link && metadata.is_symlink());
                if is_known {
                    check_replaceable(&metadata, path)?;
                }
                let there = if is_known {
                    FileThere::of(&metadata)
                } else {
                    FileThere::of_link(&metadata)
                };
                Ok(Some(there))
            }
            Err(source) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(source) => Err(error(source)),
        }
    }

    /// Removes what a killed run left beside the file at `path`, which stays as it is: no run would use it. What another
    /// process is using stays too.
    pub(crate) fn remove_leftovers(&self, path: &LocalPath) {
        let Ok(folder) = self.folder(path) else {
            return;
        };
        let is_there = |suffix| {
            let found = sys::symlink_metadata(
                &folder,
                &reserved_name(path.name(), suffix, self.name_limit()),
            );
            found.is_ok_and(|metadata| metadata.is_file())
        };
        if is_there(PARTIAL_SUFFIX) || is_there(JOURNAL_SUFFIX) {
            // Taken as for a download, which it ends at once. What cannot be removed was there before.
            let taken = PartialFile::create(folder, Some(Arc::clone(&self.commits)), path);
            if let Ok(file) = taken {
                file.remove_beside(JOURNAL_SUFFIX);
            }
        }
    }

    /// Makes the folder that a folder marker stands for.
    ///
    /// # Errors
    /// When a file is in its way, or the file system refuses.
    pub(crate) fn make_folder(&self, path: &LocalPath) -> Result<(), LocalError> {
        if path.as_str().is_empty() {
            return Ok(());
        }
        sys::make_folder(&self.root, path.as_str()).map_err(|source| {
            LocalError::io(&self.root, "make the folder", path.as_str(), source).or_gone()
        })
    }

    /// Begins the file at `path` under its partial name, empty.
    ///
    /// # Errors
    /// When another process is downloading it, something else is in its way, or the file system refuses.
    pub(crate) fn begin(&self, path: &LocalPath) -> Result<PartialFile, LocalError> {
        self.in_folder(path, |folder| {
            PartialFile::create(folder, Some(Arc::clone(&self.commits)), path)
        })
    }

    /// Begins the file of a large object, or goes on with what a run that was stopped left of it: the parts that are
    /// there come with it. They are read once more, which may take a while: `on_found` is told the bytes of each.
    ///
    /// # Errors
    /// As [`OutputFolder::begin`].
    pub(crate) fn begin_resumable(
        &self,
        path: &LocalPath,
        identity: &Identity,
        on_found: impl FnMut(u64),
    ) -> Result<(ResumableFile, Vec<DonePart>), LocalError> {
        let partial = self.in_folder(path, |folder| {
            PartialFile::take(folder, Some(Arc::clone(&self.commits)), path)
        })?;
        let journal = self.waiting_for_handles(|| partial.open_beside(JOURNAL_SUFFIX))?;
        ResumableFile::open(partial, journal, identity, on_found)
    }

    /// Prepares for [`sync`](Self::sync) after the last file: where that cannot flush them all, each is flushed before it
    /// gets its name.
    pub(crate) fn prepare_sync(&self) {
        if !sys::FLUSHES_ALL {
            self.commits.flush_files();
        }
    }

    /// Has the file system write everything to its disk, and waits for it.
    ///
    /// # Errors
    /// When the file system could not.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sys::flush(&self.root)
    }

    /// Bytes that are free; `None` where the file system does not say.
    pub(crate) fn free(&self) -> Option<u64> {
        sys::free_bytes(&self.root)
    }

    #[cfg(all(test, target_os = "linux"))]
    pub(super) fn commits(&self) -> &Commits {
        &self.commits
    }

    pub(super) fn root(&self) -> &Dir {
        &self.root
    }

    pub(super) fn check_kept(&self, path: &LocalPath) -> Result<(), LocalError> {
        if self
            .kept
            .iter()
            .any(|kept| is_same_name(kept, path.as_str()))
        {
            return Err(LocalError::is_kept(path));
        }
        Ok(())
    }

    fn in_folder(
        &self,
        path: &LocalPath,
        open: impl Fn(Arc<Dir>) -> Result<PartialFile, LocalError>,
    ) -> Result<PartialFile, LocalError> {
        self.check_kept(path)?;
        self.waiting_for_handles(|| match self.folder(path).and_then(&open) {
            // The folder was removed since it was opened: make it again, once.
            Err(LocalError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                self.folders().remove(path.folder());
                self.folder(path)
                    .and_then(&open)
                    .map_err(LocalError::or_gone)
            }
            opened => opened,
        })
    }

    /// Does file work again while it fails for too many open files.
    fn waiting_for_handles<T>(
        &self,
        work: impl Fn() -> Result<T, LocalError>,
    ) -> Result<T, LocalError> {
        sys::waiting_for_handles(work, |error| {
            let is_out = error.is_out_of_handles();
            if is_out {
                // The cached folders are handles too; the other ones are closed by those who use them.
                self.folders().clear();
            }
            is_out
        })
    }

    /// The folder of `path`, made and opened, or as it was opened lately.
    fn folder(&self, path: &LocalPath) -> Result<Arc<Dir>, LocalError> {
        let folder = path.folder();
        if folder.is_empty() {
            return Ok(Arc::clone(&self.root));
        }
        if let Some(open) = self.folders().get(folder) {
            return Ok(Arc::clone(open));
        }
        let error = |source| LocalError::io(&self.root, "make the folder", folder, source);
        let opened = match sys::open_folder(&self.root, folder) {
            Err(source) if source.kind() == ErrorKind::NotFound => {
                sys::make_folder(&self.root, folder).map_err(error)?;
                sys::open_folder(&self.root, folder).map_err(error)?
            }
            opened => opened.map_err(error)?,
        };
        let opened = Arc::new(opened);
        let mut folders = self.folders();
        if folders.len() >= self.max_open_folders {
            folders.clear();
        }
        folders.insert(folder.to_owned(), Arc::clone(&opened));
        Ok(opened)
    }

    fn folders(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Dir>>> {
        lock(&self.folders)
    }
}

/// Whether two paths are surely one file. Where names are folded more than that, it shows at the commit.
fn is_same_name(one: &str, other: &str) -> bool {
    let folds = Platform::current() == Platform::Windows;
    one == other || folds && one.to_lowercase() == other.to_lowercase()
}

#[cfg(test)]
mod tests;
