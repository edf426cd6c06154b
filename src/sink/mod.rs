//! Where objects go: the engine's one door to the file system. Everything behind it blocks, so each call is made on a
//! thread that may; dropping a writer leaves nothing of its object, but for parts that a later run can use.

pub mod door;
pub mod files;
mod gathered;
pub mod planned;
pub mod tar;

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use crate::meter::{Meter, Wait};
use crate::options::IfExists;
use crate::outcome::{Failure, SkipReason};
use files::{DonePart, Identity, LocalError, LocalPath, OutputFolder, PartialFile, ResumableFile};
pub use gathered::Gathered;

/// Bytes gathered before they are written. An object that is smaller is created, written and renamed in one
/// blocking call, since the hop to a thread that may block costs more than the system calls.
pub const WRITE_SIZE: usize = 1024 * 1024;

/// The files of a run.
#[derive(Debug)]
pub struct FileSink {
    output: OutputFolder,
    if_exists: IfExists,
    meter: Arc<Meter>,
}

/// What to do about an object, in view of what is at its path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Fetch,
    /// Keep the file unless the object was modified after this time.
    FetchIfNewer(SystemTime),
    Skip(SkipReason),
}

impl FileSink {
    pub fn new(output: OutputFolder, if_exists: IfExists, meter: Arc<Meter>) -> Self {
        Self {
            output,
            if_exists,
            meter,
        }
    }

    /// What to do about an object of `size` bytes, as far as the row says, whose file would be at `path`.
    ///
    /// # Errors
    /// When what is there can be neither replaced nor looked at.
    pub async fn admit(
        self: &Arc<Self>,
        path: &Arc<LocalPath>,
        size: Option<u64>,
    ) -> Result<Admission, Failure> {
        // A folder marker writes no file, so it replaces none.
        if self.if_exists == IfExists::Overwrite || path.is_folder() {
            return Ok(Admission::Fetch);
        }
        let (sink, path) = (Arc::clone(self), Arc::clone(path));
        let looking = move || {
            Ok(match (sink.output.file_at(&path)?, sink.if_exists) {
                (None, _) | (Some(_), IfExists::Overwrite) => Admission::Fetch,
                (Some(file), IfExists::Newer) => Admission::FetchIfNewer(file.modified),
                (Some(file), IfExists::Skip) if !file.may_have(size) => Admission::Fetch,
                (Some(_), IfExists::Skip) => {
                    sink.output.remove_leftovers(&path);
                    Admission::Skip(SkipReason::Exists)
                }
            })
        };
        blocking(&self.meter, looking).await
    }

    /// Removes what a killed run left beside the file at `path`, which is kept.
    ///
    /// # Errors
    /// Only when that work itself is broken off.
    pub async fn remove_leftovers(self: &Arc<Self>, path: &Arc<LocalPath>) -> Result<(), Failure> {
        let (sink, path) = (Arc::clone(self), Arc::clone(path));
        let removing = move || {
            sink.output.remove_leftovers(&path);
            Ok(())
        };
        blocking(&self.meter, removing).await
    }

    /// Begins an object whose bytes come in order. Nothing is made until there is something to write.
    pub fn stream(self: &Arc<Self>, path: &Arc<LocalPath>) -> FileStream {
        FileStream {
            sink: Arc::clone(self),
            path: Arc::clone(path),
            file: None,
            gathered: Gathered::default(),
            n_written: 0,
        }
    }

    /// Begins an object whose parts come in any order, or goes on with what an earlier run left of it: the parts that
    /// are there come with it. They are read once more: `on_found` is told the bytes of each.
    ///
    /// # Errors
    /// When the file cannot be made, or another process is writing it.
    pub async fn parts(
        self: &Arc<Self>,
        path: &Arc<LocalPath>,
        identity: Identity,
        on_found: impl FnMut(u64) + Send + 'static,
    ) -> Result<(FileParts, Vec<DonePart>), Failure> {
        let (sink, path) = (Arc::clone(self), Arc::clone(path));
        let beginning = move || sink.output.begin_resumable(&path, &identity, on_found);
        let (file, done) = blocking(&self.meter, beginning).await?;
        let writer = FileParts {
            file: Arc::new(file),
            meter: Arc::clone(&self.meter),
        };
        Ok((writer, done))
    }

    /// Has everything on the disk, not only in memory.
    ///
    /// # Errors
    /// When the file system could not.
    pub async fn sync(self: &Arc<Self>) -> std::io::Result<()> {
        let sink = Arc::clone(self);
        tokio::task::spawn_blocking(move || sink.output.sync()).await?
    }
}

