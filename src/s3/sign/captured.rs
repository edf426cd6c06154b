//! Requests for pages of a listing that the SDK makes and signs, and this program sends: the SDK cannot presign them, so it
//! is stopped right before it would send one.

use std::sync::{Arc, Mutex};

use aws_sdk_s3::types::{EncodingType, RequestPayer};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;

use super::presigned::{Signer, error_of};
use super::template::{every_request_s_headers, not_built};
use crate::locks::lock;
use crate::s3::error::GetError;
use crate::s3::list::ListRequest;

impl Signer {
    /// The request for a page.
    ///
    /// # Errors
    /// When the SDK cannot make it: for S3 Express, it first asks S3 for a session.
    pub(crate) async fn list_request(
        &self,
        list: &ListRequest<'_>,
    ) -> Result<Request<Full<Bytes>>, GetError> {
        let captured = Captured::default();
        let stopped = self
            .sdk
            .list_objects_v2()
            .bucket(&self.bucket)
            .encoding_type(EncodingType::Url)
            .set_prefix(Some(list.asked_prefix().to_owned()).filter(|prefix| !prefix.is_empty()))
            .set_continuation_token(list.token.map(str::to_owned))
            .set_request_payer(self.requester_pays.then_some(RequestPayer::Requester))
            .customize()
            .interceptor(captured.clone())
            .send()
            .await;
        let request = lock(&captured.0).take();
        match (request, stopped) {
            (Some(request), _) => request,
            (None, Err(error)) => Err(error_of(&error)),
            (None, Ok(_)) => Err(not_built(&std::io::Error::other("it was sent by the SDK"))),
        }
    }
}

type Made = Result<Request<Full<Bytes>>, GetError>;

/// Takes the signed request away from the SDK.
#[derive(Debug, Clone, Default)]
struct Captured(Arc<Mutex<Option<Made>>>);

impl Intercept for Captured {
    fn name(&self) -> &'static str {
        "Captured"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let signed = context.request();
        let request = sendable(signed.uri(), signed.headers().iter());
        *lock(&self.0) = Some(request);
        Err("it is sent by this program".into())
    }
}

fn sendable<'a>(
    url: &str,
    signed: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<Request<Full<Bytes>>, GetError> {
    let mut request = Request::new(Full::default());
    *request.uri_mut() = url.parse().map_err(|error| {
        let error: http::uri::InvalidUri = error;
        not_built(&error)
    })?;
    *request.headers_mut() = every_request_s_headers();
    for (name, value) in signed {
        let name = HeaderName::try_from(name).map_err(|error| not_built(&error))?;
        // These are not signed: the connection has its own length, and the program its own name.
        if name == USER_AGENT || name == CONTENT_LENGTH {
            continue;
        }
        let value = HeaderValue::try_from(value).map_err(|error| not_built(&error))?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}
