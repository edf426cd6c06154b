//! One GET: [`GetRequest`] in, [`GetResponse`] or a [`GetError`](super::GetError) out.

use std::ops::Range;
use std::time::SystemTime;

use super::body::Body;
use super::checksum::Checksum;

/// What to get.
#[derive(Debug, Clone)]
pub struct GetRequest<'a> {
    pub key: &'a str,
    pub version_id: Option<&'a str>,
    /// Where the object was not modified after this time, of which whole seconds count, there is no answer but
    /// [`GetError::is_not_modified`](super::GetError::is_not_modified); some servers send it nevertheless.
    pub if_modified_since: Option<SystemTime>,
    /// `None` for the whole object.
    pub part: Option<Part<'a>>,
}

/// A range of an object that is known from an earlier answer.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// Bytes, from 0; not empty.
    pub range: Range<u64>,
    /// The object's ETag, with its quotes: another one is another object.
    pub etag: &'a str,
    /// Bytes of the whole object.
    pub size: u64,
    /// Another time is another object's.
    pub last_modified: Option<SystemTime>,
}

/// An object, or the part that was asked for, its body still to be read.
#[derive(Debug)]
pub struct GetResponse<B = Body> {
    /// Bytes of the body; `None` where the server does not say.
    pub length: Option<u64>,
    /// As the server wrote it, with its quotes.
    pub etag: Option<String>,
    pub version_id: Option<String>,
    pub last_modified: Option<SystemTime>,
    /// A checksum of the whole object, where S3 returned one that its bytes can be compared with.
    pub checksum: Option<Checksum>,
    /// The whole object's MD5, where its ETag may be that.
    pub md5: Option<[u8; 16]>,
    /// Whether the connection's end is the body's end, so that nothing but `checksum` tells a whole body from a
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
            ends_with_connection: self.ends_with_connection,
            body,
        }
    }
}

impl<B> GetResponse<B> {
    /// The ETag, if more of the object can be asked for by it: `If-Match` compares strongly (RFC 9110, 13.1.1), so that
    /// a weak ETag never matches, and one without quotes is not one.
    pub fn strong_etag(&self) -> Option<&str> {
        let etag = self.etag.as_deref()?;
        let inner = etag.strip_prefix('"')?.strip_suffix('"')?;
        (!inner.is_empty()).then_some(etag)
    }
}
