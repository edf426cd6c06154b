//! What a dry run tells: each key and its path on stdout, and what it came to on stderr.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, ErrorKind, Stdout, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use anyhow::Context;

use crate::config::Config;
use crate::exit_code::ExitCode;
use crate::meter::Counts;
use crate::options::Verbosity;
use crate::outcome::{Failure, Outcome, SkipReason};
use crate::printable::{printable, room};
use crate::report::console::{Patience, one_line, say};
use crate::report::events::{Events, SummaryEvent};
use crate::report::progress::Progress;
use crate::report::text::{below_output, output_prefix};
use crate::report::text::{bytes, count, listed, number, row_name};
use crate::report::{ListNotes, MAX_PRINTED_FAILURES, conflict_hint};
use crate::row::{Entry, Place};
use crate::sink::files::LocalPath;
use crate::source::ListSource;

/// As much as a batch of rows may print.
const BUFFER_SIZE: usize = 256 * 1024;

pub(super) struct DryRunReport {
    /// `None` when nobody reads it any more, or nothing is to be printed.
    stdout: Option<BufWriter<Stdout>>,
    progress: Progress,
    written: io::Result<()>,
    verbosity: Verbosity,
    output: PathBuf,
    /// What each path begins with.
    output_prefix: String,
    events: Option<Events>,
    lists: Vec<ListSource>,
    /// Rows that the filters left out.
    n_filtered: Arc<AtomicU64>,
    /// What to say if two rows have one path.
    on_conflict: Option<&'static str>,
    started: Instant,
    plan: Plan,
}

/// How a dry run ended.
pub(super) struct DryRunEnd<'a> {
    pub exit_code: ExitCode,
    /// Why it ended early, if it did.
    pub error: Option<&'a anyhow::Error>,
    /// Room on the disk.
    pub free_bytes: Option<u64>,
    /// Whether there were too many rows to compare each with each.
    pub is_partial: bool,
}

/// What a run would do.
#[derive(Default)]
struct Plan {
    n_planned: u64,
    n_skipped: u64,
    /// Failed rows by their error.
    failed: BTreeMap<String, u64>,
    /// Bytes of the planned rows that state a size.
    bytes: u64,
    /// Bytes by which the files would grow: those that are replaced give back theirs.
    growth: u64,
    n_without_size: u64,
}

impl DryRunReport {
    /// # Errors
    /// When the file for the events cannot be opened.
    pub(super) fn start(config: &Config) -> anyhow::Result<Self> {
        let is_quiet = config.verbosity == Verbosity::Quiet || config.json;
        let prefix = output_prefix(&config.output);
        let progress = Progress::none();
        let events = Events::open(config, progress.stderr(), &Patience::Endless)?;
        Ok(Self {
            stdout: (!is_quiet).then(|| BufWriter::with_capacity(BUFFER_SIZE, io::stdout())),
            progress,
            written: Ok(()),
            verbosity: config.verbosity,
            output: config.output.clone(),
            output_prefix: printable(&prefix).into_owned(),
            events,
            lists: config.list.sources.clone(),
            n_filtered: Arc::default(),
            on_conflict: conflict_hint(config),
            started: Instant::now(),
            plan: Plan::default(),
        })
    }

    /// What is told of the lists, from the thread that reads them.
    pub(super) fn list_notes(&self) -> ListNotes {
        let n_filtered = Arc::clone(&self.n_filtered);
        ListNotes::new(self.progress.clone(), self.verbosity, n_filtered)
    }

    /// Prints a row that would be downloaded, by which the files would grow by `growth` bytes.
    pub(super) fn planned(&mut self, entry: &Entry, place: Place, path: &LocalPath, growth: u64) {
        self.plan.n_planned += 1;
        self.plan.growth = self.plan.growth.saturating_add(growth);
        match entry.size {
            Some(size) => self.plan.bytes = self.plan.bytes.saturating_add(size),
            None => self.plan.n_without_size += 1,
        }
        if let Some(events) = &mut self.events {
            let written = events.planned(entry, place, path);
            self.keep(written);
        }
        let name = entry.name();
        if let Some(stdout) = &mut self.stdout {
            let (key, path_shown) = (printable(&name), printable(path.as_str()));
            let [folder, below, slash] =
                below_output(&self.output_prefix, &path_shown, path.is_folder());
            // Formatting would take longer than all else that is done with a row.
            let written = [&key, " -> ", folder, below, slash, "\n"]
                .iter()
                .try_for_each(|text| stdout.write_all(text.as_bytes()));
            self.keep(written);
        }
    }

    /// Prints a row that would end as `outcome` says: skipped or failed.
    pub(super) fn unplanned(
        &mut self,
        entry: &Entry,
        bucket: Option<&str>,
        place: Place,
        outcome: &Outcome,
    ) {
        if let Some(events) = &mut self.events {
            let written = events.unplanned(entry, bucket, place, outcome);
            self.keep(written);
        }
        match outcome {
            Outcome::Skipped(reason) => self.skipped(&entry.name(), *reason),
            Outcome::Failed(failure) => self.failed(&entry.name(), place, failure),
            Outcome::Downloaded(_) => {}
        }
    }

    fn skipped(&mut self, key: &str, reason: SkipReason) {
        self.plan.n_skipped += 1;
        if self.verbosity >= Verbosity::Verbose {
            say(&format!("s3pull: skipped {} ({reason})", printable(key)));
        }
    }

