//! A large object in parallel parts. The first GET, which is a plain one, keeps streaming from the front; helpers take
//! parts from the back, as long as there are permits that nobody waits for, until they meet.
//!
//! Each part is hashed as it streams, written at its offset, and recorded in the journal when it is whole, so that
//! a later run fetches only the rest.

use std::sync::{Arc, Mutex, MutexGuard};

use crc_fast::Digest;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::body::{ObjectVersion, Reader};
use super::fetched::{Fetched, info};
use super::plan::{Plan, Unclaimed};
use super::request::{Held, Request, interrupted};
use crate::locks::lock;
use crate::meter::InFlightObject;
use crate::outcome::{Class, ErrorCode, Failure, Verification};
use crate::s3::GetResponse;
use crate::sink::door::{PartWriter, Writer};
use crate::sink::files::{Identity, LocalPath};
use crate::sink::{Gathered, WRITE_SIZE};
use crate::stop::Phase;
use crate::transfer::checksum::{Expected, Verifier};
use crate::transfer::shared::Broken;

/// A large object under way, shared by everything that fetches parts of it.
struct Object {
    request: Request,
    version: ObjectVersion,
    plan: Plan,
    expected: Expected,
    writer: PartWriter,
    /// The first answer's connection was idle while parts of an earlier run were read again.
    has_waited: bool,
    received: Arc<InFlightObject>,
    unclaimed: Mutex<Unclaimed>,
    /// Of the finished parts, by index.
    crcs: Mutex<Vec<Option<u64>>>,
    /// No part is of any use any more.
    cancelled: CancellationToken,
}

/// Fetches the object that `response` begins, in parts.
pub async fn fetch(
    request: &Request,
    path: &Arc<LocalPath>,
    received: &Arc<InFlightObject>,
    version: ObjectVersion,
    response: GetResponse,
    held: Held,
) -> Result<Fetched, Broken> {
    let options = &request.shared.options;
    let object_info = info(&response);
    let expected = Expected::new(options.verify, &response);
    let plan = Plan::new(version.size, options.part_size);
    let (writer, done) = {
        let identity = Identity {
            etag: version.etag.clone(),
            size: plan.size,
            last_modified: version.last_modified,
            version_id: response.version_id.clone(),
            part_size: plan.part_size,
            algorithm: expected.part_algorithm(),
        };
        received.mark_large(&request.entry.key, plan.size);
        let received = Arc::clone(received);
        let on_found = move |n_bytes| received.resumed(n_bytes);
        // To read again what a killed run left may take minutes.
        let sink = &request.shared.sink;
        let beginning = async { Ok(sink.parts(path, identity, on_found).await?) };
        request.unless_given_up(beginning).await?
    };
    let mut crcs = vec![None; plan.n_parts()];
    for &(index, crc) in &done {
        crcs[index] = Some(crc);
    }
    let object = Arc::new(Object {
        request: request.clone(),
        version,
        plan,
        expected,
        writer,
        has_waited: !done.is_empty(),
        received: Arc::clone(received),
        unclaimed: Mutex::new(Unclaimed::new(
            plan.n_parts(),
            done.iter().map(|&(index, _)| index),
        )),
        crcs: Mutex::new(crcs),
        cancelled: CancellationToken::new(),
    });
    let fetched = match fetch_parts(&object, response, held).await {
        Ok(()) => request.unless_given_up(verify(&object)).await,
        Err(broken) => Err(broken),
    };
    if fetched.as_ref().is_err_and(makes_parts_useless) {
        object.writer.discard();
    }
    let verification = fetched?;
    Ok(Fetched {
        bytes: plan.size,
        object: object_info,
        verification,
        writer: Writer::Parts(object.writer.clone()),
    })
}

/// Whether no later run can use what was fetched: the object is another one or gone, or its bytes are wrong.
fn makes_parts_useless(broken: &Broken) -> bool {
    match broken {
        Broken::Restart(_) | Broken::WithoutParts => true,
        Broken::NotModified => false,
        Broken::Final(failure) => match &failure.code {
            ErrorCode::ObjectChanged | ErrorCode::ChecksumMismatch => true,
            ErrorCode::S3(code) => code == "NoSuchKey",
            _ => false,
        },
    }
}

/// Fetches every part that is not there yet. When it returns, nothing of the object runs any more: whatever ended it, the
/// other parts were stopped and their writes awaited.
async fn fetch_parts(
    object: &Arc<Object>,
    response: GetResponse,
    held: Held,
) -> Result<(), Broken> {
    let request = &object.request;
    let max_runners = request.shared.options.concurrency.get();
    let mut runners = JoinSet::new();
    // Before any helper looks for a part: the first one belongs to the GET that brings it.
    let brings_first = object.unclaimed().claim(0);
    runners.spawn(from_the_front(
        Arc::clone(object),
        response,
        held,
        brings_first,
    ));
    let mut result = Ok(());
    loop {
        let is_running = !object.cancelled.is_cancelled();
        // A part that waits out a backoff has its runner, but no permit: the permits alone would not bound them.
        let may_help = is_running && !object.unclaimed().is_empty() && runners.len() < max_runners;
        tokio::select! {
            ended = runners.join_next() => {
                let Some(ended) = ended else {
                    return result;
                };
                let ended = ended.unwrap_or_else(|error| Err(Failure::of_panic(&error).into()));
                if let (true, Err(broken)) = (is_running, ended) {
                    object.cancelled.cancel();
                    result = Err(broken);
                }
            }
            held = request.spare_permit(), if may_help => {
                if let Some(index) = object.claim_last() {
                    runners.spawn(one_part(Arc::clone(object), index, held));
                }
            }
            () = request.shared.stop.reached(Phase::GivingUp), if is_running => {
                object.cancelled.cancel();
                result = Err(interrupted().into());
            }
        }
    }
}

