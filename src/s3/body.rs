//! Reads the bodies of replies, within limits of time and size.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::causes::one_line;
use super::error::GetError;
use crate::outcome::ErrorCode;
use crate::printable::count;

/// A body that delivers fewer bytes than this within the timeout counts as stalled.
const MIN_BYTES: u64 = 1024;

/// The most bytes that are read of a body that is not an object's, such as that of an error or of credentials.
pub(super) const MAX_SMALL_BODY: usize = 64 * 1024;

/// The bytes of an object, as they arrive.
#[derive(Debug)]
pub(crate) struct Body {
    stream: Stream,
    timeout: Duration,
    /// Time spent waiting for the network alone, in the current window.
    waited: Duration,
    /// Bytes received in the current window.
    n_bytes: u64,
}

#[derive(Debug)]
enum Stream {
    Network(Incoming),
    /// Already read.
    Read(Option<Bytes>),
    #[cfg(test)]
    Scripted(std::collections::VecDeque<Step>),
}

/// What a body does next, in tests.
#[cfg(test)]
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Bytes(Bytes),
    Break,
    Hang,
    /// Until there is a permit here.
    Wait(std::sync::Arc<tokio::sync::Semaphore>),
}

impl Stream {
    async fn next(&mut self) -> Option<Result<Bytes, GetError>> {
        let broken = |why| GetError::transient(ErrorCode::IncompleteBody, why);
        match self {
            Self::Network(incoming) => {
                let next = next_data(incoming).await?;
                Some(next.map_err(|error| broken(one_line(&error))))
            }
            Self::Read(bytes) => bytes.take().map(Ok),
            #[cfg(test)]
            Self::Scripted(steps) => match steps.pop_front()? {
                Step::Bytes(bytes) => Some(Ok(bytes)),
                Step::Break => Some(Err(broken("scripted".to_owned()))),
                Step::Hang => {
                    steps.push_front(Step::Hang);
                    std::future::pending().await
                }
                Step::Wait(gate) => {
                    steps.push_front(Step::Wait(std::sync::Arc::clone(&gate)));
                    gate.acquire().await.expect("never closed").forget();
                    steps.pop_front();
                    Box::pin(self.next()).await
                }
            },
        }
    }
}

impl Body {
    #[cfg(test)]
    pub(crate) fn scripted(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            stream: Stream::Scripted(steps.into_iter().collect()),
            timeout: Duration::from_mins(1),
            waited: Duration::ZERO,
            n_bytes: 0,
        }
    }

    pub(super) fn new(incoming: Incoming, timeout: Duration) -> Self {
        Self::of(Stream::Network(incoming), timeout)
    }

    /// One that was read already.
    pub(super) fn read(bytes: Vec<u8>, timeout: Duration) -> Self {
        Self::of(Stream::Read(Some(bytes.into())), timeout)
    }

    fn of(stream: Stream, timeout: Duration) -> Self {
        Self {
            stream,
            timeout,
            waited: Duration::ZERO,
            n_bytes: 0,
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection breaks or ends early, or the body stalls.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, GetError> {
        let started = Instant::now();
        let bytes = match tokio::time::timeout(self.timeout, self.stream.next()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(bytes))) => bytes,
            Ok(Some(Err(error))) => return Err(error),
            Err(_) => {
                let message = format!("no byte of the body for {} s", self.timeout.as_secs_f64());
                return Err(GetError::transient(ErrorCode::Timeout, message));
            }
        };
        self.waited += started.elapsed();
        self.n_bytes += bytes.len() as u64;
        if self.waited < self.timeout {
            return Ok(Some(bytes));
        }
        if self.n_bytes < MIN_BYTES {
            let message = format!(
                "only {} of the body in {} s",
                count(self.n_bytes, "byte"),
                self.waited.as_secs_f64()
            );
            return Err(GetError::transient(ErrorCode::Timeout, message));
        }
        (self.waited, self.n_bytes) = (Duration::ZERO, 0);
        Ok(Some(bytes))
    }
}

/// The next bytes of a body; trailers are skipped.
async fn next_data(incoming: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        match incoming.frame().await? {
            Ok(frame) => {
                if let Ok(bytes) = frame.into_data() {
                    return Some(Ok(bytes));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Why a small body could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SmallBodyError {
    #[error("the body has more than {}", count(MAX_SMALL_BODY as u64, "byte"))]
    TooLarge,
    #[error("the body did not end within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
}

/// Reads a whole body, which must be at most [`MAX_SMALL_BODY`] bytes long and end within `timeout`.
pub(super) async fn read_bounded(
    mut incoming: Incoming,
    timeout: Duration,
) -> Result<Vec<u8>, SmallBodyError> {
    let mut read = Vec::new();
    let reading = read_until(&mut incoming, &mut read, MAX_SMALL_BODY + 1);
    match tokio::time::timeout(timeout, reading).await {
        Ok(Ok(())) if read.len() > MAX_SMALL_BODY => Err(SmallBodyError::TooLarge),
        Ok(Ok(())) => Ok(read),
        Ok(Err(error)) => Err(SmallBodyError::Broken(error)),
        Err(_) => Err(SmallBodyError::Timeout(timeout)),
    }
}

/// Reads up to [`MAX_SMALL_BODY`] bytes of a body within `timeout`: enough to recognise an error.
pub(super) async fn read_beginning(mut incoming: Incoming, timeout: Duration) -> Vec<u8> {
    let mut read = Vec::new();
    // If it breaks or takes too long, the bytes received until then have to do.
    let reading = read_until(&mut incoming, &mut read, MAX_SMALL_BODY);
    let _ = tokio::time::timeout(timeout, reading).await;
    read
}

/// Reads to the end, or until there are `max` bytes.
async fn read_until(
    incoming: &mut Incoming,
    read: &mut Vec<u8>,
    max: usize,
) -> Result<(), hyper::Error> {
    while let Some(bytes) = next_data(incoming).await {
        let bytes = bytes?;
        let n = bytes.len().min(max - read.len());
        read.extend_from_slice(&bytes[..n]);
        if read.len() == max {
            break;
        }
    }
    Ok(())
}
