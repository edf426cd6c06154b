//! What unit tests have happen just before a call of the file system: an error in its place, or what another process
//! might do then.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, SystemTime};

#[cfg(unix)]
use super::path::name::NameLimit;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Append,
    Lock,
    Look,
    LookAtLink,
    MakeFolder,
    Open,
    OpenFolder,
    Preallocate,
    Read,
    Remove,
    Rename,
    SetLength,
    SetTimes,
    Stat,
    Sync,
    Write,
}

type Hook = Box<dyn FnMut(Call) -> io::Result<()>>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Faults of this thread's calls, until it is dropped.
#[must_use]
pub(super) struct Faults;

impl Drop for Faults {
    fn drop(&mut self) {
        HOOK.set(None);
    }
}

pub(super) fn inject(hook: impl FnMut(Call) -> io::Result<()> + 'static) -> Faults {
    HOOK.set(Some(Box::new(hook)));
    Faults
}

/// Every `call` fails with `errno`.
#[cfg(target_os = "linux")]
pub(super) fn fail(call: Call, errno: rustix::io::Errno) -> Faults {
    inject(move |called| {
        if called == call {
            return Err(errno.into());
        }
        Ok(())
    })
}

pub(super) fn before(call: Call) -> io::Result<()> {
    // The hook is taken out meanwhile, so that it can call what it stands before.
    let Some(mut hook) = HOOK.take() else {
        return Ok(());
    };
    let done = hook(call);
    HOOK.set(Some(hook));
    done
}

thread_local! {
    static CLOCK_LAG: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// The file system's clock goes wrong by `lag` from now on: for this thread it is as much earlier.
#[cfg(target_os = "linux")]
pub(super) fn set_clock_back(lag: Duration) {
    CLOCK_LAG.set(lag);
}

pub(super) fn as_the_clock_says(time: SystemTime) -> SystemTime {
    time - CLOCK_LAG.get()
}

#[cfg(unix)]
thread_local! {
    static NAME_LIMIT: Cell<Option<NameLimit>> = const { Cell::new(None) };
}

/// The file system takes names of `n_bytes` from now on, for this thread.
#[cfg(target_os = "linux")]
pub(super) fn limit_names(n_bytes: u64) {
    NAME_LIMIT.set(Some(NameLimit::of_bytes(n_bytes)));
}

#[cfg(unix)]
pub(super) fn name_limit() -> Option<NameLimit> {
    NAME_LIMIT.get()
}
