//! How a run comes to its end before the list does.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What running objects get to finish when the run winds down.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// How long the rest of the list is read after a signal. Docker kills after 10 s, and Kubernetes after 30.
const LIST_AFTER_SIGNAL: Duration = Duration::from_secs(8);

/// How long the rest of the list is still read when the run is abandoned. A list that is at hand and not too long is
/// then recorded whole.
const LAST_CALL: Duration = Duration::from_millis(400);

/// How far a run is on its way to its end. It only ever goes forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Running,
    /// No key is begun; what is running may finish.
    WindingDown,
    /// What is running is given up too; the rest of the list is still read, for the record.
    GivingUp,
    /// The rest of the list is not even read.
    Abandoned,
}

/// The run's phase, seen by everything that runs.
#[derive(Debug)]
pub struct Stop {
    phase: watch::Sender<Phase>,
    reason: OnceLock<String>,
    /// When it left its first phase.
    began: OnceLock<Instant>,
    /// Since when somebody outside waits for the end.
    awaited: watch::Sender<Option<Instant>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Running),
            reason: OnceLock::new(),
            began: OnceLock::new(),
            awaited: watch::Sender::new(None),
        }
    }
}

impl Stop {
    /// Goes on to `phase`; never back.
    pub fn escalate(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let is_later = phase > *current;
            if is_later {
                self.began.get_or_init(Instant::now);
            }
            *current = phase.max(*current);
            is_later
        });
    }

    /// Begins no new key; what is running gets 5 s to finish.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn wind_down(self: &Arc<Self>) {
        self.escalate(Phase::WindingDown);
        let stop = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(GRACE).await;
            stop.escalate(Phase::GivingUp);
        });
    }

    /// Winds down because of a signal: who sent it waits for the end.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn wind_down_soon(self: &Arc<Self>) {
        self.be_awaited();
        self.wind_down();
    }

    /// Notes that somebody outside waits for the end.
    pub fn be_awaited(&self) {
        self.awaited.send_modify(|since| {
            since.get_or_insert_with(Instant::now);
        });
    }

    /// How long somebody outside has waited for the end.
    pub fn awaited_for(&self) -> Option<Duration> {
        self.awaited.borrow().map(|since| since.elapsed())
    }

    /// How long the run has been on its way to its end, since `from` at the earliest.
    pub fn ending_for(&self, from: Instant) -> Duration {
        self.began
            .get()
            .map_or(Duration::ZERO, |began| from.max(*began).elapsed())
    }

    /// Waits until the rest of the list is not to be read any more, however fast it comes.
    pub async fn list_is_over(&self) {
        let abandoned = async {
            self.reached(Phase::Abandoned).await;
            tokio::time::sleep(LAST_CALL).await;
        };
        let awaited = async {
            let _ = self.awaited.subscribe().wait_for(Option::is_some).await;
            tokio::time::sleep(LIST_AFTER_SIGNAL).await;
        };
        tokio::select! {
            () = abandoned => {}
            () = awaited => {}
        }
    }

    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Why, for the rows that are not tried. The first reason stands.
    pub fn because(&self, reason: String) {
        let _ = self.reason.set(reason);
    }

    pub fn reason(&self) -> String {
        self.reason
            .get()
            .cloned()
            .unwrap_or_else(|| "the run was stopped".to_owned())
    }

    /// Waits until the run is in `phase` or past it.
    pub async fn reached(&self, phase: Phase) {
        // The sender is in `self`, so it cannot be gone.
        let _ = self
            .phase
            .subscribe()
            .wait_for(|current| *current >= phase)
            .await;
    }
}
