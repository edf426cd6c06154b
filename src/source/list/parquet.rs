//! `parquet`: tables in Parquet, such as the data files of an S3 Inventory. Columns are found by their names, as in a CSV; keys
//! are not URL-encoded (S3 user guide, "Amazon S3 Inventory list").
//!
//! The table of contents stands at the end of the file, so a list that is not a plain file is copied to a temporary one first.
//! Only the columns that are used are read, one batch of rows at a time.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, SystemTime};

use parquet::basic::{LogicalType, TimeUnit, Type};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;

use super::columns::{Columns, KeyRules, Value, utf8};
use super::format::{Emit, Format, List, ListProblem};
use super::names::positions;
use super::sample::Recognised;
use crate::row::{Entry, LastModified, UnusableRow};

pub(super) static FORMAT: Format = Format {
    name: "parquet",
    help: "A table in Parquet with a `key` column, such as a file of an S3 Inventory",
    magic: b"PAR1",
    waits_for_rows: false,
    recognise: |_| Recognised::No,
    read,
};

/// Rows that are read at a time.
const BATCH: usize = 1024;

fn read(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), ListProblem> {
    let file = match list.path {
        Some(path) => File::open(path)?,
        None => spooled(&mut *list.input)?,
    };
    read_file(file, list.start.key_column, list.keys, &mut 0, emit)
}

/// Copies a table to a file that has no name any more.
///
/// # Errors
/// If the table cannot be read, or the folder for temporary files has no room for it.
pub(super) fn spooled(input: &mut dyn Read) -> io::Result<File> {
    let folder = std::env::temp_dir();
    let path = folder.join(format!(
        "s3pull-{}-{:016x}",
        std::process::id(),
        fastrand::u64(..)
    ));
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    let removed = std::fs::remove_file(&path);
    io::copy(input, &mut file).map_err(|error| match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            let folder = folder.display();
            io::Error::new(
                error.kind(),
                format!("no room for a copy of the table in `{folder}`: {error}; TMPDIR names another folder"),
            )
        }
        _ => error,
    })?;
    file.rewind()?;
    // Where an open file cannot be removed, it stays behind until the system's next clean-up.
    drop(removed);
    Ok(file)
}

/// Reads a whole file. Its rows are numbered from `n_rows` + 1, and `n_rows` is increased.
///
/// # Errors
/// If the file is damaged or has no column of keys.
pub(super) fn read_file(
    file: File,
    key_column: Option<&str>,
    keys: KeyRules<'_>,
    n_rows: &mut u64,
    emit: Emit<'_>,
) -> Result<(), ListProblem> {
    // The library checks less of a damaged file than it relies on.
    let read = catch_unwind(AssertUnwindSafe(|| {
        read_groups(file, key_column, keys, n_rows, emit)
    }));
    read.unwrap_or_else(|_| Err(damaged("its bytes contradict one another")))
}

fn damaged(what: &str) -> ListProblem {
    ListProblem::Unreadable(format!("it is not a whole Parquet file: {what}"))
}

impl From<ParquetError> for ListProblem {
    fn from(error: ParquetError) -> Self {
        damaged(&error.to_string())
    }
}

fn read_groups(
    file: File,
    key_column: Option<&str>,
    keys: KeyRules<'_>,
    n_rows: &mut u64,
    emit: Emit<'_>,
) -> Result<(), ListProblem> {
    let reader = SerializedFileReader::new(file)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    // A column within another one, or with several values per row, cannot be one that is used.
    let name = |column: &ColumnDescriptor| {
        let is_plain = column.path().parts().len() == 1 && column.max_rep_level() == 0;
        if is_plain {
            column.name().to_owned()
        } else {
            String::new()
        }
    };
    let names: Vec<_> = schema.columns().iter().map(|column| name(column)).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let columns = positions(&names, key_column);
    if columns.key.is_none() {
        let found: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
        return Err(ListProblem::NoKeyColumn {
            wanted: key_column.unwrap_or("key").to_owned(),
            found: found.join(", "),
        });
    }
    for index in 0..reader.num_row_groups() {
        let group = reader.get_row_group(index)?;
        read_group(&*group, &columns, keys, n_rows, emit, key_column.is_some())?;
    }
    Ok(())
}

fn read_group(
    group: &dyn RowGroupReader,
    columns: &Columns<Option<usize>>,
    keys: KeyRules<'_>,
    n_rows: &mut u64,
    emit: Emit<'_>,
    may_be_uri: bool,
) -> Result<(), ListProblem> {
    let mut readers = Vec::new();
    // The position of each column's reader, in place of that of the column.
    let columns = columns.map(|column| {
        column.map(|column| {
            readers.push(column);
            readers.len() - 1
        })
    });
    let schema = group.metadata().schema_descr_ptr();
    let mut readers: Vec<_> = readers
        .into_iter()
        .map(|column| Ok((group.get_column_reader(column)?, schema.column(column))))
        .collect::<Result<_, ParquetError>>()?;
    let mut left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
    while left > 0 {
        let n = left.min(BATCH);
        let cells: Vec<_> = readers
            .iter_mut()
            .map(|(reader, column)| cells(reader, column, n))
            .collect::<Result<_, _>>()?;
        if cells.iter().any(|cells| cells.len() != n) {
            return Err(damaged("a column has too few rows"));
        }
        for row in 0..n {
            *n_rows += 1;
            emit(*n_rows, entry(&columns, &cells, row, keys, may_be_uri));
        }
        left -= n;
    }
    Ok(())
}

