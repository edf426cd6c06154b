//! How a run comes to its end before the list does.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

/// What running objects get to finish when the run winds down.
const GRACE: Duration = Duration::from_secs(5);

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
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            phase: watch::Sender::new(Phase::Running),
            reason: OnceLock::new(),
        }
    }
}

impl Stop {
    /// Goes on to `phase`; never back.
    pub fn escalate(&self, phase: Phase) {
        self.phase.send_if_modified(|current| {
            let is_later = phase > *current;
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
