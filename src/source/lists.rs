//! Reads lists, one after the other, on a thread of its own, and hands on what arrives at once as one batch.

use std::any::Any;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::list::FORMATS;
use super::list::columns::KeyRules;
use super::list::compression::Compression;
use super::list::detect::detect;
use super::list::findings::Findings;
use super::list::format::{Emit, Format, List, Problem, READ_SIZE};
use super::list::null;
use super::list::sample::sample as read_sample;
use super::options::{ListOptions, ListSource};
use crate::row::{NoEntry, Place, Row};

/// Rows of a batch. A read of a plain list brings about as many; one of a compressed list may bring a thousand times more.
const MAX_BATCH: usize = 1024;
/// Bytes of a batch's keys, past which it gets no more rows: those that cannot be keys may be long.
const MAX_BATCH_BYTES: usize = 256 * 1024;
/// Batches between the reading thread and the downloads.
const BATCHES: usize = 2;

/// A list that cannot be read on: the run cannot know its rows.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} the key list {list}: {problem}")]
pub struct ListError {
    action: &'static str,
    list: String,
    problem: Problem,
}

/// A list that is open for reading.
pub struct OpenList {
    about: About,
    input: Box<dyn Read + Send>,
}

/// What is known of a list before it is read.
#[derive(Debug, Default)]
struct About {
    /// For messages.
    name: String,
    /// Where it is, if it is a file.
    folder: Option<PathBuf>,
    /// What it must be, whatever was asked for.
    format: Option<&'static Format>,
}

/// How a list is read.
#[derive(Debug)]
pub struct Taken {
    pub list: String,
    pub format: &'static str,
    pub reason: &'static str,
    pub compression: Option<Compression>,
}

/// What is told of a list while it is read.
#[derive(Debug)]
pub enum ListNote {
    /// How it is read.
    Taken(Taken),
    /// At its end: what the user should know of it.
    Warning(String),
}

/// What all lists hold together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    pub n_rows: u64,
    /// Of the rows that give their size.
    pub bytes: u64,
    /// Rows of objects that do not.
    pub n_without_size: u64,
}

impl ListSource {
    /// What it is called in records, as it was typed: `-` is stdin. `None` for keys of the command line.
    pub fn typed(&self) -> Option<String> {
        match self {
            Self::Stdin => Some("-".to_owned()),
            Self::File(path) => Some(path.to_string_lossy().into_owned()),
            Self::Arguments(_) => None,
        }
    }

    /// What it is called in messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "on stdin".to_owned(),
            Self::File(path) => format!("`{}`", path.display()),
            Self::Arguments(_) => "on the command line".to_owned(),
        }
    }
}

/// Opens the lists, so that one that is not there is known before anything else happens.
///
/// # Errors
/// When there is no such file, or it is a folder, or it may not be read.
pub fn open(sources: &[ListSource]) -> Result<Vec<OpenList>, ListError> {
    sources.iter().map(open_one).collect()
}

fn open_one(source: &ListSource) -> Result<OpenList, ListError> {
    let mut about = About {
        name: source.name(),
        ..About::default()
    };
    let input: Box<dyn Read + Send> = match source {
        ListSource::Stdin => Box::new(io::stdin()),
        ListSource::File(path) => {
            about.folder = path
                .canonicalize()
                .ok()
                .and_then(|path| path.parent().map(Path::to_owned));
            match open_file(path) {
                Ok(file) => Box::new(file),
                Err(error) => return Err(about.error("open", error.into())),
            }
        }
        ListSource::Arguments(keys) => {
            about.format = Some(&null::FORMAT);
            Box::new(Cursor::new(keys.join("\0")))
        }
    };
    Ok(OpenList { about, input })
}

fn open_file(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(file)
}

