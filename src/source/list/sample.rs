//! The start of a list, from which its format is detected: its first bytes, its lines and how they end.

use std::io::{self, Read};

/// Most bytes of a list that are inspected.
const SAMPLE: usize = 64 * 1024;

/// How rows end. It applies to the whole list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnding {
    Lf,
    CrLf,
    Nul,
}

/// The start of a list.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    pub text: &'a [u8],
    pub line_ending: LineEnding,
    /// The bucket of the run, which a column may name.
    pub bucket: &'a str,
}

/// Reads until the first row is complete, which may take several reads from a pipe.
pub fn sample(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut sample = vec![0; SAMPLE];
    let mut length = 0;
    while length < SAMPLE {
        match input.read(&mut sample[length..]) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        if memchr::memchr2(b'\n', b'\0', &sample[..length]).is_some() {
            break;
        }
    }
    sample.truncate(length);
    Ok(sample)
}

/// Detects how the lines of `text`, the start of a list, end.
pub fn line_ending(text: &[u8]) -> LineEnding {
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

    /// Whether there are non-blank lines, and each of them is a line of a listing.
    pub fn is_listing<L>(&self, parse: impl Fn(&'a [u8]) -> Option<L>) -> bool {
        let mut lines = self.lines().filter(|line| !line.is_empty()).peekable();
        lines.peek().is_some() && lines.all(|line| parse(line).is_some())
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
