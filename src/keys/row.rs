//! What a row says: the object it names, or why it names none.

use super::findings::Findings;
use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};

/// The longest key that S3 can hold, in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
const MAX_KEY: usize = 1024;

/// Bytes of any other column: more than S3 or a file system takes, and few enough for the failed-keys CSV to be read
/// back. A row that has more fails, and keeps so much of it that it fails again.
const MAX_COLUMN: usize = 16 * 1024;

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
    pub(super) fn failed(entry: Entry, code: ErrorCode, message: impl Into<String>) -> Self {
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

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::failed(Entry::default(), ErrorCode::InvalidRow, message)
    }

    /// The same row, of which more is known.
    pub(super) fn of_entry(self, entry: Entry) -> Self {
        Self {
            entry: Box::new(entry),
            ..self
        }
    }

    /// The same row, whose `entry` lacks a column that cannot be read. It has no key then, so that a retry of it does
    /// not ask for something else; the message names it.
    pub(super) fn without_key(mut self, entry: Entry, key: &str) -> Self {
        if let (Outcome::Failed(failure), false) = (&mut *self.outcome, key.is_empty()) {
            let key = excerpt(key.as_bytes());
            failure.message = format!("{}, for key `{key}`", failure.message);
        }
        self.of_entry(Entry {
            key: String::new(),
            ..entry
        })
    }

    pub(super) fn skipped(entry: Entry, reason: SkipReason) -> Self {
        Self {
            entry: Box::new(entry),
            bucket: None,
            outcome: Box::new(Outcome::Skipped(reason)),
        }
    }

    /// The same with no text that is too long for a record.
    pub(super) fn shortened(mut self) -> Self {
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
    pub findings: &'a Findings,
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
            ..*self
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
        let entry = self.read(columns);
        let bucket = columns.bucket;
        if !bucket.is_empty() && bucket != self.bucket {
            let message = format!(
                "the row is for bucket `{bucket}`, this run is for `{}`",
                self.bucket
            );
            return Err(NoEntry {
                bucket: Some(bucket.to_owned()),
                ..NoEntry::failed(entry, ErrorCode::WrongBucket, message)
            });
        }
        let length = entry.key.len();
        if length == 0 {
            return Err(NoEntry::invalid("the key is empty").without_key(entry, ""));
        }
        if length > MAX_KEY {
            let message = format!("the key has {length} bytes, S3 allows {MAX_KEY}");
            return Err(NoEntry::failed(entry, ErrorCode::InvalidKey, message));
        }
        let columns = [
            ("version_id", &entry.version_id),
            ("etag", &entry.etag),
            ("dest", &entry.dest),
        ];
        let too_long = columns.into_iter().find_map(|(name, text)| {
            let length = text.as_ref().map_or(0, String::len);
            (length > MAX_COLUMN).then(|| format!("its `{name}` has more than {MAX_COLUMN} bytes"))
        });
        match too_long {
            Some(message) => Err(NoEntry::invalid(message).of_entry(entry)),
            None => Ok(entry),
        }
    }

    /// What a row's columns say, whether or not that is an object's.
    pub fn read(&self, columns: Columns<'_>) -> Entry {
        let Columns { key, .. } = columns;
        let mut whole = String::with_capacity(self.prefix.len() + key.len());
        whole.push_str(self.prefix);
        whole.push_str(key);
        Entry {
            key: whole,
            version_id: given(columns.version_id),
            size: columns.size,
            etag: given(columns.etag.trim_matches('"')),
            dest: given(columns.dest),
        }
    }

    /// Bytes, as a list gives them. An empty column says nothing, and neither does one that is not a number.
    pub fn size(&self, text: &str) -> Option<u64> {
        let size = text.parse().ok();
        if size.is_none() && !text.is_empty() {
            self.findings.bad_size(text);
        }
        size
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, NoEntry> {
    std::str::from_utf8(bytes)
        .map_err(|_| NoEntry::invalid(format!("not UTF-8, as S3's keys are: `{}`", excerpt(bytes))))
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
