//! `lines`: one key, or one `s3://bucket/key`, per line. Keys are never trimmed, and `#` does not start a comment.

use std::io::{self, BufRead, Read};

use super::format::{Emit, Format, List, ListProblem};
use super::sample::{LineEnding, Recognised};
use crate::printable::count;
use crate::row::UnusableRow;

pub(super) static FORMAT: Format = Format {
    name: "lines",
    help: "One key, or one `s3://bucket/key`, per line",
    magic: b"",
    waits_for_rows: false,
    recognise: |_| Recognised::Yes("no other format matched"),
    read,
};

/// Most bytes of a line. A longer line cannot be a key and is skipped, so that memory use stays flat if the file is not a
/// list.
pub(super) const MAX_LINE: usize = 16 * 1024;

fn read(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), ListProblem> {
    let keys = list.keys;
    for_each(
        &mut *list.input,
        list.line_ending,
        MAX_LINE,
        |line, text| {
            emit(
                line,
                text.and_then(|text| {
                    keys.findings.plain_row(text);
                    keys.key_or_uri(text)
                }),
            );
        },
    )?;
    Ok(())
}

/// Passes each non-blank line, and its number from 1, to `each`; a line of more than `max` bytes is passed as an error.
/// Returns whether the last line has a line ending.
pub(super) fn for_each(
    input: &mut dyn BufRead,
    ending: LineEnding,
    max: usize,
    mut each: impl FnMut(u64, Result<&[u8], UnusableRow>),
) -> io::Result<bool> {
    let end = ending.last_byte();
    let mut buffer = Vec::new();
    let mut has_end = true;
    for number in 1.. {
        buffer.clear();
        let mut limited = Read::take(&mut *input, max as u64);
        if limited.read_until(end, &mut buffer)? == 0 {
            break;
        }
        if buffer.len() == max && buffer.last() != Some(&end) {
            // Such a line is refused, so its own end does not matter.
            input.skip_until(end)?;
            let bytes = count(max as u64, "byte");
            let message = format!(
                "the row has more than {bytes}, so it is not a key: each stands on a line of its own"
            );
            each(number, Err(UnusableRow::invalid(message)));
            continue;
        }
        has_end = buffer.last() == Some(&end);
        let line = ending.strip(&buffer);
        if !line.is_empty() {
            each(number, Ok(line));
        }
    }
    Ok(has_end)
}

#[cfg(test)]
mod tests {
    use crate::source::testing::rows;

    fn lines(list: &str) -> Vec<Result<String, String>> {
        rows(list.as_bytes(), "lines", "")
    }

    fn keys(keys: &[&str]) -> Vec<Result<String, String>> {
        keys.iter().map(|key| Ok((*key).to_owned())).collect()
    }

    #[test]
    fn keys_are_never_trimmed() {
        assert_eq!(
            lines(" a \n\tb\t\n#c\n\n\nlast"),
            keys(&[" a ", "\tb\t", "#c", "last"])
        );
    }

    #[test]
    fn crlf_and_bom_are_not_part_of_keys() {
        assert_eq!(lines("\u{feff}a\r\nb \r\n"), keys(&["a", "b "]));
        assert_eq!(lines("a\nb\r\n"), keys(&["a", "b\r"]));
    }

    #[test]
    fn uris_name_the_bucket() {
        assert_eq!(lines("s3://b/x/y\n"), keys(&["x/y"]));
        assert!(
            lines("s3://other/x\n")[0]
                .as_ref()
                .unwrap_err()
                .starts_with("1: WrongBucket")
        );
        for bad in ["s3://", "s3://b", "s3:///k", "s3://b/"] {
            assert!(
                lines(bad)[0]
                    .as_ref()
                    .unwrap_err()
                    .starts_with("1: InvalidRow"),
                "{bad}"
            );
        }
    }

    #[test]
    fn the_prefix_is_prepended_to_keys_but_not_to_uris() {
        let found = rows(b"a\ns3://b/c\n", "lines", "p/");
        assert_eq!(found, keys(&["p/a", "c"]));
    }

    #[test]
    fn bytes_that_are_not_utf8_fail_their_row_with_its_line() {
        let found = rows(b"a\n\xff\xfe\nb\n", "lines", "");
        assert_eq!(found[0], Ok("a".into()));
        assert_eq!(
            found[1],
            Err(r"2: InvalidRow: not UTF-8, as keys in S3 must be: `\xff\xfe`".into())
        );
        assert_eq!(found[2], Ok("b".into()));
    }

    #[test]
    fn an_endless_line_fails_one_row_without_filling_memory() {
        let list = format!("{}\nb\n", "x".repeat(1_000_000));
        let found = lines(&list);
        assert!(found[0].as_ref().unwrap_err().starts_with("1: InvalidRow"));
        assert_eq!(found[1..], keys(&["b"]));
    }
}
