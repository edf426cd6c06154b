//! Counters of the run's progress. Downloads update them at next to no cost; the reporter reads them when it draws.

mod listed;
mod retrying;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

use crate::locks::lock;
use crate::outcome::Outcome;
pub(crate) use listed::{Listed, ListedRows};
pub(crate) use retrying::{Retries, RetryMeter, Retrying};

/// Counts the rows, bytes and waiting times of the run.
#[derive(Debug, Default)]
pub struct Meter {
    n_downloaded: AtomicU64,
    n_skipped: AtomicU64,
    n_failed: AtomicU64,
    bytes: AtomicU64,
    resumed: AtomicU64,
    dropped: AtomicU64,
    large: Mutex<Vec<Arc<LargeObject>>>,
    waits: [WaitMeter; 3],
    n_asked_again: AtomicU64,
    /// What was read of the lists.
    pub listed: Listed,
    /// The objects that are being tried again.
    pub retries: RetryMeter,
}

/// One request in so many may be sent once more because it is slow.
const REQUESTS_PER_REPEAT: u64 = 50;

/// What an object waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// From a request to its response, including the connection if no idle one was available.
    FirstByte,
    /// Until more bytes of a body arrive.
    Body,
    /// Until file work is done, including the wait for a thread.
    Disk,
}

#[derive(Debug)]
struct WaitMeter {
    n: AtomicU64,
    nanos: AtomicU64,
    shortest: AtomicU64,
}

impl Default for WaitMeter {
    fn default() -> Self {
        Self {
            n: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            shortest: AtomicU64::new(u64::MAX),
        }
    }
}

/// How long objects waited for one thing in total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waited {
    /// Number of waits.
    pub n: u64,
    pub time: Duration,
    /// The shortest wait.
    pub shortest: Duration,
}

impl Waited {
    /// The average wait.
    pub fn mean(&self) -> Duration {
        let nanos = self.time.as_nanos() / u128::from(self.n.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// The counts at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub n_downloaded: u64,
    pub n_skipped: u64,
    pub n_failed: u64,
    /// Bytes received for files that are, or may still become, complete; bytes of abandoned attempts do not count. Of a
    /// check, the bytes that were read.
    pub bytes: u64,
    /// Bytes that an earlier run downloaded and this one reuses.
    pub resumed: u64,
    /// Bytes, according to the list, of rows that ended without a download.
    pub dropped: u64,
}

/// A large object that is being downloaded.
#[derive(Debug)]
pub struct LargeObject {
    pub key: String,
    /// Bytes.
    pub size: u64,
    n_done: AtomicU64,
}

impl LargeObject {
    /// Bytes that are on disk or about to be written.
    pub fn n_done(&self) -> u64 {
        self.n_done.load(Relaxed)
    }
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
            resumed: self.resumed.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
        }
    }

    /// Starts to measure a wait, which ends when the returned value is dropped.
    pub(super) fn waiting(&self, wait: Wait) -> Waiting<'_> {
        Waiting {
            meter: &self.waits[wait as usize],
            started: Instant::now(),
        }
    }

    pub fn waited(&self, wait: Wait) -> Waited {
        let meter = &self.waits[wait as usize];
        Waited {
            n: meter.n.load(Relaxed),
            time: Duration::from_nanos(meter.nanos.load(Relaxed)),
            shortest: Duration::from_nanos(meter.shortest.load(Relaxed)),
        }
    }

    /// Whether one more request may be sent again because it is slow, which counts it: as many as one in fifty, but at
    /// least one.
    pub fn may_ask_again(&self) -> bool {
        let max = (self.waited(Wait::FirstByte).n / REQUESTS_PER_REPEAT).max(1);
        let count = |n: u64| (n < max).then_some(n + 1);
        self.n_asked_again
            .fetch_update(Relaxed, Relaxed, count)
            .is_ok()
    }

    /// Requests that were sent again because the first one was slow.
    pub fn n_asked_again(&self) -> u64 {
        self.n_asked_again.load(Relaxed)
    }

    /// Counts a row that ended; `size` is its size in bytes, if the list gives it.
    pub(super) fn count(&self, outcome: &Outcome, size: Option<u64>) {
        let counter = match outcome {
            Outcome::Downloaded(_) => &self.n_downloaded,
            Outcome::Skipped(_) => &self.n_skipped,
            Outcome::Failed(_) => &self.n_failed,
        };
        counter.fetch_add(1, Relaxed);
        if !matches!(outcome, Outcome::Downloaded(_)) {
            self.dropped.fetch_add(size.unwrap_or_default(), Relaxed);
        }
    }

    /// Takes a failed row back, which is tried again; `size` is its size in bytes, if the list gives it.
    pub fn take_back_failure(&self, size: Option<u64>) {
        self.n_failed.fetch_sub(1, Relaxed);
        self.dropped.fetch_sub(size.unwrap_or_default(), Relaxed);
    }

    /// The large objects that are being downloaded.
    pub fn large_objects(&self) -> Vec<Arc<LargeObject>> {
        self.large().clone()
    }

    fn large(&self) -> MutexGuard<'_, Vec<Arc<LargeObject>>> {
        lock(&self.large)
    }

    /// Counts bytes of a file that is checked.
    pub(super) fn checked(&self, n: usize) {
        self.bytes.fetch_add(n as u64, Relaxed);
    }

    /// Starts to count the bytes of an object. They are subtracted when the returned value is dropped, unless they were
    /// confirmed.
    pub(crate) fn object(self: &Arc<Self>) -> InFlightObject {
        InFlightObject {
            meter: Arc::clone(self),
            unconfirmed: AtomicU64::new(0),
            resumed: AtomicU64::new(0),
            large: OnceLock::new(),
        }
    }
}

