//! What people may have meant by a key that does not exist.

use std::path::Path;

use super::text::quoted;
use crate::config::instead_of_command;
use crate::printable::printable;

/// What a key that does not exist may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slip {
    /// The path of a list.
    List,
    /// A command of other tools.
    Command,
    Wildcard,
    /// Several keys.
    Tabs,
    /// A key with blanks around it that are not its own.
    Blanks,
    Quotes,
    /// Colours of a terminal.
    Colours,
    /// A byte order mark, where lists were put one behind another.
    Mark,
    Braces,
    /// The path of a file below the folder that was listed.
    Dot,
    /// What is in a folder.
    Folder,
    /// More than one row of a list.
    Rows,
    /// A column behind the key.
    Column,
    /// A key as it stands in URLs.
    Encoded,
    /// The header of a table.
    Header,
    Comment,
}

impl Slip {
    /// What `key`, which does not exist, may be; `is_typed` if it is of the command line.
    pub(super) fn of(key: &str, is_typed: bool) -> Option<Self> {
        const HEADERS: [&str; 3] = ["key", "\"key\"", "s3_key"];
        if is_typed && Path::new(key).is_file() {
            Some(Self::List)
        } else if is_typed && instead_of_command(key).is_some() {
            Some(Self::Command)
        } else if key.contains('\t') {
            Some(Self::Tabs)
        } else if key.contains(['\n', '\0']) {
            Some(Self::Rows)
        } else if key.contains('\u{1b}') {
            Some(Self::Colours)
        } else if key.starts_with('\u{feff}') {
            Some(Self::Mark)
        } else if is_quoted(key) {
            Some(Self::Quotes)
        } else if key.contains('*') {
            Some(Self::Wildcard)
        } else if has_braces(key) {
            Some(Self::Braces)
        } else if key.starts_with("./") {
            Some(Self::Dot)
        } else if key.starts_with("# ") {
            Some(Self::Comment)
        } else if key.trim() != key {
            Some(Self::Blanks)
        } else if HEADERS.iter().any(|name| key.eq_ignore_ascii_case(name)) {
            Some(Self::Header)
        } else if key.ends_with('/') {
            Some(Self::Folder)
        } else if ends_in_number(key) {
            Some(Self::Column)
        } else if has_escape(key) {
            Some(Self::Encoded)
        } else {
            None
        }
    }

    /// What to do about it.
    pub(super) fn hint(self, key: &str) -> String {
        let shown = printable(key);
        match self {
            Self::List => {
                format!("`{shown}` is a file here: a list of keys is given as `--keys {shown}`")
            }
            Self::Command => format!(
                "s3pull has no `{shown}` command: {}",
                instead_of_command(key).unwrap_or_default()
            ),
            Self::Wildcard => {
                let (prefix, glob) = prefix_and_glob(key);
                let (prefix, shown) = (printable(prefix), printable(glob));
                let filter = match glob {
                    "*" => String::new(),
                    _ => format!(" --include '{shown}'"),
                };
                format!(
                    "wildcards are not expanded in keys: `--prefix '{prefix}'{filter}` lists the bucket instead"
                )
            }
            Self::Tabs => "the row has TABs, which are a part of the key: put one key on each line (`tr '\\t' '\\n'`)".to_owned(),
            Self::Blanks => format!(
                "the blanks around the key {} are a part of it",
                quoted(key)
            ),
            Self::Rows => {
                let format = if key.contains('\0') { "null" } else { "lines" };
                format!("the key has the end of a row in it: `--keys-format {format}` reads it as several keys")
            }
            Self::Quotes => {
                "the quotes around the key are a part of it: leave them out (`jq -r` prints none)".to_owned()
            }
            Self::Colours => "the key has the colour codes of a terminal: have the command that makes the list print none (`--color=never`)".to_owned(),
            Self::Mark => {
                "the key begins with a byte order mark, as where one list was added to another: leave it out".to_owned()
            }
            Self::Braces => "braces are not expanded: let a shell do it (`printf '%s\\n' s3://bucket/a-{0..9} | s3pull …`)".to_owned(),
            Self::Dot => "keys do not begin with `./`: leave it out (`sed 's,^\\./,,'`)".to_owned(),
            Self::Folder => format!(
                "a key that ends in `/` is a folder's own object: `--prefix '{shown}'` downloads what is below it"
            ),
            Self::Column => "the number behind the key is taken as a part of it: a table needs a header with `key`".to_owned(),
            Self::Encoded => "`%` and two digits are taken as they are: if the list is URL-encoded, decode it, or read it as `BUCKET,KEY` with `--keys-format inventory`".to_owned(),
            Self::Header => {
                format!("if `{shown}` is the header of a table, add `--keys-format csv`")
            }
            Self::Comment => "lists have no comments: a line that begins with `#` is a key".to_owned(),
        }
    }
}