    fn failed(&mut self, key: &str, place: Place, failure: &Failure) {
        let n_failed = self.plan.n_failed();
        *self
            .plan
            .failed
            .entry(failure.code.to_string())
            .or_default() += 1;
        if n_failed < MAX_PRINTED_FAILURES || self.verbosity >= Verbosity::Verbose {
            let name = row_name(key, place, &self.lists);
            let (code, message) = (&failure.code, printable(&failure.message));
            say(&format!("s3pull: would fail: {name}: {code}: {message}"));
        } else if n_failed == MAX_PRINTED_FAILURES {
            say("s3pull: more rows would fail; `-v` prints them all");
        }
    }

    /// Prints what was gathered, so that a list that arrives slowly is seen as it does.
    ///
    /// # Errors
    /// When stdout cannot be written to. A closed one is not an error: its reader has seen enough.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        let flushed = self.stdout.as_mut().map_or(Ok(()), Write::flush);
        self.keep(flushed);
        std::mem::replace(&mut self.written, Ok(()))
    }

    fn keep(&mut self, written: io::Result<()>) {
        if let Err(error) = written {
            self.events = None;
            // What is gathered in it is dropped with it, and not written again.
            if let Some(stdout) = self.stdout.take() {
                let _ = stdout.into_parts();
            }
            if error.kind() != ErrorKind::BrokenPipe {
                self.written = Err(error);
            }
        }
    }

    pub(super) fn n_failed(&self) -> u64 {
        self.plan.n_failed()
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// When the last event cannot be printed.
    pub(super) fn finish(self, end: &DryRunEnd<'_>) -> anyhow::Result<()> {
        let n_filtered = self.n_filtered.load(Relaxed);
        self.flush_notes();
        if self.verbosity > Verbosity::Quiet {
            let folder = printable(&self.output.to_string_lossy()).into_owned();
            let mut lines = self.plan.lines(&folder, end.free_bytes);
            lines.extend(filtered_line(n_filtered));
            let has_conflicts = self.plan.failed.contains_key("PathConflict");
            lines.extend(
                self.on_conflict
                    .filter(|_| has_conflicts)
                    .map(str::to_owned),
            );
            if end.is_partial {
                lines.push(
                    "too many rows to compare each with each: more conflicts are possible"
                        .to_owned(),
                );
            }
            say(&lines.join("\ns3pull: "));
        }
        let Some(events) = self.events else {
            return Ok(());
        };
        let error = end.error.map(one_line);
        let counts = Counts {
            n_skipped: self.plan.n_skipped,
            n_failed: self.plan.n_failed(),
            ..Counts::default()
        };
        let printed = events.summary(&SummaryEvent {
            rows: self.plan.n_rows(),
            planned: self.plan.n_planned,
            filtered: n_filtered,
            bytes: self.plan.bytes,
            exit_code: end.exit_code.code(),
            error: error.as_deref(),
            // Nothing but a list that cannot be read ends a dry run early.
            list_complete: end.error.is_none(),
            ..SummaryEvent::of(
                &counts,
                &self.plan.failed,
                &BTreeMap::new(),
                self.started.elapsed(),
            )
        });
        match printed {
            // Who closed it has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            printed => printed.context("cannot print the last event"),
        }
    }

    /// Waits until what was noted of the lists is printed.
    pub(super) fn flush_notes(&self) {
        self.progress.stderr().flush(&Patience::Endless);
    }
}

/// `5 rows filtered out by `--include` and `--exclude``
fn filtered_line(n: u64) -> Option<String> {
    (n > 0).then(|| {
        format!(
            "{} filtered out by `--include` and `--exclude`",
            count(n, "row")
        )
    })
}

impl Plan {
    fn n_rows(&self) -> u64 {
        self.n_planned + self.n_skipped + self.n_failed()
    }

    fn n_failed(&self) -> u64 {
        self.failed.values().sum()
    }

    fn lines(&self, folder: &str, free: Option<u64>) -> Vec<String> {
        let mut lines = vec![format!(
            "s3pull: dry run: {}: {} to download, {} to skip, {} would fail",
            count(self.n_rows(), "row"),
            number(self.n_planned),
            number(self.n_skipped),
            number(self.n_failed())
        )];
        if !self.failed.is_empty() {
            let codes: Vec<_> = self
                .failed
                .iter()
                .map(|(code, &n)| format!("{} ({})", printable(code), number(n)))
                .collect();
            lines.push(format!("would fail: {}", listed(&codes)));
        }
        if self.n_planned > self.n_without_size {
            let unknown = match self.n_without_size {
                0 => String::new(),
                n => format!(", and {} of unknown size", count(n, "object")),
            };
            lines.push(format!("{} to download{unknown}", bytes(self.bytes)));
        }
        match free {
            Some(free) if self.growth > free => lines.push(format!(
                "warning: the disk is too small: {} for `{folder}`",
                room(free, self.growth)
            )),
            Some(free) => lines.push(format!("{} free for `{folder}`", bytes(free))),
            None => {}
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_sets_what_is_needed_against_what_is_free() {
        let mut plan = Plan {
            n_planned: 1_200,
            n_skipped: 30,
            failed: BTreeMap::from([("InvalidRow".to_owned(), 1), ("UnsafeKey".to_owned(), 2)]),
            bytes: 2 << 30,
            growth: 2 << 30,
            n_without_size: 0,
        };
        assert_eq!(
            plan.lines("out", Some(3 << 30)),
            [
                "s3pull: dry run: 1,233 rows: 1,200 to download, 30 to skip, 3 would fail",
                "would fail: InvalidRow (1) and UnsafeKey (2)",
                "2.0 GiB to download",
                "3.0 GiB free for `out`"
            ]
        );
        plan.n_without_size = 7;
        let lines = plan.lines("out", Some(1 << 30));
        assert_eq!(
            lines[2],
            "2.0 GiB to download, and 7 objects of unknown size"
        );
        assert_eq!(
            lines[3],
            "warning: the disk is too small: 1 GiB free, 2 GiB needed for `out`"
        );
    }
}
