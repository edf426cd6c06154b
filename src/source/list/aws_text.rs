//! `aws-text`: the output of `aws s3api list-objects-v2`, `list-objects` or `list-object-versions` with `--output text`.
//!
//! With `--query 'Contents[].Key'`, all keys of a page are on one line, with TABs between them. Without `--query`, a row per
//! object has the columns that S3 returns in alphabetical order, and other rows stand between. Either way a page without
//! objects is `None` (`awscli/text.py`). Keys with a TAB are read rightly from rows only.

use super::columns::{Columns, KeyRules, Value, excerpt, utf8};
use super::format::{Emit, Format, List, ListProblem};
use super::lines;
use super::listing::has_shape;
use super::sample::{Recognised, Sample};
use crate::outcome::SkipReason;
use crate::row::{Entry, UnusableRow};

pub(super) static FORMAT: Format = Format {
    name: "aws-text",
    help: "The text output of `aws s3api list-objects-v2` and its like",
    magic: b"",
    waits_for_rows: true,
    recognise: |sample| match layout(sample) {
        Layout::Undecided => Recognised::Undecided,
        Layout::Keys => Recognised::Yes("it is one line of keys with TABs between them"),
        Layout::Rows => Recognised::Yes("its rows are those of `aws s3api --output text`"),
        Layout::Other => Recognised::No,
    },
    read,
};

/// Most bytes of a line: a page of 1,000 keys of the greatest length.
const MAX_LINE: usize = 1025 * 1024;

/// The longest key in bytes: a longer line with TABs is more than one key.
const MAX_KEY: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// A page of keys per line.
    Keys,
    /// An object per row.
    Rows,
    Other,
    Undecided,
}

/// Rows of a page that stand between those of objects.
const BETWEEN: [&[u8]; 8] = [
    b"CHECKSUMALGORITHM",
    b"OWNER",
    b"RESTORESTATUS",
    b"COMMONPREFIXES",
    b"REQUESTCHARGED",
    b"INITIATOR",
    b"ENCODINGTYPE",
    b"PREFIX",
];

/// Detects the layout from the first row that tells: one of an object, or a line of keys that is the only one or longer than
/// a key may be. Several shorter lines with TABs may be anything.
fn layout(sample: &Sample<'_>) -> Layout {
    // Single values of a page come first, on a line without a name.
    let is_head = is_head(sample.first_row())
        && sample
            .rows()
            .nth(1)
            .is_some_and(|row| Object::parse(row).is_some() || is_between(row));
    let rows = sample.rows().skip(usize::from(is_head));
    let mut rows = rows.filter(|row| !is_scalars(row));
    let Some(row) = rows.next() else {
        // A list that is only `None` is one without objects.
        let first = sample.first_row();
        let may_be = first.contains(&b'\t') || first == b"None";
        return match (may_be, sample.is_final) {
            (true, false) => Layout::Undecided,
            (true, true) => Layout::Rows,
            (false, _) => Layout::Other,
        };
    };
    if Object::parse(row).is_some() || is_between(row) {
        return Layout::Rows;
    }
    if !row.contains(&b'\t')
        || row
            .split(|&byte| byte == b'\t')
            .any(|key| key.len() > MAX_KEY)
    {
        return Layout::Other;
    }
    match (row.len() > MAX_KEY, rows.next().is_some(), sample.is_final) {
        (false, false, true) if is_key_and_value(row) => Layout::Other,
        (true, _, _) | (false, false, true) => Layout::Keys,
        (false, true, _) => Layout::Other,
        (false, false, false) => Layout::Undecided,
    }
}

/// Whether a row is one key with its size or time, as `--query 'Contents[].[Key,Size]'` prints the only object.
fn is_key_and_value(row: &[u8]) -> bool {
    let columns: Vec<_> = row.split(|&byte| byte == b'\t').collect();
    let is_number = |column: &[u8]| !column.is_empty() && column.iter().all(u8::is_ascii_digit);
    match columns[..] {
        [key, value] => !is_number(key) && (is_number(value) || is_time(value)),
        _ => false,
    }
}

fn is_time(column: &[u8]) -> bool {
    column
        .get(..19)
        .is_some_and(|time| has_shape(time, b"dddd-dd-ddTdd:dd:dd"))
}

/// Whether a row has nothing but values that are missing or a flag, and perhaps the prefix that was listed before the last one.
fn is_scalars(row: &[u8]) -> bool {
    let is_scalar = |column: &&[u8]| matches!(*column, b"" | b"None" | b"True" | b"False");
    row.split(|&byte| byte == b'\t')
        .all(|column| is_scalar(&column))
        || {
            let mut columns = row.rsplit(|&byte| byte == b'\t');
            let is_of_page = matches!(columns.next(), Some(b"None" | b"requester"));
            let has_prefix = columns.next().is_some();
            let mut before = columns.peekable();
            is_of_page
                && has_prefix
                && before.peek().is_some()
                && before.all(|column| column == b"None")
        }
}

