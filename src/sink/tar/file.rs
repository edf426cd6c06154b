//! The file or the stream of an archive.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IoSlice, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::header::{END, incomplete};
use crate::sink::files::{UserFile, first_bytes, is_of_one_name, open_stream, stdout};

/// Bytes from which a tar archive is known, and what stands there.
const MAGIC_AT: usize = 257;
const MAGIC: &[u8] = b"ustar";

/// What an archive that is not finished has behind its name.
const SUFFIX: &str = ".incomplete";

/// Why an archive cannot go where `--tar` says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveError {
    #[error("`{}` exists and is not a tar archive, so it is not replaced", .0.display())]
    Foreign(PathBuf),
    #[error("`{}` is a {kind}, so the archive cannot be written there", .path.display())]
    InTheWay { path: PathBuf, kind: &'static str },
    #[error("a bug in s3pull, please report it: the thread that writes the archive broke off")]
    Broken,
    #[error("the archive is incomplete: it took nothing more when the run was stopped")]
    Stalled,
    #[error("the archive `{}` is not a file, so it has no index", .0.display())]
    NoIndex(PathBuf),
    #[error("`{}` exists and is not the index of an archive, so it is not replaced", .0.display())]
    ForeignIndex(PathBuf),
    #[error("another s3pull is writing `{}`", .0.display())]
    InUse(PathBuf),
    #[error("cannot write the archive `{}`: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl ArchiveError {
    /// Whether something is at the archive's path that must not be replaced, or cannot have an index.
    pub(crate) fn is_usage(&self) -> bool {
        match self {
            Self::Foreign(_) | Self::ForeignIndex(_) | Self::NoIndex(_) | Self::InTheWay { .. } => {
                true
            }
            Self::InUse(_) | Self::Io { .. } | Self::Broken | Self::Stalled => false,
        }
    }
}

/// Where the archive goes.
#[derive(Debug)]
enum Place {
    /// Written to, never replaced: stdout, a device or a pipe.
    Stream,
    /// Written beside itself under another name until it is whole.
    File { partial: PathBuf, target: PathBuf },
}

/// A file or a stream that an archive is written to.
#[derive(Debug)]
pub(super) struct ArchiveFile {
    /// As it was typed.
    path: PathBuf,
    place: Place,
    file: File,
    n_bytes: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// It takes no more.
    Broken,
    /// Its end is written.
    Whole,
    /// It has its name too.
    Named,
}

