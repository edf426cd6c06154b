//! Shared by the formats of listings meant for humans: one line per object, columns recognised by their shape.

use super::columns::{excerpt, listed, utf8};
use super::format::{Emit, List, ListProblem};
use super::lines;
use crate::row::{LastModified, UnusableRow};

/// Rows that must be those of a listing for the list to be one. A second one shows that the first is not a key by chance, and
/// more would make a slow listing wait.
pub(crate) const N_ROWS: usize = 2;

/// A line of a listing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Object {
        /// The name as printed: the whole key, or the key without the listed prefix.
        name: &'a [u8],
        /// Bytes; `None` if the listing rounds them.
        size: Option<u64>,
        last_modified: Option<LastModified>,
    },
    /// An object whose line ends with its URI.
    Uri {
        uri: &'a [u8],
        size: Option<u64>,
        last_modified: Option<LastModified>,
    },
    /// A common prefix, whose objects are not in the listing.
    Folder,
    /// A total.
    Total,
}

/// Reads a listing that `program` printed. `parse` returns what a line is, or `None` if it is not a line of a listing.
pub(crate) fn read(
    list: &mut List<'_>,
    emit: Emit<'_>,
    program: &str,
    parse: impl Fn(&[u8]) -> Option<Line<'_>>,
) -> Result<(), ListProblem> {
    let (keys, ending) = (list.keys, list.line_ending);
    let has_end = lines::for_each(&mut *list.input, ending, lines::MAX_LINE, |line, text| {
        let entry = match text.map(|text| (text, parse(text))) {
            Ok((
                _,
                Some(Line::Object {
                    name,
                    size,
                    last_modified,
                }),
            )) => keys.listed(name, size, last_modified),
            Ok((
                _,
                Some(Line::Uri {
                    uri,
                    size,
                    last_modified,
                }),
            )) => utf8(uri).and_then(|uri| {
                let columns = listed(size, last_modified);
                keys.uri_or(uri, &columns)
            }),
            Ok((_, Some(Line::Folder))) => return keys.findings.folder(),
            Ok((_, Some(Line::Total))) => return,
            Ok((text, None)) => {
                let text = excerpt(text);
                Err(UnusableRow::invalid(format!(
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

/// Whether `text` equals `shape`, where each `d` of `shape` stands for a digit.
pub(crate) fn has_shape(text: &[u8], shape: &[u8]) -> bool {
    text.len() == shape.len()
        && text.iter().zip(shape).all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            shape => byte == shape,
        })
}
