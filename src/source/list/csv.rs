//! `csv`: a header with a `key` column, and optionally `bucket`, `version_id`, `size`, `etag` and `dest`.
//! The failed-keys CSV is such a file, so that it can be the list of a retry.

use std::io::Read;

use csv::{ByteRecord, ReaderBuilder};

use super::columns::{CSV_NAMES, Columns, KeyRules, Value, utf8};
use super::format::{Emit, Format, List, ListProblem};
use super::row_limit::RowLimit;
use crate::row::{Entry, UnusableRow};

pub static FORMAT: Format = Format {
    name: "csv",
    help: "A CSV with a header and a `key` column, such as the failed-keys CSV",
    recognise: |sample| {
        let header = sample.lines().next()?;
        is_header(header).then_some("its first line is a header with a `key` column")
    },
    read,
};

/// Most bytes of a record. A longer one counts as having an unclosed quote, so that memory use stays flat.
const MAX_RECORD: usize = 1024 * 1024;

/// Positions of the columns that are used; others are ignored.
struct Positions {
    object: Columns<Option<usize>>,
    message: Option<usize>,
}

impl Positions {
    fn of(header: &ByteRecord) -> Result<Self, ListProblem> {
        let find = |name: &str| header.iter().position(|column| column == name.as_bytes());
        let object = CSV_NAMES.map(find);
        if object.key.is_none() {
            let names: Vec<_> = header
                .iter()
                .map(|name| format!("`{}`", name.escape_ascii()))
                .collect();
            return Err(ListProblem::NoKeyColumn(names.join(", ")));
        }
        Ok(Self {
            object,
            message: find("message"),
        })
    }
}

fn read(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), ListProblem> {
    let keys = list.keys;
    let mut positions = None;
    for_each_record(&mut *list.input, |line, record| {
        match &positions {
            None => positions = Some(Positions::of(record)?),
            Some(positions) => emit(line, entry(record, positions, keys)),
        }
        Ok(())
    })
}

/// Passes each record, and the line that it starts on, to `each`.
pub fn for_each_record(
    input: impl Read,
    mut each: impl FnMut(u64, &ByteRecord) -> Result<(), ListProblem>,
) -> Result<(), ListProblem> {
    let (input, since_record) = RowLimit::new(input, MAX_RECORD);
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(super::format::READ_SIZE)
        .from_reader(input);
    let mut record = ByteRecord::new();
    let mut line = 0;
    loop {
        match reader.read_byte_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => {
                line = record.position().map_or(0, csv::Position::line);
                each(line, &record)?;
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

fn entry(
    record: &ByteRecord,
    positions: &Positions,
    keys: KeyRules<'_>,
) -> Result<Entry, UnusableRow> {
    let mut fields = Fields::of(record);
    let columns = positions
        .object
        .map(|position| Value::Text(fields.text(position)));
    let key = columns.key.text();
    if let Some(unreadable) = fields.unreadable {
        return Err(unreadable.without_key(keys.read(columns), key));
    }
    if key.is_empty() {
        // A row that failed without a key keeps its message when the failed-keys CSV is the list.
        let message = fields.text(positions.message);
        let message = if message.is_empty() {
            "the key is empty"
        } else {
            message
        };
        return Err(UnusableRow::invalid(message).without_key(keys.read(columns), ""));
    }
    keys.entry(columns)
}

/// The columns of a record as text. A column that is not UTF-8 reads as empty, and the first such column is remembered.
pub struct Fields<'a> {
    record: &'a ByteRecord,
    /// The failure of the first column that is not UTF-8.
    pub unreadable: Option<UnusableRow>,
}

impl<'a> Fields<'a> {
    pub fn of(record: &'a ByteRecord) -> Self {
        Self {
            record,
            unreadable: None,
        }
    }

    /// A column; empty if the record lacks it.
    pub fn text(&mut self, position: Option<usize>) -> &'a str {
        let field = position.and_then(|position| self.record.get(position));
        utf8(field.unwrap_or_default()).unwrap_or_else(|error| {
            self.unreadable.get_or_insert(error);
            ""
        })
    }
}

/// Whether the first line of a list is a header: at least two columns, one of which is `key`. A line that is only `key` could
/// itself be a key.
fn is_header(line: &[u8]) -> bool {
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(line);
    let mut record = ByteRecord::new();
    matches!(reader.read_byte_record(&mut record), Ok(true))
        && record.len() > 1
        && record.iter().any(|name| name == b"key")
}

#[cfg(test)]
mod tests {
    use crate::source::testing::{entries, failure, rows};

    #[test]
    fn quoted_keys_may_contain_anything() {
        let list = b"size,key\n1,\"a,\"\"b\"\"\nc\"\n2, d \n";
        assert_eq!(
            rows(list, "auto", ""),
            [Ok("a,\"b\"\nc".to_owned()), Ok(" d ".to_owned())]
        );
    }

    #[test]
    fn every_known_column_is_used() {
        let list = b"dest,etag,extra,size,version_id,bucket,key\nd/e,\"\"\"abc\"\"\",x,12,v1,b,k\n,,,,,,l\n";
        let found = entries(list, "auto");
        assert_eq!(found[0].dest.as_deref(), Some("d/e"));
        assert_eq!(
            found[0].etag.as_ref().map(crate::etag::ETag::as_str),
            Some("abc")
        );
        assert_eq!(found[0].size, Some(12));
        assert_eq!(found[0].version_id.as_deref(), Some("v1"));
        assert_eq!(
            found[1],
            crate::row::Entry {
                key: "l".into(),
                ..Default::default()
            }
        );
    }

    #[test]
    fn rows_of_another_bucket_or_without_a_key_fail_with_their_line() {
        let list = b"key,bucket,message,size\nx,other,,\n,b,\"not UTF-8\",\n,b,,\ny,,,\n\xff,,,\n";
        let found = rows(list, "auto", "");
        assert_eq!(
            found[0],
            Err("2: WrongBucket: the row is for bucket `other`, this run is for `b`".to_owned())
        );
        assert_eq!(found[1], Err("3: InvalidRow: not UTF-8".to_owned()));
        assert_eq!(found[2], Err("4: InvalidRow: the key is empty".to_owned()));
        assert_eq!(found[3], Ok("y".to_owned()));
        assert_eq!(
            found[4],
            Err(r"6: InvalidRow: not UTF-8, as keys in S3 must be: `\xff`".to_owned())
        );
    }

    #[test]
    fn an_empty_file_is_an_empty_list() {
        assert_eq!(rows(b"", "csv", ""), []);
        assert_eq!(rows(b"key\n", "csv", ""), []);
    }

    #[test]
    fn an_unclosed_quote_is_reported_without_filling_memory() {
        let mut list = b"key,size\na,1\n\"".to_vec();
        list.resize(8 << 20, b'x');
        let message = failure(&list, "auto");
        assert!(
            message.contains("after line 2") && message.contains("quote"),
            "{message}"
        );
    }
}
