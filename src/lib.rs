//! Downloads every object on a list of keys: complete, verified files, and a CSV of what failed.
//!
//! ```text
//! source ──► Row ──► transfer ────────────────────────────► Outcome ──► report
//! a thread reads     local path, one GET, hash while it       CSV row, line,
//! the list, from     streams, partial file, verify, rename;   progress, summary
//! a bounded channel  at most `--concurrency` at once
//! ```
//!
//! [`cli`] parses the command line and [`config`] resolves it. `source` reads rows, `s3` sends GETs and `sink` writes
//! files; they do not depend on one another. `transfer` downloads with them, and reports every row to [`report`] through
//! its `Observer`.

#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test that cannot continue must fail")
)]

pub mod cli;
pub mod config;
mod destination;
mod dry_run;
mod etag;
pub mod exit_code;
#[cfg(test)]
mod imports;
mod locks;
mod meter;
mod open_files;
mod options;
mod outcome;
mod printable;
pub mod report;
mod row;
mod s3;
mod signal;
mod sink;
mod source;
mod stop;
mod transfer;

#[cfg(fuzzing)]
pub mod fuzzing {
    //! The functions that the fuzz targets call.

    pub use crate::options::UnsafeKeys;
    pub use crate::s3::read_reply;
    pub use crate::sink::files::{LocalPath, PathRules, decode};
    pub use crate::source::list::format_named;
    pub use crate::source::{ListOptions, ListSource, parse_bytes};
}

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::Builder;

use config::Config;
use destination::{Close, Destination};
use exit_code::ExitCode;
use meter::Meter;
use options::ProgressMode;
use outcome::{Failure, Sign};
use report::{RecordPlace, RefusedPlace, Report, RunEnd};
use s3::{ConnectError, Trust};
use signal::{OnSignal, Stopped};
use source::ListOptions;
use stop::Stop;
use transfer::{End, Getter, Limit, Shared, TransferOptions};

/// Threads for file work: enough to keep a disk busy, and few enough not to block one another in one folder.
const MAX_BLOCKING_THREADS: usize = 16;

/// How long work that is still running may take to end once the run is over.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// Runs to the end of the list and returns the result as an exit code. Errors that end the run are printed.
pub fn run(config: Config) -> ExitCode {
    // A file that `--failed` must not replace is found before anything starts.
    let ended = RecordPlace::find(&config.failed, &config.list).and_then(|place| {
        if config.dry_run {
            dry_run::run(config)
        } else {
            run_downloads(config, place)
        }
    });
    ended.unwrap_or_else(|error| {
        report::error(&error, hint(&error).as_deref());
        if error.is::<RefusedPlace>() || is_refused_archive(&error) {
            ExitCode::Usage
        } else {
            ExitCode::Fatal
        }
    })
}

fn run_downloads(config: Config, place: RecordPlace) -> anyhow::Result<ExitCode> {
    let runtime = Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
        .context("cannot start threads")?;
    let ended = runtime.block_on(download(config, place));
    // A disk that hangs must not keep a stopped run from ending.
    runtime.shutdown_timeout(SHUTDOWN);
    ended
}

