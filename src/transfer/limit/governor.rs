//! Decides when a request may start, and how many may be in flight. Pure: it is told what happens, and when.
//!
//! Three parts decide together: an outage comes first (see [`outage`](super::outage)), then a server that refuses (see
//! [`pace`](super::pace)), and then the search for the best number (see [`climb`](super::climb)).

use std::time::{Duration, Instant};

use super::climb::{Climb, Held};
use super::found::Found;
use super::outage::{Asked, Charge, Outage, Turn, Waiting};
use super::pace::{Pace, Throttling};
use super::reading::{Reading, float, whole};
use crate::outcome::Failure;

/// New permits per reading, of which there are some hundred per second: a server that takes few requests at once must not get
/// all the new ones at one instant.
const MAX_NEW: usize = 32;

/// Rows under way, however few permits there are: while a server refuses, most of them wait.
const MIN_ROWS: usize = 64;

#[derive(Debug)]
pub struct Governor {
    started: Instant,
    pace: Pace,
    /// `None` where the number is fixed.
    climb: Option<Climb>,
    outage: Outage,
    /// Permits that may be given: they follow the pace's up with a small delay.
    n_permits: usize,
    /// GETs in flight.
    n_held: usize,
    /// Helpers among them.
    n_helpers: usize,
    /// Counts how often refusals lowered the permits.
    round: u64,
    /// Where requests start at an interval: when the next one may.
    next_start: Option<Instant>,
    n_done: u64,
    /// Time of the last reading, and the sums that it added to.
    read: f64,
    in_use: f64,
    permits: f64,
    answer_time: AnswerTime,
}

/// What is counted outside: sums since the start of the run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counted {
    /// Good answers, and how long they took until their first byte, together.
    pub n_answered: u64,
    pub first_byte: Duration,
    /// Bytes of bodies.
    pub bytes: u64,
    /// CPU time of this process per core that it may use, and the time that objects waited for the disk, together.
    pub cpu: Duration,
    pub disk: Duration,
    /// Time that requests with a permit waited for the limits that the user set, together: meanwhile the run has no use for it.
    pub limited: Duration,
    /// Connections that are being opened.
    pub n_connecting: usize,
    /// Objects under way.
    pub n_objects: usize,
}

/// A new number in flight, as it is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub n: usize,
    /// What the climb does, in a word.
    pub phase: &'static str,
    /// What it saw last.
    pub seen: Option<Seen>,
}

/// What a number in flight brought.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    pub n: usize,
    /// GETs, and bytes, per second.
    pub rate: u64,
    pub bytes: u64,
}

/// Seconds until the first byte of recent answers.
#[derive(Debug, Default)]
struct AnswerTime {
    before: (f64, f64),
    recent: (f64, f64),
}

impl AnswerTime {
    fn read(&mut self, n: f64, time: f64) {
        let (n_new, time_new) = (n - self.before.0, time - self.before.1);
        self.before = (n, time);
        self.recent = (0.9 * self.recent.0 + n_new, 0.9 * self.recent.1 + time_new);
    }

    fn get(&self) -> Duration {
        let (n, time) = self.recent;
        let mean = if n > 0.0 { time / n } else { 0.0 };
        Duration::try_from_secs_f64(mean).unwrap_or_default()
    }
}

impl Governor {
    /// With a fixed number of permits.
    pub fn fixed(n_permits: usize, started: Instant) -> Self {
        Self::new(Pace::new(n_permits), None, started)
    }

    /// Looks for the best number of permits, up to `ceiling`.
    pub fn automatic(ceiling: usize, started: Instant) -> Self {
        let climb = Climb::new(ceiling);
        Self::new(Pace::new(climb.n()), Some(climb), started)
    }

    fn new(pace: Pace, climb: Option<Climb>, started: Instant) -> Self {
        Self {
            started,
            n_permits: pace.n_permits(),
            pace,
            climb,
            outage: Outage::default(),
            n_held: 0,
            n_helpers: 0,
            round: 0,
            next_start: None,
            n_done: 0,
            read: 0.0,
            in_use: 0.0,
            permits: 0.0,
            answer_time: AnswerTime::default(),
        }
    }

    pub fn n_permits(&self) -> usize {
        self.n_permits
    }

    pub fn n_held(&self) -> usize {
        self.n_held
    }

    pub fn round(&self) -> u64 {
        self.round
    }

    /// Rows that may be under way. There are some more than permits, since files are written, and refused requests wait,
    /// without one.
    pub fn max_rows(&self) -> usize {
        (self.n_permits + self.n_permits / 8).max(MIN_ROWS)
    }

    /// Takes a permit, if there is one.
    pub fn take(&mut self) -> bool {
        let is_free = self.n_held < self.n_permits;
        self.n_held += usize::from(is_free);
        is_free
    }

    /// Takes a permit for a helper, if there is one that none of `n_objects` objects has a claim on.
    pub fn take_spare(&mut self, n_objects: usize) -> bool {
        let is_spare = n_objects + self.n_helpers < self.n_permits && self.take();
        self.n_helpers += usize::from(is_spare);
        is_spare
    }

