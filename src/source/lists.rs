//! Reads the lists one after another on a separate thread, and sends the rows that arrive together as one batch.

mod batch;
mod error;
mod listing;

use std::any::Any;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;

use batch::{Batch, SendBeforeRead};
pub use error::ListError;

use super::list::FORMATS;
use super::list::bucket::Buckets;
use super::list::columns::KeyRules;
use super::list::compression::Compression;
use super::list::detect::{Detected, Known, detect};
use super::list::findings::Findings;
use super::list::format::{Emit, Format, List, ListProblem, READ_SIZE};
use super::list::null;
use super::list::sample::sample;
use super::options::{ListOptions, ListSource};
use super::prefix::{Lister, Listing};
use super::remote::{Fetcher, RemoteList, RemoteReader};
use super::selection::Selection;
use crate::row::{Row, UnusableRow};

/// Batches that may wait between the reading thread and the downloads.
const BATCHES: usize = 2;

/// A list that is open for reading.
pub struct OpenList {
    info: ListInfo,
    input: Box<dyn Read + Send>,
}

/// What is known about a list before it is read.
#[derive(Debug, Default)]
struct ListInfo {
    /// The name used in messages.
    name: String,
    /// The folder of the list, if it is a file.
    folder: Option<PathBuf>,
    /// Whether its name says that it is a table: `keys.csv`, `keys.tsv.gz`.
    is_named_table: bool,
    /// The list, if it is a plain file, which can be read again.
    path: Option<PathBuf>,
    /// The list in S3, which is not open before its fetcher is known.
    remote: Option<RemoteList>,
    /// The last bytes, if the list is a file.
    end: Vec<u8>,
    /// The format of keys on the command line, which `--keys-format` does not change; `None` for other lists.
    format: Option<&'static Format>,
    /// What to list, and with what, if that is how the rows are found.
    listing: Option<(Listing, Option<Lister>)>,
}

/// How a list is read, for the `-v` output.
#[derive(Debug)]
pub struct DetectedList {
    pub list: String,
    pub format: &'static str,
    /// `None` for keys of the command line, whose format is fixed.
    pub reason: Option<&'static str>,
    pub compression: Option<Compression>,
}

/// What is reported about a list while it is read.
#[derive(Debug)]
pub enum ListNote {
    /// How the list is read.
    Detected(DetectedList),
    /// At the end of the list: rows that the filters left out.
    FilteredOut(u64),
    /// At the end of the list: something that the user should know about it.
    Warning(String),
}

/// The totals of all lists together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub n_rows: u64,
    /// Sum over the rows that give their size.
    pub bytes: u64,
    /// Number of objects whose row does not give a size.
    pub n_without_size: u64,
}

/// Opens the lists, so that a missing one is reported before anything else happens.
///
/// # Errors
/// If a file does not exist, is a folder, or must not be read.
pub fn open(sources: &[ListSource]) -> Result<Vec<OpenList>, ListError> {
    sources.iter().map(open_one).collect()
}

impl OpenList {
    /// Opens a list that stands in S3; nothing is requested before it is read.
    fn fetched_by(mut self, fetcher: &Fetcher) -> Self {
        if let Some(list) = &self.info.remote {
            self.input = Box::new(RemoteReader::new(fetcher.0(list.clone())));
        }
        self
    }
}

fn open_one(source: &ListSource) -> Result<OpenList, ListError> {
    let mut info = ListInfo {
        name: source.name(),
        ..ListInfo::default()
    };
    let input: Box<dyn Read + Send> = match source {
        ListSource::Stdin => Box::new(io::stdin()),
        ListSource::File(path) => {
            info.is_named_table = is_named_table(path);
            info.folder = path
                .canonicalize()
                .ok()
                .and_then(|path| path.parent().map(Path::to_owned));
            match open_file(path) {
                Ok((file, end)) => {
                    info.path = path.is_file().then(|| path.clone());
                    info.end = end;
                    Box::new(file)
                }
                Err(error) => return Err(info.error("open", error.into())),
            }
        }
        ListSource::Prefix(listing) => {
            info.listing = Some((listing.clone(), None));
            Box::new(io::empty())
        }
        ListSource::Remote(list) => {
            info.is_named_table = is_named_table(Path::new(&list.key));
            info.remote = Some(list.clone());
            Box::new(io::empty())
        }
        ListSource::Arguments(keys) => {
            info.format = Some(&null::FORMAT);
            Box::new(Cursor::new(keys.join("\0")))
        }
    };
    Ok(OpenList { info, input })
}

