//! The rules for rows that are the same for all sources: `--shard`, `--include` and `--exclude`.

use super::options::ListOptions;
use crate::row::{Entry, Place, Row, UnusableRow};

/// Chooses the rows of one list that this run takes.
pub(super) struct Selection<'a> {
    options: &'a ListOptions,
    list: usize,
    /// What is taken off keys before they are matched.
    prefix: &'a str,
    n_filtered: u64,
}

impl<'a> Selection<'a> {
    pub(super) fn new(options: &'a ListOptions, list: usize, prefix: &'a str) -> Self {
        Self {
            options,
            list,
            prefix,
            n_filtered: 0,
        }
    }

    /// The row, if this run takes it.
    pub(super) fn row(&mut self, line: u64, entry: Result<Entry, UnusableRow>) -> Option<Row> {
        let row = Row {
            place: Place {
                list: self.list,
                line,
            },
            entry: entry.map_err(UnusableRow::shortened),
        };
        let key = row.key();
        if !self.options.shard.is_none_or(|shard| shard.has(key)) {
            return None;
        }
        // A row whose key could not be read is a failure, whatever the key would have been.
        let relative = key.strip_prefix(self.prefix).unwrap_or(key);
        if !key.is_empty() && !self.options.filters.take(relative) {
            self.n_filtered += 1;
            return None;
        }
        Some(row)
    }

    /// Rows that the filters left out.
    pub(super) fn n_filtered(&self) -> u64 {
        self.n_filtered
    }
}
