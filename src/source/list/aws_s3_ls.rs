//! `aws-s3-ls`: the output of `aws s3 ls`, with or without `--recursive`, `--human-readable` and `--summarize`.
//!
//! The line of an object is its date in 19 characters, a space, its size right-justified to 10, one space, and its name
//! unchanged (`awscli/customizations/s3/subcommands.py`). So the text after that one space is never trimmed.

use super::format::Format;
use super::listing::{self, Line, has_shape};

pub(super) static FORMAT: Format = Format {
    name: "aws-s3-ls",
    help: "The output of `aws s3 ls`",
    magic: b"",
    waits_for_rows: false,
    recognise: |sample| {
        let reason = "its first lines are those of `aws s3 ls`";
        sample.is_listing(listing::N_ROWS, reason, parse)
    },
    read: |list, emit| listing::read(list, emit, "aws s3 ls", parse),
};

/// Parses `line`, which has no line ending; returns `None` if it is not a line of a listing.
fn parse(line: &[u8]) -> Option<Line<'_>> {
    const PREFIX: &[u8] = b"                           PRE ";
    if is_summary(line) {
        return Some(Line::Total);
    }
    if line.starts_with(PREFIX) && line.ends_with(b"/") {
        return Some(Line::Folder);
    }
    let (date, rest) = line.split_at_checked(19)?;
    let rest = rest.strip_prefix(b" ").filter(|_| is_date(date))?;
    let padding = rest.iter().take_while(|&&byte| byte == b' ').count();
    let length = size_length(&rest[padding..])?;
    // A size is right-justified to 10, unlike a key that happens to look like a size.
    if padding + length != length.max(10) {
        return None;
    }
    let (size, name) = rest[padding..].split_at(length);
    let size = std::str::from_utf8(size).ok()?.parse().ok();
    let date = std::str::from_utf8(date).ok()?;
    name.strip_prefix(b" ").map(|name| Line::Object {
        name,
        size,
        last_modified: date.parse().ok(),
    })
}

/// Whether `text` is a date such as `2024-01-02 03:04:05`.
fn is_date(text: &[u8]) -> bool {
    has_shape(text, b"dddd-dd-dd dd:dd:dd")
}

/// The length of the size that `text` starts with: `123`, `1 Byte`, `12 Bytes` or `1.5 MiB`.
fn size_length(text: &[u8]) -> Option<usize> {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let n_whole = digits(text);
    if n_whole == 0 {
        return None;
    }
    let rest = &text[n_whole..];
    for unit in [&b" Bytes "[..], b" Byte "] {
        if rest.starts_with(unit) {
            return Some(n_whole + unit.len() - 1);
        }
    }
    if rest.first() != Some(&b'.') {
        return Some(n_whole);
    }
    let n_fraction = digits(&rest[1..]);
    let unit = rest.get(1 + n_fraction..)?.get(..4)?;
    let is_unit = unit[0] == b' ' && b"KMGTPE".contains(&unit[1]) && unit.ends_with(b"iB");
    (n_fraction == 1 && is_unit).then_some(n_whole + 1 + n_fraction + 4)
}

fn is_summary(line: &[u8]) -> bool {
    line.strip_prefix(b"Total Objects: ")
        .is_some_and(|n| !n.is_empty() && n.iter().all(u8::is_ascii_digit))
        || line.starts_with(b"   Total Size: ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::testing::{entries, rows};

    fn name(line: &str) -> Option<&str> {
        match parse(line.as_bytes()) {
            Some(Line::Object { name, .. }) => Some(std::str::from_utf8(name).unwrap()),
            _ => None,
        }
    }

    #[test]
    fn a_name_is_the_text_after_one_space() {
        let cases = [
            ("2024-01-02 03:04:05         12 a b.txt", "a b.txt"),
            ("2024-01-02 03:04:05         12  leading", " leading"),
            ("2024-01-02 03:04:05          0 trailing ", "trailing "),
            ("2024-01-02 03:04:05 5368709120 big", "big"),
            ("2024-01-02 03:04:05 53687091200 bigger", "bigger"),
            ("2024-01-02 03:04:05    1.0 MiB human", "human"),
            ("2024-01-02 03:04:05     1 Byte one", "one"),
            ("2024-01-02 03:04:05   12 Bytes few", "few"),
            ("2024-01-02 03:04:05 1023.9 KiB 7 Bytes ", "7 Bytes "),
            ("2024-01-02 03:04:05          0 ", ""),
        ];
        for (line, expected) in cases {
            assert_eq!(name(line), Some(expected), "{line:?}");
        }
    }

    #[test]
    fn lines_of_another_shape_are_not_accepted() {
        for line in [
            "a/b.txt",
            "2024-01-02 03:04:05 bucket-name",
            "2024-01-02 03:04:05 12 not-justified",
            "2024-01-02 03:04:05         12",
            "2024/01/02 03:04:05         12 s5cmd",
            "2024-01-02 03:04:05    1.05 MiB x",
            "                          PRE a/",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn prefixes_and_summaries_are_ignored() {
        let list = "                           PRE a/\n                           PRE /\n2024-01-02 03:04:05          3 k\n\n\
                    Total Objects: 1\n   Total Size: 3\n";
        assert_eq!(rows(list.as_bytes(), "auto", ""), [Ok("k".to_owned())]);
    }

    #[test]
    fn a_stray_line_is_a_failed_row() {
        let found = rows(
            b"2024-01-02 03:04:05          3 k\ntail of a key\n",
            "aws-s3-ls",
            "",
        );
        assert_eq!(found[0], Ok("k".to_owned()));
        assert_eq!(
            found[1],
            Err("2: InvalidRow: not a line of `aws s3 ls`: `tail of a key`".to_owned())
        );
    }

    #[test]
    fn the_prefix_is_prepended_to_names() {
        let list = b"2024-01-02 03:04:05          3 k\n2024-01-02 03:04:05          0 \n";
        assert_eq!(
            rows(list, "auto", "p/"),
            [Ok("p/k".to_owned()), Ok("p/".to_owned())]
        );
    }

    #[test]
    fn only_exact_sizes_are_used() {
        let list = "2024-01-02 03:04:05         12 a\n2024-01-02 03:04:05    1.0 MiB b\n";
        let sizes: Vec<_> = entries(list.as_bytes(), "auto")
            .iter()
            .map(|entry| entry.size)
            .collect();
        assert_eq!(sizes, [Some(12), None]);
    }
}
