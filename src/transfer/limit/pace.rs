//! How many permits a server that throttles leaves, and how far apart in time requests start. Pure: the time is handed in.
//!
//! A run begins with few permits and doubles them with each round of good replies, so that a server with a small limit is
//! not hit by all of them at once. On a refusal the permits are halved at once, which relieves the server within one
//! round of replies. Growing back by one per round would then run far below what the server takes for most of the time;
//! so the permits return quickly to just below where it refused last, and only from there on feel their way up slowly. A
//! server that takes N requests at once is thus kept busy with about nine tenths of them, and refuses one request in some
//! hundred. A few refusals among hundreds of good replies are no sign of a limit, and change nothing.
//!
//! A server that refuses even one request at a time limits the rate: then requests start at an interval, which follows the
//! refusals in the same way.

use std::time::Duration;

/// Permits at the start.
const START: usize = 16;
/// Parts of the last refused number that the permits return to quickly, of [`EIGHTHS`].
const QUICK_UP_TO: usize = 7;
const EIGHTHS: usize = 8;
/// Rounds of good replies for one more permit, above that, and the fewest replies that are enough: where the server takes
/// one or two requests at once, each step up costs a refusal.
const SLOW_ROUNDS: usize = 4;
const MIN_SLOW_REPLIES: usize = 24;
/// The first interval where no good reply tells the server's rate: it may refuse everything for a moment and nothing then.
const FIRST_INTERVAL: Duration = Duration::from_millis(50);
/// The longest interval.
const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// Requests this close together are limited by their number, not by an interval.
const MIN_INTERVAL: Duration = Duration::from_millis(4);
/// Good replies after which the interval becomes shorter, and by which factor: quickly down to where the server refused
/// last, and slowly from there on.
const QUICKLY: (usize, f64) = (3, 0.8);
const SLOWLY: (usize, f64) = (12, 0.96);

/// The permits, as they follow the server's replies.
#[derive(Debug)]
pub struct Pace {
    n_permits: usize,
    max: usize,
    /// How many there were when the server refused last.
    refused_at: usize,
    /// Good replies since the last step up.
    n_answered: usize,
    /// Of the replies since the last look, as many as there are permits: how many came, and how many refused.
    n_replies: usize,
    n_refused: usize,
    /// From the start of one request to that of the next.
    interval: Duration,
    /// The one at which the server refused last.
    refused_interval: Duration,
    /// Good replies of the last second or two, by which the server's rate is known.
    rate: Rate,
    throttling: Throttling,
}

/// How much a server slowed a run down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throttling {
    /// Replies that asked for fewer requests.
    pub n_replies: u64,
    /// The fewest permits that there were, once the server had asked for fewer requests.
    pub lowest: usize,
}

/// Good replies per second.
#[derive(Debug, Default)]
struct Rate {
    window_start: Duration,
    n_in_window: usize,
    n_before: usize,
}

impl Rate {
    const WINDOW: Duration = Duration::from_secs(1);

    fn count(&mut self, now: Duration) {
        self.turn(now);
        self.n_in_window += 1;
    }

    fn turn(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.window_start);
        if elapsed >= 2 * Self::WINDOW {
            *self = Self {
                window_start: now,
                ..Self::default()
            };
        } else if elapsed >= Self::WINDOW {
            self.window_start += Self::WINDOW;
            self.n_before = std::mem::take(&mut self.n_in_window);
        }
    }

    /// The mean time between good replies; `None` where there were none.
    fn interval(&mut self, now: Duration) -> Option<Duration> {
        self.turn(now);
        let n = u32::try_from(self.n_before + self.n_in_window).unwrap_or(u32::MAX);
        let before = if self.n_before > 0 {
            Self::WINDOW
        } else {
            Duration::ZERO
        };
        let time = before + now.saturating_sub(self.window_start);
        (n > 0).then(|| time / n)
    }
}

impl Pace {
    pub fn new(max: usize) -> Self {
        Self {
            n_permits: max.min(START),
            max,
            refused_at: max,
            n_answered: 0,
            n_replies: 0,
            n_refused: 0,
            interval: Duration::ZERO,
            refused_interval: Duration::ZERO,
            rate: Rate::default(),
            throttling: Throttling {
                n_replies: 0,
                lowest: max,
            },
        }
    }

