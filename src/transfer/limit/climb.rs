//! Finds the number of GETs in flight by itself: the smallest one that gives the best goodput. Pure: it is fed with
//! readings some hundred times per second.
//!
//! It begins with few and doubles them while that pays: a doubling that pays cannot be mistaken, so short windows are
//! enough. Then it searches between the last two numbers for the smallest one that holds the best goodput, and stays
//! there, with small probes up and down (see [`hold`](super::hold)). A server that refuses requests comes first: as long as it
//! does, the pace alone moves the number (see [`pace`](super::pace)).

use super::found::{Found, WhyNotMore, Yielding};
use super::gauge::{Care, Gauge};
use super::hold::{FLOOR, Hold, Next};
use super::pace::START;
use super::reading::{Reading, Window, float, whole};

/// New connections per step, at most, beyond the first ones; more only where a step takes longer anyhow: as many times this
/// as the answer time is in seconds.
const NEW_CONNECTIONS: f64 = 128.0;
const PER_ANSWER_TIME: f64 = 12.0;

/// A doubling pays if goodput grows by this power of the growth in permits. Anything from 0.15 to 0.5 decides alike.
const PAYS: f64 = 0.35;
/// The same, beyond doubt, before the window is complete.
const PAYS_EARLY: f64 = 0.6;
/// The share of the best goodput that a smaller number must hold.
const HOLDS: f64 = 0.965;
/// The search is over when its bounds are this close.
const CLOSE: f64 = 1.25;
/// Two windows of one number that differ by more, as logarithms, are too noisy to search in.
const NOISY: f64 = 0.12;

/// This close to the ceiling there is nothing to look for above.
const NEAR: f64 = 1.1;
/// Seconds without a refusal after which the server's limit may be gone.
const CALM: f64 = 1.0;

const CLIMBING: Care = Care {
    n_answer_times: 2.0,
    min_time: 0.06,
    n_events: 1.0,
    error: 0.1,
};
const SEARCHING: Care = Care {
    n_answer_times: 4.0,
    min_time: 0.2,
    n_events: 2.0,
    error: 0.02,
};
const HOLDING: Care = Care {
    n_answer_times: 5.0,
    min_time: 0.3,
    n_events: 2.0,
    error: 0.02,
};

/// What the pace makes of the number: a server that refuses holds it below.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub n_permits: usize,
    pub refused_at: usize,
    /// Counts the times that refusals lowered the permits.
    pub round: u64,
}

#[derive(Debug)]
pub(super) struct Climb {
    /// The number that is asked for.
    n: usize,
    ceiling: usize,
    phase: Phase,
    gauge: Gauge,
    /// The most that were ever in use: so many connections exist, about.
    n_used: usize,
    round: u64,
    /// When refusals lowered the permits last, in seconds.
    refused_at: f64,
    last: Option<Window>,
    found: Option<Found>,
    /// Since when a window is open while the server refuses.
    yielding: Yielding,
}

#[derive(Debug)]
enum Phase {
    /// Doubling; the windows so far.
    Climbing(Vec<Window>, Recent),
    Searching(Search),
    Holding(Hold),
    /// The server refuses.
    Yielding,
}

/// The search between a number that does not hold the best goodput and one that does.
#[derive(Debug)]
struct Search {
    levels: Vec<Window>,
    /// `None` until the best number was measured once more: the windows of the climb are short, and fresh permits flatter
    /// them.
    bounds: Option<Bounds>,
}

#[derive(Debug)]
struct Bounds {
    best: f64,
    low: f64,
    high: f64,
}

/// The readings of the last moments, for a doubling that pays beyond doubt.
#[derive(Debug, Default)]
struct Recent(Vec<Reading>);

impl Climb {
    pub(super) fn new(ceiling: usize) -> Self {
        let ceiling = ceiling.max(1);
        Self {
            n: START.min(ceiling),
            ceiling,
            phase: Phase::Climbing(Vec::new(), Recent::default()),
            gauge: Gauge::default(),
            n_used: 0,
            round: 0,
            refused_at: 0.0,
            last: None,
            found: None,
            yielding: Yielding::default(),
        }
    }

    pub(super) fn n(&self) -> usize {
        self.n
    }

    /// The number that was found last; `None` where it was not found yet.
    pub(super) fn found(&self) -> Option<Found> {
        self.found
    }

    /// Remembers the number that is held, unless the list does not fill it: its end must not look like a result.
    fn remember(&mut self, window: &Window) {
        if !window.is_filled() {
            return;
        }
        let why = match &self.phase {
            Phase::Yielding => WhyNotMore::Refused,
            Phase::Holding(hold) if hold.base() != window.n => return,
            Phase::Holding(_) if window.n >= self.ceiling => WhyNotMore::Ceiling,
            Phase::Holding(_) if window.is_cpu_bound() => WhyNotMore::Cpu,
            Phase::Holding(_) if window.is_disk_bound() => WhyNotMore::Disk,
            Phase::Holding(_) => WhyNotMore::NoGain,
            Phase::Climbing(..) | Phase::Searching(_) => return,
        };
        self.found = Some(Found {
            n: window.n,
            rate: whole(window.rate) as u64,
            why,
        });
    }

