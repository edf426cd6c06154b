//! How many bytes may wait in the spool.

use std::sync::Mutex;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::locks::lock;

/// Bytes from which an object goes to the spool.
pub(super) const MAX_IN_MEMORY: usize = 1024 * 1024;

/// Bytes in the spool from which on no object is begun but the one whose turn it is.
const MAX_SPOOLED: u64 = 4 << 30;

/// The room in the spool.
#[derive(Debug)]
pub(crate) struct Room {
    max: u64,
    used: Mutex<Used>,
    /// There may be more room, or it is another row's turn.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Used {
    n_bytes: u64,
    /// The most that there were.
    peak: u64,
}

impl Default for Room {
    fn default() -> Self {
        Self::of(MAX_SPOOLED)
    }
}

impl Room {
    /// For `max` bytes.
    pub(crate) fn of(max: u64) -> Self {
        Self {
            max,
            used: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Makes a row's share as large as is `wanted`, if there is room for that, or `is_first_in_line`; whether it is now.
    pub(crate) fn try_take(
        &self,
        share: &mut u64,
        wanted: u64,
        is_first_in_line: impl FnOnce() -> bool,
    ) -> bool {
        let mut used = lock(&self.used);
        let is_free = used.n_bytes < self.max && used.n_bytes + wanted <= self.max;
        // A row that has begun goes on, and an object that is larger than all room is begun in an empty spool.
        let may_take = *share > 0 || used.n_bytes == 0 || is_free || is_first_in_line();
        if may_take {
            used.take(share, wanted);
        }
        may_take
    }

    /// Makes a row's share as large as is `wanted`, whether there is room for that or not.
    pub(crate) fn take(&self, share: &mut u64, wanted: u64) {
        lock(&self.used).take(share, wanted);
    }

    /// Takes a share back.
    pub(crate) fn give_back(&self, share: u64) {
        if share > 0 {
            lock(&self.used).n_bytes -= share;
            self.wake();
        }
    }

    /// Has those who wait look again.
    pub(crate) fn wake(&self) {
        self.changed.notify_waiters();
    }

    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// The most bytes that were spooled at once.
    pub(crate) fn peak(&self) -> u64 {
        lock(&self.used).peak
    }

    #[cfg(test)]
    pub(crate) fn n_bytes(&self) -> u64 {
        lock(&self.used).n_bytes
    }
}

impl Used {
    fn take(&mut self, share: &mut u64, wanted: u64) {
        let more = wanted.saturating_sub(*share);
        *share += more;
        self.n_bytes += more;
        self.peak = self.peak.max(self.n_bytes);
    }
}
