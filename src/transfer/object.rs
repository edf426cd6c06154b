//! One object, from its GET to its committed file.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;

use super::checksum::Verifier;
use super::meter::InFlightObject;
use super::{Context, Phase, retry};
use crate::config::IfExists;
use crate::keys::Entry;
use crate::local::{LocalError, LocalPath, PartialFile};
use crate::outcome::{Class, Downloaded, ErrorCode, Failure, Outcome, SkipReason, Verification};
use crate::s3::GetRequest;

/// Bytes gathered before they are written. An object that is smaller is created, written and renamed in one
/// blocking call, since the hop to a thread that may block costs more than the system calls.
const WRITE_SIZE: usize = 1024 * 1024;

/// Downloads an object within its budget of attempts.
pub async fn download(context: Arc<Context>, entry: Arc<Entry>, path: Arc<LocalPath>) -> Outcome {
    if context.options.if_exists == IfExists::Skip && is_there(&context, &path).await {
        return Outcome::Skipped(SkipReason::Exists);
    }
    let started = Instant::now();
    let max_attempts = context.options.max_attempts.get();
    let mut attempts = 0;
    loop {
        attempts += 1;
        let failure = match attempt(&context, &entry, &path).await {
            Ok((bytes, verification)) => {
                return Outcome::Downloaded(Downloaded {
                    bytes,
                    verification,
                    attempts,
                    duration: started.elapsed(),
                });
            }
            Err(failure) => Failure {
                attempts,
                ..failure
            },
        };
        if !matches!(failure.class, Class::Transient | Class::Throttled) || attempts >= max_attempts
        {
            return Outcome::Failed(failure);
        }
        let delay = retry::delay(failure.class, attempts, fastrand::f64());
        if unless_given_up(&context, tokio::time::sleep(delay))
            .await
            .is_none()
        {
            return Outcome::Failed(Failure {
                attempts,
                ..interrupted()
            });
        }
    }
}

/// One attempt: bytes and verdict of a committed file.
async fn attempt(
    context: &Arc<Context>,
    entry: &Entry,
    path: &Arc<LocalPath>,
) -> Result<(u64, Verification), Failure> {
    let mut received = context.meter.object();
    let fetching = fetch(context, entry, path, &mut received);
    let fetched = unless_given_up(context, fetching)
        .await
        .unwrap_or_else(|| Err(interrupted()))?;
    // Past the last point to give up: what is told of the row must be what is on disk.
    let Fetched {
        verification,
        modified,
        sink,
    } = fetched;
    if let Some(sink) = sink {
        sink.commit(modified).await?;
    } else {
        let (context, path) = (Arc::clone(context), Arc::clone(path));
        blocking(move || context.output.make_folder(&path)).await?;
    }
    let bytes = received.bytes();
    received.keep();
    Ok((bytes, verification))
}

/// A whole and verified object, all but committed.
struct Fetched {
    verification: Verification,
    modified: Option<SystemTime>,
    /// `None` for a folder marker.
    sink: Option<Sink>,
}

async fn fetch(
    context: &Arc<Context>,
    entry: &Entry,
    path: &Arc<LocalPath>,
    received: &mut InFlightObject<'_>,
) -> Result<Fetched, Failure> {
    let request = GetRequest {
        key: &entry.key,
        version_id: entry.version_id.as_deref(),
    };
    let mut response = context.client.get(&request).await?;
    let mut verifier = Verifier::new(response.checksum, response.size);
    let mut sink = Sink::new(Arc::clone(context), Arc::clone(path));
    while let Some(bytes) = response.body.next().await? {
        if path.is_folder() && !bytes.is_empty() {
            let message =
                "the key ends in `/` but has content, so it can be neither a file nor a folder";
            return Err(Failure::new(
                ErrorCode::FolderMarkerHasContent,
                Class::Permanent,
                message,
            ));
        }
        verifier.update(&bytes);
        received.received(bytes.len());
        sink.push(bytes).await?;
    }
    let verification = verifier.finish(received.bytes())?;
    let modified = response.last_modified;
    if path.is_folder() {
        return Ok(Fetched {
            verification: Verification::Folder,
            modified,
            sink: None,
        });
    }
    Ok(Fetched {
        verification,
        modified,
        sink: Some(sink),
    })
}

/// Gathers an object's bytes, and writes them when they are enough to be worth it.
struct Sink {
    context: Arc<Context>,
    path: Arc<LocalPath>,
    /// Made with the first write.
    file: Option<PartialFile>,
    gathered: Vec<Bytes>,
    n_gathered: usize,
}

impl Sink {
    fn new(context: Arc<Context>, path: Arc<LocalPath>) -> Self {
        Self {
            context,
            path,
            file: None,
            gathered: Vec::new(),
            n_gathered: 0,
        }
    }

    async fn push(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.n_gathered += bytes.len();
        self.gathered.push(bytes);
        if self.n_gathered < WRITE_SIZE {
            return Ok(());
        }
        let (context, path) = (Arc::clone(&self.context), Arc::clone(&self.path));
        let (file, gathered) = (self.file.take(), std::mem::take(&mut self.gathered));
        self.n_gathered = 0;
        self.file = Some(blocking(move || write(&context, &path, file, &gathered)).await?);
        Ok(())
    }

    async fn commit(self, modified: Option<SystemTime>) -> Result<(), Failure> {
        let Self {
            context,
            path,
            file,
            gathered,
            ..
        } = self;
        blocking(move || write(&context, &path, file, &gathered)?.commit(modified)).await
    }
}

fn write(
    context: &Context,
    path: &LocalPath,
    file: Option<PartialFile>,
    gathered: &[Bytes],
) -> Result<PartialFile, LocalError> {
    let mut file = match file {
        Some(file) => file,
        None => context.output.begin(path)?,
    };
    file.append(gathered)?;
    Ok(file)
}

async fn is_there(context: &Arc<Context>, path: &Arc<LocalPath>) -> bool {
    let (context, path) = (Arc::clone(context), Arc::clone(path));
    // When in doubt it is downloaded, and what is wrong shows then.
    blocking(move || Ok(context.output.has_file(&path)))
        .await
        .unwrap_or(false)
}

/// Does file work on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LocalError> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Failure::from),
        Err(error) => Err(super::failure_of_task(&error)),
    }
}

/// Waits for `work`, unless the run gives up what is running; then `None`.
async fn unless_given_up<T>(context: &Context, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = context.stop.reached(Phase::GivingUp) => None,
    }
}

fn interrupted() -> Failure {
    Failure::new(
        ErrorCode::Interrupted,
        Class::Permanent,
        "given up because the run was stopped",
    )
}
