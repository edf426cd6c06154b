//! The limits that the user sets on requests per second and bytes per second, shared by everything that downloads.
//!
//! Each request, and each piece of a body, has its place on a schedule; whoever comes too early sleeps until it is due.
//! That wait is this program's own: it is not part of any limit on the server's silence, and the requests that wait are not
//! ones that the run makes use of.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::locks::lock;

/// How much of the time in which nothing was due is made up for. A run that falls behind for longer, since the server is
/// slow, is not faster than its limit afterwards.
const SAVED_UP: Duration = Duration::from_millis(20);

/// A run's limits, each of which may be absent.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    requests: Option<Pacer>,
    bytes: Option<Pacer>,
    waits: LimitWaits,
}

impl Rates {
    /// At most `rps` requests and `bwlimit` bytes of bodies per second.
    pub(crate) fn new(rps: Option<NonZeroU32>, bwlimit: Option<NonZeroU64>) -> Self {
        Self {
            requests: rps.map(|rps| Pacer::new(rps.into())),
            bytes: bwlimit.map(Pacer::new),
            waits: LimitWaits::default(),
        }
    }

    /// Measures how long requests wait for the limits.
    pub(crate) fn waits(&self) -> &LimitWaits {
        &self.waits
    }

    /// Whether requests have to wait for one another.
    pub(crate) fn are_of_requests(&self) -> bool {
        self.requests.is_some()
    }

    /// Waits until one more request may be sent.
    pub(crate) async fn request(&self) {
        if let Some(pacer) = &self.requests {
            let begin = |schedule: &mut Schedule, now| schedule.begin(now, 1);
            pacer.wait(begin, &self.waits).await;
        }
    }

    /// Waits until one more request of a source may be sent. It is none of those that the run makes use of, so that its wait is
    /// not measured.
    pub(crate) async fn source_request(&self) {
        if let Some(pacer) = &self.requests {
            let wait = pacer.take(|schedule, now| schedule.begin(now, 1));
            tokio::time::sleep(wait).await;
        }
    }

    /// Waits until the `n` bytes that were received are within the limit; returns how long that took.
    pub(crate) async fn received(&self, n: usize) -> Duration {
        match &self.bytes {
            Some(pacer) => {
                let end = |schedule: &mut Schedule, now| schedule.end(now, n as u64);
                pacer.wait(end, &self.waits).await
            }
            None => Duration::ZERO,
        }
    }
}

#[derive(Debug)]
struct Pacer {
    started: Instant,
    schedule: Mutex<Schedule>,
}

impl Pacer {
    fn new(per_second: NonZeroU64) -> Self {
        Self {
            started: Instant::now(),
            schedule: Mutex::new(Schedule {
                per_second,
                due: Duration::ZERO,
            }),
        }
    }

    /// Takes a place on the schedule; returns how long it is until then.
    fn take(&self, place: impl FnOnce(&mut Schedule, Duration) -> Duration) -> Duration {
        let now = self.started.elapsed();
        place(&mut lock(&self.schedule), now).saturating_sub(now)
    }

    async fn wait(
        &self,
        place: impl FnOnce(&mut Schedule, Duration) -> Duration,
        waits: &LimitWaits,
    ) -> Duration {
        let wait = self.take(place);
        if !wait.is_zero() {
            let _waiting = waits.begin(Instant::now());
            tokio::time::sleep(wait).await;
        }
        wait
    }
}

/// How long requests waited for the limits, together, those that still wait included.
#[derive(Debug, Clone, Default)]
pub(crate) struct LimitWaits(Arc<Mutex<Waits>>);

#[derive(Debug, Default)]
struct Waits {
    n: u32,
    /// Until `at`.
    time: Duration,
    at: Option<Instant>,
}

impl LimitWaits {
    /// Counts a request as one that waits until what is returned is dropped.
    fn begin(&self, now: Instant) -> Waiting<'_> {
        let mut waits = lock(&self.0);
        waits.go_on(now);
        waits.n += 1;
        Waiting(self)
    }

    /// The time until `now`: in a second it grows by one for each request that waits.
    pub(crate) fn time(&self, now: Instant) -> Duration {
        let mut waits = lock(&self.0);
        waits.go_on(now);
        waits.time
    }
}

