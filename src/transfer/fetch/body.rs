//! The bytes of an object, or of a range of it, in order. Where a body breaks, it goes on at the missing byte; where it lags
//! far behind others, a second request brings the rest.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};

use super::held::Held;
use super::lanes::Lane;
use super::request::Request;
use super::version::ObjectVersion;
use crate::meter::Wait;
use crate::outcome::{Class, ErrorCode, Failure, Sign};
use crate::printable::count;
use crate::s3::{Body, GetError, GetResponse};
use crate::transfer::retry::{PROGRESS, Round};
use crate::transfer::shared::Broken;

/// How long a body may be left alone before the object is not charged for it if it breaks.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// Reads from a position to an end.
#[derive(Debug)]
pub(super) struct Reader {
    request: Request,
    /// With which more of the object can be asked for.
    version: Option<ObjectVersion>,
    position: u64,
    /// `None` where the server does not say how long the object is.
    end: Option<u64>,
    open: Option<Open>,
    /// Whether it all began at the object's start, so that it may do so again.
    is_whole: bool,
    /// Read, but behind the limit that was asked for.
    left_over: Bytes,
    /// Bytes that arrived since there was progress to speak of.
    n_since_progress: u64,
    /// The open body was left idle by this program: the object is not charged for it if it breaks.
    is_stale: bool,
    /// The part that is read, and its end: who looks after it may send help.
    lane: Option<(Arc<Lane>, u64)>,
    second: Option<Second>,
    /// Bytes of the open body that came before, from another one.
    n_overlapping: u64,
}

type Answer = (Result<GetResponse, GetError>, Held);

/// A second request for the rest of a part. Whichever body brings the rest first, it is the same object's.
struct Second {
    answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
    start: u64,
    end: u64,
}

impl std::fmt::Debug for Second {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Second({}..{})", self.start, self.end)
    }
}

/// What happens first while a part is read.
enum Event {
    Next(Result<Option<Bytes>, Failure>),
    Help(Held),
    Answered(Answer),
}

/// A body that is being read, with what it needs and how it is charged when it breaks.
#[derive(Debug)]
struct Open {
    body: Body,
    /// Goes back with it.
    held: Held,
}

impl Reader {
    /// Reads the body of an answer that holds the whole object.
    pub(super) fn of_whole(request: Request, response: GetResponse, held: Held) -> Self {
        Self {
            version: ObjectVersion::of(&response).filter(|_| request.has_parts()),
            end: response.length,
            open: Some(Open {
                body: response.body,
                held,
            }),
            is_whole: true,
            ..Self::new(request)
        }
    }

    /// Asks for a range of an object that is known, under the permit that is `held`.
    ///
    /// # Errors
    /// Why it was not answered; nothing is charged. The permit comes with it.
    pub(super) async fn of_range(
        request: Request,
        version: ObjectVersion,
        range: std::ops::Range<u64>,
        held: Held,
        lane: Arc<Lane>,
    ) -> Result<Self, (Failure, Held)> {
        let mut reader = Self {
            version: Some(version),
            position: range.start,
            end: Some(range.end),
            lane: Some((lane, range.end)),
            ..Self::new(request)
        };
        reader.open(held).await?;
        Ok(reader)
    }

    fn new(request: Request) -> Self {
        Self {
            request,
            version: None,
            position: 0,
            end: None,
            open: None,
            is_whole: false,
            left_over: Bytes::new(),
            n_since_progress: 0,
            is_stale: false,
            lane: None,
            second: None,
            n_overlapping: 0,
        }
    }

    /// The part that ends at `end` is read from now on, and `lane` looked after.
    pub(super) fn watch(&mut self, lane: Arc<Lane>, end: u64) {
        self.lane = Some((lane, end));
    }

    /// The open body was not read for a while, in which the server may have closed its connection.
    pub(super) fn has_waited(&mut self) {
        self.is_stale = true;
    }

    /// Whether it ends before `position`.
    pub(super) fn ends_before(&self, position: u64) -> bool {
        self.end.is_some_and(|end| end < position)
    }

    /// The next bytes, none of them at or behind `limit`; `None` at the end.
    pub(super) async fn next_before(&mut self, limit: u64) -> Result<Option<Bytes>, Broken> {
        if self.left_over.is_empty() {
            match self.next_chunk().await? {
                Some(bytes) => self.left_over = bytes,
                None => return Ok(None),
            }
        }
        let start = self.position - self.left_over.len() as u64;
        let n_before = usize::try_from(limit - start)
            .unwrap_or(usize::MAX)
            .min(self.left_over.len());
        if let Some((lane, _)) = &self.lane {
            lane.received(n_before as u64);
        }
        Ok(Some(self.left_over.split_to(n_before)))
    }

    /// The next bytes as they come; `None` at the end.
    pub(super) async fn next_chunk(&mut self) -> Result<Option<Bytes>, Broken> {
        loop {
            if self.end == Some(self.position) {
                // The permit goes back with the body.
                self.open = None;
                return Ok(None);
            }
            let Some(round) = self.open.as_ref().map(|open| open.held.round) else {
                self.reopen().await?;
                continue;
            };
            let failed = match self.read().await {
                Ok(Some(bytes)) => {
                    self.arrived(bytes.len() as u64);
                    return Ok(Some(bytes));
                }
                Ok(None) if self.end.is_none() => {
                    self.open = None;
                    return Ok(None);
                }
                Ok(None) => {
                    let missing = self.end.unwrap_or_default() - self.position;
                    Failure::new(
                        ErrorCode::IncompleteBody,
                        Class::Transient,
                        format!("the body ended {} early", count(missing, "byte")),
                    )
                }
                Err(failure) => failure,
            };
            self.failed(failed, round).await?;
        }
    }

