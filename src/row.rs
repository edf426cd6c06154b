//! A row of a key list: the object that it names, or why it cannot be used.

use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};

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
            Err(unusable) => &unusable.key,
        }
    }
}

/// Where a row is in the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Index of the list, from 0.
    pub list: usize,
    /// Line that the row starts on, from 1; the number of the row in formats without lines.
    pub line: u64,
}

/// An object that a list names, and what the list says about it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Entry {
    pub key: String,
    pub version_id: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// Without its quotes. An object with another ETag is not downloaded.
    pub etag: Option<String>,
    /// Path below the output folder to use instead of the key.
    pub dest: Option<String>,
}

impl Entry {
    /// An entry with only its key.
    pub fn of_key(key: String) -> Self {
        Self {
            key,
            ..Self::default()
        }
    }
}

/// A row that does not name an object to download. It never stops the run.
#[derive(Debug)]
pub struct UnusableRow {
    /// The key, as far as it could be read; empty if it could not.
    pub key: String,
    /// The row's bucket, if it differs from `--bucket`.
    pub bucket: Option<String>,
    /// What the row ends as.
    pub outcome: Box<Outcome>,
}

impl UnusableRow {
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

    /// Adds the key, once it is known.
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
