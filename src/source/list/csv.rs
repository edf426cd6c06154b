//! `csv` and `tsv`: a header with a column of keys, and optionally others, such as `bucket`, `version_id`, `size`, `etag`,
//! `dest` and checksums. The failed-keys CSV is such a file, so that it can be the list of a retry.

use std::io::Read;

use csv::{ByteRecord, ReaderBuilder};

use super::columns::{Columns, KeyRules, Value, excerpt, is_uri, utf8};
use super::format::{Emit, Format, List, ListProblem};
use super::names;
use super::quotes::QuoteCheck;
use super::row_limit::RowLimit;
use super::sample::{Recognised, Sample};
use crate::row::{Entry, UnusableRow};

pub(super) static FORMAT: Format = Format {
    name: "csv",
    help: "A CSV with a header and a `key` column, such as the failed-keys CSV",
    magic: b"",
    waits_for_rows: false,
    recognise: |sample| recognise(sample, b",;"),
    read: |list, emit| read(list, emit, ANY),
};

pub(super) static TSV: Format = Format {
    name: "tsv",
    help: "The same with TABs between its columns",
    magic: b"",
    waits_for_rows: false,
    recognise: |sample| recognise(sample, TABS),
    read: |list, emit| {
        read(
            list,
            emit,
            if list.start.key_column.is_some() {
                ANY
            } else {
                TABS
            },
        )
    },
};

const ANY: &[u8] = b",;\t";
const TABS: &[u8] = b"\t";

/// Most bytes of a record. A longer one counts as having an unclosed quote, so that memory use stays flat.
const MAX_RECORD: usize = 1024 * 1024;

/// Most columns that a message names.
const MAX_SHOWN: usize = 20;

/// Positions of the columns that are used; others are ignored.
struct Positions {
    object: Columns<Option<usize>>,
    message: Option<usize>,
}

impl Positions {
    fn of(header: &ByteRecord, key_column: Option<&str>) -> Result<Self, ListProblem> {
        let names: Vec<_> = header
            .iter()
            .map(|name| std::str::from_utf8(name).unwrap_or_default())
            .collect();
        let object = names::positions(&names, key_column);
        if object.key.is_none() {
            let shown = |name| format!("`{}`", excerpt(name));
            let mut found: Vec<_> = header.iter().take(MAX_SHOWN).map(shown).collect();
            if header.len() > MAX_SHOWN {
                found.push("…".to_owned());
            }
            return Err(ListProblem::NoKeyColumn {
                wanted: key_column.unwrap_or("key").to_owned(),
                found: found.join(", "),
            });
        }
        Ok(Self {
            object,
            message: names.iter().position(|name| *name == "message"),
        })
    }
}

/// Whether the first row is a header. A line that is only `key` could itself be a key, unless it is quoted, as by Athena, or
/// the list is called a CSV.
fn recognise(sample: &Sample<'_>, delimiters: &[u8]) -> Recognised {
    let line = sample.first_row();
    let is_header = |delimiter: &u8| {
        let record = header(line, *delimiter);
        let has_key = Positions::of(&record, sample.key_column).is_ok();
        let is_table = record.len() > 1
            || sample.is_named_table
            || sample.key_column.is_some()
            || line.starts_with(b"\"");
        has_key && is_table && !line.contains(&0)
    };
    if delimiters.iter().any(is_header) {
        Recognised::Yes("its first line is a header with a column of keys")
    } else if sample.key_column.is_some() && delimiters == TABS {
        // There is one, or the list is not what was meant, which its header then shows.
        Recognised::Yes("`--key-column` is set")
    } else {
        Recognised::No
    }
}

/// The columns of the header; none if it is not one.
fn header(line: &[u8], delimiter: u8) -> ByteRecord {
    let mut record = ByteRecord::new();
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .delimiter(delimiter)
        .from_reader(line);
    match reader.read_byte_record(&mut record) {
        Ok(true) => record,
        Ok(false) | Err(_) => ByteRecord::new(),
    }
}

fn read(list: &mut List<'_>, emit: Emit<'_>, delimiters: &[u8]) -> Result<(), ListProblem> {
    let keys = list.keys;
    let key_column = list.start.key_column;
    let line = list.start.first_row();
    let separates = |delimiter: &&u8| Positions::of(&header(line, **delimiter), key_column).is_ok();
    let delimiter = delimiters.iter().find(separates).or(delimiters.first());
    let mut table: Option<(Positions, ByteRecord)> = None;
    let mut last_length = 0;
    let delimiter = delimiter.copied().unwrap_or(b',');
    for_each_record(&mut *list.input, delimiter, |line, record, fault| {
        let Some((positions, header)) = &table else {
            table = Some((Positions::of(record, key_column)?, record.clone()));
            last_length = record.len();
            return Ok(());
        };
        if is_header_again(record, header) {
            return Ok(());
        }
        let fault = match fault {
            Some(RecordFault::NoLineEnd) if record.len() < last_length => {
                Some("the list ends within the row".to_owned())
            }
            Some(RecordFault::NoLineEnd) | None => of_other_length(record, header, delimiter),
            Some(fault @ RecordFault::Quote) => Some(fault.described().to_owned()),
        };
        last_length = record.len();
        let row = match fault {
            Some(fault) => Err(unusable(record, delimiter, &fault)),
            None => entry(record, positions, keys, key_column.is_some()),
        };
        emit(line, row);
        Ok(())
    })
}

