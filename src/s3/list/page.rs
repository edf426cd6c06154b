//! Reads a page of a listing (ListObjectsV2) strictly, since a page that is broken or cut off must never look like a
//! shorter one. All functions are pure, so that tests can try any reply.

#[cfg(test)]
mod tests;

use percent_encoding::percent_decode_str;
use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::etag::ETag;
use crate::outcome::ErrorCode;
use crate::printable::count;
use crate::row::{Entry, LastModified, MAX_KEY, UnusableRow, too_long};
use crate::s3::date;

/// The most bytes of a key that are shown in a message.
const MAX_SHOWN: usize = 200;

/// The most bytes of a continuation token: more do not fit into the next request, of which servers take some 8 KiB.
const MAX_TOKEN: usize = 8 << 10;

/// A page of a listing.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The objects in the page's order, or why one cannot be asked for.
    pub rows: Vec<Result<Entry, UnusableRow>>,
    /// What the next page is asked for with; `None` if this is the last one.
    pub next: Option<String>,
    /// What keys begin with that are not among the rows: only a page that was asked for so should hold any back.
    pub folded: Option<String>,
}

/// What is wrong with a page, so that nothing in it can be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PageFault {
    /// It is an error's body, which S3 may send after a status of success.
    #[error("it is an error")]
    Error,
    #[error("{0}")]
    Unusable(String),
}

impl From<String> for PageFault {
    fn from(message: String) -> Self {
        Self::Unusable(message)
    }
}

impl From<&str> for PageFault {
    fn from(message: &str) -> Self {
        Self::Unusable(message.to_owned())
    }
}

impl Page {
    /// Reads the body of a reply to a request for the keys that begin with `prefix`.
    ///
    /// # Errors
    /// [`PageFault`] if it is not well formed, not a listing, or contradicts itself: it states how many keys it has and
    /// whether there is another page, and every key must begin with the prefix.
    pub(crate) fn read(body: &[u8], prefix: &str) -> Result<Self, PageFault> {
        let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let body = std::str::from_utf8(body).map_err(|_| PageFault::from("it is not UTF-8"))?;
        let listed = Listed::read(body)?;
        let is_truncated = match listed.is_truncated.as_deref().map(str::trim) {
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            _ => return Err("it does not say whether it is the last one (`IsTruncated`)".into()),
        };
        let n_folded = listed.folded().count();
        let folded = listed.folded().next().map(str::to_owned);
        let next = listed.token.filter(|token| !token.is_empty());
        if let Some(length) = next.as_ref().map(String::len).filter(|&n| n > MAX_TOKEN) {
            let length = count(length as u64, "byte");
            return Err(format!("its `NextContinuationToken` has {length}").into());
        }
        match (is_truncated, &next) {
            (true, None) => {
                return Err("it says that keys are missing, but not how to ask for them: `IsTruncated` without `NextContinuationToken`".into());
            }
            (false, Some(_)) => {
                return Err("it says that it is the last one, and how to ask for the next: `NextContinuationToken` without `IsTruncated`".into());
            }
            _ => {}
        }
        if let Some(stated) = &listed.key_count {
            let n_listed = listed.contents.len() + n_folded;
            let n_stated = stated.trim().parse().ok();
            // Some servers always state 0 (SeaweedFS issue 1741).
            if n_stated != Some(n_listed) && n_stated != Some(0) {
                return Err(format!(
                    "it has {}, and says that it has {} (`KeyCount`)",
                    count(n_listed as u64, "key"),
                    shown(stated)
                )
                .into());
            }
        }
        // Decoded only if the reply says so: not every server encodes keys when it is asked to.
        let is_encoded = listed
            .encoding
            .as_deref()
            .is_some_and(|encoding| encoding.trim().eq_ignore_ascii_case("url"));
        let rows = listed
            .contents
            .into_iter()
            .map(|contents| contents.row(prefix, is_encoded))
            .collect::<Result<_, _>>()?;
        Ok(Self { rows, next, folded })
    }
}

