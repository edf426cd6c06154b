//! A file that is there already, as far as a row can be compared with it.

use std::time::{SystemTime, UNIX_EPOCH};

use cap_std::fs::Metadata;

use crate::row::{Entry, LastModified};

/// What a row says of its object's size, beside that of the file at its path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SizeInRow {
    Same,
    Other,
    Unknown,
}

/// A file that is at a path already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileThere {
    pub modified: SystemTime,
    /// Bytes; `None` for a symlink that leads out of the output folder.
    pub size: Option<u64>,
}

impl FileThere {
    pub(super) fn of(file: &Metadata) -> Self {
        Self {
            modified: time_of(file),
            size: Some(file.len()),
        }
    }

    /// A link that counts as itself.
    pub(super) fn of_link(link: &Metadata) -> Self {
        Self {
            modified: time_of(link),
            size: None,
        }
    }

    /// Whether size and time of the object are known from its row, and are the file's.
    pub(crate) fn is_same(&self, entry: &Entry) -> bool {
        let has_time = |time: LastModified| time.may_be(self.modified);
        self.size.is_some() && entry.size == self.size && entry.last_modified.is_some_and(has_time)
    }

    /// Whether it can be the file of an object of `size` bytes, as far as that is known.
    pub(crate) fn may_have(&self, size: Option<u64>) -> bool {
        let (Some(one), Some(other)) = (self.size, size) else {
            return true;
        };
        one == other
    }

    /// How its size is to that of the row. What a power cut leaves has its time, and no bytes: it is compared with the
    /// object in any case.
    pub(crate) fn size_in(&self, entry: &Entry) -> SizeInRow {
        let is_other = |listed| self.size != Some(listed);
        if self.size == Some(0) || entry.size.is_some_and(is_other) {
            SizeInRow::Other
        } else if entry.size.is_some() {
            SizeInRow::Same
        } else {
            SizeInRow::Unknown
        }
    }
}

fn time_of(metadata: &Metadata) -> SystemTime {
    metadata
        .modified()
        .map_or(UNIX_EPOCH, cap_std::time::SystemTime::into_std)
}
