//! The failed-keys CSV: each failed row, in a form that `--keys` takes.
//!
//! It is written beside itself and put in place at the end, so that it can be the run's key list at the same time, and a
//! run that is killed does not spoil the one that was there. It replaces nothing but another failed-keys CSV, and only
//! if it covers the whole list; otherwise it is left beside that name, so that no list is lost to its own run.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::outcome::Failure;
use crate::sink::files::{PartialFile, UserFile, first_bytes, is_same_file, open_stream};
use crate::source::ListOptions;
use crate::transfer::Finished;

const HEADER: [&str; 11] = [
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
];

/// Columns by which a failed-keys CSV of any version is known: the first ones of the first version.
const N_KNOWN_COLUMNS: usize = 8;

/// More bytes than a header has, of this version or a later one.
const MAX_HEADER: u64 = 1024;

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
    File(PartialFile),
    Stream(File),
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.flush(),
            Self::Stream(stream) => stream.flush(),
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

pub struct FailedKeys {
    place: RecordPlace,
    bucket: String,
    writer: csv::Writer<Output>,
    n_rows: u64,
}

impl FailedKeys {
    /// # Errors
    /// When no file can be made beside the CSV's path, or another run is writing one there.
    pub fn create(place: RecordPlace, bucket: &str) -> anyhow::Result<Self> {
        let output = match &place.file {
            UserFile::File(target) => PartialFile::beside(target).map(Output::File),
            UserFile::Stream => open_stream(&place.path).map(Output::Stream),
            UserFile::InTheWay(_) => Err(ErrorKind::InvalidInput.into()),
        };
        Ok(Self {
            writer: csv::Writer::from_writer(output.with_context(|| cannot_write(&place.path))?),
            bucket: bucket.to_owned(),
            n_rows: 0,
            place,
        })
    }

    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// Why the file could not be locked, where its file system has no locks.
    pub fn lock_refused(&self) -> Option<&io::Error> {
        match self.writer.get_ref() {
            Output::File(file) => file.lock_refused(),
            Output::Stream(_) => None,
        }
    }

    /// Adds a row, which at once outlives this process.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn record(&mut self, finished: &Finished, failure: &Failure) -> io::Result<()> {
        if self.n_rows == 0 {
            self.writer.write_record(HEADER)?;
        }
        self.n_rows += 1;
        let status = failure
            .status
            .map(|status| status.to_string())
            .unwrap_or_default();
        let size = finished
            .entry
            .size
            .map(|size| size.to_string())
            .unwrap_or_default();
        self.writer.write_record([
            finished.entry.key.as_str(),
            finished.bucket.as_deref().unwrap_or(&self.bucket),
            finished.entry.version_id.as_deref().unwrap_or_default(),
            failure.code.as_str(),
            &status,
            &failure.attempts.to_string(),
            failure.request_id.as_deref().unwrap_or_default(),
            &failure.message,
            &size,
            finished.entry.etag.as_deref().unwrap_or_default(),
            finished.entry.dest.as_deref().unwrap_or_default(),
        ])?;
        self.writer.flush()
    }

    /// Puts the CSV where it belongs. Without failed rows there is one only if there was one before; a run that read
    /// no row changes nothing.
    ///
    /// # Errors
    /// When the file system refuses, or what is at the path is not a failed-keys CSV any more. What was written is then
    /// left beside it, under a name that the error tells.
    pub fn finish(mut self, end: RecordEnd) -> anyhow::Result<Kept> {
        let UserFile::File(target) = &self.place.file else {
            return Ok(if self.n_rows > 0 {
                Kept::Written
            } else {
                Kept::Nothing
            });
        };
        let target = target.clone();
        let was_there = target.symlink_metadata().is_ok();
        let has_rows = self.n_rows > 0;
        if !has_rows {
            let is_over = was_there && end.is_complete && end.n_read > 0;
            if !is_over {
                return Ok(Kept::Nothing);
            }
            let written = self.writer.write_record(HEADER);
            written.with_context(|| cannot_write(&self.place.path))?;
        }
        let written = self.write_out(end.sync);
        if !end.is_complete {
            // A row that could not be written is a reason why it is not complete, and was told.
            return Ok(Kept::Incomplete(self.leave_beside(&target)?));
        }
        let put = written.and_then(|()| self.put_in_place(&target));
        match put {
            Ok(()) => Ok(Kept::InPlace),
            Err(error) if !has_rows => Err(error),
            Err(error) => {
                let left = self.leave_beside(&target)?;
                Err(error.context(format!("the failed rows are in `{}`", left.display())))
            }
        }
    }

    fn write_out(&mut self, sync: bool) -> anyhow::Result<()> {
        let written = self
            .writer
            .flush()
            .and_then(|()| match self.writer.get_ref() {
                Output::File(file) if sync => file.sync(),
                Output::File(_) | Output::Stream(_) => Ok(()),
            });
        written.with_context(|| cannot_write(&self.place.path))
    }

    fn put_in_place(&self, target: &Path) -> anyhow::Result<()> {
        // It may have been put there since the run began.
        if !is_free_or_ours(target).with_context(|| cannot_write(&self.place.path))? {
            // Not the usage error that it would have been at the start.
            anyhow::bail!("{}", RefusedPlace::Foreign(self.place.path.clone()));
        }
        match self.writer.get_ref() {
            Output::File(file) => file
                .commit(None)
                .with_context(|| cannot_write(&self.place.path)),
            Output::Stream(_) => Ok(()),
        }
    }

    /// Leaves what was written beside `target`, and says where.
    fn leave_beside(&self, target: &Path) -> anyhow::Result<PathBuf> {
        let is_no_loss = |path: &PathBuf| {
            is_free_or_ours(path).is_ok_and(|is_free| is_free)
                && !self.place.lists.iter().any(|list| is_same_file(list, path))
        };
        let left = (1..MAX_NAMES)
            .map(|n| incomplete(target, n))
            .find(is_no_loss)
            .with_context(|| cannot_write(&self.place.path))?;
        if let Output::File(file) = self.writer.get_ref() {
            file.commit_as(&left).with_context(|| cannot_write(&left))?;
        }
        Ok(left)
    }
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
mod tests {
    use super::*;

    #[test]
    fn ours_is_known_by_its_first_columns() {
        let header = HEADER.join(",");
        let first = HEADER[..N_KNOWN_COLUMNS].join(",");
        for ours in [
            format!("{header}\nk,b\n"),
            format!("{header},line,list\n"),
            format!("\u{feff}{header}\r\n"),
            first.clone(),
        ] {
            assert!(begins_as_ours(ours.as_bytes()), "{ours}");
        }
        for foreign in [
            String::new(),
            format!("\n{header}\n"),
            format!(" {header}\n"),
            format!("{first}s\n"),
            header.replace("error", "Error"),
            header.replace(',', ";"),
            format!("k\n{header}\n"),
        ] {
            assert!(!begins_as_ours(foreign.as_bytes()), "{foreign}");
        }
    }

    #[test]
    fn the_name_of_an_incomplete_record_fits() {
        let name = |name: &str, n| incomplete(Path::new(name), n);
        assert_eq!(name("d/a.csv", 1), Path::new("d/a.csv.incomplete"));
        assert_eq!(name("a.csv", 2), Path::new("a.csv.incomplete-2"));
        let long = "ü".repeat(127);
        let cut = name(&long, 999).to_string_lossy().into_owned();
        assert!(
            cut.len() <= MAX_NAME && cut.ends_with(".incomplete-999"),
            "{cut}"
        );
    }
}
