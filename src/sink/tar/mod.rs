//! A tar archive in place of files: members in the order of the list, each written only when it is complete and verified.
//!
//! Objects are fetched ahead of the one whose turn it is. What waits is bounded in rows by [`ROWS_PER_PERMIT`], and in
//! memory by [`MAX_MEMORY`]: beyond that, objects wait in files without names, for which the room is bounded too.
//! The one whose turn it is never waits for room, so it always comes.

mod ahead;
mod archive;
mod complete;
mod file;
mod header;
mod index;
mod order;
pub(crate) mod parts;
mod room;
pub(crate) mod shards;
mod spool;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::gathered::{AllGathered, Gathered};
use super::planned::{Planned, Seen};
use crate::locks::lock;
use crate::meter::{Meter, Wait};
use crate::outcome::{Class, ErrorCode, Failure, SkipReason};
use crate::row::Entry;
use crate::sink::files::{LocalPath, OnWarning};
use crate::stop::{Phase, Stop};
pub(crate) use ahead::Ahead;
pub(crate) use archive::{Archive, ArchiveOptions};
use complete::{Complete, Whereabouts};
pub(crate) use file::ArchiveError;
use header::Kind;
pub(crate) use order::Ending;
use order::{Content, Member, Order};
use room::MAX_IN_MEMORY;
use spool::Spool;
use watch::Watch;

/// Rows that are read ahead per GET in flight, so that one slow object does not stop the others.
pub(crate) const ROWS_PER_PERMIT: usize = 4;

/// Bytes of all objects that wait in memory.
const MAX_MEMORY: usize = 256 * 1024 * 1024;

/// The archive of a run.
#[derive(Debug)]
pub(crate) struct Tar {
    order: Arc<Order>,
    /// What waits for its turn in memory.
    memory: AllGathered,
    /// What waits to be spooled, of objects in parts.
    gathered: AllGathered,
    spool: PathBuf,
    seen: Arc<Mutex<Seen>>,
    /// The shards that an earlier run completed, if they are left as they are.
    complete: Mutex<Option<Complete>>,
    meter: Arc<Meter>,
    stop: Arc<Stop>,
    writer: Mutex<Option<Writer>>,
    watch: Watch,
}

/// The thread that writes the archive, and what it says at its end.
#[derive(Debug)]
struct Writer {
    thread: JoinHandle<()>,
    ended: oneshot::Receiver<Result<Option<String>, ArchiveError>>,
}

/// A row's place in the archive. Once the row has failed its path is free for a later one.
#[derive(Debug)]
pub(crate) struct Turn {
    place: Option<order::Turn>,
    pub ahead: Arc<Ahead>,
    path: Arc<LocalPath>,
    seen: Arc<Mutex<Seen>>,
    stop: Arc<Stop>,
}

/// Why a row needs no place.
#[derive(Debug)]
pub(crate) enum NoTurn {
    Skip(SkipReason),
    Failed(Failure),
}

impl Tar {
    /// Starts the thread that writes `archive`. Objects that do not wait in memory wait in the folder `spool`. `on_warning`
    /// is told when the archive takes nothing.
    ///
    /// # Errors
    /// When the system gives no thread.
    ///
    /// # Panics
    /// Outside a runtime.
    pub(crate) fn start(
        mut archive: Archive,
        spool: PathBuf,
        meter: Arc<Meter>,
        stop: Arc<Stop>,
        on_warning: OnWarning,
    ) -> std::io::Result<Self> {
        let order = Arc::new(Order::default());
        let complete = Mutex::new(archive.take_complete());
        let (sender, ended) = oneshot::channel();
        let writing = Arc::clone(&order);
        let thread = std::thread::Builder::new()
            .name("tar".to_owned())
            .spawn(move || {
                let closing = Closing(writing);
                let _ = sender.send(archive.write(&closing.0));
            })?;
        Ok(Self {
            watch: Watch::start(Arc::clone(&order), Arc::clone(&stop), on_warning),
            order,
            memory: AllGathered::default(),
            gathered: AllGathered::default(),
            spool,
            seen: Arc::default(),
            complete,
            meter,
            stop,
            writer: Mutex::new(Some(Writer { thread, ended })),
        })
    }