/// Writes an object whose bytes come in order.
#[derive(Debug)]
pub struct FileStream {
    sink: Arc<FileSink>,
    path: Arc<LocalPath>,
    /// Made with the first write.
    file: Option<PartialFile>,
    gathered: Gathered,
    /// Bytes that are written.
    n_written: u64,
}

impl FileStream {
    /// Whether the object is a folder marker, which has no bytes to verify.
    pub fn is_folder(&self) -> bool {
        self.path.is_folder()
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When the file system refuses.
    pub async fn push(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.gathered.push(bytes);
        let n_gathered = self.gathered.len();
        if n_gathered < WRITE_SIZE {
            return Ok(());
        }
        let (sink, path) = (Arc::clone(&self.sink), Arc::clone(&self.path));
        let (file, gathered, offset) = (self.file.take(), self.gathered.take(), self.n_written);
        self.n_written += n_gathered as u64;
        let writing = move || write(&sink.output, &path, file, &gathered, offset);
        self.file = Some(blocking(&self.sink.meter, writing).await?);
        Ok(())
    }

    /// Writes what is left, and gives the file its time and its final name; a folder marker becomes a folder.
    ///
    /// # Errors
    /// When the file system refuses, or something that must not be replaced is at the path.
    async fn commit(self, modified: Option<SystemTime>) -> Result<(), Failure> {
        let Self {
            sink,
            path,
            file,
            mut gathered,
            n_written,
        } = self;
        let gathered = gathered.take();
        let meter = Arc::clone(&sink.meter);
        blocking(&meter, move || {
            if path.is_folder() {
                return sink.output.make_folder(&path);
            }
            write(&sink.output, &path, file, &gathered, n_written)?.commit(modified)
        })
        .await
    }
}

fn write(
    output: &OutputFolder,
    path: &LocalPath,
    file: Option<PartialFile>,
    gathered: &[Bytes],
    offset: u64,
) -> Result<PartialFile, LocalError> {
    let file = match file {
        Some(file) => file,
        None => output.begin(path)?,
    };
    file.write_at(gathered, offset)?;
    Ok(file)
}

/// Writes an object whose parts come in any order, from many tasks at once.
#[derive(Debug, Clone)]
pub struct FileParts {
    file: Arc<ResumableFile>,
    meter: Arc<Meter>,
}

impl FileParts {
    /// Writes `chunks` at `offset`.
    ///
    /// # Errors
    /// When the file system refuses.
    pub async fn write(&self, chunks: Vec<Bytes>, offset: u64) -> Result<(), Failure> {
        let file = Arc::clone(&self.file);
        blocking(&self.meter, move || file.write_at(&chunks, offset)).await
    }

    /// Writes the last `chunks` of a part at `offset`, and records that it is whole: a later run can use it from now on.
    ///
    /// # Errors
    /// When the file system refuses.
    pub async fn finish_part(
        &self,
        chunks: Vec<Bytes>,
        offset: u64,
        done: DonePart,
    ) -> Result<(), Failure> {
        let file = Arc::clone(&self.file);
        blocking(&self.meter, move || {
            file.write_at(&chunks, offset)?;
            file.record(done)
        })
        .await
    }

    /// Hands the file's first `size` bytes to `digest`, in order, and returns it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub async fn read_back<D: Send + 'static>(
        &self,
        size: u64,
        mut digest: D,
        update: fn(&mut D, &[u8]),
    ) -> Result<D, Failure> {
        let file = Arc::clone(&self.file);
        blocking(&self.meter, move || {
            file.for_each_chunk(size, |bytes| update(&mut digest, bytes))?;
            Ok(digest)
        })
        .await
    }

    /// Gives the file its time and its final name.
    ///
    /// # Errors
    /// When the file system refuses, or something that must not be replaced is at the path.
    async fn commit(self, modified: Option<SystemTime>) -> Result<(), Failure> {
        let Self { file, meter } = self;
        blocking(&meter, move || file.commit(modified)).await
    }

    /// Removes the file and what is known of its parts: no run can use them.
    pub fn discard(&self) {
        self.file.discard();
    }
}

/// Does file work on a thread that may block.
async fn blocking<T: Send + 'static>(
    meter: &Meter,
    work: impl FnOnce() -> Result<T, LocalError> + Send + 'static,
) -> Result<T, Failure> {
    let _waiting = meter.waiting(Wait::Disk);
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Failure::from),
        Err(error) => Err(Failure::of_panic(&error)),
    }
}
