//! An archive that takes nothing, such as a pipe that nobody reads: that is said, and it does not hold up the end of a run.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::order::Order;
use crate::sink::files::OnWarning;
use crate::stop::{Phase, Stop};

/// How long what is being written may still take once all else is given up. With what objects get before that it is less
/// than Docker waits before it kills.
const LAST_WRITE: Duration = Duration::from_secs(3);

/// How often an archive that takes nothing is looked for, and how long it is waited for once the run is abandoned.
const TICK: Duration = Duration::from_millis(100);

/// Watches the thread that writes, until this is dropped.
#[derive(Debug)]
pub(super) struct Watch {
    is_given_up: CancellationToken,
    _task: AbortOnDropHandle<()>,
}

impl Watch {
    /// Warns once of an archive that takes nothing.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(super) fn start(order: Arc<Order>, stop: Arc<Stop>, OnWarning(warn): OnWarning) -> Self {
        let is_given_up = CancellationToken::new();
        let give_up = is_given_up.clone();
        let warning = async move {
            while !order.is_stalled() {
                tokio::time::sleep(TICK).await;
            }
            warn(
                "the archive takes less than 1 MiB/s: its reader is slow, or has stopped; waiting",
            );
            std::future::pending::<()>().await;
        };
        let task = async move {
            let after = async |phase, time| {
                stop.reached(phase).await;
                tokio::time::sleep(time).await;
            };
            tokio::select! {
                () = warning => {}
                () = after(Phase::GivingUp, LAST_WRITE) => {}
                () = after(Phase::Abandoned, TICK) => {}
            }
            give_up.cancel();
        };
        Self {
            is_given_up,
            _task: AbortOnDropHandle::new(tokio::spawn(task)),
        }
    }

    /// Waits until what is being written is not waited for any longer.
    pub(super) async fn has_given_up(&self) {
        self.is_given_up.cancelled().await;
    }
}
