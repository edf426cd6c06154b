//! Stays at a number in flight, looks with small probes whether a higher or a lower one would do better, and notices when
//! conditions change. Pure.
//!
//! A probe is paired: a window at the other number between two at this one, so that slow changes cancel out. Goodput is
//! compared by its logarithm.

use super::pace::START;
use super::reading::{Window, float, whole};

/// Below it nothing is gained, and the noise of single objects decides.
pub(super) const FLOOR: usize = 8;
/// How far away a probe looks.
const STEP: f64 = 1.125;
/// Gain of more permits that is worth them, and loss by fewer that is none, as logarithms.
const UP: f64 = 0.02;
const DOWN: f64 = -0.008;
/// What all steps down together may lose.
const BUDGET: f64 = 0.03;
/// A step down must be this sure.
const SURE: f64 = 0.02;
/// Pairs of windows per probe, at most.
const MAX_PAIRS: usize = 5;
/// Seconds between probes at first, and at most.
const GAP: f64 = 1.5;
const MAX_GAP_UP: f64 = 4.0;
const MAX_GAP_DOWN: f64 = 30.0;
/// Seconds after which a gain must still be there: fresh permits show too much of it at once.
const TRIAL: f64 = 1.5;
const MAX_GAP_AFTER_TRIAL: f64 = 30.0;
/// Differences in goodput, and in GETs per second, that are a change, and the standard deviations that they must be.
const CHANGE: f64 = 0.3;
const CHANGE_OF_RATE: f64 = 0.6;
const DEVIATIONS: f64 = 4.0;

/// What to do next.
#[derive(Debug)]
pub(super) enum Next {
    Stay,
    /// On with this number.
    Go(usize),
    /// There is much more to have: double, after these windows.
    Climb([Window; 2]),
    /// Conditions have changed.
    Changed {
        is_worse: bool,
    },
}

#[derive(Debug)]
pub(super) struct Hold {
    base: usize,
    ceiling: usize,
    /// Logarithms of goodput and rate here, followed slowly.
    reference: Option<(f64, f64)>,
    /// The best that the reference was.
    best: f64,
    /// Variances of goodput, of goodput in the last windows alone, and of the rate.
    variance: f64,
    recent_variance: f64,
    rate_variance: f64,
    /// Windows in a row that were far off.
    n_off: u32,
    /// Windows in a row that were not filled.
    n_unfilled: u32,
    probe: Option<Probe>,
    trial: Option<Trial>,
    up: Schedule,
    down: Schedule,
    max_gap_up: f64,
}

#[derive(Debug)]
struct Schedule {
    next: f64,
    gap: f64,
}

#[derive(Debug)]
struct Probe {
    n: usize,
    is_up: bool,
    /// The last window at the base, and one at the probe's number that has no second one yet.
    base: f64,
    pending: f64,
    differences: Vec<f64>,
}

/// A step up that has yet to prove itself.
#[derive(Debug)]
struct Trial {
    n_before: usize,
    goodput_before: f64,
    gain: f64,
    ends: f64,
}

impl Hold {
    pub(super) fn new(base: usize, ceiling: usize, now: f64) -> Self {
        Self {
            base,
            ceiling,
            reference: None,
            best: f64::NEG_INFINITY,
            variance: 0.0036,
            recent_variance: 1e-4,
            rate_variance: 1e-2,
            n_off: 0,
            n_unfilled: 0,
            probe: None,
            trial: None,
            up: Schedule {
                next: now + 2.0 * GAP,
                gap: GAP,
            },
            down: Schedule {
                next: now + GAP,
                gap: GAP,
            },
            max_gap_up: MAX_GAP_UP,
        }
    }

    /// The same, with its first look upwards at this time.
    pub(super) fn looking_up_at(mut self, time: f64) -> Self {
        self.up.next = time;
        self
    }

    pub(super) fn base(&self) -> usize {
        self.base
    }

