//! Connections that are being opened: how many there are, and that they are never too many at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections opened at once. More handshakes would only wait for the CPU, here and at the server, until some run out of time.
const MAX: usize = 128;

/// Counts the connections that are being opened, or wait until they may be.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    n: Arc<AtomicUsize>,
    turns: Arc<Semaphore>,
}

impl Default for Opening {
    fn default() -> Self {
        Self {
            n: Arc::default(),
            turns: Arc::new(Semaphore::new(MAX)),
        }
    }
}

impl Opening {
    /// Connections that are being opened now.
    pub(crate) fn n(&self) -> usize {
        self.n.load(Relaxed)
    }

    /// Waits until another connection may be opened, which counts until the result is dropped.
    pub(crate) async fn turn(&self) -> Turn {
        self.n.fetch_add(1, Relaxed);
        let mut turn = Turn {
            n: Arc::clone(&self.n),
            held: None,
        };
        turn.held = Arc::clone(&self.turns).acquire_owned().await.ok();
        turn
    }
}

/// A connection that is being opened.
#[derive(Debug)]
pub(crate) struct Turn {
    n: Arc<AtomicUsize>,
    held: Option<OwnedSemaphorePermit>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        self.n.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn connections_are_counted_and_those_beyond_the_most_wait() {
        let opening = Opening::default();
        let mut turns: Vec<_> = (0..MAX)
            .map(|_| opening.turn().now_or_never().unwrap())
            .collect();
        let mut late = Box::pin(opening.turn());
        assert!(late.as_mut().now_or_never().is_none());
        assert_eq!(opening.n(), MAX + 1);
        turns.pop();
        assert!(late.now_or_never().is_some());
        drop(turns);
        assert_eq!(opening.n(), 0);
    }
}
