//! The failed-keys CSV: each failed row, in a form that `--keys` takes.
//!
//! It is written beside itself and put in place at the end, so that it can be the run's key list at the same time, and a
//! run that is killed does not spoil the one that was there. It replaces nothing but another failed-keys CSV, and only
//! if it covers the whole list; otherwise it is left beside that name, so that no list is lost to its own run.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use anyhow::Context;

use crate::outcome::Failure;
use crate::row::Place;
use crate::sink::files::{PartialFile, UserFile, first_bytes, is_same_file, open_stream};
use crate::source::ListOptions;
use crate::transfer::Finished;

const HEADER: [&str; 12] = [
    "key",
    "bucket",
    "version_id",
    "error",
    "status",
    "attempts",
    "request_id",
    "message",
    "size",
    "etag",
    "dest",
    "source",
];

/// Columns by which a failed-keys CSV of any version is known: the first ones of the first version.
const N_KNOWN_COLUMNS: usize = 8;

/// More bytes than a header has, of this version or a later one.
const MAX_HEADER: u64 = 1024;

/// Bytes of a list's name in the CSV.
const MAX_SOURCE: usize = 4096;

/// Leaves what was written of the CSV beside its path when the run cannot be waited for.
pub struct Rescue {
    file: Weak<PartialFile>,
    target: PathBuf,
    lists: Vec<PathBuf>,
}

impl Rescue {
    /// Where the rows are, unless there is none, or the CSV was put where it belongs.
    pub fn leave(self) -> Option<PathBuf> {
        let file = self.file.upgrade().filter(|file| !file.is_left())?;
        if file.is_empty() {
            file.forget();
            return None;
        }
        let (left, _) = leave_beside(&file, &self.target, &self.lists);
        Some(left)
    }
}

/// Bytes of room on the disk that are taken ahead: of some ten thousand rows.
const ROOM: u64 = 1 << 20;

/// Bytes of rows that are kept while there is no room for them.
const MAX_WAITING: usize = 1 << 20;

/// Names that are tried for a record that does not cover the list.
const MAX_NAMES: u32 = 1000;

/// Bytes of a file's name that file systems take.
const MAX_NAME: usize = 255;

/// Why the CSV cannot go where `--failed` says.
#[derive(Debug, thiserror::Error)]
pub enum RefusedPlace {
    #[error("`{}` exists and is not a failed-keys CSV, so it is not replaced", .0.display())]
    Foreign(PathBuf),
    #[error("`{}` is a {kind}, so the failed-keys CSV cannot be written there", .path.display())]
    InTheWay { path: PathBuf, kind: &'static str },
    #[error(
        "`{}` is the key list of every shard: with `--shard`, `--failed` would leave only one shard's failed keys in it",
        .0.display()
    )]
    ListOfAllShards(PathBuf),
}

impl RefusedPlace {
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Foreign(_) => {
                "`--failed` names the file to write; to retry failed keys, give the CSV as `--keys`"
            }
            Self::InTheWay { kind: "folder", .. } => {
                "`--failed` names a file, for example one in that folder"
            }
            Self::InTheWay { .. } => "`--failed` names a file",
            Self::ListOfAllShards(_) => {
                "without `--failed`, each shard writes a CSV of its own: `s3pull-failed-K-of-N.csv`"
            }
        }
    }
}

/// Where the CSV goes.
#[derive(Debug, Clone)]
pub struct RecordPlace {
    /// As it was typed.
    path: PathBuf,
    file: UserFile,
    /// The lists that are files, none of which may be lost.
    lists: Vec<PathBuf>,
}

impl RecordPlace {
    /// Looks at what is at `path`, and changes nothing.
    ///
    /// # Errors
    /// [`RefusedPlace`] when something is there that must not be replaced; else when the file system does not say.
    pub fn find(path: &Path, list: &ListOptions) -> anyhow::Result<Self> {
        let file = UserFile::at(path).with_context(|| cannot_write(path))?;
        match &file {
            UserFile::InTheWay(kind) => {
                let path = path.to_owned();
                return Err(RefusedPlace::InTheWay { path, kind }.into());
            }
            UserFile::File(target)
                if !is_free_or_ours(target).with_context(|| cannot_write(path))? =>
            {
                return Err(RefusedPlace::Foreign(path.to_owned()).into());
            }
            UserFile::File(target)
                if list.shard.is_some() && list.files().any(|list| is_same_file(list, target)) =>
            {
                return Err(RefusedPlace::ListOfAllShards(path.to_owned()).into());
            }
            UserFile::File(_) | UserFile::Stream => {}
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            lists: list.files().map(Path::to_owned).collect(),
        })
    }

    /// The files that a run may put there.
    pub fn files(&self) -> Vec<PathBuf> {
        match &self.file {
            UserFile::File(target) => {
                vec![self.path.clone(), target.clone(), incomplete(target, 1)]
            }
            UserFile::Stream | UserFile::InTheWay(_) => Vec::new(),
        }
    }
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write the failed-keys CSV `{}`", path.display())
}

