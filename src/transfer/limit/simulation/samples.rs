//! What a simulated run came to.

use crate::transfer::limit::reading::float;

/// The run at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub now: f64,
    pub n: usize,
    pub bytes: f64,
    pub n_done: usize,
    pub n_refused: usize,
    pub n_connections: usize,
}

/// The run at each of its readings.
#[derive(Debug, Default)]
pub(super) struct Samples(pub Vec<Sample>);

impl Samples {
    fn sample(&self, at: f64) -> &Sample {
        let index = self.0.partition_point(|sample| sample.now < at - 1e-6);
        &self.0[index.min(self.0.len() - 1)]
    }

    /// Goodput from `start` to `end`: bytes per second, with 64 KiB more for each object.
    pub(super) fn goodput(&self, start: f64, end: f64) -> f64 {
        let (a, b) = (self.sample(start), self.sample(end));
        (b.bytes - a.bytes + 65_536.0 * float(b.n_done - a.n_done)) / (b.now - a.now)
    }

    /// Refusals of all requests.
    pub(super) fn refused(&self) -> f64 {
        let last = self.0.last().unwrap();
        float(last.n_refused) / float(last.n_refused + last.n_done).max(1.0)
    }

    /// The numbers in flight from `start` to `end`, in order of size.
    pub(super) fn numbers(&self, start: f64, end: f64) -> Vec<usize> {
        let within = self
            .0
            .iter()
            .filter(|sample| sample.now >= start && sample.now < end);
        let mut numbers: Vec<_> = within.map(|sample| sample.n).collect();
        numbers.sort_unstable();
        numbers
    }

    /// By how much the number in flight rose at most, from one moment to any later one: a descent is not a swing.
    pub(super) fn rise(&self, start: f64, end: f64) -> f64 {
        let within = |sample: &&Sample| sample.now >= start && sample.now < end;
        let (mut lowest, mut rise) = (usize::MAX, 1.0_f64);
        for sample in self.0.iter().filter(within) {
            lowest = lowest.min(sample.n);
            rise = rise.max(float(sample.n) / float(lowest));
        }
        rise
    }

    pub(super) fn median(&self, start: f64, end: f64) -> usize {
        let numbers = self.numbers(start, end);
        numbers[numbers.len() / 2]
    }
}
