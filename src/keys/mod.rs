//! Rows from a key list. The list is read as a stream, on its own thread, through a bounded channel:
//! downloads start while it is still arriving, and memory does not grow with its length.
//!
//! A format is one file with a `read` function that hands each row to `emit`; `detect` chooses between them once a list.

mod aws_s3_ls;
mod csv;
mod detect;
mod lines;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::config::{ListFormat, ListOptions};
use crate::outcome::{Class, ErrorCode, Failure};

/// Bytes asked of the list at once. One read's rows make one batch, so this bounds the rows in memory too.
const READ_SIZE: usize = 64 * 1024;
/// Batches between the reading thread and the downloads.
const BATCHES: usize = 2;
/// The longest key that S3 can hold, in bytes of UTF-8 (S3 user guide, "Naming Amazon S3 objects").
const MAX_KEY: usize = 1024;

/// One row of the list.
#[derive(Debug)]
pub struct Row {
    /// Line that the row starts on, from 1.
    pub line: u64,
    /// The object it names, or why it names none.
    pub entry: Result<Entry, RowError>,
}

/// An object that the list names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    pub key: String,
    pub version_id: Option<String>,
}

/// A row that names no object of the bucket. It is a failed row, and never stops the run.
#[derive(Debug)]
pub struct RowError {
    /// The key as far as it could be read, else empty.
    pub key: String,
    /// Where it is another than `--bucket`.
    pub bucket: Option<String>,
    pub failure: Box<Failure>,
}

impl RowError {
    fn new(key: &str, code: ErrorCode, message: impl Into<String>) -> Self {
        let failure = Box::new(Failure::new(code, Class::Permanent, message));
        Self {
            key: key.to_owned(),
            bucket: None,
            failure,
        }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new("", ErrorCode::InvalidRow, message)
    }
}

/// Where the list comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListSource {
    Stdin,
    File(PathBuf),
}

/// A list that cannot be read on: the run cannot know its rows.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    #[error("cannot open the key list `{}`: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("cannot read the key list: {0}")]
    Read(#[from] io::Error),
    #[error("the key list is UTF-16: convert it with `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    #[error("the key list's CSV header has no `key` column, only {0}")]
    NoKeyColumn(String),
}

/// A list that is open for reading.
pub struct OpenList {
    input: Box<dyn Read + Send>,
}

/// Opens the list, so that one that is not there is known before anything else happens.
///
/// # Errors
/// [`ListError::Open`] when there is no such file, or it is a folder, or it may not be read.
pub fn open(source: &ListSource) -> Result<OpenList, ListError> {
    let input: Box<dyn Read + Send> = match source {
        ListSource::Stdin => Box::new(io::stdin()),
        ListSource::File(path) => Box::new(open_file(path)?),
    };
    Ok(OpenList { input })
}

