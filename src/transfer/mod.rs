//! Rows in, files out: the bounded stream of downloads. Knows no terminal, no CSV and no flag.

mod checksum;
mod in_flight;
mod limit;
mod meter;
mod object;
mod parallel;
mod parts;
mod reader;
mod retry;
mod row;
mod stop;

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio::task::JoinError;

use in_flight::InFlight;
pub use limit::{Limit, Throttling};
pub use meter::{Counts, LargeObject, Meter, Wait, Waited};
use row::Ended;
pub(crate) use row::local_path;
pub use stop::{GRACE, Phase, Stop};

use crate::config::TransferOptions;
use crate::keys::{Entry, ListError, Place, Row};
use crate::local::{LocalPath, OutputFolder, PathRules};
use crate::outcome::{Class, ErrorCode, Failure, Outcome};
use crate::s3::{self, GetError};

/// How long the rest of the list is waited for in all, once the run is being stopped. Time in which there is a row at
/// hand does not count.
const MAX_WAIT_FOR_LIST: Duration = Duration::from_secs(5);

/// What every download shares.
#[derive(Debug)]
pub struct Context {
    pub client: s3::Client,
    pub output: OutputFolder,
    pub paths: PathRules,
    pub options: TransferOptions,
    pub limit: Limit,
    pub meter: Arc<Meter>,
    pub stop: Arc<Stop>,
    /// Is told of every request that was answered, or failed.
    pub on_request: Option<OnRequest>,
}

/// Takes notes of requests, from many tasks at once.
pub struct OnRequest(pub Box<dyn Fn(&RequestNote<'_>) + Send + Sync>);

impl fmt::Debug for OnRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRequest")
    }
}

/// A request, and how it was answered.
#[derive(Debug)]
pub struct RequestNote<'a> {
    pub key: &'a str,
    /// Bytes that were asked for; `None` for the whole object.
    pub range: Option<Range<u64>>,
    /// Why it failed, if it did.
    pub error: Option<&'a GetError>,
    /// From its start to the first byte of its answer.
    pub time: Duration,
}

/// Why an object's download stopped short.
#[derive(Debug)]
enum Broken {
    /// What was fetched is of no use, for this reason: begin anew.
    Restart(Failure),
    /// The file that is there is as new as the object.
    NotModified,
    /// The object fails.
    Final(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}

/// Is told of every row as it ends, one at a time.
pub trait Observer {
    /// # Errors
    /// When what became of the row cannot be passed on: then the run ends, since no later row could be either.
    fn finished(&mut self, finished: &Finished) -> Result<(), ObserverError>;

    /// Every row that was read has ended.
    fn list_ended(&mut self, _: ListEnd) {}
}

/// Why what became of a row could not be passed on.
#[derive(Debug)]
pub enum ObserverError {
    /// The row is in no record, and no later row would be.
    NotRecorded(io::Error),
    /// The row waits for room in the record, which the files that are given up may leave.
    NotYetRecorded(io::Error),
    /// The row is recorded, but nobody learns of it. The rest of the list can still be recorded.
    NotPrinted(io::Error),
}

/// How far the list was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListEnd {
    /// To its end.
    Whole,
    /// Until the run was stopped: nothing is known of the rest.
    CutShort,
    /// Until it could not be read any further.
    Broken,
}

/// What became of a row.
#[derive(Debug)]
pub struct Finished {
    pub place: Place,
    pub entry: Arc<Entry>,
    /// Where it is another than the run's.
    pub bucket: Option<String>,
    /// Where its file is, or would be.
    pub path: Option<Arc<LocalPath>>,
    pub outcome: Outcome,
}

/// Why the run ended.
#[derive(Debug)]
pub enum End {
    /// Every row was read and dealt with.
    ListDone,
    /// A failure that every other key would share.
    Fatal(Failure),
    /// As many keys failed as `--max-failures` allows.
    TooManyFailures(u64),
    /// The list could not be read to its end; the rows before were dealt with.
    ListBroken(ListError),
    /// What became of the rows could not be recorded.
    RecordFailed(io::Error),
    /// What became of the rows could not be printed.
    PrintFailed(io::Error),
    /// A defect: each row that was read must end once.
    Miscounted { n_read: u64, n_ended: u64 },
}

