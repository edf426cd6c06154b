//! What is known of an object once all its bytes are here.

use crate::outcome::ObjectInfo;
use crate::s3::GetResponse;
use crate::sink::door::Writer;
use crate::transfer::checksum::Verified;

/// A complete and verified object, all but committed.
pub(crate) struct Fetched {
    pub bytes: u64,
    pub object: ObjectInfo,
    pub verified: Verified,
    pub writer: Writer,
}

/// What `response` says of the object, of which the description is taken out.
pub(super) fn info(response: &mut GetResponse) -> ObjectInfo {
    ObjectInfo {
        etag: response.etag.clone(),
        version_id: response.version_id.clone(),
        last_modified: response.last_modified,
        description: response.description.take(),
    }
}
