//! `--dry-run`: every row is read, mapped and checked as a run would do it; nothing is requested, and nothing written.

mod seen;

use std::sync::Arc;

use anyhow::Context as _;

use crate::config::{Config, IfExists};
use crate::exit_code::ExitCode;
use crate::keys::{self, Entry, Row};
use crate::local::{LocalPath, PathRules, Preview};
use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};
use crate::report::DryRunReport;
use crate::transfer::local_path;
use seen::{Met, Seen};

/// Reads the lists to their end and tells what a run would do.
///
/// # Errors
/// When a list cannot be read, the output folder cannot be one, or what was asked for cannot be printed.
pub fn run(config: Config) -> anyhow::Result<ExitCode> {
    let lists = keys::open(&config.list.sources)?;
    let kept = config.list.files().chain([config.failed.as_path()]);
    let mut check = Check {
        preview: Preview::open(&config.output, kept).with_context(|| {
            format!("cannot use the output folder `{}`", config.output.display())
        })?,
        paths: config.paths.clone(),
        if_exists: config.transfer.if_exists,
        seen: Seen::default(),
    };
    let mut report = DryRunReport::start(&config);
    let notes = report.list_notes();
    let on_taken = move |taken| notes.taken(&taken);
    let mut batches = keys::read(lists, Arc::new(config.list), on_taken);
    let mut broken = None;
    while let Some(batch) = batches.blocking_recv() {
        match batch {
            Ok(rows) => check.batch(rows, &mut report)?,
            Err(error) => broken = Some(error),
        }
    }
    let n_failed = report.finish(check.preview.free_bytes(), check.seen.is_full());
    match broken {
        Some(error) => Err(error.into()),
        None if n_failed > 0 => Ok(ExitCode::SomeKeysFailed),
        None => Ok(ExitCode::Success),
    }
}

struct Check {
    preview: Preview,
    paths: PathRules,
    if_exists: IfExists,
    seen: Seen,
}

impl Check {
    fn batch(&mut self, rows: Vec<Row>, report: &mut DryRunReport) -> anyhow::Result<()> {
        for row in rows {
            match row.entry {
                Ok(entry) => match self.entry(&entry) {
                    Ok(Plan::Download(path)) => report.planned(&entry, &path),
                    Ok(Plan::Skip(reason)) => report.skipped(&entry.key, reason),
                    Err(failure) => report.failed(&entry.key, row.place, &failure),
                },
                Err(no_entry) => match *no_entry.outcome {
                    Outcome::Skipped(reason) => report.skipped(&no_entry.key, reason),
                    Outcome::Failed(failure) => report.failed(&no_entry.key, row.place, &failure),
                    Outcome::Downloaded(_) => {}
                },
            }
        }
        report.flush().context("cannot print the rows")
    }

    fn entry(&mut self, entry: &Entry) -> Result<Plan, Failure> {
        let path = local_path(&self.paths, entry)?;
        let is_there = self.preview.check(&path)?;
        match self.seen.meet(&path, entry) {
            Met::New => {}
            Met::Again => return Ok(Plan::Skip(SkipReason::Duplicate)),
            Met::Conflict(why) => {
                let message = format!("`{path}` {why}");
                return Err(Failure::new(
                    ErrorCode::PathConflict,
                    Class::Permanent,
                    message,
                ));
            }
        }
        if is_there && self.if_exists == IfExists::Skip {
            return Ok(Plan::Skip(SkipReason::Exists));
        }
        Ok(Plan::Download(path))
    }
}

/// What a run would do with a row.
enum Plan {
    Download(LocalPath),
    Skip(SkipReason),
}
