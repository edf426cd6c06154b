//! A row of a key list: the object that it names, or why it cannot be used.

mod checksums;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::etag::ETag;
use crate::outcome::{Class, ErrorCode, Failure, Outcome, SkipReason};
use crate::printable::{count, number};
pub(crate) use checksums::{RowAlgorithm, RowChecksum};

/// Most bytes of a column other than the key: more than S3 or a file system accepts, and few enough for the failed-keys CSV
/// to be read back. A row that has more fails, and keeps enough of it to fail again.
pub(crate) const MAX_COLUMN: usize = 16 * 1024;

/// The longest key that S3 can hold, in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
pub(crate) const MAX_KEY: usize = 1024;

/// What is wrong with a key of `length` bytes.
pub(crate) fn too_long(length: usize) -> String {
    let (length, most) = (count(length as u64, "byte"), number(MAX_KEY as u64));
    format!("the key has {length}, S3 allows {most}")
}

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

    /// Bytes of memory for what the row says, which a list may make as many as it likes.
    pub fn n_bytes(&self) -> usize {
        let (entry, bucket, why) = match &self.entry {
            Ok(entry) => (entry, None, None),
            Err(UnusableRow { entry, bucket, why }) => (&**entry, bucket.as_ref(), Some(why)),
        };
        let columns = [entry.version_id.as_ref(), entry.dest.as_ref(), bucket];
        let message = match why {
            Some(Unusable::Failed(failure)) => failure.message.capacity(),
            Some(Unusable::Skipped(_)) | None => 0,
        };
        let columns = columns.into_iter().flatten().map(String::capacity);
        let etag = entry.etag.as_ref().map_or(0, |etag| etag.as_str().len());
        size_of::<Self>() + entry.key.capacity() + etag + columns.sum::<usize>() + message
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
    /// The bucket that the row names; `None` for the run's only one.
    pub bucket: Option<Arc<str>>,
    pub version_id: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
    /// An object with another ETag is not downloaded, unless `is_listed`.
    pub etag: Option<ETag>,
    /// Path below the output folder to use instead of the key.
    pub dest: Option<String>,
    /// Whether this run listed the bucket for it, so that the key is what was asked for: the rest only describes the object,
    /// which may be replaced before its turn comes.
    pub is_listed: bool,
    pub last_modified: Option<LastModified>,
    /// Checksums of the whole object, at most one per algorithm. An object with another one is not downloaded.
    pub checksums: Vec<RowChecksum>,
}

impl Entry {
    /// The key as people are told it: with its bucket, if rows have different ones.
    pub fn name(&self) -> Cow<'_, str> {
        match &self.bucket {
            Some(bucket) => Cow::Owned(format!("s3://{bucket}/{}", self.key)),
            None => Cow::Borrowed(&self.key),
        }
    }

    /// The ETag that the object must have.
    pub fn required_etag(&self) -> Option<&ETag> {
        self.etag.as_ref().filter(|_| !self.is_listed)
    }

    /// Which object the entry names.
    pub fn object(&self) -> ObjectId<'_> {
        ObjectId {
            bucket: self.bucket.as_deref(),
            key: &self.key,
            version_id: self.version_id.as_deref(),
            etag: self.required_etag().map(ETag::opaque),
            checksums: &self.checksums,
        }
    }

    /// The checksum of this algorithm, if the row gives it.
    pub fn checksum(&self, algorithm: RowAlgorithm) -> Option<&RowChecksum> {
        let is_it = |checksum: &&RowChecksum| checksum.algorithm == algorithm;
        self.checksums.iter().find(is_it)
    }
}

/// When an object was last modified, as its row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastModified {
    At(SystemTime),
    /// A date and a time of day in an unknown time zone, as if they were UTC. `aws s3 ls` prints such times.
    Local(SystemTime),
}

impl LastModified {
    /// Whether a file of this time may be that of the object, in whole seconds: S3 gives no more in its answers. A time
    /// without a zone may be one of any zone.
    pub fn may_be(self, file: SystemTime) -> bool {
        let seconds = |time: SystemTime| OffsetDateTime::from(time).unix_timestamp();
        match self {
            Self::At(time) => seconds(time) == seconds(file),
            Self::Local(time) => {
                let offset = seconds(time) - seconds(file);
                offset % ZONES_DIFFER_BY == 0 && (WESTERNMOST..=EASTERNMOST).contains(&offset)
            }
        }
    }
}

/// Seconds: offsets of time zones from UTC are whole quarters of an hour between these.
const ZONES_DIFFER_BY: i64 = 15 * 60;
const WESTERNMOST: i64 = -12 * 3600;
const EASTERNMOST: i64 = 14 * 3600;

/// A text that is not a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATime;

impl FromStr for LastModified {
    type Err = NotATime;

    /// Parses RFC 3339, in which the `T` may be a space and the time zone may be missing.
    fn from_str(text: &str) -> Result<Self, NotATime> {
        const LENGTH: usize = "2024-01-02T03:04:05".len();
        const DATE: &str = "2024-01-02";
        let (date_time, rest) = text.split_at_checked(LENGTH).ok_or(NotATime)?;
        if !matches!(date_time.as_bytes()[DATE.len()], b'T' | b' ') {
            return Err(NotATime);
        }
        let has_zone = rest.contains(|c: char| !c.is_ascii_digit() && c != '.');
        let zone = if has_zone { "" } else { "Z" };
        let text = format!("{}{rest}{zone}", date_time.replacen(' ', "T", 1));
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(|_| NotATime)?;
        let time = SystemTime::from(time);
        Ok(if has_zone {
            Self::At(time)
        } else {
            Self::Local(time)
        })
    }
}

