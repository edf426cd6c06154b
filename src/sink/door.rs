//! The door itself: one interface to files and to an archive.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::files::{DonePart, Identity, LocalError, LocalPath, OutputFolder};
use super::gathered::{Gathered, Pieces};
use super::tar::parts::TarParts;
use super::tar::{self, NoTurn, Tar, TarStream, Turn};
use super::{Admission, FileParts, FileSink, FileStream, There};
use crate::meter::Meter;
use crate::options::IfExists;
use crate::outcome::{Class, ErrorCode, Failure};
use crate::row::Entry;

/// Where the objects of a run go.
#[derive(Debug)]
pub(crate) enum Sink {
    Files(Arc<FileSink>),
    Tar(Arc<Tar>),
}

impl Sink {
    /// Files below `output`.
    pub(crate) fn new(output: OutputFolder, if_exists: IfExists, meter: Arc<Meter>) -> Self {
        Self::Files(Arc::new(FileSink::new(output, if_exists, meter)))
    }

    /// Rows that may be under way per GET in flight.
    pub(crate) fn rows_per_permit(&self) -> usize {
        match self {
            Self::Files(_) => 1,
            Self::Tar(_) => tar::ROWS_PER_PERMIT,
        }
    }

    /// Takes a row's turn, where there are any; rows come in the order of the list. It is held until the row ends.
    ///
    /// # Errors
    /// When the row needs none: it is skipped, or fails.
    pub(crate) fn turn(
        &self,
        path: &Arc<LocalPath>,
        entry: &Entry,
    ) -> Result<Option<Turn>, NoTurn> {
        match self {
            Self::Files(_) => Ok(None),
            Self::Tar(tar) => tar.turn(path, entry).map(Some),
        }
    }

    /// What to do about the object of a row that would be at `path`. Nothing is in an archive before it.
    ///
    /// # Errors
    /// When what is there can be neither replaced nor looked at.
    pub(crate) async fn admit(
        &self,
        path: &Arc<LocalPath>,
        entry: &Arc<Entry>,
    ) -> Result<Admission, Failure> {
        match self {
            Self::Files(files) => files.admit(path, entry).await,
            Self::Tar(_) => Ok(Admission::Fetch),
        }
    }

    /// What is at `path`, by a call that blocks for as long as the file system takes to say so.
    ///
    /// # Errors
    /// When something else is there, or that cannot be seen.
    pub(crate) fn look(&self, path: &LocalPath) -> Result<There, LocalError> {
        match self {
            Self::Files(files) => files.look(path),
            Self::Tar(_) => Ok(There::Nothing),
        }
    }

    /// Passes the path of every file below the output folder to `each`, but for this program's own.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub(crate) fn for_each_file(&self, each: impl FnMut(&str)) -> Result<(), LocalError> {
        match self {
            Self::Files(files) => files.for_each_file(each),
            Self::Tar(_) => Ok(()),
        }
    }

    /// Hands the bytes of the file at `path` to `digest`, in order and for as long as `goes_on`, which is told how many
    /// there were, and returns it with their number. As many files are read at once as there are cores.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) async fn read<D: Send + 'static>(
        &self,
        path: &Arc<LocalPath>,
        digest: D,
        update: fn(&mut D, &[u8]),
        goes_on: impl Fn(usize) -> bool + Send + 'static,
    ) -> Result<(D, u64), Failure> {
        match self {
            Self::Files(files) => files.read(path, digest, update, goes_on).await,
            // An archive has no file to read back.
            Self::Tar(_) => Ok((digest, 0)),
        }
    }

    /// Bytes that are free where the files go; `None` where that is not known.
    pub(crate) async fn free(&self) -> Option<u64> {
        match self {
            Self::Files(files) => files.free().await,
            Self::Tar(_) => None,
        }
    }

    /// Removes what a killed run left beside the file at `path`, which is kept.
    ///
    /// # Errors
    /// Only when that work itself is broken off.
    pub(crate) async fn remove_leftovers(&self, path: &Arc<LocalPath>) -> Result<(), Failure> {
        match self {
            Self::Files(files) => files.remove_leftovers(path).await,
            Self::Tar(_) => Ok(()),
        }
    }

    /// Begins an object whose bytes come in order. Nothing is made until there is something to write.
    pub(crate) fn stream(&self, path: &Arc<LocalPath>) -> StreamWriter {
        match self {
            Self::Files(files) => StreamWriter::File(files.stream(path)),
            Self::Tar(tar) => StreamWriter::Member(tar.stream(path)),
        }
    }

    /// Begins an object whose parts come in any order, or goes on with what an earlier run left of it: the parts that
    /// are there come with it. They are read once more: `on_found` is told the bytes of each. While the disk is full, the
    /// run's other large objects are waited for.
    ///
    /// # Errors
    /// When the file cannot be made, there is no room for it, or another process is writing it.
    pub(crate) async fn parts(
        &self,
        path: &Arc<LocalPath>,
        identity: Identity,
        on_found: impl FnMut(u64) + Send + 'static,
    ) -> Result<(PartWriter, Vec<DonePart>), Failure> {
        match self {
            Self::Files(files) => {
                let (parts, done) = files.parts(path, identity, on_found).await?;
                Ok((PartWriter::File(parts), done))
            }
            Self::Tar(tar) => {
                let parts = tar.parts(path, identity.size).await?;
                Ok((PartWriter::Member(parts), Vec::new()))
            }
        }
    }
}

