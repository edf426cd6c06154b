//! How many GETs may be in flight: one permit each, held from its request until its body is read.
//!
//! Objects come first: while the list has as many of them as there are permits, each has its one GET, and a large one
//! no more than that. Permits that no object has a claim on are for helpers, which fetch parts of large objects.
//!
//! One pure value behind one lock decides (see [`governor`]): it finds the best number by itself (see [`climb`]), lowers it
//! where a server asks for fewer requests (see [`pace`]), and while no request gets through at all, lets one at a time try
//! (see [`outage`]). Around it are sums and copies that are read without the lock; nothing is decided by them.

mod aside;
mod climb;
mod found;
mod gauge;
mod governor;
mod hold;
mod outage;
mod pace;
mod permits;
mod reading;
#[cfg(test)]
mod simulation;
mod ticker;

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::rates::LimitWaits;
use crate::meter::Meter;
use crate::options::Concurrency;
use crate::outcome::Failure;
pub(crate) use found::{Found, WhyNotMore};
use governor::Governor;
pub(crate) use governor::Step;
use outage::Turn;
pub(super) use outage::Waiting;
pub(super) use outage::{Asked, Charge};
pub(crate) use pace::Throttling;
pub(super) use permits::{Attempt, Claim, Permit};
use permits::{Holder, Shared, State};
pub(crate) use ticker::OnStep;
pub(super) use ticker::Ticker;

/// The permits of a run.
#[derive(Debug, Clone)]
pub struct Limit(Arc<Shared>);

impl Limit {
    /// With `n` permits, or with as many as turn out to be best, of which `n` are the most.
    pub fn new(concurrency: Concurrency, n: NonZeroUsize) -> Self {
        let started = Instant::now();
        let is_automatic = concurrency == Concurrency::Auto;
        let governor = if is_automatic {
            Governor::automatic(n.get(), started)
        } else {
            Governor::fixed(n.get(), started)
        };
        let shared = Shared {
            max: n.get(),
            is_automatic,
            started,
            n_objects: AtomicUsize::new(0),
            n_answered: AtomicU64::new(0),
            first_byte: AtomicU64::new(0),
            good_at: AtomicU64::new(0),
            is_out: AtomicBool::new(false),
            max_rows: AtomicUsize::new(governor.max_rows()),
            state: Mutex::new(State {
                governor,
                queue: VecDeque::new(),
            }),
            spare: Notify::new(),
            room: Notify::new(),
            outage_changed: Notify::new(),
        };
        Self(Arc::new(shared))
    }

    /// With `n` permits.
    pub fn fixed(n: NonZeroUsize) -> Self {
        Self::new(Concurrency::Fixed(n), n)
    }

    /// Has the number in flight follow what `meter`, the waits for the user's limits and `n_connecting`, the connections that are being
    /// opened, show, until the result is dropped.
    pub(super) fn follow<C>(
        &self,
        meter: &Arc<Meter>,
        waits: &LimitWaits,
        n_connecting: C,
        on_step: Option<Arc<OnStep>>,
    ) -> Ticker
    where
        C: Fn() -> usize + Send + Sync + 'static,
    {
        Ticker::start(&self.0, meter, waits, n_connecting, on_step)
    }

    /// The most permits that there may ever be.
    pub fn max(&self) -> usize {
        self.0.max
    }

    /// Rows that may be under way at the moment.
    pub fn max_rows(&self) -> usize {
        if self.0.is_automatic {
            self.0.max_rows.load(SeqCst).min(self.0.max)
        } else {
            self.0.max
        }
    }

    /// Counts an object as under way until what is returned is dropped.
    pub fn claim(&self) -> Claim {
        Claim::new(&self.0)
    }

    /// Waits until another row may be under way. There may be `per_permit` times as many as the number in flight asks for.
    pub async fn room(&self, per_permit: usize) {
        if !self.0.is_automatic {
            return;
        }
        loop {
            let changed = self.0.room.notified();
            if self.n_objects() < self.max_rows() * per_permit {
                return;
            }
            changed.await;
        }
    }

    /// Waits for a permit, in turn.
    pub async fn acquire(&self) -> Permit {
        loop {
            let turn = {
                let mut state = self.0.state();
                if state.queue.is_empty() && state.governor.take() {
                    Ok(Permit::new(&self.0, Holder::Object, &state.governor))
                } else {
                    let (sender, receiver) = oneshot::channel();
                    state.queue.push_back(sender);
                    Err(receiver)
                }
            };
            let permit = match turn {
                Ok(permit) => permit,
                Err(receiver) => match receiver.await {
                    Ok(permit) => permit,
                    // The queue outlives all who wait in it; were it otherwise, the next turn would come.
                    Err(_) => continue,
                },
            };
            return self.in_time(permit).await;
        }
    }

