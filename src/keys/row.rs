//! What a row says: the object it names, or why it names none.

use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};

/// The longest key that S3 can hold, in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
const MAX_KEY: usize = 1024;

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
    pub(super) fn failed(key: &str, code: ErrorCode, message: impl Into<String>) -> Self {
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

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::failed("", ErrorCode::InvalidRow, message)
    }

    /// The same, where the key is known.
    pub(super) fn of_key(self, key: &str) -> Self {
        Self {
            key: key.to_owned(),
            ..self
        }
    }

    pub(super) fn skipped(key: String, reason: SkipReason) -> Self {
        Self {
            key,
            bucket: None,
            outcome: Box::new(Outcome::Skipped(reason)),
        }
    }
}

/// What a row gives, as text of its format. An empty column says nothing, but for the key's.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Columns<'a> {
    pub key: &'a str,
    pub bucket: &'a str,
    pub version_id: &'a str,
    pub size: Option<u64>,
    pub etag: &'a str,
    pub dest: &'a str,
}

/// What is done with every key, whatever its list's format.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyRules<'a> {
    /// Put before keys, though not before those of an `s3://` URI.
    pub prefix: &'a str,
    pub bucket: &'a str,
}

impl KeyRules<'_> {
    /// A key, or an `s3://bucket/key`, that stands alone.
    pub fn key_or_uri(&self, text: &[u8]) -> Result<Entry, NoEntry> {
        self.uri_or(utf8(text)?, Columns::default())
    }

    /// The same where other columns stand beside it.
    pub fn uri_or<'a>(&self, text: &'a str, columns: Columns<'a>) -> Result<Entry, NoEntry> {
        let Some(uri) = text.strip_prefix("s3://") else {
            return self.entry(Columns {
                key: text,
                ..columns
            });
        };
        let whole = KeyRules {
            prefix: "",
            bucket: self.bucket,
        };
        match uri.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() => whole.entry(Columns {
                key,
                bucket,
                ..columns
            }),
            _ => Err(NoEntry::invalid(format!(
                "`{}` is not `s3://bucket/key`",
                excerpt(text.as_bytes())
            ))),
        }
    }

    /// A name of a listing, as it stands there.
    pub fn listed(&self, name: &[u8], size: Option<u64>) -> Result<Entry, NoEntry> {
        let key = utf8(name)?;
        self.entry(Columns {
            key,
            size,
            ..Columns::default()
        })
    }

    /// The object that a row's columns name.
    pub fn entry(&self, columns: Columns<'_>) -> Result<Entry, NoEntry> {
        let Columns { key, bucket, .. } = columns;
        if !bucket.is_empty() && bucket != self.bucket {
            let message = format!(
                "the row is for bucket `{bucket}`, this run is for `{}`",
                self.bucket
            );
            return Err(NoEntry {
                bucket: Some(bucket.to_owned()),
                ..NoEntry::failed(key, ErrorCode::WrongBucket, message)
            });
        }
        let length = self.prefix.len() + key.len();
        if length == 0 {
            return Err(NoEntry::invalid("the key is empty"));
        }
        let mut whole = String::with_capacity(length);
        whole.push_str(self.prefix);
        whole.push_str(key);
        if length > MAX_KEY {
            let message = format!("the key has {length} bytes, S3 allows {MAX_KEY}");
            return Err(NoEntry::failed(&whole, ErrorCode::InvalidKey, message));
        }
        Ok(Entry {
            key: whole,
            version_id: given(columns.version_id),
            size: columns.size,
            etag: given(columns.etag.trim_matches('"')),
            dest: given(columns.dest),
        })
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, NoEntry> {
    std::str::from_utf8(bytes)
        .map_err(|_| NoEntry::invalid(format!("not UTF-8, as S3's keys are: `{}`", excerpt(bytes))))
}

/// Bytes, as a list gives them; an empty column says nothing.
pub(super) fn size(text: &str) -> Result<Option<u64>, NoEntry> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(size) => Ok(Some(size)),
        Err(_) => Err(NoEntry::invalid(format!(
            "`{}` is no size in bytes",
            excerpt(text.as_bytes())
        ))),
    }
}

/// The start of `text`, for a message.
pub(super) fn excerpt(text: &[u8]) -> String {
    const MOST: usize = 200;
    let start = &text[..text.len().min(MOST)];
    let dots = if start.len() < text.len() { "…" } else { "" };
    match std::str::from_utf8(start) {
        Ok(start) => format!("{}{dots}", start.escape_debug()),
        Err(_) => format!("{}{dots}", start.escape_ascii()),
    }
}
