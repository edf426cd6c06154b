//! What a row looks like.

use crate::source::list::listing::has_shape;
use crate::source::list::names::{Column, column_named, is_path};

fn starts_with_any(row: &[u8], starts: &[&str]) -> bool {
    starts.iter().any(|start| row.starts_with(start.as_bytes()))
}

fn contains(row: &[u8], wanted: &str) -> bool {
    memchr::memmem::find(row, wanted.as_bytes()).is_some()
}

pub(super) fn is_git_lfs(row: &[u8]) -> bool {
    row.starts_with(b"version https://git-lfs.github.com/spec/")
}

pub(super) fn is_dvc(row: &[u8]) -> bool {
    row == b"outs:"
}

/// What aws, s5cmd, s3cmd, mc and Google's tools write to stderr, which may have become part of the list.
pub(super) fn is_error(row: &[u8]) -> bool {
    const STARTS: [&str; 9] = [
        "An error occurred (",
        "aws: error: ",
        "fatal error: ",
        "Unable to locate credentials",
        "ERROR: ",
        "ERROR \"",
        "mc: <ERROR> ",
        "CommandException: ",
        "bash: ",
    ];
    starts_with_any(row, &STARTS)
}

/// A time in brackets, as in the logs of S3 and of web servers.
pub(super) fn is_access_log(row: &[u8]) -> bool {
    const LENGTH: usize = "[06/Feb/2019:00:00:38 +0000]".len();
    memchr::memmem::find_iter(row, b" [").any(|at| {
        row.get(at + 1..at + 1 + LENGTH).is_some_and(|time| {
            has_shape(&time[..4], b"[dd/") && has_shape(&time[7..22], b"/dddd:dd:dd:dd ")
        })
    })
}

/// Permissions at the start, as `ls -l` and `hadoop fs -ls` print them.
pub(super) fn is_of_ls(row: &[u8]) -> bool {
    let permissions = row.get(..11).unwrap_or_default();
    let [kind, bits @ .., end] = permissions else {
        return false;
    };
    b"-dl".contains(kind)
        && bits.iter().all(|bit| b"-rwxsStT".contains(bit))
        && b" .+@".contains(end)
}

pub(super) fn is_python_object(row: &[u8]) -> bool {
    // The rows of an array that is printed end without a comma.
    let is_array = row.starts_with(b"['") && row.ends_with(b"'")
        || row.starts_with(b"<") && row.ends_with(b"Array>");
    is_array || starts_with_any(row, &["s3.ObjectSummary(", "s3.Object("])
}

pub(super) fn is_python_bytes(row: &[u8]) -> bool {
    let is_between = |quote: &str| {
        row.len() > 3
            && row.starts_with(format!("b{quote}").as_bytes())
            && row.ends_with(quote.as_bytes())
    };
    is_between("'") || is_between("\"")
}

/// A row number from 0, and two blanks or more.
pub(super) fn is_row_0(row: &[u8]) -> bool {
    row.starts_with(b"0  ")
}

pub(super) fn is_row_1(row: &[u8]) -> bool {
    row.starts_with(b"1  ")
}

pub(super) fn is_separator_line(row: &[u8]) -> bool {
    row.len() == 5 && row[..4].eq_ignore_ascii_case(b"sep=")
}

/// The names in a header, if each could be one.
fn names<'a>(row: &'a [u8], separators: &[u8]) -> Option<Vec<&'a str>> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_- ".contains(c);
    let names = row.split(|byte| separators.contains(byte));
    let names = names.filter(|name| !name.is_empty()).map(|name| {
        let name = std::str::from_utf8(name).ok()?.trim_matches('"');
        (!name.is_empty() && name.chars().all(is_of_name)).then_some(name)
    });
    names.collect()
}

/// Names of columns with commas, semicolons or TABs between them, one of which is known. One with `key` is a table.
pub(super) fn is_header_without_key(row: &[u8]) -> bool {
    let names = names(row, b",;\t").unwrap_or_default();
    let is_known = |name: &&&str| column_named(name).is_some() || is_path(name);
    let n_known = names.iter().filter(is_known).count();
    n_known > 1 || names.len() > 1 && names.iter().any(|name| is_path(name))
}

pub(super) fn is_header_in_single_quotes(row: &[u8]) -> bool {
    let names = row.split(|byte| b",;\t".contains(byte));
    let mut names = names.map(|name| std::str::from_utf8(name).unwrap_or_default());
    names.any(|name| {
        let inner = name
            .strip_prefix('\'')
            .and_then(|name| name.strip_suffix('\''));
        inner.is_some_and(|name| matches!(column_named(name), Some((Column::Key, _))))
    })
}

