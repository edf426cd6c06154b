//! A row of a key list: the object that it names, or why it cannot be used.

use crate::etag::ETag;
use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};

/// Most bytes of a column other than the key: more than S3 or a file system accepts, and few enough for the failed-keys CSV
/// to be read back. A row that has more fails, and keeps enough of it to fail again.
pub const MAX_COLUMN: usize = 16 * 1024;

/// One row of the lists.
#[derive(Debug)]
pub struct Row {
    pub place: Place,
    /// The object that the row names, or why the row cannot be used.
    pub entry: Result<Entry, UnusableRow>,
}

impl Row {
    /// The key, as far as it could be read; empty if it could not.
    pub fn key(&self) -> &str {
        match &self.entry {
            Ok(entry) => &entry.key,
            Err(unusable) => &unusable.entry.key,
        }
    }
}

impl Row {
    /// Bytes of memory for what the row says, which a list may make as many as it likes.
    pub fn n_bytes(&self) -> usize {
        let (entry, bucket, why) = match &self.entry {
            Ok(entry) => (entry, None, None),
            Err(UnusableRow { entry, bucket, why }) => (&**entry, bucket.as_ref(), Some(why)),
        };
        let columns = [entry.version_id.as_ref(), entry.dest.as_ref(), bucket];
        let etag = entry.etag.as_ref().map_or(0, |etag| etag.as_str().len());
        let message = match why {
            Some(Unusable::Failed(failure)) => failure.message.capacity(),
            Some(Unusable::Skipped(_)) | None => 0,
        };
        let columns = columns.into_iter().flatten().map(String::capacity);
        size_of::<Self>() + entry.key.capacity() + etag + columns.sum::<usize>() + message
    }
}

/// Where a row is in the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Index of the list, from 0.
    pub list: usize,
    /// Line that the row starts on, from 1; the number of the row in formats without lines.
    pub line: u64,
}

/// An object that a list names, and what the list says about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub version_id: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// An object with another ETag is not downloaded.
    pub etag: Option<ETag>,
    /// Path below the output folder to use instead of the key.
    pub dest: Option<String>,
}

impl Entry {
    /// Which object the entry names.
    pub fn object(&self) -> ObjectId<'_> {
        ObjectId {
            key: &self.key,
            version_id: self.version_id.as_deref(),
            etag: self.etag.as_ref().map(ETag::opaque),
        }
    }
}

/// What tells objects apart. Two entries with equal ids name the same object, whatever else their rows say: the size only
/// describes the object, and `dest` is where its file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId<'a> {
    key: &'a str,
    version_id: Option<&'a str>,
    etag: Option<&'a str>,
}

/// A row that does not name an object to download. It never stops the run.
#[derive(Debug)]
pub struct UnusableRow {
    /// What the row says, as far as it could be read; its key may be empty.
    pub entry: Box<Entry>,
    /// The row's bucket, if it differs from `--bucket`.
    pub bucket: Option<String>,
    pub why: Unusable,
}

/// Why a row does not name an object to download, which is also how the row ends.
#[derive(Debug)]
pub enum Unusable {
    Failed(Box<Failure>),
    Skipped(SkipReason),
}

impl From<Unusable> for Outcome {
    fn from(why: Unusable) -> Self {
        match why {
            Unusable::Failed(failure) => Self::Failed(*failure),
            Unusable::Skipped(reason) => Self::Skipped(reason),
        }
    }
}

impl UnusableRow {
    pub(crate) fn failed(entry: Entry, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            entry: Box::new(entry),
            bucket: None,
            why: Unusable::Failed(Box::new(Failure::new(code, Class::Permanent, message))),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::failed(Entry::default(), ErrorCode::InvalidRow, message)
    }

    /// Replaces the entry, once more of the row is known.
    pub(crate) fn of_entry(self, entry: Entry) -> Self {
        Self {
            entry: Box::new(entry),
            ..self
        }
    }

    /// Replaces the entry by one in which a column cannot be read. The row has no key then, so that a retry of it does not
    /// request another object; the message names the key.
    pub(crate) fn without_key(mut self, entry: Entry, key: &str) -> Self {
        if let (Unusable::Failed(failure), false) = (&mut self.why, key.is_empty()) {
            let start = &key[..key.floor_char_boundary(200)];
            failure.message = format!("{}, for key `{}`", failure.message, start.escape_debug());
        }
        self.of_entry(Entry {
            key: String::new(),
            ..entry
        })
    }

    pub(crate) fn skipped(entry: Entry, reason: SkipReason) -> Self {
        Self {
            entry: Box::new(entry),
            bucket: None,
            why: Unusable::Skipped(reason),
        }
    }

    /// Cuts texts that are too long for a record.
    pub(crate) fn shortened(mut self) -> Self {
        let Entry {
            key,
            version_id,
            etag,
            dest,
            ..
        } = &mut *self.entry;
        let columns = [version_id, dest, &mut self.bucket];
        for text in columns.into_iter().flatten().chain([key]) {
            // The rest is longer than what is allowed, so that it is refused again.
            let end = text.ceil_char_boundary(MAX_COLUMN + 1);
            text.truncate(end);
            text.shrink_to_fit();
        }
        if let Some(etag) = etag {
            *etag = etag.shortened(MAX_COLUMN + 1);
        }
        if let Unusable::Failed(failure) = &mut self.why {
            failure.shorten();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_version_and_etag_tell_objects_apart() {
        let entry = Entry {
            version_id: Some("v".to_owned()),
            etag: ETag::of_row("e"),
            key: "k".to_owned(),
            ..Entry::default()
        };
        let same = Entry {
            size: Some(5),
            dest: Some("d".to_owned()),
            ..entry.clone()
        };
        assert_eq!(entry.object(), same.object());
        let others = [
            Entry {
                key: "other".to_owned(),
                ..entry.clone()
            },
            Entry {
                version_id: None,
                ..entry.clone()
            },
            Entry {
                etag: ETag::of_row("other"),
                ..entry.clone()
            },
        ];
        for other in others {
            assert_ne!(entry.object(), other.object(), "{other:?}");
        }
    }
}
