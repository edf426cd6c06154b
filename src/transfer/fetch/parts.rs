//! A large object in parallel parts. The first GET, which is a plain one, keeps streaming from the front; helpers take
//! parts from the back, as long as there are permits that nobody waits for, until they meet.
//!
//! Each part is hashed as it streams, written at its offset, and recorded in the journal when it is whole, so that
//! a later run fetches only the rest.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use crc_fast::Digest;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use super::body::Reader;
use super::fetched::{Fetched, info};
use super::held::Held;
use super::lanes::{Lane, Lanes};
use super::plan::{Front, Parts, Plan};
use super::request::{Request, interrupted};
use super::version::ObjectVersion;
use crate::locks::lock;
use crate::meter::InFlightObject;
use crate::outcome::{Class, ErrorCode, Failure, Sign};
use crate::s3::GetResponse;
use crate::sink::door::{PartWriter, Writer};
use crate::sink::files::{Identity, LocalPath};
use crate::stop::Phase;
use crate::transfer::checksum::{Expected, Verified, Verifier};
use crate::transfer::shared::Broken;

/// How long the stream of the first GET waits, before a part that another GET asked for, for that GET's answer. Then it
/// takes the part itself.
const MAX_FRONT_WAIT: Duration = Duration::from_secs(3);

/// How often the parts' paces are compared.
const COMPARE_INTERVAL: Duration = Duration::from_millis(250);

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
    parts: Mutex<Parts>,
    lanes: Lanes,
    /// Something in `parts` changed that the first GET's stream may wait for.
    changed: Notify,
    /// Checksums of the finished parts, by index.
    crcs: Mutex<Vec<Option<u64>>>,
    /// No part is of any use any more.
    cancelled: CancellationToken,
    /// No GET for a part is waited for any more: the stream of the first GET brings the rest.
    alone: CancellationToken,
}

/// Fetches the object that `response` begins, in parts.
pub(super) async fn fetch(
    request: &Request,
    path: &Arc<LocalPath>,
    received: &Arc<InFlightObject>,
    version: ObjectVersion,
    mut response: GetResponse,
    held: Held,
) -> Result<Fetched, Broken> {
    let options = &request.shared.options;
    let object_info = info(&mut response);
    let expected = Expected::new(options.verify, &response, &request.entry.checksums)
        .noted(options.notes_checksums());
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
        parts: Mutex::new(Parts::new(
            plan.n_parts(),
            done.iter().map(|&(index, _)| index),
        )),
        lanes: Lanes::default(),
        changed: Notify::new(),
        crcs: Mutex::new(crcs),
        cancelled: CancellationToken::new(),
        alone: CancellationToken::new(),
    });
    let fetched = match fetch_parts(&object, response, held).await {
        Ok(()) => request.unless_given_up(verify(&object)).await,
        Err(broken) => Err(broken),
    };
    if fetched.as_ref().is_err_and(makes_parts_useless) {
        object.writer.discard();
    }
    Ok(Fetched {
        bytes: plan.size,
        object: object_info,
        verified: fetched?,
        writer: Writer::Parts(object.writer.clone()),
    })
}

