//! `--done`: notes each object that was downloaded or kept, in a CSV that outlives the run, row by row.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::config::Config;
use crate::done::{DoneSet, LastRows, MAX_ROW, PathSet, dest_of, end_of_rows, first_line, header};
use crate::etag::ETag;
use crate::options::{Check, CheckDepth, IfExists, Job};
use crate::outcome::{Outcome, SkipReason};
use crate::report::Report;
use crate::report::whole_rows::WholeRows;
use crate::row::{LastModified, RowAlgorithm, RowChecksum};
use crate::sink::files::{UserFile, first_bytes};
use crate::source::ListSource;
use crate::transfer::{Finished, ListEnd, Observer, ObserverError};

/// Why what is done cannot be noted where `--done` says.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RefusedDone {
    #[error("`{}` exists and is not a done file, so nothing is added to it", .0.display())]
    Foreign(PathBuf),
    #[error("`{}` is not a plain file, so it cannot be the done file", .0.display())]
    NotAFile(PathBuf),
}

impl RefusedDone {
    pub(crate) const HINT: &'static str = "`--done` names the file to add to: name another one";
}

/// The done file, to which rows are added.
#[derive(Debug)]
pub(crate) struct DoneFile {
    path: PathBuf,
    /// The run's only bucket; empty if each row names its own.
    bucket: String,
    file: File,
    /// Where it is, if it was not there before.
    made: Option<PathBuf>,
    rows: WholeRows,
    /// Half a row that was cut off.
    has_lost_row: bool,
    /// What earlier runs noted, if files may be kept: nothing new is to be said of them.
    known: PathSet,
}

impl DoneFile {
    /// Opens, or makes, the file that `config` names, if it does; with what is in it, if that is to be skipped.
    ///
    /// # Errors
    /// [`RefusedDone`] when something else is there; else when another run is writing it, or the file system refuses.
    pub(crate) fn open(config: &Config) -> anyhow::Result<(Option<Self>, Option<DoneSet>)> {
        let Some(options) = &config.done else {
            return Ok((None, None));
        };
        let path = &options.path;
        let target = target_of(path)?;
        let (file, made) = open_or_make(&target).with_context(|| cannot_write(path))?;
        // On a file system without locks, it is up to the user not to run two at once with one done file.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            anyhow::bail!(
                "another s3pull is writing `{}`: give this run a done file of its own",
                path.display()
            );
        }
        let bucket = config.list.bucket.as_deref();
        let mut done = Self {
            path: path.clone(),
            bucket: bucket.unwrap_or_default().to_owned(),
            file,
            made: made.then_some(target),
            rows: WholeRows::default(),
            has_lost_row: false,
            known: PathSet::default(),
        };
        done.begin()?;
        let mut skipped = None;
        if options.skips {
            let set = done.read(|rows| DoneSet::read(rows, bucket));
            skipped = Some(set.with_context(|| cannot_read(path))?);
        }
        if config.if_exists != IfExists::Overwrite {
            let known = done.read(|rows| PathSet::read(rows));
            done.known = known.with_context(|| cannot_read(path))?;
        }
        Ok((Some(done), skipped))
    }

    /// Has the rows read from the first one on, and goes back to their end.
    fn read<T>(&self, read: impl FnOnce(io::Take<&File>) -> io::Result<T>) -> io::Result<T> {
        let mut file = &self.file;
        file.rewind()?;
        let found = read(file.take(self.rows.n_written))?;
        file.seek(SeekFrom::Start(self.rows.n_written))?;
        Ok(found)
    }

    /// Goes to the end of the rows; what follows the last whole one is cut off.
    fn begin(&mut self) -> anyhow::Result<()> {
        let path = &self.path;
        let mut file = &self.file;
        let n_bytes = file.metadata().with_context(|| cannot_read(path))?.len();
        if n_bytes == 0 {
            let cannot = cannot_write(path);
            return self
                .rows
                .add(header())
                .and_then(|()| self.flush())
                .context(cannot);
        }
        check_beginning(file, path)?;
        let end = file
            .rewind()
            .and_then(|()| end_of_rows(BufReader::with_capacity(1 << 16, file)))
            .with_context(|| cannot_read(path))?;
        if n_bytes - end > MAX_ROW {
            anyhow::bail!(
                "the done file `{}` is damaged: from byte {end} on it has no whole row",
                path.display()
            );
        }
        self.has_lost_row = end < n_bytes;
        self.rows.n_written = end;
        let cut = file.set_len(end);
        cut.and_then(|()| file.seek(SeekFrom::Start(end)))
            .with_context(|| cannot_write(path))?;
        Ok(())
    }

    /// Has `report` say what is odd about the file as it was found.
    pub(crate) fn warn_by(&self, report: &Report) {
        if self.has_lost_row {
            report.warn(&format!(
                "the last row of `{}` was not whole, and was removed: its object is not noted as done",
                self.path.display()
            ));
        }
    }

    /// Notes a row, if it is done, so that it outlives this process.
    ///
    /// # Errors
    /// When the file system refuses. The row is then kept for another try, with the next row or at the end.
    fn add(&mut self, finished: &Finished) -> io::Result<()> {
        let is_known = || {
            finished
                .path
                .as_deref()
                .is_some_and(|path| self.known.has(path))
        };
        let is_kept = matches!(finished.outcome, Outcome::Skipped(_));
        if is_kept && finished.content.is_none() && is_known() {
            return Ok(());
        }
        let Some(columns) = columns(finished, &self.bucket) else {
            return Ok(());
        };
        // The run is ending by then, and what is not noted is downloaded again.
        if !self.rows.are_too_many() {
            self.rows.add(&columns)?;
        }
        self.flush()
    }

    /// Writes the rows that wait.
    fn flush(&mut self) -> io::Result<()> {
        let mut file = &self.file;
        let cut_at = |end| {
            file.set_len(end)?;
            (&self.file).seek(SeekFrom::Start(end)).map(drop)
        };
        self.rows.flush(|bytes| file.write_all(bytes), cut_at)
    }

    /// Writes what is left; `sync` has it on the disk.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn finish(mut self, sync: bool) -> anyhow::Result<()> {
        let flushed = self.flush();
        let flushed = flushed.and_then(|()| if sync { self.file.sync_all() } else { Ok(()) });
        flushed.with_context(|| cannot_write(&self.path))
    }
}