    /// Asks for what is missing; a failure is charged, and leaves nothing open.
    async fn reopen(&mut self) -> Result<(), Broken> {
        let held = self.request.permit().await;
        let Err((failure, held)) = self.open(held).await else {
            return Ok(());
        };
        match &self.version {
            Some(version) if failure.sign == Sign::OtherEtag => {
                Err(self.request.verdict(version, failure, held).await)
            }
            _ => {
                let round = held.round;
                drop(held);
                self.failed(failure, round).await
            }
        }
    }

    fn arrived(&mut self, n_bytes: u64) {
        self.position += n_bytes;
        self.n_since_progress += n_bytes;
        if self.n_since_progress >= PROGRESS {
            self.n_since_progress = 0;
            self.request.budget.progressed();
        }
    }

    /// Charges a request or a body that failed; the next one begins at the position, where that is possible.
    async fn failed(&mut self, failed: Failure, round: Round) -> Result<(), Broken> {
        (self.open, self.second) = (None, None);
        if self.is_whole && !self.request.has_parts() {
            self.version = None;
        }
        if std::mem::take(&mut self.is_stale) && self.version.is_some() && failed.class.may_pass() {
            return Ok(());
        }
        let cannot_go_on = self.is_whole && failed.sign == Sign::NoParts;
        if cannot_go_on {
            self.request.give_up_parts();
        }
        // Nor is there, without an ETag, any knowing whether the rest is of the same object.
        if cannot_go_on || self.version.is_none() && failed.class.may_pass() {
            return Err(Broken::Restart(Failure {
                class: Class::Transient,
                ..failed
            }));
        }
        self.request.charge(failed, round).await
    }

    /// Reads from the body that is open, or from one that takes its place.
    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let next = match self.event().await {
                Event::Next(next) => next,
                Event::Help(held) => {
                    self.ask_again(held);
                    continue;
                }
                Event::Answered((Err(error), _)) if error.code == ErrorCode::ObjectChanged => {
                    return Err(error.into());
                }
                Event::Answered(answer) => {
                    self.switch_to(answer);
                    continue;
                }
            };
            if next.is_err()
                && let Some(second) = &mut self.second
            {
                let answer = second.answer.as_mut().await;
                if self.switch_to(answer) {
                    continue;
                }
            }
            let Some(mut bytes) = next? else {
                return Ok(None);
            };
            let n_known = self.n_overlapping.min(bytes.len() as u64);
            self.n_overlapping -= n_known;
            bytes.advance(usize::try_from(n_known).unwrap_or(bytes.len()));
            if bytes.is_empty() {
                continue;
            }
            return match self.end {
                Some(end) if bytes.len() as u64 > end - self.position => {
                    let message = "the body is longer than its headers say";
                    Err(Failure::new(
                        ErrorCode::InvalidResponse,
                        Class::Transient,
                        message,
                    ))
                }
                _ => {
                    let waited = self.request.shared.rates.received(bytes.len()).await;
                    // The server may take that for a client that is gone.
                    self.is_stale |= waited > LONG_WAIT;
                    Ok(Some(bytes))
                }
            };
        }
    }

    async fn event(&mut self) -> Event {
        let Some(open) = &mut self.open else {
            return Event::Next(Ok(None));
        };
        let _waiting = self.request.shared.meter.waiting(Wait::Body);
        let next = async { Event::Next(open.body.next().await.map_err(Failure::from)) };
        let (Some((lane, _)), true) = (&self.lane, self.version.is_some()) else {
            return next.await;
        };
        let help = async {
            match &mut self.second {
                Some(second) => Event::Answered(second.answer.as_mut().await),
                None => Event::Help(lane.helped().await),
            }
        };
        tokio::select! {
            biased;
            event = next => event,
            event = help => event,
        }
    }

    /// Asks for the rest of the part once more, under the permit that is `held`.
    fn ask_again(&mut self, held: Held) {
        let (Some(version), Some(&(_, end))) = (self.version.clone(), self.lane.as_ref()) else {
            return;
        };
        let (request, start) = (self.request.clone(), self.position);
        let answer = Box::pin(async move {
            let part = version.part(start..end);
            let answer = request.send(Some(part), &held.permit).await;
            (answer, held)
        });
        self.second = Some(Second { answer, start, end });
    }

    /// Reads on from the second request's answer, if that is good. Nothing is charged for one that is not: the first body
    /// is still there.
    fn switch_to(&mut self, (answer, held): Answer) -> bool {
        if let Some((lane, _)) = &self.lane {
            lane.start_over();
        }
        let (Some(second), Ok(response)) = (self.second.take(), answer) else {
            return false;
        };
        self.n_overlapping = self.position - second.start;
        self.end = Some(second.end);
        let body = response.body;
        self.open = Some(Open { body, held });
        true
    }

    /// Asks for what is missing, from the position on.
    async fn open(&mut self, held: Held) -> Result<(), (Failure, Held)> {
        let part = match (&self.version, self.end) {
            (Some(version), Some(end)) => Some(version.part(self.position..end)),
            _ => None,
        };
        let lane = self.lane.as_ref().map(|(lane, _)| lane);
        let is_late = async {
            match lane {
                Some(lane) => lane.helped().await,
                None => std::future::pending().await,
            }
        };
        // Boxed, so that objects that need no second request do not carry its size.
        let (answer, held) = Box::pin(self.request.send_or_again(part, held, is_late)).await;
        if let Some(lane) = lane {
            lane.start_over();
        }
        self.n_overlapping = 0;
        match answer {
            Ok(response) => {
                let body = response.body;
                self.open = Some(Open { body, held });
                Ok(())
            }
            Err(error) => Err((error.into(), held)),
        }
    }
}
