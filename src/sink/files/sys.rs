//! The file system's calls whose failures decide what becomes of a file, and what differs between platforms in them.
//! Unit tests can make each call fail, or do something just before it.

use std::fs::{File, FileTimes, TryLockError};
#[cfg(unix)]
use std::io::IoSlice;
use std::io::{self, ErrorKind, Write};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cap_std::fs::{Dir, Metadata, OpenOptions};

#[cfg(test)]
use super::faults::{Call, before};
use super::path::name::{NameLimit, RESERVED_PREFIX};

/// How often a call is repeated that signals interrupt, before that counts as its failure.
const MAX_INTERRUPTIONS: usize = 100;

/// What tells a file from every other one while it is open: its device and its number there.
pub type FileId = (u64, u64);

/// How locking a file ended.
pub enum Lock {
    Held,
    /// A live process, or another download of this one, holds it.
    HeldElsewhere,
    /// The file system has no locks, or does not let this process use them.
    Unavailable(io::Error),
}

/// Locks `file` without waiting.
///
/// # Errors
/// When it is not known whether another process holds the lock.
pub fn lock(file: &File) -> io::Result<Lock> {
    let locked = retried(|| {
        #[cfg(test)]
        before(Call::Lock)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock::Held),
            Err(TryLockError::WouldBlock) => Ok(Lock::HeldElsewhere),
            Err(TryLockError::Error(error)) => Err(error),
        }
    });
    match locked {
        Err(error) if has_no_locks(&error) => Ok(Lock::Unavailable(error)),
        locked => locked,
    }
}

/// NFS without lockd says `ENOLCK`, some 9p file systems `EINVAL`, confined processes `EACCES` or `EPERM`. (On Linux
/// `flock` reports another's lock as `EWOULDBLOCK` alone.)
fn has_no_locks(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Unsupported
            | ErrorKind::InvalidInput
            | ErrorKind::PermissionDenied
            | ErrorKind::Interrupted
    ) || is_no_lock(error)
}

#[cfg(unix)]
fn is_no_lock(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NOLCK.raw_os_error())
}

/// `ERROR_INVALID_FUNCTION`, from network file systems without locks.
#[cfg(not(unix))]
fn is_no_lock(error: &io::Error) -> bool {
    error.raw_os_error() == Some(1)
}

/// Sets the file's times. Both of them: file systems on libfuse 2 ignore a request for one alone without an error
/// (libfuse#603).
pub fn set_times(file: &File, modified: SystemTime) -> io::Result<()> {
    let times = FileTimes::new()
        .set_accessed(SystemTime::now())
        .set_modified(modified);
    retried(|| {
        #[cfg(test)]
        before(Call::SetTimes)?;
        file.set_times(times)
    })
}

/// Reserves `size` bytes for the file now, so that a full disk is noticed before they are fetched. Its length stays.
#[cfg(target_os = "linux")]
pub fn preallocate(file: &File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    retried(|| {
        #[cfg(test)]
        before(Call::Preallocate)?;
        Ok(fallocate(file, FallocateFlags::KEEP_SIZE, 0, size)?)
    })
}

#[cfg(not(target_os = "linux"))]
pub fn preallocate(_: &File, _: u64) -> io::Result<()> {
    Ok(())
}

/// What is waited where this process has too many files open, and how often: a minute in all.
const HANDLES_WAIT: Duration = Duration::from_millis(20);
const MAX_HANDLES_WAITS: u32 = 3_000;

/// Does `work` again while `is_out_of_handles` says that it failed for too many open files, which others close meanwhile.
pub fn waiting_for_handles<T, E>(
    work: impl Fn() -> Result<T, E>,
    is_out_of_handles: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for _ in 0..MAX_HANDLES_WAITS {
        match work() {
            Err(error) if is_out_of_handles(&error) => std::thread::sleep(HANDLES_WAIT),
            done => return done,
        }
    }
    work()
}

fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..MAX_INTERRUPTIONS {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
    call()
}

