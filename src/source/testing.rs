//! Helpers for tests that read lists.

use super::list::format_named;
use super::{ListError, ListOptions, ListSource, parse_bytes};
use crate::row::{Entry, Row, Unusable};

pub(super) fn options(format: &str, key_prefix: &str) -> ListOptions {
    ListOptions {
        sources: vec![ListSource::Stdin],
        format: format_named(format),
        key_prefix: key_prefix.into(),
        bucket: Some("b".into()),
        ..ListOptions::default()
    }
}

pub(super) fn parsed(list: &[u8], options: &ListOptions) -> Result<Vec<Row>, ListError> {
    let mut rows = Vec::new();
    parse_bytes(list, options, |row| rows.push(row))?;
    Ok(rows)
}

/// Each row as its key, or as `line: code: message`.
pub(super) fn rows(list: &[u8], format: &str, key_prefix: &str) -> Vec<Result<String, String>> {
    let described = |row: Row| match row.entry {
        Ok(entry) => Ok(entry.key),
        Err(unusable) => Err(match unusable.why {
            Unusable::Failed(failure) => {
                format!("{}: {}: {}", row.place.line, failure.code, failure.message)
            }
            Unusable::Skipped(reason) => format!("{}: {reason}", row.place.line),
        }),
    };
    let found = parsed(list, &options(format, key_prefix)).unwrap();
    found.into_iter().map(described).collect()
}

/// The objects that the list names; rows that cannot be used are left out.
pub(super) fn entries(list: &[u8], format: &str) -> Vec<Entry> {
    let found = parsed(list, &options(format, "")).unwrap();
    found.into_iter().filter_map(|row| row.entry.ok()).collect()
}

/// The message for a list that cannot be read as a whole.
pub(super) fn failure(list: &[u8], format: &str) -> String {
    parsed(list, &options(format, "")).unwrap_err().to_string()
}
