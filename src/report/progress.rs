//! Progress while a run lasts: a bar on a terminal, plain lines elsewhere. The one file that knows indicatif.
//!
//! A thread reads the meter a few times a second; the downloads themselves never touch the bar.

use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::console::Stderr;
use super::rate::Rate;
use super::text::{bytes, duration, number};
use crate::locks::lock;
use crate::meter::{Counts, LargeObject, Meter};
use crate::options::ProgressMode;
use crate::printable::printable;
use crate::source::Totals;
use crate::transfer::Limit;

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a terminal may take to show the last of the bars.
const MAX_WAIT_FOR_TERMINAL: Duration = Duration::from_secs(1);
/// Large objects with a line of their own.
const MAX_LARGE: usize = 3;

/// Shows how far the run is. Clones show the same.
#[derive(Clone)]
pub struct Progress(Arc<Shared>);

struct Shared {
    /// Hidden unless this is a terminal that shows bars.
    bars: MultiProgress,
    totals: OnceLock<Totals>,
    limit: Limit,
    stderr: Stderr,
    ticker: Mutex<Option<Ticker>>,
}

struct Ticker {
    /// Dropped to end the thread.
    stop: mpsc::Sender<()>,
    /// Disconnected when the thread has ended.
    ended: mpsc::Receiver<()>,
}

impl Progress {
    pub fn start(mode: ProgressMode, limit: Limit, meter: Arc<Meter>) -> Self {
        // A terminal that cannot move its cursor cannot show a bar.
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let is_bar = match mode {
            ProgressMode::Auto => std::io::stderr().is_terminal() && !is_dumb,
            ProgressMode::Bar => true,
            ProgressMode::Plain | ProgressMode::None => false,
        };
        let target = if is_bar {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bars = MultiProgress::with_draw_target(target);
        let suspended = bars.clone();
        let stderr =
            Stderr::start(move |bytes| suspended.suspend(|| io::stderr().lock().write(bytes)));
        let shared = Arc::new(Shared {
            bars,
            totals: OnceLock::new(),
            limit,
            stderr,
            ticker: Mutex::new(None),
        });
        if mode != ProgressMode::None {
            let (stop, stopped) = mpsc::channel();
            let (ending, ended) = mpsc::channel();
            let watched = Arc::clone(&shared);
            std::thread::spawn(move || {
                let _ending: mpsc::Sender<()> = ending;
                if is_bar {
                    draw_bars(&watched, &meter, &stopped);
                } else {
                    print_lines(&watched, &meter, &stopped);
                }
            });
            *lock(&shared.ticker) = Some(Ticker { stop, ended });
        }
        Self(shared)
    }

    /// Shows nothing, and prints lines all the same.
    pub fn none() -> Self {
        Self::start(
            ProgressMode::None,
            Limit::fixed(NonZeroUsize::MIN),
            Arc::default(),
        )
    }

    /// What the lists hold, once it is known.
    pub fn set_totals(&self, totals: Totals) {
        // It is counted once.
        let _ = self.0.totals.set(totals);
    }

    /// Prints a line without spoiling the bars.
    pub fn println(&self, line: &str) {
        self.0.stderr.say(line);
    }

    /// What lines are printed on, without spoiling the bars.
    pub fn stderr(&self) -> &Stderr {
        &self.0.stderr
    }

    /// Takes the bars away, unless the terminal takes nothing at the moment.
    pub fn stop(&self) {
        let ticker = lock(&self.0.ticker).take();
        let Some(Ticker { stop, ended }) = ticker else {
            return;
        };
        drop(stop);
        // A thread that is not over by then is held up by the terminal, and clears it as soon as it can go on.
        if ended.recv_timeout(MAX_WAIT_FOR_TERMINAL) == Err(RecvTimeoutError::Disconnected) {
            // A terminal that is gone needs no clearing.
            let _ = self.0.bars.clear();
        }
    }
}

fn draw_bars(shared: &Shared, meter: &Meter, stopped: &mpsc::Receiver<()>) {
    let style = |template| ProgressStyle::with_template(template).expect("a valid template");
    let (with_total, of_large) = (style("{bar:12} {wide_msg}"), style("  {bar:10} {wide_msg}"));
    let main = shared.bars.add(ProgressBar::no_length());
    main.set_style(style("{spinner} {wide_msg}"));
    let mut large_bars: Vec<ProgressBar> = Vec::new();
    let mut rate = Rate::default();
    let mut has_total = false;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(REDRAW_INTERVAL) {
        let counts = meter.counts();
        let totals = shared.totals.get();
        if let Some(totals) = totals {
            if !has_total {
                main.set_style(with_total.clone());
                has_total = true;
            }
            main.set_length(totals.n_rows.max(1));
        }
        main.set_position(counts.n_done());
        rate.note(Instant::now(), &counts);
        let large = meter.large_objects();
        main.set_message(status(&counts, totals, &large, &shared.limit, &rate));
        main.tick();

        let large = largest(large);
        while large_bars.len() > large.len() {
            if let Some(bar) = large_bars.pop() {
                bar.finish_and_clear();
                shared.bars.remove(&bar);
            }
        }
        while large_bars.len() < large.len() {
            let bar = shared.bars.add(ProgressBar::new(1));
            bar.set_style(of_large.clone());
            large_bars.push(bar);
        }
        for (bar, object) in large_bars.iter().zip(&large) {
            bar.set_length(object.size);
            bar.set_position(object.n_done());
            bar.set_message(large_status(object));
        }
    }
    for bar in large_bars {
        bar.finish_and_clear();
    }
    main.finish_and_clear();
}

fn print_lines(shared: &Shared, meter: &Meter, stopped: &mpsc::Receiver<()>) {
    let mut rate = Rate::default();
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LINE_INTERVAL) {
        let counts = meter.counts();
        rate.note(Instant::now(), &counts);
        let (totals, large) = (shared.totals.get(), meter.large_objects());
        shared.stderr.say(&format!(
            "s3pull: {}",
            status(&counts, totals, &large, &shared.limit, &rate)
        ));
    }
}

