//! The columns of a row, and the rules for keys that are the same in every format.

use std::str::FromStr;

use super::bucket::Buckets;
use super::findings::Findings;
use crate::etag::ETag;
use crate::outcome::ErrorCode;
use crate::row::{Entry, LastModified, MAX_COLUMN, MAX_KEY, UnusableRow};

/// One `T` per column that describes an object: the column's names, its position, or its value.
///
/// A new column is added here, with its names, and in [`Entry`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Columns<T> {
    pub key: T,
    pub bucket: T,
    pub version_id: T,
    pub size: T,
    pub etag: T,
    pub dest: T,
    pub last_modified: T,
}

/// The names in the header of a CSV.
pub const CSV_NAMES: Columns<&str> = Columns {
    key: "key",
    bucket: "bucket",
    version_id: "version_id",
    size: "size",
    etag: "etag",
    dest: "dest",
    last_modified: "last_modified",
};

/// The names in the `fileSchema` of an inventory, which has no `dest`.
const INVENTORY_NAMES: Columns<Option<&str>> = Columns {
    key: Some("Key"),
    bucket: Some("Bucket"),
    version_id: Some("VersionId"),
    size: Some("Size"),
    etag: Some("ETag"),
    dest: None,
    last_modified: Some("LastModifiedDate"),
};

/// The members of a JSON object. `key` is not among them, since it may also be a URI.
const JSON_NAMES: Columns<&[&str]> = Columns {
    key: &["Key"],
    bucket: &["Bucket", "bucket"],
    version_id: &["VersionId", "version_id"],
    size: &["Size", "size"],
    etag: &["ETag", "etag"],
    dest: &["dest"],
    last_modified: &["LastModified", "last_modified"],
};

impl<T> Columns<T> {
    /// Borrows each column.
    pub fn each_ref(&self) -> Columns<&T> {
        Columns {
            key: &self.key,
            bucket: &self.bucket,
            version_id: &self.version_id,
            size: &self.size,
            etag: &self.etag,
            dest: &self.dest,
            last_modified: &self.last_modified,
        }
    }

    /// Converts each column.
    pub fn map<U>(self, mut convert: impl FnMut(T) -> U) -> Columns<U> {
        Columns {
            key: convert(self.key),
            bucket: convert(self.bucket),
            version_id: convert(self.version_id),
            size: convert(self.size),
            etag: convert(self.etag),
            dest: convert(self.dest),
            last_modified: convert(self.last_modified),
        }
    }

    /// The column of the JSON member `name`.
    pub fn json_member(&mut self, name: &str) -> Option<&mut T> {
        let columns = [
            (JSON_NAMES.key, &mut self.key),
            (JSON_NAMES.bucket, &mut self.bucket),
            (JSON_NAMES.version_id, &mut self.version_id),
            (JSON_NAMES.size, &mut self.size),
            (JSON_NAMES.etag, &mut self.etag),
            (JSON_NAMES.dest, &mut self.dest),
            (JSON_NAMES.last_modified, &mut self.last_modified),
        ];
        let found = columns
            .into_iter()
            .find(|(names, _)| names.contains(&name))?;
        Some(found.1)
    }
}

/// The value of a column. An empty text counts as a missing column.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Text(&'a str),
    /// A number that its format has parsed already.
    Number(u64),
    /// A time that its format has parsed already.
    Time(LastModified),
}

impl Default for Value<'_> {
    fn default() -> Self {
        Self::Text("")
    }
}

impl<'a> Value<'a> {
    /// The text; empty for a number or a time, since only sizes and times are such values.
    pub fn text(self) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Number(_) | Self::Time(_) => "",
        }
    }
}

/// The rules for keys, which are the same in every format.
#[derive(Debug, Clone, Copy)]
pub struct KeyRules<'a> {
    /// Prepended to keys, but not to those of an `s3://` URI.
    pub prefix: &'a str,
    pub bucket: &'a Buckets<'a>,
    pub findings: &'a Findings,
}

