//! What is where files would go, without touching any of it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

use super::error::LocalError;
use super::output::OutputFolder;
use super::path::LocalPath;
use super::path::name::NameLimit;
use super::publish::check_replaceable;
use super::sys;
use super::there::FileThere;

/// The output folder as it is, if it is there.
#[derive(Debug)]
pub(crate) struct Preview {
    path: PathBuf,
    output: Option<OutputFolder>,
    /// The folder that was looked at last.
    folder: String,
    found: Folder,
}

#[derive(Debug)]
enum Folder {
    /// Not there, so nothing is in it.
    Missing,
    There(Dir),
}

impl Preview {
    /// Looks at `path`, where the files of `kept` must not be overwritten.
    ///
    /// # Errors
    /// When it is there and cannot be opened as a folder.
    pub(crate) fn open<'a>(path: &Path, kept: impl Iterator<Item = &'a Path>) -> io::Result<Self> {
        let output = match OutputFolder::open_to_look(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            opened => {
                let mut output = opened?;
                kept.for_each(|path| output.keep(path));
                Some(output)
            }
        };
        let found = match &output {
            Some(output) => Folder::There(output.root().try_clone()?),
            None => Folder::Missing,
        };
        Ok(Self {
            path: path.to_owned(),
            output,
            folder: String::new(),
            found,
        })
    }

    /// The file that is at `path`; `None` if there is none.
    ///
    /// # Errors
    /// [`LocalError::Conflict`] where no file can come to be at `path`; others where that cannot be seen.
    pub(crate) fn check(&mut self, path: &LocalPath) -> Result<Option<FileThere>, LocalError> {
        let Some(output) = &self.output else {
            return Ok(None);
        };
        output.check_kept(path)?;
        if path.folder() != self.folder {
            // Below a folder that is not there nothing is, either.
            let is_below_missing = matches!(self.found, Folder::Missing)
                && path
                    .folder()
                    .strip_prefix(self.folder.as_str())
                    .is_some_and(|rest| rest.starts_with('/'));
            if is_below_missing {
                return Ok(None);
            }
            self.found = look(output.root(), path.folder())?;
            path.folder().clone_into(&mut self.folder);
        }
        let folder = match &self.found {
            Folder::Missing => return Ok(None),
            Folder::There(folder) => folder,
        };
        match sys::symlink_metadata(folder, path.name()) {
            // A link is replaced, whatever it leads to.
            Ok(metadata) if metadata.is_symlink() => Ok(Some(FileThere::of_link(&metadata))),
            Ok(metadata) if path.is_folder() && metadata.is_dir() => Ok(None),
            Ok(_) if path.is_folder() => Err(LocalError::Conflict(format!(
                "a file is where `{path}` needs a folder"
            ))),
            Ok(metadata) => {
                check_replaceable(&metadata, path).map(|()| Some(FileThere::of(&metadata)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(LocalError::io(folder, "look at", path.as_str(), error)),
        }
    }

    /// The file that a run would find at `path` to keep: as [`Preview::check`] says, but a link counts as what it leads to.
    ///
    /// # Errors
    /// As [`OutputFolder::file_at`].
    pub(crate) fn file_to_keep(&self, path: &LocalPath) -> Result<Option<FileThere>, LocalError> {
        match &self.output {
            Some(output) => output.file_at(path),
            None => Ok(None),
        }
    }

    /// The longest name that the file system takes, where the output folder is there already.
    pub(crate) fn name_limit(&self) -> NameLimit {
        self.output
            .as_ref()
            .map_or_else(NameLimit::default, OutputFolder::name_limit)
    }

    /// Bytes that are free where the files would go.
    pub(crate) fn free_bytes(&self) -> Option<u64> {
        // A folder that is not there yet will be in the nearest one that is.
        let nearest = self.path.ancestors().find_map(|folder| {
            let folder = if folder.as_os_str().is_empty() {
                Path::new(".")
            } else {
                folder
            };
            Dir::open_ambient_dir(folder, ambient_authority()).ok()
        });
        sys::free_bytes(&nearest?)
    }
}

fn look(root: &Dir, folder: &str) -> Result<Folder, LocalError> {
    let opened = if folder.is_empty() {
        root.try_clone()
    } else {
        sys::open_folder(root, folder)
    };
    match opened {
        Ok(folder) => Ok(Folder::There(folder)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Folder::Missing),
        Err(error) => Err(LocalError::io(root, "open", folder, error)),
    }
}
