//! `null`: keys, or `s3://bucket/key` URIs, that end in NUL, so that a key may contain a line break.

use std::cmp::Ordering;

use super::format::{Emit, Format, List, ListProblem};
use super::lines;
use super::sample::{LineEnding, Recognised, Sample};

pub(crate) static FORMAT: Format = Format {
    name: "null",
    help: "Keys that end in NUL, so that a key may contain a line break",
    magic: b"",
    waits_for_rows: false,
    recognise,
    read,
};

/// Rows end in NUL if the first one does, and no more of the next ones end in a line feed, of which keys may have some.
fn recognise(sample: &Sample<'_>) -> Recognised {
    const ENOUGH: usize = 16;
    let mut ends = memchr::memchr2_iter(b'\n', b'\0', sample.text).map(|end| sample.text[end]);
    let (Some(b'\0'), second) = (ends.next(), ends.next()) else {
        return Recognised::No;
    };
    let n_feeds = memchr::memchr_iter(b'\n', sample.text).count();
    let n_nuls = memchr::memchr_iter(b'\0', sample.text).count();
    let is_enough = sample.is_final || second == Some(b'\0') || n_feeds + n_nuls >= ENOUGH;
    match (is_enough, n_nuls.cmp(&n_feeds)) {
        (false, _) => Recognised::Undecided,
        (true, Ordering::Greater) => Recognised::Yes("its rows end in NUL"),
        (true, Ordering::Equal) if sample.text.ends_with(b"\0") => {
            Recognised::Yes("its rows end in NUL")
        }
        (true, _) => Recognised::No,
    }
}

fn read(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), ListProblem> {
    let keys = list.keys;
    let end = LineEnding::Nul;
    lines::for_each(&mut *list.input, end, lines::MAX_LINE, |row, text| {
        emit(row, text.and_then(|text| keys.key_or_uri(text)));
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::source::testing::rows;

    #[test]
    fn keys_may_contain_line_breaks_and_the_last_nul_may_be_missing() {
        let list = b"a\nb\0\0 c \0s3://b/d\r\n";
        assert_eq!(
            rows(list, "null", ""),
            ["a\nb", " c ", "d\r\n"].map(|key| Ok(key.to_owned()))
        );
        assert_eq!(
            rows(b"x\0a\nb\0\0 c \0d\r\n", "auto", ""),
            ["x", "a\nb", " c ", "d\r\n"].map(|key| Ok(key.to_owned()))
        );
    }

    #[test]
    fn a_stray_nul_is_part_of_a_line() {
        for list in [&b"a\0b\nc\nd\n"[..], b"a\nb\0c\nd\n", b"a\nb\nc\0"] {
            let lines = list.trim_ascii_end().split(|&byte| byte == b'\n');
            let lines: Vec<_> = lines
                .map(|line| Ok(String::from_utf8(line.to_vec()).unwrap()))
                .collect();
            assert_eq!(rows(list, "auto", ""), lines);
        }
    }
}
