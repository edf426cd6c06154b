//! What the run has done so far, and what it did in one window of time. Pure.

/// A sum of small requests counts as if each had this many bytes more: a request costs even where it brings nothing. Any
/// value from 32 to 256 KiB gives the same results; with less the number in flight swings where sizes are mixed, with
/// more it becomes too large.
const REQUEST: f64 = 65_536.0;
const MIB: f64 = 1_048_576.0;

/// Sums since the start of the run, and how things are at the moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// Seconds since the start of the run.
    pub now: f64,
    /// Answers that were as they should be.
    pub n_answered: f64,
    /// GETs whose body was read to its end.
    pub n_done: f64,
    /// Bytes of bodies, as they arrive; those of abandoned attempts do not count.
    pub bytes: f64,
    /// Seconds that requests waited for the first byte of their answers, together, and how many did.
    pub first_byte: f64,
    pub n_first_bytes: f64,
    /// Seconds of this process's CPU, per core that it may use.
    pub cpu: f64,
    /// Seconds that objects waited for the disk, together.
    pub disk: f64,
    /// Permits that the run had a use for, and permits that there were, times seconds.
    pub in_use: f64,
    pub permits: f64,
    /// Permits that the run has a use for at the moment.
    pub n_in_use: usize,
    /// Connections that are being opened.
    pub n_connecting: usize,
}

/// What the run did between two readings at one number of permits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub n: usize,
    /// Goodput: bytes per second, with [`REQUEST`] more for each GET.
    pub goodput: f64,
    /// Relative standard error of it.
    pub error: f64,
    /// Bytes per second.
    pub bytes: f64,
    /// GETs per second, and the relative standard error of them.
    pub rate: f64,
    pub rate_error: f64,
    /// Permits that the run had a use for, and their share of those that there were.
    pub in_use: f64,
    pub fill: f64,
    /// Shares of the CPU's time, and of the time of GETs in flight.
    pub cpu: f64,
    pub disk: f64,
}

impl Reading {
    /// Seconds from the start of requests to the first byte of their answers, on average since `earlier`; `None` while
    /// there are too few of them.
    pub(super) fn answer_time(&self, earlier: &Self) -> Option<f64> {
        let n = self.n_first_bytes - earlier.n_first_bytes;
        (n >= 4.0).then(|| (self.first_byte - earlier.first_byte) / n)
    }

    /// Goodput since `earlier`, bytes per second.
    pub(super) fn goodput(&self, earlier: &Self) -> f64 {
        let bytes = (self.bytes - earlier.bytes).max(0.0);
        let n_done = self.n_done - earlier.n_done;
        ((bytes + REQUEST * n_done) / (self.now - earlier.now).max(1e-9)).max(1.0)
    }

    /// How much there is to judge by since `earlier`: GETs, or MiB of them.
    pub(super) fn events(&self, earlier: &Self) -> f64 {
        self.n_done - earlier.n_done + (self.bytes - earlier.bytes).max(0.0) / MIB
    }

    /// The window since `earlier`, at `n` permits.
    pub(super) fn window(&self, earlier: &Self, n: usize, error: f64) -> Window {
        let time = (self.now - earlier.now).max(1e-9);
        let in_use = self.in_use - earlier.in_use;
        let n_done = self.n_done - earlier.n_done;
        Window {
            n,
            goodput: self.goodput(earlier),
            bytes: (self.bytes - earlier.bytes).max(0.0) / time,
            error,
            rate: (n_done + 0.5) / time,
            rate_error: (n_done + 1.0).powf(-0.5),
            in_use: in_use / time,
            fill: in_use / (self.permits - earlier.permits).max(1e-9),
            cpu: (self.cpu - earlier.cpu) / time,
            disk: (self.disk - earlier.disk) / in_use.max(1e-9),
        }
    }
}

impl Window {
    /// Whether the run used its permits: only then does its goodput say anything about their number.
    pub(super) fn is_filled(&self) -> bool {
        self.fill >= 0.9
    }

    /// Whether more in flight could help: neither the list, nor the CPU, nor the disk holds the run back.
    pub(super) fn can_grow(&self) -> bool {
        self.is_filled() && !self.is_cpu_bound() && !self.is_disk_bound()
    }

    pub(super) fn is_cpu_bound(&self) -> bool {
        self.cpu >= 0.95
    }

    pub(super) fn is_disk_bound(&self) -> bool {
        self.disk >= 0.5
    }
}

/// As a float: numbers in flight are small.
pub(super) fn float(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// The nearest whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no number here is below zero, or too large for an integer"
)]
pub(super) fn whole(n: f64) -> usize {
    n.round().clamp(0.0, 1e15) as usize
}