/// Writes an object whose bytes come in order.
#[derive(Debug)]
pub(crate) enum StreamWriter {
    File(FileStream),
    Member(TarStream),
}

impl StreamWriter {
    /// Whether the object is a folder marker, which has no bytes to verify.
    pub(crate) fn is_folder(&self) -> bool {
        match self {
            Self::File(file) => file.is_folder(),
            Self::Member(member) => member.is_folder(),
        }
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When the file system refuses, or the object is a folder marker.
    pub(crate) async fn push(&mut self, bytes: Bytes) -> Result<(), Failure> {
        if self.is_folder() && !bytes.is_empty() {
            let message =
                "the key ends in `/` but has content, so it can be neither a file nor a folder";
            let code = ErrorCode::FolderMarkerHasContent;
            return Err(Failure::new(code, Class::Permanent, message));
        }
        match self {
            Self::File(file) => file.push(bytes).await,
            Self::Member(member) => member.push(bytes).await,
        }
    }
}

/// Writes an object whose parts come in any order, from many tasks at once.
#[derive(Debug, Clone)]
pub(crate) enum PartWriter {
    File(FileParts),
    Member(TarParts),
}

impl PartWriter {
    /// Where the bytes of a part are gathered until they are written.
    pub(crate) fn gather(&self) -> Gathered {
        match self {
            Self::File(file) => file.gather(),
            Self::Member(member) => member.gather(),
        }
    }

    /// Writes `chunks` at `offset`.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) async fn write(&self, chunks: Pieces, offset: u64) -> Result<(), Failure> {
        match self {
            Self::File(file) => file.write(chunks, offset).await,
            Self::Member(member) => member.write(chunks, offset).await,
        }
    }

    /// Writes the last `chunks` of a part at `offset`, and records that it is whole: a later run can use it from now on.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) async fn finish_part(
        &self,
        chunks: Pieces,
        offset: u64,
        done: DonePart,
    ) -> Result<(), Failure> {
        match self {
            Self::File(file) => file.finish_part(chunks, offset, done).await,
            Self::Member(member) => member.write(chunks, offset).await,
        }
    }

    /// Hands the object's first `size` bytes to `digest`, in order, and returns it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) async fn read_back<D: Send + 'static>(
        &self,
        size: u64,
        digest: D,
        update: fn(&mut D, &[u8]),
    ) -> Result<D, Failure> {
        match self {
            Self::File(file) => file.read_back(size, digest, update).await,
            Self::Member(member) => member.read_back(size, digest, update).await,
        }
    }

    /// Removes what is written: no run can use it.
    pub(crate) fn discard(&self) {
        match self {
            Self::File(file) => file.discard(),
            Self::Member(_) => {}
        }
    }
}

/// A writer whose object is complete and verified, all but committed.
#[derive(Debug)]
pub(crate) enum Writer {
    Stream(StreamWriter),
    Parts(PartWriter),
}

impl Writer {
    /// Gives the object its time and its final name, or puts it into the archive when its `turn` comes.
    ///
    /// # Errors
    /// When the file system refuses, or something that must not be replaced is at the path.
    pub(crate) async fn commit(
        self,
        modified: Option<SystemTime>,
        turn: &mut Option<Turn>,
    ) -> Result<(), Failure> {
        match self {
            Self::Stream(StreamWriter::File(file)) => file.commit(modified).await,
            Self::Stream(StreamWriter::Member(member)) => {
                member.commit(modified, turn.take()).await
            }
            Self::Parts(PartWriter::File(file)) => file.commit(modified).await,
            Self::Parts(PartWriter::Member(member)) => member.commit(modified, turn.take()).await,
        }
    }
}
