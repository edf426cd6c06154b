//! One row: whether it has to be downloaded, by whom, and what became of it.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

use super::in_flight::{Entered, InFlight};
use super::limit::Claim;
use super::{Context, Finished, Phase, failure_of_task, object};
use crate::keys::{Entry, ListError, Place, Row};
use crate::local::{LocalPath, PathRules};
use crate::outcome::{Failure, Outcome};

/// A row that ended.
pub struct Ended {
    pub finished: Finished,
    /// Whether its path was its own, and is free again.
    pub has_path: bool,
}

/// Starts what a row needs: a task of its own for a download, so that the work is spread over all cores.
/// The list's own end, where it is an error, passes through.
pub fn start(
    context: &Arc<Context>,
    in_flight: &RefCell<InFlight>,
    row: Result<Row, ListError>,
) -> impl Future<Output = Result<Ended, ListError>> + use<> {
    let started = row.map(|row| Started::new(context, in_flight, row));
    async move {
        let Started {
            place,
            entry,
            bucket,
            path,
            work,
        } = started?;
        let (mut outcome, has_path) = work.ended(&entry, path.as_ref()).await;
        if let Outcome::Failed(failure) = &mut outcome {
            failure.shorten();
        }
        Ok(Ended {
            finished: Finished {
                place,
                entry,
                bucket,
                path,
                outcome,
            },
            has_path,
        })
    }
}

struct Started {
    place: Place,
    entry: Arc<Entry>,
    bucket: Option<String>,
    path: Option<Arc<LocalPath>>,
    work: Work,
}

/// What is still to be done for a row.
enum Work {
    Nothing(Box<Outcome>),
    Download(Download),
    /// The same key is in flight for an earlier row.
    Follow(oneshot::Receiver<Outcome>),
    /// Another object is in flight to the same path.
    Wait(oneshot::Receiver<()>, Arc<Context>),
}

impl Started {
    fn new(context: &Arc<Context>, in_flight: &RefCell<InFlight>, row: Row) -> Self {
        let place = row.place;
        let entry = match row.entry {
            Ok(entry) => Arc::new(entry),
            Err(no_entry) => {
                return Self {
                    place,
                    entry: Arc::from(no_entry.entry),
                    bucket: no_entry.bucket,
                    path: None,
                    work: Work::Nothing(no_entry.outcome),
                };
            }
        };
        let (path, work) = Work::begin(context, in_flight, &entry);
        Self {
            place,
            entry,
            bucket: None,
            path,
            work,
        }
    }
}

impl Work {
    fn begin(
        context: &Arc<Context>,
        in_flight: &RefCell<InFlight>,
        entry: &Arc<Entry>,
    ) -> (Option<Arc<LocalPath>>, Self) {
        if context.stop.phase() >= Phase::WindingDown {
            let failure = Failure::not_attempted(&context.stop.reason());
            return (None, Self::failed(failure));
        }
        let path = match local_path(&context.paths, entry) {
            Ok(path) => Arc::new(path),
            Err(failure) => return (None, Self::failed(failure)),
        };
        let work = match in_flight.borrow_mut().enter(&path, entry) {
            Entered::First => Self::Download(Download::begin(context, entry, &path)),
            Entered::Follower(leader) => Self::Follow(leader),
            Entered::Waiting(turn) => Self::Wait(turn, Arc::clone(context)),
        };
        (Some(path), work)
    }

    fn failed(failure: Failure) -> Self {
        Self::Nothing(Box::new(Outcome::Failed(failure)))
    }

    /// The outcome, and whether `path` was the row's own.
    async fn ended(self, entry: &Arc<Entry>, path: Option<&Arc<LocalPath>>) -> (Outcome, bool) {
        match self {
            Self::Nothing(outcome) => (*outcome, false),
            Self::Download(download) => (download.ended().await, true),
            Self::Follow(leader) => {
                let outcome = leader.await.unwrap_or_else(|_| {
                    Outcome::Failed(Failure::not_attempted("the run was stopped"))
                });
                (outcome, false)
            }
            Self::Wait(turn, context) => {
                // The row before it ends, and soon if the run is being stopped.
                let has_path = turn.await.is_ok();
                match path {
                    Some(path) if has_path && context.stop.phase() == Phase::Running => {
                        let download = Download::begin(&context, entry, path);
                        (download.ended().await, true)
                    }
                    _ => {
                        let failure = Failure::not_attempted(&context.stop.reason());
                        (Outcome::Failed(failure), has_path)
                    }
                }
            }
        }
    }
}

/// Where the object's file goes: to the path that its row gives, or else to its key's.
///
/// # Errors
/// Where that is no plain path below the output folder, or lacks the prefix.
pub fn local_path(rules: &PathRules, entry: &Entry) -> Result<LocalPath, Failure> {
    let path = match &entry.dest {
        Some(dest) => rules.path_of_dest(dest),
        None => rules.path_of(&entry.key),
    };
    Ok(path?)
}

/// A download as a task of its own, with its place among those who need permits.
struct Download {
    task: AbortOnDrop,
    claim: Claim,
}

impl Download {
    fn begin(context: &Arc<Context>, entry: &Arc<Entry>, path: &Arc<LocalPath>) -> Self {
        let download = object::download(Arc::clone(context), Arc::clone(entry), Arc::clone(path));
        Self {
            task: AbortOnDrop(tokio::spawn(download)),
            claim: context.limit.claim(),
        }
    }

    async fn ended(self) -> Outcome {
        let outcome = self
            .task
            .await
            .unwrap_or_else(|error| Outcome::Failed(failure_of_task(&error)));
        // Given up here, where the next row is begun at once: no helper is quicker.
        drop(self.claim);
        outcome
    }
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
    use crate::outcome::{Class, ErrorCode};

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
