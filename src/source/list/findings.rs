//! Collects what a user should be warned about in a list. It is counted while the list is read, and reported once at its end.

use std::cell::{Cell, RefCell};

use super::url;
use crate::printable::count;

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

/// What a plain row looks like that is probably not a key alone.
#[derive(Debug, Clone, Copy)]
enum Odd {
    Tab,
    None,
    Url,
    Folder,
}

impl Odd {
    const ALL: [Self; 4] = [Self::Tab, Self::None, Self::Url, Self::Folder];

    fn of(row: &[u8]) -> Option<Self> {
        if row == b"None" || row == b"null" {
            Some(Self::None)
        } else if row.starts_with(b"http")
            && row
                .get(4..8)
                .is_some_and(|rest| rest.starts_with(b"://") || rest == b"s://")
        {
            let is_known = std::str::from_utf8(row).is_ok_and(|url| url::parse(url).is_some());
            (!is_known).then_some(Self::Url)
        } else if row.ends_with(b"/:") && (row.starts_with(b"s3://") || row.starts_with(b"gs://")) {
            Some(Self::Folder)
        } else {
            memchr::memchr(b'\t', row).map(|_| Self::Tab)
        }
    }

    /// What such rows are, and what to do if they are not meant as keys.
    fn described(self) -> &'static str {
        match self {
            Self::Tab => {
                "with a TAB, which is taken as a part of the key: a table needs a header with `key`, and `aws s3api --output text` needs `--query 'Contents[].[Key]'`"
            }
            Self::None => {
                "of `None` or `null`, which `aws … --output text` and `jq` print where there is nothing: it is taken as a key"
            }
            Self::Url => {
                "with a URL of an unknown host, which is taken as a key: write `s3://bucket/key`"
            }
            Self::Folder => {
                "with a folder of `gsutil ls -r`, which is taken as a key: list with `gsutil ls 'gs://bucket/**'`"
            }
        }
    }
}

/// The findings of one list.
#[derive(Debug, Default)]
pub struct Findings {
    n_rows: Cell<u64>,
    n_folders: Cell<u64>,
    bad: [BadValues; 3],
    odd: [Cell<u64>; 4],
    is_relative: Cell<bool>,
    is_encoded_after_all: Cell<bool>,
    n_decoded: Cell<u64>,
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

    /// Looks at a row of a plain list.
    pub fn plain_row(&self, row: &[u8]) {
        if let Some(odd) = Odd::of(row) {
            let [tab, none, url, folder] = &self.odd;
            let count = match odd {
                Odd::Tab => tab,
                Odd::None => none,
                Odd::Url => url,
                Odd::Folder => folder,
            };
            count.set(count.get() + 1);
        }
    }

    /// The names of the listing are relative to what was listed, which it does not say.
    pub fn relative(&self) {
        self.is_relative.set(true);
    }

    /// A listing said only after its keys that they are URL-encoded.
    pub fn encoded_after_all(&self) {
        self.is_encoded_after_all.set(true);
    }

    /// Counts a key that was another one before it was decoded, because its listing says that keys are encoded.
    pub fn decoded(&self) {
        self.n_decoded.set(self.n_decoded.get() + 1);
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
            let folders = count(n_folders, "folder");
            let their = if n_folders == 1 { "its" } else { "their" };
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
        if self.is_encoded_after_all.get() {
            warnings.push(format!(
                "the keys of the key list {list} are URL-encoded (`EncodingType`), which it says only after them: list again without `--encoding-type url`, or pass the list as a file"
            ));
        }
        if self.n_decoded.get() > 0 {
            let keys = count(self.n_decoded.get(), "key");
            warnings.push(format!(
                "{keys} with `+` or `%` in the key list {list} were URL-decoded, since it says `EncodingType`: `aws s3api --no-paginate` says so of plain keys, too; if it made the list, list again without that option"
            ));
        }
        if self.is_relative.get() {
            warnings.push(format!(
                "the key list {list} is of `mc ls --json`, whose keys lack what was listed: if that is more than the bucket, add it with `--key-prefix`"
            ));
        }
        for (odd, n) in Odd::ALL.into_iter().zip(&self.odd) {
            let n = n.get();
            if n > 0 {
                let (rows, odd) = (count(n, "row"), odd.described());
                warnings.push(format!("the key list {list} has {rows} {odd}"));
            }
        }
        for (kind, values) in Bad::ALL.into_iter().zip(&self.bad) {
            let rows = match values.n.get() {
                0 => continue,
                n => count(n, "row"),
            };
            let described = kind.described(&values.first.borrow());
            warnings.push(format!("{rows} of the key list {list} with {described}"));
        }
        warnings
    }
}
