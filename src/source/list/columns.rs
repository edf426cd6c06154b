//! The columns of a row, and the rules for keys that are the same in every format.

use std::str::FromStr;

use crate::outcome::ErrorCode;
use crate::row::{Entry, UnusableRow};

/// The longest key that S3 can hold, in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
const MAX_KEY: usize = 1024;

/// The columns of one row. An empty column counts as missing; an empty key is an error.
#[derive(Debug, Clone, Copy, Default)]
pub struct Columns<'a> {
    pub key: &'a str,
    pub bucket: &'a str,
    pub version_id: &'a str,
    pub size: Option<u64>,
    pub etag: &'a str,
    pub dest: &'a str,
}

/// The rules for keys, which are the same in every format.
#[derive(Debug, Clone, Copy)]
pub struct KeyRules<'a> {
    /// Prepended to keys, but not to those of an `s3://` URI.
    pub prefix: &'a str,
    pub bucket: &'a str,
}

impl KeyRules<'_> {
    /// The object of a row that is only a key or an `s3://bucket/key`.
    pub fn key_or_uri(&self, text: &[u8]) -> Result<Entry, UnusableRow> {
        self.uri_or(utf8(text)?, Columns::default())
    }

    /// The object of a row that has other columns beside a key or an `s3://bucket/key`.
    pub fn uri_or<'a>(&self, text: &'a str, columns: Columns<'a>) -> Result<Entry, UnusableRow> {
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
            _ => Err(UnusableRow::invalid(format!(
                "`{}` is not `s3://bucket/key`",
                excerpt(text.as_bytes())
            ))),
        }
    }

    /// The object of a listing's line, from the name as it is printed there.
    pub fn listed(&self, name: &[u8], size: Option<u64>) -> Result<Entry, UnusableRow> {
        let key = utf8(name)?;
        self.entry(Columns {
            key,
            size,
            ..Columns::default()
        })
    }

    /// The object that the columns of a row name.
    pub fn entry(&self, columns: Columns<'_>) -> Result<Entry, UnusableRow> {
        let Columns { key, bucket, .. } = columns;
        if !bucket.is_empty() && bucket != self.bucket {
            let message = format!(
                "the row is for bucket `{bucket}`, this run is for `{}`",
                self.bucket
            );
            return Err(UnusableRow {
                bucket: Some(bucket.to_owned()),
                ..UnusableRow::failed(key, ErrorCode::WrongBucket, message)
            });
        }
        let length = self.prefix.len() + key.len();
        if length == 0 {
            return Err(UnusableRow::invalid("the key is empty"));
        }
        let mut whole = String::with_capacity(length);
        whole.push_str(self.prefix);
        whole.push_str(key);
        if length > MAX_KEY {
            let message = format!("the key has {length} bytes, S3 allows {MAX_KEY}");
            return Err(UnusableRow::failed(&whole, ErrorCode::InvalidKey, message));
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

pub fn utf8(bytes: &[u8]) -> Result<&str, UnusableRow> {
    std::str::from_utf8(bytes).map_err(|_| {
        UnusableRow::invalid(format!(
            "not UTF-8, as keys in S3 must be: `{}`",
            excerpt(bytes)
        ))
    })
}

/// Parses a size in bytes; an empty column counts as missing.
pub fn size(text: &str) -> Result<Option<u64>, UnusableRow> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(size) => Ok(Some(size)),
        Err(_) => Err(UnusableRow::invalid(format!(
            "`{}` is not a size in bytes",
            excerpt(text.as_bytes())
        ))),
    }
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

/// Positions of the columns of an inventory's data file.
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

    /// Parses `Bucket, Key, VersionId, …`, as in a manifest's `fileSchema`. Unknown columns are ignored.
    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> = text.split(',').map(str::trim).collect();
        let find = |name: &str| {
            names
                .iter()
                .position(|column| column.eq_ignore_ascii_case(name))
        };
        Ok(Self {
            key: find("Key").ok_or("there is no column `Key`, as in `Bucket, Key, VersionId`")?,
            bucket: find("Bucket"),
            version_id: find("VersionId"),
            is_latest: find("IsLatest"),
            is_delete_marker: find("IsDeleteMarker"),
            size: find("Size"),
            etag: find("ETag"),
        })
    }
}