/// What the CSV is written to.
enum Output {
    File(Arc<PartialFile>),
    Stream(File),
}

/// Writes whole rows, and keeps those for which there is no room at the moment.
struct RowWriter {
    output: Output,
    /// Bytes of the file, which ends in a whole row.
    n_written: u64,
    n_rows_written: u64,
    /// Rows that are still to be written.
    waiting: Vec<u8>,
    n_rows_waiting: u64,
    /// Bytes of the file for which there is room on the disk.
    n_reserved: u64,
}

impl RowWriter {
    fn new(output: Output) -> Self {
        let mut writer = Self {
            output,
            n_written: 0,
            n_rows_written: 0,
            waiting: Vec::new(),
            n_rows_waiting: 0,
            n_reserved: 0,
        };
        writer.reserve();
        writer
    }

    /// Adds a row, which may wait for [`flush`](Self::flush).
    fn add<'a>(&mut self, columns: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        // Its own buffer, whose usual size is that of many rows, is made for each.
        let mut row = csv::WriterBuilder::new()
            .buffer_capacity(512)
            .from_writer(&mut self.waiting);
        row.write_record(columns)?;
        row.flush()
    }

    /// Writes the rows that wait. What cannot be written whole is cut off again, so that what is added later does not
    /// join half a row.
    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.reserve();
        match &mut self.output {
            Output::File(file) => {
                let end = self.n_written;
                if let Err(error) = file.append(&self.waiting) {
                    // Should that fail too, what is written next covers it.
                    let _ = file.cut_at(end);
                    return Err(error);
                }
            }
            Output::Stream(stream) => stream.write_all(&self.waiting)?,
        }
        self.n_written += self.waiting.len() as u64;
        self.n_rows_written += self.n_rows_waiting;
        self.n_rows_waiting = 0;
        self.waiting.clear();
        Ok(())
    }

    /// Has the file system set room aside for the rows to come: a disk that objects fill up takes them all the same.
    fn reserve(&mut self) {
        let Output::File(file) = &self.output else {
            return;
        };
        if self.n_written + self.waiting.len() as u64 + ROOM / 2 > self.n_reserved {
            let wanted = self.n_written + self.waiting.len() as u64 + ROOM;
            // What cannot be had is not asked for again with each row.
            self.n_reserved = wanted;
            file.reserve(wanted);
        }
    }
}

/// How the run ended, as far as it matters for its record.
#[derive(Debug, Clone, Copy)]
pub struct RecordEnd {
    /// Rows that were read.
    pub n_read: u64,
    /// Whether there is a row in the CSV for every row of the list that failed or was not tried.
    pub is_complete: bool,
    /// Whether the CSV is to be on the disk before it is put in place.
    pub sync: bool,
}

/// Where the failed rows are when the run has ended.
#[derive(Debug)]
pub enum Kept {
    /// There are none, or there is nothing that they were read from.
    Nothing,
    /// At the CSV's path.
    InPlace,
    /// In what was written to all along.
    Written,
    /// In this file beside the CSV's path, at which everything is as it was.
    Incomplete(PathBuf),
}

/// What has become of the CSV.
#[derive(Debug)]
pub struct RecordFinished {
    pub kept: Kept,
    /// Failed rows in it.
    pub n_rows: u64,
    /// Why it could not be written, or put where it belongs.
    pub error: Option<anyhow::Error>,
}

impl RecordFinished {
    /// Where the failed rows are, if there are any; `path` is `--failed`.
    pub fn place<'a>(&'a self, path: &'a Path) -> Option<&'a Path> {
        match &self.kept {
            Kept::Nothing => None,
            Kept::InPlace | Kept::Written => (self.n_rows > 0).then_some(path),
            Kept::Incomplete(left) => Some(left),
        }
    }
}

pub struct FailedKeys {
    place: RecordPlace,
    bucket: String,
    /// What each list is called.
    sources: Vec<String>,
    writer: RowWriter,
    n_rows: u64,
}

