//! Calls on open files.

use std::fs::{File, FileTimes, TryLockError};
#[cfg(unix)]
use std::io::IoSlice;
use std::io::{self, ErrorKind, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
// Both have the same functions for a file's numbers.
#[cfg(windows)]
use cap_fs_ext::MetadataExt;
use cap_std::fs::Metadata;
#[cfg(unix)]
use cap_std::fs::MetadataExt;

use super::again::retried;
#[cfg(test)]
use crate::sink::files::faults::{Call, before};

/// What tells a file from every other one while it is open: its device and its number there.
pub(crate) type FileId = (u64, u64);

/// How locking a file ended.
pub(crate) enum Lock {
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
pub(crate) fn lock(file: &File) -> io::Result<Lock> {
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
pub(crate) fn set_times(file: &File, modified: SystemTime) -> io::Result<()> {
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
pub(crate) fn preallocate(file: &File, size: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};
    retried(|| {
        #[cfg(test)]
        before(Call::Preallocate)?;
        Ok(fallocate(file, FallocateFlags::KEEP_SIZE, 0, size)?)
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn preallocate(_: &File, _: u64) -> io::Result<()> {
    #[cfg(test)]
    before(Call::Preallocate)?;
    Ok(())
}

/// Writes `chunks` at `offset`: many pieces in few system calls.
#[cfg(unix)]
pub(crate) fn write_at(file: &File, chunks: &[Bytes], mut offset: u64) -> io::Result<()> {
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
pub(crate) fn write_at(file: &File, chunks: &[Bytes], mut offset: u64) -> io::Result<()> {
    use std::os::windows::fs::FileExt;
    for chunk in chunks {
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            #[cfg(test)]
            before(Call::Write)?;
            let n_written = file.seek_write(rest, offset)?;
            offset += n_written as u64;
            rest = &rest[n_written..];
        }
    }
    Ok(())
}

/// Fills `buffer` with what is at `offset`.
#[cfg(unix)]
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    #[cfg(test)]
    before(Call::Read)?;
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
pub(crate) fn read_exact_at(file: &File, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
    #[cfg(test)]
    before(Call::Read)?;
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
pub(crate) fn append(mut file: &File, line: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    before(Call::Append)?;
    file.write_all(line)
}

/// Cuts the file off, or fills it up with zeros, at `n_bytes`.
pub(crate) fn set_length(file: &File, n_bytes: u64) -> io::Result<()> {
    retried(|| {
        #[cfg(test)]
        before(Call::SetLength)?;
        file.set_len(n_bytes)
    })
}

/// Has the file's bytes written to the disk, and waits for it.
pub(crate) fn sync(file: &File) -> io::Result<()> {
    retried(|| {
        #[cfg(test)]
        before(Call::Sync)?;
        file.sync_all()
    })
}

/// What an open file is like.
pub(crate) fn stat(file: &File) -> io::Result<Metadata> {
    #[cfg(test)]
    before(Call::Stat)?;
    Metadata::from_file(file)
}

/// Whether two files are one, under whatever names.
pub(crate) fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    file_id(one) == file_id(other)
}

pub(crate) fn file_id(file: &Metadata) -> FileId {
    (file.dev(), file.ino())
}

/// Whether the file has one name only.
pub(crate) fn has_one_name(file: &Metadata) -> bool {
    file.nlink() == 1
}

/// When the file was changed for the last time, by the file system's clock: its ctime; or its time of birth, if that is
/// later, since FAT shows in place of a ctime the time that a program gave the file.
#[cfg(unix)]
pub(crate) fn changed(metadata: &Metadata) -> SystemTime {
    use std::time::Duration;

    let since_1970 = Duration::new(
        metadata.ctime().try_into().unwrap_or_default(),
        metadata.ctime_nsec().try_into().unwrap_or_default(),
    );
    // No file system's clock is that far off.
    let changed = UNIX_EPOCH.checked_add(since_1970).unwrap_or(UNIX_EPOCH);
    metadata
        .created()
        .map_or(changed, |created| changed.max(created.into_std()))
}

/// As near to it as it goes: the time of birth, which is that of the partial file.
#[cfg(not(unix))]
pub(crate) fn changed(metadata: &Metadata) -> SystemTime {
    metadata
        .created()
        .map_or(UNIX_EPOCH, cap_std::time::SystemTime::into_std)
}

#[cfg(test)]
mod tests {
    use cap_std::ambient_authority;
    use cap_std::fs::Dir;

    use super::*;

    #[test]
    fn one_file_under_two_names_is_one_and_two_files_of_one_device_are_two() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
        for name in ["one", "other"] {
            dir.write(name, "same").unwrap();
        }
        dir.hard_link("one", &dir, "linked").unwrap();
        let open = |name| stat(&dir.open(name).unwrap().into_std()).unwrap();
        for looked_at in [dir.metadata("linked"), dir.symlink_metadata("linked")] {
            assert!(is_same_file(&open("one"), &looked_at.unwrap()));
        }
        assert!(!is_same_file(&open("one"), &dir.metadata("other").unwrap()));
        assert_ne!(file_id(&open("one")), file_id(&open("other")));
        assert!(has_one_name(&open("other")) && !has_one_name(&open("one")));
    }
}
