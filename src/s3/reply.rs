//! Reads the head of the reply to a GET. All functions are pure, so that tests can try any reply.

#[cfg(test)]
mod tests;

use http::header::TRANSFER_ENCODING;
use http::response::Parts;
use http::{HeaderMap, StatusCode};

use super::date;
use super::error::{GetError, changed};
use super::get::{GetResponse, Part};
use super::headers::{
    Headers, checksum_of, description_of, md5_of, number, parse_content_range, text,
};
use crate::etag::ETag;
use crate::outcome::{Class, ErrorCode};
use crate::printable::{self, count};

/// What marks the end of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Its length in bytes.
    Counted(u64),
    /// A last, empty chunk.
    Chunked,
    /// The end of the connection.
    Connection,
}

impl Framing {
    /// `length` is the body's length by the rules of HTTP.
    pub(super) fn of(head: &Parts, length: Option<u64>) -> Self {
        // Of several codings, the last one frames the body (RFC 9112, 6.3): after any other than `chunked` nothing but the
        // end of the connection ends it.
        let ends_in_chunked = || {
            let last = transfer_codings(&head.headers).next_back();
            last.is_some_and(|last| last.eq_ignore_ascii_case("chunked"))
        };
        match length {
            Some(length) => Self::Counted(length),
            None if ends_in_chunked() => Self::Chunked,
            None => Self::Connection,
        }
    }

    /// The length of a body that is not sent: that of a HEAD.
    pub(super) fn of_absent(head: &Parts) -> Self {
        let length = head.headers.get(http::header::CONTENT_LENGTH);
        let length = length.and_then(text).and_then(number);
        length.map_or(Self::Chunked, Self::Counted)
    }
}

impl GetResponse<()> {
    /// Reads the head of a reply with a status of success to a GET of a whole object, or of `part`.
    ///
    /// # Errors
    /// When the reply is not, or may not be, what was asked for.
    pub(super) fn read(
        head: &Parts,
        framing: Framing,
        part: Option<&Part<'_>>,
    ) -> Result<Self, GetError> {
        let headers = Headers::read(&head.headers);
        let length = match framing {
            Framing::Counted(length) => Some(length),
            Framing::Chunked | Framing::Connection => None,
        };
        let etag = headers.etag.map(ETag::of_header);
        check_codings(head)?;
        match part {
            Some(part) => check_part(head.status, &headers, etag.as_ref(), length, part)?,
            None => check_whole(head.status, &headers, length)?,
        }
        let response = Self {
            length,
            md5: md5_of(&headers, etag.as_ref()),
            is_encoded: encoding(&headers).is_some(),
            etag,
            version_id: headers.version_id.map(str::to_owned),
            last_modified: headers.last_modified.and_then(date::parse),
            // Some servers return the whole object's checksum with a part.
            checksum: part.is_none().then(|| checksum_of(&headers)).flatten(),
            description: part
                .is_none()
                .then(|| Box::new(description_of(&head.headers))),
            ends_with_connection: framing == Framing::Connection,
            body: (),
        };
        if response.checksum.is_none() && part.is_none() {
            check_body(&headers, response.etag.as_ref(), framing)?;
        }
        Ok(response)
    }
}

/// Checks that the reply is the whole object: its status is 200, or 206 with a range that covers all of it. A range that
/// comes with a 200 is checked too.
fn check_whole(
    status: StatusCode,
    headers: &Headers<'_>,
    length: Option<u64>,
) -> Result<(), GetError> {
    let covers_all = |content_range| {
        parse_content_range(content_range).is_some_and(|(range, size)| {
            let has_length = length.is_none_or(|length| length == range.end);
            range.start == 0 && size == Some(range.end) && has_length
        })
    };
    let is_whole = match (status, headers.content_range) {
        (StatusCode::OK, None) => true,
        (StatusCode::OK | StatusCode::PARTIAL_CONTENT, Some(range)) => covers_all(range),
        _ => false,
    };
    if is_whole {
        return Ok(());
    }
    let message = format!(
        "the answer may not be the whole object: status {}{}",
        status.as_u16(),
        shown_range(headers)
    );
    Err(invalid(status, message))
}