/// Reads `lists` on a thread of its own. What arrives at once is one batch; the thread ends when the receiver is dropped.
/// `on_note` is told how each list is read, and what is odd about it.
pub fn read(
    lists: Vec<OpenList>,
    options: Arc<ListOptions>,
    mut on_note: impl FnMut(ListNote) + Send + 'static,
) -> mpsc::Receiver<Result<Vec<Row>, ListError>> {
    let (sender, receiver) = mpsc::channel(BATCHES);
    std::thread::spawn(move || {
        let batch = Rc::new(RefCell::new(Batch {
            rows: Vec::new(),
            n_bytes: 0,
            sender: sender.clone(),
        }));
        let read = lists.into_iter().enumerate().try_for_each(|(index, list)| {
            let input = SendBeforeRead {
                input: list.input,
                batch: Rc::clone(&batch),
            };
            let mut emit = |row| batch.borrow_mut().push(row);
            let about = &list.about;
            // A thread that is gone would look like a list that is at its end.
            let parsed = catch_unwind(AssertUnwindSafe(|| {
                parse(about, index, input, &options, &mut on_note, &mut emit)
            }));
            parsed.unwrap_or_else(|panic| Err(about.error("read", Problem::panicked(&*panic))))
        });
        let is_wanted = batch.borrow_mut().send();
        if let (true, Err(error)) = (is_wanted, read) {
            // The receiver may just have gone: then nobody wants to know.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

/// Counts what [`read`] would give; `None` where a list can be read only once, as a pipe can, whatever it is called
/// (`--keys <(…)`, `--keys /dev/stdin`).
///
/// # Errors
/// As [`open`] and [`read`].
pub fn count(options: &ListOptions) -> Result<Option<Totals>, ListError> {
    let can_be_read_again = |source: &ListSource| match source {
        ListSource::Stdin => false,
        ListSource::File(path) => path.metadata().is_ok_and(|metadata| metadata.is_file()),
        ListSource::Arguments(_) => true,
    };
    if !options.sources.iter().all(can_be_read_again) {
        return Ok(None);
    }
    let mut totals = Totals::default();
    for (index, list) in open(&options.sources)?.into_iter().enumerate() {
        parse(
            &list.about,
            index,
            list.input,
            options,
            |_| {},
            &mut |row| {
                totals.add(&row);
            },
        )?;
    }
    Ok(Some(totals))
}

#[cfg(any(test, fuzzing))]
/// Hands every row of a list to `emit`: for callers that have their bytes in hand.
///
/// # Errors
/// When the list as a whole cannot be read.
pub fn parse_bytes(
    list: &[u8],
    options: &ListOptions,
    mut emit: impl FnMut(Row),
) -> Result<(), ListError> {
    parse(&About::default(), 0, list, options, |_| {}, &mut emit)
}

fn parse(
    about: &About,
    index: usize,
    input: impl Read,
    options: &ListOptions,
    mut on_note: impl FnMut(ListNote),
    emit: &mut impl FnMut(Row),
) -> Result<(), ListError> {
    let findings = Findings::default();
    let mut emit = |line, entry: Result<_, NoEntry>| {
        findings.row();
        let row = Row {
            place: Place { list: index, line },
            entry: entry.map_err(NoEntry::shortened),
        };
        if options.shard.is_none_or(|shard| shard.has(row.key())) {
            emit(row);
        }
    };
    parse_rows(about, input, options, &findings, &mut on_note, &mut emit)
        .map_err(|problem| about.error("read", problem))?;
    for warning in findings.warnings(&about.name) {
        on_note(ListNote::Warning(warning));
    }
    Ok(())
}

fn parse_rows(
    about: &About,
    mut input: impl Read,
    options: &ListOptions,
    findings: &Findings,
    on_note: &mut impl FnMut(ListNote),
    emit: Emit<'_>,
) -> Result<(), Problem> {
    let mut sample = read_sample(&mut input)?;
    let compression = Compression::of(&sample);
    let mut input: Box<dyn Read + '_> = Box::new(input);
    if let Some(compression) = compression {
        let start = Cursor::new(std::mem::take(&mut sample));
        input = compression.decoder(start.chain(input))?;
        sample = read_sample(&mut input)?;
    }
    let asked = about.format.or(options.format);
    let detected = detect(&sample, asked, FORMATS, &options.bucket)?;
    on_note(ListNote::Taken(Taken {
        list: about.name.clone(),
        format: detected.format.name,
        reason: detected.reason,
        compression,
    }));
    let mut start = Cursor::new(sample);
    start.set_position(detected.bom_length);
    let mut list = List {
        input: &mut BufReader::with_capacity(READ_SIZE, start.chain(input)),
        line_ending: detected.line_ending,
        keys: KeyRules {
            prefix: &options.key_prefix,
            bucket: &options.bucket,
            findings,
        },
        columns: options.columns.as_ref(),
        folder: about.folder.as_deref(),
    };
    (detected.format.read)(&mut list, emit)
}

impl Problem {
    fn panicked(panic: &(dyn Any + Send)) -> Self {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Self::Panicked(text.unwrap_or("a panic").to_owned())
    }
}

impl About {
    fn error(&self, action: &'static str, problem: Problem) -> ListError {
        ListError {
            action,
            list: self.name.clone(),
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

/// Rows that were read but not yet sent.
struct Batch {
    rows: Vec<Row>,
    /// Bytes of their keys, which are most of what they take where they take much.
    n_bytes: usize,
    sender: mpsc::Sender<Result<Vec<Row>, ListError>>,
}

impl Batch {
    fn push(&mut self, row: Row) {
        self.n_bytes += row.key().len();
        self.rows.push(row);
        if self.rows.len() >= MAX_BATCH || self.n_bytes >= MAX_BATCH_BYTES {
            // When nobody wants them any more, the next read says so.
            self.send();
        }
    }

    /// Sends the rows; `false` when nobody wants them any more.
    fn send(&mut self) -> bool {
        if self.rows.is_empty() {
            return !self.sender.is_closed();
        }
        self.n_bytes = 0;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{options, parsed, rows};

    #[test]
    fn a_key_of_1024_bytes_is_the_longest() {
        let longest = "k".repeat(1024);
        assert_eq!(rows(longest.as_bytes(), "auto", ""), [Ok(longest.clone())]);
        let longer = rows(format!("{longest}k").as_bytes(), "auto", "");
        assert!(longer[0].as_ref().unwrap_err().contains("InvalidKey"));
    }

    #[test]
    fn rows_are_sent_while_the_pipe_stays_open() {
        let (reader, mut writer) = io::pipe().unwrap();
        let list = OpenList {
            about: About::default(),
            input: Box::new(reader),
        };
        let mut batches = read(vec![list], Arc::new(options("auto", "")), |_| {});
        for key in ["first", "second"] {
            io::Write::write_all(&mut writer, format!("{key}\n").as_bytes()).unwrap();
            let batch = batches.blocking_recv().unwrap().unwrap();
            assert_eq!(batch[0].entry.as_ref().unwrap().key, key);
        }
        drop(writer);
        assert!(batches.blocking_recv().is_none());
    }

    #[test]
    fn a_panic_of_the_thread_is_a_broken_list_and_not_its_end() {
        struct Defect;
        impl Read for Defect {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                panic!("as a decoder may")
            }
        }
        let list = OpenList {
            about: About::default(),
            input: Box::new(io::Read::chain(&b"first\n"[..], Defect)),
        };
        let mut batches = read(vec![list], Arc::new(options("auto", "")), |_| {});
        let mut ended = batches.blocking_recv().unwrap();
        while ended.is_ok() {
            ended = batches.blocking_recv().unwrap();
        }
        let message = ended.unwrap_err().to_string();
        assert!(message.contains("as a decoder may"), "{message}");
        assert!(batches.blocking_recv().is_none());
    }

    #[test]
    fn a_batch_of_long_rows_is_bounded_in_bytes() {
        let row = "x".repeat(900_000) + "\n";
        let list = row.repeat(20);
        let input = Box::new(Cursor::new(zstd::encode_all(list.as_bytes(), 0).unwrap()));
        let about = About::default();
        let mut batches = read(
            vec![OpenList { about, input }],
            Arc::new(options("auto", "")),
            |_| {},
        );
        let mut n_rows = 0;
        while let Some(batch) = batches.blocking_recv() {
            let batch = batch.unwrap();
            let n_bytes: usize = batch.iter().map(|row| row.key().len()).sum();
            assert!(n_bytes < MAX_BATCH_BYTES + row.len(), "{n_bytes}");
            n_rows += batch.len();
        }
        assert_eq!(n_rows, 20);
    }

    #[test]
    fn a_batch_is_bounded_however_much_a_read_brings() {
        let list: Vec<u8> = (0..100_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        let input = Box::new(Cursor::new(zstd::encode_all(&list[..], 0).unwrap()));
        let about = About::default();
        let mut batches = read(
            vec![OpenList { about, input }],
            Arc::new(options("auto", "")),
            |_| {},
        );
        let mut n_rows = 0;
        while let Some(batch) = batches.blocking_recv() {
            let n_in_batch = batch.unwrap().len();
            assert!(n_in_batch <= MAX_BATCH);
            n_rows += n_in_batch;
        }
        assert_eq!(n_rows, 100_000);
    }

    #[test]
    fn lists_follow_one_another_and_rows_know_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "key,size\na,5\nb,\n").unwrap();
        let options = ListOptions {
            sources: vec![
                ListSource::File(path),
                ListSource::Arguments(vec!["c\nd".into(), "s3://b/e".into()]),
            ],
            ..options("auto", "")
        };
        let mut batches = read(open(&options.sources).unwrap(), Arc::new(options), |_| {});
        let mut found = Vec::new();
        while let Some(batch) = batches.blocking_recv() {
            found.extend(
                batch
                    .unwrap()
                    .into_iter()
                    .map(|row| (row.place.list, row.place.line, row.entry.unwrap().key)),
            );
        }
        let expected = [(0, 2, "a"), (0, 3, "b"), (1, 1, "c\nd"), (1, 2, "e")];
        assert_eq!(
            found,
            expected.map(|(list, line, key)| (list, line, key.to_owned()))
        );
    }

    #[test]
    fn totals_are_those_of_all_lists_that_can_be_read_twice() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        std::fs::write(&path, "key,size\na,5\nb,\n,\n").unwrap();
        let mut options = ListOptions {
            sources: vec![
                ListSource::File(path),
                ListSource::Arguments(vec!["c".into()]),
            ],
            ..options("auto", "")
        };
        let totals = Totals {
            n_rows: 4,
            bytes: 5,
            n_without_size: 2,
        };
        assert_eq!(count(&options).unwrap(), Some(totals));
        options.sources.push(ListSource::Stdin);
        assert_eq!(count(&options).unwrap(), None);
    }

    #[test]
    fn shards_share_the_rows_among_them() {
        let list: Vec<u8> = (0..1000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        let mut keys: Vec<_> = (0..3)
            .flat_map(|index| {
                let shard = Some(format!("{index}/3").parse().unwrap());
                let options = ListOptions {
                    shard,
                    ..options("auto", "p/")
                };
                parsed(&list, &options).unwrap()
            })
            .map(|row| row.entry.unwrap().key)
            .collect();
        keys.sort_by_key(|key| key[2..].parse::<u32>().unwrap());
        assert_eq!(
            keys,
            (0..1000).map(|n| format!("p/{n}")).collect::<Vec<_>>()
        );
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_in_any_format_never_panic(list in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            for format in FORMATS.iter().map(|format| format.name).chain(["auto"]) {
                // Whether such a list is usable is not the question here.
                let _ = parsed(&list, &options(format, ""));
            }
        }

        #[test]
        fn what_looks_like_a_format_never_panics(list in "([\\[\\]{}\",:a\\\\ \n]|Key|null|key,size\n|2024-01-02 03:04:05         12 |2024/01/02 03:04:05                12  |b,){0,40}") {
            for format in FORMATS.iter().map(|format| format.name).chain(["auto"]) {
                let _ = parsed(list.as_bytes(), &options(format, ""));
            }
        }
    }
}
