use super::*;
use crate::source::list::sample::sample;
use crate::source::list::{FORMATS, format_named};

fn detected_as(list: &[u8], asked: Option<&'static Format>) -> Result<DetectedFormat, ListProblem> {
    let known = Known {
        asked,
        bucket: "b",
        key_column: None,
        is_named_table: false,
        end: b"",
    };
    let (_, found) = sample(&mut &*list, |start, is_final| {
        detect(start, is_final, known, FORMATS)
    })?;
    match found {
        Some(Detected::List(found)) => Ok(found),
        other => panic!("{other:?}"),
    }
}

fn detected(list: &[u8]) -> DetectedFormat {
    detected_as(list, None).unwrap()
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
        ("Key;Size\na;1\n", "csv"),
        ("Size\tObject_Key\n1\ta\n", "tsv"),
        ("\"Key\"\n\"a\"\n", "csv"),
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
        ("ab\0\0c\0", "null"),
        ("a\0b\nc\nd\n", "lines"),
        ("ab\0c\nd", "lines"),
        ("{\"key\":\"a\"}\n", "json"),
        ("{\"key\":\"a\n{\"key\":\"b\"}\n", "json"),
        ("[\n  \"a\",\n", "json"),
        ("{\n    \"Contents\": [\n", "json"),
        ("\"b\",\"a%20b\",\"v1\"\n", "inventory"),
        ("b,a\nb,c\n", "inventory"),
        (
            "{\"sourceBucket\":\"b\",\"fileSchema\":\"Bucket, Key\"}",
            "inventory",
        ),
        (
            "{\n  \"sourceBucket\" : \"b\",\n  \"fileSchema\" : \"Bucket, Key\",\n  \"files\" : [ ]\n}\n",
            "inventory",
        ),
    ];
    for (list, format) in cases {
        assert_eq!(detected(list.as_bytes()).format.name, format, "{list:?}");
    }
}

#[test]
fn a_line_cut_off_by_the_end_does_not_count() {
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
fn a_plain_first_row_decides_at_once() {
    for (list, length) in [
        ("a\nb\n", 2),
        ("key,size\na,1\n", 9),
        ("{\"key\":\"a\"}\n{", 12),
    ] {
        assert_eq!(detected(list.as_bytes()).length, length, "{list}");
    }
}

#[test]
fn the_error_for_utf16_names_the_fix_with_a_bom_and_without() {
    for (list, asked) in [
        (&b"\xff\xfea\0"[..], format_named("lines")),
        (b"\xfe\xff\0a", None),
        (b"a\0b\0\n\0", None),
        (b"\0a\0b", None),
    ] {
        let error = detected_as(list, asked).unwrap_err();
        assert!(error.to_string().contains("iconv"), "{error}");
    }
    assert_eq!(detected(b"a\0b\0\0\0").format.name, "null");
}
