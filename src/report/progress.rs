//! Progress while a run lasts: a bar on a terminal, plain lines elsewhere. The one file that knows indicatif.
//!
//! A thread looks at the run a few times a second; the downloads themselves never touch the bar.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use terminal_size::terminal_size_of;

use super::console::Stderr;
use super::look::{Look, Watch};
use super::paint::Paint;
use super::rate::Rate;
use super::status::{large_status, largest, status};
use crate::locks::lock;
use crate::meter::{LargeObject, Meter};
use crate::options::ProgressMode;
use crate::source::Totals;
use crate::transfer::Limit;

const REDRAW_INTERVAL: Duration = Duration::from_millis(100);
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// How long a terminal may take to show the last of the bars.
const MAX_WAIT_FOR_TERMINAL: Duration = Duration::from_secs(1);
/// Of a terminal that does not say how wide it is.
const DEFAULT_WIDTH: u16 = 80;
/// Characters of the bar in front of the status, which has the line for itself on a narrow terminal.
const BAR: usize = 12;
const MIN_WIDTH_FOR_BAR: usize = 70;
/// Characters of the bar of a large object.
const LARGE_BAR: usize = 10;

/// Shows how far the run is. Clones show the same.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Shared>);

struct Shared {
    /// Hidden unless this is a terminal that shows bars.
    bars: MultiProgress,
    watch: Watch,
    stderr: Stderr,
    tickers: Mutex<Vec<Ticker>>,
}

struct Ticker {
    /// Dropped to end the thread.
    stop: mpsc::Sender<()>,
    /// Disconnected when the thread has ended.
    ended: mpsc::Receiver<()>,
}

impl Progress {
    /// Shows the progress of what `meter` and `limit` count, and copies lines to `log` if there is one.
    pub(crate) fn start(
        mode: ProgressMode,
        limit: Limit,
        meter: Arc<Meter>,
        log: Option<File>,
    ) -> Self {
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
            Stderr::start(move |bytes| suspended.suspend(|| io::stderr().lock().write(bytes)))
                .painted(Paint::of_stderr());
        let has_log = log.is_some();
        let stderr = stderr.with_log(log);
        let progress = Self(Arc::new(Shared {
            bars,
            watch: Watch::new(meter, limit),
            stderr,
            tickers: Mutex::default(),
        }));
        if mode != ProgressMode::None {
            if is_bar {
                progress.spawn(draw_bars);
            }
            if !is_bar || has_log {
                progress.spawn(print_lines);
            }
        }
        progress
    }

    /// Shows nothing, and prints lines all the same.
    pub(crate) fn none() -> Self {
        Self::start(
            ProgressMode::None,
            Limit::fixed(NonZeroUsize::MIN),
            Arc::default(),
            None,
        )
    }

    fn spawn(&self, show: fn(&Shared, &mpsc::Receiver<()>)) {
        let (stop, stopped) = mpsc::channel();
        let (ending, ended) = mpsc::channel();
        let shared = Arc::clone(&self.0);
        std::thread::spawn(move || {
            let _ending: mpsc::Sender<()> = ending;
            show(&shared, &stopped);
        });
        lock(&self.0.tickers).push(Ticker { stop, ended });
    }

    /// What the lists hold, once it is known.
    pub(crate) fn set_totals(&self, totals: Totals) {
        self.0.watch.set_totals(totals);
    }

    /// The run as it is now.
    pub(crate) fn look(&self) -> Look {
        self.0.watch.look()
    }

    /// Prints a line without spoiling the bars: in the log only, if there is one.
    pub(crate) fn println(&self, line: &str) {
        self.0.stderr.note(line);
    }

    /// Prints a line that is to be seen now, log or not.
    pub(crate) fn announce(&self, line: &str) {
        self.0.stderr.say(line);
    }

    /// What lines are printed on, without spoiling the bars.
    pub(crate) fn stderr(&self) -> &Stderr {
        &self.0.stderr
    }

    /// Takes the bars away, unless the terminal takes nothing at the moment.
    pub(crate) fn stop(&self) {
        let tickers = std::mem::take(&mut *lock(&self.0.tickers));
        for Ticker { stop, ended } in tickers {
            drop(stop);
            // A thread that is not over by then is held up by the terminal, and clears it as soon as it can go on.
            if ended.recv_timeout(MAX_WAIT_FOR_TERMINAL) == Err(RecvTimeoutError::Disconnected) {
                // A terminal that is gone needs no clearing.
                let _ = self.0.bars.clear();
            }
        }
    }
}

fn terminal_width() -> usize {
    let size = terminal_size_of(io::stderr());
    size.map_or(DEFAULT_WIDTH, |(width, _)| width.0).into()
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("a valid template")
}

