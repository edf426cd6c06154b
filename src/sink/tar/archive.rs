//! The archive's file or stream, and the thread that writes it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, IoSlice, Write};
use std::path::{Path, PathBuf};

use super::header::{END, Kind, header, incomplete, padding};
use super::order::{Content, Ending, Member, Next, Order};
use crate::outcome::{Class, ErrorCode, Failure};
use crate::sink::files::{UserFile, first_bytes, open_stream};

/// Bytes from which a tar archive is known, and what stands there.
const MAGIC_AT: usize = 257;
const MAGIC: &[u8] = b"ustar";

/// What an archive that is not finished has behind its name.
const SUFFIX: &str = ".incomplete";

/// Why an archive cannot go where `--tar` says.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("`{}` exists and is not a tar archive, so it is not replaced", .0.display())]
    Foreign(PathBuf),
    #[error("`{}` is a {kind}, so the archive cannot be written there", .path.display())]
    InTheWay { path: PathBuf, kind: &'static str },
    #[error("a bug in s3pull, please report it: the thread that writes the archive broke off")]
    Broken,
    #[error("another s3pull is writing `{}`", .0.display())]
    InUse(PathBuf),
    #[error("cannot write the archive `{}`: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl ArchiveError {
    /// Whether something is at the archive's path that must not be replaced.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Foreign(_) | Self::InTheWay { .. } => true,
            Self::InUse(_) | Self::Io { .. } | Self::Broken => false,
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

/// An archive that is being written.
#[derive(Debug)]
pub struct Archive {
    /// As it was typed.
    path: PathBuf,
    place: Place,
    file: File,
    n_written: u64,
    sync: bool,
}

impl Archive {
    /// Opens the archive at `path`, which is stdout for `-`; `sync` has it on the disk before it gets its name.
    ///
    /// # Errors
    /// When something is there that must not be replaced, or the file system refuses.
    pub fn open(path: &Path, sync: bool) -> Result<Self, ArchiveError> {
        let failed = |error| ArchiveError::Io {
            path: path.to_owned(),
            error,
        };
        if path.as_os_str() == "-" {
            let file = stdout().map_err(failed)?;
            return Ok(Self::new(path, Place::Stream, file, sync));
        }
        let target = match UserFile::at(path).map_err(failed)? {
            UserFile::Stream => {
                let file = open_stream(path).map_err(failed)?;
                return Ok(Self::new(path, Place::Stream, file, sync));
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
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&partial)
            .map_err(failed)?;
        // Where there are no locks, two runs with one archive are the user's to avoid.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(ArchiveError::InUse(path.to_owned()));
        }
        file.set_len(0).map_err(failed)?;
        Ok(Self::new(path, Place::File { partial, target }, file, sync))
    }

    fn new(path: &Path, place: Place, file: File, sync: bool) -> Self {
        Self {
            path: path.to_owned(),
            place,
            file,
            n_written: 0,
            sync,
        }
    }

    /// Writes the members in their order until the end, and ends the archive. Returns what is to be said of one that is not
    /// finished.
    ///
    /// # Errors
    /// When it cannot be ended. What fails before is each member's failure.
    pub fn write(mut self, order: &Order) -> Result<Option<String>, ArchiveError> {
        loop {
            match order.next() {
                Next::Write(members) => {
                    if let Err(error) = self.write_members(members) {
                        let failure = failure(&error);
                        order.fail(&failure);
                        return Ok(self.left());
                    }
                }
                Next::End(ending) => return self.end(ending),
            }
        }
    }

    /// Writes members that follow one another with as few calls as their contents allow.
    fn write_members(&mut self, members: Vec<Member>) -> Result<(), ArchiveError> {
        let headers: Vec<_> = members
            .iter()
            .map(|member| header(member.path.as_str(), member.kind, member.modified))
            .collect();
        let mut written = Ok(());
        let mut slices = Vec::new();
        for (member, header) in members.iter().zip(&headers) {
            let size = match member.kind {
                Kind::File(size) => size,
                Kind::Folder => 0,
            };
            slices.push(IoSlice::new(header));
            match &member.content {
                Content::Memory(pieces) => {
                    slices.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
                }
                Content::Spool(spool) => {
                    written = written
                        .and_then(|()| write_all(&mut self.file, &mut slices))
                        .and_then(|()| spool.copy_to(&mut self.file, size));
                    slices.clear();
                }
            }
            slices.push(IoSlice::new(padding(size)));
            self.n_written += 1;
        }
        written = written.and_then(|()| write_all(&mut self.file, &mut slices));
        drop(slices);
        let result = written.map_err(|error| self.failed(error));
        for member in members {
            let told = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(failure(error)),
            };
            // A row that was given up does not listen.
            let _ = member.written.send(told);
        }
        result
    }

    fn end(mut self, ending: Ending) -> Result<Option<String>, ArchiveError> {
        let (ended, left) = match ending {
            Ending::Whole => (self.end_whole(), None),
            Ending::Incomplete => (self.end_incomplete(), self.left()),
        };
        ended.map_err(|error| self.failed(error))?;
        Ok(left)
    }

    /// What is to be said of an archive that is not finished.
    fn left(&self) -> Option<String> {
        match &self.place {
            Place::Stream => Some("the archive is incomplete: `tar` fails at its end".to_owned()),
            Place::File { .. } if self.n_written == 0 => None,
            Place::File { partial, .. } => {
                let partial = partial.display();
                Some(format!(
                    "the archive is incomplete, and was left as `{partial}`"
                ))
            }
        }
    }

    fn end_whole(&mut self) -> io::Result<()> {
        match self.file.write_all(&END) {
            // A reader may close the pipe when it has seen the last member.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written?,
        }
        if let Place::File { partial, target } = &self.place {
            if self.sync {
                self.file.sync_all()?;
            }
            std::fs::rename(partial, target)?;
        }
        Ok(())
    }

    fn end_incomplete(&mut self) -> io::Result<()> {
        match &self.place {
            Place::File { partial, .. } if self.n_written == 0 => std::fs::remove_file(partial),
            _ => match self.file.write_all(&incomplete()) {
                Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
                written => written,
            },
        }
    }

    fn failed(&self, error: io::Error) -> ArchiveError {
        ArchiveError::Io {
            path: self.path.clone(),
            error,
        }
    }
}

/// What a failure to write the archive means for a row: no other row can be written either.
fn failure(error: &ArchiveError) -> Failure {
    let code = match error {
        ArchiveError::Io { error, .. } => match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => ErrorCode::DiskFull,
            _ => ErrorCode::WriteFailed,
        },
        _ => ErrorCode::WriteFailed,
    };
    Failure::new(code, Class::Fatal, error.to_string())
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

fn with_suffix(path: &Path) -> PathBuf {
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

/// Stdout as a file, past the buffer that Rust puts before it.
#[cfg(unix)]
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}
