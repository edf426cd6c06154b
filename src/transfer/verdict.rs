//! Whether a file that is there has the content of its object: by the row's checksums or ETag without a request, else by what S3 answers
//! to one HEAD.

use std::sync::Arc;
use std::time::SystemTime;

use super::checksum::{Expected, Verifier};
use super::etag::{ContentTag, TagHasher};
use super::fetch::{Request, interrupted};
use super::shared::{Broken, Shared};
use crate::etag::ETag;
use crate::options::{Job, VerifyMode};
use crate::outcome::{ErrorCode, Failure};
use crate::printable::{count, number};
use crate::row::{Entry, LastModified, RowChecksum};
use crate::sink::files::LocalPath;
use crate::stop::Phase;

/// What is known about a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the object's, and has these checksums.
    Same(Vec<RowChecksum>),
    /// It is not, for this reason.
    Different(String),
    /// Nothing tells. Size and time are the object's.
    Unverifiable,
}

/// Compares the file at `path`, of this size and time, with the object.
///
/// # Errors
/// When the file cannot be read, the server does not answer, or the run gives up what is running.
pub(super) async fn verdict(
    request: &Request,
    path: &Arc<LocalPath>,
    size: u64,
    modified: SystemTime,
) -> Result<Verdict, Broken> {
    let entry = &request.entry;
    if let Some(verdict) = verdict_of_row(&request.shared, entry, path, size).await? {
        return Ok(verdict);
    }
    let listed = entry.etag.as_ref().and_then(ContentTag::of);
    let head = request.unless_given_up(request.head()).await?;
    if let Some(stated) = head.length.filter(|&stated| stated != size) {
        return Ok(Verdict::Different(other_size(size, stated, "S3")));
    }
    let stated = head.etag.as_ref();
    if let (Some(listed), Some(stated)) = (&entry.etag, stated)
        && !listed.names_the_same(stated)
    {
        let (stated, listed) = (stated.opaque(), listed.opaque());
        let message = format!("the object's ETag is `{stated}`, the list says `{listed}`");
        return Ok(Verdict::Different(message));
    }
    if head.checksum.is_some() {
        let expected = Expected::new(VerifyMode::Auto, &head, &[]);
        return has_checksum(&request.shared, path, expected)
            .await
            .map_err(Broken::Final);
    }
    let tag = stated.and_then(ContentTag::of);
    // As an MD5 of the whole object it counts unless the answer says that it is encrypted.
    let tag = tag.filter(|tag| tag.is_of_parts() || head.md5.is_some());
    if let Some(tag) = tag {
        if Some(tag) != listed && has_content(&request.shared, path, size, tag).await? {
            return Ok(Verdict::Same(tag.checksum().into_iter().collect()));
        }
        if !tag.is_of_parts() {
            let etag = stated.map_or("", ETag::opaque);
            let message = format!("the MD5 of the file is not the object's ETag `{etag}`");
            return Ok(Verdict::Different(message));
        }
    }
    Ok(match head.last_modified.map(LastModified::At) {
        Some(time) if head.length.is_some() && time.may_be(modified) => Verdict::Unverifiable,
        Some(time) => Verdict::Different(other_time(modified, time, "S3")),
        None => Verdict::Different("S3 states no checksum and no time of the object".to_owned()),
    })
}

/// Compares the file at `path`, of this size, with what its row says; `None` if that does not tell.
///
/// # Errors
/// When the file cannot be read, or the run gives up what is running.
pub(super) async fn verdict_of_row(
    shared: &Arc<Shared>,
    entry: &Entry,
    path: &Arc<LocalPath>,
    size: u64,
) -> Result<Option<Verdict>, Failure> {
    if let Some(listed) = entry.size.filter(|&listed| listed != size) {
        return Ok(Some(Verdict::Different(other_size(
            size, listed, "the list",
        ))));
    }
    if !entry.checksums.is_empty() {
        let expected = Expected::of_row(&entry.checksums);
        return has_checksum(shared, path, expected).await.map(Some);
    }
    let listed = entry.etag.as_ref().and_then(ContentTag::of);
    if let Some(tag) = listed
        && has_content(shared, path, size, tag).await?
    {
        return Ok(Some(Verdict::Same(tag.checksum().into_iter().collect())));
    }
    Ok(None)
}

/// `the file has 5 bytes, the list says 7`
pub(super) fn other_size(size: u64, stated: u64, by: &str) -> String {
    let (size, stated) = (count(size, "byte"), number(stated));
    format!("the file has {size}, {by} says {stated}")
}

/// `the file is of 2024-01-02T03:04:05Z, S3 says 2024-01-02T03:04:06Z`
pub(super) fn other_time(modified: SystemTime, stated: LastModified, by: &str) -> String {
    let modified = LastModified::At(modified);
    format!("the file is of {modified}, {by} says {stated}")
}

async fn has_content(
    shared: &Arc<Shared>,
    path: &Arc<LocalPath>,
    size: u64,
    tag: ContentTag,
) -> Result<bool, Failure> {
    let hasher = tag.hasher(size);
    if !hasher.is_possible() {
        return Ok(false);
    }
    let (hasher, n_bytes) = read(shared, path, hasher, TagHasher::update).await?;
    Ok(n_bytes == size && hasher.matches())
}

async fn has_checksum(
    shared: &Arc<Shared>,
    path: &Arc<LocalPath>,
    expected: Expected,
) -> Result<Verdict, Failure> {
    let verifier = Verifier::new(expected);
    let (verifier, n_bytes) = read(shared, path, verifier, Verifier::update).await?;
    Ok(match verifier.finish(n_bytes) {
        Ok(found) => Verdict::Same(found.checksums),
        // It had the right size before.
        Err(mismatch) if mismatch.code == ErrorCode::IncompleteBody => Verdict::Different(format!(
            "the file was changed while it was read: it had {n_bytes} bytes"
        )),
        Err(mismatch) => Verdict::Different(mismatch.message),
    })
}

/// Reads the file to its end, unless the run gives up what is running.
async fn read<D: Send + 'static>(
    shared: &Arc<Shared>,
    path: &Arc<LocalPath>,
    digest: D,
    update: fn(&mut D, &[u8]),
) -> Result<(D, u64), Failure> {
    let (stop, meter) = (Arc::clone(&shared.stop), Arc::clone(&shared.meter));
    let is_check = matches!(shared.options.job, Job::Check(_));
    let goes_on = move |n_bytes| {
        if is_check {
            meter.checked(n_bytes);
        }
        stop.phase() < Phase::GivingUp
    };
    let reading = shared.sink.read(path, digest, update, goes_on);
    tokio::select! {
        biased;
        () = shared.stop.reached(Phase::GivingUp) => Err(interrupted()),
        read = reading => read,
    }
}
