//! `json`: JSON lines, an array, or what `aws s3api list-objects-v2`, `aws s3api list-object-versions` or `s5cmd --json ls`
//! print. An object is its key as a string, or an object with `Key` or `key`, and optionally `Size`, `ETag` and `VersionId`.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::io::BufReader;
use std::rc::Rc;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::error::Category;

use super::columns::{Columns, KeyRules, excerpt};
use super::format::{Emit, Format, List, Problem};
use super::lines;
use super::row_limit::Counted;
use crate::outcome::SkipReason;
use crate::row::{Entry, NoEntry};

pub static FORMAT: Format = Format {
    name: "json",
    help: "JSON lines, an array, or a JSON listing of `aws s3api` or `s5cmd`",
    recognise: |sample| looks_like_json(sample.text).then_some("it begins as JSON does"),
    read,
};

/// Bytes without a row after which a document is refused, and of the longest line, which may hold a page of a listing.
const MAX_ROW: usize = 8 * 1024 * 1024;

/// Whether `text` begins with an array or an object: a brace or bracket, and what may follow it.
fn looks_like_json(text: &[u8]) -> bool {
    let mut significant = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    match significant.next() {
        Some(b'{') => matches!(significant.next(), None | Some(b'"' | b'}')),
        Some(b'[') => matches!(significant.next(), None | Some(b'"' | b'{' | b']')),
        _ => false,
    }
}

fn read(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), Problem> {
    // A first line that is a whole value makes each line one, so that a bad one costs no more than itself.
    let start = list.input.fill_buf()?;
    let has_value_a_line = start
        .split(|&byte| byte == b'\n')
        .find(|line| !line.trim_ascii().is_empty())
        .is_some_and(|line| serde_json::from_slice::<IgnoredAny>(line).is_ok());
    if has_value_a_line {
        read_lines(list, emit)
    } else {
        read_document(list, emit)
    }
}

fn read_lines(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), Problem> {
    let mut rows = Rows::new(list.keys, emit);
    lines::for_each(&mut *list.input, list.line_ending, MAX_ROW, |line, text| {
        rows.line = Some(line);
        match text {
            Ok(text) if text.trim_ascii().is_empty() => {}
            Ok(text) => {
                let mut values = serde_json::Deserializer::from_slice(text);
                let read = Value::top(&mut rows).deserialize(&mut values);
                if let Err(error) = read.and_then(|()| values.end()) {
                    let text = excerpt(text);
                    rows.push(Err(NoEntry::invalid(format!(
                        "not JSON: {error}: `{text}`"
                    ))));
                }
            }
            Err(error) => rows.push(Err(error)),
        }
    })?;
    Ok(())
}

/// Reads values of any layout, one after the other.
fn read_document(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), Problem> {
    let (input, since_row) = Counted::new(&mut *list.input, MAX_ROW);
    let mut rows = Rows {
        since_row: Rc::clone(&since_row),
        ..Rows::new(list.keys, emit)
    };
    let input = BufReader::with_capacity(super::format::READ_SIZE, input);
    let mut values = serde_json::Deserializer::from_reader(input);
    while values.end().is_err() {
        let read = Value::top(&mut rows).deserialize(&mut values);
        read.map_err(|error| match error.classify() {
            Category::Io if since_row.get() > MAX_ROW => Problem::LongValue {
                row: rows.count,
                max: MAX_ROW,
            },
            Category::Io => Problem::Io(error.into()),
            _ => Problem::NotJson(error),
        })?;
    }
    Ok(())
}

/// What the elements of a listing's array are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Objects,
    /// `Versions`, of which the latest ones are meant, as of an inventory.
    Versions,
    DeleteMarkers,
}

/// Where rows go as they are found.
struct Rows<'a> {
    keys: KeyRules<'a>,
    emit: Emit<'a>,
    count: u64,
    section: Section,
    /// Where the rows are, if not each is one of its own.
    line: Option<u64>,
    since_row: Rc<Cell<usize>>,
}

