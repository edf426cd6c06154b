//! The parts of an object that are on their way: how fast each one comes, and help for one that lags far behind.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use tokio::sync::Notify;

use super::held::Held;
use crate::locks::lock;
use crate::transfer::stragglers::is_far_behind;

/// Finished parts whose pace is remembered: the last ones tell most.
const MAX_PACES: usize = 64;

/// The parts that are on their way.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: HashMap<usize, Arc<Lane>>,
    /// Bytes per second of finished parts.
    paces: Vec<f64>,
    n_finished: usize,
}

/// A part on its way, seen by what reads it and by what looks after it.
#[derive(Debug)]
pub(super) struct Lane {
    started: Mutex<Instant>,
    /// Since then.
    n_bytes: AtomicU64,
    n_left: AtomicU64,
    help: Mutex<Help>,
    called: Notify,
}

#[derive(Debug)]
enum Help {
    /// What reads the part has no use for it now.
    Unwanted,
    /// Something is read, and may be waited for in vain.
    Wanted,
    /// A permit for a second request.
    Sent(Held),
    /// It is in use.
    Used,
}

impl Lanes {
    /// A part begins.
    pub(super) fn begin(&self, index: usize, range: &Range<u64>) -> Arc<Lane> {
        let lane = Arc::new(Lane {
            started: Mutex::new(Instant::now()),
            n_bytes: AtomicU64::new(0),
            n_left: AtomicU64::new(range.end - range.start),
            help: Mutex::new(Help::Unwanted),
            called: Notify::new(),
        });
        self.state().open.insert(index, Arc::clone(&lane));
        lane
    }

    /// A part ended; its pace counts if it `is_whole`.
    pub(super) fn end(&self, index: usize, is_whole: bool) {
        let mut state = self.state();
        let Some(lane) = state.open.remove(&index) else {
            return;
        };
        if is_whole {
            let (index, pace) = (state.n_finished % MAX_PACES, lane.pace());
            match state.paces.get_mut(index) {
                Some(old) => *old = pace,
                None => state.paces.push(pace),
            }
            state.n_finished += 1;
        }
    }

    /// The part that is farthest behind the others, if one is far behind and has no help yet.
    pub(super) fn farthest_behind(&self) -> Option<Arc<Lane>> {
        let state = self.state();
        let mut paces = state.paces.clone();
        paces.sort_by(f64::total_cmp);
        let typical = *paces.get(paces.len() / 2)?;
        let behind = state.open.values().filter(|lane| lane.is_behind(typical));
        let slowest = behind.min_by(|one, other| one.pace().total_cmp(&other.pace()));
        slowest.cloned()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

impl Lane {
    pub(super) fn received(&self, n_bytes: u64) {
        self.n_bytes.fetch_add(n_bytes, Relaxed);
        let _ = self.n_left.fetch_update(Relaxed, Relaxed, |n_left| {
            Some(n_left.saturating_sub(n_bytes))
        });
    }

    /// The second request, if there was one, brings the rest from now on, or was of no use: another one may be sent.
    pub(super) fn start_over(&self) {
        let mut help = self.help();
        if matches!(*help, Help::Used) {
            *help = Help::Unwanted;
            *self.started() = Instant::now();
            self.n_bytes.store(0, Relaxed);
        }
    }

    /// Gives a permit for a second request, if that `may_be` and is still wanted. Else it goes back at once.
    pub(super) fn send_help(&self, permit: Held, may_be: impl FnOnce() -> bool) {
        let mut help = self.help();
        if matches!(*help, Help::Wanted) && may_be() {
            *help = Help::Sent(permit);
            self.called.notify_one();
        }
    }

    /// Waits for the permit for a second request.
    pub(super) async fn helped(&self) -> Held {
        let _wanted = Wanted::by(self);
        loop {
            self.called.notified().await;
            let mut help = self.help();
            if let Help::Sent(_) = *help
                && let Help::Sent(held) = std::mem::replace(&mut *help, Help::Used)
            {
                return held;
            }
        }
    }

    fn is_behind(&self, typical: f64) -> bool {
        let (n_bytes, n_left) = (self.n_bytes.load(Relaxed), self.n_left.load(Relaxed));
        let elapsed = self.started().elapsed();
        matches!(*self.help(), Help::Wanted) && is_far_behind(n_bytes, n_left, elapsed, typical)
    }

    /// Bytes per second.
    fn pace(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "compared roughly")]
        let n_bytes = self.n_bytes.load(Relaxed) as f64;
        n_bytes / self.started().elapsed().as_secs_f64().max(1e-6)
    }

    fn started(&self) -> MutexGuard<'_, Instant> {
        lock(&self.started)
    }

    fn help(&self) -> MutexGuard<'_, Help> {
        lock(&self.help)
    }
}

/// Help is wanted for as long as this lives.
struct Wanted<'a>(&'a Lane);

impl<'a> Wanted<'a> {
    fn by(lane: &'a Lane) -> Self {
        let mut help = lane.help();
        if matches!(*help, Help::Unwanted) {
            *help = Help::Wanted;
        }
        drop(help);
        Self(lane)
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        let mut help = self.0.help();
        if matches!(*help, Help::Wanted | Help::Sent(_)) {
            // A permit that came too late goes back.
            *help = Help::Unwanted;
        }
    }
}
