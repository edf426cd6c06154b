//! What a format consists of: how to recognise a list in it, how to read it, and what can be wrong with the list as a whole.

use std::io::{self, BufRead, Read};
use std::path::Path;

use super::binary::NotAList;
use super::columns::{InventoryColumns, KeyRules};
use super::sample::{LineEnding, Recognised, Sample};
use crate::outcome::Failure;
use crate::printable::count;
use crate::row::{Entry, UnusableRow};
use crate::source::prefix::{Listing, Pages};
use crate::source::remote::RemoteList;

/// Bytes per read of a list.
pub(crate) const READ_SIZE: usize = 64 * 1024;

/// A format of key lists.
#[derive(Debug)]
pub struct Format {
    /// The name for `--keys-format`.
    pub name: &'static str,
    /// The description in `--help`.
    pub help: &'static str,
    /// Whether a list that starts with the sample has this format. It is decided at the latest when the sample is final.
    pub recognise: fn(&Sample<'_>) -> Recognised,
    /// The first bytes of a list in a binary format, before one that no text has; empty for others.
    pub magic: &'static [u8],
    /// Whether it is read differently according to its first rows, so that these are waited for even if the format is given.
    pub waits_for_rows: bool,
    pub read: fn(&mut List<'_>, Emit<'_>) -> Result<(), ListProblem>,
}

/// The list that a format reads, and the rules for its rows.
pub struct List<'a> {
    /// The first rows, from which the format was detected; `input` has them too.
    pub start: Sample<'a>,
    pub input: &'a mut dyn BufRead,
    pub line_ending: LineEnding,
    pub keys: KeyRules<'a>,
    pub columns: Option<&'a InventoryColumns>,
    /// The folder of the list, if it is a file.
    pub folder: Option<&'a Path>,
    /// The list itself, if it is a file that is not compressed and can be read again.
    pub path: Option<&'a Path>,
    /// The list itself, if it stands in S3.
    pub remote: Option<&'a RemoteList>,
    /// How more than the list itself is asked for; `None` where no requests are made.
    pub asks: Option<Asks<'a>>,
}

/// Starts to fetch what stands in S3, and gives its bytes.
pub(crate) type Fetch<'a> = &'a dyn Fn(&RemoteList) -> Box<dyn Read>;

/// How a list asks for what it names as parts of itself: data files, or what is below a prefix.
#[derive(Clone, Copy)]
pub struct Asks<'a> {
    pub fetch: Fetch<'a>,
    pub list: &'a dyn Fn(Listing) -> Pages,
    /// Sends the rows so far, and returns whether more are wanted.
    pub send_rows: &'a dyn Fn() -> bool,
}

/// The function that receives each row, with its line.
pub(crate) type Emit<'a> = &'a mut dyn FnMut(u64, Result<Entry, UnusableRow>);

/// What is wrong with a list as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ListProblem {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    #[error("it is {}: {}", .0.what, .0.cure)]
    NotAList(NotAList),
    #[error("it looks like {}: {} (`--keys-format lines` takes each line for a key)", .0.what, .0.cure)]
    NotKeys(NotAList),
    #[error("it is compressed twice: decompress it once first")]
    CompressedTwice,
    #[error(
        "its CSV header has no `{wanted}` column, only {found}: `--key-column NAME` names the one with the key"
    )]
    NoKeyColumn { wanted: String, found: String },
    #[error("the record after line {line} has more than {}: is a quote not closed?", count(*max as u64, "byte"))]
    LongRecord { line: u64, max: usize },
    #[error("the record on line {line} has a quote that is not closed: rows may be missing")]
    OpenQuote { line: u64 },
    #[error("more than {} after row {row} contain no other row", count(*max as u64, "byte"))]
    LongValue { row: u64, max: usize },
    #[error("it is not JSON: {0}")]
    NotJson(serde_json::Error),
    #[error("{0}")]
    Unreadable(String),
    #[error(
        "its first row names no bucket: use `--bucket BUCKET`, or rows such as `s3://bucket/key`"
    )]
    NoBucket,
    #[error("{0}")]
    Listing(Box<Failure>),
    #[error("a bug in s3pull, please report it: {0}")]
    Panicked(String),
}