/// Whether a row may be the prefix that was listed and who pays, which stand alone where there are common prefixes.
fn is_head(row: &[u8]) -> bool {
    let mut columns = row.rsplit(|&byte| byte == b'\t');
    matches!(columns.next(), Some(b"None" | b"requester")) && columns.count() == 1
}

fn is_between(row: &[u8]) -> bool {
    let name = row.split(|&byte| byte == b'\t').next().unwrap_or_default();
    row.contains(&b'\t') && BETWEEN.contains(&name)
}

fn read(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), ListProblem> {
    let (keys, ending) = (list.keys, list.line_ending);
    let is_keys = layout(&list.start) == Layout::Keys;
    let mut may_be_head = true;
    lines::for_each(&mut *list.input, ending, MAX_LINE, |line, text| {
        let text = match text {
            Ok(text) => text,
            Err(error) => return emit(line, Err(error)),
        };
        let is_first = std::mem::take(&mut may_be_head);
        if is_keys {
            if text == b"None" {
                return;
            }
            for key in text.split(|&byte| byte == b'\t') {
                emit(line, keys.key_or_uri(key));
            }
        } else if text.starts_with(b"COMMONPREFIXES\t") {
            keys.findings.folder();
        } else if !(is_between(text) || is_scalars(text) || is_first && is_head(text)) {
            emit(line, entry(text, keys));
        }
    })?;
    Ok(())
}

/// The columns of an object's row.
#[derive(Debug, Default)]
struct Object<'a> {
    key: &'a [u8],
    etag: &'a [u8],
    time: &'a [u8],
    size: &'a [u8],
    version_id: &'a [u8],
    is_latest: Option<bool>,
    is_delete_marker: bool,
}

impl<'a> Object<'a> {
    /// The key stands after the ETag, which is in quotes, or after `True` or `False` of a version, and before the time. So it
    /// may have TABs.
    fn parse(row: &'a [u8]) -> Option<Self> {
        let columns: Vec<_> = row.split(|&byte| byte == b'\t').collect();
        let is_delete_marker = columns[0] == b"DELETEMARKERS";
        let is_version = is_delete_marker || columns[0] == b"VERSIONS";
        let is_etag = |column: &&[u8]| {
            column.len() > 2 && column.starts_with(b"\"") && column.ends_with(b"\"")
        };
        let etag_at = columns.iter().take(3).position(is_etag);
        let mut key_from = match etag_at {
            Some(at) => at + 1,
            None if is_delete_marker => 1,
            None => return None,
        };
        let mut is_latest = None;
        if is_version {
            is_latest = match *columns.get(key_from)? {
                b"True" => Some(true),
                b"False" => Some(false),
                _ => return None,
            };
            key_from += 1;
        }
        let time_at = columns.iter().rposition(|column| is_time(column))?;
        if time_at <= key_from {
            return None;
        }
        let lengths =
            |columns: &[&[u8]]| columns.iter().map(|column| column.len() + 1).sum::<usize>();
        let key = &row[lengths(&columns[..key_from])..lengths(&columns[..time_at]) - 1];
        let after = &columns[time_at + 1..];
        let version_id = if is_version {
            after.last().copied()?
        } else {
            b""
        };
        Some(Self {
            key,
            etag: etag_at.map_or(&b""[..], |at| columns[at]),
            time: columns[time_at],
            size: after
                .first()
                .copied()
                .filter(|_| !is_delete_marker)
                .unwrap_or_default(),
            version_id,
            is_latest,
            is_delete_marker,
        })
    }
}

fn entry(row: &[u8], keys: KeyRules<'_>) -> Result<Entry, UnusableRow> {
    let Some(object) = Object::parse(row) else {
        let row = excerpt(row);
        return Err(UnusableRow::invalid(format!(
            "not a row of `aws s3api --output text`: `{row}`"
        )));
    };
    let columns = Columns {
        key: Value::Text(utf8(object.key)?),
        etag: Value::Text(utf8(object.etag)?),
        size: Value::Text(utf8(object.size)?),
        last_modified: Value::Text(utf8(object.time)?),
        version_id: Value::Text(utf8(object.version_id)?),
        is_latest: object.is_latest.map_or_else(Value::default, Value::Flag),
        ..Columns::default()
    };
    if object.is_delete_marker {
        return Err(UnusableRow::skipped(
            keys.read(&columns),
            SkipReason::DeleteMarker,
        ));
    }
    keys.latest(&columns)
}

#[cfg(test)]
mod tests {
    use crate::etag::ETag;
    use crate::source::testing::{entries, rows};

    fn keys(keys: &[&str]) -> Vec<Result<String, String>> {
        keys.iter().map(|key| Ok((*key).to_owned())).collect()
    }

