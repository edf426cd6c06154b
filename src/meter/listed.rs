//! Counts what was read of the lists, for totals that nobody knows beforehand: those of a pipe or a listing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The rows that were read so far.
#[derive(Debug, Default)]
pub struct Listed {
    n_rows: AtomicU64,
    bytes: AtomicU64,
    n_without_size: AtomicU64,
    is_whole: AtomicBool,
}

/// The rows at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedRows {
    pub n_rows: u64,
    /// Sum over the rows that give their size.
    pub bytes: u64,
    pub n_without_size: u64,
}

impl Listed {
    /// Counts a row; `size` is its object's, in bytes, if the row gives it.
    pub fn add(&self, size: Option<u64>) {
        self.n_rows.fetch_add(1, Relaxed);
        match size {
            Some(size) => self.bytes.fetch_add(size, Relaxed),
            None => self.n_without_size.fetch_add(1, Relaxed),
        };
    }

    /// Notes that the lists were read to their end.
    pub fn end(&self) {
        self.is_whole.store(true, Relaxed);
    }

    /// Whether the lists were read to their end.
    pub fn is_whole(&self) -> bool {
        self.is_whole.load(Relaxed)
    }

    pub fn rows(&self) -> ListedRows {
        ListedRows {
            n_rows: self.n_rows.load(Relaxed),
            bytes: self.bytes.load(Relaxed),
            n_without_size: self.n_without_size.load(Relaxed),
        }
    }
}
