//! The columns of a row, and the rules for keys that are the same in every format.

use std::str::FromStr;

use super::bucket::{Buckets, split_uri};
use super::findings::{Bad, Findings};
pub(crate) use super::names::Columns;
use super::names::positions;
use super::size;
use super::url;
use crate::etag::ETag;
use crate::outcome::{ErrorCode, SkipReason};
use crate::printable::count;
use crate::row::{
    Entry, LastModified, MAX_COLUMN, MAX_KEY, RowAlgorithm, RowChecksum, UnusableRow, too_long,
};

/// The value of a column. An empty text counts as a missing column.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Text(&'a str),
    /// A number that its format has parsed already.
    Number(u64),
    /// A time that its format has parsed already.
    Time(LastModified),
    Flag(bool),
    /// Neither a text nor any of these, as it was written.
    Odd(&'a str),
}

impl Default for Value<'_> {
    fn default() -> Self {
        Self::Text("")
    }
}

impl<'a> Value<'a> {
    /// The text; empty for any other value.
    pub fn text(self) -> &'a str {
        match self {
            Self::Text(text) => text,
            Self::Number(_) | Self::Time(_) | Self::Flag(_) | Self::Odd(_) => "",
        }
    }

    fn is_flag(self, wanted: bool) -> bool {
        match self {
            Self::Flag(flag) => flag == wanted,
            Self::Text(text) => text.eq_ignore_ascii_case(if wanted { "true" } else { "false" }),
            Self::Number(_) | Self::Time(_) | Self::Odd(_) => false,
        }
    }

    /// A text, or a number as one.
    fn text_or_number(self) -> Option<String> {
        match self {
            Self::Number(number) => Some(number.to_string()),
            other => given(other.text()),
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
    /// The object of a row that is only a key, an `s3://bucket/key` or the URL of an object.
    pub fn key_or_uri(&self, text: &[u8]) -> Result<Entry, UnusableRow> {
        let text = utf8(text)?;
        if let Some(object) = url::is_url(text).then(|| url::parse(text)).flatten() {
            let whole = KeyRules {
                prefix: "",
                ..*self
            };
            return whole.entry(&Columns {
                key: Value::Text(&object.key),
                bucket: Value::Text(&object.bucket),
                version_id: Value::Text(&object.version_id),
                ..Columns::default()
            });
        }
        self.uri_or(text, &Columns::default())
    }

    /// The object of a row that has other columns beside a key or an `s3://bucket/key`.
    pub fn uri_or<'a>(
        &self,
        text: &'a str,
        columns: &Columns<Value<'a>>,
    ) -> Result<Entry, UnusableRow> {
        let Some(uri) = without_scheme(text) else {
            return self.entry(&Columns {
                key: Value::Text(text),
                ..*columns
            });
        };
        let whole = KeyRules {
            prefix: "",
            ..*self
        };
        match split_uri(uri) {
            Some((bucket, key)) if !bucket.is_empty() => whole.entry(&Columns {
                key: Value::Text(key),
                bucket: Value::Text(bucket),
                ..*columns
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
        self.entry(&Columns {
            key: Value::Text(utf8(name)?),
            ..listed(size, last_modified)
        })
    }

    /// The object that the columns of a row name.
    pub fn entry(&self, columns: &Columns<Value<'_>>) -> Result<Entry, UnusableRow> {
        let entry = self.read(columns);
        let entry = self.bucket.check(entry, columns.bucket.text())?;
        let length = entry.key.len();
        if length == 0 {
            return Err(UnusableRow::invalid("the key is empty").without_key(entry, ""));
        }
        if length > MAX_KEY {
            let message = too_long(length);
            return Err(UnusableRow::failed(entry, ErrorCode::InvalidKey, message));
        }
        let columns = [
            ("bucket", None, columns.bucket),
            (
                "version_id",
                entry.version_id.as_deref(),
                columns.version_id,
            ),
            ("etag", entry.etag.as_ref().map(ETag::as_str), columns.etag),
            ("dest", entry.dest.as_deref(), columns.dest),
        ];
        let unusable = columns.into_iter().find_map(|(name, text, value)| {
            let length = text.map_or(0, str::len);
            if matches!(value, Value::Odd(_) | Value::Flag(_)) {
                return Some(format!("its `{name}` is not a text"));
            }
            (length > MAX_COLUMN).then(|| {
                let most = count(MAX_COLUMN as u64, "byte");
                format!("its `{name}` has more than {most}")
            })
        });
        match unusable {
            Some(message) => Err(UnusableRow::invalid(message).of_entry(entry)),
            None => Ok(entry),
        }
    }

    /// The object of a row of a table, unless the row is a delete marker or a version that is not the latest.
    pub fn latest(&self, columns: &Columns<Value<'_>>) -> Result<Entry, UnusableRow> {
        match skip_reason(columns) {
            Some(reason) => Err(UnusableRow::skipped(self.read(columns), reason)),
            None => self.entry(columns),
        }
    }

    /// What the columns of a row say, even if they do not name an object.
    pub fn read(&self, columns: &Columns<Value<'_>>) -> Entry {
        let key = columns.key.text();
        let mut whole = String::with_capacity(self.prefix.len() + key.len());
        whole.push_str(self.prefix);
        whole.push_str(key);
        Entry {
            key: whole,
            bucket: self.bucket.named(columns.bucket.text()),
            version_id: columns.version_id.text_or_number(),
            size: self.size(columns.size),
            etag: ETag::of_row(columns.etag.text()),
            dest: given(columns.dest.text()),
            is_listed: false,
            last_modified: self.time(columns.last_modified),
            checksums: self.checksums(columns.checksums),
        }
    }

    /// The checksums, the strongest first. A text that is not one counts as missing, and is reported as a finding.
    fn checksums(&self, values: [Value<'_>; 6]) -> Vec<RowChecksum> {
        let mut found = Vec::new();
        for (algorithm, value) in RowAlgorithm::ALL.into_iter().zip(values) {
            let text = match value {
                Value::Text("") => continue,
                Value::Text(text) | Value::Odd(text) => text,
                Value::Number(_) | Value::Time(_) | Value::Flag(_) => "a number",
            };
            match RowChecksum::parse(algorithm, text) {
                Some(checksum) => found.push(checksum),
                None => self.findings.bad(Bad::Checksum, text),
            }
        }
        found.sort_by_key(|checksum| checksum.algorithm);
        found
    }

    /// A time. A text that is not one counts as missing, and is reported as a finding.
    fn time(&self, value: Value<'_>) -> Option<LastModified> {
        let text = match value {
            Value::Time(time) => return Some(time),
            Value::Text("") => return None,
            Value::Text(text) | Value::Odd(text) => text,
            Value::Number(_) | Value::Flag(_) => "a number",
        };
        let time = text.parse().ok();
        if time.is_none() {
            self.findings.bad(Bad::Time, text);
        }
        time
    }

    /// A size in bytes. A text that is not a number counts as missing, and is reported as a finding.
    fn size(&self, value: Value<'_>) -> Option<u64> {
        let text = match value {
            Value::Number(size) => return Some(size),
            Value::Text("") => return None,
            Value::Text(text) | Value::Odd(text) => text,
            Value::Flag(_) | Value::Time(_) => "a flag",
        };
        let size = size::parse(text);
        if size.is_none() {
            self.findings.bad(Bad::Size, text);
        }
        size
    }
}

/// What follows `s3://`, or `gs://`, as Google's tools write it, or `s3a://`, as Hadoop and Spark do.
fn without_scheme(text: &str) -> Option<&str> {
    let schemes = ["s3://", "gs://", "s3a://"];
    schemes.iter().find_map(|scheme| text.strip_prefix(*scheme))
}

/// Whether `text` begins like the URI of an object.
pub(crate) fn is_uri(text: &str) -> bool {
    without_scheme(text).is_some()
}

/// What a listing says besides the name.
pub(crate) fn listed<'a>(
    size: Option<u64>,
    last_modified: Option<LastModified>,
) -> Columns<Value<'a>> {
    Columns {
        size: size.map_or_else(Value::default, Value::Number),
        last_modified: last_modified.map_or_else(Value::default, Value::Time),
        ..Columns::default()
    }
}

/// Why a row of versions is not downloaded.
pub(crate) fn skip_reason(columns: &Columns<Value<'_>>) -> Option<SkipReason> {
    if columns.is_delete_marker.is_flag(true) {
        Some(SkipReason::DeleteMarker)
    } else if columns.is_latest.is_flag(false) {
        Some(SkipReason::OldVersion)
    } else {
        None
    }
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

pub(crate) fn utf8(bytes: &[u8]) -> Result<&str, UnusableRow> {
    std::str::from_utf8(bytes).map_err(|_| {
        UnusableRow::invalid(format!(
            "not UTF-8, as keys in S3 must be: `{}`",
            excerpt(bytes)
        ))
    })
}

/// The start of `text`, for a message.
pub(crate) fn excerpt(text: &[u8]) -> String {
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
pub struct InventoryColumns(pub(super) Columns<Option<usize>>);

impl FromStr for InventoryColumns {
    type Err = String;

    /// Parses `Bucket, Key, VersionId, …`, as in a manifest's `fileSchema`. Unknown columns are ignored.
    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<_> = text.split(',').map(str::trim).collect();
        let columns = positions(&names, None);
        if columns.key.is_none() {
            return Err("there is no column `Key`, as in `Bucket, Key, VersionId`".to_owned());
        }
        Ok(Self(columns))
    }
}

#[cfg(test)]
mod tests {
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
