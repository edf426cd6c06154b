//! Collects what a user should be warned about in a list. It is counted while the list is read, and reported once at its end.

use std::cell::{Cell, RefCell};

/// The findings of one list.
#[derive(Debug, Default)]
pub struct Findings {
    n_rows: Cell<u64>,
    n_folders: Cell<u64>,
    n_bad_sizes: Cell<u64>,
    first_bad_size: RefCell<String>,
    n_bad_times: Cell<u64>,
    first_bad_time: RefCell<String>,
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

    /// Counts a size that is not a number of bytes.
    pub fn bad_size(&self, text: &str) {
        if self.n_bad_sizes.get() == 0 {
            *self.first_bad_size.borrow_mut() =
                text.chars().take(40).flat_map(char::escape_debug).collect();
        }
        self.n_bad_sizes.set(self.n_bad_sizes.get() + 1);
    }

    /// Counts a time that cannot be read.
    pub fn bad_time(&self, text: &str) {
        if self.n_bad_times.get() == 0 {
            *self.first_bad_time.borrow_mut() =
                text.chars().take(40).flat_map(char::escape_debug).collect();
        }
        self.n_bad_times.set(self.n_bad_times.get() + 1);
    }

    /// The list itself says that it is incomplete.
    pub fn truncated(&self) {
        self.is_truncated.set(true);
    }

    /// The last line of a listing has no line ending.
    pub fn last_line_open(&self) {
        self.is_last_line_open.set(true);
    }

    /// Returns the warnings; `list` is the name of the list in messages.
    pub fn warnings(&self, list: &str) -> Vec<String> {
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
                "the key list {list} has no rows: check the command that made it"
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
        match self.n_bad_sizes.get() {
            0 => {}
            n => {
                let rows = if n == 1 {
                    "1 row".to_owned()
                } else {
                    format!("{n} rows")
                };
                warnings.push(format!(
                    "{rows} of the key list {list} with a size that is not a number of bytes, such as `{}`: those sizes are ignored",
                    self.first_bad_size.borrow()
                ));
            }
        }
        match self.n_bad_times.get() {
            0 => {}
            n => {
                let rows = if n == 1 {
                    "1 row".to_owned()
                } else {
                    format!("{n} rows")
                };
                warnings.push(format!(
                    "{rows} of the key list {list} with a last-modified time that cannot be read, such as `{}`: write times as `2024-01-02T03:04:05Z`; those times are ignored",
                    self.first_bad_time.borrow()
                ));
            }
        }
        warnings
    }
}
