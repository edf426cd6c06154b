//! Takes locks whatever a thread did that held them before.

use std::sync::{
    Condvar, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
use std::time::Duration;

/// Locks `mutex`, also after a thread panicked while it held it: what stands behind the crate's locks is whole after each
/// statement.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condition` is notified, or for no reason at all.
pub(crate) fn wait<'a, T>(condition: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condition
        .wait(guard)
        .unwrap_or_else(PoisonError::into_inner)
}

/// As [`lock`], to read.
pub(crate) fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// As [`lock`], to write.
pub(crate) fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// Waits on `changed` while `condition` holds.
pub(crate) fn wait_while<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    changed
        .wait_while(guard, condition)
        .unwrap_or_else(PoisonError::into_inner)
}

/// As [`wait_while`], but no longer than `limit`.
pub(crate) fn wait_while_within<'a, T>(
    changed: &Condvar,
    guard: MutexGuard<'a, T>,
    limit: Duration,
    condition: impl FnMut(&mut T) -> bool,
) -> MutexGuard<'a, T> {
    changed
        .wait_timeout_while(guard, limit, condition)
        .unwrap_or_else(PoisonError::into_inner)
        .0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_taken_after_a_thread_panicked_with_it() {
        let (mutex, other) = (Mutex::new(1), RwLock::new(1));
        let panicked = std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let _held = (lock(&mutex), write(&other));
                std::panic::resume_unwind(Box::new(()));
            });
            thread.join()
        });
        assert!(panicked.is_err() && mutex.is_poisoned() && other.is_poisoned());
        assert_eq!((*lock(&mutex), *read(&other)), (1, 1));
        *write(&other) = 2;
        assert_eq!(*read(&other), 2);
    }
}