impl Page {
    /// Drops the keys that do not begin with `prefix`.
    pub(crate) fn retain(&mut self, prefix: &str) {
        self.rows.retain(|row| {
            row.as_ref()
                .map_or(true, |entry| entry.key.starts_with(prefix))
        });
    }
}

/// The elements of a page that matter, as they stand there.
#[derive(Debug, Default)]
struct Listed {
    is_truncated: Option<String>,
    key_count: Option<String>,
    token: Option<String>,
    encoding: Option<String>,
    contents: Vec<Contents>,
    /// The text of each common prefix.
    prefixes: Vec<Option<String>>,
}

/// What the innermost element of the second level is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Object,
    CommonPrefix,
    Other,
}

/// An object of a page.
#[derive(Debug, Default)]
struct Contents {
    key: Option<String>,
    size: Option<String>,
    etag: Option<String>,
    last_modified: Option<String>,
}

impl Listed {
    fn read(body: &str) -> Result<Self, PageFault> {
        let mut listed = Self::default();
        let mut reader = Reader::from_str(body);
        // Elements that are open, and which one is on the second level.
        let (mut depth, mut within, mut is_over) = (0_usize, Within::Other, false);
        // The text of the element that is being read, if it matters.
        let mut text: Option<String> = None;
        loop {
            let event = reader
                .read_event()
                .map_err(|error| format!("it is not well-formed XML: {error}"))?;
            match event {
                Event::Start(tag) => {
                    if is_over {
                        return Err("something follows its end".into());
                    }
                    depth += 1;
                    match depth {
                        1 => check_root(&tag)?,
                        2 => within = listed.begin(name(&tag)),
                        _ => {}
                    }
                    let matters = listed.place(depth, within, name(&tag)).is_some();
                    if text.is_some() {
                        return Err("an element stands within a text".into());
                    }
                    text = matters.then(String::new);
                }
                Event::Empty(_) if text.is_some() => {
                    return Err("an element stands within a text".into());
                }
                Event::Empty(tag) => {
                    match depth {
                        0 => return Err("it is empty".into()),
                        1 => {
                            listed.begin(name(&tag));
                        }
                        _ => {}
                    }
                    if let Some(place) = listed.place(depth + 1, within, name(&tag)) {
                        fill(place, String::new(), name(&tag))?;
                    }
                }
                Event::End(tag) => {
                    let local = tag.local_name();
                    if let Some(text) = text.take()
                        && let Some(place) = listed.place(depth, within, local.as_ref())
                    {
                        fill(place, text, local.as_ref())?;
                    }
                    if depth == 2 {
                        within = Within::Other;
                    }
                    depth -= 1;
                    is_over = depth == 0;
                }
                Event::Text(piece) => match &mut text {
                    Some(text) => text.push_str(utf8(&piece)?),
                    None if depth == 0 && !utf8(&piece)?.trim().is_empty() => {
                        return Err("text stands outside of it".into());
                    }
                    None => {}
                },
                Event::CData(piece) => {
                    if let Some(text) = &mut text {
                        text.push_str(utf8(&piece)?);
                    }
                }
                Event::GeneralRef(reference) => {
                    let c = resolved(&reference)?;
                    if let Some(text) = &mut text {
                        text.push(c);
                    }
                }
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
                // The reader does not mind elements that are still open.
                Event::Eof if is_over => return Ok(listed),
                Event::Eof => return Err("it is cut off".into()),
            }
        }
    }

    /// Takes note of an element of the second level.
    fn begin(&mut self, name: &[u8]) -> Within {
        match name {
            b"Contents" => {
                self.contents.push(Contents::default());
                Within::Object
            }
            b"CommonPrefixes" => {
                self.prefixes.push(None);
                Within::CommonPrefix
            }
            _ => Within::Other,
        }
    }

    /// The common prefixes; some servers write an empty one.
    fn folded(&self) -> impl Iterator<Item = &str> {
        let texts = self.prefixes.iter().flatten().map(String::as_str);
        texts.filter(|text| !text.is_empty())
    }

