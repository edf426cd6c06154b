//! What people and later runs are told: progress, failures, the failed-keys CSV and the summary.
//! The one place that prints; people's text goes to stderr.

mod bottleneck;
pub(crate) mod console;
mod ending;
pub(crate) mod events;
mod failed_keys;
mod finish;
mod lines;
mod list_notes;
mod log;
mod look;
mod may_pass;
mod meant;
mod other_bucket;
mod paint;
pub(crate) mod progress;
mod progress_event;
mod queue;
mod rate;
mod record_file;
mod record_place;
// It has a shell read commands.
#[cfg(all(test, unix))]
mod round_trip;
mod rounds;
mod status;
mod summary;
mod tally;
pub(crate) mod text;
pub(crate) mod whole_rows;

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use console::Patience;
pub use console::error;
pub use ending::RunEnd;
use events::Events;
pub use failed_keys::FailedKeys;
use failed_keys::Rescue;
pub use list_notes::ListNotes;
use meant::Slip;
use progress::Progress;
use progress_event::ProgressEvents;
pub use record_place::{RecordPlace, RefusedPlace};
use tally::Tally;
use text::{output_prefix, request_line, row_name, step_line, stopping_line};

use crate::config::Config;
use crate::exit_code::ExitCode;
use crate::meter::Meter;
use crate::options::{Job, Verbosity};
use crate::outcome::{ErrorCode, Failure, Outcome, SkipReason, Verification};
use crate::printable::printable;
use crate::sink::files::OnWarning;
use crate::source::ListSource;
use crate::stop::Stop;
use crate::transfer::{Finished, Limit, ListEnd, Observer, ObserverError, OnRequest, OnStep};

/// Failures that are printed one by one; the CSV has them all.
pub(crate) const MAX_PRINTED_FAILURES: u64 = 10;

/// How long a reader of stderr is waited for when the process is about to end.
const LAST_RESORT: Duration = Duration::from_millis(150);

