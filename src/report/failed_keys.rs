//! The failed-keys CSV: each failed row, in a form that `--keys` takes.
//!
//! It is written beside itself and put in place at the end, so that it can be the run's key list at the same time, and a
//! run that is killed does not spoil the one that was there. It replaces nothing but another failed-keys CSV, and only
//! if it covers the whole list; otherwise it is left beside that name, so that no list is lost to its own run.

mod rounds;

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::console::{Patience, Stderr};
use super::lines::Lines;
use super::may_pass::may_pass;
use super::record_file::{Output, RowWriter};
use super::record_place::{RecordPlace, RefusedPlace, cannot_write, free_beside, is_free_or_ours};
use crate::etag::ETag;
use crate::locks::lock;
use crate::outcome::Failure;
use crate::row::{Place, RowAlgorithm};
use crate::sink::files::{PartialFile, UserFile, open_stream};
use crate::source::ListOptions;
use crate::transfer::Finished;

/// The columns, which those of checksums follow.
pub(super) const COLUMNS: [&str; 13] = [
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
    "last_modified",
];

/// The names of all columns.
pub(super) fn header() -> impl Iterator<Item = &'static str> {
    COLUMNS
        .into_iter()
        .chain(RowAlgorithm::ALL.map(RowAlgorithm::name))
}

/// Bytes of a list's name in the CSV.
const MAX_SOURCE: usize = 4096;

/// Leaves what was written of the CSV beside its path when the run cannot be waited for.
pub struct Rescue {
    file: Weak<PartialFile>,
    /// Is told where the rows are. Whoever gives the file its name holds it.
    rescued: Arc<Mutex<Option<PathBuf>>>,
    target: PathBuf,
    lists: Vec<PathBuf>,
    is_being_written_anew: Arc<AtomicBool>,
}

/// How long a CSV that is being written anew is waited for when the run cannot be.
const MAX_REWRITE: Duration = Duration::from_millis(100);

impl Rescue {
    /// Where the rows are, unless there is none, or the CSV was put where it belongs.
    pub fn leave(self) -> Option<PathBuf> {
        let asked = Instant::now();
        while self.is_being_written_anew.load(SeqCst) && asked.elapsed() < MAX_REWRITE {
            std::thread::sleep(MAX_REWRITE / 20);
        }
        let mut rescued = lock(&self.rescued);
        let file = self.file.upgrade().filter(|file| !file.is_left())?;
        if file.is_empty() {
            file.forget();
            return None;
        }
        let (left, _) = leave_beside(&file, &self.target, &self.lists);
        rescued.clone_from(&left);
        left
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
    /// Nowhere: the folder that they were in is gone.
    Lost,
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
            Kept::Nothing | Kept::Lost => None,
            Kept::InPlace | Kept::Written => (self.n_rows > 0).then_some(path),
            Kept::Incomplete(left) => Some(left),
        }
    }
}

/// Where the rows of a round end in the CSV.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    /// Bytes.
    end: u64,
    n_rows: u64,
}

