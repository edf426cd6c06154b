//! One object: its attempts, and the verdict on it.

use std::sync::Arc;
use std::time::Instant;

use super::fetch::{self, Fetched, Keep, Request};
use super::limit::Claim;
use super::retry::Budget;
use super::shared::{Broken, Shared};
use super::verdict::{Verdict, verdict};
use crate::outcome::{
    Class, Downloaded, ErrorCode, Failure, ObjectInfo, Outcome, SkipReason, Verification,
};
use crate::row::Entry;
use crate::sink::files::LocalPath;
use crate::sink::tar::Turn;
use crate::sink::{Admission, WRITE_SIZE};

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
    let mut to_verify = None;
    let keep = match shared.sink.admit(&path, &entry).await {
        Ok(Admission::Fetch) => None,
        Ok(Admission::FetchIfNewer(time)) => Some(Keep::IfAsNew(time)),
        Ok(Admission::FetchUnlessSame {
            size,
            modified,
            may_have_size,
        }) => Some(Keep::IfSame {
            size,
            modified,
            may_have_size,
        }),
        Ok(Admission::Verify { size, modified }) => {
            to_verify = Some((size, modified));
            None
        }
        Ok(Admission::Skip(reason)) => return Outcome::Skipped(reason),
        Err(failure) => return Outcome::Failed(failure),
    };
    let started = Instant::now();
    let request = Request {
        budget: Arc::new(Budget::new(shared.options.max_attempts.get()).seen_by(&shared.meter)),
        shared,
        entry,
        keep,
        known: Arc::default(),
    };
    if let Some((size, modified)) = to_verify {
        // Boxed, so that downloads do not carry its size.
        let verdict = Box::pin(verdict(&request, &path, size, modified)).await;
        let reason = match verdict {
            Ok(Verdict::Same) => Some(SkipReason::Verified),
            Ok(Verdict::Unverifiable) => Some(SkipReason::NotVerified),
            // A server that contradicts itself is asked for the object.
            Ok(Verdict::Different(_))
            | Err(Broken::Restart(_) | Broken::WithoutParts | Broken::NotModified) => None,
            // A GET says what is wrong with the object, which an answer without a body does not.
            Err(Broken::Final(failure))
                if failure.class == Class::Permanent && failure.status.is_some() =>
            {
                None
            }
            Err(Broken::Final(failure)) => return Outcome::Failed(failure),
        };
        if let Some(reason) = reason {
            return match request.shared.sink.remove_leftovers(&path).await {
                Ok(()) => Outcome::Skipped(reason),
                Err(failure) => Outcome::Failed(failure),
            };
        }
    }
    let mut mismatch = None;
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
                // The same wrong bytes twice are not the network's fault: they are what the server has.
                let found =
                    (failure.code == ErrorCode::ChecksumMismatch).then(|| failure.message.clone());
                let is_final = found.is_some() && found == mismatch;
                mismatch = found;
                let failed = failure.clone();
                if let Err(failure) = request.budget.restart(failure) {
                    return Outcome::Failed(failure);
                }
                if is_final {
                    return Outcome::Failed(Failure {
                        attempts: request.budget.n_failed(),
                        ..failed
                    });
                }
            }
            Err(Broken::NotModified) => {
                return match request.shared.sink.remove_leftovers(&path).await {
                    Ok(()) => Outcome::Skipped(SkipReason::NotModified),
                    Err(failure) => Outcome::Failed(failure),
                };
            }
            Err(Broken::Final(failure)) => {
                let class = class_of(&request, &failure).await;
                return Outcome::Failed(Failure {
                    attempts: request.budget.n_failed(),
                    class,
                    ..failure
                });
            }
        }
    }
}

/// The failure's class: a disk without room for a large object may well have room for others, now that what was written of
/// it is gone.
async fn class_of(request: &Request, failure: &Failure) -> Class {
    let shared = &request.shared;
    let size = request.size();
    let is_large = size.is_some_and(|size| size >= shared.options.multipart_threshold);
    if failure.code != ErrorCode::DiskFull || !is_large {
        return failure.class;
    }
    let free = shared.sink.free().await;
    if free >= Some(WRITE_SIZE as u64) && size > free {
        return Class::Permanent;
    }
    failure.class
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
