//! Reads the lists one after another on a separate thread, and sends the rows that arrive together as one batch.

mod batch;
mod error;
mod listing;
mod newest;
mod open_list;

use std::any::Any;
use std::cell::RefCell;
use std::io::{BufReader, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;

use batch::{Batch, SendBeforeRead};
pub(crate) use error::ListError;
pub(crate) use open_list::open;
use open_list::{ListInfo, OpenList};

use super::list::FORMATS;
use super::list::bucket::Buckets;
use super::list::columns::KeyRules;
use super::list::compression::Compression;
use super::list::detect::{Detected, Known, detect};
use super::list::findings::Findings;
use super::list::format::{Asks, Emit, Format, List, ListProblem, READ_SIZE};
use super::list::sample::sample;
use super::options::{ListOptions, ListSource};
use super::prefix;
use super::remote::{RemoteList, RemoteReader};
use super::requests::Requests;
use super::selection::Selection;
use crate::row::{Row, UnusableRow};

/// Batches that may wait between the reading thread and the downloads.
const BATCHES: usize = 2;

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
    /// Which inventory of a folder is read.
    Newest {
        folder: RemoteList,
        manifest: RemoteList,
    },
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

/// What lists are read with.
#[derive(Clone, Copy)]
struct Reading<'a> {
    options: &'a ListOptions,
    /// How more than a list itself is asked for; `None` where no requests are made.
    asks: Option<Asks<'a>>,
}

/// Reads `lists` on a separate thread. Rows that arrive together are one batch; the thread ends when the receiver is dropped.
/// `on_note` is called with how each list is read, and with warnings about it. Without `requests`, a list in S3 and a listing
/// break off at once.
pub(crate) fn read(
    lists: Vec<OpenList>,
    options: Arc<ListOptions>,
    requests: Option<Requests>,
    mut on_note: impl FnMut(ListNote) + Send + 'static,
) -> mpsc::Receiver<Result<Vec<Row>, ListError>> {
    let (sender, receiver) = mpsc::channel(BATCHES);
    std::thread::spawn(move || {
        let batch = Rc::new(RefCell::new(Batch::new(sender.clone())));
        let read = lists.into_iter().enumerate().try_for_each(|(index, list)| {
            read_one(
                index,
                list,
                &options,
                requests.as_ref(),
                &mut on_note,
                &batch,
            )
        });
        let is_wanted = batch.borrow_mut().send();
        if let (true, Err(error)) = (is_wanted, read) {
            // The receiver may have been dropped just now: then nobody waits for the error.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

fn read_one(
    index: usize,
    list: OpenList,
    options: &ListOptions,
    requests: Option<&Requests>,
    on_note: &mut impl FnMut(ListNote),
    batch: &Rc<RefCell<Batch>>,
) -> Result<(), ListError> {
    let OpenList { mut info, input } = list;
    let lister = requests.map(|requests| &requests.lister);
    if let Some(listing) = &info.listing {
        return listing::read(index, listing, lister, options, on_note, batch);
    }
    if let Some(folder) = info.remote.take_if(|list| list.is_folder()) {
        let manifest = newest::manifest(&folder, lister);
        let manifest = manifest.map_err(|problem| info.error("read", problem))?;
        on_note(ListNote::Newest {
            folder,
            manifest: manifest.clone(),
        });
        info.set_remote(manifest);
    }
    let fetch = |list: &RemoteList| -> Box<dyn Read> {
        let chunks = requests.map_or_else(|| mpsc::channel(1).1, |of| of.fetcher.fetch(list));
        Box::new(SendBeforeRead {
            input: RemoteReader::new(chunks),
            batch: Rc::clone(batch),
        })
    };
    let input: Box<dyn Read> = match &info.remote {
        Some(list) => fetch(list),
        None => Box::new(SendBeforeRead {
            input,
            batch: Rc::clone(batch),
        }),
    };
    let asks = Asks {
        fetch: &fetch,
        list: &|listing| prefix::start(lister, listing),
        send_rows: &|| batch.borrow_mut().send(),
    };
    let reading = Reading {
        options,
        asks: requests.map(|_| asks),
    };
    let mut emit = |row| batch.borrow_mut().push(row);
    // Without this, a thread that panicked would look like the end of its list.
    let parsed = catch_unwind(AssertUnwindSafe(|| {
        parse(&info, index, input, reading, on_note, &mut emit)
    }));
    parsed.unwrap_or_else(|panic| Err(info.error("read", ListProblem::panicked(&*panic))))
}

/// Counts the rows that [`read`] would send. Returns `None` if a list can be read only once: a pipe, even one that has a
/// path (`--keys <(…)`, `--keys /dev/stdin`).
///
/// # Errors
/// Those of [`open`] and [`read`].
pub(crate) fn count(options: &ListOptions) -> Result<Option<Totals>, ListError> {
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
pub(crate) fn for_each(options: &ListOptions, mut each: impl FnMut(Row)) -> Result<(), ListError> {
    let reading = Reading {
        options,
        asks: None,
    };
    for (index, list) in open(&options.sources)?.into_iter().enumerate() {
        parse(&list.info, index, list.input, reading, |_| {}, &mut each)?;
    }
    Ok(())
}

#[cfg(any(test, fuzzing))]
/// Passes every row of a list in memory to `emit`.
///
/// # Errors
/// If the list as a whole cannot be read.
pub(crate) fn parse_bytes(
    list: &[u8],
    options: &ListOptions,
    mut emit: impl FnMut(Row),
) -> Result<(), ListError> {
    let reading = Reading {
        options,
        asks: None,
    };
    parse(&ListInfo::default(), 0, list, reading, |_| {}, &mut emit)
}

fn parse(
    info: &ListInfo,
    index: usize,
    input: impl Read,
    reading: Reading<'_>,
    mut on_note: impl FnMut(ListNote),
    emit: &mut impl FnMut(Row),
) -> Result<(), ListError> {
    let options = reading.options;
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
    let parsed = parse_rows(info, input, reading, keys, &mut on_note, &mut emit);
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
    reading: Reading<'_>,
    keys: KeyRules<'_>,
    on_note: &mut impl FnMut(ListNote),
    emit: Emit<'_>,
) -> Result<&'static Format, ListProblem> {
    let options = reading.options;
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
        remote: info.remote.as_ref(),
        asks: reading.asks,
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
