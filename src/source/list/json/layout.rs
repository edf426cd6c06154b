//! How JSON values stand in a list: on lines of their own, or in a document that goes on over lines.

use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::source::list::listing;
use crate::source::list::names::column_named;
use crate::source::list::sample::{Recognised, Sample};

/// Whether `text` starts like an array or an object: a bracket or brace, and a character that may follow it.
fn looks_like_json(text: &[u8]) -> bool {
    let mut significant = text.iter().filter(|byte| !byte.is_ascii_whitespace());
    match significant.next() {
        Some(b'{') => matches!(significant.next(), None | Some(b'"' | b'}')),
        Some(b'[') => match significant.next() {
            None | Some(b'"' | b'{' | b']') => true,
            // Arrays in an array are not rows, which their message says.
            Some(b'[') => match significant.next() {
                None | Some(b'"') => true,
                Some(b'0'..=b'9' | b'-' | b'n' | b't' | b'f') => {
                    let first = text.trim_ascii_start().split(|&byte| byte == b'\n').next();
                    let first = first.unwrap_or_default();
                    has_value(first) || breaks_off(first)
                }
                Some(_) => false,
            },
            Some(_) => false,
        },
        _ => false,
    }
}

pub(super) fn recognise(sample: &Sample<'_>) -> Recognised {
    if !looks_like_json(sample.text) {
        return recognise_texts(sample);
    }
    match layout(sample) {
        None => Recognised::Undecided,
        Some(_) => Recognised::Yes("it starts like JSON"),
    }
}

/// Recognises a text in quotes per line, as `jq` prints keys without `-r`. The name of a column is the header of a CSV.
fn recognise_texts(sample: &Sample<'_>) -> Recognised {
    let is_text = |line: &[u8]| {
        let is_quoted = line.len() > 1 && line.starts_with(b"\"") && line.ends_with(b"\"");
        is_quoted && serde_json::from_slice::<String>(line).is_ok()
    };
    let is_header = std::str::from_utf8(sample.first_row())
        .is_ok_and(|name| sample.key_column.is_some() || column_named(name).is_some());
    if is_header {
        return Recognised::No;
    }
    let reason = "its lines are texts in quotes";
    sample.is_listing(listing::N_ROWS, reason, |line| is_text(line).then_some(()))
}

/// Whether more rows are needed to tell what kind of JSON this is.
pub(crate) fn is_unfinished(sample: &Sample<'_>) -> bool {
    looks_like_json(sample.text) && layout(sample).is_none()
}

/// How values stand in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// One or more per line, so that a bad line fails only itself.
    Lines,
    /// In any other way.
    Document,
}

/// Detects the layout from the first rows; `None` if more of them are needed.
///
/// If the first line is complete, or cannot be the start of anything, each line is read on its own. A line that breaks off
/// may also be the start of a document that goes on in the next lines, if these fit.
pub(super) fn layout(sample: &Sample<'_>) -> Option<Layout> {
    /// Some objects of a listing.
    const ENOUGH: usize = 16;
    let first = sample.first_row();
    if !breaks_off(first) {
        return Some(Layout::Lines);
    }
    if !sample.is_final && sample.rows().count() < ENOUGH {
        return None;
    }
    let is_value = |line: &[u8]| line.starts_with(b"{") && !breaks_off(line) && has_value(line);
    let has_broken_line = !breaks_off(sample.text) && !has_value(sample.text);
    if has_broken_line && sample.rows().skip(1).any(is_value) {
        Some(Layout::Lines)
    } else {
        Some(Layout::Document)
    }
}

/// Whether `text` is the start of JSON values whose end is missing.
fn breaks_off(text: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    let error = values.find_map(Result::err);
    error.is_some_and(|error| error.classify() == Category::Eof)
}

/// Whether `text` is nothing but JSON values.
fn has_value(text: &[u8]) -> bool {
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    values.all(|value| value.is_ok())
}
