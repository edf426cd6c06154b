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
//!
//! # How an object becomes a file
//!
//! One GET fetches it. Its body is hashed while it streams into `.s3pull-NAME.part` in the folder of the file, which is
//! given the object's time and renamed once length and checksum are right. Only a reply that is certainly the whole
//! object is accepted as such: status 200, or 206 with a `Content-Range` that covers everything. If a body breaks off, it
//! is resumed at the first missing byte.
//!
//! A large object starts the same way, with one plain GET, which returns its size, ETag and checksum and keeps streaming
//! from the front. Permits that no other object needs go to helpers, which fetch parts from the back until both meet;
//! without such permits the object simply streams. Each part is requested with `If-Match`, so an object that is replaced
//! meanwhile is never stitched together from two versions: it starts over. If a server gives no parts (it ignores
//! `Range`, refuses `If-Match`, or has another ETag per part), the first GET keeps streaming until the whole object is
//! there, and nothing is fetched twice. The parts' CRCs are combined and compared with the whole object's checksum.
//! Finished parts are recorded in `.s3pull-NAME.journal`; after a stop or a crash, the next run checks them on disk and
//! fetches only the rest. A partial file with another owner, other permissions or more than one hard link is replaced by
//! a new one instead.
//!
//! Checksums are CRC-64/NVME, CRC-32C, CRC-32, SHA-256 or SHA-1, whichever S3 returns for the whole object. If it returns
//! none (the composite checksum of a multipart upload cannot be compared), only the length is verified, and the summary
//! says so. A large object that has only a SHA or an MD5 is read once more from disk to verify it.
//!
//! # Slow requests
//!
//! One slow connection does not hold up the run. While permits are spare, the rest of a part that arrives at less than a
//! quarter of the other parts' pace is requested again, with `If-Match`, and whichever request is answered first brings
//! it. At the end of the list, so is an object whose first byte takes longer than a second and than four times the
//! median. At most one request in fifty is sent again like this (but at least one); the summary counts them.
//!
//! # Whom trouble is charged to
//!
//! Requests of one object that fail together, such as all its parts when a server is restarted, count as one attempt;
//! while the object waits, none of its requests starts. While nothing at all is answered, or only with 5xx, no object is
//! charged: one request at a time is tried, at growing intervals, until `--max-outage`. A wrong region, expired
//! credentials and a wrong clock are corrected during the run, and do not count as attempts.
//!
//! # How many at once
//!
//! A run starts with 32 GETs in flight and doubles them while that brings more; then it searches for the smallest number
//! that holds the best goodput. A server that throttles comes first. `transfer::limit` has the rules.
//!
//! # Room on the disk
//!
//! If the lists give sizes and are files, they are counted in the background, and a warning says if the disk is too small
//! for what has to be added to it; for all but very long lists it appears before the first request. Large objects reserve
//! their space before they are downloaded; one that finds none waits for others that replace files.

#![warn(unreachable_pub)]
#![cfg_attr(
    test,
    expect(clippy::unwrap_used, reason = "a test that cannot continue must fail")
)]

mod check;
pub mod cli;
pub mod config;
mod deadline;
mod destination;
mod done;
mod done_file;
mod dry_run;
mod etag;
pub mod exit_code;
#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
mod imports;
mod locks;
mod memory;
mod meter;
mod open_files;
mod options;
mod outcome;
pub mod page_size;
mod preparation;
mod printable;
pub mod report;
mod rounds;
mod row;
mod run_end;
mod s3;
mod signal;
mod sink;
mod source;
mod stop;
mod transfer;
#[cfg(test)]
mod wording;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{OnceCell, mpsc};

use config::Config;
use deadline::Deadline;
use destination::{Close, Destination};
use done_file::DoneFile;
use exit_code::ExitCode;
use meter::Meter;
pub use options::Job;
use options::{Check, IfExtra, ProgressMode, Verbosity};
use report::{RecordPlace, Report, RunEnd};
use row::Row;
use signal::{OnSignal, Stopped};
use source::ListError;
use stop::Stop;
use transfer::{End, Getter, Rates, Shared, SourceRequests, Stragglers, Witness};

/// Threads for file work: enough to keep a disk busy, and few enough not to block one another in one folder.
const MAX_BLOCKING_THREADS: usize = 16;

/// How long the first request waits for the lists to be counted.
const HEAD_START: Duration = Duration::from_millis(50);

/// How long work that is still running may take to end once the run is over.
const SHUTDOWN: Duration = Duration::from_secs(1);

