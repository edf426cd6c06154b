//! What listings for people have in common: a line an object, its columns told by their shape.

use super::columns::excerpt;
use super::format::{Emit, List, Problem};
use super::lines;
use crate::row::NoEntry;

/// A line of a listing.
#[derive(Debug, PartialEq, Eq)]
pub enum Line<'a> {
    Object {
        /// As it stands there: the whole key, or what is left out of it before.
        name: &'a [u8],
        /// Bytes; `None` where they were rounded.
        size: Option<u64>,
    },
    /// A common prefix, whose objects are not in the listing.
    Folder,
    /// A total.
    Total,
}

/// Reads what `program` printed. `parse` tells what a line is, `None` if it is none of a listing's.
pub fn read(
    list: &mut List<'_>,
    emit: Emit<'_>,
    program: &str,
    parse: impl Fn(&[u8]) -> Option<Line<'_>>,
) -> Result<(), Problem> {
    let (keys, ending) = (list.keys, list.line_ending);
    let has_end = lines::for_each(&mut *list.input, ending, lines::MAX_LINE, |line, text| {
        let entry = match text.map(|text| (text, parse(text))) {
            Ok((_, Some(Line::Object { name, size }))) => keys.listed(name, size),
            Ok((_, Some(Line::Folder))) => return keys.findings.folder(),
            Ok((_, Some(Line::Total))) => return,
            Ok((text, None)) => {
                let text = excerpt(text);
                Err(NoEntry::invalid(format!(
                    "not a line of `{program}`: `{text}`"
                )))
            }
            Err(error) => Err(error),
        };
        emit(line, entry);
    })?;
    if !has_end {
        keys.findings.last_line_open();
    }
    Ok(())
}

/// Whether `text` is as long as `shape`, with a digit for each `d`.
pub fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            shape => byte == shape,
        })
}