impl Drop for DoneFile {
    /// Leaves nothing behind that has no row.
    fn drop(&mut self) {
        if let Some(made) = &self.made
            && self.rows.n_written <= first_line().len() as u64
        {
            // It is no more than a header, which a later run goes on from.
            let _ = std::fs::remove_file(made);
        }
    }
}

/// The file, and whether it was made.
fn open_or_make(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    match options.clone().create_new(true).open(path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            options.open(path).map(|file| (file, false))
        }
        made => made.map(|file| (file, true)),
    }
}

/// What `config` says is to be skipped because it is done, for a run that changes nothing.
///
/// # Errors
/// [`RefusedDone`] when something else is there; else when the file cannot be read.
pub(crate) fn known(config: &Config) -> anyhow::Result<Option<DoneSet>> {
    let Some(options) = config.done.as_ref().filter(|options| options.skips) else {
        return Ok(None);
    };
    let path = &options.path;
    let bucket = config.list.bucket.as_deref();
    let mut file = match File::open(target_of(path)?) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| cannot_read(path)),
    };
    let n_bytes = file.metadata().with_context(|| cannot_read(path))?.len();
    if n_bytes == 0 {
        return Ok(None);
    }
    check_beginning(&file, path)?;
    let known = file
        .rewind()
        .and_then(|()| DoneSet::read(&file, bucket))
        .with_context(|| cannot_read(path))?;
    Ok(Some(known))
}

/// The last row of each file in the done files among the lists of a check by what they say. Those that are compressed, or no
/// files, are read as other lists are.
///
/// # Errors
/// When one cannot be read.
pub(crate) fn last_rows(config: &Config) -> anyhow::Result<Vec<LastRows>> {
    let is_offline = matches!(
        config.transfer.job,
        Job::Check(Check {
            depth: CheckDepth::Offline,
            ..
        })
    );
    let sources = config.list.sources.iter().enumerate();
    let files = sources.filter_map(|(n, source)| match source {
        ListSource::File(path) if is_offline => Some((n, path)),
        _ => None,
    });
    let mut last_rows = Vec::new();
    for (n, path) in files {
        let begins = first_bytes(path, first_line().len() as u64);
        if begins.is_ok_and(|bytes| bytes == first_line().as_bytes()) {
            let rows = File::open(path).and_then(|file| LastRows::read(file, n));
            last_rows.push(rows.with_context(|| cannot_read(path))?);
        }
    }
    Ok(last_rows)
}

