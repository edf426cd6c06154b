//! What people and later runs are told: progress, failures, the failed-keys CSV and the summary.
//! The one place that prints; people's text goes to stderr.

mod bottleneck;
pub(crate) mod console;
pub(crate) mod events;
mod failed_keys;
pub(crate) mod progress;
mod rate;
mod summary;
pub(crate) mod text;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;

use bottleneck::{Bottleneck, Measured};
pub use console::error;
use console::{one_line, say};
use events::{Events, SummaryEvent};
pub use failed_keys::{FailedKeys, RecordPlace, RefusedPlace};
use failed_keys::{Kept, RecordEnd};
use progress::Progress;
use summary::Summary;
use text::{output_prefix, row_name};

use crate::config::Config;
use crate::exit_code::ExitCode;
use crate::meter::{Meter, Wait};
use crate::options::Verbosity;
use crate::outcome::{ErrorCode, Failure, Outcome, Verification};
use crate::printable::printable;
use crate::sink::files::OnWarning;
use crate::source::{DetectedList, ListSource, Totals};
use crate::transfer::{Finished, Limit, ListEnd, Observer, ObserverError, OnRequest, RequestNote};

/// Failures that are printed one by one; the CSV has them all.
pub(crate) const MAX_PRINTED_FAILURES: u64 = 10;

/// Watches a run and tells of it.
pub struct Report {
    progress: Progress,
    failed_keys: FailedKeys,
    events: Option<Events>,
    limit: Limit,
    meter: Arc<Meter>,
    verbosity: Verbosity,
    started: Instant,
    verified: BTreeMap<Verification, u64>,
    n_not_attempted: u64,
    n_printed_failures: u64,
    retry_command: String,
    lists: Vec<ListSource>,
    /// Objects of another size than their row says.
    n_other_size: u64,
    sync: bool,
    list_end: ListEnd,
    /// Whether each failed row is in the CSV.
    is_recorded: bool,
}

/// How the run ended.
pub struct RunEnd<'a> {
    pub exit_code: ExitCode,
    /// Why it ended early, if it did.
    pub error: Option<&'a anyhow::Error>,
}

impl Report {
    /// Opens the failed-keys CSV at `place` and begins to show progress.
    ///
    /// # Errors
    /// When the CSV cannot be written.
    pub fn start(
        config: &Config,
        place: RecordPlace,
        limit: Limit,
        meter: Arc<Meter>,
    ) -> anyhow::Result<Self> {
        let failed_keys = FailedKeys::create(place, &config.list.bucket)?;
        Ok(Self {
            progress: Progress::start(config.progress, limit.clone(), Arc::clone(&meter)),
            failed_keys,
            events: config
                .json
                .then(|| Events::new(&config.list.bucket, &output_prefix(&config.output))),
            limit,
            meter,
            verbosity: config.verbosity,
            started: Instant::now(),
            verified: BTreeMap::new(),
            n_not_attempted: 0,
            n_printed_failures: 0,
            retry_command: config.retry_command.clone(),
            lists: config.list.sources.clone(),
            n_other_size: 0,
            sync: config.sync,
            list_end: ListEnd::Whole,
            is_recorded: true,
        })
    }

    /// What is told of the list, from the threads that read it.
    pub fn list_notes(&self) -> ListNotes {
        ListNotes {
            progress: self.progress.clone(),
            verbosity: self.verbosity,
        }
    }

    /// Says what is otherwise than asked for.
    pub fn warn(&self, warning: &str) {
        let OnWarning(print) = self.on_warning();
        print(warning);
    }

    /// Prints warnings from any thread.
    pub fn on_warning(&self) -> OnWarning {
        let (progress, verbosity) = (self.progress.clone(), self.verbosity);
        OnWarning(Box::new(move |warning| {
            if verbosity > Verbosity::Quiet {
                progress.println(&format!("s3pull: warning: {}", printable(warning)));
            }
        }))
    }

    /// Why the failed-keys CSV could not be locked, where its file system has no locks.
    pub fn lock_refused(&self) -> Option<&io::Error> {
        self.failed_keys.lock_refused()
    }