impl KeyRules<'_> {
    /// The object of a row that is only a key or an `s3://bucket/key`.
    pub fn key_or_uri(&self, text: &[u8]) -> Result<Entry, UnusableRow> {
        self.uri_or(utf8(text)?, Columns::default())
    }

    /// The object of a row that has other columns beside a key or an `s3://bucket/key`.
    pub fn uri_or<'a>(
        &self,
        text: &'a str,
        columns: Columns<Value<'a>>,
    ) -> Result<Entry, UnusableRow> {
        let Some(uri) = text.strip_prefix("s3://") else {
            return self.entry(Columns {
                key: Value::Text(text),
                ..columns
            });
        };
        let whole = KeyRules {
            prefix: "",
            ..*self
        };
        match uri.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() => whole.entry(Columns {
                key: Value::Text(key),
                bucket: Value::Text(bucket),
                ..columns
            }),
            _ => Err(UnusableRow::invalid(format!(
                "`{}` is not `s3://bucket/key`",
                excerpt(text.as_bytes())
            ))),
        }
    }

    /// The object of a listing's line, from the name as it is printed there.
    pub fn listed(
        &self,
        name: &[u8],
        size: Option<u64>,
        last_modified: Option<LastModified>,
    ) -> Result<Entry, UnusableRow> {
        self.entry(Columns {
            key: Value::Text(utf8(name)?),
            size: size.map_or_else(Value::default, Value::Number),
            last_modified: last_modified.map_or_else(Value::default, Value::Time),
            ..Columns::default()
        })
    }

    /// The object that the columns of a row name.
    pub fn entry(&self, columns: Columns<Value<'_>>) -> Result<Entry, UnusableRow> {
        let entry = self.read(columns);
        let entry = self.bucket.check(entry, columns.bucket.text())?;
        let length = entry.key.len();
        if length == 0 {
            return Err(UnusableRow::invalid("the key is empty").without_key(entry, ""));
        }
        if length > MAX_KEY {
            let message = format!("the key has {length} bytes, S3 allows {MAX_KEY}");
            return Err(UnusableRow::failed(entry, ErrorCode::InvalidKey, message));
        }
        let columns = [
            ("version_id", entry.version_id.as_deref()),
            ("etag", entry.etag.as_ref().map(ETag::as_str)),
            ("dest", entry.dest.as_deref()),
        ];
        let too_long = columns.into_iter().find_map(|(name, text)| {
            let length = text.map_or(0, str::len);
            (length > MAX_COLUMN).then(|| format!("its `{name}` has more than {MAX_COLUMN} bytes"))
        });
        match too_long {
            Some(message) => Err(UnusableRow::invalid(message).of_entry(entry)),
            None => Ok(entry),
        }
    }

    /// What the columns of a row say, even if they do not name an object.
    pub fn read(&self, columns: Columns<Value<'_>>) -> Entry {
        let key = columns.key.text();
        let mut whole = String::with_capacity(self.prefix.len() + key.len());
        whole.push_str(self.prefix);
        whole.push_str(key);
        Entry {
            key: whole,
            bucket: self.bucket.named(columns.bucket.text()),
            version_id: given(columns.version_id.text()),
            size: self.size(columns.size),
            etag: ETag::of_row(columns.etag.text()),
            dest: given(columns.dest.text()),
            is_listed: false,
            last_modified: self.time(columns.last_modified),
        }
    }

    /// A time. A text that is not one counts as missing, and is reported as a finding.
    fn time(&self, value: Value<'_>) -> Option<LastModified> {
        let text = match value {
            Value::Time(time) => return Some(time),
            other => other.text(),
        };
        let time = text.parse().ok();
        if time.is_none() && !text.is_empty() {
            self.findings.bad_time(text);
        }
        time
    }

    /// A size in bytes. A text that is not a number counts as missing, and is reported as a finding.
    fn size(&self, value: Value<'_>) -> Option<u64> {
        let text = match value {
            Value::Number(size) => return Some(size),
            other => other.text(),
        };
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

pub fn utf8(bytes: &[u8]) -> Result<&str, UnusableRow> {
    std::str::from_utf8(bytes).map_err(|_| {
        UnusableRow::invalid(format!(
            "not UTF-8, as keys in S3 must be: `{}`",
            excerpt(bytes)
        ))
    })
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
    pub(super) object: Columns<Option<usize>>,
    pub(super) is_latest: Option<usize>,
    pub(super) is_delete_marker: Option<usize>,
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
        let object = INVENTORY_NAMES.map(|name| name.and_then(find));
        if object.key.is_none() {
            return Err("there is no column `Key`, as in `Bucket, Key, VersionId`".to_owned());
        }
        Ok(Self {
            object,
            is_latest: find("IsLatest"),
            is_delete_marker: find("IsDeleteMarker"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_a_csv_has_the_same_name_in_json() {
        let names = CSV_NAMES.map(|name| (name != "key").then_some(name));
        let mut columns = CSV_NAMES;
        for name in [
            names.bucket,
            names.version_id,
            names.size,
            names.etag,
            names.dest,
            names.last_modified,
        ] {
            let name = name.unwrap();
            assert_eq!(columns.json_member(name), Some(&mut { name }));
        }
        assert_eq!(columns.json_member("key"), None);
    }

    #[test]
    fn each_format_says_when_an_object_was_last_modified() {
        use crate::source::testing::entries;
        for (list, format, time) in [
            (
                "key,last_modified\nk,2024-01-02T03:04:05Z\n",
                "csv",
                "2024-01-02T03:04:05Z",
            ),
            (
                "key,last_modified\nk,2024-01-02 03:04:05\n",
                "csv",
                "2024-01-02 03:04:05",
            ),
            (
                "{\"Key\":\"k\",\"LastModified\":\"2024-01-02T03:04:05+00:00\"}",
                "json",
                "2024-01-02T03:04:05Z",
            ),
            (
                "2024-01-02 03:04:05          3 k\n",
                "aws-s3-ls",
                "2024-01-02 03:04:05",
            ),
            (
                "2024/01/02 03:04:05                 3  k\n",
                "s5cmd-ls",
                "2024-01-02T03:04:05Z",
            ),
        ] {
            let entries = entries(list.as_bytes(), format);
            let said = entries[0].last_modified.map(|time| time.to_string());
            assert_eq!(said.as_deref(), Some(time), "{list}");
        }
        let bad = entries(b"key,last_modified\nk,yesterday\n", "csv");
        assert_eq!(bad[0].last_modified, None);
    }
}