/// Whether a record is the header once more, as where tables were put one behind another. A key alone may be called like a
/// column.
fn is_header_again(record: &ByteRecord, header: &ByteRecord) -> bool {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    let plain = |name: &'_ [u8]| name.strip_prefix(BOM).unwrap_or(name).to_vec();
    header.len() > 1
        && record.len() == header.len()
        && record.iter().skip(1).eq(header.iter().skip(1))
        && plain(&record[0]) == plain(&header[0])
}

/// What is wrong with a record that has more columns than the header, so that they are not what the header calls them.
fn of_other_length(record: &ByteRecord, header: &ByteRecord, delimiter: u8) -> Option<String> {
    let is_longer = record
        .iter()
        .skip(header.len())
        .any(|more| !more.is_empty());
    let shown = match delimiter {
        b'\t' => "a TAB".to_owned(),
        delimiter => format!("`{}`", char::from(delimiter)),
    };
    is_longer.then(|| {
        format!(
            "the row has {} columns, and the header {}: put a text with {shown} in quotes",
            record.len(),
            header.len()
        )
    })
}

/// A row whose columns are not certain. Its key is not kept, so that a retry requests no other object.
pub(super) fn unusable(record: &ByteRecord, delimiter: u8, fault: &str) -> UnusableRow {
    let columns: Vec<_> = record.iter().collect();
    let row = columns.join(&delimiter);
    UnusableRow::invalid(format!("{fault}: `{}`", excerpt(&row)))
}

/// What is odd about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordFault {
    /// Text follows a closed quote.
    Quote,
    /// It is the last one.
    NoLineEnd,
}

impl RecordFault {
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Quote => {
                "text follows a quote that was closed: a quote within a text is written twice, as in `\"a\"\"b\"` (Spark: `escape` is `\"`)"
            }
            Self::NoLineEnd => "the row has no line end",
        }
    }
}

/// Passes each record, the line that it starts on, and what is odd about it, to `each`.
pub(super) fn for_each_record(
    input: impl Read,
    delimiter: u8,
    mut each: impl FnMut(u64, &ByteRecord, Option<RecordFault>) -> Result<(), ListProblem>,
) -> Result<(), ListProblem> {
    let (input, since_record) = RowLimit::new(input, MAX_RECORD);
    let (input, quotes) = QuoteCheck::new(input, delimiter);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .buffer_capacity(super::format::READ_SIZE)
        .from_reader(input);
    let mut record = ByteRecord::new();
    let mut line = 0;
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                line = record.position().map_or(0, csv::Position::line);
                let mut quotes = quotes.borrow_mut();
                if quotes.are_open_at_end() {
                    return Err(ListProblem::OpenQuote { line });
                }
                let fault = if quotes.has_fault_before(reader.position().byte()) {
                    Some(RecordFault::Quote)
                } else {
                    quotes.is_last_row_open().then_some(RecordFault::NoLineEnd)
                };
                drop(quotes);
                each(line, &record, fault)?;
                since_record.set(0);
            }
            Err(_) if since_record.get() > MAX_RECORD => {
                return Err(ListProblem::LongRecord {
                    line,
                    max: MAX_RECORD,
                });
            }
            Err(error) => return Err(ListProblem::Io(error.into())),
        }
    }
}

/// The object of a row. A column that was named may hold URIs; in one called `key`, a key may begin with `s3://`.
fn entry(
    record: &ByteRecord,
    positions: &Positions,
    keys: KeyRules<'_>,
    may_be_uri: bool,
) -> Result<Entry, UnusableRow> {
    let mut fields = Fields::of(record);
    let columns = positions
        .object
        .map(|position| Value::Text(fields.text(position)));
    let key = columns.key.text();
    if let Some(unreadable) = fields.unreadable {
        return Err(unreadable.without_key(keys.read(&columns), key));
    }
    if key.is_empty() {
        // A row that failed without a key keeps its message when the failed-keys CSV is the list.
        let message = fields.text(positions.message);
        let message = if message.is_empty() {
            "the key is empty"
        } else {
            message
        };
        return Err(UnusableRow::invalid(message).without_key(keys.read(&columns), ""));
    }
    if may_be_uri && is_uri(key) {
        return keys.uri_or(key, &columns);
    }
    keys.latest(&columns)
}

/// The columns of a record as text. A column that is not UTF-8 reads as empty, and the first such column is remembered.
pub(super) struct Fields<'a> {
    record: &'a ByteRecord,
    /// The failure of the first column that is not UTF-8.
    pub unreadable: Option<UnusableRow>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(record: &'a ByteRecord) -> Self {
        Self {
            record,
            unreadable: None,
        }
    }

    /// A column; empty if the record lacks it.
    pub(super) fn text(&mut self, position: Option<usize>) -> &'a str {
        let field = position.and_then(|position| self.record.get(position));
        utf8(field.unwrap_or_default()).unwrap_or_else(|error| {
            self.unreadable.get_or_insert(error);
            ""
        })
    }
}

#[cfg(test)]
mod tests;