    /// Takes a window, at the base or at a probe's number.
    pub(super) fn window(&mut self, window: &Window, now: f64) -> Next {
        let goodput = window.goodput.ln();
        if let Some(probe) = &mut self.probe
            && window.n == probe.n
        {
            if !window.is_filled() || window.in_use > 1.1 * float(window.n) {
                let is_up = probe.is_up;
                return self.give_up(is_up, window.n, now);
            }
            probe.pending = goodput;
            return Next::Go(self.base);
        }
        if !window.is_filled() {
            return self.unfilled(window);
        }
        if self.n_unfilled > 0 {
            return Next::Changed { is_worse: false };
        }
        if let Some(changed) = self.compare(window, goodput) {
            return changed;
        }
        if let Some(next) = self.end_trial(now) {
            return next;
        }
        if let Some(probe) = &mut self.probe {
            let mean = 0.5 * (probe.base + goodput);
            probe.differences.push(probe.pending - mean);
            probe.base = goodput;
            return self.judge(window, now);
        }
        if self.trial.is_some() {
            return Next::Stay;
        }
        self.begin_probe(window, goodput, now)
    }

    /// There is nothing to learn while the run cannot fill its permits.
    fn unfilled(&mut self, window: &Window) -> Next {
        self.probe = None;
        self.n_unfilled += 1;
        // No spike when the list comes back.
        let n = (1.25 * window.in_use).max(float(START));
        if self.n_unfilled >= 2 && n < 0.8 * float(self.base) {
            self.base = whole(n);
            return Next::Go(self.base);
        }
        Next::Stay
    }

    /// Compares a window with those before; says whether conditions have changed.
    fn compare(&mut self, window: &Window, goodput: f64) -> Option<Next> {
        let rate = window.rate.ln();
        let (reference, reference_rate) = *self.reference.get_or_insert((goodput, rate));
        if self.best == f64::NEG_INFINITY {
            self.best = reference;
        }
        let (difference, of_rate) = (goodput - reference, rate - reference_rate);
        let bound = CHANGE.max(DEVIATIONS * self.variance.sqrt());
        let bound_of_rate = CHANGE_OF_RATE
            .max(DEVIATIONS * self.rate_variance.sqrt())
            .max(DEVIATIONS * window.rate_error);
        if difference.abs() > bound || of_rate.abs() > bound_of_rate {
            self.n_off += 1;
            self.probe = None;
            let is_worse = difference < 0.0 || of_rate.abs() > CHANGE_OF_RATE;
            // One may be off by chance.
            return Some(if self.n_off >= 2 {
                Next::Changed { is_worse }
            } else {
                Next::Stay
            });
        }
        self.n_off = 0;
        let follow = |variance: &mut f64, x: f64| *variance = 0.8 * *variance + 0.2 * x * x;
        follow(&mut self.variance, difference);
        follow(&mut self.recent_variance, difference);
        follow(&mut self.rate_variance, of_rate);
        self.reference = Some((reference + 0.3 * difference, reference_rate + 0.3 * of_rate));
        None
    }

    fn reference(&self) -> f64 {
        self.reference.map_or(0.0, |(goodput, _)| goodput)
    }

    fn end_trial(&mut self, now: f64) -> Option<Next> {
        if self.probe.is_some() || self.trial.as_ref()?.ends > now {
            return None;
        }
        let trial = self.trial.take()?;
        if self.reference() < trial.goodput_before + 0.5 * trial.gain {
            self.base = trial.n_before;
            self.max_gap_up = (2.0 * self.max_gap_up).min(MAX_GAP_AFTER_TRIAL);
            self.up = Schedule {
                next: now + self.max_gap_up,
                gap: self.max_gap_up,
            };
            return Some(Next::Go(self.base));
        }
        self.max_gap_up = MAX_GAP_UP;
        self.up.next = now + 0.3;
        None
    }

