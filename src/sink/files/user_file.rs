//! What is at a path that the user named for a file of this program's own: a file that can be replaced, a stream that
//! can only be written to, or something that is in the way.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::partial::folder_of;

/// Symlinks that lead from one to the next; as many as Linux follows.
const MAX_LINKS: usize = 40;

/// What is at a path of the user's, with symlinks followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserFile {
    /// A file, or nothing yet, at this path, which is not a symlink.
    File(PathBuf),
    /// A device, a pipe, or what a descriptor of this process stands for: to be written to, never to be replaced.
    Stream,
    /// A folder, a socket or a disk, called by that name.
    InTheWay(&'static str),
}

impl UserFile {
    /// Looks at `path`; opens nothing.
    ///
    /// # Errors
    /// When the file system does not say what is there.
    pub fn at(path: &Path) -> io::Result<Self> {
        match path.metadata() {
            Ok(metadata) if is_standard_stream(&metadata) => Ok(Self::Stream),
            Ok(metadata) if metadata.is_file() => follow(path),
            Ok(metadata) => Ok(kind(&metadata)),
            // The path itself may be a symlink that leads to nothing yet.
            Err(error) if error.kind() == ErrorKind::NotFound => follow(path),
            Err(error) => Err(error),
        }
    }
}

/// Where the symlinks at `path` lead to.
fn follow(path: &Path) -> io::Result<UserFile> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        // The links to open files that the system keeps there, such as `/proc/self/fd/2`: who reads that file would
        // not see another one that takes its place.
        if path.starts_with("/proc") || path.starts_with("/dev/fd") {
            return Ok(UserFile::Stream);
        }
        match path.read_link() {
            Ok(target) => path = folder_of(&path).join(target),
            // It is not a symlink, or it is not there.
            Err(_) => return Ok(UserFile::File(path)),
        }
    }
    Err(io::Error::other("too many symlinks"))
}

/// Up to `n` bytes that the file at `path` begins with.
///
/// # Errors
/// When it cannot be read.
pub fn first_bytes(path: &Path, n: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(n).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether both paths lead to one file that is there.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    let (Ok(one), Ok(other)) = (one.canonicalize(), other.canonicalize()) else {
        return false;
    };
    one == other || has_same_number(&one, &other)
}

#[cfg(unix)]
mod platform {
    use std::fs::{File, FileType, Metadata};
    use std::io::{self, stderr, stdout};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    use std::path::Path;
    use std::time::{Duration, Instant};

    use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
    use rustix::io::Errno;

    use crate::sink::files::user_file::UserFile;

    /// How long a named pipe without a reader is given to get one, and how often that is looked at.
    const MAX_WAIT: Duration = Duration::from_secs(1);
    const WAIT: Duration = Duration::from_millis(20);

    pub fn kind(metadata: &Metadata) -> UserFile {
        let kind: FileType = metadata.file_type();
        if kind.is_dir() {
            UserFile::InTheWay("folder")
        } else if kind.is_block_device() {
            UserFile::InTheWay("disk")
        } else if kind.is_socket() {
            UserFile::InTheWay("socket")
        } else {
            UserFile::Stream
        }
    }

    /// Opens a [`UserFile::Stream`] to write to it.
    ///
    /// # Errors
    /// When the system refuses, or a named pipe has no reader.
    pub fn open_stream(path: &Path) -> io::Result<File> {
        // What is open already may be what cannot be opened by its name, such as a socket.
        if let Some(file) = standard_stream(&path.metadata()?) {
            return Ok(file);
        }
        // Opened at once, whoever is at its other end; and at its end, should it be a file.
        let how =
            OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let started = Instant::now();
        let file = loop {
            match open(path, how, Mode::empty()) {
                Err(Errno::NXIO) if started.elapsed() < MAX_WAIT => std::thread::sleep(WAIT),
                Err(Errno::NXIO) => {
                    return Err(io::Error::other("no process reads the named pipe"));
                }
                opened => break opened?,
            }
        };
        // A reader that is slower than this program is waited for.
        fcntl_setfl(&file, OFlags::APPEND)?;
        Ok(file.into())
    }

    pub fn is_standard_stream(metadata: &Metadata) -> bool {
        standard_stream(metadata).is_some()
    }

    /// Stdout or stderr, if that is the file which `metadata` describes.
    fn standard_stream(metadata: &Metadata) -> Option<File> {
        let (stdout, stderr) = (stdout(), stderr());
        [stdout.as_fd(), stderr.as_fd()]
            .into_iter()
            .filter_map(|stream| stream.try_clone_to_owned().ok().map(File::from))
            .find(|stream| {
                stream
                    .metadata()
                    .is_ok_and(|open| number(&open) == number(metadata))
            })
    }

    pub fn has_same_number(one: &Path, other: &Path) -> bool {
        let number = |path: &Path| path.metadata().ok().map(|metadata| number(&metadata));
        number(one).is_some() && number(one) == number(other)
    }

    fn number(metadata: &Metadata) -> (u64, u64) {
        (metadata.dev(), metadata.ino())
    }
}

#[cfg(not(unix))]
mod platform {
    use std::fs::{File, Metadata};
    use std::io;
    use std::path::Path;

    use crate::sink::files::user_file::UserFile;

    pub fn kind(metadata: &Metadata) -> UserFile {
        if metadata.is_dir() {
            UserFile::InTheWay("folder")
        } else {
            UserFile::Stream
        }
    }

    /// Opens a [`UserFile::Stream`] to write to it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn open_stream(path: &Path) -> io::Result<File> {
        File::options().append(true).open(path)
    }

    pub fn is_standard_stream(_: &Metadata) -> bool {
        false
    }

    /// Where files have no numbers to compare, their canonical paths must do.
    pub fn has_same_number(_: &Path, _: &Path) -> bool {
        false
    }
}

pub use platform::open_stream;
use platform::{has_same_number, is_standard_stream, kind};
