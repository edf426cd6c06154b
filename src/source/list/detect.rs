//! Detects the format of a list, once per list and from its first rows, never line by line.

use super::binary::{self, Binary};
use super::compression::Compression;
use super::foreign;
use super::format::{Format, ListProblem};
use super::lines;
use super::not_keys::{self, NotKeys};
use super::sample::{LineEnding, Recognised, Sample, line_ending};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What is known about a list besides its bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    /// The format, if it is given.
    pub asked: Option<&'static Format>,
    pub bucket: &'a str,
    pub key_column: Option<&'a str>,
    pub is_named_table: bool,
    pub end: &'a [u8],
}

/// What the first rows say about the whole list.
#[derive(Debug)]
pub(crate) enum Detected {
    Compressed(Compression),
    List(DetectedFormat),
}

#[derive(Debug)]
pub(crate) struct DetectedFormat {
    pub format: &'static Format,
    /// Why the list is read in this format.
    pub reason: &'static str,
    pub line_ending: LineEnding,
    /// Bytes to skip at the start.
    pub bom_length: usize,
    /// Bytes that were looked at, from the start.
    pub length: usize,
    /// Whether nothing more would be looked at.
    pub is_final: bool,
}

impl DetectedFormat {
    /// What was looked at.
    pub(crate) fn sample<'a>(&self, looked_at: &'a [u8], known: Known<'a>) -> Sample<'a> {
        Sample {
            text: &looked_at[self.bom_length..],
            is_final: self.is_final,
            line_ending: self.line_ending,
            bucket: known.bucket,
            key_column: known.key_column,
            is_named_table: known.is_named_table,
            end: known.end,
        }
    }
}

/// Detects the format of a list from `start`, which ends with a row or, if `is_final`, is all that is looked at. Returns
/// `None` if more rows are needed.
///
/// # Errors
/// If the list is in no format at all, such as UTF-16.
pub(crate) fn detect(
    start: &[u8],
    is_final: bool,
    known: Known<'_>,
    formats: &[&'static Format],
) -> Result<Option<Detected>, ListProblem> {
    if let Some(compression) = Compression::of(start) {
        return Ok(Some(Detected::Compressed(compression)));
    }
    let is_binary_of = |format: &&&'static Format| binary::begins_with(start, format.magic);
    if let (Some(format), None) = (formats.iter().find(is_binary_of), known.asked) {
        return Ok(Some(Detected::List(DetectedFormat {
            format,
            reason: "its first bytes say so",
            line_ending: LineEnding::Lf,
            bom_length: 0,
            length: start.len(),
            is_final,
        })));
    }
    if has_utf16_mark(start) {
        return Err(ListProblem::Utf16);
    }
    let asked_for_binary = known.asked.is_some_and(|format| !format.magic.is_empty());
    let is_binary = match (binary::known(start, is_final), known.asked) {
        _ if asked_for_binary => Binary::No,
        (Binary::No, None) => binary::other(start, is_final),
        (is_binary, _) => is_binary,
    };
    if known.asked.is_none() {
        match looks_like_utf16(start, is_final) {
            Some(true) => return Err(ListProblem::Utf16),
            None => return Ok(None),
            Some(false) => {}
        }
    }
    match is_binary {
        Binary::Yes(what) => return Err(ListProblem::NotAList(what)),
        Binary::Undecided => return Ok(None),
        Binary::No => {}
    }
    let bom_length = if start.starts_with(BOM) { BOM.len() } else { 0 };
    let text = &start[bom_length..];
    let line_ending = line_ending(text);
    let sample = Sample {
        text,
        is_final,
        line_ending,
        bucket: known.bucket,
        key_column: known.key_column,
        is_named_table: known.is_named_table,
        end: known.end,
    };
    // One line may end in CR because its key does.
    let is_one_crlf = line_ending == LineEnding::CrLf && sample.lines().count() < 2;
    if !is_final && !asked_for_binary && (is_one_crlf || sample.rows().next().is_none()) {
        return Ok(None);
    }
    if known.asked.is_none()
        && let Some(what) = foreign::what(&sample)
    {
        return Err(ListProblem::NotAList(what));
    }
    let recognised = match known.asked {
        Some(asked)
            if asked.waits_for_rows && (asked.recognise)(&sample) == Recognised::Undecided =>
        {
            Some((asked, Recognised::Undecided))
        }
        Some(asked) => Some((asked, Recognised::Yes("`--keys-format` is set"))),
        None => formats
            .iter()
            .map(|format| (*format, (format.recognise)(&sample)))
            .find(|(_, recognised)| *recognised != Recognised::No),
    };
    if let (None, Some((format, Recognised::Yes(_)))) = (known.asked, recognised)
        && format.name == lines::FORMAT.name
    {
        match not_keys::what(&sample) {
            NotKeys::Yes(what) => return Err(ListProblem::NotKeys(what)),
            NotKeys::Undecided => return Ok(None),
            NotKeys::No => {}
        }
    }
    match recognised {
        Some((format, Recognised::Yes(reason))) => Ok(Some(Detected::List(DetectedFormat {
            format,
            reason,
            line_ending,
            bom_length,
            length: start.len(),
            is_final,
        }))),
        Some((_, Recognised::Undecided)) if !is_final => Ok(None),
        _ => unreachable!("the last format accepts every list, and each decides in the end"),
    }
}

fn has_utf16_mark(start: &[u8]) -> bool {
    start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff")
}

/// Whether every other byte is NUL, as in ASCII text that is encoded in UTF-16; `None` if it seems so, and more bytes would
/// tell.
fn looks_like_utf16(start: &[u8], is_final: bool) -> Option<bool> {
    const ENOUGH: usize = 64;
    let is_enough = is_final || start.len() >= ENOUGH;
    let start = &start[..start.len().min(ENOUGH)];
    let every_other_is_nul = |from: usize| {
        let nuls = start.iter().skip(from).step_by(2);
        let others = start.iter().skip(1 - from).step_by(2);
        nuls.clone().all(|&byte| byte == 0) && others.clone().all(|&byte| byte != 0)
    };
    match every_other_is_nul(0) || every_other_is_nul(1) {
        false => Some(false),
        true if is_enough => Some(start.len() >= 4),
        true => None,
    }
}

#[cfg(test)]
mod tests;
