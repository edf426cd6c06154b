//! Measures the run at one number of permits: waits until the run has settled at it, then until there is enough to judge by.
//! Pure.

use super::reading::{Reading, Window, float};

/// No window lasts for longer, however little happens.
const MAX_TIME: f64 = 3.0;
/// A change shows only once those who were under way before it are done: times the answer time, and seconds.
const SETTLE: (f64, f64) = (1.2, 0.03);
/// How long connections that are being opened, and permits that have yet to come back, are waited for.
const MAX_CONNECTING: f64 = 2.0;
const MAX_TAKING_BACK: f64 = 8.0;
/// A pause between readings after which they say nothing: the process was stopped, or the machine asleep.
const MAX_GAP: f64 = 1.0;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub(super) struct Care {
    /// Times the answer time, and seconds, at least.
    pub n_answer_times: f64,
    pub min_time: f64,
    /// Events per permit.
    pub n_events: f64,
    /// The relative standard error that is good enough.
    pub error: f64,
}

#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// When this number of permits began.
    opened: Option<Reading>,
    /// When it had settled.
    settled: Option<Reading>,
    /// Marks within the window, to tell its error from.
    marks: Vec<Reading>,
    last: f64,
    answer_time: Option<f64>,
}

impl Gauge {
    /// Begins anew.
    pub(super) fn reset(&mut self) {
        (self.opened, self.settled) = (None, None);
    }

    /// Seconds to the first byte of an answer.
    pub(super) fn answer_time(&self) -> f64 {
        self.answer_time.unwrap_or(0.05)
    }

    /// When this number of permits began.
    pub(super) fn opened(&self) -> Option<&Reading> {
        self.opened.as_ref()
    }

    /// Takes a reading; returns the window that it completes, if it does.
    pub(super) fn read(&mut self, reading: &Reading, n: usize, care: &Care) -> Option<Window> {
        if reading.now - self.last > MAX_GAP {
            self.reset();
        }
        self.last = reading.now;
        let opened = *self.opened.get_or_insert(*reading);
        let answer_time = reading.answer_time(&opened);
        let Some(start) = self.settled else {
            let answer_time = self.answer_time().max(answer_time.unwrap_or_default());
            if has_settled(reading, &opened, n, answer_time) {
                self.settled = Some(*reading);
                self.marks = vec![*reading];
            }
            return None;
        };
        self.answer_time = answer_time.or(self.answer_time);
        let answer_time = self.answer_time();
        let time = reading.now - start.now;
        let since_mark = reading.now - self.marks.last().map_or(0.0, |mark| mark.now);
        if since_mark
            >= (0.8 * answer_time)
                .max(care.min_time / 4.0)
                .max(time / 12.0)
        {
            self.marks.push(*reading);
        }
        let is_late = time >= MAX_TIME;
        if time < (care.n_answer_times * answer_time).max(care.min_time)
            || (reading.events(&start) < care.n_events * float(n) && !is_late)
        {
            return None;
        }
        let error = self.error();
        if error > care.error && !is_late {
            return None;
        }
        // The next window at this number need not settle again.
        (self.opened, self.settled) = (Some(*reading), Some(*reading));
        self.marks = vec![*reading];
        Some(reading.window(&start, n, error))
    }

    /// The relative standard error of the mean, from the parts of the window.
    fn error(&self) -> f64 {
        let parts: Vec<f64> = self
            .marks
            .windows(2)
            .map(|pair| pair[1].goodput(&pair[0]))
            .collect();
        if parts.len() < 3 {
            return 0.05;
        }
        let n = float(parts.len());
        let mean = parts.iter().sum::<f64>() / n;
        let variance = parts.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n - 1.0);
        (variance / n).sqrt() / mean.max(1.0)
    }
}

fn has_settled(reading: &Reading, opened: &Reading, n: usize, answer_time: f64) -> bool {
    let time = reading.now - opened.now;
    let (factor, min_time) = SETTLE;
    // One connection in the tail of many must not hold up the climb.
    let is_connected = reading.n_connecting <= n / 16 || time >= MAX_CONNECTING;
    let is_taken_back = reading.n_in_use <= n + n / 20 + 1 || time >= MAX_TAKING_BACK;
    time >= (factor * answer_time).max(min_time) && is_connected && is_taken_back
}