    /// Waits for a permit that no object has a claim on.
    pub async fn acquire_spare(&self) -> Permit {
        loop {
            let changed = self.0.spare.notified();
            let permit = {
                let mut state = self.0.state();
                let is_taken =
                    state.queue.is_empty() && state.governor.take_spare(self.n_objects());
                is_taken.then(|| Permit::new(&self.0, Holder::Helper, &state.governor))
            };
            if let Some(permit) = permit {
                // There may be more where this one came from.
                self.0.spare.notify_one();
                return self.in_time(permit).await;
            }
            changed.await;
        }
    }

    /// Waits until a request may start, where they start at an interval. While nothing gets through, the one that tries is
    /// in time, and none of the others starts, so that their turns must not add up to a long wait.
    async fn in_time(&self, mut permit: Permit) -> Permit {
        if !permit.is_paced || self.0.is_out.load(SeqCst) {
            return permit;
        }
        let start = self.0.state().governor.start(Instant::now());
        if let Some(start) = start {
            tokio::time::sleep_until(start.into()).await;
            permit.round = self.0.state().governor.round();
        }
        permit
    }

    /// Waits while nothing gets through, unless it is this request's turn to try.
    pub async fn unless_out(&self) -> Attempt {
        loop {
            let changed = self.0.outage_changed.notified();
            if !self.0.is_out.load(SeqCst) {
                return Attempt::default();
            }
            let turn = self.0.state().governor.turn(Instant::now());
            match turn {
                Turn::Start => return Attempt::default(),
                Turn::Try => return Attempt::trying(&self.0),
                Turn::Wait(until) => {
                    let until = tokio::time::sleep_until(until.into());
                    tokio::select! {
                        () = changed => {}
                        () = until => {}
                    }
                }
                Turn::WaitForOther => changed.await,
            }
        }
    }

    /// Decides who pays for a request that failed without an answer of use: its object, or nobody, since nothing gets through.
    ///
    /// # Errors
    /// The failure, as the end of the run, once the outage has lasted for longer than `max_outage`.
    pub fn failed(
        &self,
        failure: &Failure,
        asked: &Asked<'_>,
        max_outage: Duration,
    ) -> Result<Charge, Failure> {
        let good_at = match self.0.good_at.load(SeqCst) {
            0 => None,
            nanos => Some(self.0.started + Duration::from_nanos(nanos)),
        };
        let charge = {
            let mut state = self.0.state();
            let governor = &mut state.governor;
            let charge = governor.failed(failure, asked, good_at, Instant::now(), max_outage);
            self.0.copy(governor);
            charge
        };
        self.0.outage_changed.notify_waiters();
        charge
    }

    /// Whether a request with this leave may still start: nothing gets through by now, perhaps.
    pub fn may_start(&self, attempt: &Attempt) -> bool {
        attempt.is_trying() || !self.0.is_out.load(SeqCst)
    }

    /// Since when nothing gets through, and why, if that is so.
    pub fn waiting(&self) -> Option<Waiting> {
        if !self.0.is_out.load(SeqCst) {
            return None;
        }
        self.0.state().governor.waiting()
    }

    /// How many GETs there may be at the moment.
    pub fn n_permits(&self) -> usize {
        self.0.state().governor.n_permits()
    }

    /// GETs in flight now.
    pub fn n_in_use(&self) -> usize {
        self.0.state().governor.n_held()
    }

    /// Whether the number is found during the run.
    pub fn is_automatic(&self) -> bool {
        self.0.is_automatic
    }

    /// The number that was found to be best; `None` where it is fixed, or not found yet.
    pub fn found(&self) -> Option<Found> {
        self.0.state().governor.found()
    }

    /// How many permits there were on average.
    pub fn n_mean(&self) -> usize {
        reading::whole(self.0.state().governor.n_mean())
    }

    /// Objects that are under way.
    pub fn n_objects(&self) -> usize {
        self.0.n_objects.load(SeqCst)
    }

    /// How much the server slowed the run down so far.
    pub fn throttling(&self) -> Throttling {
        self.0.state().governor.throttling()
    }
}

#[cfg(test)]
mod tests;
