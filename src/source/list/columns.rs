//! What a row of a list says, column by column, and the rules for every key, whatever its list's format.

use std::str::FromStr;

use super::findings::Findings;
use crate::outcome::ErrorCode;
use crate::row::{Entry, MAX_COLUMN, NoEntry};

/// The longest key that S3 can hold, in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
const MAX_KEY: usize = 1024;

/// What a row gives, as text of its format. An empty column says nothing, but for the key's.
#[derive(Debug, Clone, Copy, Default)]
pub struct Columns<'a> {
    pub key: &'a str,
    pub bucket: &'a str,
    pub version_id: &'a str,
    pub size: Option<u64>,
    pub etag: &'a str,
    pub dest: &'a str,
}

/// What is done with every key, whatever its list's format.
#[derive(Debug, Clone, Copy)]
pub struct KeyRules<'a> {
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

pub fn utf8(bytes: &[u8]) -> Result<&str, NoEntry> {
    std::str::from_utf8(bytes)
        .map_err(|_| NoEntry::invalid(format!("not UTF-8, as S3's keys are: `{}`", excerpt(bytes))))
}

/// The start of `text`, for a message.
pub fn excerpt(text: &[u8]) -> String {
    const MOST: usize = 200;
    let start = &text[..text.len().min(MOST)];
    let dots = if start.len() < text.len() { "…" } else { "" };
    match std::str::from_utf8(start) {
        Ok(start) => format!("{}{dots}", start.escape_debug()),
        Err(_) => format!("{}{dots}", start.escape_ascii()),
    }
}

/// Which column of a data file is what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryColumns {
    pub(super) key: usize,
    pub(super) bucket: Option<usize>,
    pub(super) version_id: Option<usize>,
    pub(super) is_latest: Option<usize>,
    pub(super) is_delete_marker: Option<usize>,
    pub(super) size: Option<usize>,
    pub(super) etag: Option<usize>,
}

impl FromStr for InventoryColumns {
    type Err = String;

    /// Takes `Bucket, Key, VersionId, …`, as a manifest's `fileSchema` says it. Others than those that matter are ignored.
    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> = text.split(',').map(str::trim).collect();
        let find = |name: &str| {
            names
                .iter()
                .position(|column| column.eq_ignore_ascii_case(name))
        };
        Ok(Self {
            key: find("Key").ok_or("no column is called `Key`, as in `Bucket, Key, VersionId`")?,
            bucket: find("Bucket"),
            version_id: find("VersionId"),
            is_latest: find("IsLatest"),
            is_delete_marker: find("IsDeleteMarker"),
            size: find("Size"),
            etag: find("ETag"),
        })
    }
}
