//! One object, from its GET to its committed file.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use super::checksum::{Expected, Verifier};
use super::meter::{InFlightObject, Meter, Wait};
use super::reader::{Held, ObjectVersion, Reader, Request};
use super::retry::Budget;
use super::{Broken, Context, parallel};
use crate::config::IfExists;
use crate::keys::Entry;
use crate::local::{LocalError, LocalPath, PartialFile, ResumableFile};
use crate::outcome::{
    Class, Downloaded, ErrorCode, Failure, ObjectInfo, Outcome, SkipReason, Verification,
};
use crate::s3::GetResponse;

/// Bytes gathered before they are written. An object that is smaller is created, written and renamed in one
/// blocking call, since the hop to a thread that may block costs more than the system calls.
pub(super) const WRITE_SIZE: usize = 1024 * 1024;

/// Downloads an object within its budget of attempts.
pub async fn download(context: Arc<Context>, entry: Arc<Entry>, path: Arc<LocalPath>) -> Outcome {
    let if_modified_since = match existing(&context, &path, entry.size).await {
        Ok(Existing::Skip) => return Outcome::Skipped(SkipReason::Exists),
        Ok(Existing::Beat(time)) => Some(time),
        Ok(Existing::None) => None,
        Err(failure) => return Outcome::Failed(failure),
    };
    let started = Instant::now();
    let budget = Arc::new(Budget::new(context.options.max_attempts.get()));
    let request = Request {
        context,
        entry,
        budget,
        if_modified_since,
    };
    loop {
        match download_whole(&request, &path).await {
            Ok(committed) => {
                return Outcome::Downloaded(Downloaded {
                    bytes: committed.bytes,
                    object: committed.object,
                    verification: committed.verification,
                    attempts: request.budget.n_failed() + 1,
                    duration: started.elapsed(),
                });
            }
            Err(Broken::Restart(failure)) => {
                if let Err(failure) = request.budget.restart(failure) {
                    return Outcome::Failed(failure);
                }
            }
            Err(Broken::NotModified) => {
                let (output, path) = (Arc::clone(&request.context), Arc::clone(&path));
                let removing = move || {
                    output.output.remove_leftovers(&path);
                    Ok(())
                };
                return match blocking(&request.context.meter, removing).await {
                    Ok(()) => Outcome::Skipped(SkipReason::NotModified),
                    Err(failure) => Outcome::Failed(failure),
                };
            }
            Err(Broken::Final(failure)) => {
                return Outcome::Failed(Failure {
                    attempts: request.budget.n_failed(),
                    ..failure
                });
            }
        }
    }
}

/// A file at its final path.
struct Committed {
    bytes: u64,
    object: ObjectInfo,
    verification: Verification,
}

/// Downloads the object as it is now.
async fn download_whole(request: &Request, path: &Arc<LocalPath>) -> Result<Committed, Broken> {
    let context = &request.context;
    let received = Arc::new(context.meter.object());
    // Boxed: it is of many kilobytes, and what holds it is moved some ten times on its way to a thread.
    let fetched = Box::pin(fetch(request, path, &received)).await?;
    // Past the last point to give up: what is told of the row must be what is on disk.
    let modified = fetched.object.last_modified;
    match fetched.file {
        FetchedFile::Folder => {
            let (output, path) = (Arc::clone(context), Arc::clone(path));
            blocking(&context.meter, move || output.output.make_folder(&path)).await?;
        }
        FetchedFile::Gathered(sink) => sink.commit(modified).await?,
        FetchedFile::Parts(file) => {
            blocking(&context.meter, move || file.commit(modified)).await?;
        }
    }
    received.keep();
    Ok(Committed {
        bytes: fetched.bytes,
        object: fetched.object,
        verification: fetched.verification,
    })
}

/// A whole and verified object, all but committed.
pub(super) struct Fetched {
    pub bytes: u64,
    pub object: ObjectInfo,
    pub verification: Verification,
    pub file: FetchedFile,
}

pub(super) enum FetchedFile {
    Folder,
    /// Streamed, its end not written yet.
    Gathered(Sink),
    Parts(Arc<ResumableFile>),
}

async fn fetch(
    request: &Request,
    path: &Arc<LocalPath>,
    received: &Arc<InFlightObject>,
) -> Result<Fetched, Broken> {
    let (response, held) = request.unless_given_up(request.whole()).await?;
    check_etag(&request.entry, &response)?;
    let options = &request.context.options;
    let is_large = |version: &ObjectVersion| {
        version.size >= options.multipart_threshold.max(options.part_size + 1)
    };
    if !path.is_folder()
        && let Some(version) = ObjectVersion::of(&response).filter(is_large)
    {
        // Boxed, so that small objects do not carry its size.
        let fetching = parallel::fetch(request, path, received, version, response, held);
        return Box::pin(fetching).await;
    }
    let streaming = stream(request, path, received, response, held);
    request.unless_given_up(streaming).await
}

/// Whether it is the object that the list means, where the list says so much.
fn check_etag(entry: &Entry, response: &GetResponse) -> Result<(), Failure> {
    let found = response.etag.as_deref().map(|etag| etag.trim_matches('"'));
    match (entry.etag.as_deref(), found) {
        (Some(listed), Some(found)) if listed != found => Err(Failure::new(
            ErrorCode::ObjectChanged,
            Class::Permanent,
            format!("its ETag is `{found}`, the list says `{listed}`"),
        )),
        _ => Ok(()),
    }
}

