//! Recognises what no format matches and would be taken for one key per line, although hardly any key looks so, and says what to
//! use instead. `--keys-format lines` reads such a list all the same.

mod signs;

use super::binary::NotAList;
use super::listing;
use super::sample::{Recognised, Sample};
use signs::{
    has_uri_inside, is_access_log, is_box, is_bsd_checksum, is_bucket, is_checksum, is_dash,
    is_dashes, is_dvc, is_error, is_framed, is_git_lfs, is_header_in_single_quotes,
    is_header_with_bars, is_header_with_blanks, is_header_without_key, is_indented, is_numbered,
    is_of_ls, is_python_bytes, is_python_object, is_row_0, is_row_1, is_rule, is_separator_line,
    is_uri_with_colon, is_yaml, is_yaml_of_aws, may_be_header, starts_with_blank,
};

/// Whether a list is of a kind that is not one key per line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotKeys {
    No,
    Yes(NotAList),
    /// More rows are needed to tell.
    Undecided,
}

/// What tells a kind.
enum Sign {
    /// The first row.
    First(fn(&[u8]) -> bool),
    /// Each of the first rows, and what the first one is besides.
    Each(fn(&[u8]) -> bool, fn(&[u8]) -> bool),
    /// The first row, and the second one.
    Two(fn(&[u8]) -> bool, fn(&[u8]) -> bool),
}

use Sign::{Each, First, Two};

/// Where the first row is nothing besides.
fn any(_: &[u8]) -> bool {
    true
}

const KINDS: [(Sign, NotAList); 24] = [
    (
        First(is_git_lfs),
        NotAList {
            what: "a pointer of Git LFS, not the file that it stands for",
            cure: "fetch the file with `git lfs pull`",
        },
    ),
    (
        First(is_dvc),
        NotAList {
            what: "a `.dvc` file, not the file that it stands for",
            cure: "fetch the file with `dvc pull`",
        },
    ),
    (
        First(is_error),
        NotAList {
            what: "an error message of the command that was to write it",
            cure: "run that command alone, and correct what it says",
        },
    ),
    (
        First(is_access_log),
        NotAList {
            what: "an access log",
            cure: "write the keys that are wanted into a list, one per line, or list the bucket with `--prefix`",
        },
    ),
    (
        First(is_of_ls),
        NotAList {
            what: "the output of `ls -l`",
            cure: "give the keys alone, one per line",
        },
    ),
    (
        First(is_python_object),
        NotAList {
            what: "what Python prints",
            cure: "print the `key` of each object, or write them as JSON with `json.dumps`",
        },
    ),
    (
        Two(is_row_0, is_row_1),
        NotAList {
            what: "what pandas prints",
            cure: "write it with `to_csv`, or as JSON with `to_json(orient='records')`",
        },
    ),
    (
        Each(is_python_bytes, any),
        NotAList {
            what: "what Python prints",
            cure: "decode the bytes before they are printed",
        },
    ),
    (
        First(is_separator_line),
        NotAList {
            what: "a CSV with a line `sep=` before its header",
            cure: "leave that line out: `tail -n +2 LIST | s3pull …`",
        },
    ),
    (
        First(is_header_in_single_quotes),
        NotAList {
            what: "a table with single quotes",
            cure: "write it with double quotes",
        },
    ),
    (
        First(is_header_with_bars),
        NotAList {
            what: "a table with `|` between its columns",
            cure: "write it with commas or TABs: `tr '|' '\\t' < LIST | s3pull …`",
        },
    ),
    (
        First(is_header_without_key),
        NotAList {
            what: "a table whose header has no column `key`",
            cure: "name the one with the key with `--key-column NAME`",
        },
    ),
    (First(is_header_with_blanks), FOR_PEOPLE),
    (First(is_box), FOR_PEOPLE),
    (Two(may_be_header, is_rule), FOR_PEOPLE),
    (
        Two(is_dashes, is_framed),
        NotAList {
            what: "a table of `aws --output table`",
            cure: "use `--output json`, or `aws s3 ls --recursive`",
        },
    ),
    (
        Each(is_yaml, is_dash),
        NotAList {
            what: "YAML, such as that of `aws --output yaml`",
            cure: "use `--output json`, or `aws s3 ls --recursive`",
        },
    ),
    (
        First(is_yaml_of_aws),
        NotAList {
            what: "YAML of `aws --output yaml`",
            cure: "use `--output json`, or `aws s3 ls --recursive`",
        },
    ),
    (
        Each(is_checksum, any),
        NotAList {
            what: "a list of checksums, like that of `sha256sum` or `rclone md5sum`",
            cure: "make it a table, by which the files are verified too: `(echo sha256,key; sed 's/ [ *]/,/' LIST) | s3pull …`",
        },
    ),
    (
        Each(is_bsd_checksum, any),
        NotAList {
            what: "a list of checksums",
            cure: "make it a CSV with the header `sha256,key`, by which the files are verified too",
        },
    ),
    (
        Each(is_numbered, starts_with_blank),
        NotAList {
            what: "a list with a number before each name, like that of `rclone ls` or `uniq -c`",
            cure: "give the names alone: `rclone lsf --recursive --files-only`, or `sed 's/^ *[0-9]*.//' LIST | s3pull …`",
        },
    ),
    (
        Each(is_bucket, any),
        NotAList {
            what: "a list of buckets",
            cure: "list what is in one: `aws s3 ls s3://BUCKET --recursive`, or `--prefix s3://BUCKET/`",
        },
    ),
    (
        Two(is_uri_with_colon, is_indented),
        NotAList {
            what: "the output of `gsutil ls -L`",
            cure: "use `gsutil ls -l 'gs://BUCKET/**'`",
        },
    ),
    (
        First(has_uri_inside),
        NotAList {
            what: "a list with other text before its URIs",
            cure: "give one `s3://bucket/key` per line, or a CSV whose header names their column, for `--key-column NAME`",
        },
    ),
];

