//! Calls on names in an open folder, and on the folder itself.

use std::fs::File;
use std::io::{self, ErrorKind};

use cap_std::fs::{Dir, Metadata, OpenOptions};

use super::file::is_same_file;
#[cfg(all(test, unix))]
use crate::sink::files::faults;
#[cfg(test)]
use crate::sink::files::faults::{Call, before};
use crate::sink::files::path::name::{NameLimit, RESERVED_PREFIX};

/// Renames `from` to `to`, in one folder, unless something has that name. Fails with `AlreadyExists` where something has
/// it, and with `Unsupported` where the file system cannot do that.
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub(crate) fn rename_to_free(folder: &Dir, from: &str, to: &str) -> io::Result<()> {
    use rustix::fs::{RenameFlags, renameat_with};
    use rustix::io::Errno;
    #[cfg(test)]
    before(Call::Rename)?;
    // Both are single names in an open folder: there is nothing that a symlink could redirect.
    let unsupported = [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP];
    match renameat_with(folder, from, folder, to, RenameFlags::NOREPLACE) {
        Err(error) if unsupported.contains(&error) => Err(ErrorKind::Unsupported.into()),
        renamed => Ok(renamed?),
    }
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub(crate) fn rename_to_free(_: &Dir, _: &str, _: &str) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Renames `from` to `to`, in one folder, in the place of whatever has that name.
pub(crate) fn rename(folder: &Dir, from: &str, to: &str) -> io::Result<()> {
    #[cfg(test)]
    before(Call::Rename)?;
    folder
        .rename(from, folder, to)
        .map_err(|error| said_of_folder(folder, to, error))
}

#[cfg(unix)]
fn said_of_folder(_: &Dir, _: &str, error: io::Error) -> io::Error {
    error
}

/// Windows says "access is denied" where a folder has the name.
#[cfg(not(unix))]
fn said_of_folder(folder: &Dir, to: &str, error: io::Error) -> io::Error {
    let is_folder = || {
        folder
            .symlink_metadata(to)
            .is_ok_and(|there| there.is_dir())
    };
    if error.kind() == ErrorKind::PermissionDenied && is_folder() {
        return ErrorKind::IsADirectory.into();
    }
    error
}

/// What something that is not a file is, in a word or two.
#[cfg(unix)]
pub(crate) fn kind(metadata: &Metadata) -> &'static str {
    use cap_std::fs::FileTypeExt;
    let kind = metadata.file_type();
    if kind.is_dir() {
        "folder"
    } else if kind.is_fifo() {
        "named pipe"
    } else if kind.is_socket() {
        "socket"
    } else {
        "device"
    }
}

#[cfg(not(unix))]
pub(crate) fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() {
        "folder"
    } else {
        "device"
    }
}

/// Makes the folder `path` and those that it is in, where they are not there.
pub(crate) fn make_folder(folder: &Dir, path: &str) -> io::Result<()> {
    #[cfg(test)]
    before(Call::MakeFolder)?;
    folder.create_dir_all(path)
}

/// What is at `path`, through symlinks.
pub(crate) fn metadata(folder: &Dir, path: &str) -> io::Result<Metadata> {
    #[cfg(test)]
    before(Call::Look)?;
    folder.metadata(path)
}

/// What is at `path`, where a symlink is itself.
pub(crate) fn symlink_metadata(folder: &Dir, path: &str) -> io::Result<Metadata> {
    #[cfg(test)]
    before(Call::LookAtLink)?;
    folder.symlink_metadata(path)
}

pub(crate) fn open_folder(folder: &Dir, path: &str) -> io::Result<Dir> {
    #[cfg(test)]
    before(Call::OpenFolder)?;
    folder.open_dir(path)
}

/// Opens the file at `path` to read it, through symlinks that stay in the folder.
pub(crate) fn open_to_read(folder: &Dir, path: &str) -> io::Result<File> {
    #[cfg(test)]
    before(Call::Open)?;
    Ok(folder.open(path)?.into_std())
}

/// Opens the file `name`, which is not followed if it is a symlink, and not waited for if it is a pipe.
pub(crate) fn open(folder: &Dir, name: &str, options: &OpenOptions) -> io::Result<File> {
    #[cfg(test)]
    before(Call::Open)?;
    let mut options = options.clone();
    do_not_follow(&mut options);
    Ok(folder.open_with(name, &options)?.into_std())
}

#[cfg(unix)]
fn do_not_follow(options: &mut OpenOptions) {
    use cap_std::fs::OpenOptionsExt;
    use rustix::fs::OFlags;
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or_default());
}

#[cfg(windows)]
fn do_not_follow(options: &mut OpenOptions) {
    use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt};
    options.follow(FollowSymlinks::No);
}

/// Whether symlinks lead in circles, or a symlink is where none is followed.
#[cfg(unix)]
pub(crate) fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

/// `ERROR_STOPPED_ON_SYMLINK` and `ERROR_CANT_RESOLVE_FILENAME`.
#[cfg(windows)]
pub(crate) fn is_loop(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(681 | 1921))
}

/// Whether a removed file keeps its name until it is closed.
pub(crate) const KEEPS_NAMES_OF_REMOVED: bool = cfg!(windows);

