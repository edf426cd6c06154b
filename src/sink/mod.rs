//! Where objects go: the engine's one door to the file system. Everything behind it blocks, so each call is made on a
//! thread that may; dropping a writer leaves nothing of its object, but for parts that a later run can use.

pub(crate) mod door;
pub(crate) mod files;
mod gathered;
pub(crate) mod planned;
mod room;
pub(crate) mod tar;

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::Semaphore;

use crate::meter::{Meter, Wait};
use crate::options::IfExists;
use crate::outcome::{Failure, SkipReason};
use crate::row::Entry;
use files::{
    DonePart, Identity, LocalError, LocalPath, OutputFolder, PartialFile, ResumableFile, SizeInRow,
};
use gathered::{AllGathered, Pieces};
pub(crate) use gathered::{Gathered, WRITE_SIZE};
use room::{Holder, Room};

/// The files of a run.
#[derive(Debug)]
pub(crate) struct FileSink {
    output: OutputFolder,
    if_exists: IfExists,
    gathered: AllGathered,
    meter: Arc<Meter>,
    room: Room,
    /// Files that may be read at once.
    readers: Semaphore,
}

/// What to do about an object, in view of what is at its path already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    Fetch,
    /// Keep the file unless the object was modified after this time.
    FetchIfNewer(SystemTime),
    /// Keep the file if the object has this size and time, of which whole seconds count.
    FetchUnlessSame {
        size: u64,
        modified: SystemTime,
        /// Only an object of which the row says that it has the size is known by its time.
        in_row: SizeInRow,
    },
    /// Keep the file, which has this size and time, if it has the object's content.
    Verify {
        size: u64,
        modified: SystemTime,
    },
    Skip(SkipReason),
}

/// What is at an object's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum There {
    Nothing,
    File {
        size: u64,
        modified: SystemTime,
    },
    /// The folder that a folder marker stands for.
    Folder,
    /// A symlink that leads out of the output folder.
    LinkOutside,
}

impl FileSink {
    pub(crate) fn new(output: OutputFolder, if_exists: IfExists, meter: Arc<Meter>) -> Self {
        Self {
            output,
            if_exists,
            gathered: AllGathered::default(),
            meter,
            room: Room::default(),
            readers: Semaphore::new(thread::available_parallelism().map_or(1, NonZeroUsize::get)),
        }
    }