    /// What is told of requests, if that was asked for.
    pub fn on_request(&self) -> Option<OnRequest> {
        if self.verbosity < Verbosity::Requests {
            return None;
        }
        let progress = self.progress.clone();
        Some(OnRequest(Box::new(move |note| {
            progress.println(&request_line(note));
        })))
    }

    /// Ends the report: the CSV at its final path, and the summary.
    ///
    /// # Errors
    /// When the CSV cannot be put there, or the last event not be printed.
    pub fn finish(self, end: &RunEnd<'_>) -> anyhow::Result<()> {
        self.progress.stop();
        let counts = self.meter.counts();
        let measured = self.measured();
        let path = self.failed_keys.path().to_owned();
        let kept = self.failed_keys.finish(RecordEnd {
            n_read: counts.n_done(),
            is_complete: self.list_end == ListEnd::Whole && self.is_recorded,
            sync: self.sync,
        })?;
        if self.verbosity > Verbosity::Quiet {
            let summary = summary::text(&Summary {
                counts,
                n_not_attempted: self.n_not_attempted,
                n_other_size: self.n_other_size,
                verified: &self.verified,
                throttling: measured.throttling,
                elapsed: measured.elapsed,
                bottleneck: &bottleneck::lines(&measured),
            });
            say(&summary);
        }
        let failed_rows = text::count(counts.n_failed, "failed row");
        let shown = path.to_string_lossy();
        let failed_keys = match kept {
            Kept::InPlace if counts.n_failed > 0 => {
                say(&format!(
                    "s3pull: {failed_rows} in {}; try them again with:",
                    printable(&shown)
                ));
                say(&format!("  {}", printable(&self.retry_command)));
                Some(path)
            }
            Kept::Written => {
                say(&format!(
                    "s3pull: {failed_rows} written to {}",
                    printable(&shown)
                ));
                Some(path)
            }
            Kept::Incomplete(left) => {
                say(&format!(
                    "s3pull: {failed_rows} in {}, which is not the whole list; nothing was changed at {}",
                    printable(&left.to_string_lossy()),
                    printable(&shown)
                ));
                Some(left)
            }
            Kept::InPlace | Kept::Nothing => None,
        };
        if let Some(lines) = rest_of_list(self.list_end) {
            say(lines);
        }
        let Some(mut events) = self.events else {
            return Ok(());
        };
        let error = end.error.map(one_line);
        events
            .summary(&SummaryEvent {
                not_attempted: self.n_not_attempted,
                throttled_replies: measured.throttling.n_replies,
                bottleneck: bottleneck::bottleneck(&measured).map(Bottleneck::as_str),
                failed_keys: failed_keys.map(|path| path.display().to_string()),
                list_complete: self.list_end == ListEnd::Whole,
                exit_code: end.exit_code.code(),
                error: error.as_deref(),
                ..SummaryEvent::of(&counts, &self.verified, measured.elapsed)
            })
            .context("cannot print the last event")
    }

    fn measured(&self) -> Measured {
        Measured {
            elapsed: self.started.elapsed(),
            first_byte: self.meter.waited(Wait::FirstByte),
            body: self.meter.waited(Wait::Body),
            disk: self.meter.waited(Wait::Disk),
            cpu: cpu_time(),
            n_cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            concurrency: self.limit.n_permits() as u64,
            bytes: self.meter.counts().bytes,
            throttling: self.limit.throttling(),
        }
    }

    fn print_failure(&mut self, finished: &Finished, failure: &Failure) {
        // Why the run ended early is said once.
        if failure.code == ErrorCode::NotAttempted {
            self.n_not_attempted += 1;
            return;
        }
        self.n_printed_failures += 1;
        if self.n_printed_failures > MAX_PRINTED_FAILURES && self.verbosity < Verbosity::Verbose {
            if self.n_printed_failures == MAX_PRINTED_FAILURES + 1 {
                self.progress
                    .println("s3pull: more rows failed; the failed-keys CSV has them all");
            }
            return;
        }
        let name = row_name(&finished.entry.key, finished.place, &self.lists);
        self.progress.println(&format!(
            "s3pull: failed: {name}: {}: {}",
            printable(failure.code.as_str()),
            printable(&failure.message)
        ));
    }
}