pub struct FailedKeys {
    place: RecordPlace,
    bucket: String,
    /// What each list is called.
    sources: Vec<String>,
    writer: RowWriter,
    n_rows: u64,
    /// Rows that failed by errors that may pass.
    n_may_pass: u64,
    /// Where the rows of the last round end.
    mark: Mark,
    is_being_written_anew: Arc<AtomicBool>,
    /// Where the rows were left when the run was not waited for any longer.
    rescued: Arc<Mutex<Option<PathBuf>>>,
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
        let output = match place.file() {
            UserFile::File(target) => PartialFile::beside(target).map(Arc::new).map(Output::File),
            UserFile::Stream => open_stream(place.path()).map(Output::Stream),
            UserFile::InTheWay(_) => Err(ErrorKind::InvalidInput.into()),
        };
        Ok(Self {
            writer: RowWriter::new(output.map_err(|error| cannot_create(&place, error))?),
            bucket: list.bucket.clone().unwrap_or_default(),
            sources: sources.collect(),
            n_rows: 0,
            n_may_pass: 0,
            mark: Mark::default(),
            is_being_written_anew: Arc::default(),
            rescued: Arc::default(),
            place,
        })
    }

    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Writes to a stream by a thread of its own from now on: a reader that stalls does not stop the run without a word.
    pub fn wait_for_reader(&mut self, stderr: &Stderr, patience: &Patience) {
        if let Output::Stream(stream) = &self.writer.output
            && let Ok(stream) = stream.try_clone()
        {
            let name = "the failed-keys CSV";
            let lines = Lines::stream(name, stream, stderr.clone(), patience.clone());
            self.writer.output = Output::Lines(lines);
        }
    }

    /// Why the file could not be locked, where its file system has no locks.
    pub fn lock_refused(&self) -> Option<&io::Error> {
        match &self.writer.output {
            Output::File(file) => file.lock_refused(),
            Output::Stream(_) | Output::Lines(_) => None,
        }
    }

    /// Adds a row, which at once outlives this process.
    ///
    /// # Errors
    /// When the file system refuses. The row is then kept for another try, with the next row or at the end, unless
    /// [`is_lost`](Self::is_lost) says otherwise.
    pub fn record(&mut self, finished: &Finished, failure: &Failure) -> io::Result<()> {
        if self.n_rows == 0 {
            self.writer.rows.add(header())?;
        }
        self.n_rows += 1;
        self.n_may_pass += u64::from(may_pass(failure.code.as_str(), failure.status));
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
        let last_modified = finished
            .entry
            .last_modified
            .map(|time| time.to_string())
            .unwrap_or_default();
        let checksums = RowAlgorithm::ALL.map(|algorithm| {
            let checksum = finished.entry.checksum(algorithm);
            checksum.map(ToString::to_string).unwrap_or_default()
        });
        let columns = [
            finished.entry.key.as_str(),
            finished.bucket.as_deref().unwrap_or(&self.bucket),
            finished.entry.version_id.as_deref().unwrap_or_default(),
            failure.code.as_str(),
            &status,
            &failure.attempts.to_string(),
            failure.request_id.as_deref().unwrap_or_default(),
            &failure.message,
            &size,
            finished.entry.required_etag().map_or("", ETag::opaque),
            finished.entry.dest.as_deref().unwrap_or_default(),
            &source,
            &last_modified,
        ];
        let checksums = checksums.iter().map(String::as_str);
        self.writer.rows.add(columns.into_iter().chain(checksums))?;
        self.writer.n_rows_waiting += 1;
        self.writer.flush()
    }

    /// Whether rows are gone that could not be written: a stream took a part of them, or too many wait.
    pub fn is_lost(&self) -> bool {
        match self.writer.output {
            Output::Stream(_) | Output::Lines(_) => self.writer.rows.n_waiting() > 0,
            Output::File(_) => self.writer.rows.are_too_many(),
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
        let UserFile::File(target) = self.place.file() else {
            let written = self
                .writer
                .flush()
                .and_then(|()| match &mut self.writer.output {
                    Output::Lines(lines) => lines.flush(),
                    Output::File(_) | Output::Stream(_) => Ok(()),
                });
            let kept = if has_rows {
                Kept::Written
            } else {
                Kept::Nothing
            };
            let written = written.with_context(|| cannot_write(self.place.path()));
            return (kept, written.err());
        };
        let target = target.clone();
        let was_there = target.symlink_metadata().is_ok();
        let is_worth_it = has_rows || (was_there && end.is_complete && end.n_read > 0);
        if !is_worth_it {
            return (Kept::Nothing, None);
        }
        let written = self.write_out(has_rows, end.sync);
        let rescued = lock(&self.rescued);
        if let Some(left) = &*rescued {
            // Somebody was quicker, and has told where.
            return (Kept::Incomplete(left.clone()), None);
        }
        let put = written.and_then(|()| {
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
                (
                    left.map_or(Kept::Lost, Kept::Incomplete),
                    put.err().or(error),
                )
            }
        }
    }

    fn write_out(&mut self, has_rows: bool, sync: bool) -> anyhow::Result<()> {
        let header = if has_rows {
            Ok(())
        } else {
            self.writer.rows.add(header())
        };
        // Partial files that were in its way are gone by now.
        let written = header.and_then(|()| self.writer.flush());
        let written = written.and_then(|()| match &self.writer.output {
            Output::File(file) => {
                file.cut_at(self.writer.rows.n_written)?;
                if sync { file.sync() } else { Ok(()) }
            }
            Output::Stream(_) | Output::Lines(_) => Ok(()),
        });
        written.with_context(|| cannot_write(self.place.path()))
    }

    fn put_in_place(&self, target: &Path) -> anyhow::Result<()> {
        // It may have been put there since the run began.
        if !is_free_or_ours(target).with_context(|| cannot_write(self.place.path()))? {
            // Not the usage error that it would have been at the start.
            anyhow::bail!("{}", RefusedPlace::Foreign(self.place.path().to_owned()));
        }
        match &self.writer.output {
            Output::File(file) => file
                .commit(None)
                .with_context(|| cannot_write(self.place.path())),
            Output::Stream(_) | Output::Lines(_) => Ok(()),
        }
    }

    fn leave_beside(&self, target: &Path) -> (Option<PathBuf>, Option<anyhow::Error>) {
        match &self.writer.output {
            Output::File(file) => leave_beside(file, target, self.place.lists()),
            Output::Stream(_) | Output::Lines(_) => (Some(self.place.path().to_owned()), None),
        }
    }

    /// What is needed to leave the rows behind when the run cannot be waited for.
    pub fn rescue(&self) -> Option<Rescue> {
        match (&self.writer.output, self.place.file()) {
            (Output::File(file), UserFile::File(target)) => Some(Rescue {
                file: Arc::downgrade(file),
                rescued: Arc::clone(&self.rescued),
                target: target.clone(),
                lists: self.place.lists().to_vec(),
                is_being_written_anew: Arc::clone(&self.is_being_written_anew),
            }),
            _ => None,
        }
    }
}

fn cannot_create(place: &RecordPlace, error: io::Error) -> anyhow::Error {
    let cure = match error.kind() {
        ErrorKind::ResourceBusy => " (`--failed FILE` gives this run a file of its own)",
        _ => "",
    };
    let what = format!("{}{cure}", cannot_write(place.path()));
    anyhow::Error::new(error).context(what)
}

/// Leaves `file` beside `target`, and says where; under its working name if no other can be had, unless it has lost even
/// that. None of `lists` is replaced.
fn leave_beside(
    file: &PartialFile,
    target: &Path,
    lists: &[PathBuf],
) -> (Option<PathBuf>, Option<anyhow::Error>) {
    let left = match free_beside(target, lists) {
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
        |error| {
            let partial = target.with_file_name(file.keep_partial());
            let is_there = partial.symlink_metadata().is_ok();
            (is_there.then_some(partial), Some(error))
        },
        |left| (Some(left), None),
    )
}

#[cfg(test)]
mod tests;
