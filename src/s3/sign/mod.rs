//! How a request comes to be: `Signer` makes the one that is sent, whoever signs it.

pub mod presigned;
pub mod sigv4;
pub mod template;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;

use self::template::Template;
use super::error::GetError;
use super::get::GetRequest;

/// Who makes requests.
#[derive(Debug)]
pub enum Signer {
    Anonymous(Template),
    SigV4(Template, sigv4::Key),
    /// The SDK, for what needs its own rules of endpoints and signatures.
    Presigned(presigned::Signer),
}

impl Signer {
    /// The request for `get`, valid at `now` by the server's clock, as seconds since 1970.
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn request(
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
            // Boxed, so that requests that the SDK does not make do not carry its future's size.
            Self::Presigned(signer) => Box::pin(signer.request(get, now)).await,
        }
    }
}
