//! A row of a key list: the object that it names, or why it cannot be used.

use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};

/// Most bytes of a column other than the key: more than S3 or a file system accepts, and few enough for the failed-keys CSV
/// to be read back. A row that has more fails, and keeps enough of it to fail again.
pub const MAX_COLUMN: usize = 16 * 1024;

/// The longest key that S3 can hold, in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
pub const MAX_KEY: usize = 1024;

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
    /// Without its quotes. An object with another ETag is not downloaded, unless `is_listed`.
    pub etag: Option<String>,
    /// Path below the output folder to use instead of the key.
    pub dest: Option<String>,
    /// Whether this run listed the bucket for it, so that the key is what was asked for: the rest only describes the object,
    /// which may be replaced before its turn comes.
    pub is_listed: bool,
}

impl Entry {
    /// The ETag that the object must have.
    pub fn required_etag(&self) -> Option<&str> {
        self.etag.as_deref().filter(|_| !self.is_listed)
    }

    /// Which object the entry names.
    pub fn object(&self) -> ObjectId<'_> {
        ObjectId {
            key: &self.key,
            version_id: self.version_id.as_deref(),
            etag: self.required_etag(),
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
        let columns = [version_id, etag, dest, &mut self.bucket];
        for text in columns.into_iter().flatten().chain([key]) {
            // The rest is longer than what is allowed, so that it is refused again.
            let end = text.ceil_char_boundary(MAX_COLUMN + 1);
            text.truncate(end);
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
            etag: Some("e".to_owned()),
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
                etag: Some("other".to_owned()),
                ..entry.clone()
            },
        ];
        for other in others {
            assert_ne!(entry.object(), other.object(), "{other:?}");
        }
    }
}