    /// Begins as at the start: what the server refused while nothing got through says nothing of its limit.
    pub fn start_over(&mut self) {
        *self = Self {
            throttling: self.throttling,
            ..Self::new(self.max)
        };
    }

    pub fn n_permits(&self) -> usize {
        self.n_permits
    }

    /// How far apart requests start; zero where their number alone is limited.
    pub fn interval(&self) -> Duration {
        self.interval
    }

    pub fn throttling(&self) -> Throttling {
        self.throttling
    }

    /// Whether every reply is of interest: not so once all permits are there and the server never refused.
    pub fn is_settled(&self) -> bool {
        self.n_permits == self.max && self.throttling.n_replies == 0
    }

    /// A refusal, at `now` since the start. The first one of its round lowers the permits, or, where a few refusals among
    /// many replies may be chance, the one that makes them too many; returns whether it did.
    pub fn throttled(&mut self, is_of_this_round: bool, now: Duration) -> bool {
        self.throttling.n_replies += 1;
        self.n_replies += 1;
        self.n_refused += 1;
        if !is_of_this_round || self.n_refused < self.n_that_count() {
            return false;
        }
        (self.n_replies, self.n_refused, self.n_answered) = (0, 0, 0);
        if self.n_permits == 1 || !self.interval.is_zero() {
            self.refused_interval = self.interval;
            self.interval = if self.interval.is_zero() {
                self.rate.interval(now).unwrap_or(FIRST_INTERVAL)
            } else {
                self.interval.mul_f64(1.25)
            };
            self.interval = self.interval.clamp(MIN_INTERVAL, MAX_INTERVAL);
        } else {
            self.refused_at = self.n_permits;
            self.n_permits = (self.n_permits / 2).max(1);
        }
        self.throttling.lowest = self.throttling.lowest.min(self.n_permits);
        true
    }

    /// How many refusals in a round are more than chance.
    fn n_that_count(&self) -> usize {
        self.n_permits.div_ceil(64)
    }

