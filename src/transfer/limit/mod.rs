//! How many GETs may be in flight: one permit each, held from its request until its body is read.
//!
//! Objects come first: while the list has as many of them as there are permits, each has its one GET, and a large one
//! no more than that. Permits that no object has a claim on are for helpers, which fetch parts of large objects.
//!
//! A server that asks for fewer requests slows the whole run, not one key: the permits are halved, at most once for all
//! the requests that were under way together, and grow back (see [`pace`]). While no request gets through at all, one at a
//! time tries (see [`outage`]).

mod aside;
mod outage;
mod pace;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::outcome::Failure;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

pub use outage::Charge;
pub use outage::Waiting;
use outage::{Outage, Turn};
use pace::Pace;
pub use pace::Throttling;

/// The permits of a run.
#[derive(Debug, Clone)]
pub struct Limit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    permits: Arc<Semaphore>,
    pace: Mutex<Pace>,
    /// As in `pace`, to be read at no cost.
    n_permits: AtomicUsize,
    /// Permits that are to be taken back as soon as they are released.
    n_owed: AtomicUsize,
    /// How often the permits were halved.
    round: AtomicU64,
    /// Each of them has a claim on one permit, whether it holds one at the moment or not.
    n_objects: AtomicUsize,
    /// Helpers that hold a permit.
    n_helpers: AtomicUsize,
    /// Something that a helper may have waited for.
    changed: Notify,
    started: Instant,
    /// Whether no reply changes the permits any more, but a refusal.
    is_settled: AtomicBool,
    /// Where requests start at an interval: when the next one may.
    next_start: Mutex<Option<Instant>>,
    is_paced: AtomicBool,
    outage: Mutex<Outage>,
    /// When a request was last answered as it should be, in nanoseconds since `started`.
    good_at: AtomicU64,
    /// Whether requests have to ask `outage` before they start.
    is_out: AtomicBool,
    /// The outage is over, or the next request may try.
    outage_changed: Notify,
}

/// The right to have one GET in flight.
#[derive(Debug)]
pub struct Permit {
    held: Option<OwnedSemaphorePermit>,
    limit: Limit,
    is_helper_s: bool,
    /// In which round it was given.
    round: u64,
    /// Ends with it.
    attempt: Attempt,
}

/// An object under way, and its claim on a permit.
#[derive(Debug)]
pub struct Claim(Limit);

impl Limit {
    pub fn new(n_permits: usize) -> Self {
        let n_permits = n_permits.min(Semaphore::MAX_PERMITS);
        let pace = Pace::new(n_permits);
        let n_permits = pace.n_permits();
        Self(Arc::new(Shared {
            permits: Arc::new(Semaphore::new(n_permits)),
            is_settled: AtomicBool::new(pace.is_settled()),
            pace: Mutex::new(pace),
            n_permits: AtomicUsize::new(n_permits),
            n_owed: AtomicUsize::new(0),
            round: AtomicU64::new(0),
            n_objects: AtomicUsize::new(0),
            n_helpers: AtomicUsize::new(0),
            changed: Notify::new(),
            started: Instant::now(),
            next_start: Mutex::new(None),
            is_paced: AtomicBool::new(false),
            outage: Mutex::default(),
            good_at: AtomicU64::new(0),
            is_out: AtomicBool::new(false),
            outage_changed: Notify::new(),
        }))
    }

    /// Counts an object as under way until what is returned is dropped.
    pub fn claim(&self) -> Claim {
        self.0.n_objects.fetch_add(1, SeqCst);
        Claim(self.clone())
    }

    /// Waits for a permit, in turn.
    pub async fn acquire(&self) -> Permit {
        let permit = Arc::clone(&self.0.permits).acquire_owned().await;
        self.turn_in_time().await;
        self.permit(permit.expect("the semaphore is never closed"), false)
    }

    /// Waits for a permit that no object has a claim on.
    pub async fn acquire_spare(&self) -> Permit {
        loop {
            let changed = self.0.changed.notified();
            if let Some(mut permit) = self.try_acquire_spare() {
                // There may be more where this one came from.
                self.0.changed.notify_one();
                self.turn_in_time().await;
                permit.round = self.0.round.load(SeqCst);
                return permit;
            }
            changed.await;
        }
    }