/// Whether the name, with or without the ending of a compressed file, is that of a table.
fn is_named_table(path: &Path) -> bool {
    let has_ending = |path: &Path, endings: &[&str]| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| {
            endings
                .iter()
                .any(|known| known.eq_ignore_ascii_case(ending))
        })
    };
    let is_compressed = has_ending(path, &["gz", "zst", "zstd"]);
    let inner = path.file_stem().map(Path::new).filter(|_| is_compressed);
    has_ending(inner.unwrap_or(path), &["csv", "tsv"])
}

/// Opens a list; also returns its last bytes, if it is a file in which one can go to and fro.
fn open_file(path: &Path) -> io::Result<(File, Vec<u8>)> {
    const END: u64 = 1024;
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut end = Vec::new();
    if metadata.is_file() {
        file.seek(SeekFrom::Start(metadata.len().saturating_sub(END)))?;
        (&mut file).take(END).read_to_end(&mut end)?;
        file.rewind()?;
    }
    Ok((file, end))
}

/// Has `lister` list what is to be listed.
pub fn listed_by(mut lists: Vec<OpenList>, lister: Option<&Lister>) -> Vec<OpenList> {
    for (_, place) in lists
        .iter_mut()
        .filter_map(|list| list.info.listing.as_mut())
    {
        *place = lister.cloned();
    }
    lists
}