    /// What awscli 1.46 prints.
    #[test]
    fn a_page_of_keys_is_one_line() {
        let page = " lead\t$var `x`\t2024/a.jpg\n";
        assert_eq!(
            rows(page.as_bytes(), "auto", ""),
            keys(&[" lead", "$var `x`", "2024/a.jpg"])
        );
        // With `--max-items`.
        let cut = format!("{page}None\n");
        assert_eq!(rows(cut.as_bytes(), "auto", "").len(), 3);
        assert_eq!(
            rows(page.as_bytes(), "aws-text", "p/")[2],
            Ok("p/2024/a.jpg".to_owned())
        );
        let long: Vec<_> = (0..300).map(|n| format!("key/{n}")).collect();
        let pages = format!("{}\nlast\n", long.join("\t"));
        let found = rows(pages.as_bytes(), "auto", "");
        assert_eq!((found.len(), &found[300]), (301, &Ok("last".to_owned())));
    }

    #[test]
    fn several_lines_with_tabs_may_be_anything() {
        let list = b"a\t15\nb\t16\n";
        assert_eq!(rows(list, "auto", ""), keys(&["a\t15", "b\t16"]));
        assert_eq!(rows(b"a\t15\n", "auto", ""), keys(&["a\t15"]));
        assert_eq!(rows(b"14\t15\n", "auto", ""), keys(&["14", "15"]));
        assert_eq!(rows(b"a\nb\tc\n", "auto", ""), keys(&["a", "b\tc"]));
    }

    #[test]
    fn rows_of_objects_are_told_from_those_between_them() {
        let list = "None\t\tNone\n\
            CONTENTS\t\"a76f\"\t lead\t2026-11-26T00:04:15.000Z\t15\tSTANDARD\n\
            CHECKSUMALGORITHM\tCRC32\n\
            CONTENTS\tFULL_OBJECT\t\"e041\"\ttab\tkey\t2026-11-26T00:04:16+00:00\t21\tSTANDARD\n\
            OWNER\twebfile\t75aa\n\
            COMMONPREFIXES\tp/\n";
        let found = entries(list.as_bytes(), "auto");
        assert_eq!(
            rows(list.as_bytes(), "auto", ""),
            keys(&[" lead", "tab\tkey"])
        );
        assert_eq!(
            (found[1].size, found[1].etag.clone()),
            (Some(21), ETag::of_row("e041"))
        );
        let time = found[0].last_modified.map(|time| time.to_string());
        assert_eq!(time.as_deref(), Some("2026-11-26T00:04:15Z"));
        // With `--query 'Contents[]'` the rows have no name.
        let unnamed = list.replace("CONTENTS\t", "").replace("None\t\tNone\n", "");
        assert_eq!(
            rows(unnamed.as_bytes(), "auto", ""),
            keys(&[" lead", "tab\tkey"])
        );
        assert_eq!(rows(b"None\tNone\t\tNone\n", "auto", ""), []);
        assert_eq!(rows(b"None\n", "auto", ""), []);
        assert_eq!(rows(b"None\na\n", "auto", ""), keys(&["None", "a"]));
    }

    /// What awscli prints first with `--prefix`, without and with `--delimiter`.
    #[test]
    fn the_prefix_that_was_listed_is_not_a_row() {
        let row = "CONTENTS\t\"a76f\"\tp/a\t2026-11-26T00:04:15.000Z\t15\tSTANDARD\n";
        for head in [
            "None\tp/\tNone\n",
            "None\tp/\trequester\n",
            "p/\tNone\nCOMMONPREFIXES\tp/q/\n",
        ] {
            let list = format!("{head}{row}");
            assert_eq!(rows(list.as_bytes(), "auto", ""), keys(&["p/a"]), "{head}");
        }
        assert_eq!(rows(b"None\tNone\tp/\tNone\n", "auto", ""), []);
        // These may be keys.
        assert_eq!(rows(b"p/\tNone\n", "auto", ""), keys(&["p/", "None"]));
    }

    #[test]
    fn versions_are_read_like_those_of_an_inventory() {
        let list = "None\tNone\t\tNone\n\
            VERSIONS\t\"933\"\tTrue\ta b\t2026-11-26T00:04:16.000Z\t2\tSTANDARD\tv2\n\
            OWNER\twebfile\t75aa\n\
            VERSIONS\t\"9dd\"\tFalse\ta b\t2026-11-26T00:04:16.000Z\t1\tSTANDARD\tv1\n\
            DELETEMARKERS\tTrue\tgone\t2026-11-26T00:04:16.000Z\tv3\n";
        assert_eq!(
            rows(list.as_bytes(), "auto", ""),
            [
                Ok("a b".to_owned()),
                Err("4: not the latest version".to_owned()),
                Err("5: a delete marker".to_owned())
            ]
        );
        let first = &entries(list.as_bytes(), "auto")[0];
        assert_eq!(
            (first.version_id.as_deref(), first.size),
            (Some("v2"), Some(2))
        );
    }
}