const FOR_PEOPLE: NotAList = NotAList {
    what: "a table for people",
    cure: "have it written as CSV, TSV or JSON, with a column `key`",
};

const LONE_CR: NotAList = NotAList {
    what: "text whose lines end in CR alone",
    cure: "convert it: `tr '\\r' '\\n' < LIST | s3pull …`",
};

/// What the list is, if its first rows say that it is one of these.
pub(super) fn what(sample: &Sample<'_>) -> NotKeys {
    let first = sample.first_row();
    let has_cr_inside =
        |text: &[u8]| memchr::memchr(b'\r', &text[..text.len().saturating_sub(1)]).is_some();
    if !sample.text.contains(&b'\n') && has_cr_inside(sample.text) {
        return NotKeys::Yes(LONE_CR);
    }
    let seen = |sign: &Sign| match sign {
        First(is_it) if is_it(first) => Recognised::Yes(""),
        Each(is_it, is_first) if is_first(first) => {
            sample.is_listing(listing::N_ROWS, "", |row| is_it(row).then_some(()))
        }
        Two(is_first, is_second) if is_first(first) => match sample.rows().nth(1) {
            Some(second) if is_second(second) => Recognised::Yes(""),
            None if !sample.is_final => Recognised::Undecided,
            Some(_) | None => Recognised::No,
        },
        First(_) | Each(..) | Two(..) => Recognised::No,
    };
    let found = KINDS.iter().map(|(sign, what)| (seen(sign), what));
    let mut found = found.filter(|(seen, _)| *seen != Recognised::No);
    match found.next() {
        None => NotKeys::No,
        Some((Recognised::Yes(_), what)) => NotKeys::Yes(*what),
        Some(_) => NotKeys::Undecided,
    }
}

#[cfg(test)]
mod tests;
