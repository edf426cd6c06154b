//! Detects the format of a list, once per list and from its first rows, never line by line.

use super::format::{Format, ListProblem};
use super::sample::{LineEnding, Sample, line_ending};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What the first rows say about the whole list.
#[derive(Debug)]
pub struct Detected {
    pub format: &'static Format,
    /// Why the list is read in this format.
    pub reason: &'static str,
    pub line_ending: LineEnding,
    /// Bytes to skip at the start.
    pub bom_length: u64,
}

/// Detects the format from `sample`, the start of a list for `bucket`, unless `asked` gives the format.
///
/// # Errors
/// [`ListProblem::Utf16`], which no format can be in.
pub fn detect(
    sample: &[u8],
    asked: Option<&'static Format>,
    formats: &[&'static Format],
    bucket: &str,
) -> Result<Detected, ListProblem> {
    if has_utf16_mark(sample) || (asked.is_none() && looks_like_utf16(sample)) {
        return Err(ListProblem::Utf16);
    }
    let bom_length = if sample.starts_with(BOM) {
        BOM.len()
    } else {
        0
    };
    let text = &sample[bom_length..];
    let line_ending = line_ending(text);
    let sample = Sample {
        text,
        line_ending,
        bucket,
    };
    let recognised = formats
        .iter()
        .find_map(|format| Some((*format, (format.recognise)(&sample)?)));
    let (format, reason) = match (asked, recognised) {
        (Some(asked), _) => (asked, "`--keys-format` is set"),
        (None, Some(found)) => found,
        (None, None) => unreachable!("the last format accepts every list"),
    };
    Ok(Detected {
        format,
        reason,
        line_ending,
        bom_length: bom_length as u64,
    })
}

fn has_utf16_mark(sample: &[u8]) -> bool {
    sample.starts_with(b"\xff\xfe") || sample.starts_with(b"\xfe\xff")
}

/// Whether every other byte is NUL, as in ASCII text that is encoded in UTF-16.
fn looks_like_utf16(sample: &[u8]) -> bool {
    let start = &sample[..sample.len().min(64)];
    let every_other_is_nul = |from: usize| {
        let nuls = start.iter().skip(from).step_by(2);
        let others = start.iter().skip(1 - from).step_by(2);
        nuls.clone().all(|&byte| byte == 0) && others.clone().all(|&byte| byte != 0)
    };
    start.len() >= 4 && (every_other_is_nul(0) || every_other_is_nul(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::list::FORMATS;

    fn detected(list: &[u8]) -> Detected {
        detect(list, None, FORMATS, "b").unwrap()
    }

    #[test]
    fn each_format_is_recognised() {
        let cases = [
            ("", "lines"),
            ("\n\n", "lines"),
            ("a\nb\n", "lines"),
            ("key\n", "lines"),
            ("a,b\n", "lines"),
            ("{a}\n[b]\n", "lines"),
            ("b,a\nx,y\n", "lines"),
            ("key,bucket\na,b\n", "csv"),
            ("size,\"key\"\r\n1,a\r\n", "csv"),
            ("2024-01-02 03:04:05         12 a b.txt\n", "aws-s3-ls"),
            (
                "                           PRE a/\n2024-01-02 03:04:05         12 b\n",
                "aws-s3-ls",
            ),
            (
                "2024-01-02 03:04:05    1.0 MiB a\n\nTotal Objects: 1\n   Total Size: 1.0 MiB\n",
                "aws-s3-ls",
            ),
            // This is the listing of an empty prefix.
            ("\nTotal Objects: 0\n   Total Size: 0 Bytes\n", "aws-s3-ls"),
            // One line is not a line of a listing, so all of them are keys, some of which look like a listing.
            ("2024-01-02 03:04:05         12 a\nplain\n", "lines"),
            ("2024/01/02 03:04:05                12  a b\n", "s5cmd-ls"),
            ("a\0b\nc\0", "null"),
            ("{\"key\":\"a\"}\n", "json"),
            ("[\n  \"a\",\n", "json"),
            ("{\n    \"Contents\": [\n", "json"),
            ("\"b\",\"a%20b\",\"v1\"\n", "inventory"),
            ("b,a\nb,c\n", "inventory"),
            (
                "{\"sourceBucket\":\"b\",\"fileSchema\":\"Bucket, Key\"}",
                "inventory",
            ),
        ];
        for (list, format) in cases {
            assert_eq!(detected(list.as_bytes()).format.name, format, "{list:?}");
        }
    }

    #[test]
    fn a_line_cut_off_by_the_sample_does_not_count() {
        let list = b"2024-01-02 03:04:05         12 a\n2024-01-0";
        assert_eq!(detected(list).format.name, "aws-s3-ls");
    }

    #[test]
    fn line_endings_and_bom_apply_to_the_whole_list() {
        let found = detected(b"\xef\xbb\xbfa\r\nb\r\n");
        assert_eq!((found.line_ending, found.bom_length), (LineEnding::CrLf, 3));
        // A key may end in CR where lines end in LF.
        assert_eq!(detected(b"a\r\nb\n").line_ending, LineEnding::Lf);
    }

    #[test]
    fn the_error_for_utf16_names_the_fix_with_a_bom_and_without() {
        for (list, asked) in [
            (&b"\xff\xfea\0"[..], format_named("lines")),
            (b"\xfe\xff\0a", None),
            (b"a\0b\0\n\0", None),
            (b"\0a\0b", None),
        ] {
            let error = detect(list, asked, FORMATS, "b").unwrap_err();
            assert!(error.to_string().contains("iconv"), "{error}");
        }
        assert_eq!(detected(b"a\0b\0\0\0").format.name, "null");
    }

    use crate::source::list::format_named;
}
