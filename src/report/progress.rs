//! Progress while a run lasts: a bar on a terminal, plain lines elsewhere. The one file that knows indicatif.
//!
//! A thread reads the meter a few times a second; the downloads themselves never touch the bar.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::text::{bytes, duration, number, per_second, time_left};
use crate::config::ProgressMode;
use crate::keys::Totals;
use crate::transfer::{Counts, Meter};

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// Shows how far the run is. Clones show the same.
#[derive(Clone)]
pub struct Progress(Arc<Shared>);

struct Shared {
    /// Hidden unless this is a terminal that shows a bar.
    bar: ProgressBar,
    totals: OnceLock<Totals>,
    ticker: Mutex<Option<Ticker>>,
}

struct Ticker {
    /// Dropped to end the thread.
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl Progress {
    pub fn start(mode: ProgressMode, meter: Arc<Meter>) -> Self {
        let is_bar = match mode {
            ProgressMode::Auto => std::io::stderr().is_terminal(),
            ProgressMode::Bar => true,
            ProgressMode::Plain | ProgressMode::None => false,
        };
        let bar = if is_bar {
            ProgressBar::no_length()
        } else {
            ProgressBar::hidden()
        };
        let shared = Arc::new(Shared {
            bar,
            totals: OnceLock::new(),
            ticker: Mutex::new(None),
        });
        if mode != ProgressMode::None {
            let (stop, stopped) = mpsc::channel();
            let watched = Arc::clone(&shared);
            let thread = std::thread::spawn(move || {
                if is_bar {
                    draw_bar(&watched, &meter, &stopped);
                } else {
                    print_lines(&watched, &meter, &stopped);
                }
            });
            *shared.ticker.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Ticker { stop, thread });
        }
        Self(shared)
    }

    /// Shows nothing, and prints lines all the same.
    pub fn none() -> Self {
        Self::start(ProgressMode::None, Arc::default())
    }

    /// What the lists hold, once it is known.
    pub fn set_totals(&self, totals: Totals) {
        // It is counted once.
        let _ = self.0.totals.set(totals);
    }

    /// Prints a line without spoiling the bar.
    pub fn println(&self, line: &str) {
        self.0.bar.suspend(|| super::say(line));
    }

    /// Takes the bar away.
    pub fn stop(&self) {
        let ticker = self
            .0
            .ticker
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(Ticker { stop, thread }) = ticker {
            drop(stop);
            // A thread that panicked has nothing more to show.
            let _ = thread.join();
        }
        self.0.bar.finish_and_clear();
    }
}

fn draw_bar(shared: &Shared, meter: &Meter, stopped: &mpsc::Receiver<()>) {
    let with_total = ProgressStyle::with_template("{bar:12} {wide_msg}").expect("a valid template");
    let without_total =
        ProgressStyle::with_template("{spinner} {wide_msg}").expect("a valid template");
    shared.bar.set_style(without_total);
    let started = Instant::now();
    let mut has_total = false;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(REDRAW_INTERVAL) {
        let counts = meter.counts();
        let totals = shared.totals.get();
        if let Some(totals) = totals {
            if !has_total {
                shared.bar.set_style(with_total.clone());
                has_total = true;
            }
            shared.bar.set_length(totals.n_rows.max(1));
        }
        shared.bar.set_position(counts.n_done());
        shared
            .bar
            .set_message(status(&counts, totals, started.elapsed()));
        shared.bar.tick();
    }
}

fn print_lines(shared: &Shared, meter: &Meter, stopped: &mpsc::Receiver<()>) {
    let started = Instant::now();
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LINE_INTERVAL) {
        super::say(&format!(
            "s3pull: {}",
            status(&meter.counts(), shared.totals.get(), started.elapsed())
        ));
    }
}

/// `1,234 of 5,000 objects, 32 in flight, 2 failed, 1.2 GiB of 3.0 GiB, 120.0 MiB/s, 12.3 s left`
fn status(counts: &Counts, totals: Option<&Totals>, elapsed: Duration) -> String {
    let n_done = counts.n_done();
    let done = match totals {
        Some(totals) => format!("{} of {} objects", number(n_done), number(totals.n_rows)),
        None => format!("{} objects so far", number(n_done)),
    };
    let rate = bytes(per_second(counts.bytes, elapsed));
    let of_bytes = match totals {
        Some(totals) if totals.n_without_size == 0 && totals.bytes > 0 => {
            format!(" of {}", bytes(totals.bytes))
        }
        _ => String::new(),
    };
    let left = match totals.and_then(|totals| time_left(n_done, totals.n_rows, elapsed)) {
        Some(left) => format!(", {} left", duration(left)),
        None => String::new(),
    };
    format!(
        "{done}, {} in flight, {} failed, {}{of_bytes}, {rate}/s{left}",
        number(counts.n_in_flight),
        number(counts.n_failed),
        bytes(counts.bytes)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_says_how_far_it_is_and_how_long_it_will_take() {
        let counts = Counts {
            n_downloaded: 998,
            n_skipped: 0,
            n_failed: 2,
            bytes: 10_485_760,
            n_in_flight: 8,
        };
        let elapsed = Duration::from_secs(10);
        let mut totals = Totals {
            n_rows: 2_000,
            bytes: 20_971_520,
            n_without_size: 1,
        };
        assert_eq!(
            status(&counts, Some(&totals), elapsed),
            "1,000 of 2,000 objects, 8 in flight, 2 failed, 10.0 MiB, 1.0 MiB/s, 10.0 s left"
        );
        totals.n_without_size = 0;
        assert_eq!(
            status(&counts, Some(&totals), elapsed),
            "1,000 of 2,000 objects, 8 in flight, 2 failed, 10.0 MiB of 20.0 MiB, 1.0 MiB/s, 10.0 s left"
        );
        assert_eq!(
            status(&counts, None, elapsed),
            "1,000 objects so far, 8 in flight, 2 failed, 10.0 MiB, 1.0 MiB/s"
        );
    }
}
