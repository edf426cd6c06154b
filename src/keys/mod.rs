//! Rows from key lists. They are read as streams, on a thread of their own, through a bounded channel: downloads start
//! while a list is still arriving, and memory does not grow with its length.
//!
//! A format is one file of this module and one line in [`FORMATS`]; `detect` chooses between them, once a list.

mod aws_s3_ls;
mod compression;
mod counted;
mod csv;
mod detect;
mod findings;
mod inventory;
mod json;
mod lines;
mod listing;
mod manifest;
mod null;
mod reader;
mod row;
mod s5cmd_ls;
mod shard;

use std::io::{self, BufRead};
use std::path::{Path, PathBuf};

pub use inventory::InventoryColumns;
pub use reader::{ListNote, OpenList, Taken, Totals, count, open, parse_bytes, read};
pub use row::{Entry, NoEntry, Place, Row};
pub use shard::{Shard, ShardError};

use detect::{LineEnding, Sample};
use row::KeyRules;

/// In the order in which `auto` asks them. The last one takes every list.
pub static FORMATS: [&Format; 7] = [
    &inventory::FORMAT,
    &json::FORMAT,
    &csv::FORMAT,
    &aws_s3_ls::FORMAT,
    &s5cmd_ls::FORMAT,
    &null::FORMAT,
    &lines::FORMAT,
];

/// How keys are written in a list.
#[derive(Debug)]
pub struct Format {
    /// As `--keys-format` takes it.
    pub name: &'static str,
    /// For the help.
    pub help: &'static str,
    /// Says why a list that begins so has this format; `None` if it has not.
    recognise: fn(&Sample<'_>) -> Option<&'static str>,
    read: fn(&mut List<'_>, Emit<'_>) -> Result<(), Problem>,
}

/// What a format reads from.
struct List<'a> {
    input: &'a mut dyn BufRead,
    line_ending: LineEnding,
    keys: KeyRules<'a>,
    columns: Option<&'a InventoryColumns>,
    /// Where the list is, if it is a file.
    folder: Option<&'a Path>,
}

/// Takes a row, with its line.
type Emit<'a> = &'a mut dyn FnMut(u64, Result<Entry, NoEntry>);

/// What is needed to read the lists.
#[derive(Debug)]
pub struct ListOptions {
    pub sources: Vec<ListSource>,
    /// `None`: each list's first rows decide.
    pub format: Option<&'static Format>,
    /// Put before every key; may be empty.
    pub key_prefix: String,
    /// The bucket that `s3://bucket/key` lines and `bucket` columns must name.
    pub bucket: String,
    /// The columns of an inventory's data files, where no manifest tells them.
    pub columns: Option<InventoryColumns>,
    /// The rows that are this run's.
    pub shard: Option<Shard>,
}

impl ListOptions {
    /// The lists that are files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|source| match source {
            ListSource::File(path) => Some(path.as_path()),
            ListSource::Stdin | ListSource::Arguments(_) => None,
        })
    }
}

/// Where a list comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListSource {
    Stdin,
    File(PathBuf),
    /// Keys, or `s3://bucket/key` URIs, on the command line.
    Arguments(Vec<String>),
}

/// A list that cannot be read on: the run cannot know its rows.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the key list {list}: {problem}")]
pub struct ListError {
    action: &'static str,
    list: String,
    problem: Problem,
}

/// What is wrong with a list as a whole.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    #[error("its CSV header has no `key` column, only {0}")]
    NoKeyColumn(String),
    #[error(
        "the record after line {line} has more than {} bytes: is a quote not closed?",
        csv::MAX_RECORD
    )]
    LongRecord { line: u64 },
    #[error("after row {row}, more than {} bytes hold no other", json::MAX_ROW)]
    LongValue { row: u64 },
    #[error("it is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("{0}")]
    Inventory(String),
    #[error("a defect of s3pull, please report it: {0}")]
    Panicked(String),
}

/// The format that `--keys-format` calls so.
pub fn format_named(name: &str) -> Option<&'static Format> {
    FORMATS.into_iter().find(|format| format.name == name)
}