    /// Takes the row's place in the archive, behind those of the rows before it.
    ///
    /// # Errors
    /// When an earlier row stands for the same object, or for another one at the same path; when the object is in a shard
    /// that is complete, or such a shard was written without it.
    pub(crate) fn turn(&self, path: &Arc<LocalPath>, entry: &Entry) -> Result<Turn, NoTurn> {
        let planned = lock(&self.seen).check(path, entry);
        match planned {
            Planned::New => {
                self.check_shards(path, entry)?;
                let place = self.order.turn();
                Ok(Turn {
                    ahead: Arc::new(Ahead::new(&self.order, place.n())),
                    place: Some(place),
                    path: Arc::clone(path),
                    seen: Arc::clone(&self.seen),
                    stop: Arc::clone(&self.stop),
                })
            }
            Planned::Again => Err(NoTurn::Skip(SkipReason::Duplicate)),
            Planned::Conflict(why) => {
                let message = format!("the path `{}` {why}", path.as_str());
                let code = ErrorCode::PathConflict;
                Err(NoTurn::Failed(Failure::new(
                    code,
                    Class::Permanent,
                    message,
                )))
            }
        }
    }

    fn check_shards(&self, path: &LocalPath, entry: &Entry) -> Result<(), NoTurn> {
        // The folder that everything is in is never a member.
        if path.as_str().is_empty() {
            return Ok(());
        }
        let mut complete = lock(&self.complete);
        match complete.as_mut().map(|shards| shards.meet(path, entry)) {
            None | Some(Ok(Whereabouts::Behind)) => Ok(()),
            Some(Ok(Whereabouts::InShard)) => Err(NoTurn::Skip(SkipReason::Exists)),
            Some(Err(failure)) => {
                lock(&self.seen).forget(path);
                Err(NoTurn::Failed(failure))
            }
        }
    }

    /// Begins an object whose bytes come in order.
    pub(crate) fn stream(self: &Arc<Self>, path: &Arc<LocalPath>) -> TarStream {
        TarStream {
            tar: Arc::clone(self),
            path: Arc::clone(path),
            gathered: Gathered::new(&self.memory),
            spool: None,
            n_spooled: 0,
        }
    }

    /// How long later members were ready, and only the one whose turn it was was not.
    pub(crate) fn waited_for_head(&self) -> Duration {
        self.order.waited_for_head()
    }

    /// The most bytes that waited in the spool at once.
    pub(crate) fn most_spooled(&self) -> u64 {
        self.order.room.peak()
    }

    /// Ends the archive, and waits until it is written. Returns what is to be said of one that is not finished.
    ///
    /// # Errors
    /// When the end cannot be written, or the archive not be given its name.
    pub(crate) async fn finish(&self, ending: Ending) -> Result<Option<String>, ArchiveError> {
        self.order.end(ending);
        let Some(Writer { thread, ended }) = lock(&self.writer).take() else {
            return Ok(None);
        };
        let ended = tokio::select! {
            biased;
            ended = ended => ended.unwrap_or(Err(ArchiveError::Broken)),
            () = self.watch.has_given_up() => match ending {
                Ending::Whole => Err(ArchiveError::Stalled),
                Ending::Incomplete => Ok(Some(ArchiveError::Stalled.to_string())),
            },
        };
        drop(thread);
        ended
    }

