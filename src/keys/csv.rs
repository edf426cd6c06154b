//! `csv`: a header with a `key` column, and optionally `bucket` and `version_id`. The failed-keys CSV is such a file.

use std::io::Read;

use csv::{ByteRecord, ReaderBuilder};

use super::{Entry, KeyRules, ListError, READ_SIZE, Row, RowError, utf8};

/// Where the columns stand that are used; others are ignored.
struct Columns {
    key: usize,
    bucket: Option<usize>,
    version_id: Option<usize>,
    message: Option<usize>,
}

impl Columns {
    fn of(header: &ByteRecord) -> Result<Self, ListError> {
        let find = |name: &str| header.iter().position(|column| column == name.as_bytes());
        let Some(key) = find("key") else {
            let names: Vec<_> = header
                .iter()
                .map(|name| format!("`{}`", name.escape_ascii()))
                .collect();
            return Err(ListError::NoKeyColumn(names.join(", ")));
        };
        Ok(Self {
            key,
            bucket: find("bucket"),
            version_id: find("version_id"),
            message: find("message"),
        })
    }
}

pub fn read(
    input: impl Read,
    keys: KeyRules<'_>,
    emit: &mut impl FnMut(Row),
) -> Result<(), ListError> {
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .buffer_capacity(READ_SIZE)
        .from_reader(input);
    let header = reader.byte_headers().map_err(into_list_error)?.clone();
    if header.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(&header)?;
    let mut record = ByteRecord::new();
    while reader
        .read_byte_record(&mut record)
        .map_err(into_list_error)?
    {
        let line = record.position().map_or(0, csv::Position::line);
        emit(Row {
            line,
            entry: entry(&record, &columns, keys),
        });
    }
    Ok(())
}

fn entry(record: &ByteRecord, columns: &Columns, keys: KeyRules<'_>) -> Result<Entry, RowError> {
    let field = |column: Option<usize>| {
        utf8(
            column
                .and_then(|column| record.get(column))
                .unwrap_or_default(),
        )
    };
    let key = field(Some(columns.key))?;
    if key.is_empty() {
        // A row that failed for want of a key keeps its story when its CSV is the list.
        let message = field(columns.message)?;
        return Err(RowError::invalid(if message.is_empty() {
            "the key is empty"
        } else {
            message
        }));
    }
    let key = format!("{}{key}", keys.prefix);
    keys.whole_entry(&key, field(columns.bucket)?, field(columns.version_id)?)
}

/// Whether a list's first line is a header: two columns or more, `key` among them.
pub fn is_header(line: &[u8]) -> bool {
    let mut reader = ReaderBuilder::new().has_headers(false).from_reader(line);
    let mut record = ByteRecord::new();
    matches!(reader.read_byte_record(&mut record), Ok(true))
        && record.len() > 1
        && record.iter().any(|name| name == b"key")
}

fn into_list_error(error: csv::Error) -> ListError {
    ListError::Read(error.into())
}

#[cfg(test)]
mod tests {
    use crate::config::ListFormat;
    use crate::keys::tests::rows;

    #[test]
    fn quoted_keys_may_hold_anything() {
        let list = b"size,key\n1,\"a,\"\"b\"\"\nc\"\n2, d \n";
        assert_eq!(
            rows(list, ListFormat::Auto, ""),
            [Ok("a,\"b\"\nc".to_owned()), Ok(" d ".to_owned())]
        );
    }

    #[test]
    fn rows_of_another_bucket_or_without_a_key_fail_with_their_line() {
        let list = b"key,bucket,message\nx,other,\n,b,\"not UTF-8\"\n,b,\ny\n";
        let found = rows(list, ListFormat::Auto, "");
        assert_eq!(
            found[0],
            Err("2: WrongBucket: the row is for bucket `other`, this run is for `b`".to_owned())
        );
        assert_eq!(found[1], Err("3: InvalidRow: not UTF-8".to_owned()));
        assert_eq!(found[2], Err("4: InvalidRow: the key is empty".to_owned()));
        assert_eq!(found[3], Ok("y".to_owned()));
    }

    #[test]
    fn an_empty_file_is_an_empty_list() {
        assert_eq!(rows(b"", ListFormat::Csv, ""), []);
        assert_eq!(rows(b"key\n", ListFormat::Csv, ""), []);
    }
}
