//! Lists the objects of a bucket, one page per request (ListObjectsV2).
//!
//! The SDK is not used to read pages: it takes a page whose XML is broken for a shorter one, and its paginator for the last
//! one a page that says that keys are missing but not how to ask for them.

mod page;
mod request;
mod sequence;

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::StatusCode;
use hyper::body::Incoming;

pub(crate) use page::Page;
use page::PageFault;
pub(crate) use request::ListRequest;
pub(crate) use sequence::Sequence;

use super::body::{Body, read_beginning};
use super::client::{Client, MAX_CORRECTIONS};
use super::error::GetError;
use super::options::is_directory_bucket;
use super::session::Session;
use crate::outcome::ErrorCode;
use crate::printable::count;

/// The longest silence before a page, or within it, where `--timeout` is not longer. S3 passes over deleted versions before
/// it answers, which has been seen to take two minutes.
const SILENCE: Duration = Duration::from_mins(5);

/// The most bytes of a page. A thousand keys of 1,024 bytes, each of them encoded as three, are some 4 MB.
const MAX_PAGE: usize = 16 << 20;

impl Client {
    /// Asks for one page, which must follow those that `sequence` has accepted. A wrong region, expired credentials and a
    /// wrong clock are corrected on the way.
    ///
    /// # Errors
    /// [`GetError`], whose class says whether another attempt may help.
    pub(crate) async fn list(
        &self,
        request: &ListRequest<'_>,
        sequence: &mut Sequence,
    ) -> Result<Page, GetError> {
        let sessions = self.sessions(Some(request.bucket)).await?;
        let mut n_corrections = 0;
        loop {
            let session = sessions.fresh().await?;
            let error = match self.page(&session, request, sequence).await {
                Ok(page) => {
                    sessions.were_accepted();
                    return Ok(page);
                }
                Err(error) => self.masked(&session, error),
            };
            let Some(lesson) = error.lesson() else {
                return Err(error);
            };
            n_corrections += 1;
            if n_corrections > MAX_CORRECTIONS || !sessions.has_learned(&session, lesson).await? {
                return Err(error);
            }
        }
    }

    async fn page(
        &self,
        session: &Session,
        list: &ListRequest<'_>,
        sequence: &mut Sequence,
    ) -> Result<Page, GetError> {
        let silence = self.0.timeout.max(SILENCE);
        let request = session.signer().list_request(list, session.now()).await?;
        let reply = self.0.pool.send(request, silence).await;
        let reply = reply.map_err(|error| GetError::of_transport(&error))?;
        let (head, body) = reply.into_parts();
        if head.status.is_success() && head.status != StatusCode::OK {
            let message = format!(
                "a page of the listing came with status {}",
                head.status.as_u16()
            );
            let error = GetError::transient(ErrorCode::InvalidResponse, message);
            return Err(error.with_status(head.status));
        }
        if head.status != StatusCode::OK {
            let error_body = read_beginning(body, self.0.timeout).await;
            return Err(self.refusal(session, false, &head, &error_body));
        }
        let body = whole(body, silence).await?;
        let page = Page::read(&body, list.asked_prefix()).and_then(|mut page| {
            sequence.accept(&page)?;
            page.retain(list.prefix);
            Ok(page)
        });
        match page {
            Ok(page) => {
                self.0.is_known_as_s3.store(true, Relaxed);
                Ok(page)
            }
            Err(PageFault::Error) => Err(self.refusal(session, false, &head, &body)),
            Err(fault) => {
                let message = format!("a page of the listing is not valid: {fault}");
                let error = GetError::transient(ErrorCode::InvalidResponse, message);
                Err(error.with_status(head.status))
            }
        }
    }
}

/// Whether the bucket's keys are listed in order, which those of directory buckets are not.
pub(crate) fn lists_in_order(bucket: &str) -> bool {
    !is_directory_bucket(bucket)
}

/// Reads a page's body to its end.
async fn whole(body: Incoming, silence: Duration) -> Result<Vec<u8>, GetError> {
    let mut body = Body::new(body, silence);
    let mut read = Vec::new();
    while let Some(bytes) = body.next().await? {
        if read.len() + bytes.len() > MAX_PAGE {
            let most = count(MAX_PAGE as u64, "byte");
            let message = format!("a page of the listing has more than {most}");
            return Err(GetError::transient(ErrorCode::InvalidResponse, message));
        }
        read.extend_from_slice(&bytes);
    }
    Ok(read)
}

/// Reads bytes as a page, for fuzzing. The first line is the prefix that was asked for.
#[cfg(fuzzing)]
pub(crate) fn read_page(bytes: &[u8]) {
    let (prefix, body) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (&[][..], bytes),
    };
    let prefix = String::from_utf8_lossy(prefix);
    let Ok(page) = Page::read(body, &prefix) else {
        return;
    };
    for entry in page.rows.iter().flatten() {
        assert!(!entry.key.is_empty() && entry.key.starts_with(&*prefix));
    }
    let mut sequence = Sequence::new(true);
    let has_keys = page.rows.iter().any(Result::is_ok);
    if sequence.accept(&page).is_ok() && has_keys {
        assert!(
            sequence.accept(&page).is_err(),
            "the same page follows itself"
        );
    }
}
