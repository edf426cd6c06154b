//! Ends a run that takes longer than the user allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use crate::stop::{Phase, Stop};

/// A run ended early because its time was over.
#[derive(Debug, thiserror::Error)]
#[error("`--max-duration {}` is over", .0.as_secs_f64())]
pub(crate) struct TimeOver(Duration);

/// The time of a run, which winds down once it is over. Dropped, it never is.
#[derive(Debug)]
pub(crate) struct Deadline {
    max: Duration,
    is_over: Arc<AtomicBool>,
    _timer: AbortOnDropHandle<()>,
}

impl Deadline {
    /// Gives the run `max` from now on.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn start(stop: &Arc<Stop>, max: Duration) -> Self {
        let is_over = Arc::new(AtomicBool::default());
        let (stop, noted) = (Arc::clone(stop), Arc::clone(&is_over));
        let timer = async move {
            tokio::time::sleep(max).await;
            // A run that is on its way to its end has another reason for it.
            if stop.phase() == Phase::Running {
                noted.store(true, Relaxed);
                stop.because(format!("the run ended early: {}", TimeOver(max)));
                stop.wind_down();
            }
        };
        Self {
            max,
            is_over,
            _timer: AbortOnDropHandle::new(tokio::spawn(timer)),
        }
    }

    /// Why the run ended, if it was for this.
    ///
    /// # Errors
    /// That the time was over.
    pub(crate) fn check(&self) -> Result<(), TimeOver> {
        if self.is_over.load(Relaxed) {
            return Err(TimeOver(self.max));
        }
        Ok(())
    }
}
