//! Calls on paths of the user's, which lead anywhere.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

/// What something that can be neither replaced nor written to is; `None` for a stream.
#[cfg(unix)]
pub(crate) fn in_the_way(metadata: &Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_dir() {
        Some("folder")
    } else if kind.is_block_device() {
        Some("disk")
    } else if kind.is_socket() {
        Some("socket")
    } else {
        None
    }
}

#[cfg(not(unix))]
pub(crate) fn in_the_way(metadata: &Metadata) -> Option<&'static str> {
    metadata.is_dir().then_some("folder")
}

/// What the file at `path` is like, to compare it with those of a folder.
#[cfg(unix)]
pub(crate) fn look_at(path: &Path) -> io::Result<cap_std::fs::Metadata> {
    path.metadata()
        .map(cap_std::fs::Metadata::from_just_metadata)
}

/// A file's numbers are known of an open one only.
#[cfg(not(unix))]
pub(crate) fn look_at(path: &Path) -> io::Result<cap_std::fs::Metadata> {
    cap_std::fs::Metadata::from_file(&File::open(path)?)
}

/// Opens a device, a pipe, or what a descriptor of this process stands for, to write to it.
///
/// # Errors
/// When the system refuses, or a named pipe has no reader.
#[cfg(unix)]
pub(crate) fn open_stream(path: &Path) -> io::Result<File> {
    use std::time::{Duration, Instant};

    use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
    use rustix::io::Errno;

    /// How long a named pipe without a reader is given to get one, and how often that is looked at.
    const MAX_WAIT: Duration = Duration::from_secs(1);
    const WAIT: Duration = Duration::from_millis(20);

    // What is open already may be what cannot be opened by its name, such as a socket.
    if let Some(file) = standard_stream(&path.metadata()?) {
        return Ok(file);
    }
    // Opened at once, whoever is at its other end; and at its end, should it be a file.
    let how = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
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

#[cfg(not(unix))]
pub(crate) fn open_stream(path: &Path) -> io::Result<File> {
    File::options().append(true).open(path)
}

/// Stdout as a file, past the buffer that Rust puts before it.
#[cfg(unix)]
pub(crate) fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
pub(crate) fn stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

/// Whether `path` leads to the file that stdin is redirected from.
#[cfg(unix)]
pub(crate) fn is_stdin(path: &Path) -> bool {
    use std::os::fd::AsFd;
    is_open_as(io::stdin().as_fd(), path)
}

#[cfg(not(unix))]
pub(crate) fn is_stdin(_: &Path) -> bool {
    false
}

/// Whether `path` leads to where stdout goes, unless that is a device, such as a terminal.
#[cfg(unix)]
pub(crate) fn is_stdout(path: &Path) -> bool {
    use std::os::fd::AsFd;
    is_open_as(io::stdout().as_fd(), path)
}

#[cfg(not(unix))]
pub(crate) fn is_stdout(_: &Path) -> bool {
    false
}

#[cfg(unix)]
fn is_open_as(stream: std::os::fd::BorrowedFd<'_>, path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let stream = stream.try_clone_to_owned().map(File::from);
    let (Ok(open), Ok(there)) = (stream.and_then(|file| file.metadata()), path.metadata()) else {
        return false;
    };
    number(&open) == number(&there) && !open.file_type().is_char_device()
}

/// Whether stdout or stderr is what `metadata` describes.
#[cfg(unix)]
pub(crate) fn is_standard_stream(metadata: &Metadata) -> bool {
    standard_stream(metadata).is_some()
}

#[cfg(not(unix))]
pub(crate) fn is_standard_stream(_: &Metadata) -> bool {
    false
}

#[cfg(unix)]
fn standard_stream(metadata: &Metadata) -> Option<File> {
    use std::os::fd::AsFd;
    let (stdout, stderr) = (io::stdout(), io::stderr());
    [stdout.as_fd(), stderr.as_fd()]
        .into_iter()
        .filter_map(|stream| stream.try_clone_to_owned().ok().map(File::from))
        .find(|stream| {
            stream
                .metadata()
                .is_ok_and(|open| number(&open) == number(metadata))
        })
}

/// Whether both paths lead to one file, as its numbers say.
#[cfg(unix)]
pub(crate) fn has_same_number(one: &Path, other: &Path) -> bool {
    let number = |path: &Path| path.metadata().ok().map(|metadata| number(&metadata));
    number(one).is_some() && number(one) == number(other)
}

#[cfg(not(unix))]
pub(crate) fn has_same_number(one: &Path, other: &Path) -> bool {
    use super::file::is_same_file;
    let (Ok(one), Ok(other)) = (look_at(one), look_at(other)) else {
        return false;
    };
    is_same_file(&one, &other)
}

#[cfg(unix)]
fn number(metadata: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_under_two_names_is_one_and_two_files_of_one_device_are_two() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["one", "other"] {
            std::fs::write(at(name), "same").unwrap();
        }
        std::fs::hard_link(at("one"), at("linked")).unwrap();
        assert!(has_same_number(&at("one"), &at("linked")));
        assert!(!has_same_number(&at("one"), &at("other")));
        assert!(!has_same_number(&at("missing"), &at("missing")));
    }
}
