//! How many permits a server that throttles leaves, and how far apart in time requests start. Pure: the time is handed in.
//!
//! A run with a fixed number begins with few permits and doubles them with each round of good replies, so that a server with
//! a small limit is not hit by all of them at once. When a share of a round's replies are refusals, the permits are
//! lowered at once: they are halved at first, and lowered by an eighth where the limit is known, because they had crept up
//! to it. They return quickly to just below where the server refused, and only from there on feel their way up
//! slowly. A server that takes N requests at once is thus kept busy with more than nine tenths of them, and refuses one
//! request in some hundreds. A few refusals among hundreds of good replies are not a sign of a limit, and change nothing:
//! were each of them answered, 0.02 % of stray refusals would hold a run at a quarter of its speed.
//!
//! Steps up are timed by how long answers take, not by bodies: a server refuses at once, however long its bodies last.
//!
//! A server that refuses even one request at a time limits the rate: then requests start at an interval, which follows the
//! refusals in the same way.

use std::time::Duration;

/// Permits at the start: few enough for any server; with 16 the climb takes one more doubling, and 64 gain
/// little.
pub(super) const START: usize = 32;
/// Parts of the last refused number that the permits return to quickly, of [`EIGHTHS`].
const QUICK_UP_TO: usize = 7;
const EIGHTHS: usize = 8;
/// Answer times per step up: below that number, and above it. The shortest times also bound the steps that fit into the
/// burst which a server with a rate limit takes at once.
const QUICK_STEP: (u32, Duration) = (1, Duration::from_millis(10));
const SLOW_STEP: (u32, Duration) = (4, Duration::from_millis(50));
/// The last eighth takes at most so many slow steps.
const SLOW_STEPS: usize = 16;
/// With few permits, good replies per slow step: where the server takes one or two requests at once, each step up costs
/// a refusal. After [`LONG`] one is enough.
const FEW: usize = 8;
const MIN_SLOW_REPLIES: u64 = 24;
const LONG: Duration = Duration::from_secs(5);
/// Where bodies last so long that no reply comes at all, a step is made after this time; it doubles while such steps are
/// refused.
const SILENCE: Duration = Duration::from_secs(1);
const MAX_SILENCE: Duration = Duration::from_secs(32);
/// New permits per step, which may each need a connection.
const MAX_STEP: usize = 128;
/// The first interval where no good reply tells the server's rate: it may refuse everything for a moment and nothing then.
const FIRST_INTERVAL: Duration = Duration::from_millis(50);
/// The longest interval.
const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// To here the interval grows where the server took no request since the last refusal: that tells nothing of its rate, and
/// what is over in a moment must not be followed by a long wait.
const MAX_INTERVAL_OF_NONE: Duration = Duration::from_millis(250);
/// Requests this close together are limited by their number, not by an interval.
const MIN_INTERVAL: Duration = Duration::from_millis(4);
/// Good replies after which the interval becomes shorter, and by which factor: quickly down to where the server refused
/// last, and slowly from there on.
const QUICKLY: (usize, f64) = (3, 0.8);
const SLOWLY: (usize, f64) = (12, 0.96);
/// The power of that factor doubles with each such step up to here, so that a limit that is gone is left behind soon.
const MAX_HASTE: i32 = 8;

/// The permits, as they follow the server's replies.
#[derive(Debug)]
pub(super) struct Pace {
    n_permits: usize,
    max: usize,
    /// Whether they double with each round: nothing was refused since the start, or since an outage.
    is_starting: bool,
    /// How many there were when the server refused last.
    refused_at: usize,
    /// Whether they crept up to where the server refused: then the limit is known.
    is_limit_known: bool,
    /// The next step up, above the number at which the server refused last: it doubles, so that a limit that is gone is
    /// left behind soon.
    step_beyond: usize,
    /// The current round of replies: the good ones before it, and the refusals in it.
    n_good_before: u64,
    n_refused: usize,
    /// Permits that there were when they were halved last, zero where they were not; and refusals of that round. Those that
    /// come after the halving tell how many requests the server took.
    halved_at: usize,
    n_refused_then: usize,
    /// Good replies at the last reading, and at the last step; when that was.
    n_good: u64,
    n_good_at_step: u64,
    stepped: Duration,
    /// After how long without a reply a step is made all the same.
    silence: Duration,
    /// Since when every permit has had a request in flight.
    all_in_use_since: Option<Duration>,
    /// Whether the last step was such a one.
    stepped_in_silence: bool,
    /// Good replies since the interval was changed.
    n_answered: usize,
    /// From the start of one request to that of the next.
    interval: Duration,
    /// The one at which the server refused last.
    refused_interval: Duration,
    /// The power of the factor by which it is shortened next.
    haste: i32,
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

