//! One row: whether it has to be downloaded, by whom, and what became of it.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::check;
use super::limit::Claim;
use super::object::{self, Waiting};
use super::observer::{Finished, RowEnd};
use super::path_claims::{Entered, PathClaims};
use super::shared::Shared;
use crate::options::Job;
use crate::outcome::{Failure, Outcome};
use crate::row::{Entry, Place, Row};
use crate::sink::files::LocalPath;
use crate::sink::tar::{NoTurn, Turn};
use crate::source::ListError;
use crate::stop::Phase;

/// A row that ended.
pub(super) struct Ended {
    pub finished: Finished,
    /// Whether this row held the claim on its path, which can now be released.
    pub has_path: bool,
    /// As [`RowEnd`] has it.
    pub turn: Option<Turn>,
}

/// Starts what a row needs: a task of its own for a download, so that the work is spread over all cores.
/// The list's own end, where it is an error, passes through.
pub(super) fn start(
    shared: &Arc<Shared>,
    claims: &RefCell<PathClaims>,
    row: Result<Row, ListError>,
) -> impl Future<Output = Result<Ended, ListError>> + use<> {
    let started = row.map(|row| Started::new(shared, claims, row));
    async move {
        let Started {
            place,
            entry,
            bucket,
            path,
            work,
        } = started?;
        let (end, has_path) = work.ended(&entry, path.as_ref()).await;
        let RowEnd {
            mut outcome,
            content,
            turn,
        } = end;
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
                content,
            },
            has_path,
            turn,
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
    Wait(oneshot::Receiver<()>, Arc<Shared>, Option<Turn>),
}

impl Started {
    fn new(shared: &Arc<Shared>, claims: &RefCell<PathClaims>, row: Row) -> Self {
        let place = row.place;
        let entry = match row.entry {
            Ok(entry) => Arc::new(entry),
            Err(unusable) => {
                return Self {
                    place,
                    entry: Arc::new(*unusable.entry),
                    bucket: unusable.bucket,
                    path: None,
                    work: Work::Nothing(Box::new(unusable.why.into())),
                };
            }
        };
        let (path, work) = Work::begin(shared, claims, place, &entry);
        Self {
            place,
            bucket: entry.bucket.as_deref().map(str::to_owned),
            entry,
            path,
            work,
        }
    }
}

impl Work {
    fn begin(
        shared: &Arc<Shared>,
        claims: &RefCell<PathClaims>,
        place: Place,
        entry: &Arc<Entry>,
    ) -> (Option<Arc<LocalPath>>, Self) {
        if shared.stop.phase() >= Phase::WindingDown {
            let failure = Failure::not_attempted(&shared.stop.reason());
            return (None, Self::failed(failure));
        }
        let path = match shared.paths.path_for(entry) {
            Ok(path) => Arc::new(path),
            Err(no_path) => return (None, Self::failed(no_path.into())),
        };
        if let Some(reason) = shared.is_dealt_with(place, entry, &path) {
            let outcome = Outcome::Skipped(reason);
            return (Some(path), Self::Nothing(Box::new(outcome)));
        }
        let mut claims = claims.borrow_mut();
        let work = match shared.sink.turn(&path, entry) {
            Ok(turn) => match claims.enter(&path, entry) {
                Entered::First => Self::Download(Download::begin(shared, entry, &path, turn)),
                Entered::Follower(leader) => Self::Follow(leader),
                Entered::Waiting(path_is_free) => {
                    Self::Wait(path_is_free, Arc::clone(shared), turn)
                }
            },
            Err(NoTurn::Skip(reason)) => match claims.follow(&path, entry) {
                Some(leader) => Self::Follow(leader),
                None => Self::Nothing(Box::new(Outcome::Skipped(reason))),
            },
            Err(NoTurn::Failed(failure)) => Self::failed(failure),
        };
        (Some(path), work)
    }

    fn failed(failure: Failure) -> Self {
        Self::Nothing(Box::new(Outcome::Failed(failure)))
    }

    /// The outcome, and whether `path` was the row's own.
    async fn ended(self, entry: &Arc<Entry>, path: Option<&Arc<LocalPath>>) -> (RowEnd, bool) {
        match self {
            Self::Nothing(outcome) => ((*outcome).into(), false),
            Self::Download(download) => (download.ended().await, true),
            Self::Follow(leader) => {
                let outcome = leader.await.unwrap_or_else(|_| {
                    Outcome::Failed(Failure::not_attempted("the run was stopped"))
                });
                (outcome.into(), false)
            }
            Self::Wait(path_is_free, shared, turn) => {
                // The row before it ends, and soon if the run is being stopped.
                let has_path = path_is_free.await.is_ok();
                match path {
                    Some(path) if has_path && shared.stop.phase() == Phase::Running => {
                        let download = Download::begin(&shared, entry, path, turn);
                        (download.ended().await, true)
                    }
                    _ => {
                        let failure = Failure::not_attempted(&shared.stop.reason());
                        (Outcome::Failed(failure).into(), has_path)
                    }
                }
            }
        }
    }
}

/// A download as a task of its own, with its place among those who need permits.
struct Download {
    task: AbortOnDropHandle<RowEnd>,
    /// Where it is kept until the row ends. A member of an archive gives it up before it waits for its turn.
    claim: Option<Claim>,
}

impl Download {
    fn begin(
        shared: &Arc<Shared>,
        entry: &Arc<Entry>,
        path: &Arc<LocalPath>,
        turn: Option<Turn>,
    ) -> Self {
        let claim = shared.limit.claim();
        let (claim, turn) = match turn {
            Some(turn) => (None, Some(Waiting { turn, claim })),
            None => (Some(claim), None),
        };
        let (shared_by_task, entry, path) =
            (Arc::clone(shared), Arc::clone(entry), Arc::clone(path));
        let task =
            match shared.options.job {
                Job::Download => tokio::spawn(object::download(shared_by_task, entry, path, turn)),
                Job::Check(how) => tokio::spawn(async move {
                    check::check(shared_by_task, entry, path, how).await.into()
                }),
            };
        Self {
            task: AbortOnDropHandle::new(task),
            claim,
        }
    }

    async fn ended(self) -> RowEnd {
        let end = self
            .task
            .await
            .unwrap_or_else(|error| Outcome::Failed(Failure::of_panic(&error)).into());
        // Given up here, where the next row is begun at once: no helper is quicker.
        drop(self.claim);
        end
    }
}