/// Checks that the reply is the part that was asked for.
fn check_part(
    status: StatusCode,
    headers: &Headers<'_>,
    etag: Option<&ETag>,
    length: Option<u64>,
    part: &Part<'_>,
) -> Result<(), GetError> {
    // Not every server honours `If-Match`.
    if let Some(etag) = etag.filter(|etag| *etag != part.etag) {
        let error = changed(format!("its ETag was {}, and is {etag}", part.etag));
        return Err(error.by_etag());
    }
    if status == StatusCode::OK {
        let message =
            "the server ignores `Range`: it answered a part's request as one for the whole object";
        let ignored = GetError::transient(ErrorCode::InvalidResponse, message);
        return Err(ignored.with_status(status).without_parts());
    }
    if status != StatusCode::PARTIAL_CONTENT {
        let message = format!("asked for a part, got status {}", status.as_u16());
        return Err(invalid(status, message));
    }
    let Some((range, size)) = headers.content_range.and_then(parse_content_range) else {
        let message = format!(
            "a part without a usable `Content-Range`{}",
            shown_range(headers)
        );
        return Err(invalid(status, message));
    };
    let times = headers
        .last_modified
        .and_then(date::parse)
        .zip(part.last_modified);
    if times.is_some_and(|(now, before)| now != before) {
        return Err(changed("it has another `Last-Modified`"));
    }
    if size.is_some_and(|size| size != part.size) {
        return Err(changed(format!(
            "it had {}, and has {}",
            count(part.size, "byte"),
            printable::number(size.unwrap_or_default())
        )));
    }
    // Without an ETag, the time and the size must show that it is the same object.
    if etag.is_none() && (times.is_none() || size.is_none()) {
        let message = "a part without an `ETag`, so that it may be of another object";
        return Err(invalid(status, message).without_parts());
    }
    if range != part.range || length.is_some_and(|length| length != range.end - range.start) {
        let stated = length.map_or_else(String::new, |length| {
            format!(" in {}", count(length, "byte"))
        });
        let message = format!(
            "asked for the bytes {}-{}, got {}-{}{stated}",
            part.range.start,
            part.range.end - 1,
            range.start,
            range.end - 1
        );
        return Err(invalid(status, message));
    }
    Ok(())
}

/// The codings that the body is sent in, in the order in which they were applied.
fn transfer_codings(headers: &HeaderMap) -> impl DoubleEndedIterator<Item = &str> {
    let values = headers.get_all(TRANSFER_ENCODING).into_iter();
    let codings = values.flat_map(|value| value.to_str().unwrap_or("?").split(','));
    codings.map(str::trim)
}

/// Checks that no coding but HTTP's own framing has changed the body, since no other one is undone here.
fn check_codings(head: &Parts) -> Result<(), GetError> {
    let is_framing = |coding: &&str| {
        let known = ["chunked", "identity", ""];
        known.iter().any(|known| coding.eq_ignore_ascii_case(known))
    };
    match transfer_codings(&head.headers).find(|coding| !is_framing(coding)) {
        None => Ok(()),
        Some(coding) => Err(compressed("Transfer-Encoding", coding)),
    }
}

/// Checks that the body can be trusted to be the object although there is no checksum.
fn check_body(
    headers: &Headers<'_>,
    etag: Option<&ETag>,
    framing: Framing,
) -> Result<(), GetError> {
    if framing == Framing::Connection {
        let message =
            "the answer states neither the length nor the end of its body, and no checksum";
        return Err(invalid(StatusCode::OK, message));
    }
    // S3 states the length of what it stores. A gateway that compresses does not know the length beforehand, or weakens
    // the ETag.
    let is_weak = etag.is_some_and(ETag::is_weak);
    if let Some(encoding) = encoding(headers).filter(|_| framing == Framing::Chunked || is_weak) {
        return Err(compressed("Content-Encoding", encoding));
    }
    Ok(())
}

/// What the bytes are encoded with, beside what HTTP itself needs.
fn encoding<'a>(headers: &Headers<'a>) -> Option<&'a str> {
    let is_real = |one: &str| !["identity", "aws-chunked", ""].contains(&one.trim());
    headers
        .content_encoding
        .filter(|encoding| encoding.split(',').any(is_real))
}

fn compressed(header: &str, coding: &str) -> GetError {
    let coding = coding.escape_debug();
    let message = format!("the body was compressed on the way (`{header}: {coding}`)");
    let changed = GetError::new(Class::Permanent, ErrorCode::InvalidResponse, message);
    changed.with_status(StatusCode::OK)
}

fn invalid(status: StatusCode, message: impl Into<String>) -> GetError {
    GetError::transient(ErrorCode::InvalidResponse, message).with_status(status)
}

fn shown_range(headers: &Headers<'_>) -> String {
    headers
        .content_range
        .map(|range| format!(", `Content-Range: {}`", range.escape_debug()))
        .unwrap_or_default()
}