    /// Hands a member over, and waits until it is in the archive.
    async fn commit(&self, turn: Option<Turn>, member: Unwritten) -> Result<(), Failure> {
        let Some(mut turn) = turn else {
            let message =
                "a bug in s3pull, please report it: an object has no place in the archive";
            return Err(Failure::new(ErrorCode::Internal, Class::Fatal, message));
        };
        let Some(place) = turn.place.take() else {
            return Ok(());
        };
        // The folder that everything is in has no name to be a member by.
        if member.path.as_str().is_empty() {
            return Ok(());
        }
        let (written, mut is_written) = oneshot::channel();
        let submitted = place.submit(Member {
            path: member.path,
            kind: member.kind,
            modified: member.modified,
            content: member.content,
            written,
        });
        let gone = || Failure::not_attempted("the run ended before the archive was written");
        tokio::select! {
            biased;
            written = &mut is_written => return written.unwrap_or_else(|_| Err(gone())),
            () = self.stop.reached(Phase::GivingUp) => {}
        }
        let given_up = || {
            let message = "given up because the run was stopped";
            Err(Failure::new(
                ErrorCode::Interrupted,
                Class::Permanent,
                message,
            ))
        };
        if submitted.take_back() {
            return given_up();
        }
        tokio::select! {
            biased;
            written = is_written => written.unwrap_or_else(|_| Err(gone())),
            () = self.watch.has_given_up() => given_up(),
        }
    }
}

/// Fails whatever still waits once nothing is written any more, even after a panic.
struct Closing(Arc<Order>);

impl Drop for Closing {
    fn drop(&mut self) {
        let message =
            "a bug in s3pull, please report it: the archive was closed before its last member";
        let failure = Failure::new(ErrorCode::Internal, Class::Fatal, message);
        self.0.fail(&failure);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            lock(&self.seen).forget(&self.path);
            // A shard that were complete without it would be taken for one that it failed for.
            if self.stop.phase() >= Phase::GivingUp {
                place.cut();
            }
        }
    }
}

/// A member but for its place.
struct Unwritten {
    path: Arc<LocalPath>,
    kind: Kind,
    modified: Option<SystemTime>,
    content: Content,
}

/// Takes an object whose bytes come in order.
#[derive(Debug)]
pub(crate) struct TarStream {
    tar: Arc<Tar>,
    path: Arc<LocalPath>,
    gathered: Gathered,
    spool: Option<Arc<Spool>>,
    n_spooled: u64,
}

impl TarStream {
    pub(crate) fn is_folder(&self) -> bool {
        self.path.is_folder()
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub(crate) async fn push(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.gathered.push(bytes);
        let is_too_much =
            self.gathered.len() >= MAX_IN_MEMORY || self.tar.memory.n_bytes() > MAX_MEMORY;
        if is_too_much {
            self.spill().await?;
        }
        Ok(())
    }

    async fn spill(&mut self) -> Result<(), Failure> {
        let (folder, spool) = (self.tar.spool.clone(), self.spool.take());
        let (n_bytes, offset) = (self.gathered.len() as u64, self.n_spooled);
        let pieces = self.gathered.take();
        let writing = move || {
            let spool = match spool {
                Some(spool) => spool,
                None => Arc::new(Spool::create(&folder)?),
            };
            spool.write_at(&pieces, offset)?;
            Ok(spool)
        };
        self.spool = Some(blocking(&self.tar.meter, writing).await?);
        self.n_spooled += n_bytes;
        Ok(())
    }

    /// # Errors
    /// When the archive cannot be written, or the run gives up what waits.
    pub(crate) async fn commit(
        mut self,
        modified: Option<SystemTime>,
        turn: Option<Turn>,
    ) -> Result<(), Failure> {
        if self.spool.is_some() && self.gathered.len() > 0 {
            self.spill().await?;
        }
        let size = self.n_spooled + self.gathered.len() as u64;
        let kind = if self.path.is_folder() {
            Kind::Folder
        } else {
            Kind::File(size)
        };
        let content = match self.spool {
            Some(spool) => Content::Spool(spool),
            None => Content::Memory(self.gathered.take()),
        };
        let member = Unwritten {
            path: self.path,
            kind,
            modified,
            content,
        };
        self.tar.commit(turn, member).await
    }
}

/// Does file work on a thread that may block.
async fn blocking<T: Send + 'static>(
    meter: &Meter,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let _waiting = meter.waiting(Wait::Disk);
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(Failure::of_panic(&error)),
    }
}