    /// What it does at the moment, in a word.
    pub(super) fn phase(&self) -> &'static str {
        match &self.phase {
            Phase::Climbing(..) => "climbing",
            Phase::Searching(_) => "searching",
            Phase::Holding(_) => "holding",
            Phase::Yielding => "yielding",
        }
    }

    /// The last window, at whatever number it was.
    pub(super) fn last(&self) -> Option<&Window> {
        self.last.as_ref()
    }

    /// Takes a reading; returns the number that is asked for from now on, if it is another one.
    pub(super) fn read(&mut self, reading: &Reading, held: Held) -> Option<usize> {
        self.n_used = self.n_used.max(reading.n_in_use.min(held.n_permits));
        if held.round != self.round {
            (self.round, self.refused_at) = (held.round, reading.now);
            self.gauge.reset();
            self.phase = Phase::Yielding;
            return self.change(self.ceiling);
        }
        if matches!(self.phase, Phase::Yielding) {
            if let Some(window) = self.yielding.read(reading, held.n_permits) {
                self.remember(&window);
            }
            // Not a climb: doubling runs into the same limit again. Few permits show too little to hold a number by.
            let beyond = (held.refused_at + held.refused_at / 4 + 1).max(START);
            let is_lifted =
                held.n_permits >= beyond.min(self.ceiling) && reading.now - self.refused_at >= CALM;
            return is_lifted
                .then(|| self.hold(held.n_permits, reading.now, 0.5))
                .flatten();
        }
        if held.n_permits != self.n {
            self.gauge.reset();
            return None;
        }
        if let Some(n) = self.read_early(reading) {
            return Some(n);
        }
        let care = match &self.phase {
            Phase::Climbing(..) => CLIMBING,
            Phase::Searching(_) => SEARCHING,
            Phase::Holding(_) | Phase::Yielding => HOLDING,
        };
        let window = self.gauge.read(reading, self.n, &care)?;
        self.last = Some(window);
        self.remember(&window);
        match &self.phase {
            Phase::Climbing(..) => self.climb(window, reading.now),
            Phase::Searching(_) => self.search(window, reading.now),
            Phase::Holding(_) => self.stay(window, reading.now),
            Phase::Yielding => None,
        }
    }

    /// Asks for `n`; a new window begins even if it is the same.
    fn go(&mut self, n: f64) -> Option<usize> {
        let answer_time = self.gauge.answer_time();
        let room = NEW_CONNECTIONS * (PER_ANSWER_TIME * answer_time).max(1.0);
        let n_known = self.n_used.max(START);
        let n = whole(n.min(float(n_known) + room)).clamp(1, self.ceiling);
        self.gauge.reset();
        self.change(n)
    }

    fn change(&mut self, n: usize) -> Option<usize> {
        let has_changed = n != self.n;
        self.n = n;
        has_changed.then_some(n)
    }

    /// Whether doubling paid beyond doubt already, by the readings of the last answer time. Never decides against a number.
    fn read_early(&mut self, reading: &Reading) -> Option<usize> {
        let Phase::Climbing(levels, recent) = &mut self.phase else {
            return None;
        };
        let (before, opened) = (levels.last()?, *self.gauge.opened()?);
        let answer_time = self.gauge.answer_time();
        recent.0.retain(|earlier| earlier.now >= opened.now);
        recent.0.push(*reading);
        if self.n >= self.ceiling
            || reading.now - opened.now < 2.0 * answer_time
            || float(reading.n_in_use) < 0.9 * float(self.n)
        {
            return None;
        }
        let span = answer_time.max(0.05);
        let is_old = |earlier: &&Reading| reading.now - earlier.now >= span;
        let start = recent.0.iter().rev().find(is_old)?;
        let growth = float(self.n) / float(before.n);
        if start.now - opened.now < 0.8 * answer_time
            || reading.events(start) < 0.5 * float(before.n)
            || reading.goodput(start) < before.goodput * growth.powf(PAYS_EARLY)
        {
            return None;
        }
        let window = reading.window(start, self.n, 0.05);
        if !window.can_grow() {
            return None;
        }
        levels.push(window);
        self.last = Some(window);
        self.go(2.0 * float(window.n))
    }

    fn climb(&mut self, window: Window, now: f64) -> Option<usize> {
        let Phase::Climbing(levels, _) = &mut self.phase else {
            return None;
        };
        let before = levels.last().copied();
        levels.push(window);
        let pays = before.is_none_or(|before| {
            let growth = float(window.n) / float(before.n);
            (window.goodput / before.goodput).ln() >= PAYS * growth.ln()
        });
        if pays && window.n < self.ceiling && window.can_grow() {
            return self.go(2.0 * float(window.n));
        }
        if !window.is_filled() {
            let before = before.map_or(0.0, |before| float(before.n));
            let n = (1.1 * window.in_use).max(float(START)).max(before);
            return self.hold(whole(n), now, 0.0);
        }
        let levels = std::mem::take(levels);
        self.begin_search(levels)
    }

    fn begin_search(&mut self, levels: Vec<Window>) -> Option<usize> {
        let best = levels.iter().max_by(|a, b| a.goodput.total_cmp(&b.goodput));
        let n = best.map_or(self.n, |best| best.n);
        self.phase = Phase::Searching(Search {
            levels,
            bounds: None,
        });
        if n == self.n {
            // It has settled here already.
            return None;
        }
        self.go(float(n))
    }

    fn search(&mut self, window: Window, now: f64) -> Option<usize> {
        let Phase::Searching(search) = &mut self.phase else {
            return None;
        };
        if !window.is_filled() {
            return self.hold(window.n, now, 0.0);
        }
        let Some(bounds) = &mut search.bounds else {
            let seen = search.levels.iter().rev().find(|level| level.n == window.n);
            let seen = seen.map_or(window.goodput, |level| level.goodput);
            if (window.goodput / seen).ln().abs() > NOISY {
                return self.hold(window.n, now, 0.0);
            }
            let (best, high) = (window.goodput, float(window.n));
            // What the climb saw of smaller numbers is a guess, and has to be measured again.
            let holds = |level: &&Window| level.goodput >= HOLDS * best * (1.0 - level.error);
            let below = || search.levels.iter().filter(|level| level.n < window.n);
            let may_hold = below()
                .filter(holds)
                .map(|level| float(level.n))
                .fold(high, f64::min);
            let low = below()
                .map(|level| float(level.n))
                .filter(|&n| n < may_hold);
            let low = low.fold(float(FLOOR) / CLOSE, f64::max);
            // The number where the best goodput would be reached if each permit brought as much as it did at its best.
            let per_permit = |level: &Window| level.goodput / float(level.n);
            let most = search.levels.iter().map(per_permit).fold(0.0, f64::max);
            let guess = if may_hold < high {
                Some(may_hold)
            } else {
                Some(1.1 * best / most).filter(|&n| low < n && n < high)
            };
            search.bounds = Some(Bounds { best, low, high });
            return self.search_on(guess, now);
        };
        let holds = window.goodput >= HOLDS * bounds.best * (1.0 - window.error);
        if window.in_use > 1.1 * float(window.n) && window.goodput >= HOLDS * bounds.best {
            // Long bodies: it does not settle in any time that could be waited.
            let high = whole(bounds.high);
            return self.hold(high, now, 0.0);
        }
        if holds {
            bounds.high = float(window.n);
            bounds.best = (0.7 * bounds.best + 0.3 * window.goodput).max(0.99 * window.goodput);
        } else {
            bounds.low = float(window.n);
        }
        self.search_on(None, now)
    }

    fn search_on(&mut self, guess: Option<f64>, now: f64) -> Option<usize> {
        let Phase::Searching(Search {
            bounds: Some(Bounds { low, high, .. }),
            ..
        }) = self.phase
        else {
            return None;
        };
        if high <= low * CLOSE || high <= float(FLOOR) {
            return self.hold(whole(high), now, 0.0);
        }
        let n = guess.unwrap_or((low * high).sqrt());
        self.go(n.max(high / 2.0).max(float(FLOOR)).min(0.9 * high))
    }

    /// Stays at `n`; `first_probe` seconds from now it may look upwards, if that is sooner than otherwise.
    fn hold(&mut self, n: usize, now: f64, first_probe: f64) -> Option<usize> {
        let n = n.min(self.ceiling);
        let hold = Hold::new(n, self.ceiling, now);
        self.phase = Phase::Holding(if first_probe > 0.0 {
            hold.looking_up_at(now + first_probe)
        } else {
            hold
        });
        self.go(float(n))
    }

    fn stay(&mut self, window: Window, now: f64) -> Option<usize> {
        let Phase::Holding(hold) = &mut self.phase else {
            return None;
        };
        match hold.window(&window, now) {
            Next::Stay => None,
            Next::Go(n) => self.go(float(n)),
            Next::Climb(levels) => {
                let n = 2.0 * float(levels[1].n);
                self.phase = Phase::Climbing(levels.to_vec(), Recent::default());
                self.go(n)
            }
            Next::Changed { is_worse } => {
                if float(window.n) * NEAR <= float(self.ceiling) {
                    // Looks up by doubling first; the search after it looks down.
                    self.phase = Phase::Climbing(Vec::new(), Recent::default());
                    self.climb(window, now)
                } else if is_worse {
                    self.begin_search(vec![window])
                } else {
                    self.hold(window.n, now, 0.0)
                }
            }
        }
    }
}
