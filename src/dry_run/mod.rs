//! `--dry-run`: every row is read, mapped and checked as a run would do it; nothing is requested, and nothing written.

mod report;
mod space;

use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::OnceCell;

use crate::config::Config;
use crate::done::DoneSet;
use crate::done_file;
use crate::exit_code::ExitCode;
use crate::options::IfExists;
use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};
use crate::row::{Entry, Row};
use crate::s3;
use crate::sink::files::{FileThere, LocalPath, PathRules, Preview};
use crate::sink::planned::{Planned, Seen};
use crate::source;
use crate::transfer::{Limit, Rates, SourceRequests};
use report::{DryRunEnd, DryRunReport};
use space::growth;
pub(crate) use space::shortage;

/// Reads the lists to their end and tells what a run would do.
///
/// # Errors
/// When a list cannot be read, the output folder cannot be one, or what was asked for cannot be printed.
pub(crate) fn run(config: Config) -> anyhow::Result<ExitCode> {
    let lists = source::open(&config.list.sources)?;
    let done = config.done.iter().map(|done| done.path.as_path());
    let kept = config.list.files().chain([config.failed.as_path()]);
    let kept = kept.chain(done).chain(config.events.as_deref());
    let preview = Preview::open(&config.output, kept)
        .with_context(|| format!("cannot use the output folder `{}`", config.output.display()))?;
    let mut check = Check {
        paths: PathRules {
            name_limit: preview.name_limit(),
            ..config.paths.clone()
        },
        preview,
        if_exists: config.if_exists,
        seen: Seen::default(),
        done: done_file::known(&config)?,
    };
    let mut report = DryRunReport::start(&config)?;
    let notes = report.list_notes();
    let on_note = move |note| notes.note(&note);
    // Ends what is listed and fetched when it is dropped, at the end.
    let runtime = tokio::runtime::Runtime::new().context("cannot start threads")?;
    let requests = runtime.block_on(requests(&config))?.on(runtime.handle());
    let mut batches = source::read(lists, Arc::new(config.list), Some(requests), on_note);
    let mut broken = None;
    while let Some(batch) = batches.blocking_recv() {
        match batch {
            Ok(rows) => check
                .batch(rows, &mut report)
                .inspect_err(|_| report.flush_notes())?,
            Err(error) => broken = Some(error),
        }
    }
    let exit: anyhow::Result<_> = match broken {
        Some(error) => Err(error.into()),
        None if report.n_failed() > 0 => Ok(ExitCode::SomeKeysFailed),
        None => Ok(ExitCode::Success),
    };
    report.finish(&DryRunEnd {
        exit_code: *exit.as_ref().unwrap_or(&ExitCode::Fatal),
        error: exit.as_ref().err(),
        free_bytes: check.preview.free_bytes(),
        is_partial: check.seen.is_full(),
    })?;
    exit
}

/// A dry run makes no requests but these, without which it would not know the rows.
async fn requests(config: &Config) -> anyhow::Result<SourceRequests> {
    let client = if config.list.needs_requests() {
        Some(s3::Client::connect(config.s3.clone()).await?)
    } else {
        None
    };
    Ok(SourceRequests {
        client: OnceCell::new_with(client),
        options: config.s3.clone(),
        limit: Limit::fixed(NonZeroUsize::MIN),
        rates: Arc::new(Rates::new(config.transfer.rps, None)),
        max_attempts: config.transfer.max_attempts,
        max_outage: config.transfer.max_outage,
        on_request: None,
    })
}

struct Check {
    preview: Preview,
    paths: PathRules,
    if_exists: IfExists,
    seen: Seen,
    /// What earlier runs noted as done, where that is skipped.
    done: Option<DoneSet>,
}

impl Check {
    fn batch(&mut self, rows: Vec<Row>, report: &mut DryRunReport) -> anyhow::Result<()> {
        for row in rows {
            let (entry, bucket, planned) = match row.entry {
                Ok(entry) => {
                    let planned = self.plan(&entry);
                    let bucket = entry.bucket.as_deref().map(str::to_owned);
                    (entry, bucket, planned)
                }
                Err(unusable) => (*unusable.entry, unusable.bucket, Err(unusable.why.into())),
            };
            match planned {
                Ok((path, growth)) => report.planned(&entry, row.place, &path, growth),
                Err(outcome) => report.unplanned(&entry, bucket.as_deref(), row.place, &outcome),
            }
        }
        report.flush().context("cannot print the rows")
    }

    /// Where the object would go and by how many bytes the files would grow, or what would become of its row without a
    /// request.
    fn plan(&mut self, entry: &Entry) -> Result<(LocalPath, u64), Outcome> {
        let path = self
            .paths
            .path_for(entry)
            .map_err(|no_path| Outcome::Failed(no_path.into()))?;
        if self
            .done
            .as_ref()
            .is_some_and(|done| done.has(entry, &path))
        {
            return Err(Outcome::Skipped(SkipReason::Done));
        }
        let there = self
            .preview
            .check(&path)
            .map_err(|error| Outcome::Failed(error.into()))?;
        match self.seen.check(&path, entry) {
            Planned::New => {}
            Planned::Again => return Err(Outcome::Skipped(SkipReason::Duplicate)),
            Planned::Conflict(why) => {
                let message = format!("`{path}` {why}");
                let failure = Failure::new(ErrorCode::PathConflict, Class::Permanent, message);
                return Err(Outcome::Failed(failure));
            }
        }
        let keeps = |file: FileThere| match self.if_exists {
            IfExists::Skip => file.may_have(entry.size).then_some(SkipReason::Exists),
            IfExists::Changed => file.is_same(entry).then_some(SkipReason::NotModified),
            // What is kept shows in an answer.
            IfExists::Overwrite | IfExists::Newer | IfExists::Verify => None,
        };
        if there.is_some() && matches!(self.if_exists, IfExists::Skip | IfExists::Changed) {
            let there = self.preview.file_to_keep(&path);
            let there = there.map_err(|error| Outcome::Failed(error.into()))?;
            if let Some(reason) = there.and_then(keeps) {
                return Err(Outcome::Skipped(reason));
            }
        }
        Ok((path, growth(entry, there.as_ref())))
    }
}
