//! The file system's calls whose failures decide what becomes of a file, and what differs between platforms in them.
//! Unit tests can make each call fail, or do something just before it.

use std::fs::{File, FileTimes, TryLockError};
use std::io::{self, ErrorKind};
use std::time::SystemTime;

use cap_std::fs::{Dir, Metadata, OpenOptions};

use super::name::RESERVED_PREFIX;
#[cfg(test)]
use faults::{Call, before};

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

fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..MAX_INTERRUPTIONS {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
    call()
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
    use cap_std::fs::MetadataExt;
    match symlink_metadata(folder, name) {
        Ok(named) => Ok(file_id(file) == Some((named.dev(), named.ino()))),
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

/// What unit tests have happen just before a call: an error in its place, or what another process might do.
#[cfg(test)]
pub mod faults {
    use std::cell::RefCell;
    use std::io;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Call {
        Open,
        Lock,
        Look,
        LookAtLink,
        OpenFolder,
        Preallocate,
        Remove,
        SetTimes,
    }

    type Hook = Box<dyn FnMut(Call) -> io::Result<()>>;

    thread_local! {
        static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
    }

    /// Faults of this thread's calls, until it is dropped.
    #[must_use]
    pub struct Faults;

    impl Drop for Faults {
        fn drop(&mut self) {
            HOOK.set(None);
        }
    }

    pub fn inject(hook: impl FnMut(Call) -> io::Result<()> + 'static) -> Faults {
        HOOK.set(Some(Box::new(hook)));
        Faults
    }

    /// Every `call` fails with `errno`.
    pub fn fail(call: Call, errno: rustix::io::Errno) -> Faults {
        inject(move |called| {
            if called == call {
                return Err(errno.into());
            }
            Ok(())
        })
    }

    pub fn before(call: Call) -> io::Result<()> {
        // The hook is taken out meanwhile, so that it can call what it stands before.
        let Some(mut hook) = HOOK.take() else {
            return Ok(());
        };
        let done = hook(call);
        HOOK.set(Some(hook));
        done
    }
}
