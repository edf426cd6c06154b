//! Whether a file that is there has the content of its object: by the row's checksums or ETag without a request, else by what S3 answers
//! to one HEAD.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::checksum::{Expected, Verifier};
use super::etag::{ContentTag, TagHasher};
use super::fetch::{Request, interrupted};
use super::shared::{Broken, Shared};
use crate::options::VerifyMode;
use crate::outcome::{Class, Failure};
use crate::s3::GetResponse;
use crate::sink::files::LocalPath;
use crate::stop::Phase;

/// What is known about a file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is the object's.
    Same,
    /// It is not.
    Different,
    /// Nothing tells. Size and time are the object's.
    Unverifiable,
}

/// Compares the file at `path`, of this size and time, with the object.
///
/// # Errors
/// When the file cannot be read, the server does not answer, or the run gives up what is running.
pub async fn verdict(
    request: &Request,
    path: &Arc<LocalPath>,
    size: u64,
    modified: SystemTime,
) -> Result<Verdict, Broken> {
    let entry = &request.entry;
    if entry.size.is_some_and(|listed| listed != size) {
        return Ok(Verdict::Different);
    }
    let of_file = |is_same: bool| {
        if is_same {
            Verdict::Same
        } else {
            Verdict::Different
        }
    };
    if !entry.checksums.is_empty() {
        let expected = Expected::of_row(&entry.checksums);
        return Ok(of_file(
            has_checksum(&request.shared, path, expected).await?,
        ));
    }
    let listed = entry.etag.as_deref().and_then(ContentTag::parse);
    if let Some(tag) = listed
        && has_content(&request.shared, path, size, tag).await?
    {
        return Ok(Verdict::Same);
    }
    let head = match request.unless_given_up(request.head()).await {
        Ok(head) => head,
        // A GET says what is wrong with the object, which an answer without a body does not.
        Err(Broken::Final(failure))
            if failure.class == Class::Permanent && failure.status.is_some() =>
        {
            return Ok(Verdict::Different);
        }
        Err(broken) => return Err(broken),
    };
    let is_size = |length: u64| length == size;
    if !head.length.is_some_and(is_size) || is_other(entry.etag.as_deref(), &head) {
        return Ok(Verdict::Different);
    }
    if head.checksum.is_some() {
        let expected = Expected::new(VerifyMode::Auto, &head, &[]);
        return Ok(of_file(
            has_checksum(&request.shared, path, expected).await?,
        ));
    }
    let stated = head.etag.as_deref().map(|etag| etag.trim_matches('"'));
    let stated = stated.and_then(ContentTag::parse);
    // As an MD5 of the whole object it counts unless the answer says that it is encrypted.
    let stated = stated.filter(|tag| tag.is_of_parts() || head.md5.is_some());
    if let Some(tag) = stated {
        if Some(tag) != listed && has_content(&request.shared, path, size, tag).await? {
            return Ok(Verdict::Same);
        }
        if !tag.is_of_parts() {
            return Ok(Verdict::Different);
        }
    }
    let seconds = |time: SystemTime| {
        time.duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs())
    };
    let has_time = |time| seconds(time) == seconds(modified);
    Ok(if head.last_modified.is_some_and(has_time) {
        Verdict::Unverifiable
    } else {
        Verdict::Different
    })
}

/// Whether the list means another object than the one that is there now.
fn is_other(listed: Option<&str>, head: &GetResponse) -> bool {
    let found = head.etag.as_deref().map(|etag| etag.trim_matches('"'));
    matches!((listed, found), (Some(listed), Some(found)) if listed != found)
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
    Ok(n_bytes == size && hasher.is_same())
}

async fn has_checksum(
    shared: &Arc<Shared>,
    path: &Arc<LocalPath>,
    expected: Expected,
) -> Result<bool, Failure> {
    let verifier = Verifier::new(expected);
    let (verifier, n_bytes) = read(shared, path, verifier, Verifier::update).await?;
    Ok(verifier.finish(n_bytes).is_ok())
}

/// Reads the file to its end, unless the run gives up what is running.
async fn read<D: Send + 'static>(
    shared: &Arc<Shared>,
    path: &Arc<LocalPath>,
    digest: D,
    update: fn(&mut D, &[u8]),
) -> Result<(D, u64), Failure> {
    let stop = Arc::clone(&shared.stop);
    let goes_on = move || stop.phase() < Phase::GivingUp;
    let reading = shared.sink.read(path, digest, update, goes_on);
    tokio::select! {
        biased;
        () = shared.stop.reached(Phase::GivingUp) => Err(interrupted()),
        read = reading => read,
    }
}
