//! The bytes of an object, or of a range of it, in order. Where a body breaks, it goes on at the missing byte.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::request::{Held, Request};
use crate::etag::ETag;
use crate::meter::Wait;
use crate::outcome::{Class, ErrorCode, Failure, Sign};
use crate::s3::{Body, GetResponse, Part};
use crate::transfer::retry::{PROGRESS, Round};
use crate::transfer::shared::Broken;

/// What tells an object from every other one that was, or will be, under its key.
#[derive(Debug, Clone)]
pub struct ObjectVersion {
    /// A strong one.
    pub etag: ETag,
    /// Bytes.
    pub size: u64,
    pub last_modified: Option<SystemTime>,
}

impl ObjectVersion {
    /// That of an answer which says enough.
    pub fn of(response: &GetResponse) -> Option<Self> {
        Some(Self {
            etag: response.strong_etag()?.clone(),
            size: response.length?,
            last_modified: response.last_modified,
        })
    }
}

/// How long a body may be left alone before it is no fault of the object's that it breaks.
const LONG_WAIT: Duration = Duration::from_secs(1);

/// Reads from a position to an end.
#[derive(Debug)]
pub struct Reader {
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
    /// The open body was left idle by this program: that it breaks is no failure of the object's.
    is_stale: bool,
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
    pub fn of_whole(request: Request, response: GetResponse, held: Held) -> Self {
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

    /// Reads a range of an object that is known, beginning with a request under the permit that is `held`.
    pub async fn of_range(
        request: Request,
        version: ObjectVersion,
        range: std::ops::Range<u64>,
        held: Held,
    ) -> Result<Self, Broken> {
        let mut reader = Self {
            version: Some(version),
            position: range.start,
            end: Some(range.end),
            ..Self::new(request)
        };
        let round = held.round;
        if let Err(failure) = reader.open(held).await {
            reader.request.charge(failure, round).await?;
        }
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
        }
    }

    /// The open body was not read for a while, in which the server may have closed its connection.
    pub fn has_waited(&mut self) {
        self.is_stale = true;
    }

    /// The next bytes, none of them at or behind `limit`; `None` at the end.
    pub async fn next_before(&mut self, limit: u64) -> Result<Option<Bytes>, Broken> {
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
        Ok(Some(self.left_over.split_to(n_before)))
    }

    /// The next bytes as they come; `None` at the end.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, Broken> {
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
                        format!("the body ended {missing} bytes early"),
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
        let round = held.round;
        match self.open(held).await {
            Ok(()) => Ok(()),
            Err(failure) => self.failed(failure, round).await,
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
        self.open = None;
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

    /// Reads from the body that is open.
    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(open) = &mut self.open else {
            return Ok(None);
        };
        let next = {
            let _waiting = self.request.shared.meter.waiting(Wait::Body);
            open.body.next().await?
        };
        let Some(bytes) = next else {
            return Ok(None);
        };
        match self.end {
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
        }
    }

    /// Asks for what is missing, from the position on.
    async fn open(&mut self, held: Held) -> Result<(), Failure> {
        let part = match (&self.version, self.end) {
            (Some(version), Some(end)) => Some(Part {
                range: self.position..end,
                etag: &version.etag,
                size: version.size,
                last_modified: version.last_modified,
            }),
            _ => None,
        };
        // Boxed, so that objects that need no second request do not carry its size.
        let response = Box::pin(self.request.send(part, &held.permit)).await?;
        self.open = Some(Open {
            body: response.body,
            held,
        });
        Ok(())
    }
}