/// Runs to the end of the list and returns the result as an exit code. Errors that end the run are printed.
pub fn run(mut config: Config, job: Job) -> ExitCode {
    config.transfer.job = job;
    // A file that `--failed` must not replace is found before anything starts.
    let place = RecordPlace::find(&config.failed, config.failed_name, &config.list)
        .and_then(|place| place.for_rounds(config.transfer.n_rounds));
    let ended = place.and_then(|place| {
        if config.dry_run {
            dry_run::run(config)
        } else {
            run_downloads(config, place)
        }
    });
    ended.unwrap_or_else(|error| {
        report::error(&error, run_end::hint(&error).as_deref());
        run_end::exit_code_of(&error)
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
    // The limit of open files is raised first, since the lists may be many.
    let budget = preparation::budget(config.concurrency);
    let lists = source::open(&config.list.sources)?;
    let mut destination = Destination::open(&config, budget.max_open_folders)?;
    // It may be in the output folder.
    let (mut done_file, done) = DoneFile::open(&config)?;
    let last_rows = done_file::last_rows(&config)?;
    destination.keep_own_files(&config, &place);
    let client = preparation::connect(&config).await?;
    let s3_options = config.s3.clone();
    let meter = Arc::new(Meter::default());
    let limit = preparation::limit(config.concurrency, budget.concurrency, client.is_some());
    let stop = Arc::new(Stop::default());
    let mut report = Report::start(
        &config,
        place,
        limit.clone(),
        Arc::clone(&meter),
        Arc::clone(&stop),
    )?;
    destination.warn_by(&report, &config.failed);
    preparation::warn(&report, &config, budget.concurrency, done_file.as_ref());
    let signal = signal::listen(
        Arc::clone(&stop),
        OnSignal {
            first: report.on_stop(),
            last: report.on_last_resort(),
        },
    )?;

    let paths = destination.path_rules(config.paths.clone());
    let sink = Arc::new(destination.begin(&config, &meter, &stop, report.on_warning())?);
    let to_fill = destination::folder_to_fill(&config, &paths);
    let options = Arc::new(config.list);
    if config.progress != ProgressMode::None || config.verbosity > Verbosity::Quiet {
        let (notes, warn) = (report.list_notes(), report.on_warning());
        let counted = preparation::count_in_background(&options, to_fill, notes, warn);
        // A list that is counted by then is told not to fit before the first request; none is waited for any longer.
        let _ = tokio::time::timeout(HEAD_START, counted).await;
    }
    let notes = report.list_notes();
    let rates = Arc::new(Rates::new(config.transfer.rps, config.transfer.bwlimit));
    let requests = SourceRequests {
        client: OnceCell::new_with(client.clone()),
        options: s3_options,
        limit: limit.clone(),
        rates: Arc::clone(&rates),
        max_attempts: config.transfer.max_attempts,
        max_outage: config.transfer.max_outage,
        on_request: report.on_request(),
    };
    let requests = requests.on(&Handle::current());
    let rows = source::read(lists, options, Some(requests), move |note| {
        notes.note(&note);
    });
    let shared = Arc::new(Shared {
        client: client.map_or(Getter::Nobody, Getter::Client),
        sink,
        paths,
        done,
        last_rows,
        options: config.transfer,
        limit,
        rates,
        meter: Arc::clone(&meter),
        stop,
        stragglers: Stragglers::default(),
        witness: Witness::default(),
        has_parts: true.into(),
        on_request: report.on_request(),
        on_step: report.on_step().map(Arc::new),
    });
    let deadline = config
        .max_duration
        .map(|max| Deadline::start(&shared.stop, max));
    let mut exit = exit_of_rows(&shared, rows, &signal, &mut report, done_file.as_mut()).await;
    if let (Ok(ExitCode::Success | ExitCode::SomeKeysFailed), Some(deadline)) = (&exit, deadline) {
        exit = deadline.check().map_err(Into::into).and(exit);
    }
    let ended = done_file.map_or(Ok(()), |done| done.finish(config.sync && exit.is_ok()));
    exit = exit.and_then(|code| ended.map(|()| code));
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
        Err(error) => (run_end::exit_code_of(&error), Some(error)),
    };
    Ok(report.finish(&RunEnd {
        exit_code,
        hint: error.as_ref().and_then(run_end::hint),
        error,
        stopped_by: signal.name(),
        notes,
    }))
}

/// Downloads or checks what the rows name, and returns the result of the run.
async fn exit_of_rows(
    shared: &Arc<Shared>,
    rows: mpsc::Receiver<Result<Vec<Row>, ListError>>,
    signal: &Stopped,
    report: &mut Report,
    done: Option<&mut DoneFile>,
) -> anyhow::Result<ExitCode> {
    let is_extra_wanted = matches!(
        shared.options.job,
        Job::Check(Check {
            if_extra: IfExtra::Report,
            ..
        })
    );
    if !is_extra_wanted {
        let end = rounds::download(shared, rows, report, done).await;
        return run_end::exit(end, signal, &shared.meter);
    }
    let mut observer = check::Remembering::new(report);
    let end = transfer::download_all(shared, rows, &mut observer).await;
    let paths = observer.into_paths();
    let is_whole = matches!(end, End::ListDone);
    let exit = run_end::exit(end, signal, &shared.meter);
    check::with_extra(exit, shared, is_whole.then_some(&paths), report)
}
