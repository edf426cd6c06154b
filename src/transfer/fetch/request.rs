//! The requests of one object: when they may start, and how their failures are charged.

use std::pin::pin;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use super::held::Held;
use super::keep::Keep;
use super::known::Known;
use super::version::ObjectVersion;
use crate::locks::lock;
use crate::meter::Wait;
use crate::open_files;
use crate::outcome::{Class, ErrorCode, Failure, Sign};
use crate::row::Entry;
use crate::s3::{GetError, GetRequest, GetResponse, Method, Part, Purpose};
use crate::sink::tar::Ahead;
use crate::stop::Phase;
use crate::transfer::limit::{Asked, Attempt, Charge, Permit};
use crate::transfer::retry::{Budget, Round};
use crate::transfer::shared::{Broken, OnRequest, RequestNote, Shared};
use crate::transfer::stragglers::MIN_LATE;

/// What every request for one object shares.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub shared: Arc<Shared>,
    pub entry: Arc<Entry>,
    pub budget: Arc<Budget>,
    /// When the file that is there is kept.
    pub keep: Option<Keep>,
    /// What earlier attempts showed of the object.
    pub known: Arc<Mutex<Known>>,
    /// A member's place in an archive, ahead of which only so much is fetched.
    pub ahead: Option<Arc<Ahead>>,
}

impl Request {
    /// Asks for the whole object until there is an answer.
    pub(crate) async fn whole(&self) -> Result<(GetResponse, Held), Broken> {
        // Like a request that is sent, it waits out the backoff, as those for the parts do.
        if self.known().in_hand.is_some() {
            self.budget.ready().await;
        }
        if let Some(answer) = self.take_in_hand() {
            return answer;
        }
        loop {
            let held = self.permit().await;
            let size = self.entry.size;
            if self
                .ahead
                .as_ref()
                .is_some_and(|ahead| !ahead.may_begin(size))
            {
                return Err(Broken::NoRoom);
            }
            // Boxed, as most of it is of use to few requests only.
            let (answer, held) = self.send_or_again(None, held, Box::pin(self.late())).await;
            match answer {
                // Not every server heeds If-Modified-Since; the body is not read then.
                Ok(response) if self.keeps_for(&response) => return Err(Broken::NotModified),
                Ok(response) => return Ok((response, held)),
                Err(error) if self.if_modified_since().is_some() && error.is_not_modified() => {
                    if self.keeps_unless_newer(error.last_modified) {
                        return Err(Broken::NotModified);
                    }
                    // It is asked for without a condition now.
                    self.known().is_older = true;
                }
                Err(error) => {
                    let round = held.round;
                    drop(held);
                    self.charge(error, round).await?;
                }
            }
        }
    }

    /// Waits for a permit, and until the object may use it: none of its requests starts while it waits out a backoff.
    /// While nothing gets through to the server, it waits for its turn to try.
    pub(crate) async fn permit(&self) -> Held {
        let limit = &self.shared.limit;
        loop {
            self.budget.ready().await;
            let attempt = limit.unless_out().await;
            let permit = limit.acquire().await;
            if let Some(held) = self.held(permit, attempt) {
                return held;
            }
        }
    }

    /// Waits for a permit that no object has a claim on, as [`Request::permit`] does.
    pub(crate) async fn spare_permit(&self) -> Held {
        let limit = &self.shared.limit;
        loop {
            self.budget.ready().await;
            let attempt = limit.unless_out().await;
            let permit = limit.acquire_spare().await;
            if let Some(held) = self.held(permit, attempt) {
                return held;
            }
        }
    }

    /// The right to send now, if the object and the run still allow it once there is a permit.
    fn held(&self, permit: Permit, attempt: Attempt) -> Option<Held> {
        if !self.shared.limit.may_start(&attempt) {
            return None;
        }
        let round = self.budget.begin()?;
        Some(Held {
            permit: permit.used_by(attempt),
            round,
        })
    }

    /// An answer that showed that the object was replaced, as that of a request of the present round.
    fn take_in_hand(&self) -> Option<Result<(GetResponse, Held), Broken>> {
        let (response, mut held) = *self.known().in_hand.take()?;
        held.round = self.budget.renewed(held.round);
        Some(if self.keeps_for(&response) {
            Err(Broken::NotModified)
        } else {
            Ok((response, held))
        })
    }

