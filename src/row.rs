//! What a row says: the object it names, or why it names none.

use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};

/// Bytes of a column other than the key: more than S3 or a file system takes, and few enough for the failed-keys CSV to be
/// read back. A row that has more fails, and keeps so much of it that it fails again.
pub const MAX_COLUMN: usize = 16 * 1024;

/// One row of the lists.
#[derive(Debug)]
pub struct Row {
    pub place: Place,
    /// The object it names, or why it names none.
    pub entry: Result<Entry, NoEntry>,
}

impl Row {
    /// The key as far as it could be read, else empty.
    pub fn key(&self) -> &str {
        match &self.entry {
            Ok(entry) => &entry.key,
            Err(no_entry) => &no_entry.entry.key,
        }
    }
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Which list, from 0.
    pub list: usize,
    /// Line that the row starts on, from 1; where a format has no lines, the row's number.
    pub line: u64,
}

/// An object that a list names, and what the list says of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    pub key: String,
    pub version_id: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// Without its quotes: only an object that has it is meant.
    pub etag: Option<String>,
    /// Path below the output folder that is to be taken in place of the key.
    pub dest: Option<String>,
}

/// A row that names no object to fetch. It never stops the run.
#[derive(Debug)]
pub struct NoEntry {
    /// What the row says, as far as it could be read; its key may be empty.
    pub entry: Box<Entry>,
    /// Where it is another than `--bucket`.
    pub bucket: Option<String>,
    /// What becomes of the row.
    pub outcome: Box<Outcome>,
}

impl NoEntry {
    pub(crate) fn failed(entry: Entry, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            entry: Box::new(entry),
            bucket: None,
            outcome: Box::new(Outcome::Failed(Failure::new(
                code,
                Class::Permanent,
                message,
            ))),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::failed(Entry::default(), ErrorCode::InvalidRow, message)
    }

    /// The same row, of which more is known.
    pub(crate) fn of_entry(self, entry: Entry) -> Self {
        Self {
            entry: Box::new(entry),
            ..self
        }
    }

    /// The same row, whose `entry` lacks a column that cannot be read. It has no key then, so that a retry of it does
    /// not ask for something else; the message names it.
    pub(crate) fn without_key(mut self, entry: Entry, key: &str) -> Self {
        if let (Outcome::Failed(failure), false) = (&mut *self.outcome, key.is_empty()) {
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
            outcome: Box::new(Outcome::Skipped(reason)),
        }
    }

    /// The same with no text that is too long for a record.
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
            // Longer than what is allowed, so that it is refused again.
            let end = text.ceil_char_boundary(MAX_COLUMN + 1);
            text.truncate(end);
        }
        if let Outcome::Failed(failure) = &mut *self.outcome {
            failure.shorten();
        }
        self
    }
}