/// Removes the file `name`, if it is still there.
pub(crate) fn remove(folder: &Dir, name: &str) -> io::Result<()> {
    #[cfg(test)]
    before(Call::Remove)?;
    match folder.remove_file(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whether the open file is the one that `name` stands for: its last owner may have renamed or removed it.
pub(crate) fn is_still_named(folder: &Dir, name: &str, file: &Metadata) -> io::Result<bool> {
    match symlink_metadata(folder, name) {
        Ok(named) => Ok(is_same_file(file, &named)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the file has the owner and the mode of a new one in `folder`. A new one is made to see that: umask, ACLs and
/// the file system itself decide it.
#[cfg(unix)]
pub(crate) fn is_like_new(folder: &Dir, file: &Metadata) -> io::Result<bool> {
    use cap_std::fs::MetadataExt;
    let new = probe(folder)?;
    Ok((file.uid(), file.mode()) == (new.uid(), new.mode()))
}

#[cfg(not(unix))]
pub(crate) fn is_like_new(_: &Dir, _: &Metadata) -> io::Result<bool> {
    Ok(true)
}

/// The longest name that `folder` takes.
#[cfg(unix)]
pub(crate) fn name_limit(folder: &Dir) -> NameLimit {
    #[cfg(test)]
    if let Some(limit) = faults::name_limit() {
        return limit;
    }
    rustix::fs::fstatvfs(folder).map_or_else(
        |_| NameLimit::default(),
        |state| NameLimit::of_bytes(state.f_namemax),
    )
}

#[cfg(not(unix))]
pub(crate) fn name_limit(_: &Dir) -> NameLimit {
    NameLimit::default()
}

/// Bytes that this user may still write to the folder's file system.
#[cfg(unix)]
pub(crate) fn free_bytes(folder: &Dir) -> Option<u64> {
    let state = rustix::fs::fstatvfs(folder).ok()?;
    Some(state.f_bavail * state.f_frsize)
}

#[cfg(not(unix))]
pub(crate) fn free_bytes(_: &Dir) -> Option<u64> {
    None
}

/// Whether the folder's file system takes no more files, however many bytes are free. Some have no such limit, and say 0 for
/// both numbers.
#[cfg(unix)]
pub(crate) fn has_no_inodes(folder: &Dir) -> bool {
    rustix::fs::fstatvfs(folder).is_ok_and(|state| state.f_files > 0 && state.f_favail == 0)
}

#[cfg(not(unix))]
pub(crate) fn has_no_inodes(_: &Dir) -> bool {
    false
}

/// Whether a folder that took no name is full itself: that is so if its file system is ext4, whose folders hold some
/// ten million names unless it has the feature `large_dir`, and has room otherwise. (A full disk is the same error.)
#[cfg(target_os = "linux")]
pub(crate) fn is_index_full(folder: &Dir) -> bool {
    use rustix::fs::{fstatfs, fstatvfs};
    let (Ok(kind), Ok(state)) = (fstatfs(folder), fstatvfs(folder)) else {
        return false;
    };
    is_ext4_with_room(kind.f_type, state.f_bavail * state.f_frsize, state.f_favail)
}

#[cfg(target_os = "linux")]
fn is_ext4_with_room(magic: rustix::fs::FsWord, free_bytes: u64, free_files: u64) -> bool {
    /// `EXT4_SUPER_MAGIC` of linux/magic.h.
    const EXT4: rustix::fs::FsWord = 0xEF53;
    /// What a new file and more of its folder's index take, and some others of the same moment.
    const ROOM: u64 = 1024 * 1024;
    magic == EXT4 && free_bytes >= ROOM && free_files > 0
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_index_full(_: &Dir) -> bool {
    false
}

/// Has the folder's file system write everything to its disk, and waits for it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn flush(folder: &Dir) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, openat, syncfs};
    // The folder's own handle is good for paths only.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(syncfs(openat(folder, ".", flags, Mode::empty())?)?)
}

/// Has all file systems write everything to their disks, where there is such a call.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn flush(_: &Dir) -> io::Result<()> {
    #[cfg(unix)]
    rustix::fs::sync();
    Ok(())
}

/// Whether [`flush`] reaches files that are closed. Elsewhere each one is flushed before that.
pub(crate) const FLUSHES_ALL: bool = cfg!(unix);

/// What a file made now in `folder` is like; it is gone again.
pub(crate) fn probe(folder: &Dir) -> io::Result<Metadata> {
    if let Ok(file) = make_nameless(folder) {
        return file.metadata();
    }
    let name = format!("{RESERVED_PREFIX}clock-{:016x}", fastrand::u64(..));
    let file = folder.open_with(&name, OpenOptions::new().write(true).create_new(true))?;
    let metadata = file.metadata();
    folder.remove_file(&name)?;
    metadata
}

/// A file that leaves nothing behind, whenever this process is killed. Not every file system has them.
#[cfg(target_os = "linux")]
fn make_nameless(folder: &Dir) -> io::Result<cap_std::fs::File> {
    use rustix::fs::{Mode, OFlags, openat};
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    let file = openat(folder, ".", flags, Mode::from_raw_mode(0o666))?;
    Ok(cap_std::fs::File::from_std(file.into()))
}

#[cfg(not(target_os = "linux"))]
fn make_nameless(_: &Dir) -> io::Result<cap_std::fs::File> {
    Err(ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_ext4_with_bytes_and_files_to_spare_has_a_full_index() {
        let (ext4, tmpfs) = (0xEF53, 0x0102_1994);
        assert!(is_ext4_with_room(ext4, 1 << 20, 1));
        assert!(!is_ext4_with_room(ext4, (1 << 20) - 1, 1));
        assert!(!is_ext4_with_room(ext4, 1 << 20, 0));
        assert!(!is_ext4_with_room(tmpfs, 1 << 40, 1 << 40));
    }
}
