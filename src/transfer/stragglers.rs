//! When a slow request is worth another one: pure counts and comparisons.
//!
//! Both kinds of help need a permit that nobody else wants, and together they stay below one request in fifty
//! ([`Meter::may_ask_again`](crate::meter::Meter::may_ask_again)).

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long an answer, or a part, takes at least before it can count as late.
pub(super) const MIN_LATE: Duration = Duration::from_secs(1);
/// An answer that takes as many times the median is late; so is a part of which as many parts arrive in the same time.
const LATE: u32 = 4;

/// The times that answers took, and whether only requests that were sent already are left.
#[derive(Debug)]
pub(crate) struct Stragglers {
    /// Answers by the power of two of their microseconds.
    buckets: [AtomicU64; 40],
    is_list_over: AtomicBool,
}

impl Default for Stragglers {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| AtomicU64::new(0)),
            is_list_over: AtomicBool::new(false),
        }
    }
}

impl Stragglers {
    /// Counts an answer that took `time`.
    pub(crate) fn answered(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - micros.leading_zeros()) as usize;
        self.buckets[bucket.min(self.buckets.len() - 1)].fetch_add(1, Relaxed);
    }

    /// Every row of the list was begun.
    pub(crate) fn list_is_over(&self) {
        self.is_list_over.store(true, Relaxed);
    }

    /// How long an answer may take before it is late: not before the end of the list, where a late one holds up nobody.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let is_over = self.is_list_over.load(Relaxed);
        let median = self.median().filter(|_| is_over)?;
        Some(MIN_LATE.max(median * LATE))
    }

    /// The middle of the answers' times, rounded up to a power of two; `None` without any.
    fn median(&self) -> Option<Duration> {
        let counts = self.buckets.each_ref().map(|bucket| bucket.load(Relaxed));
        let n: u64 = counts.iter().sum();
        let mut n_below = 0;
        let bucket = counts.iter().position(|&count| {
            n_below += count;
            n > 0 && n_below * 2 >= n
        });
        bucket.map(|bucket| Duration::from_micros(1 << bucket))
    }
}

/// Whether a part is far behind: `n_bytes` of it came in `elapsed`, `n_left` are missing, and the others come at
/// `typical` bytes per second.
pub(super) fn is_far_behind(n_bytes: u64, n_left: u64, elapsed: Duration, typical: f64) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "compared roughly")]
    let (n_bytes, n_left) = (n_bytes as f64, n_left as f64);
    let (elapsed, late) = (elapsed.as_secs_f64(), f64::from(LATE));
    let pace = n_bytes / elapsed;
    let takes_long =
        elapsed >= MIN_LATE.as_secs_f64() && elapsed * typical > late * (n_bytes + n_left);
    takes_long && n_left > pace * MIN_LATE.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_late_at_the_end_of_the_list_after_several_times_the_median() {
        let stragglers = Stragglers::default();
        let answer = |millis| stragglers.answered(Duration::from_millis(millis));
        stragglers.list_is_over();
        assert_eq!(stragglers.patience(), None, "nothing to compare with");
        for _ in 0..100 {
            answer(10);
        }
        assert_eq!(stragglers.patience(), Some(MIN_LATE));
        for _ in 0..150 {
            answer(3_000);
        }
        let patience = stragglers.patience().unwrap();
        assert!(
            (12.0..=24.0).contains(&patience.as_secs_f64()),
            "{patience:?}"
        );
        let stragglers = Stragglers::default();
        stragglers.answered(Duration::MAX);
        assert_eq!(stragglers.patience(), None, "the list is not over");
        let few = Stragglers::default();
        for millis in [10, 3_000, 3_000] {
            few.answered(Duration::from_millis(millis));
        }
        few.list_is_over();
        assert!(few.patience().unwrap() >= Duration::from_secs(12));
    }

    #[test]
    fn a_part_is_far_behind_at_a_fraction_of_the_others_pace() {
        const MIB: u64 = 1024 * 1024;
        let seconds = Duration::from_secs;
        assert!(is_far_behind(MIB / 5, 7 * MIB, seconds(4), 1e7));
        assert!(is_far_behind(MIB, MIB / 2, seconds(10), 1e6));
        assert!(is_far_behind(0, MIB, seconds(2), 1e7), "nothing came yet");
        assert!(!is_far_behind(0, MIB, seconds(2), 1e6), "it may still come");
        assert!(
            !is_far_behind(0, MIB, Duration::from_millis(900), 1e9),
            "too soon"
        );
        assert!(
            !is_far_behind(4 * MIB, 4 * MIB, seconds(1), 1e7),
            "hardly slower"
        );
        assert!(
            !is_far_behind(MIB / 5, 1_000, seconds(1), 1e7),
            "done in no time"
        );
        assert!(
            !is_far_behind(0, MIB, seconds(9), 0.0),
            "nothing to compare with"
        );
    }
}
