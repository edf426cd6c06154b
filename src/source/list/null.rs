//! `null`: keys, or `s3://bucket/key` URIs, that end in NUL, so that a key may contain a line break.

use super::format::{Emit, Format, List, ListProblem};
use super::lines;
use super::sample::LineEnding;

pub static FORMAT: Format = Format {
    name: "null",
    help: "Keys that end in NUL, so that a key may contain a line break",
    recognise: |sample| {
        sample
            .text
            .contains(&b'\0')
            .then_some("it contains NUL bytes")
    },
    read,
};

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
        let found = rows(b"a\nb\0\0 c \0s3://b/d\r\n", "auto", "");
        assert_eq!(
            found,
            ["a\nb", " c ", "d\r\n"].map(|key| Ok(key.to_owned()))
        );
    }
}