impl<'a> Rows<'a> {
    fn new(keys: KeyRules<'a>, emit: Emit<'a>) -> Self {
        Self {
            keys,
            emit,
            count: 0,
            section: Section::Objects,
            line: None,
            since_row: Rc::default(),
        }
    }

    fn push(&mut self, entry: Result<Entry, NoEntry>) {
        self.count += 1;
        self.since_row.set(0);
        (self.emit)(self.line.unwrap_or(self.count), entry);
    }

    fn push_invalid(&mut self, what: &str) {
        self.push(Err(NoEntry::invalid(format!(
            "{what} is neither a key nor an object with `Key` or `key`"
        ))));
    }
}

/// A value that is an object's, or holds some.
struct Value<'r, 'a> {
    rows: &'r mut Rows<'a>,
    /// Whether an array's elements, or a listing's, are still to come: they are in no other.
    may_hold_rows: bool,
}

impl<'r, 'a> Value<'r, 'a> {
    fn top(rows: &'r mut Rows<'a>) -> Self {
        Self {
            rows,
            may_hold_rows: true,
        }
    }

    fn element(rows: &'r mut Rows<'a>) -> Self {
        Self {
            rows,
            may_hold_rows: false,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key or an object with one")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.rows.push(self.rows.keys.key_or_uri(text.as_bytes()));
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        // A query that found nothing prints it.
        if !self.may_hold_rows {
            self.rows.push_invalid("`null`");
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.rows.push_invalid("`true` or `false`");
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.rows.push_invalid("a number");
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.rows.push_invalid("a number");
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.rows.push_invalid("a number");
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        if self.may_hold_rows {
            while elements
                .next_element_seed(Value::element(self.rows))?
                .is_some()
            {}
        } else {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            self.rows.push_invalid("an array in an array");
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut object = Object::default();
        let mut is_row = !self.may_hold_rows;
        while let Some(name) = members.next_key::<Scalar<'de>>()? {
            let section = match name.text() {
                "Contents" => Some(Section::Objects),
                "Versions" => Some(Section::Versions),
                "DeleteMarkers" => Some(Section::DeleteMarkers),
                _ => None,
            };
            if let Some(section) = section.filter(|_| self.may_hold_rows) {
                self.rows.section = section;
                members.next_value_seed(Value::top(self.rows))?;
                self.rows.section = Section::Objects;
                object.is_listing = true;
                continue;
            }
            let member = match name.text() {
                "Key" => &mut object.key,
                "key" => &mut object.key_or_uri,
                "Bucket" | "bucket" => &mut object.bucket,
                "Size" | "size" => &mut object.size,
                "ETag" | "etag" => &mut object.etag,
                "VersionId" | "version_id" => &mut object.version_id,
                "dest" => &mut object.dest,
                "type" => &mut object.kind,
                "IsLatest" => &mut object.is_latest,
                "IsTruncated" | "NextToken" if self.may_hold_rows => {
                    let value: Scalar<'_> = members.next_value()?;
                    if matches!(value, Scalar::True | Scalar::Text(_)) {
                        self.rows.keys.findings.truncated();
                    }
                    object.is_listing = true;
                    continue;
                }
                name => {
                    object.is_listing |= OF_A_LISTING.contains(&name);
                    members.next_value::<IgnoredAny>()?;
                    is_row = true;
                    continue;
                }
            };
            *member = members.next_value()?;
            is_row = true;
        }
        if is_row {
            object.push_to(self.rows);
        }
        Ok(())
    }
}

/// Members that an answer to a request for a listing has, even if nothing was listed.
const OF_A_LISTING: [&str; 3] = ["KeyCount", "RequestCharged", "Prefix"];

/// The members of an object that matter.
#[derive(Default)]
struct Object<'de> {
    key: Scalar<'de>,
    /// s5cmd prints URIs under this name.
    key_or_uri: Scalar<'de>,
    bucket: Scalar<'de>,
    size: Scalar<'de>,
    etag: Scalar<'de>,
    version_id: Scalar<'de>,
    dest: Scalar<'de>,
    kind: Scalar<'de>,
    is_latest: Scalar<'de>,
    is_listing: bool,
}

impl Object<'_> {
    fn push_to(&self, rows: &mut Rows<'_>) {
        // What s5cmd and mc print of a common prefix.
        let is_folder = matches!(self.kind.text(), "directory" | "folder");
        let has_key = !self.key.text().is_empty() || !self.key_or_uri.text().is_empty();
        if is_folder {
            return rows.keys.findings.folder();
        }
        if self.is_listing && !has_key {
            return;
        }
        if !has_key {
            return rows.push_invalid("an object");
        }
        let skipped = match (rows.section, &self.is_latest) {
            (Section::DeleteMarkers, _) => Some(SkipReason::DeleteMarker),
            (Section::Versions, Scalar::False) => Some(SkipReason::OldVersion),
            (Section::Objects | Section::Versions, _) => None,
        };
        let entry = self.entry(rows.keys);
        rows.push(match (entry, skipped) {
            (Ok(entry), Some(reason)) => Err(NoEntry::skipped(entry, reason)),
            (entry, _) => entry,
        });
    }

