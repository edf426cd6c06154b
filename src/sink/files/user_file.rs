//! What is at a path that the user named for a file of this program's own: a file that can be replaced, a stream that
//! can only be written to, or something that is in the way.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::partial::folder_of;
use super::sys;
pub(crate) use super::sys::{is_stdin, is_stdout, open_stream, stdout};

/// Symlinks that lead from one to the next; as many as Linux follows.
const MAX_LINKS: usize = 40;

/// What is at a path of the user's, with symlinks followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UserFile {
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
    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        match path.metadata() {
            Ok(metadata) if sys::is_standard_stream(&metadata) => Ok(Self::Stream),
            Ok(metadata) if metadata.is_file() => follow(path),
            Ok(metadata) => Ok(sys::in_the_way(&metadata).map_or(Self::Stream, Self::InTheWay)),
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
pub(crate) fn first_bytes(path: &Path, n: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(n).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Whether no other name stands for the open file, so that nobody misses what it holds.
///
/// # Errors
/// When the file system does not say.
pub(crate) fn is_of_one_name(file: &File) -> io::Result<bool> {
    sys::stat(file).map(|metadata| sys::has_one_name(&metadata))
}

/// Whether both paths lead to one file that is there.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    let (Ok(one), Ok(other)) = (one.canonicalize(), other.canonicalize()) else {
        return false;
    };
    one == other || sys::has_same_number(&one, &other)
}

/// Whether both paths lead to one file, or would once it is there. What is written to and never replaced, such as a pipe,
/// takes what several write.
pub(crate) fn is_one_file(one: &Path, other: &Path) -> bool {
    match (UserFile::at(one), UserFile::at(other)) {
        (Ok(UserFile::File(one)), Ok(UserFile::File(other))) => {
            place_of(&one) == place_of(&other) || is_same_file(&one, &other)
        }
        _ => false,
    }
}

/// Where a file is, or would be.
fn place_of(path: &Path) -> Option<PathBuf> {
    let folder = folder_of(path);
    let folder = folder
        .canonicalize()
        .or_else(|_| std::path::absolute(folder));
    Some(folder.ok()?.join(path.file_name()?))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_that_lead_to_one_file_or_will_are_told_whatever_they_are_called() {
        let temporary = tempfile::tempdir().unwrap();
        let at = |name: &str| temporary.path().join(name);
        std::fs::write(at("there"), "").unwrap();
        std::fs::hard_link(at("there"), at("linked")).unwrap();
        std::fs::create_dir(at("d")).unwrap();
        symlink("d", at("alias")).unwrap();
        symlink("new", at("to new")).unwrap();
        for (one, other, is_one) in [
            ("there", "there", true),
            ("there", "d/../there", true),
            ("there", "linked", true),
            ("new", "./new", true),
            ("new", "to new", true),
            ("d/new", "alias/new", true),
            ("nowhere/new", "nowhere/./new", true),
            ("new", "d/new", false),
            ("there", "new", false),
        ] {
            assert_eq!(is_one_file(&at(one), &at(other)), is_one, "{one} {other}");
            assert_eq!(is_one_file(&at(other), &at(one)), is_one, "{other} {one}");
        }
        let null = Path::new("/dev/null");
        assert!(!is_one_file(null, null));
    }
}