/// The file that `path` leads to, or would.
fn target_of(path: &Path) -> anyhow::Result<PathBuf> {
    match UserFile::at(path).with_context(|| cannot_write(path))? {
        UserFile::File(target) => Ok(target),
        UserFile::Stream | UserFile::InTheWay(_) => {
            Err(RefusedDone::NotAFile(path.to_owned()).into())
        }
    }
}

fn check_beginning(file: impl Read, path: &Path) -> anyhow::Result<()> {
    let expected = first_line();
    let mut found = Vec::new();
    file.take(expected.len() as u64)
        .read_to_end(&mut found)
        .with_context(|| cannot_read(path))?;
    if found != expected.as_bytes() {
        return Err(RefusedDone::Foreign(path.to_owned()).into());
    }
    Ok(())
}

fn cannot_write(path: &Path) -> String {
    format!("cannot write the done file `{}`", path.display())
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read the done file `{}`", path.display())
}

/// The columns of a row that is done, in the order of the header.
fn columns(finished: &Finished, bucket: &str) -> Option<Vec<String>> {
    let entry = &finished.entry;
    let content = finished.content.as_deref();
    let path = finished.path.as_deref()?;
    let opaque = |etag: &ETag| etag.opaque().to_owned();
    let (size, etag, version_id, last_modified) = match &finished.outcome {
        Outcome::Downloaded(downloaded) => {
            let object = &downloaded.object;
            (
                Some(downloaded.bytes),
                object.etag.as_ref(),
                object.version_id.as_ref().or(entry.version_id.as_ref()),
                object.last_modified.map(LastModified::At),
            )
        }
        Outcome::Skipped(
            SkipReason::Exists
            | SkipReason::NotModified
            | SkipReason::Verified
            | SkipReason::NotVerified,
        ) => (
            content.map(|content| content.size).or(entry.size),
            entry.etag.as_ref(),
            entry.version_id.as_ref(),
            entry.last_modified,
        ),
        Outcome::Skipped(
            SkipReason::Duplicate
            | SkipReason::OldVersion
            | SkipReason::DeleteMarker
            | SkipReason::Done
            | SkipReason::Superseded,
        )
        | Outcome::Failed(_) => return None,
    };
    let checksums: &[RowChecksum] = match (content, &finished.outcome) {
        _ if path.is_folder() => &[],
        (Some(content), _) => &content.checksums,
        // Nothing was hashed.
        (None, Outcome::Downloaded(_)) => &[],
        (None, _) => &entry.checksums,
    };
    let checksum = |algorithm: RowAlgorithm| {
        let mut checksums = checksums.iter();
        let checksum = checksums.find(|checksum| checksum.algorithm == algorithm);
        checksum.map(ToString::to_string).unwrap_or_default()
    };
    let mut columns = vec![
        entry.key.clone(),
        finished.bucket.as_deref().unwrap_or(bucket).to_owned(),
        version_id.cloned().unwrap_or_default(),
        size.map(|size| size.to_string()).unwrap_or_default(),
        etag.map(opaque).unwrap_or_default(),
        dest_of(path),
        last_modified
            .map(|time| time.to_string())
            .unwrap_or_default(),
    ];
    columns.extend(RowAlgorithm::ALL.map(checksum));
    Some(columns)
}

/// Notes what is done, and passes every row on.
pub(crate) struct Noting<'a, O> {
    observer: &'a mut O,
    done: Option<&'a mut DoneFile>,
}

impl<'a, O> Noting<'a, O> {
    pub(crate) fn new(observer: &'a mut O, done: Option<&'a mut DoneFile>) -> Self {
        Self { observer, done }
    }
}

impl<O: Observer> Observer for Noting<'_, O> {
    fn finished(&mut self, finished: &Finished) -> Result<(), ObserverError> {
        let noted = match &mut self.done {
            Some(done) => done.add(finished).map_err(|error| {
                let message = format!("{}: {error}", cannot_write(&done.path));
                ObserverError::NotPrinted(io::Error::new(error.kind(), message))
            }),
            None => Ok(()),
        };
        self.observer.finished(finished)?;
        noted
    }

    fn list_ended(&mut self, end: ListEnd) {
        self.observer.list_ended(end);
    }
}