impl FailedKeys {
    /// # Errors
    /// When no file can be made beside the CSV's path, or another run is writing one there.
    pub fn create(place: RecordPlace, list: &ListOptions) -> anyhow::Result<Self> {
        let sources = list.sources.iter().map(|source| {
            let mut source = source.typed().unwrap_or_else(|| "arguments".to_owned());
            source.truncate(source.floor_char_boundary(MAX_SOURCE));
            source
        });
        let output = match &place.file {
            UserFile::File(target) => PartialFile::beside(target).map(Arc::new).map(Output::File),
            UserFile::Stream => open_stream(&place.path).map(Output::Stream),
            UserFile::InTheWay(_) => Err(ErrorKind::InvalidInput.into()),
        };
        Ok(Self {
            writer: RowWriter::new(output.with_context(|| cannot_write(&place.path))?),
            bucket: list.bucket.clone(),
            sources: sources.collect(),
            n_rows: 0,
            place,
        })
    }

    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Why the file could not be locked, where its file system has no locks.
    pub fn lock_refused(&self) -> Option<&io::Error> {
        match &self.writer.output {
            Output::File(file) => file.lock_refused(),
            Output::Stream(_) => None,
        }
    }

    /// Adds a row, which at once outlives this process.
    ///
    /// # Errors
    /// When the file system refuses. The row is then kept for another try, with the next row or at the end, unless
    /// [`is_lost`](Self::is_lost) says otherwise.
    pub fn record(&mut self, finished: &Finished, failure: &Failure) -> io::Result<()> {
        if self.n_rows == 0 {
            self.writer.add(HEADER)?;
        }
        self.n_rows += 1;
        let source = self.source(finished.place);
        let status = failure
            .status
            .map(|status| status.to_string())
            .unwrap_or_default();
        let size = finished
            .entry
            .size
            .map(|size| size.to_string())
            .unwrap_or_default();
        self.writer.add([
            finished.entry.key.as_str(),
            finished.bucket.as_deref().unwrap_or(&self.bucket),
            finished.entry.version_id.as_deref().unwrap_or_default(),
            failure.code.as_str(),
            &status,
            &failure.attempts.to_string(),
            failure.request_id.as_deref().unwrap_or_default(),
            &failure.message,
            &size,
            finished.entry.required_etag().unwrap_or_default(),
            finished.entry.dest.as_deref().unwrap_or_default(),
            &source,
        ])?;
        self.writer.n_rows_waiting += 1;
        self.writer.flush()
    }

    /// Whether rows are gone that could not be written: a stream took a part of them, or too many wait.
    pub fn is_lost(&self) -> bool {
        match self.writer.output {
            Output::Stream(_) => !self.writer.waiting.is_empty(),
            Output::File(_) => self.writer.waiting.len() > MAX_WAITING,
        }
    }

    /// `keys.txt:3`: the list, and the line that the row starts on.
    fn source(&self, place: Place) -> String {
        let list = self.sources.get(place.list).map_or("", String::as_str);
        format!("{list}:{}", place.line)
    }

    /// Puts the CSV where it belongs. Without failed rows there is one only if there was one before; a run that read
    /// no row changes nothing. What cannot be put there is left beside it, under a name that is told.
    pub fn finish(mut self, end: RecordEnd) -> RecordFinished {
        let (kept, error) = self.close(end);
        RecordFinished {
            kept,
            n_rows: self.writer.n_rows_written,
            error,
        }
    }

    fn close(&mut self, end: RecordEnd) -> (Kept, Option<anyhow::Error>) {
        let has_rows = self.n_rows > 0;
        let UserFile::File(target) = &self.place.file else {
            let written = self.writer.flush();
            let kept = if has_rows {
                Kept::Written
            } else {
                Kept::Nothing
            };
            let written = written.with_context(|| cannot_write(&self.place.path));
            return (kept, written.err());
        };
        let target = target.clone();
        let was_there = target.symlink_metadata().is_ok();
        let is_worth_it = has_rows || (was_there && end.is_complete && end.n_read > 0);
        if !is_worth_it {
            return (Kept::Nothing, None);
        }
        let put = self.write_out(has_rows, end.sync).and_then(|()| {
            if end.is_complete {
                self.put_in_place(&target)?;
            }
            Ok(())
        });
        match put {
            Ok(()) if end.is_complete => (Kept::InPlace, None),
            Err(error) if !has_rows => (Kept::Nothing, Some(error)),
            put => {
                let (left, error) = self.leave_beside(&target);
                // Why it could not be written comes before where it is then left.
                (Kept::Incomplete(left), put.err().or(error))
            }
        }
    }

