//! The limits that the user sets on requests per second and bytes per second, shared by everything that downloads.
//!
//! Each request, and each piece of a body, has its place on a schedule; whoever comes too early sleeps until it is due.
//! That wait is this program's own: it is not part of any limit on the server's silence.

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::locks::lock;

/// How much of the time in which nothing was due is made up for. A run that falls behind for longer, since the server is
/// slow, is not faster than its limit afterwards.
const SAVED_UP: Duration = Duration::from_millis(20);

/// A run's limits, each of which may be absent.
#[derive(Debug, Default)]
pub struct Rates {
    requests: Option<Pacer>,
    bytes: Option<Pacer>,
}

impl Rates {
    /// At most `rps` requests and `bwlimit` bytes of bodies per second.
    pub fn new(rps: Option<NonZeroU32>, bwlimit: Option<NonZeroU64>) -> Self {
        Self {
            requests: rps.map(|rps| Pacer::new(rps.into())),
            bytes: bwlimit.map(Pacer::new),
        }
    }

    /// Waits until one more request may be sent.
    pub async fn request(&self) {
        if let Some(pacer) = &self.requests {
            pacer.wait(|schedule, now| schedule.begin(now, 1)).await;
        }
    }

    /// Waits until the `n` bytes that were received are within the limit; returns how long that took.
    pub async fn received(&self, n: usize) -> Duration {
        match &self.bytes {
            Some(pacer) => {
                let end = |schedule: &mut Schedule, now| schedule.end(now, n as u64);
                pacer.wait(end).await
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

    async fn wait(&self, place: impl FnOnce(&mut Schedule, Duration) -> Duration) -> Duration {
        let now = self.started.elapsed();
        let wait = place(&mut lock(&self.schedule), now).saturating_sub(now);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        wait
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