pub(super) fn is_header_with_bars(row: &[u8]) -> bool {
    let names = names(row, b"|").unwrap_or_default();
    let is_key = |name: &&str| matches!(column_named(name), Some((Column::Key, _)));
    names.len() > 1 && !row.contains(&b' ') && names.iter().any(is_key)
}

/// `key` and another known name of a column, with blanks between them.
pub(super) fn is_header_with_blanks(row: &[u8]) -> bool {
    let names = names(row, b" ").unwrap_or_default();
    let known = names.iter().filter_map(|name| column_named(name));
    let known: Vec<_> = known.map(|(column, _)| column).collect();
    known.contains(&Column::Key) && known.len() > 1 && names.len() < 2 * known.len()
}

/// The upper edge of a table in a frame.
pub(super) fn is_box(row: &[u8]) -> bool {
    let is_of_ascii = row.starts_with(b"+-") && row.iter().all(|byte| b"+-=".contains(byte));
    is_of_ascii && row.len() > 3 || starts_with_any(row, &["┌", "╭", "╔", "┏"])
}

/// What a table for people may begin with: psql and sqlite3 pad names with blanks, Markdown frames them.
pub(super) fn may_be_header(row: &[u8]) -> bool {
    row.starts_with(b" ") || row.starts_with(b"|") || contains(row, "  ")
}

/// The line between a header and its rows.
pub(super) fn is_rule(row: &[u8]) -> bool {
    contains(row, "---") && row.iter().all(|byte| b"-+|:= ".contains(byte))
}

pub(super) fn is_dashes(row: &[u8]) -> bool {
    row.len() > 2 && row.iter().all(|byte| *byte == b'-')
}

pub(super) fn is_framed(row: &[u8]) -> bool {
    row.len() > 2 && row.starts_with(b"|") && row.ends_with(b"|")
}

pub(super) fn is_dash(row: &[u8]) -> bool {
    row.starts_with(b"- ")
}

pub(super) fn is_yaml(row: &[u8]) -> bool {
    is_dash(row) || row.starts_with(b"  ")
}

pub(super) fn is_yaml_of_aws(row: &[u8]) -> bool {
    row.starts_with(b"IsTruncated: ")
}

/// A hash, two blanks or one and a `*`, and the name.
pub(super) fn is_checksum(row: &[u8]) -> bool {
    let row = row.strip_prefix(b"\\").unwrap_or(row);
    let n_digits = row
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let rest = &row[n_digits..];
    matches!(n_digits, 32 | 40 | 56 | 64 | 96 | 128)
        && rest.len() > 2
        && (rest.starts_with(b"  ") || rest.starts_with(b" *"))
}

/// `SHA256 (name) = hash`
pub(super) fn is_bsd_checksum(row: &[u8]) -> bool {
    starts_with_any(row, &["MD5 (", "SHA1 (", "SHA256 (", "SHA512 ("]) && contains(row, ") = ")
}

pub(super) fn starts_with_blank(row: &[u8]) -> bool {
    row.starts_with(b" ")
}

/// A number and a blank or TAB before something that is not a URI, which has a place of its own.
pub(super) fn is_numbered(row: &[u8]) -> bool {
    let row = row.trim_ascii_start();
    let n_digits = row.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = &row[n_digits..];
    n_digits > 0 && rest.len() > 1 && b" \t".contains(&rest[0]) && !has_uri_inside(row)
}

/// A time and a name without a dot, as `aws s3 ls` lists buckets.
pub(super) fn is_bucket(row: &[u8]) -> bool {
    const TIME: &[u8] = b"dddd-dd-dd dd:dd:dd ";
    let Some((time, name)) = row.split_at_checked(TIME.len()) else {
        return false;
    };
    let is_of_name =
        |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    has_shape(time, TIME) && (3..64).contains(&name.len()) && name.iter().all(is_of_name)
}

const SCHEMES: [&str; 3] = ["s3://", "gs://", "s3a://"];

pub(super) fn is_uri_with_colon(row: &[u8]) -> bool {
    starts_with_any(row, &SCHEMES) && row.ends_with(b":")
}

pub(super) fn is_indented(row: &[u8]) -> bool {
    row.starts_with(b" ") || row.starts_with(b"\t")
}

pub(super) fn has_uri_inside(row: &[u8]) -> bool {
    let is_inside = |scheme: &&str| {
        memchr::memmem::find_iter(row, scheme.as_bytes())
            .any(|at| at > 0 && b" \t,;|".contains(&row[at - 1]))
    };
    !starts_with_any(row, &SCHEMES) && SCHEMES.iter().any(is_inside)
}
