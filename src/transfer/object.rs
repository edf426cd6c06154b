//! One object: its attempts, and the verdict on it.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use super::checksum::Verified;
use super::fetch::{self, Fetched, Keep, Request};
use super::limit::Claim;
use super::observer::{Content, RowEnd};
use super::retry::Budget;
use super::shared::{Broken, Shared};
use super::verdict::{Verdict, verdict};
use crate::outcome::{Class, Downloaded, ErrorCode, Failure, ObjectInfo, Outcome, SkipReason};
use crate::row::Entry;
use crate::sink::files::{LocalPath, SizeInRow};
use crate::sink::tar::Turn;
use crate::sink::{Admission, WRITE_SIZE};

/// What a row of an archive holds: its turn, and until its object is complete its place among those who need permits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub turn: Turn,
    pub claim: Claim,
}

/// Downloads an object within its budget of attempts.
pub(super) async fn download(
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    path: Arc<LocalPath>,
    mut turn: Option<Waiting>,
) -> RowEnd {
    let end = ended(shared, entry, path, &mut turn).await;
    RowEnd {
        turn: turn.map(|waiting| waiting.turn),
        ..end
    }
}

async fn ended(
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    path: Arc<LocalPath>,
    turn: &mut Option<Waiting>,
) -> RowEnd {
    let takes_note = shared.options.takes_note;
    let admission = shared.sink.admit(&path, &entry).await;
    let (keep, in_doubt) = match admission.map(Plan::of) {
        Ok(Plan::Fetch { keep, in_doubt }) => (keep, in_doubt),
        Ok(Plan::Skip(reason)) => return Outcome::Skipped(reason).into(),
        Err(failure) => return Outcome::Failed(failure).into(),
    };
    let started = Instant::now();
    let request = Request {
        budget: Arc::new(Budget::new(shared.options.max_attempts.get()).seen_by(&shared.meter)),
        shared,
        entry,
        keep,
        known: Arc::default(),
        ahead: turn.as_ref().map(|waiting| Arc::clone(&waiting.turn.ahead)),
    };
    if let Some(in_doubt) = in_doubt {
        // Boxed, so that downloads do not carry its size.
        match Box::pin(kept(&request, &path, in_doubt)).await {
            Ok(None) => {}
            Ok(Some((reason, content))) => {
                let outcome = skipped(&request, &path, reason).await;
                return RowEnd {
                    content: content.filter(|_| takes_note).map(Box::new),
                    ..outcome.into()
                };
            }
            Err(failure) => return Outcome::Failed(failure).into(),
        }
    }
    let mut mismatch = None;
    loop {
        match attempt(&request, &path, turn).await {
            Ok(committed) => {
                let Verified {
                    verification,
                    checksums,
                } = committed.verified;
                let size = committed.bytes;
                let content = takes_note.then(|| Box::new(Content { size, checksums }));
                let outcome = Outcome::Downloaded(Downloaded {
                    bytes: size,
                    object: committed.object,
                    verification,
                    attempts: request.budget.n_failed() + 1,
                    duration: started.elapsed(),
                });
                return RowEnd {
                    content,
                    ..outcome.into()
                };
            }
            Err(Broken::WithoutParts) => request.give_up_parts(),
            Err(Broken::NoRoom) => {
                let waited = request.unless_given_up(room(&request, turn)).await;
                if waited.is_err() {
                    return Outcome::Failed(fetch::interrupted()).into();
                }
            }
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
                    return Outcome::Failed(failure).into();
                }
                if is_final {
                    let attempts = request.budget.n_failed();
                    return Outcome::Failed(Failure { attempts, ..failed }).into();
                }
            }
            Err(Broken::NotModified) => {
                let reason = SkipReason::NotModified;
                return skipped(&request, &path, reason).await.into();
            }
            Err(Broken::Final(failure)) => {
                let class = class_of(&request, &failure).await;
                let failure = Failure {
                    attempts: request.budget.n_failed(),
                    class,
                    ..failure
                };
                return Outcome::Failed(failure).into();
            }
        }
    }
}

/// Waits for room in the archive's spool. The row has no claim on a permit meanwhile: others may use it for their parts.
async fn room(request: &Request, turn: &mut Option<Waiting>) -> Result<(), Broken> {
    if let (Some(waiting), Some(ahead)) = (turn.take(), &request.ahead) {
        drop(waiting.claim);
        ahead.until_room(request.entry.size).await;
        *turn = Some(Waiting {
            turn: waiting.turn,
            claim: request.shared.limit.claim(),
        });
    }
    Ok(())
}

/// The end of a row whose file is kept.
async fn skipped(request: &Request, path: &Arc<LocalPath>, reason: SkipReason) -> Outcome {
    match request.shared.sink.remove_leftovers(path).await {
        Ok(()) => Outcome::Skipped(reason),
        Err(failure) => Outcome::Failed(failure),
    }
}

/// What to do about an object, in view of the file that is there.
enum Plan {
    Skip(SkipReason),
    Fetch {
        /// When the file is kept after all.
        keep: Option<Keep>,
        in_doubt: Option<InDoubt>,
    },
}

impl Plan {
    fn of(admission: Admission) -> Self {
        let (keep, in_doubt) = match admission {
            Admission::Skip(reason) => return Self::Skip(reason),
            Admission::Fetch => (None, None),
            Admission::FetchIfNewer(time) => (Some(Keep::IfAsNew(time)), None),
            Admission::FetchUnlessSame {
                size,
                modified,
                in_row,
            } => {
                let keep = Keep::IfSame {
                    size,
                    modified,
                    is_known_by_time: in_row == SizeInRow::Same,
                };
                let is_unknown = in_row == SizeInRow::Unknown;
                (Some(keep), is_unknown.then_some(InDoubt::Size))
            }
            Admission::Verify { size, modified } => {
                (None, Some(InDoubt::Content { size, modified }))
            }
        };
        Self::Fetch { keep, in_doubt }
    }
}

/// What must be known of the object of a file before it is asked for: an answer without a body tells it.
enum InDoubt {
    /// Whether it has the size of the file. A server that says only that it was not modified does not say that.
    Size,
    /// Whether it has the content of the file, which has this size and time.
    Content { size: u64, modified: SystemTime },
}

/// Why the file that is there is kept, if it is, and what is known of its content.
async fn kept(
    request: &Request,
    path: &Arc<LocalPath>,
    in_doubt: InDoubt,
) -> Result<Option<(SkipReason, Option<Content>)>, Failure> {
    let found = match in_doubt {
        InDoubt::Size => {
            let head = request.unless_given_up(request.head()).await;
            let is_kept = head.map(|head| request.keeps_for(&head));
            is_kept.map(|is_kept| is_kept.then_some((SkipReason::NotModified, None)))
        }
        InDoubt::Content { size, modified } => {
            let verdict = verdict(request, path, size, modified).await;
            verdict.map(|verdict| match verdict {
                Verdict::Same(checksums) => {
                    Some((SkipReason::Verified, Some(Content { size, checksums })))
                }
                Verdict::Unverifiable => Some((SkipReason::NotVerified, None)),
                Verdict::Different(_) => None,
            })
        }
    };
    match found {
        // A GET says what is wrong with the object, which an answer without a body does not.
        Err(Broken::Final(failure))
            if failure.class != Class::Permanent || failure.status.is_none() =>
        {
            Err(failure)
        }
        // A server that contradicts itself is asked for the object.
        Err(_) => Ok(None),
        Ok(kept) => Ok(kept),
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
    verified: Verified,
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
        verified,
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
        verified,
    })
}