/// Watches a run and tells of it.
pub struct Report {
    progress: Progress,
    failed_keys: FailedKeys,
    events: Option<Events>,
    progress_events: Option<ProgressEvents>,
    limit: Limit,
    meter: Arc<Meter>,
    verbosity: Verbosity,
    started: Instant,
    verified: BTreeMap<Verification, u64>,
    tally: Tally,
    n_printed_failures: u64,
    /// What keys that do not exist may be, as far as that was said.
    slips: Vec<Slip>,
    /// How the first list is read.
    format: Arc<OnceLock<&'static str>>,
    /// Rows that the filters left out.
    n_filtered: Arc<AtomicU64>,
    /// What to say if two rows have one path.
    on_conflict: Option<&'static str>,
    retry_command: String,
    lists: Vec<ListSource>,
    /// Objects of another size than their row says.
    n_other_size: u64,
    /// Files that were kept although nothing tells the content of their objects.
    n_not_verified: u64,
    /// Files that are of no row.
    n_extra: u64,
    /// What the paths of files begin with.
    output_prefix: String,
    job: Job,
    sync: bool,
    list_end: ListEnd,
    /// Whether each failed row is in the CSV.
    is_recorded: bool,
    /// How long readers that stall are waited for.
    patience: Patience,
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
        stop: Arc<Stop>,
    ) -> anyhow::Result<Self> {
        let mut failed_keys = FailedKeys::create(place, &config.list)?;
        let progress = Progress::start(
            config.progress,
            limit.clone(),
            Arc::clone(&meter),
            log::open(config)?,
        );
        if config.log.is_some() {
            progress.println(&log::first_line());
        }
        let patience = Patience::Of(stop);
        failed_keys.wait_for_reader(progress.stderr(), &patience);
        let events = Events::open(config, progress.stderr(), &patience)?;
        let progress_events = events.as_ref().map(|events| {
            let watched = progress.clone();
            let look = move || watched.look();
            ProgressEvents::start(look, events.by_the_way(), progress_event::INTERVAL)
        });
        Ok(Self {
            progress,
            failed_keys,
            events,
            progress_events,
            limit,
            meter,
            verbosity: config.verbosity,
            started: Instant::now(),
            verified: BTreeMap::new(),
            tally: Tally::default(),
            n_printed_failures: 0,
            slips: Vec::new(),
            format: Arc::default(),
            n_filtered: Arc::default(),
            on_conflict: conflict_hint(config),
            retry_command: config.retry_command.clone(),
            lists: config.list.sources.clone(),
            n_other_size: 0,
            n_not_verified: 0,
            n_extra: 0,
            output_prefix: output_prefix(&config.output),
            job: config.transfer.job,
            sync: config.sync,
            list_end: ListEnd::Whole,
            is_recorded: true,
            patience,
        })
    }

    /// What is told of the list, from the threads that read it.
    pub fn list_notes(&self) -> ListNotes {
        ListNotes {
            progress: self.progress.clone(),
            verbosity: self.verbosity,
            format: Arc::clone(&self.format),
            n_filtered: Arc::clone(&self.n_filtered),
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
                progress.announce(&format!("s3pull: warning: {}", printable(warning)));
            }
        }))
    }

    /// Says that the run is being stopped by the signal that asks for this exit code.
    pub fn on_stop(&self) -> Box<dyn FnOnce(ExitCode) + Send> {
        let (progress, limit, verbosity) =
            (self.progress.clone(), self.limit.clone(), self.verbosity);
        Box::new(move |exit_code| {
            if verbosity > Verbosity::Quiet {
                progress.announce(&stopping_line(limit.n_objects() as u64, exit_code));
            }
        })
    }

    /// Leaves the failed rows where they are found when the run cannot be waited for.
    pub fn on_last_resort(&self) -> Box<dyn FnOnce() + Send> {
        let rescue = self.failed_keys.rescue();
        let stderr = self.progress.stderr().clone();
        Box::new(move || {
            if let Some(left) = rescue.and_then(Rescue::leave) {
                let left = left.to_string_lossy().into_owned();
                stderr.insist(&format!(
                    "s3pull: stopped at once; the failed rows so far are in {}",
                    printable(&left)
                ));
                stderr.flush_within(LAST_RESORT);
            }
        })
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

    /// What is told of the numbers in flight that the run tries, if that was asked for.
    pub(crate) fn on_step(&self) -> Option<OnStep> {
        if self.verbosity < Verbosity::Requests {
            return None;
        }
        let progress = self.progress.clone();
        Some(OnStep(Box::new(move |step| {
            progress.println(&step_line(step));
        })))
    }

    /// A file at this path below the output folder is of no row.
    pub fn extra(&mut self, path: &str) {
        self.n_extra += 1;
        let path = format!("{}{path}", self.output_prefix);
        if self.n_extra <= MAX_PRINTED_FAILURES || self.verbosity >= Verbosity::Verbose {
            let path = printable(&path);
            self.progress.println(&format!("s3pull: extra: {path}"));
        } else if self.n_extra == MAX_PRINTED_FAILURES + 1 {
            self.progress
                .println("s3pull: there are more extra files; `-v` prints them all");
        }
        // Where one event cannot be printed, no later one can.
        if let Some(mut events) = self.events.take()
            && events.extra(&path).is_ok()
        {
            self.events = Some(events);
        }
    }

    fn print_failure(&mut self, finished: &Finished, failure: &Failure) {
        // Why the run ended early is said once, and before all else.
        if failure.class.ends_run()
            || matches!(
                failure.code,
                ErrorCode::NotAttempted | ErrorCode::Interrupted
            )
        {
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
        let name = row_name(&finished.entry.name(), finished.place, &self.lists);
        self.progress.println(&format!(
            "s3pull: failed: {name}: {}: {}",
            printable(failure.code.as_str()),
            printable(&failure.message)
        ));
        // Who may not list a bucket is told 403 of keys that do not exist.
        let is_missing =
            matches!(failure.status, Some(403 | 404)) || failure.code == ErrorCode::UnsafeKey;
        let list = self.lists.get(finished.place.list);
        let is_typed = matches!(list, Some(ListSource::Arguments(_)));
        let key = &finished.entry.key;
        let slip = is_missing.then(|| Slip::of(key, is_typed)).flatten();
        // Of many keys alike, one is enough.
        if let Some(slip) = slip.filter(|slip| !self.slips.contains(slip)) {
            self.slips.push(slip);
            let hint = slip.hint(key);
            self.progress.println(&format!("s3pull: hint: {hint}"));
        }
    }
}

impl Observer for Report {
    fn finished(&mut self, finished: &Finished) -> Result<(), ObserverError> {
        let mut recorded = Ok(());
        match &finished.outcome {
            Outcome::Downloaded(downloaded) => {
                *self.verified.entry(downloaded.verification).or_default() += 1;
                let is_listed_size = |size| size == downloaded.bytes;
                self.n_other_size += u64::from(!finished.entry.size.is_none_or(is_listed_size));
                if self.verbosity >= Verbosity::Verbose {
                    let name = finished.entry.name();
                    let (key, size) = (printable(&name), text::bytes(downloaded.bytes));
                    self.progress.println(&format!(
                        "s3pull: downloaded {key} ({size}, {})",
                        downloaded.verification
                    ));
                }
            }
            Outcome::Skipped(reason) => {
                self.n_not_verified += u64::from(*reason == SkipReason::NotVerified);
                if self.verbosity >= Verbosity::Verbose {
                    self.progress.println(&format!(
                        "s3pull: skipped {} ({reason})",
                        printable(&finished.entry.name())
                    ));
                }
            }
            Outcome::Failed(failure) => {
                self.tally.add(finished, failure);
                recorded = self.failed_keys.record(finished, failure);
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
        recorded.map_err(|error| {
            let error = because("cannot write the failed-keys CSV", &error);
            if self.failed_keys.is_lost() {
                self.is_recorded = false;
                ObserverError::NotRecorded(error)
            } else {
                ObserverError::RecordWaits(error)
            }
        })
    }

    fn list_ended(&mut self, end: ListEnd) {
        self.list_end = end;
    }
}

/// What to say if two rows have one path: keys of several buckets may be equal.
pub(crate) fn conflict_hint(config: &Config) -> Option<&'static str> {
    let are_mixed = config.list.bucket.is_none() && !config.paths.template.has_bucket();
    are_mixed.then_some(
        "path conflicts: if buckets have equal keys, `--path '{bucket}/{key}'` keeps them apart",
    )
}

fn because(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
