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
mod stop;

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle};

use in_flight::{Entered, InFlight};
use limit::Claim;
pub use limit::{Limit, Throttling};
pub use meter::{Counts, Meter};
pub use stop::{Phase, Stop};

use crate::config::TransferOptions;
use crate::keys::{Entry, ListError, Place, Row};
use crate::local::{LocalPath, OutputFolder, PathRules};
use crate::outcome::{Class, ErrorCode, Failure, Outcome};
use crate::s3;

/// How long a list may be silent once the run is being stopped, before the rest of it is given up.
const MAX_SILENCE_OF_LIST: Duration = Duration::from_secs(5);

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
}

/// Why an object's download stopped short.
#[derive(Debug)]
enum Broken {
    /// What was fetched is of no use: begin anew. It is paid for.
    Restart,
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
    /// When what became of the row cannot be recorded: then the run ends, since no later row could be either.
    fn finished(&mut self, finished: &Finished) -> io::Result<()>;

    /// The run was stopped before the list was read to its end: nothing is known of the rest.
    fn list_cut_short(&mut self) {}
}

/// What became of a row.
#[derive(Debug)]
pub struct Finished {
    pub place: Place,
    pub entry: Arc<Entry>,
    /// Where it is another than the run's.
    pub bucket: Option<String>,
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
    let is_cut_short = Cell::new(false);
    let rows = rows_until_abandoned(list, &context.stop, &is_cut_short)
        .inspect(|row| n_rows.set(n_rows.get() + u64::from(row.is_ok())));
    // Concurrent up to here and no further: what follows is a single consumer.
    let downloads = rows
        .map(|row| start(context, &in_flight, row))
        .buffer_unordered(context.options.concurrency.get());
    let mut downloads = pin!(downloads);
    while let Some(event) = downloads.next().await {
        let Event { finished, path } = match event {
            Ok(event) => event,
            Err(error) => {
                end = End::ListBroken(error);
                continue;
            }
        };
        if let Some(path) = path {
            in_flight.borrow_mut().finish(&path, &finished.outcome);
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
        context.meter.count(&finished.outcome);
        if let Err(error) = observer.finished(&finished) {
            context.stop.escalate(Phase::Abandoned);
            end = End::RecordFailed(error);
        }
    }
    if is_cut_short.get() {
        observer.list_cut_short();
    }
    assert_eq!(
        n_rows.get(),
        context.meter.counts().n_done(),
        "every row that was read ends once"
    );
    end
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

/// A row that ended, and the path that is free again; or the list's own end.
type RowEvent = Result<Event, ListError>;

struct Event {
    finished: Finished,
    path: Option<Arc<LocalPath>>,
}

struct CutShort;

/// The rows as they arrive. Once the run is being stopped the rest is still read, for the record, unless it stays away
/// for too long or the run is abandoned.
fn rows_until_abandoned(
    list: mpsc::Receiver<Result<Vec<Row>, ListError>>,
    stop: &Stop,
    is_cut_short: &Cell<bool>,
) -> impl Stream<Item = Result<Row, ListError>> {
    let batches = stream::unfold(list, async |mut list| {
        let silent_too_long = async {
            stop.reached(Phase::WindingDown).await;
            tokio::time::sleep(MAX_SILENCE_OF_LIST).await;
        };
        let batch = tokio::select! {
            biased;
            () = stop.reached(Phase::Abandoned) => Err(CutShort),
            batch = list.recv() => Ok(batch),
            () = silent_too_long => Err(CutShort),
        };
        let batch = batch.unwrap_or_else(|CutShort| {
            is_cut_short.set(true);
            None
        });
        batch.map(|batch| (batch, list))
    });
    batches.flat_map(|batch| {
        let (rows, error) = match batch {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        stream::iter(rows.into_iter().map(Ok).chain(error.map(Err)))
    })
}

/// Starts what a row needs: a task of its own for a download, so that the work is spread over all cores.
fn start(
    context: &Arc<Context>,
    in_flight: &RefCell<InFlight>,
    row: Result<Row, ListError>,
) -> impl Future<Output = RowEvent> + use<> {
    let started = row.map(|row| Started::new(context, in_flight, row));
    async move {
        let (place, entry, bucket, outcome, path) = match started? {
            Started::Ended {
                place,
                entry,
                bucket,
                outcome,
            } => (place, entry, bucket, outcome, None),
            Started::Task {
                place,
                entry,
                path,
                task,
                claim,
            } => {
                let outcome = ended(task, claim).await;
                (place, entry, None, outcome, Some(path))
            }
            Started::Follower {
                place,
                entry,
                leader,
            } => {
                let outcome = leader.await.unwrap_or_else(|_| {
                    Outcome::Failed(Failure::not_attempted("the run was stopped"))
                });
                (place, entry, None, outcome, None)
            }
            Started::Waiting {
                place,
                entry,
                path,
                turn,
                context,
            } => {
                // The row before it ends, and soon if the run is being stopped.
                let has_path = turn.await.is_ok();
                let outcome = if has_path && context.stop.phase() == Phase::Running {
                    let (task, claim) = begin(&context, &entry, &path);
                    ended(task, claim).await
                } else {
                    Outcome::Failed(Failure::not_attempted(&context.stop.reason()))
                };
                (place, entry, None, outcome, has_path.then_some(path))
            }
        };
        Ok(Event {
            finished: Finished {
                place,
                entry,
                bucket,
                outcome,
            },
            path,
        })
    }
}

/// Begins a download as a task of its own, which claims its place among those who need permits.
fn begin(
    context: &Arc<Context>,
    entry: &Arc<Entry>,
    path: &Arc<LocalPath>,
) -> (AbortOnDrop, Claim) {
    let download = object::download(Arc::clone(context), Arc::clone(entry), Arc::clone(path));
    (AbortOnDrop(tokio::spawn(download)), context.limit.claim())
}

async fn ended(task: AbortOnDrop, claim: Claim) -> Outcome {
    let outcome = task
        .await
        .unwrap_or_else(|error| Outcome::Failed(failure_of_task(&error)));
    // Given up here, where the next row is begun at once: no helper is quicker.
    drop(claim);
    outcome
}

enum Started {
    /// Nothing has to be done.
    Ended {
        place: Place,
        entry: Arc<Entry>,
        bucket: Option<String>,
        outcome: Outcome,
    },
    Task {
        place: Place,
        entry: Arc<Entry>,
        path: Arc<LocalPath>,
        task: AbortOnDrop,
        claim: Claim,
    },
    /// The same key is in flight for an earlier row.
    Follower {
        place: Place,
        entry: Arc<Entry>,
        leader: oneshot::Receiver<Outcome>,
    },
    /// Another object is in flight to the same path.
    Waiting {
        place: Place,
        entry: Arc<Entry>,
        path: Arc<LocalPath>,
        turn: oneshot::Receiver<()>,
        context: Arc<Context>,
    },
}

impl Started {
    fn new(context: &Arc<Context>, in_flight: &RefCell<InFlight>, row: Row) -> Self {
        let place = row.place;
        let entry = match row.entry {
            Ok(entry) => Arc::new(entry),
            Err(no_entry) => {
                let entry = Arc::new(Entry {
                    key: no_entry.key,
                    ..Entry::default()
                });
                return Self::Ended {
                    place,
                    entry,
                    bucket: no_entry.bucket,
                    outcome: *no_entry.outcome,
                };
            }
        };
        let failed = |entry, failure| Self::Ended {
            place,
            entry,
            bucket: None,
            outcome: Outcome::Failed(failure),
        };
        if context.stop.phase() >= Phase::WindingDown {
            return failed(entry, Failure::not_attempted(&context.stop.reason()));
        }
        let path = match local_path(&context.paths, &entry) {
            Ok(path) => Arc::new(path),
            Err(failure) => return failed(entry, failure),
        };
        match in_flight.borrow_mut().enter(&path, &entry) {
            Entered::First => {
                let (task, claim) = begin(context, &entry, &path);
                Self::Task {
                    place,
                    entry,
                    path,
                    task,
                    claim,
                }
            }
            Entered::Follower(leader) => Self::Follower {
                place,
                entry,
                leader,
            },
            Entered::Waiting(turn) => Self::Waiting {
                place,
                entry,
                path,
                turn,
                context: Arc::clone(context),
            },
        }
    }
}

/// Where the object's file goes: to the path that its row gives, or else to its key's.
///
/// # Errors
/// Where that is no plain path below the output folder, or lacks the prefix.
pub(crate) fn local_path(rules: &PathRules, entry: &Entry) -> Result<LocalPath, Failure> {
    let path = match &entry.dest {
        Some(dest) => rules.path_of_dest(dest),
        None => rules.path_of(&entry.key),
    };
    Ok(path?)
}

/// A panic in a download is a defect, but no reason to lose the other keys.
fn failure_of_task(error: &JoinError) -> Failure {
    Failure::new(
        ErrorCode::Internal,
        Class::Permanent,
        format!("a defect of s3pull, please report it: {error}"),
    )
}

/// A task that ends with the future that waits for it.
struct AbortOnDrop(JoinHandle<Outcome>);

impl Future for AbortOnDrop {
    type Output = Result<Outcome, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_in_a_task_is_a_failure_of_its_key() {
        let ended = AbortOnDrop(tokio::spawn(async { panic!("as the SDK may") })).await;
        let failure = failure_of_task(&ended.unwrap_err());
        assert_eq!(
            (failure.code, failure.class),
            (ErrorCode::Internal, Class::Permanent)
        );
        assert!(
            failure.message.contains("as the SDK may"),
            "{}",
            failure.message
        );
    }
}