    /// What to do about the object of a row whose file would be at `path`.
    ///
    /// # Errors
    /// When what is there can be neither replaced nor looked at.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        path: &Arc<LocalPath>,
        entry: &Arc<Entry>,
    ) -> Result<Admission, Failure> {
        // A folder marker writes no file, so it replaces none.
        if self.if_exists == IfExists::Overwrite || path.is_folder() {
            return Ok(Admission::Fetch);
        }
        let (sink, path, entry) = (Arc::clone(self), Arc::clone(path), Arc::clone(entry));
        let looking = move || {
            Ok(match (sink.output.file_at(&path)?, sink.if_exists) {
                (None, _) | (Some(_), IfExists::Overwrite) => Admission::Fetch,
                (Some(file), IfExists::Newer) => Admission::FetchIfNewer(file.modified),
                (Some(file), IfExists::Skip) if !file.may_have(entry.size) => Admission::Fetch,
                (Some(_), IfExists::Skip) => {
                    sink.output.remove_leftovers(&path);
                    Admission::Skip(SkipReason::Exists)
                }
                (Some(file), IfExists::Changed) if file.is_same(&entry) => {
                    sink.output.remove_leftovers(&path);
                    Admission::Skip(SkipReason::NotModified)
                }
                (Some(file), IfExists::Changed) => match file.size {
                    Some(size) => Admission::FetchUnlessSame {
                        size,
                        modified: file.modified,
                        in_row: file.size_in(&entry),
                    },
                    None => Admission::Fetch,
                },
                (Some(file), IfExists::Verify) => match file.size {
                    Some(size) => Admission::Verify {
                        size,
                        modified: file.modified,
                    },
                    None => Admission::Fetch,
                },
            })
        };
        blocking(&self.meter, looking).await
    }

    /// What is at `path`, by a call that blocks for as long as the file system takes to say so.
    ///
    /// # Errors
    /// When something else is there, or that cannot be seen.
    pub(crate) fn look(&self, path: &LocalPath) -> Result<There, LocalError> {
        if path.is_folder() {
            let has_folder = self.output.has_folder(path)?;
            return Ok(if has_folder {
                There::Folder
            } else {
                There::Nothing
            });
        }
        Ok(match self.output.file_at(path)? {
            None => There::Nothing,
            Some(file) => file.size.map_or(There::LinkOutside, |size| There::File {
                size,
                modified: file.modified,
            }),
        })
    }

    /// Passes the path of every file below the output folder to `each`, but for this program's own.
    ///
    /// # Errors
    /// When a folder cannot be read.
    pub(crate) fn for_each_file(&self, each: impl FnMut(&str)) -> Result<(), LocalError> {
        self.output.for_each_file(each)
    }

    /// Hands the bytes of the file at `path` to `digest`, in order and for as long as `goes_on`, which is told how many
    /// there were, and returns it with their number. As many files are read at once as there are cores.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) async fn read<D: Send + 'static>(
        self: &Arc<Self>,
        path: &Arc<LocalPath>,
        mut digest: D,
        update: fn(&mut D, &[u8]),
        goes_on: impl Fn(usize) -> bool + Send + 'static,
    ) -> Result<(D, u64), Failure> {
        let (sink, path) = (Arc::clone(self), Arc::clone(path));
        // It is never closed.
        let _reading = self.readers.acquire().await;
        let reading = move || {
            let n_bytes = sink.output.read(&path, |bytes| {
                update(&mut digest, bytes);
                if goes_on(bytes.len()) {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            })?;
            Ok((digest, n_bytes))
        };
        blocking(&self.meter, reading).await
    }

    /// Removes what a killed run left beside the file at `path`, which is kept.
    ///
    /// # Errors
    /// Only when that work itself is broken off.
    pub(crate) async fn remove_leftovers(
        self: &Arc<Self>,
        path: &Arc<LocalPath>,
    ) -> Result<(), Failure> {
        let (sink, path) = (Arc::clone(self), Arc::clone(path));
        let removing = move || {
            sink.output.remove_leftovers(&path);
            Ok(())
        };
        blocking(&self.meter, removing).await
    }

    /// Begins an object whose bytes come in order. Nothing is made until there is something to write.
    pub(crate) fn stream(self: &Arc<Self>, path: &Arc<LocalPath>) -> FileStream {
        FileStream {
            sink: Arc::clone(self),
            path: Arc::clone(path),
            file: None,
            gathered: Gathered::new(&self.gathered),
            n_written: 0,
        }
    }

    /// Begins an object whose parts come in any order, or goes on with what an earlier run left of it: the parts that
    /// are there come with it. They are read once more: `on_found` is told the bytes of each. While the disk is full, the
    /// run's other large objects are waited for.
    ///
    /// # Errors
    /// When the file cannot be made, there is no room for it, or another process is writing it.
    pub(crate) async fn parts(
        self: &Arc<Self>,
        path: &Arc<LocalPath>,
        identity: Identity,
        on_found: impl FnMut(u64) + Send + 'static,
    ) -> Result<(FileParts, Vec<DonePart>), Failure> {
        // What was found is told once, however often it is tried.
        let mut on_found: Option<Box<dyn FnMut(u64) + Send>> = Some(Box::new(on_found));
        let begin = || {
            let (sink, path, identity) = (Arc::clone(self), Arc::clone(path), identity.clone());
            let on_found = on_found.take().unwrap_or_else(|| Box::new(|_| {}));
            blocking(&self.meter, move || {
                sink.output.begin_resumable(&path, &identity, on_found)
            })
        };
        let ((file, done), holder) = self.room.for_large(begin).await?;
        let writer = FileParts {
            file: Arc::new(file),
            gathered: self.gathered.clone(),
            meter: Arc::clone(&self.meter),
            _holder: Arc::new(holder),
        };
        Ok((writer, done))
    }

    /// Bytes that are free where the files go; `None` where the file system does not say.
    pub(crate) async fn free(self: &Arc<Self>) -> Option<u64> {
        let sink = Arc::clone(self);
        blocking(&self.meter, move || Ok(sink.output.free()))
            .await
            .ok()?
    }

    /// Has everything on the disk, not only in memory.
    ///
    /// # Errors
    /// When the file system could not.
    pub(crate) async fn sync(self: &Arc<Self>) -> std::io::Result<()> {
        let sink = Arc::clone(self);
        tokio::task::spawn_blocking(move || sink.output.sync()).await?
    }
}

/// Writes an object whose bytes come in order.
#[derive(Debug)]
pub(crate) struct FileStream {
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
    pub(crate) fn is_folder(&self) -> bool {
        self.path.is_folder()
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) async fn push(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.gathered.push(bytes);
        if !self.gathered.is_due() {
            return Ok(());
        }
        let n_gathered = self.gathered.len();
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
        let gathered = Arc::new(gathered.take());
        let (meter, room) = (Arc::clone(&sink.meter), sink.room.clone());
        // What is only in memory can be written again.
        let is_in_memory = file.is_none();
        let mut file = file;
        let commit = || {
            let (sink, path) = (Arc::clone(&sink), Arc::clone(&path));
            let (file, gathered) = (file.take(), Arc::clone(&gathered));
            blocking(&meter, move || {
                if path.is_folder() {
                    return sink.output.make_folder(&path);
                }
                write(&sink.output, &path, file, &gathered, n_written)?.commit(modified)
            })
        };
        if is_in_memory {
            room.when_others_end(commit).await
        } else {
            let mut commit = commit;
            commit().await
        }
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
pub(crate) struct FileParts {
    file: Arc<ResumableFile>,
    gathered: AllGathered,
    meter: Arc<Meter>,
    /// After the file, whose end makes room.
    _holder: Arc<Holder>,
}

impl FileParts {
    /// Where the bytes of a part are gathered until they are written.
    pub(crate) fn gather(&self) -> Gathered {
        Gathered::new(&self.gathered)
    }

    /// Writes `chunks` at `offset`.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) async fn write(&self, chunks: Pieces, offset: u64) -> Result<(), Failure> {
        let file = Arc::clone(&self.file);
        blocking(&self.meter, move || file.write_at(&chunks, offset)).await
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
    pub(crate) async fn read_back<D: Send + 'static>(
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
        let file = Arc::clone(&self.file);
        blocking(&self.meter, move || file.commit(modified)).await
    }

    /// Removes the file and what is known of its parts: no run can use them.
    pub(crate) fn discard(&self) {
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
