//! How many permits a server that throttles leaves. Pure.
//!
//! On a refusal the permits are halved at once, which relieves the server within one round of replies. Growing back by
//! one a round would then run far below what the server takes for most of the time; so the permits return quickly to
//! just below where it refused last, and only from there on feel their way up slowly. A server that takes N requests at
//! once is so kept busy with about nine tenths of them, and refuses one request in some hundred.

/// Parts of the last refused number that the permits return to quickly, of [`EIGHTHS`].
const QUICK_UP_TO: usize = 7;
const EIGHTHS: usize = 8;
/// Rounds of good replies for one more permit, above that.
const SLOW_ROUNDS: usize = 4;

/// The permits, as they follow the server's replies.
#[derive(Debug)]
pub struct Pace {
    n_permits: usize,
    max: usize,
    /// How many there were when the server refused last.
    refused_at: usize,
    /// Good replies since the last step up.
    n_answered: usize,
    throttling: Throttling,
}

/// How much a server slowed a run down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttling {
    /// Replies that asked for fewer requests.
    pub n_replies: u64,
    /// The fewest permits that there were.
    pub lowest: usize,
}

impl Pace {
    pub fn new(max: usize) -> Self {
        Self {
            n_permits: max,
            max,
            refused_at: max,
            n_answered: 0,
            throttling: Throttling {
                n_replies: 0,
                lowest: max,
            },
        }
    }

    pub fn n_permits(&self) -> usize {
        self.n_permits
    }

    pub fn throttling(&self) -> Throttling {
        self.throttling
    }

    /// A refusal; the first one of its round halves the permits.
    pub fn throttled(&mut self, is_first_of_round: bool) {
        self.throttling.n_replies += 1;
        if is_first_of_round {
            self.refused_at = self.n_permits;
            self.n_permits = (self.n_permits / 2).max(1);
            self.n_answered = 0;
            self.throttling.lowest = self.throttling.lowest.min(self.n_permits);
        }
    }

    /// A good reply; whether the permits became more by it.
    pub fn answered(&mut self) -> bool {
        if self.n_permits == self.max {
            return false;
        }
        self.n_answered += 1;
        let quick_limit = self.refused_at * QUICK_UP_TO / EIGHTHS;
        let is_quick = self.n_permits < quick_limit;
        let n_needed = if is_quick {
            self.n_permits
        } else {
            self.n_permits * SLOW_ROUNDS
        };
        if self.n_answered < n_needed {
            return false;
        }
        self.n_answered = 0;
        let step = if is_quick {
            (self.refused_at / EIGHTHS).clamp(1, quick_limit - self.n_permits)
        } else {
            1
        };
        self.n_permits = (self.n_permits + step).min(self.max);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers `capacity` requests at once and refuses the rest: mean permits in use of `capacity`, and the
    /// share of refusals, after the first rounds.
    fn against(capacity: usize, max: usize) -> (f64, f64) {
        let mut pace = Pace::new(max);
        let (mut n_good, mut n_refused, n_rounds) = (0, 0, 2_000);
        for round in 0..n_rounds + 50 {
            let n_sent = pace.n_permits();
            let good = n_sent.min(capacity);
            for n in 0..n_sent - good {
                pace.throttled(n == 0);
            }
            for _ in 0..good {
                pace.answered();
            }
            if round >= 50 {
                n_good += good;
                n_refused += n_sent - good;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let share = |n: usize, of: usize| n as f64 / of as f64;
        (
            share(n_good, n_rounds * capacity),
            share(n_refused, n_good + n_refused),
        )
    }

    #[test]
    fn a_server_that_takes_n_at_once_is_kept_busy_and_seldom_has_to_refuse() {
        for capacity in [4, 8, 16, 32, 100] {
            let (in_use, refused) = against(capacity, 256);
            assert!(in_use > 0.8, "{capacity}: {in_use}");
            assert!(refused < 0.05, "{capacity}: {refused}");
        }
    }

    #[test]
    fn permits_never_fall_below_one_nor_rise_above_what_was_asked_for() {
        let mut pace = Pace::new(3);
        for _ in 0..10 {
            pace.throttled(true);
        }
        assert_eq!(
            (
                pace.n_permits(),
                pace.throttling().lowest,
                pace.throttling().n_replies
            ),
            (1, 1, 10)
        );
        for _ in 0..1_000 {
            pace.answered();
        }
        assert_eq!(pace.n_permits(), 3);
    }
}
