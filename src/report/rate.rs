//! How fast it goes, and how long the rest will take. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::text::{per_second, time_left};
use crate::meter::Counts;

/// What counts as now.
const WINDOW: Duration = Duration::from_secs(5);

/// The counts at some moments.
#[derive(Debug, Default)]
pub(super) struct Rate {
    first: Option<Sample>,
    /// Those of the last few seconds, and one before them.
    recent: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    bytes: u64,
    n_rows: u64,
}

impl Rate {
    /// Takes note of the counts at `at`, which is later than those before.
    pub(super) fn note(&mut self, at: Instant, counts: &Counts) {
        let sample = Sample {
            at,
            bytes: counts.bytes,
            n_rows: counts.n_done(),
        };
        self.first.get_or_insert(sample);
        self.recent.push_back(sample);
        while self
            .recent
            .get(1)
            .is_some_and(|second| at - second.at >= WINDOW)
        {
            self.recent.pop_front();
        }
    }

    /// Bytes per second of the last few seconds.
    pub(super) fn current(&self) -> u64 {
        Self::between(self.recent.front(), self.recent.back())
    }

    /// How long `bytes` more will take, going on as now; `None` when nothing comes.
    pub(super) fn time_left(&self, bytes: u64) -> Option<Duration> {
        let current = self.current();
        (current > 0).then(|| Duration::from_secs(bytes / current))
    }

    /// How long it will take to `n_rows` in all, going on as all in all so far.
    pub(super) fn time_left_by_rows(&self, n_rows: u64) -> Option<Duration> {
        let (first, last) = (self.first?, self.recent.back()?);
        time_left(last.n_rows, n_rows, last.at - first.at)
    }

    fn between(earlier: Option<&Sample>, later: Option<&Sample>) -> u64 {
        match (earlier, later) {
            // What was fetched in vain is taken off again, so there may be fewer.
            (Some(earlier), Some(later)) if later.at > earlier.at => per_second(
                later.bytes.saturating_sub(earlier.bytes),
                later.at - earlier.at,
            ),
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_rate_forgets_and_the_time_by_rows_does_not() {
        let start = Instant::now();
        let mut rate = Rate::default();
        assert_eq!((rate.current(), rate.time_left(1)), (0, None));
        for second in 0..=100 {
            let bytes = if second < 90 { 1_000 * second } else { 90_000 };
            let counts = Counts {
                bytes,
                n_downloaded: second,
                ..Counts::default()
            };
            rate.note(start + Duration::from_secs(second), &counts);
        }
        assert_eq!(rate.current(), 0);
        assert_eq!(rate.time_left(1), None);
        assert_eq!(rate.time_left_by_rows(200), Some(Duration::from_secs(100)));
        assert!(rate.recent.len() <= 6, "{}", rate.recent.len());
    }

    #[test]
    fn bytes_taken_off_again_are_no_speed() {
        let start = Instant::now();
        let mut rate = Rate::default();
        for (second, bytes) in [(0, 1_000), (1, 10)] {
            let counts = Counts {
                bytes,
                ..Counts::default()
            };
            rate.note(start + Duration::from_secs(second), &counts);
        }
        assert_eq!(rate.current(), 0);
    }
}