    fn begin_probe(&mut self, window: &Window, goodput: f64, now: f64) -> Next {
        for is_up in [true, false] {
            let due = if is_up { self.up.next } else { self.down.next };
            if now < due || (is_up && (!window.can_grow() || self.base >= self.ceiling)) {
                continue;
            }
            let n = if is_up {
                whole(float(self.base) * STEP)
                    .max(self.base + 1)
                    .min(self.ceiling)
            } else {
                whole(float(self.base) / STEP).min(self.base.saturating_sub(1))
            };
            // A server that refused may have left fewer; from there it goes up like from anywhere.
            if n < FLOOR && !is_up {
                continue;
            }
            self.probe = Some(Probe {
                n,
                is_up,
                base: goodput,
                pending: goodput,
                differences: Vec::new(),
            });
            return Next::Go(n);
        }
        Next::Stay
    }

    /// Decides by the pairs so far, or asks for another one.
    fn judge(&mut self, window: &Window, now: f64) -> Next {
        let Some(probe) = &self.probe else {
            return Next::Stay;
        };
        let (n, is_up) = (probe.n, probe.is_up);
        let n_pairs = probe.differences.len();
        let m = float(n_pairs);
        let mean = probe.differences.iter().sum::<f64>() / m;
        let spread = probe.differences.iter().map(|x| (x - mean).powi(2));
        let variance = spread.sum::<f64>() / (m - 1.0).max(1.0);
        let known = if n_pairs < 4 { 1.0 } else { 0.5 } * self.recent_variance;
        let variance = variance.max(known).max(2e-5);
        let error = (variance / m).sqrt();
        let whole_gain = 0.6 * (float(n) / float(self.base)).ln();
        if is_up {
            let is_clear = mean > whole_gain && mean > 4.0 * variance.sqrt();
            if is_clear || (n_pairs >= 2 && mean >= UP && mean > 2.5 * error) {
                if mean >= whole_gain {
                    let level = |n, goodput: f64| Window {
                        n,
                        goodput: goodput.exp(),
                        error: 0.01,
                        ..*window
                    };
                    let reference = self.reference();
                    return Next::Climb([level(self.base, reference), level(n, reference + mean)]);
                }
                return self.accept_up(n, mean, now);
            }
            if mean + error < UP || n_pairs >= MAX_PAIRS {
                return self.give_up(true, window.n, now);
            }
        } else {
            let lowest = self.best - BUDGET;
            let after = self.reference() + mean;
            if n_pairs >= 2 && error <= SURE && mean - error >= DOWN && after >= lowest {
                return self.accept_down(n, mean, now);
            }
            if mean + error < DOWN || n_pairs >= MAX_PAIRS || after + error < lowest {
                return self.give_up(false, window.n, now);
            }
        }
        Next::Go(n)
    }

    fn accept_up(&mut self, n: usize, gain: f64, now: f64) -> Next {
        self.probe = None;
        self.trial.get_or_insert(Trial {
            n_before: self.base,
            goodput_before: self.reference.map_or(0.0, |(goodput, _)| goodput),
            gain,
            ends: now + TRIAL,
        });
        self.base = n;
        self.best = self.best.max(self.reference());
        self.up = Schedule {
            next: now + TRIAL + 0.5,
            gap: GAP,
        };
        self.down.next = self.down.next.max(now + self.down.gap);
        Next::Go(n)
    }

    fn accept_down(&mut self, n: usize, loss: f64, now: f64) -> Next {
        self.probe = None;
        self.base = n;
        self.reference = self.reference.map(|(goodput, rate)| (goodput + loss, rate));
        self.down = Schedule {
            next: now + 0.3,
            gap: GAP,
        };
        self.up.next = self.up.next.max(now + self.up.gap);
        Next::Go(n)
    }

    fn give_up(&mut self, is_up: bool, n_now: usize, now: f64) -> Next {
        self.probe = None;
        let (schedule, factor, max) = if is_up {
            (&mut self.up, 1.5, self.max_gap_up)
        } else {
            (&mut self.down, 2.0, MAX_GAP_DOWN)
        };
        schedule.gap = (schedule.gap * factor).min(max);
        schedule.next = now + schedule.gap;
        if n_now == self.base {
            Next::Stay
        } else {
            Next::Go(self.base)
        }
    }
}
