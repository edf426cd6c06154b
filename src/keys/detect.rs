//! Which format a list has: decided once, from its first rows, never line by line.

use std::io::{self, Read};

use super::aws_s3_ls::{self, Line};
use super::{ListError, csv};
use crate::config::ListFormat;

/// As much as is looked at, in bytes.
const SAMPLE: usize = 64 * 1024;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// What the first rows say of the whole list.
#[derive(Debug, PartialEq, Eq)]
pub struct Detected {
    pub format: ListFormat,
    pub line_ending: LineEnding,
    /// Bytes to pass over at the start.
    pub bom_length: u64,
}

/// How lines end, in the whole list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnding {
    Lf,
    CrLf,
}

/// Reads until the first line is whole, which a pipe may not give at once.
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
        if sample[..length].contains(&b'\n') {
            break;
        }
    }
    sample.truncate(length);
    Ok(sample)
}

/// Decides from `sample`, the start of a list, unless `asked` names the format.
///
/// # Errors
/// [`ListError::Utf16`], which no format can be read from.
pub fn detect(sample: &[u8], asked: ListFormat) -> Result<Detected, ListError> {
    if sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff") {
        return Err(ListError::Utf16);
    }
    let bom_length = if sample.starts_with(BOM) {
        BOM.len()
    } else {
        0
    };
    let text = &sample[bom_length..];
    let lines = whole_lines(text);
    let ends_crlf = |line: &&[u8]| line.ends_with(b"\r\n");
    let is_crlf = text.contains(&b'\n')
        && lines
            .clone()
            .filter(|line| line.ends_with(b"\n"))
            .all(|line| ends_crlf(&line));
    let line_ending = if is_crlf {
        LineEnding::CrLf
    } else {
        LineEnding::Lf
    };
    let format = match asked {
        ListFormat::Auto => guess(lines.map(|line| line_ending.strip(line))),
        asked => asked,
    };
    Ok(Detected {
        format,
        line_ending,
        bom_length: bom_length as u64,
    })
}

/// A header of two columns or more with `key` among them is a CSV's: a lone `key` may just as well be a key.
fn guess<'a>(lines: impl Iterator<Item = &'a [u8]> + Clone) -> ListFormat {
    if lines.clone().next().is_some_and(csv::is_header) {
        return ListFormat::Csv;
    }
    let mut parsed = lines
        .map(aws_s3_ls::parse)
        .filter(|line| *line != Some(Line::Blank))
        .peekable();
    let is_listing = parsed.peek().is_some() && parsed.all(|line| line.is_some());
    if is_listing {
        ListFormat::AwsS3Ls
    } else {
        ListFormat::Lines
    }
}

/// The lines of `text` with their ends; without the last one where it is cut off, unless it is the only one.
fn whole_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    let whole = match text.iter().rposition(|&byte| byte == b'\n') {
        Some(end) => &text[..=end],
        None => text,
    };
    whole.split_inclusive(|&byte| byte == b'\n')
}

impl LineEnding {
    /// `line` without its end, and without anything else taken off.
    pub fn strip(self, line: &[u8]) -> &[u8] {
        let Some(line) = line.strip_suffix(b"\n") else {
            return line;
        };
        match self {
            Self::Lf => line,
            Self::CrLf => line.strip_suffix(b"\r").unwrap_or(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format_of(list: &str) -> ListFormat {
        detect(list.as_bytes(), ListFormat::Auto).unwrap().format
    }

    #[test]
    fn formats_are_told_apart() {
        let cases = [
            ("", ListFormat::Lines),
            ("a\nb\n", ListFormat::Lines),
            ("key\n", ListFormat::Lines),
            ("key,bucket\na,b\n", ListFormat::Csv),
            ("size,\"key\"\r\n1,a\r\n", ListFormat::Csv),
            ("a,b\n", ListFormat::Lines),
            (
                "2024-01-02 03:04:05         12 a b.txt\n",
                ListFormat::AwsS3Ls,
            ),
            (
                "                           PRE a/\n2024-01-02 03:04:05         12 b\n",
                ListFormat::AwsS3Ls,
            ),
            (
                "2024-01-02 03:04:05    1.0 MiB a\n\nTotal Objects: 1\n   Total Size: 1.0 MiB\n",
                ListFormat::AwsS3Ls,
            ),
            // The listing of an empty prefix.
            (
                "\nTotal Objects: 0\n   Total Size: 0 Bytes\n",
                ListFormat::AwsS3Ls,
            ),
            // One line that is none of a listing's: then these are keys that look like it.
            (
                "2024-01-02 03:04:05         12 a\nplain\n",
                ListFormat::Lines,
            ),
            ("\n\n", ListFormat::Lines),
        ];
        for (list, format) in cases {
            assert_eq!(format_of(list), format, "{list:?}");
        }
    }

    #[test]
    fn a_line_cut_off_by_the_sample_does_not_count() {
        assert_eq!(
            format_of("2024-01-02 03:04:05         12 a\n2024-01-0"),
            ListFormat::AwsS3Ls
        );
    }

    #[test]
    fn line_ends_and_bom_hold_for_the_whole_list() {
        let detected = detect(b"\xef\xbb\xbfa\r\nb\r\n", ListFormat::Auto).unwrap();
        assert_eq!(
            (detected.line_ending, detected.bom_length),
            (LineEnding::CrLf, 3)
        );
        // A key may end in CR where lines end in LF.
        assert_eq!(
            detect(b"a\r\nb\n", ListFormat::Auto).unwrap().line_ending,
            LineEnding::Lf
        );
    }

    #[test]
    fn utf16_names_the_cure() {
        let error = detect(b"\xff\xfea\0", ListFormat::Lines).unwrap_err();
        assert!(error.to_string().contains("iconv"), "{error}");
    }
}