    fn write_out(&mut self, has_rows: bool, sync: bool) -> anyhow::Result<()> {
        let header = if has_rows {
            Ok(())
        } else {
            self.writer.add(HEADER)
        };
        // Partial files that were in its way are gone by now.
        let written = header.and_then(|()| self.writer.flush());
        let written = written.and_then(|()| match &self.writer.output {
            Output::File(file) => {
                file.cut_at(self.writer.n_written)?;
                if sync { file.sync() } else { Ok(()) }
            }
            Output::Stream(_) => Ok(()),
        });
        written.with_context(|| cannot_write(&self.place.path))
    }

    fn put_in_place(&self, target: &Path) -> anyhow::Result<()> {
        // It may have been put there since the run began.
        if !is_free_or_ours(target).with_context(|| cannot_write(&self.place.path))? {
            // Not the usage error that it would have been at the start.
            anyhow::bail!("{}", RefusedPlace::Foreign(self.place.path.clone()));
        }
        match &self.writer.output {
            Output::File(file) => file
                .commit(None)
                .with_context(|| cannot_write(&self.place.path)),
            Output::Stream(_) => Ok(()),
        }
    }

    fn leave_beside(&self, target: &Path) -> (PathBuf, Option<anyhow::Error>) {
        match &self.writer.output {
            Output::File(file) => leave_beside(file, target, &self.place.lists),
            Output::Stream(_) => (self.place.path.clone(), None),
        }
    }

    /// What is needed to leave the rows behind when the run cannot be waited for.
    pub fn rescue(&self) -> Option<Rescue> {
        match (&self.writer.output, &self.place.file) {
            (Output::File(file), UserFile::File(target)) => Some(Rescue {
                file: Arc::downgrade(file),
                target: target.clone(),
                lists: self.place.lists.clone(),
            }),
            _ => None,
        }
    }
}

/// Leaves `file` beside `target`, and says where; under its working name if no other can be had. None of `lists` is
/// replaced.
fn leave_beside(
    file: &PartialFile,
    target: &Path,
    lists: &[PathBuf],
) -> (PathBuf, Option<anyhow::Error>) {
    let is_no_loss = |path: &PathBuf| {
        is_free_or_ours(path).is_ok_and(|is_free| is_free)
            && !lists.iter().any(|list| is_same_file(list, path))
    };
    let name = (1..MAX_NAMES)
        .map(|n| incomplete(target, n))
        .find(is_no_loss);
    let left = match name {
        Some(name) => file
            .commit_as(&name)
            .map(|()| name.clone())
            .with_context(|| cannot_write(&name)),
        None => Err(anyhow::anyhow!(
            "{}: every name beside it is taken",
            cannot_write(target)
        )),
    };
    left.map_or_else(
        |error| (target.with_file_name(file.keep_partial()), Some(error)),
        |left| (left, None),
    )
}

/// The `n`th name, from 1, for a record that does not cover the whole list: `NAME.incomplete`, `NAME.incomplete-2`, ….
fn incomplete(target: &Path, n: u32) -> PathBuf {
    let suffix = match n {
        1 => ".incomplete".to_owned(),
        n => format!(".incomplete-{n}"),
    };
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let fits = name.floor_char_boundary(MAX_NAME - suffix.len());
    target.with_file_name(format!("{}{suffix}", &name[..fits]))
}

/// Whether nothing is lost when a CSV takes the place of what is at `path`, which is not followed if it is a symlink.
fn is_free_or_ours(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => Ok(false),
        Ok(metadata) => Ok(metadata.len() == 0 || begins_as_ours(&first_bytes(path, MAX_HEADER)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a file that begins so is a failed-keys CSV, of whatever version, as it was or as a spreadsheet wrote it.
fn begins_as_ours(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let is_first_line = |byte: &u8| !matches!(byte, b'\r' | b'\n');
    let line = bytes.split(|byte| !is_first_line(byte)).next();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line.unwrap_or_default());
    let mut header = csv::ByteRecord::new();
    let is_read = reader.read_byte_record(&mut header);
    let known = HEADER
        .iter()
        .take(N_KNOWN_COLUMNS)
        .map(|name| name.as_bytes());
    is_read.is_ok() && header.iter().take(N_KNOWN_COLUMNS).eq(known)
}

#[cfg(test)]
mod tests;
