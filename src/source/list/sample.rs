//! The start of a list, from which its format is detected: whole rows, so that it does not matter how a pipe is cut.

use std::io::{self, Read};

/// Most bytes of a list that are looked at.
const SAMPLE: usize = 64 * 1024;

/// Rows after each of which the format may be decided. After these, only a start of twice the size is looked at again.
const ROWS: usize = 16;

/// How rows end. It applies to the whole list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnding {
    Lf,
    CrLf,
    Nul,
}

/// The start of a list: whole rows, or all that is looked at.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    pub text: &'a [u8],
    /// Nothing more is looked at: the list ends here, or is too long to wait for more of it.
    pub is_final: bool,
    pub line_ending: LineEnding,
    /// The bucket of the run, which a column may name.
    pub bucket: &'a str,
    /// The column of a table that holds the key, if it is named.
    pub key_column: Option<&'a str>,
    /// Whether the name of the list says that it is a table.
    pub is_named_table: bool,
    /// The last bytes of the list, where they can be had: of a file that is not compressed.
    pub end: &'a [u8],
}

/// Whether a list has a format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recognised {
    No,
    /// Why it has.
    Yes(&'static str),
    /// More rows are needed to tell.
    Undecided,
}

/// Passes longer and longer starts of the list to `decide`, until it decides: each ends with a row, until the last one, for
/// which the flag is set. Returns all bytes that were read, and the decision.
///
/// Since only the ends of rows matter, the decision does not depend on how the bytes arrive.
pub(crate) fn sample<T, E: From<io::Error>>(
    input: &mut impl Read,
    mut decide: impl FnMut(&[u8], bool) -> Result<Option<T>, E>,
) -> Result<(Vec<u8>, Option<T>), E> {
    let mut buffer = vec![0; SAMPLE];
    let (mut length, mut searched, mut n_rows, mut next) = (0, 0, 0, 0);
    loop {
        while let Some(end) = memchr::memchr2(b'\n', b'\0', &buffer[searched..length]) {
            searched += end + 1;
            n_rows += 1;
            if n_rows > ROWS && searched < next {
                continue;
            }
            next = 2 * searched;
            if let Some(decision) = decide(&buffer[..searched], false)? {
                buffer.truncate(length);
                return Ok((buffer, Some(decision)));
            }
        }
        searched = length;
        let n = match input.read(&mut buffer[length..]) {
            Ok(n) => n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        length += n;
        // No room is left in the buffer, or nothing in the list.
        if n == 0 {
            buffer.truncate(length);
            let decision = decide(&buffer, true)?;
            return Ok((buffer, decision));
        }
    }
}

/// Detects how the lines of `text`, the start of a list, end.
pub(crate) fn line_ending(text: &[u8]) -> LineEnding {
    let mut ends = memchr::memchr_iter(b'\n', text).peekable();
    let is_crlf = ends.peek().is_some() && ends.all(|end| text[..end].ends_with(b"\r"));
    if is_crlf {
        LineEnding::CrLf
    } else {
        LineEnding::Lf
    }
}

impl<'a> Sample<'a> {
    /// The lines without their line endings. A last line that is cut off is left out, unless it is the only one.
    pub fn lines(&self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let line_ending = self.line_ending;
        let whole = match memchr::memrchr(b'\n', self.text) {
            Some(end) => &self.text[..=end],
            None => self.text,
        };
        whole
            .split_inclusive(|&byte| byte == b'\n')
            .map(move |line| line_ending.strip(line))
    }

    /// The lines that are not blank.
    pub fn rows(&self) -> impl Iterator<Item = &'a [u8]> + Clone {
        self.lines().filter(|line| !line.is_empty())
    }

    /// The first line that is not blank; all of the text if its line is too long to have ended.
    pub fn first_row(&self) -> &'a [u8] {
        self.rows().next().unwrap_or_default()
    }

    /// Whether each of the first rows is one of a listing: `n_rows` of them, or as many as there are.
    pub fn is_listing<L>(
        &self,
        n_rows: usize,
        reason: &'static str,
        parse: impl Fn(&'a [u8]) -> Option<L>,
    ) -> Recognised {
        let rows = self.rows().take(n_rows);
        let n_found = rows.clone().count();
        if n_found == 0 || rows.into_iter().any(|row| parse(row).is_none()) {
            Recognised::No
        } else if n_found == n_rows || self.is_final {
            Recognised::Yes(reason)
        } else {
            Recognised::Undecided
        }
    }
}

impl LineEnding {
    pub fn last_byte(self) -> u8 {
        match self {
            Self::Lf | Self::CrLf => b'\n',
            Self::Nul => b'\0',
        }
    }

    /// Returns `row` without its line ending; nothing else is removed.
    pub fn strip(self, row: &[u8]) -> &[u8] {
        let Some(row) = row.strip_suffix(&[self.last_byte()]) else {
            return row;
        };
        match self {
            Self::Lf | Self::Nul => row,
            Self::CrLf => row.strip_suffix(b"\r").unwrap_or(row),
        }
    }
}