pub(super) struct Waiting<'a> {
    meter: &'a WaitMeter,
    started: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let nanos = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.meter.n.fetch_add(1, Relaxed);
        self.meter.nanos.fetch_add(nanos, Relaxed);
        self.meter.shortest.fetch_min(nanos, Relaxed);
    }
}

pub(crate) struct InFlightObject {
    meter: Arc<Meter>,
    /// Bytes received that are subtracted again unless the object completes.
    unconfirmed: AtomicU64,
    /// Bytes of an earlier run that are subtracted likewise.
    resumed: AtomicU64,
    large: OnceLock<Arc<LargeObject>>,
}

impl InFlightObject {
    pub(crate) fn received(&self, n: usize) {
        self.unconfirmed.fetch_add(n as u64, Relaxed);
        self.meter.bytes.fetch_add(n as u64, Relaxed);
        if let Some(large) = self.large.get() {
            large.n_done.fetch_add(n as u64, Relaxed);
        }
    }

    /// Bytes that were counted will be received once more.
    pub(crate) fn lost(&self, n: u64) {
        self.unconfirmed.fetch_sub(n, Relaxed);
        self.meter.bytes.fetch_sub(n, Relaxed);
        if let Some(large) = self.large.get() {
            large.n_done.fetch_sub(n, Relaxed);
        }
    }

    /// Marks the object as a large one of `size` bytes.
    pub(crate) fn mark_large(&self, key: &str, size: u64) {
        let large = self.large.get_or_init(|| {
            Arc::new(LargeObject {
                key: key.to_owned(),
                size,
                n_done: AtomicU64::new(0),
            })
        });
        self.meter.large().push(Arc::clone(large));
    }

    /// Counts `n` bytes of the object that an earlier run downloaded.
    pub(crate) fn resumed(&self, n: u64) {
        self.resumed.fetch_add(n, Relaxed);
        self.meter.resumed.fetch_add(n, Relaxed);
        if let Some(large) = self.large.get() {
            large.n_done.fetch_add(n, Relaxed);
        }
    }

    /// Counts the bytes received so far for good: the object is complete.
    pub(crate) fn confirm(&self) {
        self.unconfirmed.store(0, Relaxed);
        self.resumed.store(0, Relaxed);
    }
}

impl Drop for InFlightObject {
    fn drop(&mut self) {
        self.meter
            .bytes
            .fetch_sub(self.unconfirmed.load(Relaxed), Relaxed);
        self.meter
            .resumed
            .fetch_sub(self.resumed.load(Relaxed), Relaxed);
        if let Some(ended) = self.large.get() {
            self.meter
                .large()
                .retain(|large| !Arc::ptr_eq(large, ended));
        }
    }
}

/// The CPU time that this process has used on all cores, where the system tells it.
#[cfg(unix)]
pub(crate) fn cpu_time() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::ProcessCPUTime).try_into().ok()
}

#[cfg(not(unix))]
pub(crate) fn cpu_time() -> Option<Duration> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_in_fifty_may_be_sent_again() {
        let meter = Meter::default();
        let n_allowed = || (0..10).filter(|_| meter.may_ask_again()).count();
        assert_eq!(n_allowed(), 1);
        (0..199).for_each(|_| drop(meter.waiting(Wait::FirstByte)));
        assert_eq!(n_allowed(), 2);
        assert_eq!(meter.n_asked_again(), 3);
    }

    #[test]
    fn bytes_of_an_abandoned_object_are_subtracted() {
        let meter = Arc::new(Meter::default());
        let object = meter.object();
        object.received(10);
        assert_eq!(meter.counts().bytes, 10);
        drop(object);
        assert_eq!(meter.counts().bytes, 0);
        let object = meter.object();
        object.received(7);
        object.confirm();
        drop(object);
        assert_eq!(meter.counts().bytes, 7);
    }

    #[test]
    fn large_objects_are_listed_while_they_are_downloaded() {
        let meter = Arc::new(Meter::default());
        let object = meter.object();
        object.mark_large("k", 100);
        object.resumed(10);
        object.resumed(20);
        object.received(20);
        let large = meter.large_objects();
        assert_eq!(
            (large[0].key.as_str(), large[0].size, large[0].n_done()),
            ("k", 100, 50)
        );
        assert_eq!((meter.counts().bytes, meter.counts().resumed), (20, 30));
        drop(object);
        assert!(meter.large_objects().is_empty());
        assert_eq!(meter.counts(), Counts::default());
    }
}