/// Takes parts from the front: first those that the first GET's body brings, then the first ones that are left. This
/// goes on with whatever permits the object gets in turn, so the object is done even if there is never one to spare.
async fn from_the_front(
    object: Arc<Object>,
    response: GetResponse,
    held: Held,
    brings_first: bool,
) -> Result<(), Broken> {
    let mut reader = Reader::of_whole(object.request.clone(), response, held);
    if object.has_waited {
        reader.has_waited();
    }
    let mut index = 0;
    let mut is_ours = brings_first;
    while is_ours {
        object.take_part(index, &mut reader).await?;
        index += 1;
        is_ours = object.unclaimed().claim(index);
    }
    drop(reader);
    while let Some(index) = object.claim_first() {
        let held = object.unless_cancelled(object.request.permit()).await?;
        one_part(Arc::clone(&object), index, held).await?;
    }
    Ok(())
}

/// Fetches a part that was claimed, by a GET of its own.
async fn one_part(object: Arc<Object>, index: usize, held: Held) -> Result<(), Broken> {
    let (request, range) = (object.request.clone(), object.plan.range(index));
    let opening = Reader::of_range(request, object.version.clone(), range, held);
    let mut reader = object.unless_cancelled(opening).await??;
    object.take_part(index, &mut reader).await
}

impl Object {
    fn unclaimed(&self) -> MutexGuard<'_, Unclaimed> {
        lock(&self.unclaimed)
    }

    /// Waits for `work`, unless the object's parts are of no use any more. Writes are not waited for so: they must have
    /// ended before the object does.
    async fn unless_cancelled<T>(&self, work: impl Future<Output = T>) -> Result<T, Broken> {
        tokio::select! {
            biased;
            () = self.cancelled.cancelled() => Err(interrupted().into()),
            done = work => Ok(done),
        }
    }

    fn claim_first(&self) -> Option<usize> {
        self.unclaimed().claim_first()
    }

    fn claim_last(&self) -> Option<usize> {
        self.unclaimed().claim_last()
    }

    /// Reads the part from `reader`, which stands at its start, into the file.
    async fn take_part(&self, index: usize, reader: &mut Reader) -> Result<(), Broken> {
        let range = self.plan.range(index);
        let mut crc = Digest::new(self.expected.part_algorithm());
        let mut gathered = Gathered::default();
        let (mut start, mut position) = (range.start, range.start);
        while position < range.end {
            let next = self.unless_cancelled(reader.next_before(range.end)).await?;
            let Some(bytes) = next? else {
                return Err(ended_early(index).into());
            };
            crc.update(&bytes);
            self.received.received(bytes.len());
            position += bytes.len() as u64;
            gathered.push(bytes);
            if position - start >= WRITE_SIZE as u64 && position < range.end {
                let gathered = gathered.take();
                self.writer.write(gathered, start).await?;
                start = position;
            }
        }
        let done = (index, crc.finalize());
        self.writer
            .finish_part(gathered.take(), start, done)
            .await?;
        lock(&self.crcs)[index] = Some(done.1);
        self.request.budget.progressed();
        Ok(())
    }
}

/// A reader never ends before its range does; were it to, its part must not count as whole.
fn ended_early(index: usize) -> Failure {
    let message = format!("a bug in s3pull, please report it: part {index} ended early");
    Failure::new(ErrorCode::Internal, Class::Permanent, message)
}

/// The verdict on the whole object.
async fn verify(object: &Arc<Object>) -> Result<Verification, Broken> {
    let verdict = if object.expected.needs_one_stream() {
        read_again(object).await?
    } else {
        let crcs = lock(&object.crcs).clone();
        let crcs: Vec<_> = crcs.into_iter().flatten().collect();
        object.expected.check_parts(&object.plan, &crcs)
    };
    match verdict {
        Ok(verification) => Ok(verification),
        Err(mismatch) => Err(Broken::Restart(mismatch)),
    }
}

/// Hashes the file from its start, for a checksum that parts do not add up to.
async fn read_again(object: &Object) -> Result<Result<Verification, Failure>, Failure> {
    let size = object.plan.size;
    let verifier = Verifier::new(object.expected.clone());
    let verifier = object
        .writer
        .read_back(size, verifier, Verifier::update)
        .await?;
    Ok(verifier.finish(size))
}
