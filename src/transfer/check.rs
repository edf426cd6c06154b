//! A row of `s3pull check`: whether its file is there and is the object's. Nothing is downloaded.

use std::sync::Arc;
use std::time::SystemTime;

use super::fetch::Request;
use super::retry::Budget;
use super::shared::{Broken, Shared};
use super::verdict::{Verdict, other_size, other_time, verdict, verdict_of_row};
use crate::options::{Check, CheckDepth, IfUnverifiable};
use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};
use crate::row::Entry;
use crate::sink::There;
use crate::sink::files::LocalPath;

/// Checks the file at `path`. A file that is right is skipped; one that could not be checked never counts as right.
pub(super) async fn check(
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    path: Arc<LocalPath>,
    check: Check,
) -> Outcome {
    match checked(shared, entry, &path, check).await {
        Ok(reason) => Outcome::Skipped(reason),
        Err(failure) => Outcome::Failed(failure),
    }
}

async fn checked(
    shared: Arc<Shared>,
    entry: Arc<Entry>,
    path: &Arc<LocalPath>,
    check: Check,
) -> Result<SkipReason, Failure> {
    // Not worth handing over to a thread that may block: there is nothing else to do meanwhile.
    let (size, modified) = match shared.sink.look(path)? {
        There::File { size, modified } => (size, modified),
        There::Folder => return Ok(SkipReason::Verified),
        There::Nothing if path.is_folder() => {
            return Err(wrong(
                ErrorCode::Missing,
                format!("there is no folder `{path}`"),
            ));
        }
        There::Nothing => {
            return Err(wrong(
                ErrorCode::Missing,
                format!("there is no file `{path}`"),
            ));
        }
        There::LinkOutside => {
            let message = format!("`{path}` is a symlink that leads out of the output folder");
            return Err(wrong(ErrorCode::Unverifiable, message));
        }
    };
    match check.depth {
        CheckDepth::Quick => as_listed(&entry, size, modified),
        // Boxed, so that a quick check does not carry its size.
        CheckDepth::Offline => Box::pin(of_row(&shared, &entry, path, size)).await,
        CheckDepth::Content => {
            let request = Request {
                budget: Arc::new(
                    Budget::new(shared.options.max_attempts.get()).seen_by(&shared.meter),
                ),
                shared,
                entry,
                keep: None,
                known: Arc::default(),
                ahead: None,
            };
            of_content(&request, path, size, modified, check.if_unverifiable).await
        }
    }
}

/// Compares size and time with those of the row.
fn as_listed(entry: &Entry, size: u64, modified: SystemTime) -> Result<SkipReason, Failure> {
    let Some(listed) = entry.size else {
        let message = "the list gives no size to compare: check without `--quick`";
        return Err(wrong(ErrorCode::Unverifiable, message));
    };
    if listed != size {
        let message = other_size(size, listed, "the list");
        return Err(wrong(ErrorCode::Different, message));
    }
    match entry.last_modified {
        Some(time) if !time.may_be(modified) => {
            let message = other_time(modified, time, "the list");
            Err(wrong(ErrorCode::Different, message))
        }
        _ => Ok(SkipReason::NotModified),
    }
}

/// Compares the content with what the row says of it.
async fn of_row(
    shared: &Arc<Shared>,
    entry: &Entry,
    path: &Arc<LocalPath>,
    size: u64,
) -> Result<SkipReason, Failure> {
    match verdict_of_row(shared, entry, path, size).await? {
        Some(Verdict::Same(_)) => Ok(SkipReason::Verified),
        // There is only one content of no bytes.
        None if size == 0 && entry.size == Some(0) => Ok(SkipReason::Verified),
        Some(Verdict::Different(message)) => Err(wrong(ErrorCode::Different, message)),
        Some(Verdict::Unverifiable) | None => {
            let message =
                "the list gives no checksum that tells its content: check without `--offline`";
            Err(wrong(ErrorCode::Unverifiable, message))
        }
    }
}

async fn of_content(
    request: &Request,
    path: &Arc<LocalPath>,
    size: u64,
    modified: SystemTime,
    if_unverifiable: IfUnverifiable,
) -> Result<SkipReason, Failure> {
    // Boxed, so that a quick check does not carry its size.
    let verdict = match Box::pin(verdict(request, path, size, modified)).await {
        Ok(verdict) => verdict,
        Err(Broken::Final(failure) | Broken::Restart(failure)) => {
            let attempts = request.budget.n_failed();
            return Err(Failure {
                attempts,
                ..failure
            });
        }
        // Only a GET has these ends.
        Err(Broken::WithoutParts | Broken::NotModified | Broken::NoRoom) => Verdict::Unverifiable,
    };
    match (verdict, if_unverifiable) {
        (Verdict::Same(_), _) => Ok(SkipReason::Verified),
        (Verdict::Different(message), _) => Err(wrong(ErrorCode::Different, message)),
        (Verdict::Unverifiable, IfUnverifiable::Accept) => Ok(SkipReason::NotVerified),
        (Verdict::Unverifiable, IfUnverifiable::Fail) => {
            let message = "S3 has no checksum of the whole object; size and time are the same";
            Err(wrong(ErrorCode::Unverifiable, message))
        }
    }
}

/// A failure that a download mends.
fn wrong(code: ErrorCode, message: impl Into<String>) -> Failure {
    Failure::new(code, Class::Transient, message)
}