    /// Where the text of the element `name` at `depth` belongs, if it matters.
    fn place(&mut self, depth: usize, within: Within, name: &[u8]) -> Option<&mut Option<String>> {
        match (depth, name) {
            (2, b"IsTruncated") => Some(&mut self.is_truncated),
            (2, b"KeyCount") => Some(&mut self.key_count),
            (2, b"NextContinuationToken") => Some(&mut self.token),
            (2, b"EncodingType") => Some(&mut self.encoding),
            (3, b"Prefix") if within == Within::CommonPrefix => self.prefixes.last_mut(),
            (3, name) if within == Within::Object => {
                let contents = self.contents.last_mut()?;
                match name {
                    b"Key" => Some(&mut contents.key),
                    b"Size" => Some(&mut contents.size),
                    b"ETag" => Some(&mut contents.etag),
                    b"LastModified" => Some(&mut contents.last_modified),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Contents {
    /// # Errors
    /// When the page cannot be relied on, since it lists what was not asked for.
    fn row(self, prefix: &str, is_encoded: bool) -> Result<Result<Entry, UnusableRow>, PageFault> {
        let key = self.key.filter(|key| !key.is_empty());
        let key = key.ok_or("it lists an object without a key")?;
        let key = if is_encoded {
            let with_blanks = key.replace('+', " ");
            let Ok(decoded) = percent_decode_str(&with_blanks).decode_utf8() else {
                let message = format!("not UTF-8, as keys in S3 must be: `{}`", shown(&key));
                return Ok(Err(UnusableRow::invalid(message)));
            };
            decoded.into_owned()
        } else {
            key
        };
        if !key.starts_with(prefix) {
            return Err(format!(
                "it lists `{}`, which does not begin with `{}`",
                shown(&key),
                shown(prefix)
            )
            .into());
        }
        let length = key.len();
        let entry = Entry {
            key,
            size: self.size.and_then(|size| size.trim().parse().ok()),
            etag: self
                .etag
                .and_then(|etag| ETag::of_row(etag.trim()))
                .filter(|etag| etag.as_str().len() <= MAX_SHOWN),
            last_modified: self
                .last_modified
                .and_then(|time| date::parse(&time))
                .map(LastModified::At),
            is_listed: true,
            ..Entry::default()
        };
        if length > MAX_KEY {
            return Ok(Err(UnusableRow::failed(
                entry,
                ErrorCode::InvalidKey,
                too_long(length),
            )));
        }
        Ok(Ok(entry))
    }
}

fn check_root(tag: &BytesStart<'_>) -> Result<(), PageFault> {
    match name(tag) {
        b"ListBucketResult" => Ok(()),
        b"Error" | b"ErrorResponse" | b"Response" => Err(PageFault::Error),
        other => Err(format!(
            "it is not a listing but `{}`",
            shown(&String::from_utf8_lossy(other))
        )
        .into()),
    }
}

/// The tag's name without its namespace prefix.
fn name<'a>(tag: &'a BytesStart<'_>) -> &'a [u8] {
    tag.local_name().into_inner()
}

/// Puts `text` where it belongs; an element that is there twice leaves open which one is meant.
fn fill(place: &mut Option<String>, text: String, name: &[u8]) -> Result<(), PageFault> {
    if place.is_some() {
        return Err(format!("it has `{}` twice", String::from_utf8_lossy(name)).into());
    }
    *place = Some(text);
    Ok(())
}

/// The character that a reference such as `&amp;` or `&#13;` stands for.
fn resolved(reference: &BytesRef<'_>) -> Result<char, PageFault> {
    let name = utf8(reference)?;
    let unknown = || PageFault::from(format!("it has the unknown reference `&{};`", shown(name)));
    if reference.is_char_ref() {
        return reference
            .resolve_char_ref()
            .ok()
            .flatten()
            .ok_or_else(unknown);
    }
    match name {
        "lt" => Ok('<'),
        "gt" => Ok('>'),
        "amp" => Ok('&'),
        "apos" => Ok('\''),
        "quot" => Ok('"'),
        _ => Err(unknown()),
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, PageFault> {
    std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8".into())
}

/// The beginning of what a server wrote, for a message.
fn shown(text: &str) -> String {
    let start = &text[..text.floor_char_boundary(MAX_SHOWN)];
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", start.escape_debug())
}
