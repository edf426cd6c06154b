//! The requests of one object: when they may start, and how their failures are charged.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::etag::ETag;
use crate::locks::lock;
use crate::meter::Wait;
use crate::open_files;
use crate::outcome::{Class, ErrorCode, Failure, Sign};
use crate::row::Entry;
use crate::s3::{GetError, GetRequest, GetResponse, Part};
use crate::stop::Phase;
use crate::transfer::limit::{Attempt, Charge, Permit};
use crate::transfer::retry::{Budget, Round};
use crate::transfer::shared::{Broken, OnRequest, RequestNote, Shared};

/// What every request for one object shares.
#[derive(Debug, Clone)]
pub struct Request {
    pub shared: Arc<Shared>,
    pub entry: Arc<Entry>,
    pub budget: Arc<Budget>,
    /// The time of the file that is there, which the object must be newer than.
    pub if_modified_since: Option<SystemTime>,
    /// What earlier attempts showed of the object.
    pub known: Arc<Mutex<Known>>,
}

/// What attempts at an object showed.
#[derive(Debug, Default)]
pub struct Known {
    /// ETag, size and time as the last whole answer stated them.
    stated: Option<(Option<ETag>, Option<u64>, Option<SystemTime>)>,
    /// A part's answer spoke of another object.
    is_doubted: bool,
    /// It has to be fetched as one stream.
    without_parts: bool,
}

/// A permit, and the round of the request that is sent under it: requests that got theirs together are together.
#[derive(Debug)]
pub struct Held {
    pub permit: Permit,
    pub round: Round,
}

impl Request {
    /// Asks for the whole object until there is an answer.
    pub async fn whole(&self) -> Result<(GetResponse, Held), Broken> {
        loop {
            let held = self.permit().await;
            match self.send(None, &held.permit).await {
                // Not every server heeds If-Modified-Since; the body is not read then.
                Ok(response) if self.is_not_newer(&response) => return Err(Broken::NotModified),
                Ok(response) => return Ok((response, held)),
                Err(error) if self.if_modified_since.is_some() && error.is_not_modified() => {
                    return Err(Broken::NotModified);
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
    pub async fn permit(&self) -> Held {
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
    pub async fn spare_permit(&self) -> Held {
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
        let may_start = self.budget.is_ready() && self.shared.limit.may_start(&attempt);
        may_start.then(|| Held {
            permit: permit.used_by(attempt),
            round: self.budget.round(),
        })
    }

    /// Waits for `work`, unless the run gives up what is running.
    pub async fn unless_given_up<T>(
        &self,
        work: impl Future<Output = Result<T, Broken>>,
    ) -> Result<T, Broken> {
        tokio::select! {
            biased;
            done = work => done,
            () = self.shared.stop.reached(Phase::GivingUp) => Err(Broken::Final(interrupted())),
        }
    }

    /// Takes note of what an answer states of the object. One that states the same as before, although a part's answer
    /// spoke of another object, comes from a server whose parts cannot be relied on.
    pub fn note(&self, response: &GetResponse) {
        let stated = (
            response.etag.clone(),
            response.length,
            response.last_modified,
        );
        let mut known = self.known();
        let is_same = known.stated.as_ref() == Some(&stated);
        known.without_parts |= is_same && std::mem::take(&mut known.is_doubted);
        known.stated = Some(stated);
    }

    /// A part's answer spoke of another object.
    pub fn doubt(&self) {
        self.known().is_doubted = true;
    }

    /// Fetches the object as one stream from now on.
    pub fn give_up_parts(&self) {
        self.known().without_parts = true;
    }

    /// Whether parts of the object may be asked for.
    pub fn has_parts(&self) -> bool {
        self.shared.has_parts.load(Relaxed) && !self.known().without_parts
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        lock(&self.known)
    }

    /// S3's times are whole seconds, and so is what counts of the file's.
    fn is_not_newer(&self, response: &GetResponse) -> bool {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).map(|time| time.as_secs());
        match (response.last_modified, self.if_modified_since) {
            (Some(modified), Some(since)) => {
                // A time before 1970 is earlier than any of S3's.
                seconds(modified).unwrap_or_default() <= seconds(since).unwrap_or_default()
            }
            _ => false,
        }
    }

    pub async fn send(
        &self,
        part: Option<Part<'_>>,
        permit: &Permit,
    ) -> Result<GetResponse, GetError> {
        let version_id = self.entry.version_id.as_deref();
        let range = part.as_ref().map(|part| part.range.clone());
        self.shared.rates.request().await;
        let started = Instant::now();
        let request = GetRequest {
            key: &self.entry.key,
            version_id,
            if_modified_since: self.if_modified_since.filter(|_| part.is_none()),
            part,
        };
        let answer = {
            let _waiting = self.shared.meter.waiting(Wait::FirstByte);
            self.shared.client.get_object(&request).await
        };
        if let Some(OnRequest(note)) = &self.shared.on_request {
            note(&RequestNote {
                key: &self.entry.key,
                range,
                error: answer.as_ref().err(),
                time: started.elapsed(),
            });
        }
        match &answer {
            Ok(_) => permit.answered(),
            Err(error) if error.is_not_modified() => permit.answered(),
            Err(error) if error.class.is_throttling() => permit.throttled(),
            // Not what was asked for, but the server is there.
            Err(error) if error.status.is_some_and(|status| status < 500) => permit.refused(),
            Err(_) => {}
        }
        answer
    }

    /// Charges a request that failed; the next one waits as long as it should.
    pub async fn charge(&self, failed: impl Into<Failure>, round: Round) -> Result<(), Broken> {
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
        match limit.failed(&failed, &self.entry.key, round.began(), max_outage) {
            Ok(Charge::Nobody) => Ok(()),
            Ok(Charge::Object) => self.budget.charge(failed, round).map_err(Broken::Final),
            Err(fatal) => Err(Broken::Final(fatal)),
        }
    }
}

/// What is told of an object whose download was given up.
pub fn interrupted() -> Failure {
    Failure::new(
        ErrorCode::Interrupted,
        Class::Permanent,
        "given up because the run was stopped",
    )
}