/// Whether no later run can use what was fetched: the object is another one or gone, or its bytes are wrong.
fn makes_parts_useless(broken: &Broken) -> bool {
    match broken {
        Broken::Restart(_) | Broken::WithoutParts => true,
        Broken::NotModified | Broken::NoRoom => false,
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
    let limit = &request.shared.limit;
    let mut runners = JoinSet::new();
    // Before any helper looks for a part: the first one belongs to the GET that brings it.
    let first = object.parts().front(0, false);
    runners.spawn(from_the_front(Arc::clone(object), response, held, first));
    let mut result = Ok(());
    let mut comparing = tokio::time::interval(COMPARE_INTERVAL);
    let mut behind: Option<Arc<Lane>> = None;
    loop {
        let is_running = !object.cancelled.is_cancelled();
        // A part that waits out a backoff has its runner, but no permit: the permits alone would not bound them.
        let has_free = object.parts().has_free();
        let may_help =
            is_running && runners.len() < limit.max_rows() && request.has_parts() && has_free;
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
            held = request.spare_permit(), if may_help || behind.is_some() => {
                let last = if may_help { object.parts().claim_last() } else { None };
                if let Some(index) = last {
                    runners.spawn(one_part(Arc::clone(object), index, held));
                } else if let Some(lane) = behind.take() {
                    lane.send_help(held, || request.shared.meter.may_ask_again());
                }
            }
            _ = comparing.tick(), if is_running && !has_free => {
                behind = object.lanes.farthest_behind();
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
    first: Front,
) -> Result<(), Broken> {
    let mut reader = Reader::of_whole(object.request.clone(), response, held);
    if object.has_waited {
        reader.has_waited();
    }
    let (mut index, mut next) = (0, first);
    loop {
        // Help for a part before this one has brought its rest alone, as others had asked for the parts behind it.
        let range = object.plan.range(index);
        let is_too_short = reader.ends_before(range.end);
        match next {
            Front::Take if is_too_short => return Err(Broken::WithoutParts),
            Front::Skip if is_too_short => {}
            Front::Take => {
                reader.watch(object.lanes.begin(index, &range), range.end);
                let taken = object.take_part(index, &mut reader).await;
                object.lanes.end(index, taken.is_ok());
                taken?;
            }
            Front::Skip => object.skip_part(index, &mut reader).await?,
            Front::Wait | Front::Leave => break,
        }
        index += 1;
        next = object.front(index).await?;
    }
    drop(reader);
    loop {
        let first = object.parts().claim_first();
        let Some(index) = first else {
            return Ok(());
        };
        let held = object.unless_cancelled(object.request.permit()).await?;
        one_part(Arc::clone(&object), index, held).await?;
    }
}

/// Fetches a part that was claimed, by a GET of its own. If it cannot be had, the stream of the first GET brings it.
async fn one_part(object: Arc<Object>, index: usize, held: Held) -> Result<(), Broken> {
    let mut was_answered = false;
    let taken = async {
        let opening = object.unless_cancelled(object.open(index, held));
        let mut reader = tokio::select! {
            opened = opening => opened??,
            () = object.is_taken(index) => return Ok(()),
            () = object.alone.cancelled() => return Err(Broken::WithoutParts),
        };
        was_answered = object.parts().answered(index);
        object.changed.notify_waiters();
        if was_answered {
            object.take_part(index, &mut reader).await?;
        }
        Ok(())
    };
    let taken = taken.await;
    object.lanes.end(index, was_answered && taken.is_ok());
    if !matches!(taken, Err(Broken::WithoutParts)) {
        return taken;
    }
    let has_front = object.parts().give_back(index, was_answered);
    object.alone.cancel();
    object.changed.notify_waiters();
    if has_front { Ok(()) } else { taken }
}

/// Whether the server answered, so that it is not an outage of the run.
fn is_answer(failure: &Failure) -> bool {
    failure.status.is_some() && failure.class != Class::Fatal
}

/// Whether no GET for any part will be answered with it: the server said so, or something that makes no sense.
fn refuses_parts(failure: &Failure) -> bool {
    let is_refusal = failure.status.is_some() && !failure.class.may_pass();
    let is_nonsense = failure.status.is_some() && failure.code == ErrorCode::InvalidResponse;
    failure.sign == Sign::NoParts || is_refusal || is_nonsense
}

impl Object {
    fn parts(&self) -> MutexGuard<'_, Parts> {
        lock(&self.parts)
    }

    /// What the stream of the first GET does at the start of part `index`.
    async fn front(&self, index: usize) -> Result<Front, Broken> {
        let deadline = Instant::now() + MAX_FRONT_WAIT;
        loop {
            let changed = self.changed.notified();
            let next = self.parts().front(index, Instant::now() >= deadline);
            if next == Front::Take {
                // Whoever asked for it need not wait any longer.
                self.changed.notify_waiters();
            }
            if next != Front::Wait {
                return Ok(next);
            }
            // Too late is as good as in time.
            let _ = self.unless_cancelled(timeout_at(deadline, changed)).await?;
        }
    }

    /// Waits until the stream of the first GET takes part `index`, which somebody asked for.
    async fn is_taken(&self, index: usize) {
        loop {
            let changed = self.changed.notified();
            if !self.parts().is_asked(index) {
                return;
            }
            changed.await;
        }
    }

    /// Asks for part `index` until it is answered. As long as the object can do without, parts that are refused are
    /// nobody's failure.
    async fn open(&self, index: usize, mut held: Held) -> Result<Reader, Broken> {
        let lane = self.lanes.begin(index, &self.plan.range(index));
        loop {
            let round = held.round;
            let (request, version) = (self.request.clone(), self.version.clone());
            let range = self.plan.range(index);
            let lane = Arc::clone(&lane);
            let opening = Reader::of_range(request, version, range, held, lane);
            let (failure, held_back) = match opening.await {
                Ok(reader) => return Ok(reader),
                Err(failed) => failed,
            };
            if failure.sign == Sign::OtherEtag {
                let broken = self.request.verdict(&self.version, failure, held_back);
                return Err(broken.await);
            }
            drop(held_back);
            let can_do_without = self.parts().can_do_without();
            let is_refused = failure.sign != Sign::NoParts && refuses_parts(&failure);
            if can_do_without && is_refused {
                self.request.give_up_parts();
                return Err(Broken::WithoutParts);
            }
            match self.request.charge(failure, round).await {
                Ok(()) => {}
                Err(Broken::Final(spent)) if can_do_without && is_answer(&spent) => {
                    self.request.give_up_parts();
                    return Err(Broken::WithoutParts);
                }
                Err(broken) => return Err(broken),
            }
            held = self.request.permit().await;
        }
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

    /// Reads over the part at which `reader` stands.
    async fn skip_part(&self, index: usize, reader: &mut Reader) -> Result<(), Broken> {
        let range = self.plan.range(index);
        let mut position = range.start;
        while position < range.end {
            let next = self.unless_cancelled(reader.next_before(range.end)).await?;
            let Some(bytes) = next? else {
                return Err(ended_early(index).into());
            };
            position += bytes.len() as u64;
        }
        Ok(())
    }

    /// Reads the part from `reader`, which stands at its start, into the file.
    async fn take_part(&self, index: usize, reader: &mut Reader) -> Result<(), Broken> {
        let range = self.plan.range(index);
        let mut crc = Digest::new(self.expected.part_algorithm());
        let mut gathered = self.writer.gather();
        let (mut start, mut position) = (range.start, range.start);
        while position < range.end {
            let next = self.unless_cancelled(reader.next_before(range.end)).await?;
            if let Err(Broken::WithoutParts) = next {
                self.received.lost(position - range.start);
            }
            let Some(bytes) = next? else {
                return Err(ended_early(index).into());
            };
            crc.update(&bytes);
            self.received.received(bytes.len());
            position += bytes.len() as u64;
            gathered.push(bytes);
            if gathered.is_due() && position < range.end {
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
        self.parts().done(index);
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
async fn verify(object: &Arc<Object>) -> Result<Verified, Broken> {
    let verdict = if object.expected.needs_one_stream() {
        read_again(object).await?
    } else {
        let crcs = lock(&object.crcs).clone();
        let crcs: Vec<_> = crcs.into_iter().flatten().collect();
        object.expected.check_parts(&object.plan, &crcs)
    };
    verdict.map_err(Broken::mismatch)
}

/// Hashes the file from its start, for a checksum that parts do not add up to.
async fn read_again(object: &Object) -> Result<Result<Verified, Failure>, Failure> {
    let size = object.plan.size;
    let verifier = Verifier::new(object.expected.clone());
    let verifier = object
        .writer
        .read_back(size, verifier, Verifier::update)
        .await?;
    Ok(verifier.finish(size))
}