impl Observer for Report {
    fn finished(&mut self, finished: &Finished) -> Result<(), ObserverError> {
        match &finished.outcome {
            Outcome::Downloaded(downloaded) => {
                *self.verified.entry(downloaded.verification).or_default() += 1;
                let is_listed_size = |size| size == downloaded.bytes;
                self.n_other_size += u64::from(!finished.entry.size.is_none_or(is_listed_size));
                if self.verbosity >= Verbosity::Verbose {
                    let (key, size) = (
                        printable(&finished.entry.key),
                        text::bytes(downloaded.bytes),
                    );
                    self.progress.println(&format!(
                        "s3pull: downloaded {key} ({size}, {})",
                        downloaded.verification
                    ));
                }
            }
            Outcome::Skipped(reason) => {
                if self.verbosity >= Verbosity::Verbose {
                    self.progress.println(&format!(
                        "s3pull: skipped {} ({reason})",
                        printable(&finished.entry.key)
                    ));
                }
            }
            Outcome::Failed(failure) => {
                if let Err(error) = self.failed_keys.record(finished, failure) {
                    self.is_recorded = false;
                    let error = because("cannot write the failed-keys CSV", &error);
                    return Err(ObserverError::NotRecorded(error));
                }
                self.print_failure(finished, failure);
            }
        }
        // Where one event cannot be printed, no later one can.
        if let Some(mut events) = self.events.take() {
            events.finished(finished).map_err(|error| {
                ObserverError::NotPrinted(because("cannot print an event", &error))
            })?;
            self.events = Some(events);
        }
        Ok(())
    }

    fn list_ended(&mut self, end: ListEnd) {
        self.list_end = end;
    }
}

/// Tells of the list while it is read.
#[derive(Clone)]
pub struct ListNotes {
    progress: Progress,
    verbosity: Verbosity,
}

impl ListNotes {
    pub(crate) fn new(progress: Progress, verbosity: Verbosity) -> Self {
        Self {
            progress,
            verbosity,
        }
    }

    /// How a list is read, and why so.
    pub fn detected(&self, detected: &DetectedList) {
        if self.verbosity >= Verbosity::Verbose {
            self.progress.println(&detected_line(detected));
        }
    }

    /// What all the lists hold, once they are counted.
    pub fn totals(&self, totals: Totals) {
        self.progress.set_totals(totals);
    }
}

/// `s3pull: the key list `k.csv.gz` is read as gzip, `csv`: its first line is a header with a `key` column`
fn detected_line(detected: &DetectedList) -> String {
    let compression = detected
        .compression
        .map_or_else(String::new, |compression| format!("{compression}, "));
    format!(
        "s3pull: the key list {} is read as {compression}`{}`: {}",
        printable(&detected.list),
        detected.format,
        detected.reason
    )
}

/// `s3pull: GET k bytes=0-9: 12 ms`
fn request_line(note: &RequestNote<'_>) -> String {
    let range = match &note.range {
        Some(range) => format!(" bytes={}-{}", range.start, range.end - 1),
        None => String::new(),
    };
    let error = match note.error {
        Some(error) => format!(", {}: {}", error.code, error.message),
        None => String::new(),
    };
    let line = format!(
        "s3pull: GET {}{range}: {}{error}",
        note.key,
        text::duration(note.time)
    );
    printable(&line).into_owned()
}

/// What to do about the rows that were not read, if there are any.
fn rest_of_list(end: ListEnd) -> Option<&'static str> {
    match end {
        ListEnd::Whole => None,
        ListEnd::CutShort => Some(
            "s3pull: warning: the key list was not read to its end: the keys of the rest are in no file and in no CSV\n\
             s3pull: run the same command again for the whole list; `--if-exists skip` passes over the files that are there",
        ),
        ListEnd::Broken => Some(
            "s3pull: warning: the key list was not read to its end: the keys of the rest are in no file and in no CSV\n\
             s3pull: mend the list and run the same command again; `--if-exists skip` passes over the files that are there",
        ),
    }
}

fn because(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// What this process has used of all cores.
#[cfg(unix)]
fn cpu_time() -> Option<Duration> {
    use rustix::time::{ClockId, clock_gettime};
    clock_gettime(ClockId::ProcessCPUTime).try_into().ok()
}

#[cfg(not(unix))]
fn cpu_time() -> Option<Duration> {
    None
}