/// Whether there are quotes around `key`, and perhaps a comma behind them.
fn is_quoted(key: &str) -> bool {
    let key = key.trim_end_matches(',');
    let is_between = |quote| key.len() > 1 && key.starts_with(quote) && key.ends_with(quote);
    is_between('"') || is_between('\'')
}

/// Whether it has `{a,b}` or `{1..9}`.
fn has_braces(key: &str) -> bool {
    let inside = key
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'));
    inside.is_some_and(|(inside, _)| inside.contains(',') || inside.contains(".."))
}

/// Whether it ends in a comma or semicolon and a number, as the rows of a table without a header may.
fn ends_in_number(key: &str) -> bool {
    let number = key.rsplit_once([',', ';']).map(|(_, number)| number);
    number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// Whether it has `%` and two hex digits.
fn has_escape(key: &str) -> bool {
    let is_hex =
        |text: &str| text.len() >= 2 && text.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    key.match_indices('%').any(|(at, _)| is_hex(&key[at + 1..]))
}

/// The folder before the first wildcard of a key, and the rest.
fn prefix_and_glob(key: &str) -> (&str, &str) {
    let start = key.split('*').next().unwrap_or_default();
    key.split_at(start.rfind('/').map_or(0, |slash| slash + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(key: &str) -> Option<String> {
        Slip::of(key, false).map(|slip| slip.hint(key))
    }

    #[test]
    fn a_file_of_that_name_is_a_list_if_it_was_typed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.txt");
        std::fs::write(&path, "k\n").unwrap();
        let path = path.to_str().unwrap();
        assert_eq!(Slip::of(path, true), Some(Slip::List));
        assert!(Slip::List.hint(path).contains(&format!("`--keys {path}`")));
        assert_eq!(hint(path), None);
    }

    #[test]
    fn a_command_of_other_tools_is_one_if_it_was_typed() {
        assert_eq!(Slip::of("ls", true), Some(Slip::Command));
        assert!(Slip::Command.hint("ls").contains("no `ls` command"));
        assert_eq!(hint("ls"), None);
    }

    #[test]
    fn wildcards_headers_comments_and_blanks_are_recognised() {
        for key in [
            "2024/a.jpg",
            "\"",
            "{a}",
            "a,b",
            "a,",
            "12",
            "100%",
            "100%é0",
        ] {
            assert_eq!(hint(key), None, "{key}");
        }
        for (key, said) in [
            ("2023/*", "`--prefix '2023/'`"),
            ("*", "`--prefix ''`"),
            ("a/b*/c.jpg", "`--prefix 'a/' --include 'b*/c.jpg'`"),
            ("*.csv", "`--prefix '' --include '*.csv'`"),
            ("a.jpg\tb.jpg", "TABs"),
            (" a.jpg", "\" a.jpg\""),
            ("a.jpg\r", "\"a.jpg\\r\""),
            ("Key", "`--keys-format csv`"),
            ("# photos", "no comments"),
            ("a\nb\n", "`--keys-format lines`"),
            ("a\0b\n", "`--keys-format null`"),
            ("\"a.jpg\"", "`jq -r`"),
            ("'a b.jpg'", "quotes"),
            ("\"a.jpg\",", "quotes"),
            ("\u{1b}[01;31ma\u{1b}[m.jpg", "`--color=never`"),
            ("\u{feff}a.jpg", "byte order mark"),
            ("train-{000..127}.tar", "braces"),
            ("{a,b}.jpg", "braces"),
            ("./a.jpg", "`./`"),
            ("2024/", "`--prefix '2024/'`"),
            ("a.jpg,12", "header"),
            ("a.jpg;12", "header"),
            ("a%20b.jpg", "URL-encoded"),
        ] {
            let hint = hint(key).unwrap();
            assert!(hint.contains(said), "{key}: {hint}");
        }
    }
}