    /// A good reply, at `now` since the start; whether the permits became more by it.
    pub fn answered(&mut self, now: Duration) -> bool {
        self.rate.count(now);
        self.n_replies += 1;
        if self.n_replies >= self.n_permits {
            (self.n_replies, self.n_refused) = (0, 0);
        }
        self.n_answered += 1;
        if !self.interval.is_zero() {
            let is_quick = self.interval > self.refused_interval.mul_f64(1.1);
            let (n_needed, factor) = if is_quick { QUICKLY } else { SLOWLY };
            if self.n_answered >= n_needed {
                self.n_answered = 0;
                let shortest = if is_quick {
                    self.refused_interval.mul_f64(1.05)
                } else {
                    Duration::ZERO
                };
                self.interval = self.interval.mul_f64(factor).max(shortest);
            }
            if self.interval < MIN_INTERVAL {
                self.interval = Duration::ZERO;
                self.refused_at = 2;
            }
            return false;
        }
        if self.n_permits == self.max {
            return false;
        }
        let is_start = self.throttling.n_replies == 0;
        let quick_limit = self.refused_at * QUICK_UP_TO / EIGHTHS;
        let is_quick = self.n_permits < quick_limit;
        let n_needed = match (is_start, is_quick) {
            (true, _) => 1,
            (false, true) => self.n_permits,
            (false, false) => (self.n_permits * SLOW_ROUNDS).max(MIN_SLOW_REPLIES),
        };
        if self.n_answered < n_needed {
            return false;
        }
        self.n_answered = 0;
        let step = if !is_start && is_quick {
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

    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn share(n: usize, of: usize) -> f64 {
        n as f64 / of as f64
    }

    /// A server that answers `capacity` requests at once and refuses the rest: mean permits in use of `capacity`, and the
    /// share of refusals, after the first rounds.
    fn against(capacity: usize, max: usize) -> (f64, f64) {
        let mut pace = Pace::new(max);
        let (mut n_good, mut n_refused, n_rounds) = (0, 0, 2_000);
        for round in 0..n_rounds + 50 {
            let now = Duration::from_millis(10) * round;
            let n_sent = pace.n_permits();
            let good = n_sent.min(capacity);
            let mut is_of_this_round = true;
            for _ in 0..n_sent - good {
                is_of_this_round &= !pace.throttled(is_of_this_round, now);
            }
            for _ in 0..good {
                pace.answered(now);
            }
            if round >= 50 {
                n_good += good;
                n_refused += n_sent - good;
            }
        }
        (
            share(n_good, n_rounds as usize * capacity),
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
    fn the_start_doubles_with_each_round_of_good_replies() {
        let mut pace = Pace::new(300);
        for expected in [16, 32, 64, 128, 256, 300, 300] {
            assert_eq!(pace.n_permits(), expected);
            for _ in 0..expected {
                pace.answered(Duration::ZERO);
            }
        }
        assert_eq!(Pace::new(5).n_permits(), 5);
    }

    #[test]
    fn a_few_refusals_among_many_replies_change_nothing() {
        let mut pace = Pace::new(256);
        for n in 0..50_000 {
            if n % 500 == 499 {
                pace.throttled(true, Duration::ZERO);
            } else {
                pace.answered(Duration::ZERO);
            }
        }
        assert!(pace.n_permits() >= 250, "{}", pace.n_permits());
    }

    /// A server that takes `rate` requests per second, with a burst of as many as it takes in half a second, and answers in
    /// `latency`: the share of its rate that was used, and of refusals, over 200 s from the start.
    fn at_rate(rate: f64, latency: Duration, max: usize) -> (f64, f64) {
        let burst = (rate / 2.0).max(1.0);
        let mut pace = Pace::new(max);
        let (mut tokens, mut refilled) = (burst, Duration::ZERO);
        let (mut n_good, mut n_refused, mut changed) = (0, 0, Duration::ZERO);
        // Replies to come, each with its time, the time of its request, and whether it is good.
        let mut replies: Vec<(Duration, Duration, bool)> = Vec::new();
        let (mut now, mut next_start) = (Duration::ZERO, Duration::ZERO);
        let end = Duration::from_secs(200);
        while now < end {
            while replies.len() < pace.n_permits() && next_start <= now {
                tokens = (tokens + rate * now.saturating_sub(refilled).as_secs_f64()).min(burst);
                refilled = now;
                let is_good = tokens >= 1.0;
                if is_good {
                    tokens -= 1.0;
                }
                replies.push((now + latency, now, is_good));
                next_start = now + pace.interval();
            }
            now += Duration::from_millis(1);
            let (due, later) = replies.into_iter().partition(|&(at, ..)| at <= now);
            replies = later;
            for (_, sent, is_good) in due as Vec<_> {
                if is_good {
                    n_good += 1;
                    pace.answered(now);
                } else {
                    n_refused += 1;
                    if pace.throttled(sent >= changed, now) {
                        changed = now;
                    }
                }
            }
        }
        (
            f64::from(n_good) / (rate * end.as_secs_f64()),
            f64::from(n_refused) / f64::from(n_good + n_refused),
        )
    }

    #[test]
    fn a_server_with_a_rate_is_followed_in_time() {
        for rate in [5.0, 20.0, 100.0] {
            for latency in [1, 20, 200].map(Duration::from_millis) {
                for max in [64, 256] {
                    let (used, refused) = at_rate(rate, latency, max);
                    let shown = format!("{rate}/s, {latency:?}, {max}: {used:.2}, {refused:.3}");
                    assert!(used > 0.8, "{shown}");
                    assert!(refused < 0.15, "{shown}");
                }
            }
        }
    }

    #[test]
    fn permits_never_fall_below_one_nor_rise_above_what_was_asked_for() {
        let mut pace = Pace::new(3);
        for _ in 0..10 {
            pace.throttled(true, Duration::ZERO);
        }
        assert_eq!(
            (
                pace.n_permits(),
                pace.throttling().lowest,
                pace.throttling().n_replies
            ),
            (1, 1, 10)
        );
        for n in 0..10_000 {
            pace.answered(Duration::from_millis(n));
        }
        assert_eq!((pace.n_permits(), pace.interval()), (3, Duration::ZERO));
    }
}
