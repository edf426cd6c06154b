//! What a row says: the object it names, or why it names none.

use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};

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
            Err(no_entry) => &no_entry.key,
        }
    }
}

/// Where a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
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

impl Entry {
    /// Of which nothing but the key is known.
    pub fn of_key(key: String) -> Self {
        Self {
            key,
            ..Self::default()
        }
    }
}

/// A row that names no object to fetch. It never stops the run.
#[derive(Debug)]
pub struct NoEntry {
    /// The key as far as it could be read, else empty.
    pub key: String,
    /// Where it is another than `--bucket`.
    pub bucket: Option<String>,
    /// What becomes of the row.
    pub outcome: Box<Outcome>,
}

impl NoEntry {
    pub(crate) fn failed(key: &str, code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            bucket: None,
            outcome: Box::new(Outcome::Failed(Failure::new(
                code,
                Class::Permanent,
                message,
            ))),
        }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::failed("", ErrorCode::InvalidRow, message)
    }

    /// The same, where the key is known.
    pub(crate) fn of_key(self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self
        }
    }

    pub(crate) fn skipped(key: String, reason: SkipReason) -> Self {
        Self {
            key,
            bucket: None,
            outcome: Box::new(Outcome::Skipped(reason)),
        }
    }
}
