//! What a format is: how a list of it is recognised, how it is read, and what can be wrong with it as a whole.

use std::io::{self, BufRead};
use std::path::Path;

use super::columns::{InventoryColumns, KeyRules};
use super::sample::{LineEnding, Sample};
use crate::row::{Entry, NoEntry};

/// Bytes read from a list at once.
pub const READ_SIZE: usize = 64 * 1024;

/// How keys are written in a list.
#[derive(Debug)]
pub struct Format {
    /// As `--keys-format` takes it.
    pub name: &'static str,
    /// For the help.
    pub help: &'static str,
    /// Says why a list that begins so has this format; `None` if it has not.
    pub recognise: fn(&Sample<'_>) -> Option<&'static str>,
    pub read: fn(&mut List<'_>, Emit<'_>) -> Result<(), Problem>,
}

/// What a format reads from.
pub struct List<'a> {
    pub input: &'a mut dyn BufRead,
    pub line_ending: LineEnding,
    pub keys: KeyRules<'a>,
    pub columns: Option<&'a InventoryColumns>,
    /// Where the list is, if it is a file.
    pub folder: Option<&'a Path>,
}

/// Takes a row, with its line.
pub type Emit<'a> = &'a mut dyn FnMut(u64, Result<Entry, NoEntry>);

/// What is wrong with a list as a whole.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    #[error("its CSV header has no `key` column, only {0}")]
    NoKeyColumn(String),
    #[error("the record after line {line} has more than {max} bytes: is a quote not closed?")]
    LongRecord { line: u64, max: usize },
    #[error("after row {row}, more than {max} bytes hold no other")]
    LongValue { row: u64, max: usize },
    #[error("it is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("{0}")]
    Inventory(String),
    #[error("a defect of s3pull, please report it: {0}")]
    Panicked(String),
}
