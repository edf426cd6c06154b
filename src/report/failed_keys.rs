//! The failed-keys CSV: each failed row, in a form that `--keys` takes.
//!
//! It is written beside itself and renamed at the end, so that it can be the run's key list at the same time, and a run
//! that is killed does not spoil the one that was there.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::local::PartialFile;
use crate::outcome::Failure;
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

pub struct FailedKeys {
    path: PathBuf,
    bucket: String,
    writer: csv::Writer<PartialFile>,
    n_rows: u64,
    /// Whether there was one before, which then must not stay as it was.
    was_there: bool,
}

impl FailedKeys {
    /// # Errors
    /// When no file can be made beside `path`, or another run is writing one there.
    pub fn create(path: &Path, bucket: &str) -> io::Result<Self> {
        if path.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        let mut writer = csv::Writer::from_writer(PartialFile::beside(path)?);
        writer.write_record(HEADER)?;
        writer.flush()?;
        Ok(Self {
            path: path.to_owned(),
            bucket: bucket.to_owned(),
            writer,
            n_rows: 0,
            was_there: path.exists(),
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Why the file could not be locked, where its file system has no locks.
    pub fn lock_refused(&self) -> Option<&io::Error> {
        self.writer.get_ref().lock_refused()
    }

    /// Adds a row, which at once outlives this process.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn record(&mut self, finished: &Finished, failure: &Failure) -> io::Result<()> {
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

    /// Puts the file at its path, and on the disk if `sync`. Without failed rows there is one only if there was one before.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn finish(self, sync: bool) -> io::Result<()> {
        let file = self
            .writer
            .into_inner()
            .map_err(csv::IntoInnerError::into_error)?;
        if self.n_rows == 0 && !self.was_there {
            return Ok(());
        }
        if sync {
            file.sync()?;
        }
        file.commit(None).map_err(io::Error::other)
    }
}