impl Waits {
    fn go_on(&mut self, now: Instant) {
        let since = self.at.map(|at| now.saturating_duration_since(at));
        self.time += since.unwrap_or_default() * self.n;
        self.at = self.at.max(Some(now));
    }
}

struct Waiting<'a>(&'a LimitWaits);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut waits = lock(&self.0.0);
        waits.go_on(Instant::now());
        waits.n -= 1;
    }
}

/// When the next unit is due, in time since the start. Pure.
#[derive(Debug)]
struct Schedule {
    per_second: NonZeroU64,
    due: Duration,
}

impl Schedule {
    /// Takes the next `n` units at `now`; returns when the first of them may begin.
    fn begin(&mut self, now: Duration, n: u64) -> Duration {
        let begin = self.due.max(now.saturating_sub(SAVED_UP));
        let nanos = u128::from(n) * 1_000_000_000 / u128::from(self.per_second.get());
        let takes = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        self.due = begin.saturating_add(takes);
        begin
    }

    /// Takes the next `n` units at `now`; returns when the last of them is within the limit.
    fn end(&mut self, now: Duration, n: u64) -> Duration {
        self.begin(now, n);
        self.due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn schedule(per_second: u64) -> Schedule {
        Schedule {
            per_second: NonZeroU64::new(per_second).unwrap(),
            due: Duration::ZERO,
        }
    }

    #[test]
    fn waits_are_counted_while_they_last() {
        let (waits, start) = (LimitWaits::default(), Instant::now());
        assert_eq!(waits.time(start + ms(1)), ms(0));
        let first = waits.begin(start + ms(10));
        let _second = waits.begin(start + ms(20));
        assert_eq!(waits.time(start + ms(30)), ms(30));
        // A clock that is read by another thread may be a little behind.
        assert_eq!(waits.time(start + ms(25)), ms(30));
        drop(first);
        let before = waits.time(start + ms(30));
        assert_eq!(waits.time(start + ms(40)), before + ms(10));
    }

    #[test]
    fn requests_begin_one_after_another() {
        let mut requests = schedule(100);
        let begun: Vec<_> = (0..4).map(|_| requests.begin(ms(0), 1)).collect();
        assert_eq!(begun, [ms(0), ms(10), ms(20), ms(30)]);
        assert_eq!(requests.begin(ms(35), 1), ms(40));
    }

    #[test]
    fn bytes_are_within_the_limit_once_their_time_is_over() {
        let mut bytes = schedule(1000);
        assert_eq!(bytes.end(ms(0), 100), ms(100));
        // Received at the same moment by another GET.
        assert_eq!(bytes.end(ms(0), 50), ms(150));
        assert_eq!(bytes.end(ms(150), 10), ms(160));
    }

    #[test]
    fn time_without_work_is_not_saved_up() {
        let mut bytes = schedule(1000);
        assert_eq!(bytes.end(ms(60_000), 1000) + SAVED_UP, ms(61_000));
    }

    #[test]
    fn in_any_second_there_is_little_more_than_the_limit() {
        // Many GETs that come back for more as soon as they may, some of them late.
        let (mut bytes, mut now, mut received) = (schedule(1_000_000), ms(0), Vec::new());
        for n in 0..2_000_u64 {
            let length = 1 + n * 7919 % 8_000;
            received.push((now, length));
            now = bytes.end(now, length).max(now) + ms(if n % 50 == 0 { 30 } else { 0 });
        }
        for &(start, _) in &received {
            let within = received
                .iter()
                .filter(|&&(at, _)| at >= start && at < start + ms(1000));
            let n_bytes: u64 = within.map(|&(_, length)| length).sum();
            assert!(n_bytes <= 1_050_000, "{n_bytes} from {start:?}");
        }
    }
}
