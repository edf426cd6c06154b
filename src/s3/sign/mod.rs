//! Makes the requests that are sent, signed in one of several ways.

mod captured;
pub(super) mod presigned;
pub(super) mod sigv4;
pub(super) mod template;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use self::template::Template;
use super::error::GetError;
use super::get::GetRequest;

/// How requests are made.
#[derive(Debug)]
pub(super) enum Signer {
    Anonymous(Template),
    SigV4(Template, sigv4::Key),
    /// By the SDK, for buckets that need its own rules of endpoints and signatures.
    Presigned(presigned::Signer),
}

impl Signer {
    /// The request for `get`, valid at `now`: seconds since 1970 by the server's clock.
    ///
    /// # Errors
    /// [`GetError`] if it cannot be made.
    pub(super) async fn request(
        &self,
        get: &GetRequest<'_>,
        now: u64,
    ) -> Result<Request<Full<Bytes>>, GetError> {
        match self {
            Self::Anonymous(template) => template.request(get),
            Self::SigV4(template, key) => {
                let mut request = template.request(get)?;
                key.sign(&mut request, now);
                Ok(request)
            }
            // Boxed, so that this future is not as large as the SDK's for every request.
            Self::Presigned(signer) => Box::pin(signer.request(get, now)).await,
        }
    }
}