    /// A permit is given back; whether its request was answered, and its body read.
    pub fn give_back(&mut self, is_of_helper: bool, is_done: bool) {
        self.n_held -= 1;
        self.n_helpers -= usize::from(is_of_helper);
        self.n_done += u64::from(is_done);
    }

    /// Whether requests start at an interval.
    pub fn is_paced(&self) -> bool {
        !self.pace.interval().is_zero()
    }

    /// When a request that has a permit may start, where requests start at an interval.
    pub fn start(&mut self, now: Instant) -> Option<Instant> {
        if !self.is_paced() {
            return None;
        }
        let start = self.next_start.map_or(now, |next| next.max(now));
        self.next_start = Some(start + self.pace.interval());
        Some(start)
    }

    /// The server refused a request of the round `round`, after `n_answered` good answers in all.
    pub fn throttled(&mut self, round: u64, n_answered: u64, now: Instant) {
        // What is asked for while nothing gets through says nothing of a limit.
        if self.outage.is_out() {
            return;
        }
        let now = now.saturating_duration_since(self.started);
        let n_rounds_ago = self.round.saturating_sub(round);
        if self.pace.throttled(n_rounds_ago, n_answered, now) {
            self.round += 1;
        }
        self.n_permits = self.n_permits.min(self.pace.n_permits());
    }

    /// Takes a reading. Returns the new number in flight, where the climb asks for one.
    pub fn read(&mut self, counted: &Counted, now: Instant) -> Option<Step> {
        let since_start = now.saturating_duration_since(self.started);
        let reading = self.reading(counted, since_start.as_secs_f64());
        if self.outage.is_out() {
            return None;
        }
        self.answer_time
            .read(reading.n_answered, reading.first_byte);
        self.pace.in_use(self.n_held, since_start);
        self.pace
            .read(counted.n_answered, self.answer_time.get(), since_start);
        let held = self.held();
        let step = self.climb.as_mut().and_then(|climb| {
            let n = climb.read(&reading, held)?;
            Some(Step {
                n,
                phase: climb.phase(),
                seen: climb.last().map(|window| Seen {
                    n: window.n,
                    rate: whole(window.rate) as u64,
                    bytes: whole(window.bytes) as u64,
                }),
            })
        });
        if let Some(step) = &step {
            self.pace.set_max(step.n);
        }
        self.n_permits = self.pace.n_permits().min(self.n_permits + MAX_NEW);
        step
    }

    fn held(&self) -> Held {
        Held {
            n_permits: self.pace.n_permits(),
            refused_at: self.pace.refused_at(),
            round: self.round,
        }
    }

    fn reading(&mut self, counted: &Counted, now: f64) -> Reading {
        // Objects that are being written count: the run has a use for their permits.
        let n_in_use = (counted.n_objects + self.n_helpers).max(self.n_held);
        let time = now - self.read;
        self.read = now;
        self.in_use += float(n_in_use.min(self.n_permits.max(self.n_held))) * time;
        self.permits += float(self.n_permits) * time;
        Reading {
            now,
            n_answered: float_of(counted.n_answered),
            n_done: float_of(self.n_done),
            bytes: float_of(counted.bytes),
            first_byte: counted.first_byte.as_secs_f64(),
            n_first_bytes: float_of(counted.n_answered),
            cpu: counted.cpu.as_secs_f64(),
            disk: counted.disk.as_secs_f64(),
            in_use: (self.in_use - counted.limited.as_secs_f64()).max(0.0),
            permits: self.permits,
            n_in_use: self.n_held,
            n_connecting: counted.n_connecting,
        }
    }

    /// The number that was found to be best; `None` where it is fixed, or not found yet.
    pub fn found(&self) -> Option<Found> {
        self.climb.as_ref()?.found()
    }

    /// Permits that there were, on average until the last reading.
    pub fn n_mean(&self) -> f64 {
        if self.read > 0.0 {
            self.permits / self.read
        } else {
            float(self.n_permits)
        }
    }

    pub fn throttling(&self) -> Throttling {
        self.pace.throttling()
    }

    pub fn is_out(&self) -> bool {
        self.outage.is_out()
    }

    pub fn waiting(&self) -> Option<Waiting> {
        self.outage.waiting()
    }

    /// Whether a request may start, while nothing gets through.
    pub fn turn(&mut self, now: Instant) -> Turn {
        self.outage.turn(now)
    }

    /// The request that tried has ended.
    pub fn tried(&mut self, now: Instant) {
        self.outage.tried(now);
    }

    /// A request was answered: the server is there.
    pub fn reached(&mut self) {
        if self.outage.is_out() {
            self.outage.end();
            self.pace.start_over();
            self.next_start = None;
            self.n_permits = self.n_permits.min(self.pace.n_permits());
        }
    }

    /// Who pays for a failed request (see [`Outage::failed`]).
    ///
    /// # Errors
    /// The failure, as the end of the run, once the outage has lasted for longer than `max_outage`.
    pub fn failed(
        &mut self,
        failure: &Failure,
        asked: &Asked<'_>,
        good_at: Option<Instant>,
        now: Instant,
        max_outage: Duration,
    ) -> Result<Charge, Failure> {
        self.outage.failed(failure, asked, good_at, now, max_outage)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "sums, of which differences are averaged"
)]
fn float_of(n: u64) -> f64 {
    n as f64
}
