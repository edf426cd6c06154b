//! What tells one object from another under the same key.

use std::ops::Range;
use std::time::SystemTime;

use crate::etag::ETag;
use crate::s3::{GetResponse, Part};

/// What tells an object from every other one that was, or will be, under its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectVersion {
    /// A strong one.
    pub etag: ETag,
    /// Bytes.
    pub size: u64,
    pub last_modified: Option<SystemTime>,
}

impl ObjectVersion {
    /// That of an answer which says enough.
    pub(crate) fn of(response: &GetResponse) -> Option<Self> {
        Some(Self {
            etag: response.strong_etag()?.clone(),
            size: response.length?,
            last_modified: response.last_modified,
        })
    }

    /// What to ask for to get these bytes of it.
    pub(crate) fn part(&self, range: Range<u64>) -> Part<'_> {
        Part {
            range,
            etag: &self.etag,
            size: self.size,
            last_modified: self.last_modified,
        }
    }
}
