//! AWS Signature Version 4 for requests without a body ("Create a signed AWS API request", AWS IAM user guide).
//!
//! `aws-sigv4` does the same for any request, but derives the signing key of the day anew each time, which costs more than
//! the rest of a GET of a small object. The tests compare the signatures made here with those of `aws-sigv4`.

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::sync::{Arc, RwLock};

use aws_credential_types::Credentials;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{AUTHORIZATION, HOST, IF_MATCH, IF_MODIFIED_SINCE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use http_body_util::Full;
use sha2::{Digest, Sha256};

use crate::locks;
use crate::s3::{customer_key, date};

/// The SHA-256 of an empty body, which is what a GET has.
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The headers that are signed where present, in the order of signing: the host, those that change the reply, and all
/// of AWS's own.
static SIGNED: [HeaderName; 12] = [
    HOST,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    RANGE,
    HeaderName::from_static("x-amz-checksum-mode"),
    HeaderName::from_static("x-amz-content-sha256"),
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-request-payer"),
    HeaderName::from_static("x-amz-security-token"),
    customer_key::ALGORITHM_HEADER,
    customer_key::KEY_HEADER,
    customer_key::MD5_HEADER,
];

/// Signs for one set of credentials, region and service.
pub(crate) struct Key {
    access_key_id: String,
    secret: Vec<u8>,
    token: Option<HeaderValue>,
    region: String,
    service: String,
    /// The signing key of the most recent day.
    day: RwLock<Arc<Day>>,
}

struct Day {
    /// `20240131`.
    date: [u8; 8],
    /// `20240131/eu-west-1/s3/aws4_request`.
    scope: String,
    key: Hmac<Sha256>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl Key {
    /// `None` if the session token cannot be a header's value.
    pub(crate) fn new(credentials: &Credentials, region: &str, service: &str) -> Option<Self> {
        let token = match credentials.session_token() {
            Some(token) => {
                let mut token = HeaderValue::from_str(token).ok()?;
                token.set_sensitive(true);
                Some(token)
            }
            None => None,
        };
        let secret = format!("AWS4{}", credentials.secret_access_key()).into_bytes();
        let date = *b"19700101";
        Some(Self {
            access_key_id: credentials.access_key_id().to_owned(),
            day: RwLock::new(Arc::new(Day::new(&secret, date, region, service))),
            secret,
            token,
            region: region.to_owned(),
            service: service.to_owned(),
        })
    }

    /// Signs the request as made at `now`, in seconds since 1970.
    pub(crate) fn sign(&self, request: &mut Request<Full<Bytes>>, now: u64) {
        let [year, month, day, hour, minute, second] = date::fields(now);
        let mut time = String::with_capacity(16);
        // Writing to a string never fails.
        let _ = write!(
            time,
            "{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"
        );
        let day = self.day(&time);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let headers = request.headers_mut();
        headers.insert(
            HeaderName::from_static("x-amz-content-sha256"),
            HeaderValue::from_static(EMPTY_SHA256),
        );
        headers.insert(HeaderName::from_static("x-amz-date"), ascii(time.clone()));
        if let Some(token) = &self.token {
            headers.insert(
                HeaderName::from_static("x-amz-security-token"),
                token.clone(),
            );
        }
        let mut signed_headers = String::with_capacity(192);
        let canonical = canonical_request(
            method.as_str(),
            uri.path(),
            uri.query().unwrap_or_default(),
            headers,
            &mut signed_headers,
        );
        let digest = hex(&Sha256::digest(canonical));
        let mut to_sign = String::with_capacity(192);
        for line in [
            ALGORITHM,
            "\n",
            &time,
            "\n",
            &day.scope,
            "\n",
            as_text(&digest),
        ] {
            to_sign.push_str(line);
        }
        let mut mac = day.key.clone();
        mac.update(to_sign.as_bytes());
        let signature = hex(&mac.finalize().into_bytes());
        let mut authorization = String::with_capacity(384);
        for text in [
            ALGORITHM,
            " Credential=",
            &self.access_key_id,
            "/",
            &day.scope,
            ", SignedHeaders=",
            &signed_headers,
            ", Signature=",
            as_text(&signature),
        ] {
            authorization.push_str(text);
        }
        let mut authorization = ascii(authorization);
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
    }

    /// The signing key for the day of `time`, derived when it is first needed.
    fn day(&self, time: &str) -> Arc<Day> {
        let date: [u8; 8] = *time.as_bytes().first_chunk().unwrap_or(b"19700101");
        let known = Arc::clone(&locks::read(&self.day));
        if known.date == date {
            return known;
        }
        let day = Arc::new(Day::new(&self.secret, date, &self.region, &self.service));
        *locks::write(&self.day) = Arc::clone(&day);
        day
    }
}

impl Day {
    fn new(secret: &[u8], date: [u8; 8], region: &str, service: &str) -> Self {
        let mac = |key: &[u8], message: &[u8]| {
            let mut mac = keyed(key);
            mac.update(message);
            mac.finalize().into_bytes()
        };
        let key = mac(secret, &date);
        let key = mac(&key, region.as_bytes());
        let key = mac(&key, service.as_bytes());
        let key = mac(&key, b"aws4_request");
        let shown = as_text(&date);
        Self {
            scope: format!("{shown}/{region}/{service}/aws4_request"),
            key: keyed(&key),
            date,
        }
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// The request in the canonical form that both sides hash; the names of its headers are added to `signed_headers`.
fn canonical_request(
    method: &str,
    path: &str,
    query: &str,
    headers: &HeaderMap,
    signed_headers: &mut String,
) -> String {
    let mut text = String::with_capacity(2048);
    for line in [method, "\n", path, "\n", query, "\n"] {
        text.push_str(line);
    }
    for name in &SIGNED {
        let Some(value) = headers.get(name) else {
            continue;
        };
        text.push_str(name.as_str());
        text.push(':');
        push_value(&mut text, value);
        text.push('\n');
        if !signed_headers.is_empty() {
            signed_headers.push(';');
        }
        signed_headers.push_str(name.as_str());
    }
    for line in ["\n", signed_headers, "\n", EMPTY_SHA256] {
        text.push_str(line);
    }
    text
}

/// Appends a header's value without blanks around it, and with each run of blanks within it as one.
fn push_value(text: &mut String, value: &HeaderValue) {
    // All values that are signed are made from text.
    let value = value.to_str().unwrap_or_default().trim_matches(' ');
    let mut was_blank = false;
    if !value.contains("  ") {
        text.push_str(value);
        return;
    }
    for c in value.chars() {
        if c != ' ' || !was_blank {
            text.push(c);
        }
        was_blank = c == ' ';
    }
}

/// The text as a header's value; it must be printable ASCII.
fn ascii(text: String) -> HeaderValue {
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("the credentials were checked")
}

fn hex(bytes: &[u8]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [0; 64];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    hex
}

fn as_text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}