impl fmt::Display for LastModified {
    /// In a form that [`FromStr`] reads: `2024-01-02T03:04:05Z`, or `2024-01-02 03:04:05` without a time zone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::At(time) | Self::Local(time)) = self;
        let text = OffsetDateTime::from(*time)
            .format(&Rfc3339)
            .map_err(|_| fmt::Error)?;
        match self {
            Self::At(_) => f.pad(&text),
            Self::Local(_) => f.pad(&text.trim_end_matches('Z').replacen('T', " ", 1)),
        }
    }
}

/// What tells objects apart. Two entries with equal ids name the same object, whatever else their rows say: the size only
/// describes the object, and `dest` is where its file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectId<'a> {
    bucket: Option<&'a str>,
    key: &'a str,
    version_id: Option<&'a str>,
    etag: Option<&'a str>,
    checksums: &'a [RowChecksum],
}

/// A row that does not name an object to download. It never stops the run.
#[derive(Debug)]
pub struct UnusableRow {
    /// What the row says, as far as it could be read; its key may be empty.
    pub entry: Box<Entry>,
    /// The row's bucket, if it differs from `--bucket`, which the entry is for.
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
        let bucket = self.entry.bucket.take();
        self.bucket = self.bucket.or(bucket.map(|bucket| bucket.to_string()));
        let Entry {
            key,
            version_id,
            etag,
            dest,
            ..
        } = &mut *self.entry;
        let columns = [version_id, dest, &mut self.bucket];
        for text in columns.into_iter().flatten().chain([key]) {
            // The rest is longer than what is allowed, so that it is refused again.
            let end = text.ceil_char_boundary(MAX_COLUMN + 1);
            text.truncate(end);
            text.shrink_to_fit();
        }
        if let Some(etag) = etag {
            *etag = etag.shortened(MAX_COLUMN + 1);
        }
        if let Unusable::Failed(failure) = &mut self.why {
            failure.shorten();
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_read_with_and_without_a_zone_and_written_as_they_are_read() {
        let noon = SystemTime::UNIX_EPOCH + Duration::from_hours(473_364);
        for text in [
            "2024-01-01T12:00:00Z",
            "2024-01-01T12:00:00.000Z",
            "2024-01-01T14:00:00+02:00",
            "2024-01-01 12:00:00+00:00",
        ] {
            assert_eq!(text.parse(), Ok(LastModified::At(noon)), "{text}");
        }
        for text in ["2024-01-01 12:00:00", "2024-01-01T12:00:00"] {
            assert_eq!(text.parse(), Ok(LastModified::Local(noon)), "{text}");
        }
        let milliseconds = noon + Duration::from_millis(250);
        for time in [
            LastModified::At(noon),
            LastModified::Local(noon),
            LastModified::At(milliseconds),
            LastModified::Local(milliseconds),
        ] {
            assert_eq!(time.to_string().parse(), Ok(time), "{time}");
        }
        for bad in [
            "",
            "2024-01-01",
            "2024-13-01T12:00:00Z",
            "2024-01-01T12:00:00.",
            "2024-01-01T12:00:00 CET",
            "2024-01-01x12:00:00Z",
            "Mon, 01 Jan 2024 12:00:00 GMT",
        ] {
            assert_eq!(bad.parse::<LastModified>(), Err(NotATime), "{bad}");
        }
    }

    #[test]
    fn a_time_without_a_zone_may_be_one_of_any() {
        let noon = |text: &str| text.parse::<LastModified>().unwrap();
        let LastModified::At(file) = noon("2024-01-01T12:00:00.75Z") else {
            panic!("it has a zone");
        };
        for (text, expected) in [
            ("2024-01-01T12:00:00Z", true),
            ("2024-01-01T12:00:00.25Z", true),
            ("2024-01-01T14:00:00+02:00", true),
            ("2024-01-01T12:00:01Z", false),
            ("2024-01-01T13:00:00Z", false),
            ("2024-01-01 12:00:00", true),
            ("2024-01-01 17:45:00", true),
            ("2024-01-01 00:00:00", true),
            ("2024-01-02 02:00:00", true),
            ("2024-01-02 02:15:00", false),
            ("2023-12-31 23:45:00", false),
            ("2024-01-01 12:00:01", false),
        ] {
            assert_eq!(noon(text).may_be(file), expected, "{text}");
        }
    }

    #[test]
    fn the_key_version_and_etag_tell_objects_apart() {
        let entry = Entry {
            version_id: Some("v".to_owned()),
            etag: ETag::of_row("e"),
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
                bucket: Some("other".into()),
                ..entry.clone()
            },
            Entry {
                etag: ETag::of_row("other"),
                ..entry.clone()
            },
            Entry {
                checksums: RowChecksum::parse(RowAlgorithm::Crc32, "cbf43926")
                    .into_iter()
                    .collect(),
                ..entry.clone()
            },
        ];
        for other in others {
            assert_ne!(entry.object(), other.object(), "{other:?}");
        }
    }
}