/// The values of a column in a batch of rows.
enum Cells {
    Texts(Vec<Option<ByteArray>>),
    Numbers(Vec<Option<i64>>),
    Decimals(Vec<Option<String>>),
    Flags(Vec<Option<bool>>),
    Times(Vec<Option<LastModified>>),
    /// It has a type that is not used.
    Others(usize),
}

impl Cells {
    fn len(&self) -> usize {
        match self {
            Self::Texts(cells) => cells.len(),
            Self::Numbers(cells) => cells.len(),
            Self::Decimals(cells) => cells.len(),
            Self::Flags(cells) => cells.len(),
            Self::Times(cells) => cells.len(),
            Self::Others(n) => *n,
        }
    }

    fn value<'a>(&'a self, row: usize, unreadable: &mut Option<UnusableRow>) -> Value<'a> {
        match self {
            Self::Texts(cells) => cells[row].as_ref().map_or_else(Value::default, |text| {
                Value::Text(utf8(text.data()).unwrap_or_else(|error| {
                    unreadable.get_or_insert(error);
                    ""
                }))
            }),
            Self::Numbers(cells) => cells[row].map_or_else(Value::default, |number| {
                u64::try_from(number).map_or(Value::Odd("a negative number"), Value::Number)
            }),
            Self::Decimals(cells) => cells[row]
                .as_deref()
                .map_or_else(Value::default, Value::Odd),
            Self::Flags(cells) => cells[row].map_or_else(Value::default, Value::Flag),
            Self::Times(cells) => cells[row].map_or_else(Value::default, Value::Time),
            Self::Others(_) => Value::default(),
        }
    }
}

fn cells(
    reader: &mut ColumnReader,
    column: &ColumnDescriptor,
    n: usize,
) -> Result<Cells, ParquetError> {
    Ok(match reader {
        ColumnReader::ByteArrayColumnReader(reader) => Cells::Texts(values(reader, column, n)?),
        ColumnReader::Int64ColumnReader(reader) => {
            let values = values(reader, column, n)?;
            match unit_of(column) {
                Some(unit) => {
                    Cells::Times(values.into_iter().map(|value| time(value?, unit)).collect())
                }
                None => Cells::Numbers(values),
            }
        }
        ColumnReader::Int32ColumnReader(reader) => {
            let values = values(reader, column, n)?;
            Cells::Numbers(
                values
                    .into_iter()
                    .map(|value| value.map(i64::from))
                    .collect(),
            )
        }
        ColumnReader::DoubleColumnReader(reader) => {
            let values = values(reader, column, n)?.into_iter();
            // pandas writes a missing number as one that is not a number.
            let text = |value: f64| (!value.is_nan()).then(|| value.to_string());
            Cells::Decimals(values.map(|value| text(value?)).collect())
        }
        ColumnReader::BoolColumnReader(reader) => Cells::Flags(values(reader, column, n)?),
        ColumnReader::FloatColumnReader(_)
        | ColumnReader::Int96ColumnReader(_)
        | ColumnReader::FixedLenByteArrayColumnReader(_) => Cells::Others(n),
    })
}

/// Reads `n` values, or as many as there are.
fn values<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    column: &ColumnDescriptor,
    n: usize,
) -> Result<Vec<Option<T::T>>, ParquetError> {
    let (mut values, mut levels) = (Vec::with_capacity(n), Vec::with_capacity(n));
    let is_optional = column.max_def_level() > 0;
    let mut n_read = 0;
    while n_read < n {
        let levels = is_optional.then_some(&mut levels);
        let (n_records, _, _) = reader.read_records(n - n_read, levels, None, &mut values)?;
        if n_records == 0 {
            break;
        }
        n_read += n_records;
    }
    if !is_optional {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    let is_there = |level: i16| level == column.max_def_level();
    Ok(levels
        .into_iter()
        .map(|level| is_there(level).then(|| values.next()).flatten())
        .collect())
}

/// The nanoseconds per unit of a column of times; `None` if it is one of numbers.
fn unit_of(column: &ColumnDescriptor) -> Option<u64> {
    use parquet::basic::ConvertedType;
    debug_assert_eq!(column.physical_type(), Type::INT64);
    match (column.logical_type_ref(), column.converted_type()) {
        (Some(LogicalType::Timestamp(kind)), _) => Some(match kind.unit {
            TimeUnit::MILLIS => 1_000_000,
            TimeUnit::MICROS => 1_000,
            TimeUnit::NANOS => 1,
        }),
        (None, ConvertedType::TIMESTAMP_MILLIS) => Some(1_000_000),
        (None, ConvertedType::TIMESTAMP_MICROS) => Some(1_000),
        _ => None,
    }
}

fn time(value: i64, unit: u64) -> Option<LastModified> {
    let nanos = u64::try_from(value).ok()?.checked_mul(unit)?;
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(nanos))?;
    Some(LastModified::At(time))
}

fn entry(
    columns: &Columns<Option<usize>>,
    cells: &[Cells],
    row: usize,
    keys: KeyRules<'_>,
    may_be_uri: bool,
) -> Result<Entry, UnusableRow> {
    let mut unreadable = None;
    let values = columns.map(|column| {
        column.map_or_else(Value::default, |column| {
            cells[column].value(row, &mut unreadable)
        })
    });
    let key = values.key.text();
    if let Some(unreadable) = unreadable {
        return Err(unreadable.without_key(keys.read(&values), key));
    }
    if may_be_uri && (key.starts_with("s3://") || key.starts_with("gs://")) {
        return keys.uri_or(key, &values);
    }
    keys.latest(&values)
}

#[cfg(test)]
mod tests;