/// The largest of the large objects, in an order that does not change while they are under way.
fn largest(mut objects: Vec<Arc<LargeObject>>) -> Vec<Arc<LargeObject>> {
    objects.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.key.cmp(&b.key)));
    objects.truncate(MAX_LARGE);
    objects
}

/// ` 45 % of 10.0 GiB  videos/a.mp4`
fn large_status(object: &LargeObject) -> String {
    let percent = u128::from(object.n_done()) * 100 / u128::from(object.size.max(1));
    format!(
        "{:3} % of {}  {}",
        percent.min(100),
        bytes(object.size),
        printable(&object.key)
    )
}

/// `1,234 of 5,000 objects, 2 failed, 1.2 of 3.0 GiB, 120.0 MiB/s (mean 98.0), 12.3 s left, 32 of 64 GETs in flight`, the
/// least needed last, since a narrow terminal cuts it off.
fn status(
    counts: &Counts,
    totals: Option<&Totals>,
    large: &[Arc<LargeObject>],
    limit: &Limit,
    rate: &Rate,
) -> String {
    let n_done = number(counts.n_done());
    let mut parts = vec![match totals {
        Some(totals) => format!("{n_done} of {} objects", number(totals.n_rows)),
        None => format!("{n_done} objects so far"),
    }];
    if counts.n_failed > 0 {
        parts.push(format!("{} failed", number(counts.n_failed)));
    }
    let here = counts.bytes + counts.resumed;
    // What rows that failed or were skipped would have had is not to be waited for.
    let all_bytes = totals
        .filter(|totals| totals.n_without_size == 0)
        .map(|totals| totals.bytes.saturating_sub(counts.dropped));
    parts.push(match all_bytes {
        Some(all) => format!("{} of {}", bytes(here), bytes(all.max(here))),
        None => bytes(here),
    });
    let (current, mean) = (rate.current(), rate.mean());
    parts.push(format!("{}/s (mean {}/s)", bytes(current), bytes(mean)));
    let left = match (all_bytes, totals) {
        (Some(all), _) => rate.time_left(all.saturating_sub(here)),
        // Rows without a size count alike, but for the large ones under way, whose size is known by now.
        (None, Some(totals)) => {
            let of_large = large
                .iter()
                .map(|object| object.size.saturating_sub(object.n_done()));
            let by_rows = rate.time_left_by_rows(totals.n_rows);
            by_rows.max(rate.time_left(of_large.sum()))
        }
        (None, None) => None,
    };
    if let Some(left) = left {
        parts.push(format!("{} left", duration(left)));
    }
    if let Some(waiting) = limit.waiting() {
        parts.insert(
            0,
            format!(
                "waiting, nothing gets through: {}, {} s",
                printable(&waiting.cause),
                waiting.since.elapsed().as_secs()
            ),
        );
    }
    let n_in_flight = number(limit.n_in_use() as u64);
    parts.push(if limit.is_automatic() {
        format!("{n_in_flight} in flight")
    } else {
        let n_permits = number(limit.n_permits() as u64);
        format!("{n_in_flight} of {n_permits} GETs in flight")
    });
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn counts(n_downloaded: u64, bytes: u64) -> Counts {
        Counts {
            n_downloaded,
            bytes,
            ..Counts::default()
        }
    }

    /// At 10 s, after 2 MiB/s for 5 s and 1 MiB/s from then on.
    fn rate() -> Rate {
        let start = Instant::now();
        let mut rate = Rate::default();
        for (second, mib) in [(0, 0), (5, 10), (10, 15)] {
            let at = start + Duration::from_secs(second);
            rate.note(at, &counts(second * 100, mib << 20));
        }
        rate
    }

    fn fixed(n: usize) -> Limit {
        Limit::fixed(n.try_into().unwrap())
    }

    #[test]
    fn status_says_how_far_it_is_and_how_long_it_will_take() {
        let limit = fixed(16);
        let _permit = limit.acquire().now_or_never();
        let mut counts = Counts {
            n_failed: 2,
            ..counts(998, 15 << 20)
        };
        let mut totals = Totals {
            n_rows: 2_000,
            bytes: 35 << 20,
            n_without_size: 1,
        };
        assert_eq!(
            status(&counts, Some(&totals), &[], &limit, &rate()),
            "1,000 of 2,000 objects, 2 failed, 15.0 MiB, 1.0 MiB/s (mean 1.5 MiB/s), 10.0 s left, 1 of 16 GETs in flight"
        );
        totals.n_without_size = 0;
        counts.dropped = 5 << 20;
        assert_eq!(
            status(&counts, Some(&totals), &[], &limit, &rate()),
            "1,000 of 2,000 objects, 2 failed, 15.0 MiB of 30.0 MiB, 1.0 MiB/s (mean 1.5 MiB/s), 15.0 s left, 1 of 16 GETs in flight"
        );
        counts.n_failed = 0;
        assert_eq!(
            status(&counts, None, &[], &limit, &rate()),
            "998 objects so far, 15.0 MiB, 1.0 MiB/s (mean 1.5 MiB/s), 1 of 16 GETs in flight"
        );
    }

    #[test]
    fn large_objects_under_way_are_not_one_row_like_others() {
        let meter = Arc::new(Meter::default());
        let object = meter.object();
        object.mark_large("k", 100 << 20);
        let totals = Totals {
            n_rows: 1_001,
            bytes: 0,
            n_without_size: 1_001,
        };
        let large = meter.large_objects();
        let limit = fixed(1);
        let status = status(
            &counts(1_000, 15 << 20),
            Some(&totals),
            &large,
            &limit,
            &rate(),
        );
        assert!(status.contains("1m 40s left"), "{status}");
    }

    #[test]
    fn bytes_of_an_earlier_run_are_there_but_no_speed() {
        let counts = Counts {
            resumed: 10 << 20,
            ..counts(0, 15 << 20)
        };
        let totals = Totals {
            n_rows: 1,
            bytes: 40 << 20,
            n_without_size: 0,
        };
        let status = status(&counts, Some(&totals), &[], &fixed(1), &rate());
        assert!(
            status.contains("25.0 MiB of 40.0 MiB, 1.0 MiB/s (mean 1.5 MiB/s), 15.0 s left"),
            "{status}"
        );
    }
}
