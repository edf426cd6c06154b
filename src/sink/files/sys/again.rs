//! Calls that are made again: those that a signal interrupted, and those that lacked a file handle.

use std::io::{self, ErrorKind};
use std::time::Duration;

/// How often a call is repeated that signals interrupt, before that counts as its failure.
const MAX_INTERRUPTIONS: usize = 100;

/// What is waited where this process has too many files open, and how often: a minute in all.
const HANDLES_WAIT: Duration = Duration::from_millis(20);
const MAX_HANDLES_WAITS: u32 = 3_000;

/// Does `work` again while `is_out_of_handles` says that it failed for too many open files, which others close meanwhile.
pub(crate) fn waiting_for_handles<T, E>(
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

/// Makes a call again that signals interrupt.
pub(super) fn retried<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..MAX_INTERRUPTIONS {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            done => return done,
        }
    }
    call()
}
