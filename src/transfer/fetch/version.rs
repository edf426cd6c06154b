//! What tells one object from another under the same key.

use std::time::SystemTime;

use crate::etag::ETag;
use crate::s3::GetResponse;

/// What tells an object from every other one that was, or will be, under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectVersion {
    /// A strong one.
    pub etag: ETag,
    /// Bytes.
    pub size: u64,
    pub last_modified: Option<SystemTime>,
}

impl ObjectVersion {
    /// That of an answer which says enough.
    pub fn of(response: &GetResponse) -> Option<Self> {
        Some(Self {
            etag: response.strong_etag()?.clone(),
            size: response.length?,
            last_modified: response.last_modified,
        })
    }
}
