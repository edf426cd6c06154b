//! `json`: JSON lines, an array, or the output of `aws s3api list-objects-v2`, `aws s3api list-object-versions` or
//! `s5cmd --json ls`. Each row is a key as a string, or an object with `Key` or `key`, and optionally `Size`, `ETag` and
//! `VersionId`.

mod layout;
mod mc;
mod members;
mod scalar;

use std::cell::Cell;
use std::fmt;
use std::io::BufReader;
use std::rc::Rc;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;

use super::columns::{self, Columns, KeyRules, excerpt};
use super::encoding::{decoded, is_plain};
use super::format::{Emit, Format, List, ListProblem};
use super::lines;
use super::row_limit::RowLimit;
use super::sample::Sample;
use crate::outcome::SkipReason;
use crate::row::{Entry, UnusableRow};
pub(super) use layout::is_unfinished;
use layout::{Layout, layout};
use mc::OfMc;
use members::{Member, Members};
use scalar::Scalar;

pub(super) static FORMAT: Format = Format {
    name: "json",
    help: "JSON lines, an array, or a JSON listing of `aws s3api` or `s5cmd`",
    magic: b"",
    waits_for_rows: true,
    recognise: layout::recognise,
    read,
};

/// Most bytes of a document without a row, and of a line, which may contain a whole page of a listing.
const MAX_ROW: usize = 8 * 1024 * 1024;

fn read(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), ListProblem> {
    match layout(&list.start) {
        Some(Layout::Lines) => read_lines(list, emit),
        Some(Layout::Document) | None => read_document(list, emit),
    }
}

fn read_lines(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), ListProblem> {
    let mut rows = Rows::new(list.keys, list.start, emit);
    lines::for_each(&mut *list.input, list.line_ending, MAX_ROW, |line, text| {
        rows.line = Some(line);
        match text {
            Ok(text) if text.trim_ascii().is_empty() => {}
            Ok(text) => {
                let mut values = serde_json::Deserializer::from_slice(text);
                while values.end().is_err() {
                    if let Err(error) = Value::top(&mut rows).deserialize(&mut values) {
                        let text = excerpt(text);
                        rows.push(Err(UnusableRow::invalid(format!(
                            "not JSON: {error}: `{text}`"
                        ))));
                        break;
                    }
                }
            }
            Err(error) => rows.push(Err(error)),
        }
    })?;
    Ok(())
}

/// Reads one value after another, in any layout.
fn read_document(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), ListProblem> {
    let (input, since_row) = RowLimit::new(&mut *list.input, MAX_ROW);
    let mut rows = Rows {
        since_row: Rc::clone(&since_row),
        ..Rows::new(list.keys, list.start, emit)
    };
    let input = BufReader::with_capacity(super::format::READ_SIZE, input);
    let mut values = serde_json::Deserializer::from_reader(input);
    while values.end().is_err() {
        let read = Value::top(&mut rows).deserialize(&mut values);
        read.map_err(|error| match error.classify() {
            Category::Io if since_row.get() > MAX_ROW => ListProblem::LongValue {
                row: rows.count,
                max: MAX_ROW,
            },
            Category::Io => ListProblem::Io(error.into()),
            _ => ListProblem::NotJson(error),
        })?;
    }
    Ok(())
}

/// Whether a page says in these bytes that its keys are URL-encoded. A key that says so would have escaped quotes.
fn says_url(bytes: &[u8]) -> bool {
    memchr::memmem::find_iter(bytes, b"\"EncodingType\"").any(|at| {
        let rest = bytes[at + b"\"EncodingType\"".len()..].trim_ascii_start();
        let value = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        value.is_some_and(|value| value.starts_with(b"\"url\""))
    })
}

/// Whether the keys of a page are plain, whatever `EncodingType` says. botocore asks for encoded keys, decodes them, and leaves
/// the element in its answer (`handlers.py`, `decode_list_object`); a key that no encoder writes shows that too.
fn has_plain_keys(bytes: &[u8]) -> bool {
    let is_plain_key = |at: usize| {
        let rest = bytes[at + b"\"Key\"".len()..].trim_ascii_start();
        let value = rest.strip_prefix(b":").unwrap_or_default();
        let mut values = serde_json::Deserializer::from_slice(value).into_iter::<String>();
        matches!(values.next(), Some(Ok(key)) if is_plain(&key))
    };
    memchr::memmem::find(bytes, b"\"ResponseMetadata\"").is_some()
        || memchr::memmem::find_iter(bytes, b"\"Key\"").any(is_plain_key)
}

/// The kind of the elements in an array of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Objects,
    /// `Versions`, of which only the latest are downloaded, as for an inventory.
    Versions,
    DeleteMarkers,
    /// Common prefixes, whose objects are not in the listing.
    Folders,
}

/// Emits and counts rows as they are found.
struct Rows<'a> {
    keys: KeyRules<'a>,
    emit: Emit<'a>,
    count: u64,
    section: Section,
    /// The line of the rows; `None` if rows are numbered instead.
    line: Option<u64>,
    since_row: Rc<Cell<usize>>,
    members: Members<'a>,
    /// Whether `EncodingType` says so. It stands after the keys, and is looked for ahead.
    is_url_encoded: bool,
    /// Whether the keys are plain all the same.
    is_plain: bool,
}

impl<'a> Rows<'a> {
    fn new(keys: KeyRules<'a>, start: Sample<'a>, emit: Emit<'a>) -> Self {
        let is_plain = has_plain_keys(start.text);
        Self {
            is_url_encoded: !is_plain && (says_url(start.text) || says_url(start.end)),
            is_plain,
            members: Members::new(start.key_column),
            keys,
            emit,
            count: 0,
            section: Section::Objects,
            line: None,
            since_row: Rc::default(),
        }
    }

