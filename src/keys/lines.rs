//! `lines`: a key a line, or `s3://bucket/key`. Keys are taken as they stand: never trimmed, and `#` starts no comment.

use std::io::{self, BufRead, Read};

use super::detect::LineEnding;
use super::{Entry, KeyRules, Row, RowError, utf8};

/// Bytes after which a line can hold no key and is passed over, so that memory stays flat on a file that is no list.
const MAX_LINE: usize = 16 * 1024;

pub fn read(
    input: impl BufRead,
    ending: LineEnding,
    keys: KeyRules<'_>,
    emit: &mut impl FnMut(Row),
) -> io::Result<()> {
    for_each(input, ending, |line, text| {
        let entry = text.and_then(|text| entry(text, keys));
        emit(Row { line, entry });
    })
}

fn entry(text: &[u8], keys: KeyRules<'_>) -> Result<Entry, RowError> {
    let Some(uri) = text.strip_prefix(b"s3://") else {
        return keys.entry(text);
    };
    let uri = utf8(uri)?;
    match uri.split_once('/') {
        Some((bucket, key)) if !bucket.is_empty() => keys.whole_entry(key, bucket, ""),
        _ => Err(RowError::invalid(format!(
            "`s3://{uri}` is not `s3://bucket/key`"
        ))),
    }
}

/// Hands each line that is not blank, and its number from 1, to `each`; a line too long to be one as an error.
pub fn for_each(
    mut input: impl BufRead,
    ending: LineEnding,
    mut each: impl FnMut(u64, Result<&[u8], RowError>),
) -> io::Result<()> {
    let mut buffer = Vec::new();
    for number in 1.. {
        buffer.clear();
        if input
            .by_ref()
            .take(MAX_LINE as u64)
            .read_until(b'\n', &mut buffer)?
            == 0
        {
            break;
        }
        if buffer.len() == MAX_LINE && !buffer.ends_with(b"\n") {
            input.skip_until(b'\n')?;
            each(
                number,
                Err(RowError::invalid(format!(
                    "the line has more than {MAX_LINE} bytes, which is no key"
                ))),
            );
            continue;
        }
        let line = ending.strip(&buffer);
        if !line.is_empty() {
            each(number, Ok(line));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::ListFormat;
    use crate::keys::tests::rows;

    fn lines(list: &str) -> Vec<Result<String, String>> {
        rows(list.as_bytes(), ListFormat::Lines, "")
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
    fn crlf_and_bom_belong_to_the_file() {
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
    fn prefix_goes_before_keys_but_not_before_uris() {
        let found = rows(b"a\ns3://b/c\n", ListFormat::Lines, "p/");
        assert_eq!(found, keys(&["p/a", "c"]));
    }

    #[test]
    fn bytes_that_are_no_utf8_are_a_failed_row_with_its_line() {
        let found = rows(b"a\n\xff\xfe\nb\n", ListFormat::Lines, "");
        assert_eq!(found[0], Ok("a".into()));
        assert_eq!(
            found[1],
            Err(r"2: InvalidRow: not UTF-8, as S3's keys are: `\xff\xfe`".into())
        );
        assert_eq!(found[2], Ok("b".into()));
    }

    #[test]
    fn a_line_without_end_costs_no_memory_and_one_row() {
        let list = format!("{}\nb\n", "x".repeat(1_000_000));
        let found = lines(&list);
        assert!(found[0].as_ref().unwrap_err().starts_with("1: InvalidRow"));
        assert_eq!(found[1..], keys(&["b"]));
    }
}
