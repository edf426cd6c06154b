//! Requests without a signature.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HOST, IF_MATCH, IF_MODIFIED_SINCE, RANGE, USER_AGENT};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::outcome::{Class, ErrorCode};
use crate::s3::account::endpoint::Endpoint;
use crate::s3::customer_key::CustomerKey;
use crate::s3::date;
use crate::s3::error::GetError;
use crate::s3::get::{GetRequest, Purpose};

const USER_AGENT_VALUE: HeaderValue =
    HeaderValue::from_static(concat!("s3pull/", env!("CARGO_PKG_VERSION")));
/// Asks gateways not to compress objects on the way.
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// The characters that are not percent-encoded in a query (SigV4, `UriEncode`).
pub(crate) const QUERY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');
/// The characters that are not percent-encoded in a path.
const PATH: &AsciiSet = &QUERY.remove(b'/');

/// What the requests of a session have in common, and where they go.
#[derive(Debug)]
pub(crate) struct Template {
    scheme: Scheme,
    authority: Authority,
    /// The path before the key, with `/` at both ends.
    prefix: String,
    headers: HeaderMap,
    /// With which the objects are encrypted.
    customer_key: Option<CustomerKey>,
}

impl Template {
    pub(crate) fn new(endpoint: &Endpoint, requester_pays: bool) -> Self {
        let mut headers = every_request_s_headers();
        headers.insert(HOST, endpoint.host_header());
        headers.insert(
            HeaderName::from_static("x-amz-checksum-mode"),
            HeaderValue::from_static("ENABLED"),
        );
        if requester_pays {
            headers.insert(
                HeaderName::from_static("x-amz-request-payer"),
                HeaderValue::from_static("requester"),
            );
        }
        Self {
            scheme: endpoint.scheme.clone(),
            authority: endpoint.authority.clone(),
            prefix: endpoint.prefix.clone(),
            headers,
            customer_key: None,
        }
    }

    /// For objects that are encrypted with `customer_key`, if there is one.
    pub(crate) fn with_customer_key(self, customer_key: Option<CustomerKey>) -> Self {
        Self {
            customer_key,
            ..self
        }
    }

    /// The request for `get`, without a signature.
    ///
    /// # Errors
    /// When the key cannot be part of a URL.
    pub(crate) fn request(&self, get: &GetRequest<'_>) -> Result<Request<Full<Bytes>>, GetError> {
        let mut path = String::with_capacity(self.prefix.len() + get.key.len() + 64);
        path.push_str(&self.prefix);
        path.extend(utf8_percent_encode(get.key, PATH));
        if let Some(version_id) = get.version_id {
            path.push_str("?versionId=");
            path.extend(utf8_percent_encode(version_id, QUERY));
        }
        let path = PathAndQuery::from_maybe_shared(Bytes::from(path));
        let mut request = Request::new(Full::default());
        *request.method_mut() = get.method.into();
        *request.uri_mut() = self.uri(path.map_err(|error| not_built(&error))?)?;
        *request.headers_mut() = self.headers.clone();
        if let (Some(key), Purpose::Object) = (&self.customer_key, get.purpose) {
            key.insert_into(request.headers_mut());
        }
        insert_conditions(request.headers_mut(), get)?;
        Ok(request)
    }
}

impl Template {
    /// The request for the bucket itself with `query`, which is encoded; without a signature.
    ///
    /// # Errors
    /// When the query cannot be part of a URL.
    pub(crate) fn bucket_request(&self, query: &str) -> Result<Request<Full<Bytes>>, GetError> {
        let path = PathAndQuery::from_maybe_shared(Bytes::from(format!("{}?{query}", self.prefix)));
        let mut request = Request::new(Full::default());
        *request.uri_mut() = self.uri(path.map_err(|error| not_built(&error))?)?;
        *request.headers_mut() = self.headers.clone();
        // It is for objects.
        request.headers_mut().remove("x-amz-checksum-mode");
        Ok(request)
    }

    fn uri(&self, path: PathAndQuery) -> Result<Uri, GetError> {
        let mut parts = http::uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).map_err(|error| not_built(&error))
    }
}

/// The headers that every request has and that are not signed.
pub(crate) fn every_request_s_headers() -> HeaderMap {
    // Leaves room for the other headers.
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(USER_AGENT, USER_AGENT_VALUE);
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    headers
}

fn insert_conditions(headers: &mut HeaderMap, get: &GetRequest<'_>) -> Result<(), GetError> {
    if let Some(part) = &get.part {
        let range = HeaderValue::try_from(range(part.range.start, part.range.end));
        headers.insert(RANGE, range.map_err(|error| not_built(&error))?);
        let etag = HeaderValue::from_str(part.etag.as_str());
        headers.insert(IF_MATCH, etag.map_err(|error| not_built(&error))?);
    }
    if let Some(since) = get.if_modified_since {
        // Rounded down: an object fetched in vain is better than a change that is missed.
        let since = HeaderValue::try_from(date::http_date(since));
        headers.insert(IF_MODIFIED_SINCE, since.map_err(|error| not_built(&error))?);
    }
    Ok(())
}

/// The value of `Range` for the bytes from `start` up to but not including `end`.
pub(crate) fn range(start: u64, end: u64) -> String {
    format!("bytes={start}-{}", end - 1)
}

/// A request that cannot be made fails one row only: other keys may work.
pub(crate) fn not_built(error: &dyn std::error::Error) -> GetError {
    let message = format!("no request can be made for this key: {error}");
    GetError::new(Class::Permanent, ErrorCode::InvalidKey, message)
}