impl ArchiveFile {
    /// Opens the archive at `path`, which is stdout for `-`.
    ///
    /// # Errors
    /// When something is there that must not be replaced, or the file system refuses.
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let failed = |error| ArchiveError::Io {
            path: path.to_owned(),
            error,
        };
        if path.as_os_str() == "-" {
            let file = stdout().map_err(failed)?;
            return Ok(Self::new(path, Place::Stream, file));
        }
        let target = match UserFile::at(path).map_err(failed)? {
            UserFile::Stream => {
                let file = open_stream(path).map_err(failed)?;
                return Ok(Self::new(path, Place::Stream, file));
            }
            UserFile::InTheWay(kind) => {
                let path = path.to_owned();
                return Err(ArchiveError::InTheWay { path, kind });
            }
            UserFile::File(target) => target,
        };
        let partial = with_suffix(&target);
        for path in [&target, &partial] {
            if !is_free_or_tar(path).map_err(failed)? {
                return Err(ArchiveError::Foreign(path.clone()));
            }
        }
        let file = open_partial(&partial).map_err(failed)?;
        // On a file system without locks, it is up to the user not to run two at once with one archive.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(ArchiveError::InUse(path.to_owned()));
        }
        file.set_len(0).map_err(failed)?;
        Ok(Self::new(path, Place::File { partial, target }, file))
    }

    fn new(path: &Path, place: Place, file: File) -> Self {
        Self {
            path: path.to_owned(),
            place,
            file,
            n_bytes: 0,
            state: State::Open,
        }
    }

    /// Where the archive is once it is whole; `None` for a stream.
    pub(super) fn target(&self) -> Option<&Path> {
        match &self.place {
            Place::Stream => None,
            Place::File { target, .. } => Some(target),
        }
    }

    /// Whether it has no member, and an archive is there that it would replace.
    pub(super) fn is_of_no_use(&self) -> bool {
        self.n_bytes == 0 && self.target().is_some_and(Path::exists)
    }

    /// Bytes that are written.
    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    /// Writes `slices`, and leaves none of them.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn write(&mut self, slices: &mut Vec<IoSlice<'_>>) -> io::Result<()> {
        self.n_bytes += slices.iter().map(|slice| slice.len() as u64).sum::<u64>();
        let written = write_all(&mut self.file, slices);
        slices.clear();
        written
    }

    /// Has `copy` write `n_bytes` to the file.
    ///
    /// # Errors
    /// Those of `copy`.
    pub(super) fn write_by<T>(
        &mut self,
        n_bytes: u64,
        copy: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        self.n_bytes += n_bytes;
        copy(&mut self.file)
    }

    /// Ends the archive, and gives it its name; `sync` has it on the disk before.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn end_whole(&mut self, sync: bool) -> io::Result<()> {
        match self.file.write_all(&END) {
            // A reader may close the pipe when it has seen the last member.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => {
                self.break_off(self.n_bytes);
                return Err(error);
            }
            Ok(()) => {}
        }
        self.state = State::Whole;
        if let Place::File { partial, target } = &self.place {
            if sync {
                self.file.sync_all()?;
            }
            put(partial, target)?;
        }
        self.state = State::Named;
        Ok(())
    }

    /// Ends an archive in a way on which readers fail. Of one without a member nothing is left.
    ///
    /// # Errors
    /// When the system refuses.
    pub(super) fn end_incomplete(&mut self) -> io::Result<()> {
        match &self.place {
            Place::File { .. } if self.n_bytes == 0 => Ok(()),
            _ => match self.file.write_all(&incomplete()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                written => written,
            },
        }
    }

    /// Ends an archive that takes no more, such as one on a full disk: it is cut off after the `n_whole` bytes of its whole
    /// members, and readers fail on what is left. A stream ends where it is.
    pub(super) fn break_off(&mut self, n_whole: u64) {
        self.state = State::Broken;
        if matches!(self.place, Place::Stream) {
            return;
        }
        self.n_bytes = n_whole;
        if n_whole == 0 {
            return;
        }
        let cut = self.file.set_len(n_whole);
        let cut = cut.and_then(|()| self.file.seek(SeekFrom::Start(n_whole)));
        if cut
            .and_then(|_| self.file.write_all(&incomplete()))
            .is_err()
        {
            // Where there is not even room for a header, readers miss the last byte of a block.
            let _ = self.file.set_len(n_whole - 1);
        }
    }

    /// What is to be said of an archive that does not have its name.
    pub(super) fn left(&self) -> Option<String> {
        let state = match self.state {
            State::Named => return None,
            State::Whole => "whole",
            State::Open | State::Broken => "incomplete",
        };
        match &self.place {
            Place::Stream if self.state == State::Open => {
                Some("the archive is incomplete: `tar` fails at its end".to_owned())
            }
            Place::Stream => Some(format!("the archive is {state}")),
            Place::File { .. } if self.n_bytes == 0 => None,
            Place::File { partial, .. } => {
                let partial = partial.display();
                Some(format!(
                    "the archive is {state}, and was left as `{partial}`"
                ))
            }
        }
    }

    /// The error of an archive that could not be ended, and where it is.
    pub(super) fn not_ended(&self, error: io::Error) -> ArchiveError {
        match self.left() {
            Some(left) => self.failed(io::Error::new(error.kind(), format!("{error}; {left}"))),
            None => self.failed(error),
        }
    }

    pub(super) fn failed(&self, error: io::Error) -> ArchiveError {
        ArchiveError::Io {
            path: self.path.clone(),
            error,
        }
    }
}

impl Drop for ArchiveFile {
    /// Leaves nothing behind that has no member.
    fn drop(&mut self) {
        if let Place::File { partial, .. } = &self.place
            && self.n_bytes == 0
            && self.state != State::Named
        {
            // It is empty, and the next run takes it.
            let _ = std::fs::remove_file(partial);
        }
    }
}

/// Opens what an earlier run left of an archive, or makes it.
fn open_partial(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let file = options.open(path)?;
    if is_of_one_name(&file)? {
        return Ok(file);
    }
    // What its other names stand for stays as it is.
    std::fs::remove_file(path)?;
    options.open(path)
}

/// Gives an archive its name, unless something else has it by now.
fn put(partial: &Path, target: &Path) -> io::Result<()> {
    if !is_free_or_tar(target)? {
        let target = target.display();
        return Err(io::Error::other(format!(
            "`{target}` was put there meanwhile and is not an archive, so it is not replaced"
        )));
    }
    std::fs::rename(partial, target)
}

fn write_all(file: &mut File, slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    let mut slices = slices;
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        // As many as one call takes: IOV_MAX is 1,024 on Linux and macOS.
        let n_slices = slices.len().min(1024);
        match file.write_vectored(&slices[..n_slices]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n_written) => IoSlice::advance_slices(&mut slices, n_written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The name of what is not whole yet.
pub(super) fn with_suffix(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(SUFFIX);
    path.with_file_name(name)
}

/// Whether nothing but an archive, or nothing at all, is lost when an archive takes the place of what is at `path`.
fn is_free_or_tar(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => Ok(false),
        Ok(metadata) if metadata.len() == 0 => Ok(true),
        Ok(_) => {
            let start = first_bytes(path, (MAGIC_AT + MAGIC.len()) as u64)?;
            Ok(start.get(MAGIC_AT..) == Some(MAGIC))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