    fn push(&mut self, entry: Result<Entry, UnusableRow>) {
        self.count += 1;
        self.since_row.set(0);
        (self.emit)(self.line.unwrap_or(self.count), entry);
    }

    fn push_without_key(&mut self) {
        let message = match self.members.key_column {
            Some(name) => format!("the object has no member `{}`", name.escape_debug()),
            None => "the object has no member `Key` or `key`: `--key-column NAME` names another one, and `jq` takes out one that is within another".to_owned(),
        };
        self.push(Err(UnusableRow::invalid(message)));
    }

    fn push_invalid(&mut self, what: &str) {
        self.push(Err(UnusableRow::invalid(format!(
            "{what} is neither a key nor an object with `Key` or `key`"
        ))));
    }
}

/// Deserializes a value that is a row or contains rows.
struct Value<'r, 'a> {
    rows: &'r mut Rows<'a>,
    /// Whether the value may be an array of rows or a listing. Rows themselves may not contain rows.
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
        // `aws s3api … --query` prints `null` if it finds nothing.
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
            self.rows.push(Err(UnusableRow::invalid(
                "an array in an array has no names for its values: list with `--query 'Contents[].{Key: Key, Size: Size}'`, or `--query 'Contents[].Key'`",
            )));
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
                "CommonPrefixes" => Some(Section::Folders),
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
                "EncodingType" if self.may_hold_rows => {
                    let value: Scalar<'_> = members.next_value()?;
                    let is_encoded = value.text() == "url" && !self.rows.is_plain;
                    if is_encoded && !self.rows.is_url_encoded && self.rows.count > 0 {
                        self.rows.keys.findings.encoded_after_all();
                    }
                    self.rows.is_url_encoded |= is_encoded;
                    object.is_listing = true;
                    continue;
                }
                "IsTruncated" | "NextToken" if self.may_hold_rows => {
                    let value: Scalar<'_> = members.next_value()?;
                    if matches!(value, Scalar::True | Scalar::Text(_)) {
                        self.rows.keys.findings.truncated();
                    }
                    object.is_listing = true;
                    continue;
                }
                "type" => Some(&mut object.of_mc.kind),
                "status" => Some(&mut object.of_mc.status),
                "url" => Some(&mut object.of_mc.url),
                name => match self.rows.members.find(name) {
                    Some(Member::KeyOrUri(rank)) => object.key_or_uri(rank),
                    Some(Member::Column(column)) => Some(object.columns.get_mut(column)),
                    None => None,
                },
            };
            if let Some(member) = member {
                *member = members.next_value()?;
            } else {
                object.is_listing |= OF_A_LISTING.contains(&name.text());
                members.next_value::<IgnoredAny>()?;
            }
            is_row = true;
        }
        if is_row {
            object.push_to(self.rows);
        }
        Ok(())
    }
}

/// Members of a listing's page, even of an empty one.
const OF_A_LISTING: [&str; 3] = ["KeyCount", "RequestCharged", "Prefix"];

/// The members of an object that are used.
#[derive(Default)]
struct Object<'de> {
    columns: Columns<Scalar<'de>>,
    /// The member `key`, in which s5cmd prints URIs, or the one that `--key-column` names.
    key_or_uri: Scalar<'de>,
    /// How good the name of that member is: 0 is the best.
    key_rank: Option<usize>,
    of_mc: OfMc<'de>,
    is_listing: bool,
}

impl<'de> Object<'de> {
    /// Where the value of a member goes that may be the key; `None` if one with a better name was there.
    fn key_or_uri(&mut self, rank: usize) -> Option<&mut Scalar<'de>> {
        if self.key_rank.is_some_and(|best| best < rank) {
            return None;
        }
        self.key_rank = Some(rank);
        Some(&mut self.key_or_uri)
    }
}

impl Object<'_> {
    fn push_to(&self, rows: &mut Rows<'_>) {
        // s5cmd and mc print these types for a common prefix.
        let is_folder = rows.section == Section::Folders
            || matches!(self.of_mc.kind.text(), "directory" | "folder");
        let has_key = !self.columns.key.text().is_empty() || !self.key_or_uri.text().is_empty();
        if is_folder {
            return rows.keys.findings.folder();
        }
        if self.is_listing && !has_key {
            return;
        }
        if !has_key {
            return rows.push_without_key();
        }
        let columns = self.columns.each_ref().map(Scalar::value);
        let skipped = match rows.section {
            Section::DeleteMarkers => Some(SkipReason::DeleteMarker),
            Section::Objects | Section::Versions | Section::Folders => {
                columns::skip_reason(&columns)
            }
        };
        let entry = self.entry(rows, &columns);
        rows.push(match (entry, skipped) {
            (Ok(entry), Some(reason)) => Err(UnusableRow::skipped(entry, reason)),
            (entry, _) => entry,
        });
    }

    fn entry(
        &self,
        rows: &Rows<'_>,
        columns: &Columns<columns::Value<'_>>,
    ) -> Result<Entry, UnusableRow> {
        let keys = rows.keys;
        let written = columns.key.text();
        if !written.is_empty() {
            if !rows.is_url_encoded || is_plain(written) {
                return keys.entry(columns);
            }
            let key = match decoded(written) {
                Ok(key) => key,
                Err(undecodable) => return Err(undecodable.without_key(keys.read(columns), "")),
            };
            if key != written {
                keys.findings.decoded();
            }
            return keys.entry(&Columns {
                key: columns::Value::Text(&key),
                ..*columns
            });
        }
        let key = self.key_or_uri.text();
        match self.of_mc.entry(key, columns, keys) {
            Some(entry) => entry,
            None => keys.uri_or(key, columns),
        }
    }
}

#[cfg(test)]
mod tests;
