//! One GET: [`GetRequest`] in, [`GetResponse`] or a [`GetError`](super::GetError) out.

use std::ops::Range;
use std::time::SystemTime;

use super::body::Body;
use super::checksum::Checksum;
use crate::etag::ETag;
use crate::outcome::Description;

/// Whether an object is sent, or only what its answer would say of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
}

impl Method {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
        }
    }
}

impl From<Method> for http::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::GET,
            Method::Head => Self::HEAD,
        }
    }
}

/// What an object is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It is one of those that the run is about.
    Object,
    /// It is a list of them, which is not encrypted with their customer's key: S3 refuses a key for an object without one.
    List,
}

/// What to get.
#[derive(Debug, Clone)]
pub(crate) struct GetRequest<'a> {
    pub method: Method,
    pub purpose: Purpose,
    /// The bucket, if the client is not for a single one.
    pub bucket: Option<&'a str>,
    pub key: &'a str,
    pub version_id: Option<&'a str>,
    /// Fail with [`GetError::is_not_modified`](super::GetError::is_not_modified) unless the object was modified after this
    /// time, of which only whole seconds count. Some servers ignore this and send the object.
    pub if_modified_since: Option<SystemTime>,
    /// `None` for the whole object.
    pub part: Option<Part<'a>>,
    /// Whether the object has failed before: then it may be its requests that have connections closed.
    pub has_failed: bool,
}

/// A range of an object that an earlier answer described.
#[derive(Debug, Clone)]
pub(crate) struct Part<'a> {
    /// Byte offsets from 0; not empty.
    pub range: Range<u64>,
    /// The object's ETag, which is a strong one. Another ETag means another object.
    pub etag: &'a ETag,
    /// Size of the whole object in bytes.
    pub size: u64,
    /// The object's `Last-Modified`, if it is known. Another time means another object.
    pub last_modified: Option<SystemTime>,
}

/// An object, or the part that was asked for, with its body still to be read.
#[derive(Debug)]
pub(crate) struct GetResponse<B = Body> {
    /// Length of the body in bytes; `None` if the server does not state it.
    pub length: Option<u64>,
    pub etag: Option<ETag>,
    pub version_id: Option<String>,
    pub last_modified: Option<SystemTime>,
    /// A checksum of the whole object, if S3 returned one that the bytes can be compared with.
    pub checksum: Option<Checksum>,
    /// The whole object's MD5, if its ETag may be one.
    pub md5: Option<[u8; 16]>,
    /// Whether the bytes are encoded, by what the answer says: they are stored so, or were compressed on the way.
    pub is_encoded: bool,
    /// How the object is described; `None` for a part of it.
    pub description: Option<Box<Description>>,
    /// Whether the end of the connection marks the end of the body, so that only `checksum` tells a whole body from a
    /// broken one.
    pub ends_with_connection: bool,
    pub body: B,
}

impl GetResponse<()> {
    pub(super) fn with(self, body: Body) -> GetResponse {
        GetResponse {
            length: self.length,
            etag: self.etag,
            version_id: self.version_id,
            last_modified: self.last_modified,
            checksum: self.checksum,
            md5: self.md5,
            is_encoded: self.is_encoded,
            description: self.description,
            ends_with_connection: self.ends_with_connection,
            body,
        }
    }
}

impl<B> GetResponse<B> {
    /// The ETag, if it can be used to request parts.
    pub(crate) fn strong_etag(&self) -> Option<&ETag> {
        self.etag.as_ref().filter(|etag| etag.is_strong())
    }
}
