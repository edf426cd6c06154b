//! Collects what a user should be warned about in a list. It is counted while the list is read, and reported once at its end.

use std::cell::{Cell, RefCell};

/// An optional value of a row that cannot be read, and is ignored.
#[derive(Debug, Clone, Copy)]
pub enum Bad {
    Size,
    Time,
    Checksum,
}

/// Bad values of one kind.
#[derive(Debug, Default)]
struct BadValues {
    n: Cell<u64>,
    /// The start of the first one.
    first: RefCell<String>,
}

impl Bad {
    const ALL: [Self; 3] = [Self::Size, Self::Time, Self::Checksum];

    /// What such a value is, around the first example, and what becomes of it.
    fn described(self, first: &str) -> String {
        match self {
            Self::Size => format!(
                "a size that is not a number of bytes, such as `{first}`: those sizes are ignored"
            ),
            Self::Time => format!(
                "a last-modified time that cannot be read, such as `{first}`: write times as `2024-01-02T03:04:05Z`; those times are ignored"
            ),
            Self::Checksum => format!(
                "a checksum that is neither hex nor base64 of its algorithm's length, such as `{first}`: those checksums are ignored"
            ),
        }
    }
}

/// The findings of one list.
#[derive(Debug, Default)]
pub struct Findings {
    n_rows: Cell<u64>,
    n_folders: Cell<u64>,
    bad: [BadValues; 3],
    is_truncated: Cell<bool>,
    is_last_line_open: Cell<bool>,
}

impl Findings {
    pub fn row(&self) {
        self.n_rows.set(self.n_rows.get() + 1);
    }

    /// Counts a row that is a folder, whose objects are not in the list.
    pub fn folder(&self) {
        self.n_folders.set(self.n_folders.get() + 1);
    }

    /// Counts a value that cannot be read.
    pub fn bad(&self, kind: Bad, text: &str) {
        let [size, time, checksum] = &self.bad;
        let values = match kind {
            Bad::Size => size,
            Bad::Time => time,
            Bad::Checksum => checksum,
        };
        if values.n.get() == 0 {
            *values.first.borrow_mut() =
                text.chars().take(40).flat_map(char::escape_debug).collect();
        }
        values.n.set(values.n.get() + 1);
    }

    /// The list itself says that it is incomplete.
    pub fn truncated(&self) {
        self.is_truncated.set(true);
    }

    /// The last line of a listing has no line ending.
    pub fn last_line_open(&self) {
        self.is_last_line_open.set(true);
    }

    /// Returns the warnings; `list` is the name of the list in messages, and `format` how it was read.
    pub fn warnings(&self, list: &str, format: &str) -> Vec<String> {
        let mut warnings = Vec::new();
        let n_folders = self.n_folders.get();
        if n_folders > 0 {
            let (folders, their) = match n_folders {
                1 => ("1 folder".to_owned(), "its"),
                n => (format!("{n} folders"), "their"),
            };
            warnings.push(format!(
                "the key list {list} names {folders}, and {their} objects are not downloaded: make the list with `aws s3 ls --recursive`, or `s5cmd ls` with a `*` at the end"
            ));
        } else if self.n_rows.get() == 0 {
            warnings.push(format!(
                "the key list {list} has no rows: check the command that made it (it was read as `{format}`)"
            ));
        }
        if self.is_truncated.get() {
            warnings.push(format!(
                "the key list {list} is a listing that was cut off (`IsTruncated` or `NextToken`): make it without `--no-paginate` and `--max-items`"
            ));
        }
        if self.is_last_line_open.get() {
            warnings.push(format!(
                "the last line of the key list {list} has no line end: if the listing was interrupted, that key and those after it are missing; list again"
            ));
        }
        for (kind, values) in Bad::ALL.into_iter().zip(&self.bad) {
            let rows = match values.n.get() {
                0 => continue,
                1 => "1 row".to_owned(),
                n => format!("{n} rows"),
            };
            let described = kind.described(&values.first.borrow());
            warnings.push(format!("{rows} of the key list {list} with {described}"));
        }
        warnings
    }
}
