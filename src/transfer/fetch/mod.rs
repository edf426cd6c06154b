//! The bytes of an object: as one stream, or in parallel parts.

mod body;
mod fetched;
mod held;
mod keep;
mod known;
mod lanes;
mod parts;
pub(super) mod plan;
mod request;
mod server_there;
mod version;
mod whole;

use std::sync::Arc;

use crate::meter::InFlightObject;
use crate::outcome::{Class, ErrorCode, Failure};
use crate::row::Entry;
use crate::s3::GetResponse;
use crate::sink::files::LocalPath;
use crate::transfer::shared::Broken;
pub(super) use fetched::Fetched;
pub(super) use keep::Keep;
pub(super) use request::{Request, interrupted};
use version::ObjectVersion;

/// Fetches and verifies the object as it is now.
pub(super) async fn fetch(
    request: &Request,
    path: &Arc<LocalPath>,
    received: &Arc<InFlightObject>,
) -> Result<Fetched, Broken> {
    // Boxed, so that what follows does not carry its size.
    let asking = Box::pin(request.whole());
    let (response, held) = request.unless_given_up(asking).await?;
    check_etag(&request.entry, &response)?;
    check_size(&request.entry, &response)?;
    request.note(&response);
    if let Some(ahead) = &request.ahead {
        ahead.has_size(response.length);
    }
    let options = &request.shared.options;
    let is_large = |version: &ObjectVersion| {
        version.size >= options.multipart_threshold.max(options.part_size + 1)
    };
    if !path.is_folder()
        && request.has_parts()
        && let Some(version) = ObjectVersion::of(&response).filter(is_large)
    {
        // Boxed, so that small objects do not carry its size.
        let fetching = parts::fetch(request, path, received, version, response, held);
        return Box::pin(fetching).await;
    }
    let streaming = whole::fetch(request, path, received, response, held);
    request.unless_given_up(streaming).await
}

/// Whether the answer may hold the object as it is stored: one that is encoded, and has another size than the list says of
/// the same ETag, was compressed on the way.
fn check_size(entry: &Entry, response: &GetResponse) -> Result<(), Failure> {
    let is_meant = entry.etag.as_ref().zip(response.etag.as_ref());
    let is_meant = is_meant.is_some_and(|(listed, etag)| listed.names_the_same(etag));
    let is_in_doubt = response.is_encoded && response.checksum.is_none() && is_meant;
    match (entry.size, response.length) {
        (Some(listed), Some(length)) if is_in_doubt && listed != length => Err(Failure::new(
            ErrorCode::InvalidResponse,
            Class::Permanent,
            format!(
                "the body was compressed on the way: it has {length} bytes, the list says {listed}"
            ),
        )),
        _ => Ok(()),
    }
}

/// Whether it is the object that the list means, where the list says so much.
fn check_etag(entry: &Entry, response: &GetResponse) -> Result<(), Failure> {
    match (entry.required_etag(), &response.etag) {
        (Some(listed), Some(found)) if !listed.names_the_same(found) => Err(Failure::new(
            ErrorCode::ObjectChanged,
            Class::Permanent,
            format!(
                "its ETag is `{}`, the list says `{}`",
                found.opaque(),
                listed.opaque()
            ),
        )),
        _ => Ok(()),
    }
}
