//! The end of a report: the CSV at its path, the summary, and the last event.

use std::sync::atomic::Ordering::Relaxed;

use super::Report;
use super::bottleneck::{self, Bottleneck, Measured};
use super::console::{error_text, one_line};
use super::ending::{self, Ending, RunEnd};
use super::events::SummaryEvent;
use super::failed_keys::{Kept, RecordEnd};
use super::summary::{self, Summary};
use crate::exit_code::ExitCode;
use crate::meter::{Wait, cpu_time};
use crate::options::Verbosity;
use crate::outcome::Failure;
use crate::transfer::ListEnd;

impl Report {
    /// Ends the report: why the run ended early, the CSV at its final path, the summary and the last event. Returns the
    /// exit code, which is another than that of `end` if one of these cannot be.
    pub fn finish(self, end: &RunEnd) -> ExitCode {
        let stderr = self.progress.stderr().clone();
        let mut exit_code = end.exit_code;
        let mut why = end.error.as_ref().map(one_line);
        if let Some(error) = &end.error {
            stderr.insist(&error_text(error, end.hint.as_deref()));
        }
        let counts = self.meter.counts();
        let n_filtered = self.n_filtered.load(Relaxed);
        let codes = self.tally.codes();
        let measured = self.measured(end);
        let path = self.failed_keys.path().to_owned();
        let finished = self.failed_keys.finish(RecordEnd {
            n_read: counts.n_done(),
            is_complete: self.list_end == ListEnd::Whole && self.is_recorded,
            sync: self.sync,
        });
        if let Some(error) = &finished.error {
            stderr.insist(&error_text(error, None));
            exit_code = ExitCode::Fatal;
            why.get_or_insert_with(|| one_line(error));
        }
        self.progress.stop();
        if self.verbosity > Verbosity::Quiet {
            stderr.insist(&summary::text(&Summary {
                job: self.job,
                counts,
                tally: &self.tally,
                n_filtered,
                conflict_hint: self
                    .on_conflict
                    .filter(|_| codes.contains_key("PathConflict")),
                stopped_by: end.stopped_by,
                all_missing: self.tally.all_missing(&counts, self.format.get().copied()),
                n_other_size: self.n_other_size,
                n_not_verified: self.n_not_verified,
                n_extra: self.n_extra,
                verified: &self.verified,
                throttling: measured.throttling,
                n_asked_again: self.meter.n_asked_again(),
                elapsed: measured.elapsed,
                found: measured.found,
                bottleneck: &bottleneck::lines(&measured),
            }));
            for note in &end.notes {
                stderr.insist(&format!("s3pull: {note}"));
            }
        }
        let is_fatal = end.error.as_ref().is_some_and(anyhow::Error::is::<Failure>);
        let ending = Ending {
            kept: &finished.kept,
            n_rows: finished.n_rows,
            n_permanent: self.tally.n_permanent(),
            path: &path,
            retry_command: &self.retry_command,
            is_hopeless: is_fatal && counts.n_downloaded == 0,
            list_end: self.list_end,
        };
        for line in ending::lines(&ending) {
            stderr.insist(&line);
        }
        // The run has the last event.
        drop(self.progress_events);
        let Some(events) = self.events else {
            stderr.flush(&self.patience);
            return exit_code;
        };
        let is_complete = self.list_end == ListEnd::Whole
            && !matches!(finished.kept, Kept::Incomplete(_) | Kept::Lost);
        let printed = events.summary(&SummaryEvent {
            filtered: n_filtered,
            not_attempted: self.tally.n_not_attempted,
            interrupted: self.tally.n_interrupted,
            throttled_replies: measured.throttling.n_replies,
            asked_again: self.meter.n_asked_again(),
            bottleneck: bottleneck::bottleneck(&measured).map(Bottleneck::as_str),
            best_in_flight: measured.found.map(|found| found.n as u64),
            best_in_flight_limit: measured.found.map(|found| found.why.as_str()),
            extra: self.n_extra,
            failed_keys: finished.place(&path).map(|path| path.display().to_string()),
            list_complete: is_complete,
            exit_code: exit_code.code(),
            error: why.as_deref(),
            ..SummaryEvent::of(&counts, &codes, &self.verified, measured.elapsed)
        });
        if let Err(error) = printed {
            let error = anyhow::Error::new(error).context("cannot print the last event");
            stderr.insist(&error_text(&error, None));
            exit_code = ExitCode::Fatal;
        }
        stderr.flush(&self.patience);
        exit_code
    }

    fn measured(&self, end: &RunEnd) -> Measured {
        Measured {
            elapsed: self.started.elapsed(),
            n_objects: self.meter.counts().n_done(),
            is_cut_short: end.error.is_some() || end.stopped_by.is_some(),
            first_byte: self.meter.waited(Wait::FirstByte),
            body: self.meter.waited(Wait::Body),
            disk: self.meter.waited(Wait::Disk),
            cpu: cpu_time(),
            n_cores: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            concurrency: self.limit.n_mean() as u64,
            is_automatic: self.limit.is_automatic(),
            found: self.limit.found(),
            bytes: self.meter.counts().bytes,
            throttling: self.limit.throttling(),
        }
    }
}
