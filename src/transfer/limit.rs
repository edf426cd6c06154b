//! How many GETs may be in flight: one permit each, held from its request until its body is read.
//!
//! Objects come first: while the list has as many of them as there are permits, each has its one GET, and a large one
//! no more than that. Permits that no object has a claim on are for helpers, which fetch parts of large objects.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// The permits of a run.
#[derive(Debug, Clone)]
pub struct Limit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    permits: Arc<Semaphore>,
    n_permits: usize,
    /// Each of them has a claim on one permit, whether it holds one at the moment or not.
    n_objects: AtomicUsize,
    /// Helpers that hold a permit.
    n_helpers: AtomicUsize,
    /// Something that a helper may have waited for.
    changed: Notify,
}

/// The right to have one GET in flight.
#[derive(Debug)]
pub struct Permit {
    held: Option<OwnedSemaphorePermit>,
    limit: Limit,
    is_helper_s: bool,
}

/// An object under way, and its claim on a permit.
#[derive(Debug)]
pub struct Claim(Limit);

impl Limit {
    pub fn new(n_permits: usize) -> Self {
        let n_permits = n_permits.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            permits: Arc::new(Semaphore::new(n_permits)),
            n_permits,
            n_objects: AtomicUsize::new(0),
            n_helpers: AtomicUsize::new(0),
            changed: Notify::new(),
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
        let permit = Some(permit.expect("the semaphore is never closed"));
        Permit {
            held: permit,
            limit: self.clone(),
            is_helper_s: false,
        }
    }

    /// Waits for a permit that no object has a claim on.
    pub async fn acquire_spare(&self) -> Permit {
        loop {
            let changed = self.0.changed.notified();
            if let Some(permit) = self.try_acquire_spare() {
                // There may be more where this one came from.
                self.0.changed.notify_one();
                return permit;
            }
            changed.await;
        }
    }

    fn try_acquire_spare(&self) -> Option<Permit> {
        let n_before = self.0.n_helpers.fetch_add(1, SeqCst);
        let is_spare = self.0.n_objects.load(SeqCst) + n_before < self.0.n_permits;
        let permit = Arc::clone(&self.0.permits)
            .try_acquire_owned()
            .ok()
            .filter(|_| is_spare);
        if permit.is_none() {
            self.0.n_helpers.fetch_sub(1, SeqCst);
        }
        permit.map(|permit| Permit {
            held: Some(permit),
            limit: self.clone(),
            is_helper_s: true,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        // First back to whoever waits in turn, and only then to those who take what is spare.
        drop(self.held.take());
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_spare_permit_is_one_that_no_object_has_a_claim_on() {
        let limit = Limit::new(2);
        let (first, second) = (limit.claim(), limit.claim());
        let mut spare = Box::pin(limit.acquire_spare());
        assert!(
            spare.as_mut().now_or_never().is_none(),
            "both objects may want theirs"
        );
        drop(first);
        let helper = spare.await;
        assert!(limit.acquire_spare().now_or_never().is_none());
        drop(helper);
        let _helper = limit.acquire_spare().await;
        // The object is not held up by its helper.
        limit.acquire().await;
        drop(second);
    }

    #[tokio::test]
    async fn all_spare_permits_find_their_takers() {
        let limit = Limit::new(4);
        let _object = limit.claim();
        let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(limit.acquire_spare())).collect();
        let taken: Vec<_> = waiting
            .iter_mut()
            .filter_map(|spare| spare.as_mut().now_or_never())
            .collect();
        assert_eq!(taken.len(), 3);
    }
}