/// Opens everything that can fail before the first request, downloads, and finishes the report.
async fn download(config: Config, place: RecordPlace) -> anyhow::Result<ExitCode> {
    // The limit is raised first, since the lists may be many files.
    let max_open_files = open_files::raise_limit();
    let lists = source::open(&config.list.sources)?;
    let budget = open_files::plan(config.transfer.concurrency, max_open_files);
    let destination = Destination::open(&config, &place, budget.max_open_folders)?;
    let client = s3::Client::connect(config.s3.clone()).await?;
    let meter = Arc::new(Meter::default());
    let limit = Limit::new(budget.concurrency.get());
    let stop = Arc::new(Stop::default());
    let mut report = Report::start(&config, place, limit.clone(), Arc::clone(&meter))?;
    destination.warn_by(&report, &config.failed);
    if budget.concurrency < config.transfer.concurrency {
        report.warn(&format!(
            "`--concurrency {}` does not fit into the limit of open files: going on with {} (`ulimit -n` raises it)",
            config.transfer.concurrency, budget.concurrency
        ));
    }
    if config.s3.trust == Trust::Everyone {
        report.warn(
            "`--no-verify-ssl`: certificates are not checked, so that anyone on the way can read and change what is downloaded",
        );
    }
    let signal = signal::listen(
        Arc::clone(&stop),
        OnSignal {
            first: report.on_stop(),
            last: report.on_last_resort(),
        },
    )?;

    let paths = destination.path_rules(config.paths.clone());
    let sink = Arc::new(destination.begin(&config, &meter, &stop)?);
    let options = Arc::new(config.list);
    if config.progress != ProgressMode::None {
        count_in_background(&options, report.list_notes());
    }
    let notes = report.list_notes();
    let rows = source::read(lists, options, move |note| notes.note(&note));
    let shared = Arc::new(Shared {
        client: Getter::Client(client),
        sink,
        paths,
        options: TransferOptions {
            concurrency: budget.concurrency,
            ..config.transfer
        },
        limit,
        meter: Arc::clone(&meter),
        stop,
        has_parts: true.into(),
        on_request: report.on_request(),
    });
    let end = transfer::download_all(&shared, rows, &mut report).await;
    let mut exit = exit(end, &signal, &meter);
    let how = Close {
        sync: config.sync && exit.is_ok(),
        is_whole: exit.as_ref().is_ok_and(|exit| exit.is_of_whole_list()),
        stop: &shared.stop,
    };
    let notes = match destination::close(&shared.sink, how).await {
        Ok(notes) => notes,
        Err(error) => {
            exit = exit.and(Err(error));
            Vec::new()
        }
    };
    let (exit_code, error) = match exit {
        Ok(exit_code) => (exit_code, None),
        Err(error) => (ExitCode::Fatal, Some(error)),
    };
    Ok(report.finish(&RunEnd {
        exit_code,
        hint: error.as_ref().and_then(hint),
        error,
        stopped_by: signal.name(),
        notes,
    }))
}

/// Maps the end of the downloads to the result of the run.
fn exit(end: End, signal: &Stopped, meter: &Meter) -> anyhow::Result<ExitCode> {
    match end {
        End::ListDone if signal.exit_code().is_some() => {
            Ok(signal.exit_code().unwrap_or(ExitCode::Interrupted))
        }
        End::ListDone if meter.counts().n_failed > 0 => Ok(ExitCode::SomeKeysFailed),
        End::ListDone => Ok(ExitCode::Success),
        End::Fatal(failure) => Err(failure.into()),
        End::TooManyFailures(n) => Err(anyhow::anyhow!(
            "{n} keys failed, as many as `--max-failures` allows"
        )),
        End::ListBroken(error) => Err(error.into()),
        End::RecordFailed(error) => Err(error.into()),
        End::Miscounted { n_read, n_ended } => Err(anyhow::anyhow!(
            "a bug in s3pull, please report it: {n_read} rows were read, and {n_ended} of them ended"
        )),
        // A terminal that is gone causes both the error and the signal.
        End::PrintFailed(error) => signal.exit_code().ok_or(error.into()),
    }
}

/// Counts the rows during the downloads, if the lists can be read twice.
fn count_in_background(options: &Arc<ListOptions>, notes: report::ListNotes) {
    let options = Arc::clone(options);
    std::thread::spawn(move || {
        // A list that cannot be read is reported by the thread that reads it for the downloads.
        if let Ok(Some(totals)) = source::count(&options) {
            notes.totals(totals);
        }
    });
}

/// Whether something is at the archive's path that must not be replaced.
fn is_refused_archive(error: &anyhow::Error) -> bool {
    use sink::tar::ArchiveError;
    match error.downcast_ref::<ArchiveError>() {
        Some(
            ArchiveError::Foreign(_)
            | ArchiveError::ForeignIndex(_)
            | ArchiveError::NoIndex(_)
            | ArchiveError::InTheWay { .. },
        ) => true,
        Some(ArchiveError::InUse(_) | ArchiveError::Io { .. } | ArchiveError::Broken) | None => {
            false
        }
    }
}

/// What to do about an error, if that is known.
fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        let hint = match failure.code.as_str() {
            "NoSuchBucket" => Some(
                "check `--bucket`, and the account and server that `--profile` and `--endpoint-url` name",
            ),
            "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
                Some("sign in again, then run the same command")
            }
            "ConnectionFailed" if failure.sign == Sign::NoConnection => {
                Some("check `--endpoint-url`, the proxy variables and the network")
            }
            "Http407" => Some(
                "give the proxy's user and password in its variable: `http://user:password@host:port`",
            ),
            "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "InvalidToken"
            | "Unauthorized"
            | "Http401" => Some(
                "check the credentials in the environment, or name a profile with `--profile NAME`",
            ),
            _ => None,
        };
        return hint.map(str::to_owned);
    }
    if let Some(refused) = error.downcast_ref::<RefusedPlace>() {
        return Some(refused.hint().to_owned());
    }
    error.downcast_ref::<ConnectError>()?.hint()
}