    fn count(&mut self, n: usize, now: Duration) {
        self.turn(now);
        self.n_in_window += n;
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
    pub(super) fn new(max: usize) -> Self {
        Self {
            n_permits: max.min(START),
            max,
            is_starting: true,
            refused_at: max,
            is_limit_known: false,
            step_beyond: 1,
            n_good_before: 0,
            n_refused: 0,
            halved_at: 0,
            n_refused_then: 0,
            n_good: 0,
            n_good_at_step: 0,
            stepped: Duration::ZERO,
            silence: SILENCE,
            all_in_use_since: None,
            stepped_in_silence: false,
            n_answered: 0,
            interval: Duration::ZERO,
            refused_interval: Duration::ZERO,
            haste: 1,
            rate: Rate::default(),
            throttling: Throttling {
                n_replies: 0,
                lowest: max,
            },
        }
    }

    /// Begins as at the start: what the server refused while nothing got through says nothing of its limit.
    pub(super) fn start_over(&mut self) {
        *self = Self {
            throttling: self.throttling,
            n_good: self.n_good,
            n_good_before: self.n_good,
            ..Self::new(self.max)
        };
    }

    pub(super) fn n_permits(&self) -> usize {
        self.n_permits
    }

    pub(super) fn refused_at(&self) -> usize {
        self.refused_at
    }

    /// How far apart requests start; zero where their number alone is limited.
    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    pub(super) fn throttling(&self) -> Throttling {
        self.throttling
    }

    /// Allows as many as `max`. The permits follow at once, unless the server holds them down.
    pub(super) fn set_max(&mut self, max: usize) {
        if self.n_permits == self.max {
            self.n_permits = max;
        }
        self.max = max;
        self.n_permits = self.n_permits.min(max);
    }

    /// A refusal, at `now` since the start, after `n_good` good replies in all, of a request that began before the last
    /// `n_rounds_ago` times that the permits were lowered. The one of its round that makes them too many to be chance
    /// begins a new round with fewer permits; returns whether it did.
    pub(super) fn throttled(&mut self, n_rounds_ago: u64, n_good: u64, now: Duration) -> bool {
        self.throttling.n_replies += 1;
        if n_rounds_ago > 0 {
            if n_rounds_ago == 1 {
                self.refused_too();
            }
            return false;
        }
        let n_replies = n_good.saturating_sub(self.n_good_before) + self.n_refused as u64;
        if n_replies >= self.n_permits as u64 {
            (self.n_good_before, self.n_refused) = (n_good, 0);
        }
        self.n_refused += 1;
        if self.n_refused < self.n_that_count() {
            return false;
        }
        let n_refused = self.n_refused;
        let is_taking_some = n_good > self.n_good_at_step;
        (self.n_good_before, self.n_refused, self.n_answered) = (n_good, 0, 0);
        self.haste = 1;
        (self.n_good_at_step, self.stepped) = (n_good, now);
        if !self.interval.is_zero() {
            self.refused_interval = self.interval;
            let longest = if is_taking_some {
                MAX_INTERVAL
            } else {
                MAX_INTERVAL_OF_NONE.max(self.interval)
            };
            self.interval = self.interval.mul_f64(1.25).min(longest);
        } else if self.n_permits == 1 {
            let interval = self.rate.interval(now).unwrap_or(FIRST_INTERVAL);
            if interval >= MIN_INTERVAL {
                self.refused_interval = Duration::ZERO;
                self.interval = interval.min(MAX_INTERVAL);
            }
        } else {
            self.silence = if std::mem::take(&mut self.stepped_in_silence) {
                (2 * self.silence).min(MAX_SILENCE)
            } else {
                SILENCE
            };
            self.refused_at = self.n_permits;
            let n_left = if self.is_limit_known {
                self.halved_at = 0;
                self.n_permits * QUICK_UP_TO / EIGHTHS
            } else {
                (self.halved_at, self.n_refused_then) = (self.n_permits, n_refused);
                self.n_permits / 2
            };
            self.n_permits = n_left.max(1);
        }
        (self.is_starting, self.is_limit_known, self.step_beyond) = (false, false, 1);
        self.throttling.lowest = self.throttling.lowest.min(self.n_permits);
        true
    }

    /// A refusal of the round whose first ones halved the permits. Half is still too many where the server took fewer of
    /// that round's requests: without this, a server that takes one request would refuse as many again while they are halved
    /// to one.
    fn refused_too(&mut self) {
        if self.halved_at == 0 || !self.interval.is_zero() {
            return;
        }
        self.n_refused_then += 1;
        let n_taken = self.halved_at.saturating_sub(self.n_refused_then).max(1);
        if n_taken < self.n_permits {
            self.n_permits = n_taken;
            self.refused_at = (n_taken * EIGHTHS).div_ceil(QUICK_UP_TO).max(2);
            self.throttling.lowest = self.throttling.lowest.min(n_taken);
        }
    }

    /// How many refusals in a round are more than chance.
    fn n_that_count(&self) -> usize {
        match self.n_permits {
            0..8 => 1,
            8..32 => 2,
            n => (n / 64).max(3),
        }
    }

    /// Takes note of how many permits are in use.
    pub(super) fn in_use(&mut self, n_permits: usize, now: Duration) {
        let are_all = n_permits >= self.n_permits;
        self.all_in_use_since = are_all.then(|| self.all_in_use_since.unwrap_or(now));
    }

    /// Follows the good replies: there were `n_good` until `now` since the start, and answers take `answer_time`.
    pub(super) fn read(&mut self, n_good: u64, answer_time: Duration, now: Duration) {
        let n_new = usize::try_from(n_good.saturating_sub(self.n_good)).unwrap_or(usize::MAX);
        self.n_good = n_good;
        self.rate.count(n_new, now);
        if !self.interval.is_zero() {
            (0..n_new).for_each(|_| self.shorten_interval());
        } else if self.n_permits >= self.max {
            // The next step up is counted from here.
            (self.n_good_at_step, self.stepped) = (n_good, now);
        } else if self.is_starting {
            let step = n_new.min(self.n_permits).min(MAX_STEP);
            self.n_permits = (self.n_permits + step).min(self.max);
        } else {
            self.step_up(answer_time, now);
        }
    }

    fn shorten_interval(&mut self) {
        if self.interval.is_zero() {
            return;
        }
        self.n_answered += 1;
        let is_quick = self.interval > self.refused_interval.mul_f64(1.1);
        let (n_needed, factor) = if is_quick { QUICKLY } else { SLOWLY };
        if self.n_answered >= n_needed {
            self.n_answered = 0;
            let shortest = if is_quick {
                self.refused_interval.mul_f64(1.05)
            } else {
                Duration::ZERO
            };
            self.interval = self.interval.mul_f64(factor.powi(self.haste)).max(shortest);
            if !is_quick {
                self.haste = (2 * self.haste).min(MAX_HASTE);
            }
        }
        if self.interval < MIN_INTERVAL {
            self.interval = Duration::ZERO;
            self.refused_at = 2;
        }
    }

    fn step_up(&mut self, answer_time: Duration, now: Duration) {
        let quick_limit = self.refused_at * QUICK_UP_TO / EIGHTHS;
        let is_quick = self.n_permits < quick_limit;
        let (n_times, shortest) = if is_quick { QUICK_STEP } else { SLOW_STEP };
        let waited = now.saturating_sub(self.stepped);
        let n_answered = self.n_good - self.n_good_at_step;
        let n_needed = if is_quick || self.n_permits >= FEW || waited >= LONG {
            1
        } else {
            MIN_SLOW_REPLIES
        };
        let is_silent = n_answered == 0
            && waited >= self.silence
            && self
                .all_in_use_since
                .is_some_and(|since| now.saturating_sub(since) >= self.silence);
        if !is_silent && (n_answered < n_needed || waited < (answer_time * n_times).max(shortest)) {
            return;
        }
        self.stepped_in_silence = is_silent;
        (self.n_good_at_step, self.stepped) = (self.n_good, now);
        let step = if is_quick {
            (self.refused_at / EIGHTHS).clamp(1, quick_limit - self.n_permits)
        } else {
            self.is_limit_known = true;
            let step = (self.refused_at / (EIGHTHS * SLOW_STEPS)).max(1);
            if self.n_permits < self.refused_at {
                step
            } else {
                let beyond = self.step_beyond;
                self.step_beyond = (2 * beyond).min((self.n_permits / 8).max(1));
                beyond.max(step)
            }
        };
        self.n_permits = (self.n_permits + step.min(MAX_STEP)).min(self.max);
    }
}

#[cfg(test)]
mod tests;