fn draw_bars(shared: &Shared, stopped: &mpsc::Receiver<()>) {
    let main = shared.bars.add(ProgressBar::no_length());
    let mut large_bars = LargeBars::new(&shared.bars);
    let mut rate = Rate::default();
    rate.note(Instant::now(), &shared.watch.look().counts);
    let mut shape = None;
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(REDRAW_INTERVAL) {
        let (look, width) = (shared.watch.look(), terminal_width());
        let (with_bar, with_total) = (width >= MIN_WIDTH_FOR_BAR, look.totals.is_some());
        let (template, taken) = match (with_bar, with_total) {
            (true, true) => ("{bar:12} {wide_msg}", BAR + 1),
            (true, false) => ("{spinner} {wide_msg}", 2),
            (false, _) => ("{wide_msg}", 0),
        };
        if shape.replace(template) != Some(template) {
            main.set_style(style(template));
        }
        let (position, length) = position(&look);
        if let Some(length) = length {
            main.set_length(length);
        }
        main.set_position(position);
        rate.note(Instant::now(), &look.counts);
        main.set_message(status(&look, &rate, width.saturating_sub(taken)));
        main.tick();
        large_bars.show(&look.large, width);
    }
    large_bars.clear();
    main.finish_and_clear();
}

/// How far the run is, and of how much: in bytes where all sizes are known, else in rows.
fn position(look: &Look) -> (u64, Option<u64>) {
    let here = look.counts.bytes + look.counts.resumed;
    match (look.all_bytes(), look.totals) {
        (Some(all), _) if all > 0 => (here.min(all), Some(all)),
        (_, Some(totals)) => (look.counts.n_done(), Some(totals.n_rows.max(1))),
        (_, None) => (look.counts.n_done(), None),
    }
}

/// A line per large object, and one for how many more there are.
struct LargeBars<'a> {
    all: &'a MultiProgress,
    objects: Vec<ProgressBar>,
    more: Option<ProgressBar>,
}

impl<'a> LargeBars<'a> {
    fn new(all: &'a MultiProgress) -> Self {
        Self {
            all,
            objects: Vec::new(),
            more: None,
        }
    }

    fn show(&mut self, objects: &[Arc<LargeObject>], width: usize) {
        let (largest, n_more) = largest(objects);
        while self.objects.len() > largest.len() {
            if let Some(bar) = self.objects.pop() {
                self.remove(&bar);
            }
        }
        while self.objects.len() < largest.len() {
            let bar = self.all.insert(1 + self.objects.len(), ProgressBar::new(1));
            bar.set_style(style("  {bar:10} {wide_msg}"));
            self.objects.push(bar);
        }
        for (bar, object) in self.objects.iter().zip(&largest) {
            bar.set_length(object.size);
            bar.set_position(object.n_done());
            bar.set_message(large_status(object, width.saturating_sub(LARGE_BAR + 3)));
        }
        if n_more == 0 {
            if let Some(bar) = self.more.take() {
                self.remove(&bar);
            }
            return;
        }
        let more = self.more.get_or_insert_with(|| {
            let bar = self.all.add(ProgressBar::new(1));
            bar.set_style(style("  {wide_msg}"));
            bar
        });
        more.set_message(format!("+{n_more} more"));
        more.tick();
    }

    fn remove(&self, bar: &ProgressBar) {
        bar.finish_and_clear();
        self.all.remove(bar);
    }

    fn clear(self) {
        for bar in self.objects.iter().chain(&self.more) {
            bar.finish_and_clear();
        }
    }
}

fn print_lines(shared: &Shared, stopped: &mpsc::Receiver<()>) {
    let mut rate = Rate::default();
    rate.note(Instant::now(), &shared.watch.look().counts);
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LINE_INTERVAL) {
        let look = shared.watch.look();
        rate.note(Instant::now(), &look.counts);
        let line = status(&look, &rate, usize::MAX);
        shared.stderr.note(&format!("s3pull: {line}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Counts;

    #[test]
    fn the_bar_is_of_bytes_where_all_sizes_are_known_else_of_rows() {
        let mut look = Look {
            counts: Counts {
                n_downloaded: 3,
                bytes: 10,
                resumed: 5,
                ..Counts::default()
            },
            ..Look::default()
        };
        assert_eq!(position(&look), (3, None));
        look.totals = Some(Totals {
            n_rows: 7,
            bytes: 100,
            n_without_size: 1,
        });
        assert_eq!(position(&look), (3, Some(7)));
        look.totals = look.totals.map(|totals| Totals {
            n_without_size: 0,
            ..totals
        });
        assert_eq!(position(&look), (15, Some(100)));
    }
}