/// Downloads what the rows name, until the list ends or the run is stopped. Each row that was read is told to
/// `observer` once.
pub async fn download_all(
    context: &Arc<Context>,
    list: mpsc::Receiver<Result<Vec<Row>, ListError>>,
    observer: &mut impl Observer,
) -> End {
    let in_flight = RefCell::new(InFlight::default());
    let mut end = End::ListDone;
    let mut n_failures = 0;
    let n_rows = Cell::new(0_u64);
    let list_end = Cell::new(ListEnd::Whole);
    let rows = rows_until_abandoned(list, &context.stop, &list_end)
        .inspect(|row| n_rows.set(n_rows.get() + u64::from(row.is_ok())));
    // Concurrent up to here and no further: what follows is a single consumer.
    let downloads = rows
        .map(|row| row::start(context, &in_flight, row))
        .buffer_unordered(context.options.concurrency.get());
    let mut downloads = pin!(downloads);
    while let Some(event) = downloads.next().await {
        let (finished, has_path) = match event {
            Ok(Ended { finished, has_path }) => (finished, has_path),
            Err(error) => {
                list_end.set(ListEnd::Broken);
                end = End::ListBroken(error);
                continue;
            }
        };
        if let Some(path) = finished.path.as_ref().filter(|_| has_path) {
            in_flight.borrow_mut().finish(path, &finished.outcome);
        }
        if let Outcome::Failed(failure) = &finished.outcome {
            n_failures += u64::from(!matches!(
                failure.code,
                ErrorCode::NotAttempted | ErrorCode::Interrupted
            ));
            if let Some(ended) = must_end(context, failure, n_failures) {
                end = ended;
            }
        }
        context.meter.count(&finished.outcome, finished.entry.size);
        match observer.finished(&finished) {
            Ok(()) => {}
            Err(ObserverError::NotRecorded(error)) => {
                context.stop.escalate(Phase::Abandoned);
                end = end.or_record_failed(error);
            }
            Err(ObserverError::NotYetRecorded(error)) => {
                context
                    .stop
                    .because(format!("the run ended early: {error}"));
                context.stop.escalate(Phase::GivingUp);
                end = end.or_record_failed(error);
            }
            Err(ObserverError::NotPrinted(error)) => {
                context
                    .stop
                    .because(format!("the run ended early: {error}"));
                context.stop.wind_down();
                // What ended the run before this is the cause.
                if matches!(end, End::ListDone) {
                    end = End::PrintFailed(error);
                }
            }
        }
    }
    let (n_read, n_ended) = (n_rows.get(), context.meter.counts().n_done());
    if n_read != n_ended {
        list_end.set(ListEnd::Broken);
        end = End::Miscounted { n_read, n_ended };
    }
    observer.list_ended(list_end.get());
    end
}

impl End {
    /// This end, unless that the rows could not be recorded is a worse one.
    fn or_record_failed(self, error: io::Error) -> Self {
        match self {
            // The same full disk may have been met before.
            Self::Fatal(_) | Self::RecordFailed(_) => self,
            _ => Self::RecordFailed(error),
        }
    }
}

/// Whether this failure, the `n_failures`th, ends the run; then the run is on its way to its end.
fn must_end(context: &Context, failure: &Failure, n_failures: u64) -> Option<End> {
    if failure.class == Class::Fatal && context.stop.phase() < Phase::GivingUp {
        context
            .stop
            .because(format!("the run ended early: {}", failure.message));
        context.stop.escalate(Phase::GivingUp);
        return Some(End::Fatal(failure.clone()));
    }
    if context
        .options
        .max_failures
        .is_some_and(|max| n_failures >= max.get())
        && context.stop.phase() == Phase::Running
    {
        context
            .stop
            .because(format!("the run ended early: {n_failures} keys had failed"));
        context.stop.wind_down();
        return Some(End::TooManyFailures(n_failures));
    }
    None
}

struct CutShort;

/// The rows as they arrive. Once the run is being stopped the rest is still read, for the record, unless it makes the
/// run wait for too long in all, somebody waits for the end, or the run is abandoned.
fn rows_until_abandoned(
    list: mpsc::Receiver<Result<Vec<Row>, ListError>>,
    stop: &Stop,
    list_end: &Cell<ListEnd>,
) -> impl Stream<Item = Result<Row, ListError>> {
    let start = (list, Box::pin(stop.list_is_over()), MAX_WAIT_FOR_LIST);
    let batches = stream::unfold(start, async |(mut list, mut is_over, patience)| {
        let started = Instant::now();
        let out_of_patience = async {
            stop.reached(Phase::WindingDown).await;
            tokio::time::sleep(patience).await;
        };
        let batch = tokio::select! {
            biased;
            () = &mut is_over => Err(CutShort),
            batch = list.recv() => Ok(batch),
            () = out_of_patience => Err(CutShort),
        };
        let batch = batch.unwrap_or_else(|CutShort| {
            list_end.set(ListEnd::CutShort);
            None
        });
        let patience = patience.saturating_sub(stop.ending_for(started));
        batch.map(|batch| (batch, (list, is_over, patience)))
    });
    batches.flat_map(|batch| {
        let (rows, error) = match batch {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        stream::iter(rows.into_iter().map(Ok).chain(error.map(Err)))
    })
}

/// A panic in a download is a defect, but no reason to lose the other keys.
fn failure_of_task(error: &JoinError) -> Failure {
    Failure::new(
        ErrorCode::Internal,
        Class::Permanent,
        format!("a defect of s3pull, please report it: {error}"),
    )
}
