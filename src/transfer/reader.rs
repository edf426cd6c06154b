//! The bytes of an object, or of a range of it, in order. Where a body breaks, it goes on at the missing byte.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::limit::Permit;
use super::meter::Wait;
use super::retry::Budget;
use super::{Broken, Context, OnRequest, RequestNote};
use crate::keys::Entry;
use crate::outcome::{Class, ErrorCode, Failure};
use crate::s3::{Body, GetError, GetRequest, GetResponse, Part};

/// How often it is tried again to open a connection where too many files are open.
const HANDLES_INTERVAL: Duration = Duration::from_millis(50);

/// What every request for one object shares.
#[derive(Debug, Clone)]
pub struct Request {
    pub context: Arc<Context>,
    pub entry: Arc<Entry>,
    pub budget: Arc<Budget>,
    /// The time of the file that is there, which the object must be newer than.
    pub if_modified_since: Option<SystemTime>,
}

/// Reads from a position to an end.
#[derive(Debug)]
pub struct Reader {
    request: Request,
    /// ETag and size of the object, with which more of it can be asked for.
    identity: Option<(Arc<str>, u64)>,
    position: u64,
    /// `None` where the server does not say how long the object is.
    end: Option<u64>,
    open: Option<(Body, Permit)>,
    /// Whether it all began at the object's start, so that it may do so again.
    is_whole: bool,
    /// Read, but behind the limit that was asked for.
    left_over: Bytes,
    n_failed_in_a_row: u32,
}

impl Request {
    /// Asks for the whole object until there is an answer.
    pub async fn whole(&self) -> Result<(GetResponse, Permit), Broken> {
        let mut n_failed_in_a_row = 0;
        loop {
            let permit = self.context.limit.acquire().await;
            match self.send(None, &permit).await {
                // Not every server heeds If-Modified-Since; the body is not read then.
                Ok(response) if self.is_not_newer(&response) => return Err(Broken::NotModified),
                Ok(response) => return Ok((response, permit)),
                Err(error) if self.if_modified_since.is_some() && error.is_not_modified() => {
                    return Err(Broken::NotModified);
                }
                Err(error) => {
                    drop(permit);
                    self.wait_after(error, &mut n_failed_in_a_row).await?;
                }
            }
        }
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

    /// Pays for an object whose bytes turned out to be wrong, and waits before it is begun anew.
    pub async fn start_over(&self, mismatch: Failure) -> Broken {
        match self.wait_after(mismatch, &mut 0).await {
            Ok(()) => Broken::Restart,
            Err(broken) => broken,
        }
    }

    async fn send(&self, part: Option<Part<'_>>, permit: &Permit) -> Result<GetResponse, GetError> {
        let version_id = self.entry.version_id.as_deref();
        let range = part.as_ref().map(|part| part.range.clone());
        let started = Instant::now();
        let request = GetRequest {
            key: &self.entry.key,
            version_id,
            if_modified_since: self.if_modified_since.filter(|_| part.is_none()),
            part,
        };
        let answer = {
            let _waiting = self.context.meter.waiting(Wait::FirstByte);
            self.context.client.get(&request).await
        };
        if let Some(OnRequest(note)) = &self.context.on_request {
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
            Err(error) if error.class == Class::Throttled => permit.throttled(),
            Err(_) => {}
        }
        answer
    }

    /// Pays for a request that failed, and waits as long as it should be waited before the next.
    async fn wait_after(
        &self,
        failed: impl Into<Failure>,
        n_in_a_row: &mut u32,
    ) -> Result<(), Broken> {
        let failed = failed.into();
        if failed.code == ErrorCode::TooManyOpenFiles {
            // No fault of the object's: others that are under way will close theirs.
            tokio::time::sleep(HANDLES_INTERVAL).await;
            return Ok(());
        }
        *n_in_a_row += 1;
        let must_start_over = failed.code == ErrorCode::ObjectChanged;
        let delay = self
            .budget
            .spend(failed, *n_in_a_row)
            .map_err(Broken::Final)?;
        tokio::time::sleep(delay).await;
        if must_start_over {
            Err(Broken::Restart)
        } else {
            Ok(())
        }
    }
}

impl Reader {
    /// Reads the body of an answer that holds the whole object.
    pub fn of_whole(request: Request, response: GetResponse, permit: Permit) -> Self {
        let identity = response.etag.map(Arc::from).zip(response.length);
        Self {
            request,
            identity,
            position: 0,
            end: response.length,
            open: Some((response.body, permit)),
            is_whole: true,
            left_over: Bytes::new(),
            n_failed_in_a_row: 0,
        }
    }

    /// Reads a range of an object that is known, beginning with a request under `permit`.
    pub async fn of_range(
        request: Request,
        identity: (Arc<str>, u64),
        range: std::ops::Range<u64>,
        permit: Permit,
    ) -> Result<Self, Broken> {
        let mut reader = Self {
            request,
            identity: Some(identity),
            position: range.start,
            end: Some(range.end),
            open: None,
            is_whole: false,
            left_over: Bytes::new(),
            n_failed_in_a_row: 0,
        };
        match reader.send(&permit).await {
            Ok(response) => reader.open = Some((response.body, permit)),
            Err(error) => {
                drop(permit);
                reader
                    .request
                    .wait_after(error, &mut reader.n_failed_in_a_row)
                    .await?;
            }
        }
        Ok(reader)
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
            let failed = match self.read().await {
                Ok(Some(bytes)) => {
                    self.n_failed_in_a_row = 0;
                    self.position += bytes.len() as u64;
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
            self.open = None;
            let cannot_go_on = self.is_whole && failed.code == ErrorCode::RangeIgnored;
            let failed = if cannot_go_on {
                Failure {
                    class: Class::Transient,
                    ..failed
                }
            } else {
                failed
            };
            self.request
                .wait_after(failed, &mut self.n_failed_in_a_row)
                .await?;
            // Nor is there, without an ETag, any knowing whether the rest is of the same object.
            if cannot_go_on || self.identity.is_none() {
                return Err(Broken::Restart);
            }
        }
    }

    /// Reads from the body at hand, or else from a new one that begins at the position.
    async fn read(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.open.is_none() {
            let permit = self.request.context.limit.acquire().await;
            let response = self.send(&permit).await?;
            self.open = Some((response.body, permit));
        }
        let Some((body, _permit)) = &mut self.open else {
            return Ok(None);
        };
        let next = {
            let _waiting = self.request.context.meter.waiting(Wait::Body);
            body.next().await?
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
            _ => Ok(Some(bytes)),
        }
    }

    async fn send(&self, permit: &Permit) -> Result<GetResponse, Failure> {
        let part = match (&self.identity, self.end) {
            (Some((etag, size)), Some(end)) => Some(Part {
                range: self.position..end,
                etag,
                size: *size,
            }),
            _ => None,
        };
        // Boxed, so that objects that need no second request do not carry its size.
        Ok(Box::pin(self.request.send(part, permit)).await?)
    }
}
