//! What the climb found, for people to be told.

use super::reading::{Reading, Window};

/// The number that was found to be best, and what it brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    pub n: usize,
    /// GETs per second.
    pub rate: u64,
    pub why: WhyNotMore,
}

/// Why the best number is not a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyNotMore {
    /// More brought nothing.
    NoGain,
    /// More brought nothing, since the CPU or the disk was busy.
    Cpu,
    Disk,
    /// No more are tried.
    Ceiling,
    /// The server refuses more.
    Refused,
}

impl WhyNotMore {
    /// The stable word for it, in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoGain => "no-gain",
            Self::Cpu => "cpu",
            Self::Disk => "disk",
            Self::Ceiling => "ceiling",
            Self::Refused => "refused",
        }
    }
}

/// Windows of a second each, whatever the number is: the server moves it.
#[derive(Debug, Default)]
pub(super) struct Yielding(Option<Reading>);

impl Yielding {
    /// Takes a reading; returns the window that it completes, if it does.
    pub(super) fn read(&mut self, reading: &Reading, n: usize) -> Option<Window> {
        let start = *self.0.get_or_insert(*reading);
        if reading.now - start.now < 1.0 {
            return None;
        }
        self.0 = Some(*reading);
        Some(reading.window(&start, n, 0.0))
    }
}
