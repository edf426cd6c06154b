//! How long to wait before the next attempt: full-jitter exponential backoff, which spreads the attempts of many
//! objects that failed together (AWS Architecture Blog, "Exponential Backoff And Jitter").
//!
//! One budget of attempts an object covers whatever fails; the SDK's own retries are off, so that budgets do not
//! multiply. A broken connection is worth another try soon: the next one most likely goes to another server. A server
//! that asks for fewer requests needs longer to recover, as S3 does while it splits a busy prefix. Ten attempts with
//! these delays outlast half a minute on average, and most of S3's bad moments.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::outcome::{Class, Failure};

const TRANSIENT_BASE: Duration = Duration::from_millis(100);
const THROTTLED_BASE: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(20);

/// What an object may cost: each request that fails is one attempt, whichever of its parts it was for.
#[derive(Debug)]
pub struct Budget {
    max_attempts: u32,
    n_failed: AtomicU32,
}

impl Budget {
    pub fn new(max_attempts: u32) -> Self {
        Self {
            max_attempts,
            n_failed: AtomicU32::new(0),
        }
    }

    pub fn n_failed(&self) -> u32 {
        self.n_failed.load(Relaxed)
    }

    /// Pays for a request that failed, the `n_in_a_row`th without progress; returns how long to wait before the next.
    ///
    /// # Errors
    /// The failure, when another attempt would not help or is not allowed.
    pub fn spend(&self, failure: Failure, n_in_a_row: u32) -> Result<Duration, Failure> {
        let attempts = self.n_failed.fetch_add(1, Relaxed) + 1;
        let may_pass = matches!(failure.class, Class::Transient | Class::Throttled);
        if !may_pass || attempts >= self.max_attempts {
            return Err(Failure {
                attempts,
                ..failure
            });
        }
        let asked = failure.retry_after.unwrap_or_default().min(CAP);
        Ok(delay(failure.class, n_in_a_row, fastrand::f64()).max(asked))
    }
}

/// The wait after `n_failed` attempts, from 1, of which the last failed with `class`; `random` is from 0 to 1.
fn delay(class: Class, n_failed: u32, random: f64) -> Duration {
    let base = if class == Class::Throttled {
        THROTTLED_BASE
    } else {
        TRANSIENT_BASE
    };
    let doublings = n_failed.saturating_sub(1).min(16);
    CAP.min(base * 2_u32.pow(doublings)).mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let longest = |class, n_failed| delay(class, n_failed, 1.0).as_millis();
        assert_eq!(
            [1, 2, 3, 8, 9].map(|n| longest(Class::Transient, n)),
            [100, 200, 400, 12_800, 20_000]
        );
        assert_eq!(
            [1, 2, 6, 7].map(|n| longest(Class::Throttled, n)),
            [500, 1_000, 16_000, 20_000]
        );
        assert_eq!(longest(Class::Transient, u32::MAX), 20_000);
    }

    #[test]
    fn the_budget_is_spent_by_whatever_fails() {
        use crate::outcome::ErrorCode;
        let failure = |class| Failure::new(ErrorCode::Timeout, class, "");
        let budget = Budget::new(3);
        assert!(budget.spend(failure(Class::Transient), 1).is_ok());
        assert!(budget.spend(failure(Class::Throttled), 1).is_ok());
        assert_eq!(
            budget
                .spend(failure(Class::Transient), 1)
                .unwrap_err()
                .attempts,
            3
        );
        assert_eq!(
            Budget::new(3)
                .spend(failure(Class::Permanent), 1)
                .unwrap_err()
                .attempts,
            1
        );
    }

    #[test]
    fn a_server_s_wish_is_heeded_up_to_the_cap() {
        use crate::outcome::ErrorCode;
        let wait = |seconds| {
            let failure = Failure::new(ErrorCode::Timeout, Class::Throttled, "");
            let retry_after = Some(Duration::from_secs(seconds));
            Budget::new(3)
                .spend(
                    Failure {
                        retry_after,
                        ..failure
                    },
                    1,
                )
                .unwrap()
        };
        assert_eq!(wait(3), Duration::from_secs(3));
        assert_eq!(wait(3_600), CAP);
    }

    #[test]
    fn jitter_is_full() {
        assert_eq!(delay(Class::Transient, 3, 0.0), Duration::ZERO);
        assert_eq!(delay(Class::Transient, 3, 0.5), Duration::from_millis(200));
    }
}