    /// Waits until a request may start, where they start at an interval.
    async fn turn_in_time(&self) {
        if !self.0.is_paced.load(SeqCst) {
            return;
        }
        let interval = self.pace().interval();
        let start = {
            let mut next_start = lock(&self.0.next_start);
            let start = next_start.unwrap_or_else(Instant::now).max(Instant::now());
            *next_start = Some(start + interval);
            start
        };
        tokio::time::sleep_until(start.into()).await;
    }

    /// Waits while nothing gets through, unless it is this request's turn to try.
    pub async fn unless_out(&self) -> Attempt {
        loop {
            let changed = self.0.outage_changed.notified();
            if !self.0.is_out.load(SeqCst) {
                return Attempt(None);
            }
            let turn = lock(&self.0.outage).turn(Instant::now());
            match turn {
                Turn::Start => return Attempt(None),
                Turn::Try => return Attempt(Some(self.clone())),
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

    /// Decides who pays for a request that failed without an answer of use, and began at `began`: its object, or nobody,
    /// since nothing gets through.
    ///
    /// # Errors
    /// The failure, as the end of the run, once the outage has lasted for longer than `max_outage`.
    pub fn failed(
        &self,
        failure: &Failure,
        key: &str,
        began: Instant,
        max_outage: Duration,
    ) -> Result<Charge, Failure> {
        let good_at = match self.0.good_at.load(SeqCst) {
            0 => None,
            nanos => Some(self.0.started + Duration::from_nanos(nanos)),
        };
        let mut outage = lock(&self.0.outage);
        let charge = outage.failed(failure, key, began, good_at, Instant::now(), max_outage);
        self.0.is_out.store(outage.is_out(), SeqCst);
        drop(outage);
        self.0.outage_changed.notify_waiters();
        charge
    }

    /// Whether a request with this leave may still start: nothing gets through by now, perhaps.
    pub fn may_start(&self, attempt: &Attempt) -> bool {
        attempt.0.is_some() || !self.0.is_out.load(SeqCst)
    }

    /// Since when nothing gets through, and why, if that is so.
    pub fn waiting(&self) -> Option<Waiting> {
        if !self.0.is_out.load(SeqCst) {
            return None;
        }
        lock(&self.0.outage).waiting()
    }

    /// A request was answered: the server is there.
    fn note_answer(&self) {
        let nanos = u64::try_from(self.0.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.good_at.store(nanos.max(1), SeqCst);
        if self.0.is_out.load(SeqCst) {
            let mut outage = lock(&self.0.outage);
            outage.end();
            // Under the lock, as where it is set: else requests could wait for the end of what has ended.
            self.0.is_out.store(false, SeqCst);
            drop(outage);
            let mut pace = self.pace();
            pace.start_over();
            self.note_pace(&pace);
            self.follow(&pace);
            drop(pace);
            self.0.outage_changed.notify_waiters();
        }
    }

    /// Takes over what is read of `pace` without its lock.
    fn note_pace(&self, pace: &Pace) {
        self.0.is_settled.store(pace.is_settled(), SeqCst);
        self.0.is_paced.store(!pace.interval().is_zero(), SeqCst);
    }

    /// How many GETs there may be at the moment.
    pub fn n_permits(&self) -> usize {
        self.0.n_permits.load(SeqCst)
    }

    /// How many there are.
    pub fn n_in_use(&self) -> usize {
        let n_given = self.n_permits() + self.0.n_owed.load(SeqCst);
        n_given.saturating_sub(self.0.permits.available_permits())
    }

    /// Objects that are under way.
    pub fn n_objects(&self) -> usize {
        self.0.n_objects.load(SeqCst)
    }

    /// How much the server slowed the run down so far.
    pub fn throttling(&self) -> Throttling {
        self.pace().throttling()
    }

    fn try_acquire_spare(&self) -> Option<Permit> {
        let n_before = self.0.n_helpers.fetch_add(1, SeqCst);
        let is_spare = self.0.n_objects.load(SeqCst) + n_before < self.0.n_permits.load(SeqCst);
        let permit = Arc::clone(&self.0.permits)
            .try_acquire_owned()
            .ok()
            .filter(|_| is_spare);
        if permit.is_none() {
            self.0.n_helpers.fetch_sub(1, SeqCst);
        }
        permit.map(|permit| self.permit(permit, true))
    }

    fn permit(&self, held: OwnedSemaphorePermit, is_helper_s: bool) -> Permit {
        let round = self.0.round.load(SeqCst);
        Permit {
            held: Some(held),
            limit: self.clone(),
            is_helper_s,
            round,
            attempt: Attempt(None),
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        lock(&self.0.pace)
    }

    /// Gives or takes back permits until there are as many as `pace` says.
    fn follow(&self, pace: &Pace) {
        let n_now = pace.n_permits();
        let n_before = self.0.n_permits.swap(n_now, SeqCst);
        for _ in n_before..n_now {
            if !take_one(&self.0.n_owed) {
                self.0.permits.add_permits(1);
            }
        }
        let n_too_many = n_before.saturating_sub(n_now);
        let n_taken = self.0.permits.forget_permits(n_too_many);
        self.0.n_owed.fetch_add(n_too_many - n_taken, SeqCst);
        self.0.changed.notify_one();
    }
}

/// The leave to start a request; while nothing gets through it is the one that tries.
#[derive(Debug)]
pub struct Attempt(Option<Limit>);

impl Drop for Attempt {
    fn drop(&mut self) {
        // Whatever became of it: the next one may try, when it is time.
        if let Some(limit) = &self.0 {
            lock(&limit.0.outage).tried(Instant::now());
            limit.0.outage_changed.notify_waiters();
        }
    }
}

impl Permit {
    /// The same, for the request that `attempt` allows.
    pub fn used_by(self, attempt: Attempt) -> Self {
        let mut permit = self;
        permit.attempt = attempt;
        permit
    }

    /// The server answered, though not with the object.
    pub fn refused(&self) {
        self.limit.note_answer();
    }

    /// The server answered as it should.
    pub fn answered(&self) {
        self.limit.note_answer();
        // Nearly every run is never throttled: nothing to do then, and no lock.
        if self.limit.0.is_settled.load(SeqCst) {
            return;
        }
        let mut pace = self.limit.pace();
        let has_more = pace.answered(self.limit.0.started.elapsed());
        self.limit.note_pace(&pace);
        if has_more {
            self.limit.follow(&pace);
        }
    }

    /// The server asked for fewer requests.
    pub fn throttled(&self) {
        // What is asked for while nothing gets through says nothing of a limit.
        if self.limit.0.is_out.load(SeqCst) {
            return;
        }
        let mut pace = self.limit.pace();
        let is_of_this_round = self.round == self.limit.0.round.load(SeqCst);
        let has_changed = pace.throttled(is_of_this_round, self.limit.0.started.elapsed());
        self.limit.note_pace(&pace);
        if has_changed {
            self.limit.0.round.fetch_add(1, SeqCst);
            self.limit.follow(&pace);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is whole after each statement, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Permit {
    fn drop(&mut self) {
        // First back to whoever waits in turn, and only then to those who take what is spare.
        match self.held.take() {
            Some(held) if take_one(&self.limit.0.n_owed) => held.forget(),
            held => drop(held),
        }
        if self.is_helper_s {
            self.limit.0.n_helpers.fetch_sub(1, SeqCst);
        }
        self.limit.0.changed.notify_one();
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.0.n_objects.fetch_sub(1, SeqCst);
        self.0.0.changed.notify_one();
    }
}

/// Counts down by one, but not below zero; whether it did.
fn take_one(counter: &AtomicUsize) -> bool {
    counter.load(SeqCst) > 0
        && counter
            .fetch_update(SeqCst, SeqCst, |n| n.checked_sub(1))
            .is_ok()
}

#[cfg(test)]
mod tests;