    /// Waits for `work`, unless the run gives up what is running.
    pub(crate) async fn unless_given_up<T>(
        &self,
        work: impl Future<Output = Result<T, Broken>>,
    ) -> Result<T, Broken> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.shared.stop.reached(Phase::GivingUp) => Err(Broken::Final(interrupted())),
        }
    }

    /// Takes note of what a whole answer, which begins an attempt, states of the object.
    pub(crate) fn note(&self, response: &GetResponse) {
        self.known().note(response);
    }

    /// Bytes of the object, as the last whole answer stated them.
    pub(crate) fn size(&self) -> Option<u64> {
        self.known().size()
    }

    /// A part's answer spoke of another object.
    pub(crate) fn doubt(&self) {
        self.known().is_doubted = true;
    }

    /// What to do since a part's answer named another ETag than that of `version`. The object is asked for once more,
    /// under the permit that is `held`: an answer that states the same as before comes from a server whose parts cannot
    /// be relied on (it has an ETag per part, or compares `If-Match` with something else).
    pub(crate) async fn verdict(
        &self,
        version: &ObjectVersion,
        failed: Failure,
        held: Held,
    ) -> Broken {
        let is_replaced = Arc::clone(&self.known().is_replaced);
        if *is_replaced
            .get_or_init(|| self.is_replaced(version, held))
            .await
        {
            return Broken::Restart(failed);
        }
        self.give_up_parts();
        Broken::WithoutParts
    }

    async fn is_replaced(&self, version: &ObjectVersion, held: Held) -> bool {
        // Boxed, so that readers do not carry its size.
        let Ok(response) = Box::pin(self.send(None, &held.permit)).await else {
            return true;
        };
        // One that was stated before is that of another replica: no object comes back once it is replaced.
        let is_same = ObjectVersion::of(&response).as_ref() == Some(version)
            || self.known().has_stated(&response);
        if !is_same {
            self.known().in_hand = Some(Box::new((response, held)));
        }
        !is_same
    }

    /// Fetches the object as one stream from now on.
    pub(crate) fn give_up_parts(&self) {
        self.known().without_parts = true;
    }

    /// Whether parts of the object may be asked for.
    pub(crate) fn has_parts(&self) -> bool {
        self.shared.has_parts.load(Relaxed) && !self.known().without_parts
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// The time that the object must be newer than to be sent.
    fn if_modified_since(&self) -> Option<SystemTime> {
        let time = self.keep?.if_modified_since()?;
        (!self.known().is_older).then_some(time)
    }

    /// Whether the file that is there is kept for the object of this answer.
    pub(crate) fn keeps_for(&self, response: &GetResponse) -> bool {
        let keeps = |keep: Keep| keep.keeps_for(response.last_modified, response.length);
        self.keep.is_some_and(keeps)
    }

    /// Whether the file that is there is kept for an object that is not newer, of this time if that is known.
    fn keeps_unless_newer(&self, object: Option<SystemTime>) -> bool {
        self.keep
            .is_some_and(|keep| keep.keeps_unless_newer(object))
    }

    /// What an answer would say of the whole object, without its body.
    pub(crate) async fn head(&self) -> Result<GetResponse, Broken> {
        loop {
            let held = self.permit().await;
            match self.send_as(Method::Head, None, &held.permit).await {
                Ok(response) => return Ok(response),
                Err(error) => {
                    let round = held.round;
                    drop(held);
                    self.charge(error, round).await?;
                }
            }
        }
    }

    /// Sends a request under the permit that is `held`, and once more if `late` gives another permit before it is
    /// answered. The first good answer wins; it comes with its permit.
    pub(crate) async fn send_or_again(
        &self,
        part: Option<Part<'_>>,
        held: Held,
        late: impl Future<Output = Held>,
    ) -> (Result<GetResponse, GetError>, Held) {
        if self.shared.rates.are_of_requests() {
            // What waits for its turn is not late, and a second request would take a turn as well.
            return (self.send(part, &held.permit).await, held);
        }
        let mut winner = None;
        let answer = {
            let mut first = pin!(self.send(part.clone(), &held.permit));
            tokio::select! {
                biased;
                answer = &mut first => answer,
                again = late => {
                    let second = Box::pin(self.send(part, &again.permit));
                    let (answer, is_second) = Box::pin(first_good(first, second)).await;
                    if is_second {
                        winner = Some(again);
                    }
                    answer
                }
            }
        };
        (answer, winner.unwrap_or(held))
    }

    /// Waits until an answer is late: then it is worth another request, if there is a permit that nobody else wants.
    async fn late(&self) -> Held {
        let started = Instant::now();
        loop {
            let patience = self.shared.stragglers.patience();
            let rest = patience.map(|patience| patience.saturating_sub(started.elapsed()));
            match rest {
                Some(Duration::ZERO) => break,
                rest => tokio::time::sleep(rest.unwrap_or(MIN_LATE)).await,
            }
        }
        let held = Some(self.spare_permit().await).filter(|_| self.shared.meter.may_ask_again());
        match held {
            Some(held) => held,
            None => std::future::pending().await,
        }
    }

    pub(crate) async fn send(
        &self,
        part: Option<Part<'_>>,
        permit: &Permit,
    ) -> Result<GetResponse, GetError> {
        self.send_as(Method::Get, part, permit).await
    }

    pub(super) async fn send_as(
        &self,
        method: Method,
        part: Option<Part<'_>>,
        permit: &Permit,
    ) -> Result<GetResponse, GetError> {
        let version_id = self.entry.version_id.as_deref();
        let range = part.as_ref().map(|part| part.range.clone());
        self.shared.rates.request().await;
        let started = Instant::now();
        let request = GetRequest {
            method,
            purpose: Purpose::Object,
            bucket: self.entry.bucket.as_deref(),
            key: &self.entry.key,
            version_id,
            if_modified_since: self.if_modified_since().filter(|_| part.is_none()),
            part,
            has_failed: self.budget.n_failed() > 0,
        };
        let answer = {
            let _waiting = self.shared.meter.waiting(Wait::FirstByte);
            self.shared.client.get_object(&request).await
        };
        if let Some(OnRequest(note)) = &self.shared.on_request {
            note(&RequestNote {
                method: method.as_str(),
                key: &self.entry.key,
                range,
                error: answer.as_ref().err(),
                time: started.elapsed(),
            });
        }
        match &answer {
            Ok(_) => {
                self.shared.witness.note(&self.entry);
                self.shared.stragglers.answered(started.elapsed());
                permit.answered(started.elapsed());
            }
            Err(error) if error.is_not_modified() => permit.answered(started.elapsed()),
            Err(error) if error.class.is_throttling() => permit.throttled(),
            Err(error) if takes_no_more(error) => permit.not_taken(started),
            // Not what was asked for, but the server is there.
            Err(error) if error.is_from_server() => permit.refused(),
            Err(_) => {}
        }
        answer
    }

    /// Charges a request that failed; the next one waits as long as it should.
    pub(crate) async fn charge(
        &self,
        failed: impl Into<Failure>,
        round: Round,
    ) -> Result<(), Broken> {
        let failed = failed.into();
        if failed.code == ErrorCode::ObjectChanged {
            return Err(Broken::Restart(failed));
        }
        if failed.sign == Sign::NoParts {
            self.shared.has_parts.store(false, Relaxed);
            return Err(Broken::WithoutParts);
        }
        if failed.code == ErrorCode::TooManyOpenFiles {
            // No fault of the object's: others that are under way will close theirs.
            if self.budget.waited_for_files() > open_files::MAX_WAITS {
                return Err(Broken::Final(failed));
            }
            tokio::time::sleep(open_files::WAIT).await;
            return Ok(());
        }
        let (limit, max_outage) = (&self.shared.limit, self.shared.options.max_outage);
        let asked = Asked {
            key: &self.entry.key,
            began: round.began(),
            can_ask_for_another: self.shared.witness.is_some(),
        };
        let charge = match limit.failed(&failed, &asked, max_outage) {
            Ok(Charge::Object) => Charge::Object,
            out => match self.ask_witness(&failed, round).await {
                Some(charge) => charge,
                None => out.map_err(Broken::Final)?,
            },
        };
        match charge {
            Charge::Object => self.budget.charge(failed, round).map_err(Broken::Final),
            Charge::Nobody => Ok(()),
        }
    }
}

/// Whether a server with a limit of connections would refuse one more like this.
fn takes_no_more(error: &GetError) -> bool {
    matches!(error.sign, Sign::NotTaken | Sign::NoConnection)
}

/// The first good one of two answers, or else the first one's error; with whether it is the second one's.
async fn first_good(
    mut first: impl Future<Output = Result<GetResponse, GetError>> + Unpin,
    mut second: impl Future<Output = Result<GetResponse, GetError>> + Unpin,
) -> (Result<GetResponse, GetError>, bool) {
    tokio::select! {
        biased;
        answer = &mut first => match answer {
            Ok(response) => (Ok(response), false),
            Err(error) => match second.await {
                Ok(response) => (Ok(response), true),
                Err(_) => (Err(error), false),
            },
        },
        answer = &mut second => match answer {
            Ok(response) => (Ok(response), true),
            Err(_) => (first.await, false),
        },
    }
}

/// What is told of an object whose download was given up.
pub(crate) fn interrupted() -> Failure {
    Failure::new(
        ErrorCode::Interrupted,
        Class::Permanent,
        "given up because the run was stopped",
    )
}