fn open_file(path: &Path) -> Result<File, ListError> {
    let error = |source| ListError::Open {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(error)?;
    if file.metadata().map_err(error)?.is_dir() {
        return Err(error(io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// Reads `list` on a thread of its own. What arrives at once is one batch; the thread ends when the receiver is dropped.
/// `on_format` is told the format that was taken.
pub fn read(
    list: OpenList,
    options: Arc<ListOptions>,
    on_format: impl FnOnce(ListFormat) + Send + 'static,
) -> mpsc::Receiver<Result<Vec<Row>, ListError>> {
    let (sender, receiver) = mpsc::channel(BATCHES);
    std::thread::spawn(move || {
        let batch = Rc::new(RefCell::new(Batch {
            rows: Vec::new(),
            sender: sender.clone(),
        }));
        let input = SendBeforeRead {
            input: list.input,
            batch: Rc::clone(&batch),
        };
        let read = parse(input, &options, on_format, |row| {
            batch.borrow_mut().rows.push(row);
        });
        let is_wanted = batch.borrow_mut().send();
        if let (true, Err(error)) = (is_wanted, read) {
            // The receiver may just have gone: then nobody wants to know.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Counts the rows of a list file, as [`read`] would give them.
///
/// # Errors
/// As [`open`] and [`read`].
pub fn count(path: &Path, options: &ListOptions) -> Result<u64, ListError> {
    let mut n_rows = 0;
    parse(open_file(path)?, options, |_| {}, |_| n_rows += 1)?;
    Ok(n_rows)
}

fn parse(
    mut input: impl Read,
    options: &ListOptions,
    on_format: impl FnOnce(ListFormat),
    mut emit: impl FnMut(Row),
) -> Result<(), ListError> {
    let sample = detect::sample(&mut input)?;
    let detected = detect::detect(&sample, options.format)?;
    on_format(detected.format);
    let mut start = Cursor::new(sample);
    start.set_position(detected.bom_length);
    let input = BufReader::with_capacity(READ_SIZE, start.chain(input));
    let keys = KeyRules {
        prefix: &options.key_prefix,
        bucket: &options.bucket,
    };
    match detected.format {
        ListFormat::Csv => csv::read(input, keys, &mut emit),
        ListFormat::AwsS3Ls => Ok(aws_s3_ls::read(
            input,
            detected.line_ending,
            keys,
            &mut emit,
        )?),
        ListFormat::Lines | ListFormat::Auto => {
            Ok(lines::read(input, detected.line_ending, keys, &mut emit)?)
        }
    }
}

/// Rows that were read but not yet sent.
struct Batch {
    rows: Vec<Row>,
    sender: mpsc::Sender<Result<Vec<Row>, ListError>>,
}

impl Batch {
    /// Sends the rows; `false` when nobody wants them any more.
    fn send(&mut self) -> bool {
        if self.rows.is_empty() {
            return !self.sender.is_closed();
        }
        self.sender
            .blocking_send(Ok(std::mem::take(&mut self.rows)))
            .is_ok()
    }
}

/// Sends the rows at hand before it waits for more bytes, so that no row waits for a slow pipe.
struct SendBeforeRead<R> {
    input: R,
    batch: Rc<RefCell<Batch>>,
}

impl<R: Read> Read for SendBeforeRead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.batch.borrow_mut().send() {
            return Ok(0);
        }
        self.input.read(buffer)
    }
}

/// What every format does with a key that it found.
#[derive(Clone, Copy)]
struct KeyRules<'a> {
    prefix: &'a str,
    bucket: &'a str,
}

impl KeyRules<'_> {
    /// The key of a list that holds keys below the prefix.
    fn entry(&self, key: &[u8]) -> Result<Entry, RowError> {
        let key = utf8(key)?;
        checked(format!("{}{key}", self.prefix), None)
    }

    /// A whole key, perhaps with a bucket and a version beside it; empty ones count as none.
    fn whole_entry(&self, key: &str, bucket: &str, version_id: &str) -> Result<Entry, RowError> {
        if !bucket.is_empty() && bucket != self.bucket {
            let message = format!(
                "the row is for bucket `{bucket}`, this run is for `{}`",
                self.bucket
            );
            return Err(RowError {
                bucket: Some(bucket.to_owned()),
                ..RowError::new(key, ErrorCode::WrongBucket, message)
            });
        }
        checked(
            key.to_owned(),
            Some(version_id)
                .filter(|id| !id.is_empty())
                .map(str::to_owned),
        )
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, RowError> {
    std::str::from_utf8(bytes).map_err(|_| {
        RowError::invalid(format!(
            "not UTF-8, as S3's keys are: `{}`",
            bytes.escape_ascii()
        ))
    })
}

fn checked(key: String, version_id: Option<String>) -> Result<Entry, RowError> {
    if key.is_empty() {
        return Err(RowError::invalid("the key is empty"));
    }
    if key.len() > MAX_KEY {
        let message = format!("the key has {} bytes, S3 allows {MAX_KEY}", key.len());
        return Err(RowError::new(&key, ErrorCode::InvalidKey, message));
    }
    Ok(Entry { key, version_id })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Each row as its key, or as `line: message`.
    pub(crate) fn rows(
        list: &[u8],
        format: ListFormat,
        key_prefix: &str,
    ) -> Vec<Result<String, String>> {
        let options = ListOptions {
            source: ListSource::Stdin,
            format,
            key_prefix: key_prefix.into(),
            bucket: "b".into(),
        };
        let mut rows = Vec::new();
        parse(
            list,
            &options,
            |_| {},
            |row| {
                rows.push(match row.entry {
                    Ok(entry) => Ok(entry.key),
                    Err(error) => Err(format!(
                        "{}: {}: {}",
                        row.line, error.failure.code, error.failure.message
                    )),
                });
            },
        )
        .unwrap();
        rows
    }

    #[test]
    fn a_key_of_1024_bytes_is_the_longest() {
        let longest = "k".repeat(1024);
        assert_eq!(
            rows(longest.as_bytes(), ListFormat::Auto, ""),
            [Ok(longest.clone())]
        );
        assert!(
            rows(format!("{longest}k").as_bytes(), ListFormat::Auto, "")[0]
                .as_ref()
                .unwrap_err()
                .contains("InvalidKey")
        );
    }

    #[test]
    fn rows_are_sent_while_the_pipe_stays_open() {
        let (mut writer, reader) = pipe();
        let options = ListOptions {
            source: ListSource::Stdin,
            format: ListFormat::Auto,
            key_prefix: String::new(),
            bucket: "b".into(),
        };
        let mut batches = read(
            OpenList {
                input: Box::new(reader),
            },
            Arc::new(options),
            |_| {},
        );
        for key in ["first", "second"] {
            io::Write::write_all(&mut writer, format!("{key}\n").as_bytes()).unwrap();
            let batch = batches.blocking_recv().unwrap().unwrap();
            assert_eq!(batch[0].entry.as_ref().unwrap().key, key);
        }
        drop(writer);
        assert!(batches.blocking_recv().is_none());
    }

    fn pipe() -> (io::PipeWriter, io::PipeReader) {
        let (reader, writer) = io::pipe().unwrap();
        (writer, reader)
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_any_format_never_panic(list in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            for format in [ListFormat::Auto, ListFormat::Lines, ListFormat::Csv, ListFormat::AwsS3Ls] {
                let options = ListOptions { source: ListSource::Stdin, format, key_prefix: String::new(), bucket: "b".into() };
                // Whether such a list is usable is not the question here.
                let _ = parse(&list[..], &options, |_| {}, |_| {});
            }
        }
    }
}