    fn entry(&self, keys: KeyRules<'_>) -> Result<Entry, NoEntry> {
        let key = self.key.text();
        let size = match &self.size {
            Scalar::Number(size) => Some(*size),
            other => keys.size(other.text()),
        };
        let columns = Columns {
            key,
            bucket: self.bucket.text(),
            version_id: self.version_id.text(),
            size,
            etag: self.etag.text(),
            dest: self.dest.text(),
        };
        if key.is_empty() {
            keys.uri_or(self.key_or_uri.text(), columns)
        } else {
            keys.entry(columns)
        }
    }
}

/// A member's value, as far as it can matter.
#[derive(Default)]
enum Scalar<'de> {
    Text(Cow<'de, str>),
    Number(u64),
    True,
    False,
    #[default]
    Other,
}

impl Scalar<'_> {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Number(_) | Self::True | Self::False | Self::Other => "",
        }
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(number))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_bool<E>(self, is_true: bool) -> Result<Self::Value, E> {
        Ok(if is_true { Scalar::True } else { Scalar::False })
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}

#[cfg(test)]
mod tests {
    use crate::row::Entry;
    use crate::source::testing::{entries, failure, rows};

    const LISTING: &str = r#"{
    "Contents": [
        {
            "Key": "a \u00fc\n",
            "LastModified": "2024-01-02T03:04:05+00:00",
            "ETag": "\"abc-2\"",
            "ChecksumAlgorithm": ["CRC64NVME"],
            "Size": 12,
            "Owner": {"Key": "not this"}
        },
        {"Key": "s3://b/is-a-key-here", "Size": 0}
    ],
    "RequestCharged": null
}
"#;

    fn keys(keys: &[&str]) -> Vec<Result<String, String>> {
        keys.iter().map(|key| Ok((*key).to_owned())).collect()
    }

    #[test]
    fn a_listing_of_the_aws_cli_is_streamed() {
        let found = entries(LISTING.as_bytes(), "auto");
        let first = Entry {
            key: "a ü\n".into(),
            size: Some(12),
            etag: Some("abc-2".into()),
            ..Entry::default()
        };
        assert_eq!(found[0], first);
        assert_eq!(found[1].key, "s3://b/is-a-key-here");
        // Pages as they follow one another, each in one line too.
        let pages = [LISTING, LISTING].concat();
        assert_eq!(entries(pages.as_bytes(), "auto").len(), 4);
        let compact: String = LISTING.lines().map(str::trim).collect();
        let pages = format!("{compact}\n{compact}\n");
        assert_eq!(entries(pages.as_bytes(), "auto").len(), 4);
    }

    #[test]
    fn lines_of_s5cmd_are_objects_but_for_folders() {
        let list = "{\"key\":\"s3://b/a\\u0026b\",\"type\":\"file\",\"size\":3,\"etag\":\"e\",\"version_id\":\"v\"}\n\
                    {\"key\":\"s3://b/sub/\",\"type\":\"directory\"}\n\
                    {\"key\":\"s3://other/x\",\"type\":\"file\"}\n";
        assert_eq!(
            rows(list.as_bytes(), "auto", ""),
            [
                Ok("a&b".to_owned()),
                Err(
                    "3: WrongBucket: the row is for bucket `other`, this run is for `b`".to_owned()
                )
            ]
        );
        let first = &entries(list.as_bytes(), "auto")[0];
        assert_eq!(
            (
                first.size,
                first.etag.as_deref(),
                first.version_id.as_deref()
            ),
            (Some(3), Some("e"), Some("v"))
        );
    }

    #[test]
    fn arrays_of_keys_or_objects_are_lists() {
        assert_eq!(rows(b"[\"a\", \"b c\"]", "auto", ""), keys(&["a", "b c"]));
        assert_eq!(
            rows(b"[\n\"a\",\n\"b\"\n]\n", "auto", "p/"),
            keys(&["p/a", "p/b"])
        );
        assert_eq!(rows(b"[{\"Key\":\"a\"}]\n", "auto", ""), keys(&["a"]));
        assert_eq!(rows(b"\"a\"\n\"b\"\n", "json", ""), keys(&["a", "b"]));
    }

    #[test]
    fn rows_of_one_line_share_its_number() {
        let found = rows(b"[1, 2]\n[3]\n", "json", "");
        let lines = found
            .iter()
            .map(|row| row.as_ref().unwrap_err().split(':').next());
        assert_eq!(lines.collect::<Vec<_>>(), [Some("1"), Some("1"), Some("2")]);
    }

    #[test]
    fn versions_are_read_as_those_of_an_inventory_are() {
        let list = r#"{"RequestCharged": null, "Versions": [
            {"Key": "a", "VersionId": "v2", "IsLatest": true, "Size": 3},
            {"Key": "a", "VersionId": "v1", "IsLatest": false, "Size": 2}
          ], "DeleteMarkers": [{"Key": "gone", "VersionId": "v3", "IsLatest": true}]}"#;
        let found = entries(list.as_bytes(), "auto");
        assert_eq!(found.len(), 1);
        let version = found[0].version_id.as_deref();
        assert_eq!((version, found[0].size), (Some("v2"), Some(3)));
        assert_eq!(
            rows(list.as_bytes(), "auto", ""),
            [
                Ok("a".to_owned()),
                Err("2: Skipped(OldVersion)".to_owned()),
                Err("3: Skipped(DeleteMarker)".to_owned())
            ]
        );
    }

    #[test]
    fn nothing_listed_is_no_row() {
        for list in [
            "",
            "null\n",
            "[]",
            "{}\n",
            "{\n    \"RequestCharged\": null,\n    \"Prefix\": \"x\"\n}\n",
        ] {
            assert_eq!(rows(list.as_bytes(), "json", ""), [], "{list:?}");
        }
    }

    #[test]
    fn values_that_name_no_object_are_failed_rows_and_stop_nothing() {
        let list = b"{\"key\":\"a\"}\n{\"nokey\":1}\n7\nnot json\n[[1]]\n\
                     {\"Key\":5}\n{\"key\":\"b\"}\n";
        let found = rows(list, "auto", "");
        assert_eq!(found.first(), Some(&Ok("a".to_owned())));
        assert_eq!(found.last(), Some(&Ok("b".to_owned())));
        let told = &found[1..found.len() - 1];
        assert_eq!(told.len(), 5);
        for (line, row) in (2..).zip(told) {
            let message = row.as_ref().unwrap_err();
            assert!(
                message.starts_with(&format!("{line}: InvalidRow: ")),
                "{message}"
            );
        }
    }

    #[test]
    fn a_document_that_breaks_off_or_hides_its_rows_is_an_error() {
        let message = failure(&LISTING.as_bytes()[..150], "auto");
        assert!(message.contains("it is not JSON: EOF"), "{message}");
        let mut hidden = b"[\n\"".to_vec();
        hidden.resize(32 << 20, b'x');
        let message = failure(&hidden, "auto");
        assert!(message.contains("after row 0"), "{message}");
    }
}
