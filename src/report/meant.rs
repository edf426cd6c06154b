//! What people may have meant by a key that does not exist.

use std::path::Path;

use super::text::quoted;
use crate::printable::printable;

/// What a key that does not exist may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slip {
    /// The path of a list.
    List,
    Wildcard,
    /// Several keys.
    Tabs,
    /// A key with blanks around it that are not its own.
    Blanks,
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
        } else if key.contains('\t') {
            Some(Self::Tabs)
        } else if key.contains('*') {
            Some(Self::Wildcard)
        } else if key.starts_with("# ") {
            Some(Self::Comment)
        } else if key.trim() != key {
            Some(Self::Blanks)
        } else if HEADERS.iter().any(|name| key.eq_ignore_ascii_case(name)) {
            Some(Self::Header)
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
            Self::Header => {
                format!("if `{shown}` is the header of a table, add `--keys-format csv`")
            }
            Self::Comment => "lists have no comments: a line that begins with `#` is a key".to_owned(),
        }
    }
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
    fn wildcards_headers_comments_and_blanks_are_recognised() {
        assert_eq!(hint("2024/a.jpg"), None);
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
        ] {
            let hint = hint(key).unwrap();
            assert!(hint.contains(said), "{key}: {hint}");
        }
    }
}
