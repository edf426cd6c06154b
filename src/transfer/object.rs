//! One object: its attempts, and the verdict on it.

use std::sync::Arc;
use std::time::Instant;

use super::fetch::{self, Fetched, Request};
use super::limit::Claim;
use super::retry::Budget;
use super::shared::{Broken, Shared};
use crate::outcome::{
    Downloaded, ErrorCode, Failure, ObjectInfo, Outcome, SkipReason, Verification,
};
use crate::row::Entry;
use crate::sink::Admission;
use crate::sink::files::LocalPath;
use crate::sink::tar::Turn;

/// What a row of an archive holds: its turn, and until its object is complete its place among those who need permits.
#[derive(Debug)]
pub struct Waiting {
    pub turn: Turn,
    pub claim: Claim,
}

/// Downloads an object within its budget of attempts.
pub async fn download(
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    path: Arc<LocalPath>,
    mut turn: Option<Waiting>,
) -> Outcome {
    let if_modified_since = match shared.sink.admit(&path, entry.size).await {
        Ok(Admission::Fetch) => None,
        Ok(Admission::FetchIfNewer(time)) => Some(time),
        Ok(Admission::Skip(reason)) => return Outcome::Skipped(reason),
        Err(failure) => return Outcome::Failed(failure),
    };
    let started = Instant::now();
    let request = Request {
        budget: Arc::new(Budget::new(shared.options.max_attempts.get())),
        shared,
        entry,
        if_modified_since,
        known: Arc::default(),
    };
    loop {
        match attempt(&request, &path, &mut turn).await {
            Ok(committed) => {
                return Outcome::Downloaded(Downloaded {
                    bytes: committed.bytes,
                    object: committed.object,
                    verification: committed.verification,
                    attempts: request.budget.n_failed() + 1,
                    duration: started.elapsed(),
                });
            }
            Err(Broken::WithoutParts) => request.give_up_parts(),
            Err(Broken::Restart(failure)) => {
                if failure.code == ErrorCode::ObjectChanged {
                    request.doubt();
                }
                if let Err(failure) = request.budget.restart(failure) {
                    return Outcome::Failed(failure);
                }
            }
            Err(Broken::NotModified) => {
                return match request.shared.sink.remove_leftovers(&path).await {
                    Ok(()) => Outcome::Skipped(SkipReason::NotModified),
                    Err(failure) => Outcome::Failed(failure),
                };
            }
            Err(Broken::Final(failure)) => {
                return Outcome::Failed(Failure {
                    attempts: request.budget.n_failed(),
                    ..failure
                });
            }
        }
    }
}

/// An object at its final path.
struct Committed {
    bytes: u64,
    object: ObjectInfo,
    verification: Verification,
}

/// Downloads the object as it is now.
async fn attempt(
    request: &Request,
    path: &Arc<LocalPath>,
    turn: &mut Option<Waiting>,
) -> Result<Committed, Broken> {
    let received = Arc::new(request.shared.meter.object());
    // Boxed: it is of many kilobytes, and what holds it is moved some ten times on its way to a thread.
    let Fetched {
        bytes,
        object,
        verification,
        writer,
    } = Box::pin(fetch::fetch(request, path, &received)).await?;
    // Past the last point to give up: what is told of the row must be what is on disk.
    // What waits for its turn needs no permit any more: whose turn it is may use it.
    let mut turn = turn.take().map(|Waiting { turn, claim }| {
        drop(claim);
        turn
    });
    writer.commit(object.last_modified, &mut turn).await?;
    received.confirm();
    Ok(Committed {
        bytes,
        object,
        verification,
    })
}
