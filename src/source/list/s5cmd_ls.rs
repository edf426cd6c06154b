//! `s5cmd-ls`: the output of `s5cmd ls`, with or without `-e`, `-s` and `-H`. (With `--show-fullpath` it prints URIs, which
//! are `lines`, and with `--json` JSON.)
//!
//! A line is `date storage-class etag size  name` in columns, of which the middle ones may be missing. Two spaces precede
//! the name, which is printed unchanged (s5cmd, `command/ls.go`).

use super::format::Format;
use super::listing::{self, Line, has_shape};
use crate::row::LastModified;

pub(super) static FORMAT: Format = Format {
    name: "s5cmd-ls",
    help: "The output of `s5cmd ls`",
    magic: b"",
    waits_for_rows: false,
    recognise: |sample| {
        let reason = "its first lines are those of `s5cmd ls`";
        sample.is_listing(listing::N_ROWS, reason, parse)
    },
    read: |list, emit| listing::read(list, emit, "s5cmd ls", parse),
};

/// Parses `line`, which has no line ending; returns `None` if it is not a line of a listing.
fn parse(line: &[u8]) -> Option<Line<'_>> {
    const NO_DATE: &[u8] = b"                   ";
    let (date, mut rest) = line.split_at_checked(NO_DATE.len())?;
    let has_date = is_date(date);
    if !has_date && date != NO_DATE {
        return None;
    }
    // Storage class and ETag may precede the size.
    for _ in 0..3 {
        let column;
        (column, rest) = next_column(rest)?;
        if is_size(column)
            && let Some(name) = rest.strip_prefix(b"  ")
        {
            let size = std::str::from_utf8(column).ok()?.parse().ok();
            if has_version(name) {
                return None;
            }
            return match column {
                b"DIR" => Some(Line::Folder),
                _ if has_date => Some(Line::Object {
                    name,
                    size,
                    last_modified: utc(date),
                }),
                _ => None,
            };
        }
        if !is_storage_class(column) && !is_etag(column) {
            return None;
        }
    }
    None
}

/// Whether a version stands behind the name, which `--all-versions` pads with blanks to 50 characters, so that the name of one
/// with blanks cannot be told.
fn has_version(name: &[u8]) -> bool {
    let Some(blank) = memchr::memrchr(b' ', name) else {
        return false;
    };
    blank >= 50 && name[..=blank].ends_with(b"   ") && blank + 1 < name.len()
}

/// Splits off the next column; the rest starts with the space after it.
fn next_column(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let blanks = text.iter().take_while(|&&byte| byte == b' ').count();
    let text = &text[blanks..];
    let end = memchr::memchr(b' ', text)?;
    (blanks > 0 && end > 0).then(|| text.split_at(end))
}

/// Whether `text` is a date such as `2024/01/02 03:04:05`.
fn is_date(text: &[u8]) -> bool {
    has_shape(text, b"dddd/dd/dd dd:dd:dd")
}

/// The time that a date stands for: s5cmd prints UTC (`storage/s3.go`).
fn utc(date: &[u8]) -> Option<LastModified> {
    let date = std::str::from_utf8(date).ok()?;
    format!("{}Z", date.replace('/', "-")).parse().ok()
}

/// Whether `text` is a size: `DIR`, `123` or `1.5K`. An ETag that consists of digits is longer.
fn is_size(text: &[u8]) -> bool {
    let digits = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let rounded = |text: &[u8]| match text {
        [whole @ .., b'.', tenth, b'K' | b'M' | b'G' | b'T'] => {
            digits(whole) && tenth.is_ascii_digit()
        }
        _ => false,
    };
    text.len() <= 20 && (text == b"DIR" || digits(text) || rounded(text))
}

fn is_storage_class(text: &[u8]) -> bool {
    text.len() >= 3
        && text
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || *byte == b'_')
}

fn is_etag(text: &[u8]) -> bool {
    text.iter()
        .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte) || *byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{entries, rows};

    #[test]
    fn a_name_is_the_text_after_two_spaces() {
        let object = |name: &'static str, size| {
            Some(Line::Object {
                name: name.as_bytes(),
                size,
                last_modified: "2024-01-02T03:04:05Z".parse().ok(),
            })
        };
        let cases = [
            (
                "2024/01/02 03:04:05                12  a b.txt",
                object("a b.txt", Some(12)),
            ),
            (
                "2024/01/02 03:04:05                12    leading",
                object("  leading", Some(12)),
            ),
            (
                "2024/01/02 03:04:05                12  trailing ",
                object("trailing ", Some(12)),
            ),
            (
                "2024/01/02 03:04:05              1.5K  human",
                object("human", None),
            ),
            (
                "2024/01/02 03:04:05     1234567890123  big",
                object("big", Some(1_234_567_890_123)),
            ),
            (
                "2024/01/02 03:04:05 STANDARD                12  class",
                object("class", Some(12)),
            ),
            (
                "2024/01/02 03:04:05    d41d8cd98f00b204e9800998ecf8427e                  0  etag",
                object("etag", Some(0)),
            ),
            (
                "2024/01/02 03:04:05    12345678901234567890123456789012                  7  digits",
                object("digits", Some(7)),
            ),
            (
                "2024/01/02 03:04:05 GLACIER_IR d41d8cd98f00b204e9800998ecf8427e-12              5  both",
                object("both", Some(5)),
            ),
            (
                "                                  DIR  sub/",
                Some(Line::Folder),
            ),
            (
                "2024/01/02 03:04:05               DIR  marker/",
                Some(Line::Folder),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn lines_of_another_shape_are_not_accepted() {
        for line in [
            "a/b.txt",
            "2024/01/02 03:04:05  s3://bucket",
            "2024-01-02 03:04:05                12  aws",
            "2024/01/02 03:04:05                12 one-blank",
            "2024/01/02 03:04:05                12  a.txt                                              3HL4kqtJlcpXroDTDmJ",
            "2024/01/02 03:04:05                12",
            "                                   12  no-date",
            "",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn the_prefix_is_prepended_and_stray_lines_fail() {
        let list = b"                                  DIR  sub/\n2024/01/02 03:04:05                12  k\nx\n";
        assert_eq!(
            rows(list, "s5cmd-ls", "p/"),
            [
                Ok("p/k".to_owned()),
                Err("3: InvalidRow: not a line of `s5cmd ls`: `x`".to_owned())
            ]
        );
        assert_eq!(entries(&list[..list.len() - 2], "auto")[0].size, Some(12));
    }
}