/// The object as one stream.
async fn stream(
    request: &Request,
    path: &Arc<LocalPath>,
    received: &InFlightObject,
    response: GetResponse,
    held: Held,
) -> Result<Fetched, Broken> {
    let context = &request.context;
    let object = info(&response);
    let mut verifier = Verifier::new(Expected::new(context.options.verify, &response));
    let mut reader = Reader::of_whole(request.clone(), response, held);
    let mut sink = Sink::new(Arc::clone(context), Arc::clone(path));
    let mut bytes = 0;
    while let Some(chunk) = reader.next_chunk().await? {
        if path.is_folder() && !chunk.is_empty() {
            let message =
                "the key ends in `/` but has content, so it can be neither a file nor a folder";
            let failure =
                Failure::new(ErrorCode::FolderMarkerHasContent, Class::Permanent, message);
            return Err(Broken::Final(failure));
        }
        bytes += chunk.len() as u64;
        verifier.update(&chunk);
        received.received(chunk.len());
        sink.push(chunk).await?;
    }
    let verification = match verifier.finish(bytes) {
        Ok(_) if path.is_folder() => Verification::Folder,
        Ok(verification) => verification,
        Err(mismatch) => return Err(Broken::Restart(mismatch)),
    };
    let file = if path.is_folder() {
        FetchedFile::Folder
    } else {
        FetchedFile::Gathered(sink)
    };
    Ok(Fetched {
        bytes,
        object,
        verification,
        file,
    })
}

pub(super) fn info(response: &GetResponse) -> ObjectInfo {
    ObjectInfo {
        etag: response.etag.clone(),
        version_id: response.version_id.clone(),
        last_modified: response.last_modified,
    }
}

/// Gathers an object's bytes, and writes them when they are enough to be worth it.
pub(super) struct Sink {
    context: Arc<Context>,
    path: Arc<LocalPath>,
    /// Made with the first write.
    file: Option<PartialFile>,
    gathered: Vec<Bytes>,
    n_gathered: usize,
    /// Bytes that are written.
    n_written: u64,
}

impl Sink {
    fn new(context: Arc<Context>, path: Arc<LocalPath>) -> Self {
        Self {
            context,
            path,
            file: None,
            gathered: Vec::new(),
            n_gathered: 0,
            n_written: 0,
        }
    }

    async fn push(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.n_gathered += bytes.len();
        self.gathered.push(bytes);
        if self.n_gathered < WRITE_SIZE {
            return Ok(());
        }
        let (context, path) = (Arc::clone(&self.context), Arc::clone(&self.path));
        let (file, gathered, offset) = (
            self.file.take(),
            std::mem::take(&mut self.gathered),
            self.n_written,
        );
        self.n_written += std::mem::take(&mut self.n_gathered) as u64;
        let writing = move || write(&context, &path, file, &gathered, offset);
        self.file = Some(blocking(&self.context.meter, writing).await?);
        Ok(())
    }

    async fn commit(self, modified: Option<SystemTime>) -> Result<(), Failure> {
        let Self {
            context,
            path,
            file,
            gathered,
            n_written,
            ..
        } = self;
        let meter = Arc::clone(&context.meter);
        let committing =
            move || write(&context, &path, file, &gathered, n_written)?.commit(modified);
        blocking(&meter, committing).await
    }
}

fn write(
    context: &Context,
    path: &LocalPath,
    file: Option<PartialFile>,
    gathered: &[Bytes],
    offset: u64,
) -> Result<PartialFile, LocalError> {
    let file = match file {
        Some(file) => file,
        None => context.output.begin(path)?,
    };
    file.write_at(gathered, offset)?;
    Ok(file)
}

/// What a file that is there already means for its key.
enum Existing {
    /// There is none, or it is to be replaced.
    None,
    Skip,
    /// It is kept unless the object was modified after this time.
    Beat(SystemTime),
}

/// What a file at `path` means for an object of `size` bytes, as far as the row says.
async fn existing(
    context: &Arc<Context>,
    path: &Arc<LocalPath>,
    size: Option<u64>,
) -> Result<Existing, Failure> {
    let if_exists = context.options.if_exists;
    // A folder marker writes no file, so it replaces none.
    if if_exists == IfExists::Overwrite || path.is_folder() {
        return Ok(Existing::None);
    }
    let (looking, path) = (Arc::clone(context), Arc::clone(path));
    let looking = move || {
        let Some(there) = looking.output.file_at(&path)? else {
            return Ok(Existing::None);
        };
        if if_exists == IfExists::Newer {
            return Ok(Existing::Beat(there.modified));
        }
        if !there.may_have(size) {
            return Ok(Existing::None);
        }
        looking.output.remove_leftovers(&path);
        Ok(Existing::Skip)
    };
    blocking(&context.meter, looking).await
}

/// Does file work on a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    meter: &Meter,
    work: impl FnOnce() -> Result<T, LocalError> + Send + 'static,
) -> Result<T, Failure> {
    let _waiting = meter.waiting(Wait::Disk);
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Failure::from),
        Err(error) => Err(super::failure_of_task(&error)),
    }
}
