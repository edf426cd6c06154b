//! Requests that the SDK makes and this program sends: for S3 Express, and for servers that accept no others.

use std::time::{Duration, UNIX_EPOCH};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::create_session::CreateSessionError;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::types::{ChecksumMode, RequestPayer};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::DateTime;
use aws_smithy_types::config_bag::ConfigBag;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::Full;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::template::{every_request_s_headers, not_built, range};
use crate::outcome::ErrorCode;
use crate::s3::causes::{find_cause, one_line};
use crate::s3::class::classify;
use crate::s3::customer_key::{ALGORITHM, CustomerKey};
use crate::s3::error::GetError;
use crate::s3::get::{GetRequest, Method, Purpose};

/// How long the server accepts a request after it was made. It is sent at once, so this is ample.
const VALID: Duration = Duration::from_mins(15);

/// The SDK's client, with the session's region and credentials.
#[derive(Debug)]
pub(crate) struct Signer {
    pub sdk: aws_sdk_s3::Client,
    pub bucket: String,
    pub requester_pays: bool,
    /// With which the objects are encrypted.
    pub customer_key: Option<CustomerKey>,
}

impl Signer {
    /// The request for `get`; `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When the SDK cannot make it: for S3 Express, it first asks S3 for a session.
    pub(crate) async fn request(
        &self,
        get: &GetRequest<'_>,
        now: u64,
    ) -> Result<Request<Full<Bytes>>, GetError> {
        let part = get.part.as_ref();
        let key = self.customer_key(get);
        let since = get.if_modified_since.map(|time| {
            let seconds = time
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs();
            DateTime::from_secs(seconds.try_into().unwrap_or(i64::MAX))
        });
        let config = PresigningConfig::builder()
            .start_time(UNIX_EPOCH + Duration::from_secs(now))
            .expires_in(VALID)
            .build()
            .map_err(|error| not_built(&error))?;
        // The SDK treats a key that is only white space as unset (aws-sdk-rust issue 1216).
        let is_blank = get.key.trim().is_empty();
        if get.method == Method::Head {
            return self.head(get, config).await;
        }
        let object = self
            .sdk
            .get_object()
            .bucket(&self.bucket)
            .key(if is_blank { BLANK_STAND_IN } else { get.key })
            .checksum_mode(ChecksumMode::Enabled)
            .set_version_id(get.version_id.map(str::to_owned))
            .set_request_payer(self.requester_pays.then_some(RequestPayer::Requester))
            .set_sse_customer_algorithm(key.map(|_| ALGORITHM.to_owned()))
            .set_sse_customer_key(key.map(|key| key.base64().to_owned()))
            .set_sse_customer_key_md5(key.map(|key| key.md5().to_owned()))
            .set_range(part.map(|part| range(part.range.start, part.range.end)))
            .set_if_match(part.map(|part| part.etag.to_string()))
            .set_if_modified_since(since);
        let presigned = if is_blank {
            let right_key = BlankKey(get.key.to_owned());
            let object = object.customize().interceptor(right_key);
            object.presigned(config).await
        } else {
            object.presigned(config).await
        };
        let presigned = presigned.map_err(|error| error_of(&error))?;
        request_of(&presigned)
    }

    /// The key that the object of `get` is encrypted with, if there is one.
    fn customer_key(&self, get: &GetRequest<'_>) -> Option<&CustomerKey> {
        let key = self.customer_key.as_ref();
        key.filter(|_| get.purpose == Purpose::Object)
    }

    async fn head(
        &self,
        get: &GetRequest<'_>,
        config: PresigningConfig,
    ) -> Result<Request<Full<Bytes>>, GetError> {
        let is_blank = get.key.trim().is_empty();
        let key = self.customer_key(get);
        let object = self
            .sdk
            .head_object()
            .bucket(&self.bucket)
            .key(if is_blank { BLANK_STAND_IN } else { get.key })
            .checksum_mode(ChecksumMode::Enabled)
            .set_version_id(get.version_id.map(str::to_owned))
            .set_request_payer(self.requester_pays.then_some(RequestPayer::Requester))
            .set_sse_customer_algorithm(key.map(|_| ALGORITHM.to_owned()))
            .set_sse_customer_key(key.map(|key| key.base64().to_owned()))
            .set_sse_customer_key_md5(key.map(|key| key.md5().to_owned()));
        let presigned = if is_blank {
            let right_key = BlankKey(get.key.to_owned());
            let object = object.customize().interceptor(right_key);
            object.presigned(config).await
        } else {
            object.presigned(config).await
        };
        request_of(&presigned.map_err(|error| error_of(&error))?)
    }
}

/// The SDK's request as one that is sent here.
fn request_of(presigned: &PresignedRequest) -> Result<Request<Full<Bytes>>, GetError> {
    let mut request = Request::new(Full::default());
    let method = http::Method::from_bytes(presigned.method().as_bytes());
    *request.method_mut() = method.map_err(|error| not_built(&error))?;
    *request.uri_mut() = presigned.uri().parse().map_err(|error| {
        let error: http::uri::InvalidUri = error;
        not_built(&error)
    })?;
    *request.headers_mut() = every_request_s_headers();
    for (name, value) in presigned.headers() {
        let name = HeaderName::try_from(name).map_err(|error| not_built(&error))?;
        let value = HeaderValue::try_from(value).map_err(|error| not_built(&error))?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// The SDK gets this in place of a key that is only white space.
const BLANK_STAND_IN: &str = "-";

/// Replaces [`BLANK_STAND_IN`] in the SDK's request by the key, which is only white space.
#[derive(Debug)]
struct BlankKey(String);

impl Intercept for BlankKey {
    fn name(&self) -> &'static str {
        "BlankKey"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request_mut();
        let (url, query) = match request.uri().split_once('?') {
            Some((url, query)) => (url, format!("?{query}")),
            None => (request.uri(), String::new()),
        };
        let bucket = url
            .strip_suffix(BLANK_STAND_IN)
            .ok_or("an unexpected URL")?;
        let key = utf8_percent_encode(&self.0, NON_ALPHANUMERIC);
        let url = format!("{bucket}{key}{query}");
        request.set_uri(url)?;
        Ok(())
    }
}

/// Why the SDK made no request: S3 refused a session or could not be reached, or the key is not valid.
pub(super) fn error_of<E: std::error::Error + Send + Sync + 'static>(
    error: &SdkError<E, HttpResponse>,
) -> GetError {
    if let Some(refused) = find_cause::<SdkError<CreateSessionError, HttpResponse>>(error) {
        let status = refused.raw_response().map(|reply| reply.status().as_u16());
        let message = format!(
            "no session with the directory bucket: {}",
            one_line(refused)
        );
        let Some(status) = status else {
            return GetError::transient(ErrorCode::ConnectionFailed, message);
        };
        let code = refused
            .as_service_error()
            .and_then(ProvideErrorMetadata::code);
        let name = code.map_or_else(|| format!("Http{status}"), str::to_owned);
        let mut error = GetError::new(classify(code, status), ErrorCode::S3(name), message);
        error.status = Some(status);
        return error;
    }
    match error {
        SdkError::ConstructionFailure(_) => not_built(&error),
        // Nothing is sent but what was told apart above, so what fails is the way to it.
        error => GetError::transient(ErrorCode::ConnectionFailed, one_line(error)),
    }
}
