//! An object's bytes on their way, and how long they may take.

use std::time::{Duration, Instant};

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;

use super::error::{GetError, one_line};
use crate::outcome::ErrorCode;

/// A body that brings fewer bytes than this in as long as it may be silent is as good as silent.
const MIN_BYTES: u64 = 1024;

/// The bytes of an object, as they arrive.
#[derive(Debug)]
pub struct Body {
    stream: ByteStream,
    timeout: Duration,
    /// Time spent waiting for the network, and nothing else, in the window that is being looked at.
    waited: Duration,
    /// Bytes that came in it.
    n_bytes: u64,
}

impl Body {
    pub(super) fn new(stream: ByteStream, timeout: Duration) -> Self {
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
    /// When the connection breaks, ends early, or is silent, or as good as silent, for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, GetError> {
        let started = Instant::now();
        let bytes = match tokio::time::timeout(self.timeout, self.stream.next()).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(bytes))) => bytes,
            Ok(Some(Err(error))) => {
                return Err(GetError::transient(
                    ErrorCode::IncompleteBody,
                    one_line(&error),
                ));
            }
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
                "only {} bytes of the body in {} s",
                self.n_bytes,
                self.waited.as_secs_f64()
            );
            return Err(GetError::transient(ErrorCode::Timeout, message));
        }
        (self.waited, self.n_bytes) = (Duration::ZERO, 0);
        Ok(Some(bytes))
    }
}