/// Writes `chunks` at `offset`: many pieces in few system calls.
#[cfg(unix)]
pub fn write_at(file: &File, chunks: &[Bytes], mut offset: u64) -> io::Result<()> {
    let mut slices: Vec<_> = chunks.iter().map(|chunk| IoSlice::new(chunk)).collect();
    let mut slices = slices.as_mut_slice();
    IoSlice::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        #[cfg(test)]
        before(Call::Write)?;
        // As many as one call takes: IOV_MAX is 1,024 on Linux and macOS.
        let n_slices = slices.len().min(1024);
        match rustix::io::pwritev(file, &slices[..n_slices], offset) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n_written) => {
                offset += n_written as u64;
                IoSlice::advance_slices(&mut slices, n_written);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(windows)]
pub fn write_at(file: &File, chunks: &[Bytes], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    for chunk in chunks {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let n_written = file.seek_write(rest, offset)?;
            offset += n_written as u64;
            rest = &rest[n_written..];
        }
    }
    Ok(())
}

/// Fills `buffer` with what is at `offset`.
#[cfg(unix)]
pub fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(test)]
    before(Call::Read)?;
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
pub fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n_read => {
                buffer = &mut buffer[n_read..];
                offset += n_read as u64;
            }
        }
    }
    Ok(())
}

/// Adds `line` to a file that was opened to append to: lines of several threads do not mix.
pub fn append(mut file: &File, line: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    before(Call::Append)?;
    file.write_all(line)
}

/// Cuts the file off, or fills it up with zeros, at `n_bytes`.
pub fn set_length(file: &File, n_bytes: u64) -> io::Result<()> {
    retried(|| {
        #[cfg(test)]
        before(Call::SetLength)?;
        file.set_len(n_bytes)
    })
}

/// What an open file is like.
pub fn stat(file: &File) -> io::Result<std::fs::Metadata> {
    #[cfg(test)]
    before(Call::Stat)?;
    file.metadata()
}

/// Renames `from` to `to`, in one folder, unless something has that name. Fails with `AlreadyExists` where something has
/// it, and with `Unsupported` where the file system cannot do that.
#[cfg(any(target_os = "linux", target_os = "macos"))]
pub fn rename_to_free(folder: &Dir, from: &str, to: &str) -> io::Result<()> {
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
pub fn rename_to_free(_: &Dir, _: &str, _: &str) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

/// Renames `from` to `to`, in one folder, in the place of whatever has that name.
pub fn rename(folder: &Dir, from: &str, to: &str) -> io::Result<()> {
    #[cfg(test)]
    before(Call::Rename)?;
    folder.rename(from, folder, to)
}

/// Whether two files are one, under whatever names.
#[cfg(unix)]
pub fn is_same_file(one: &std::fs::Metadata, other: &Metadata) -> bool {
    use cap_std::fs::MetadataExt;
    file_id(one) == Some((other.dev(), other.ino()))
}

#[cfg(not(unix))]
pub fn is_same_file(_: &std::fs::Metadata, _: &Metadata) -> bool {
    false
}

/// What is no file, in a word or two.
#[cfg(unix)]
pub fn kind(metadata: &Metadata) -> &'static str {
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
pub fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() {
        "folder"
    } else {
        "device"
    }
}

/// Makes the folder `path` and those that it is in, where they are not there.
pub fn make_folder(folder: &Dir, path: &str) -> io::Result<()> {
    #[cfg(test)]
    before(Call::MakeFolder)?;
    folder.create_dir_all(path)
}

/// What is at `path`, through symlinks.
pub fn metadata(folder: &Dir, path: &str) -> io::Result<Metadata> {
    #[cfg(test)]
    before(Call::Look)?;
    folder.metadata(path)
}

/// What is at `path`, where a symlink is itself.
pub fn symlink_metadata(folder: &Dir, path: &str) -> io::Result<Metadata> {
    #[cfg(test)]
    before(Call::LookAtLink)?;
    folder.symlink_metadata(path)
}

