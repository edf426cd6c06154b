//! What all permits share, behind one lock, and what a request holds while it is in flight, and an object while it is under
//! way.

use std::collections::VecDeque;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::governor::{Counted, Governor, Step};
use crate::locks::lock;

#[derive(Debug)]
pub struct Shared {
    pub state: Mutex<State>,
    /// The most that there may ever be.
    pub max: usize,
    pub is_automatic: bool,
    pub started: Instant,
    /// Each of them has a claim on one permit, whether it holds one at the moment or not.
    pub n_objects: AtomicUsize,
    /// Good answers, and how long they took until their first byte, in nanoseconds.
    pub n_answered: AtomicU64,
    pub first_byte: AtomicU64,
    /// When a request was last answered, in nanoseconds since `started`; zero before the first time.
    pub good_at: AtomicU64,
    /// Copies from `state`, which are written under its lock alone.
    pub is_out: AtomicBool,
    pub max_rows: AtomicUsize,
    /// Something that a helper, or a row, may have waited for.
    pub spare: Notify,
    pub room: Notify,
    /// The outage is over, or the next request may try.
    pub outage_changed: Notify,
}

#[derive(Debug)]
pub struct State {
    pub governor: Governor,
    /// Those who wait for a permit, in turn.
    pub queue: VecDeque<oneshot::Sender<Permit>>,
}

/// Who holds a permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    Object,
    /// A task that fetches parts of an object beside its first GET.
    Helper,
    /// A request that is not a GET of an object, and is not counted as one.
    Aside,
}

/// The right to have one GET in flight.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    holder: Holder,
    /// In which round it was given.
    pub round: u64,
    /// Whether requests start at an interval.
    pub is_paced: bool,
    /// Whether its request was answered as it should be.
    is_answered: AtomicBool,
    /// Ends with it.
    attempt: Attempt,
}

/// An object under way, and its claim on a permit.
#[derive(Debug)]
pub struct Claim(Arc<Shared>);

/// The leave to start a request; while nothing gets through it is the one that tries.
#[derive(Debug, Default)]
pub struct Attempt(Option<Arc<Shared>>);

impl Shared {
    /// What is counted here.
    pub fn counted(&self) -> Counted {
        Counted {
            n_answered: self.n_answered.load(SeqCst),
            first_byte: Duration::from_nanos(self.first_byte.load(SeqCst)),
            n_objects: self.n_objects.load(SeqCst),
            ..Counted::default()
        }
    }

    /// Has the governor decide by a reading at `now`.
    pub fn read(self: &Arc<Self>, counted: &Counted, now: Instant) -> Option<Step> {
        let (step, has_changed) = {
            let mut state = self.state();
            let governor = &mut state.governor;
            let n_before = governor.n_permits();
            let step = governor.read(counted, now);
            self.copy(governor);
            (step, governor.n_permits() != n_before)
        };
        if has_changed {
            self.hand_out();
        }
        step
    }

    /// A request was answered: the server is there.
    fn reached(&self) {
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.good_at.store(nanos.max(1), SeqCst);
        if self.is_out.load(SeqCst) {
            {
                let mut state = self.state();
                state.governor.reached();
                self.copy(&state.governor);
            }
            self.outage_changed.notify_waiters();
        }
    }

    /// Takes a permit back; it goes to the one who waits next.
    fn release(self: &Arc<Self>, holder: Holder, is_done: bool) {
        let next = {
            let mut state = self.state();
            match holder {
                Holder::Object => state.governor.give_back(false, is_done),
                Holder::Helper => state.governor.give_back(true, is_done),
                Holder::Aside => return,
            }
            state.next_in_turn(self)
        };
        if let Some(next) = next {
            hand_over(next);
        }
        self.spare.notify_one();
    }

    /// Gives the permits that there are to those who wait, in turn.
    pub fn hand_out(self: &Arc<Self>) {
        loop {
            let next = self.state().next_in_turn(self);
            let Some(next) = next else {
                break;
            };
            hand_over(next);
        }
        self.spare.notify_one();
        self.room.notify_one();
    }

    /// Takes over what is read without the lock.
    pub fn copy(&self, governor: &Governor) {
        self.is_out.store(governor.is_out(), SeqCst);
        self.max_rows.store(governor.max_rows(), SeqCst);
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Who waits longest for a permit, and one for it, if there is one.
    fn next_in_turn(&mut self, shared: &Arc<Shared>) -> Option<InTurn> {
        while self.queue.front().is_some_and(oneshot::Sender::is_closed) {
            self.queue.pop_front();
        }
        let waiting = self.queue.pop_front()?;
        if !self.governor.take() {
            self.queue.push_front(waiting);
            return None;
        }
        Some((waiting, Permit::new(shared, Holder::Object, &self.governor)))
    }
}

type InTurn = (oneshot::Sender<Permit>, Permit);

/// Without the lock, which a permit that is dropped takes: one who does not wait any more leaves it to the next.
fn hand_over((waiting, permit): InTurn) {
    drop(waiting.send(permit));
}

impl Permit {
    /// What was taken from `governor`.
    pub fn new(shared: &Arc<Shared>, holder: Holder, governor: &Governor) -> Self {
        Self {
            shared: Arc::clone(shared),
            holder,
            round: governor.round(),
            is_paced: governor.is_paced(),
            is_answered: AtomicBool::new(false),
            attempt: Attempt::default(),
        }
    }

    /// The same, for the request that `attempt` allows.
    pub fn used_by(self, attempt: Attempt) -> Self {
        let mut permit = self;
        permit.attempt = attempt;
        permit
    }

    /// The server answered, though not with the object.
    pub fn refused(&self) {
        self.shared.reached();
    }

    /// The server answered as it should, after `first_byte`.
    pub fn answered(&self, first_byte: Duration) {
        self.is_answered.store(true, Relaxed);
        if self.holder != Holder::Aside {
            let nanos = u64::try_from(first_byte.as_nanos()).unwrap_or(u64::MAX);
            self.shared.first_byte.fetch_add(nanos, SeqCst);
            self.shared.n_answered.fetch_add(1, SeqCst);
        }
        self.shared.reached();
    }

    /// The server did not take a new connection for a request that began at `began`. If it answered others meanwhile, it has
    /// as many as it takes.
    pub fn not_taken(&self, began: Instant) {
        let began = began.saturating_duration_since(self.shared.started);
        if u128::from(self.shared.good_at.load(SeqCst)) > began.as_nanos() {
            self.throttled();
        }
    }

    /// The server asked for fewer requests.
    pub fn throttled(&self) {
        let n_answered = self.shared.n_answered.load(SeqCst);
        let mut state = self.shared.state();
        let governor = &mut state.governor;
        governor.throttled(self.round, n_answered, Instant::now());
        self.shared.copy(governor);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let is_done = self.is_answered.load(Relaxed);
        self.shared.release(self.holder, is_done);
    }
}

impl Claim {
    pub fn new(shared: &Arc<Shared>) -> Self {
        shared.n_objects.fetch_add(1, SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.0.n_objects.fetch_sub(1, SeqCst);
        self.0.room.notify_one();
        self.0.spare.notify_one();
    }
}

impl Attempt {
    /// That of the one request that tries while nothing gets through.
    pub fn trying(shared: &Arc<Shared>) -> Self {
        Self(Some(Arc::clone(shared)))
    }

    pub fn is_trying(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        // Whatever became of it: the next one may try, when it is time.
        if let Some(shared) = &self.0 {
            shared.state().governor.tried(Instant::now());
            shared.outage_changed.notify_waiters();
        }
    }
}
