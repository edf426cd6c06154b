//! What has happened so far, for whoever wants to show it: written at next to no cost, read when it is drawn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::outcome::Outcome;

/// Counts of rows and bytes of the run.
#[derive(Debug, Default)]
pub struct Meter {
    n_downloaded: AtomicU64,
    n_skipped: AtomicU64,
    n_failed: AtomicU64,
    bytes: AtomicU64,
    n_in_flight: AtomicU64,
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub n_downloaded: u64,
    pub n_skipped: u64,
    pub n_failed: u64,
    /// Bytes received for files that are, or may yet be, whole; what was fetched in vain does not count.
    pub bytes: u64,
    pub n_in_flight: u64,
}

impl Counts {
    /// Rows that have ended.
    pub fn n_done(&self) -> u64 {
        self.n_downloaded + self.n_skipped + self.n_failed
    }
}

impl Meter {
    pub fn counts(&self) -> Counts {
        Counts {
            n_downloaded: self.n_downloaded.load(Relaxed),
            n_skipped: self.n_skipped.load(Relaxed),
            n_failed: self.n_failed.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            n_in_flight: self.n_in_flight.load(Relaxed),
        }
    }

    pub(super) fn count(&self, outcome: &Outcome) {
        let counter = match outcome {
            Outcome::Downloaded(_) => &self.n_downloaded,
            Outcome::Skipped(_) => &self.n_skipped,
            Outcome::Failed(_) => &self.n_failed,
        };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts an object as in flight, and its bytes, until what is returned is dropped; then the bytes
    /// count no more, unless they were kept.
    pub(super) fn object(self: &Arc<Self>) -> InFlightObject {
        self.n_in_flight.fetch_add(1, Relaxed);
        InFlightObject {
            meter: Arc::clone(self),
            in_vain: AtomicU64::new(0),
        }
    }
}

pub(super) struct InFlightObject {
    meter: Arc<Meter>,
    /// Bytes received so far that are in vain unless the object becomes whole.
    in_vain: AtomicU64,
}

impl InFlightObject {
    pub fn received(&self, n: usize) {
        self.in_vain.fetch_add(n as u64, Relaxed);
        self.meter.bytes.fetch_add(n as u64, Relaxed);
    }

    /// The bytes received so far are of use.
    pub fn keep(&self) {
        self.in_vain.store(0, Relaxed);
    }
}

impl Drop for InFlightObject {
    fn drop(&mut self) {
        self.meter
            .bytes
            .fetch_sub(self.in_vain.load(Relaxed), Relaxed);
        self.meter.n_in_flight.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_fetched_in_vain_are_no_progress() {
        let meter = Arc::new(Meter::default());
        let object = meter.object();
        object.received(10);
        assert_eq!((meter.counts().bytes, meter.counts().n_in_flight), (10, 1));
        drop(object);
        assert_eq!((meter.counts().bytes, meter.counts().n_in_flight), (0, 0));
        let object = meter.object();
        object.received(7);
        object.keep();
        drop(object);
        assert_eq!((meter.counts().bytes, meter.counts().n_in_flight), (7, 0));
    }
}