/// Reads `lists` on a separate thread. Rows that arrive together are one batch; the thread ends when the receiver is dropped.
/// `on_note` is called with how each list is read, and with warnings about it.
pub fn read(
    lists: Vec<OpenList>,
    options: Arc<ListOptions>,
    fetcher: Option<Fetcher>,
    mut on_note: impl FnMut(ListNote) + Send + 'static,
) -> mpsc::Receiver<Result<Vec<Row>, ListError>> {
    let (sender, receiver) = mpsc::channel(BATCHES);
    std::thread::spawn(move || {
        let batch = Rc::new(RefCell::new(Batch::new(sender.clone())));
        let read = lists.into_iter().enumerate().try_for_each(|(index, list)| {
            if let Some((listing, lister)) = &list.info.listing {
                return listing::read(
                    index,
                    listing,
                    lister.as_ref(),
                    &options,
                    &mut on_note,
                    &batch,
                );
            }
            let list = match &fetcher {
                Some(fetcher) => list.fetched_by(fetcher),
                None => list,
            };
            let input = SendBeforeRead {
                input: list.input,
                batch: Rc::clone(&batch),
            };
            let mut emit = |row| batch.borrow_mut().push(row);
            let info = &list.info;
            // Without this, a thread that panicked would look like the end of its list.
            let parsed = catch_unwind(AssertUnwindSafe(|| {
                parse(info, index, input, &options, &mut on_note, &mut emit)
            }));
            parsed.unwrap_or_else(|panic| Err(info.error("read", ListProblem::panicked(&*panic))))
        });
        let is_wanted = batch.borrow_mut().send();
        if let (true, Err(error)) = (is_wanted, read) {
            // The receiver may have been dropped just now: then nobody waits for the error.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Counts the rows that [`read`] would send. Returns `None` if a list can be read only once: a pipe, even one that has a
/// path (`--keys <(…)`, `--keys /dev/stdin`).
///
/// # Errors
/// Those of [`open`] and [`read`].
pub fn count(options: &ListOptions) -> Result<Option<Totals>, ListError> {
    let can_be_read_again = |source: &ListSource| match source {
        ListSource::Stdin | ListSource::Remote(_) | ListSource::Prefix(_) => false,
        ListSource::File(path) => path.metadata().is_ok_and(|metadata| metadata.is_file()),
        ListSource::Arguments(_) => true,
    };
    if !options.sources.iter().all(can_be_read_again) {
        return Ok(None);
    }
    let mut totals = Totals::default();
    for_each(options, |row| totals.add(&row))?;
    Ok(Some(totals))
}

/// Passes each row that [`read`] would send to `each`.
///
/// # Errors
/// Those of [`open`] and [`read`].
pub fn for_each(options: &ListOptions, mut each: impl FnMut(Row)) -> Result<(), ListError> {
    for (index, list) in open(&options.sources)?.into_iter().enumerate() {
        parse(&list.info, index, list.input, options, |_| {}, &mut each)?;
    }
    Ok(())
}

#[cfg(any(test, fuzzing))]
/// Passes every row of a list in memory to `emit`.
///
/// # Errors
/// If the list as a whole cannot be read.
pub fn parse_bytes(
    list: &[u8],
    options: &ListOptions,
    mut emit: impl FnMut(Row),
) -> Result<(), ListError> {
    parse(&ListInfo::default(), 0, list, options, |_| {}, &mut emit)
}

fn parse(
    info: &ListInfo,
    index: usize,
    input: impl Read,
    options: &ListOptions,
    mut on_note: impl FnMut(ListNote),
    emit: &mut impl FnMut(Row),
) -> Result<(), ListError> {
    let findings = Findings::default();
    let buckets = Buckets::new(options.bucket.as_deref());
    let mut selection = Selection::new(options, index, "");
    let mut emit = |line, entry: Result<_, UnusableRow>| {
        findings.row();
        if buckets.are_missing() {
            return;
        }
        if let Some(row) = selection.row(line, entry) {
            emit(row);
        }
    };
    let input = buckets.until_refused(input);
    let keys = KeyRules {
        prefix: &options.key_prefix,
        bucket: &buckets,
        findings: &findings,
    };
    let parsed = parse_rows(info, input, options, keys, &mut on_note, &mut emit);
    note_filtered(selection.n_filtered(), &mut on_note);
    if buckets.are_missing() {
        return Err(info.error("read", ListProblem::NoBucket));
    }
    let format = parsed.map_err(|problem| info.error("read", problem))?;
    for warning in findings.warnings(&info.name, format.name) {
        on_note(ListNote::Warning(warning));
    }
    Ok(())
}

/// Tells how many rows the filters left out, if any.
fn note_filtered(n_filtered: u64, on_note: &mut impl FnMut(ListNote)) {
    if n_filtered > 0 {
        on_note(ListNote::FilteredOut(n_filtered));
    }
}

fn parse_rows(
    info: &ListInfo,
    mut input: impl Read,
    options: &ListOptions,
    keys: KeyRules<'_>,
    on_note: &mut impl FnMut(ListNote),
    emit: Emit<'_>,
) -> Result<&'static Format, ListProblem> {
    let known = Known {
        asked: info.format.or(options.format),
        bucket: options.bucket.as_deref().unwrap_or_default(),
        key_column: options.key_column.as_deref(),
        is_named_table: info.is_named_table,
        end: &info.end,
    };
    let detected = |start: &[u8], is_final: bool| detect(start, is_final, known, FORMATS);
    let (mut start, mut found) = sample(&mut input, detected)?;
    let mut compression = None;
    let mut input: Box<dyn Read + '_> = Box::new(input);
    if let Some(Detected::Compressed(found_compression)) = found {
        compression = Some(found_compression);
        let compressed = Cursor::new(std::mem::take(&mut start));
        input = found_compression.decoder(compressed.chain(input))?;
        (start, found) = sample(&mut input, detected)?;
    }
    let Some(Detected::List(detected)) = found else {
        return Err(ListProblem::CompressedTwice);
    };
    if matches!(detected.format.name, "csv" | "tsv") {
        keys.bucket.may_be_missing();
    }
    on_note(ListNote::Detected(DetectedList {
        list: info.name.clone(),
        format: detected.format.name,
        reason: info.format.is_none().then_some(detected.reason),
        compression,
    }));
    let (looked_at, text_from) = (start[..detected.length].to_vec(), detected.bom_length);
    let mut start = Cursor::new(start);
    start.set_position(text_from as u64);
    let mut list = List {
        start: detected.sample(&looked_at, known),
        input: &mut BufReader::with_capacity(READ_SIZE, start.chain(input)),
        line_ending: detected.line_ending,
        keys,
        columns: options.columns.as_ref(),
        folder: info.folder.as_deref(),
        path: info.path.as_deref().filter(|_| compression.is_none()),
    };
    (detected.format.read)(&mut list, emit)?;
    Ok(detected.format)
}

impl ListProblem {
    fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("a panic").to_owned())
    }
}

impl ListInfo {
    fn error(&self, action: &'static str, problem: ListProblem) -> ListError {
        ListError {
            action,
            list: format!("the key list {}", self.name),
            problem,
        }
    }
}

impl Totals {
    fn add(&mut self, row: &Row) {
        self.n_rows += 1;
        if let Ok(entry) = &row.entry {
            self.bytes = self.bytes.saturating_add(entry.size.unwrap_or_default());
            self.n_without_size += u64::from(entry.size.is_none());
        }
    }
}

#[cfg(test)]
mod tests;