pub fn open_folder(folder: &Dir, path: &str) -> io::Result<Dir> {
    #[cfg(test)]
    before(Call::OpenFolder)?;
    folder.open_dir(path)
}

/// Opens the file `name`, which is not followed if it is a symlink, and not waited for if it is a pipe.
pub fn open(folder: &Dir, name: &str, options: &OpenOptions) -> io::Result<File> {
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

#[cfg(not(unix))]
fn do_not_follow(_: &mut OpenOptions) {}

/// Whether symlinks lead in circles, or a symlink is where none is followed.
#[cfg(unix)]
pub fn is_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(not(unix))]
pub fn is_loop(_: &io::Error) -> bool {
    false
}

/// Removes the file `name`, if it is still there.
pub fn remove(folder: &Dir, name: &str) -> io::Result<()> {
    #[cfg(test)]
    before(Call::Remove)?;
    match folder.remove_file(name) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Whether the open file is the one that `name` stands for: its last owner may have renamed or removed it.
#[cfg(unix)]
pub fn is_still_named(folder: &Dir, name: &str, file: &std::fs::Metadata) -> io::Result<bool> {
    match symlink_metadata(folder, name) {
        Ok(named) => Ok(is_same_file(file, &named)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where files have no numbers to compare, an open file keeps its name.
#[cfg(not(unix))]
pub fn is_still_named(_: &Dir, _: &str, _: &std::fs::Metadata) -> io::Result<bool> {
    Ok(true)
}

#[cfg(unix)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "not every platform has such numbers"
)]
pub fn file_id(file: &std::fs::Metadata) -> Option<FileId> {
    use std::os::unix::fs::MetadataExt;
    Some((file.dev(), file.ino()))
}

#[cfg(not(unix))]
pub fn file_id(_: &std::fs::Metadata) -> Option<FileId> {
    None
}

/// Whether the file has one name only.
#[cfg(unix)]
pub fn has_one_name(file: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.nlink() == 1
}

#[cfg(not(unix))]
pub fn has_one_name(_: &std::fs::Metadata) -> bool {
    true
}

/// Whether the file has the owner and the mode of a new one in `folder`. A new one is made to see that: umask, ACLs and
/// the file system itself decide it.
#[cfg(unix)]
pub fn is_like_new(folder: &Dir, file: &std::fs::Metadata) -> io::Result<bool> {
    use cap_std::fs::MetadataExt as _;
    use std::os::unix::fs::MetadataExt as _;
    let new = probe(folder)?;
    Ok((file.uid(), file.mode()) == (new.uid(), new.mode()))
}

#[cfg(not(unix))]
pub fn is_like_new(_: &Dir, _: &std::fs::Metadata) -> io::Result<bool> {
    Ok(true)
}

/// The longest name that `folder` takes.
#[cfg(unix)]
pub fn name_limit(folder: &Dir) -> NameLimit {
    #[cfg(test)]
    if let Some(limit) = super::faults::name_limit() {
        return limit;
    }
    rustix::fs::fstatvfs(folder).map_or_else(
        |_| NameLimit::default(),
        |state| NameLimit::of_bytes(state.f_namemax),
    )
}

#[cfg(not(unix))]
pub fn name_limit(_: &Dir) -> NameLimit {
    NameLimit::default()
}

/// Has the folder's file system write everything to its disk, and waits for it.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn flush(folder: &Dir) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, openat, syncfs};
    // The folder's own handle is good for paths only.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(syncfs(openat(folder, ".", flags, Mode::empty())?)?)
}

/// Has all file systems write everything to their disks, where there is such a call.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn flush(_: &Dir) -> io::Result<()> {
    #[cfg(unix)]
    {
        rustix::fs::sync();
        Ok(())
    }
    #[cfg(not(unix))]
    Err(ErrorKind::Unsupported.into())
}

/// What a file made now in `folder` is like; it is gone again.
pub fn probe(folder: &Dir) -> io::Result<Metadata> {
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
