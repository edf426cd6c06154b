//! `--include` and `--exclude`: which keys a run takes. The last pattern that a key matches decides; a key that matches none
//! is taken, unless the first pattern is an include.

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

/// What a pattern does with the keys that match it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterKind {
    Include,
    Exclude,
}

/// A pattern as it was typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedFilter {
    pub kind: FilterKind,
    pub glob: String,
}

/// The patterns, in the order of the command line.
#[derive(Debug, Default)]
pub struct Filters {
    rules: Vec<(FilterKind, Regex)>,
}

/// Why a pattern cannot be used, as a complete message.
#[derive(Debug, thiserror::Error)]
#[error("`{option} {}` is not a valid pattern: {why}", glob.escape_debug())]
pub struct FilterError {
    option: &'static str,
    glob: String,
    why: String,
}

impl Filters {
    /// # Errors
    /// When a pattern is not a glob.
    pub fn new(typed: &[TypedFilter]) -> Result<Self, FilterError> {
        let rule = |filter: &TypedFilter| {
            let regex = regex(&filter.glob).map_err(|why| FilterError {
                option: match filter.kind {
                    FilterKind::Include => "--include",
                    FilterKind::Exclude => "--exclude",
                },
                glob: filter.glob.clone(),
                why,
            })?;
            Ok((filter.kind, regex))
        };
        let rules = typed.iter().map(rule).collect::<Result<_, _>>()?;
        Ok(Self { rules })
    }

    /// Whether the run takes `key`, which is relative to `--prefix`.
    pub fn take(&self, key: &str) -> bool {
        let last = self
            .rules
            .iter()
            .rev()
            .find(|(_, regex)| regex.is_match(key));
        let kind = match (last, self.rules.first()) {
            (Some((kind, _)), _) => *kind,
            (None, Some((FilterKind::Include, _))) => FilterKind::Exclude,
            (None, _) => FilterKind::Include,
        };
        kind == FilterKind::Include
    }
}

/// The pattern as a regular expression that sees characters; `globset`'s own matches bytes, so that its `?` and `[é]` would
/// not match `é`, and it would take `\` in keys for a separator on Windows.
fn regex(glob: &str) -> Result<Regex, String> {
    let glob = globset::GlobBuilder::new(glob)
        .literal_separator(false)
        .backslash_escape(true)
        .empty_alternates(true)
        .build()
        .map_err(|error| error.kind().to_string())?;
    let of_bytes = glob.regex();
    let pattern = of_bytes
        .strip_prefix("(?-u)")
        .and_then(of_characters)
        .ok_or_else(|| format!("a bug in s3pull, please report it: `{of_bytes}`"))?;
    Regex::builder()
        .syntax(syntax::Config::new().dot_matches_new_line(true))
        .build(&pattern)
        .map_err(|error| format!("it is too complex ({error})"))
}

/// Replaces the escapes of bytes, `\xc3\xa9`, by the characters that they are of.
fn of_characters(regex: &str) -> Option<String> {
    let mut plain = Vec::with_capacity(regex.len());
    let mut rest = regex.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'\\', [b'x', high, low, behind @ ..]) => {
                let digits = [*high, *low];
                plain.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
                rest = behind;
            }
            (b'\\', [escaped, behind @ ..]) => {
                plain.extend([b'\\', *escaped]);
                rest = behind;
            }
            _ => plain.push(*first),
        }
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filters(typed: &[&str]) -> Result<Filters, FilterError> {
        let filter = |typed: &&str| {
            let (sign, glob) = typed.split_at(1);
            TypedFilter {
                kind: if sign == "+" {
                    FilterKind::Include
                } else {
                    FilterKind::Exclude
                },
                glob: glob.to_owned(),
            }
        };
        Filters::new(&typed.iter().map(filter).collect::<Vec<_>>())
    }

    fn taken<'a>(typed: &[&str], keys: &[&'a str]) -> Vec<&'a str> {
        let filters = filters(typed).unwrap();
        keys.iter()
            .copied()
            .filter(|key| filters.take(key))
            .collect()
    }

    #[test]
    fn the_last_match_wins_and_the_first_pattern_decides_about_the_rest() {
        let keys = ["a.json", "b/a.json", "b/c.txt", "d"];
        assert_eq!(taken(&[], &keys), keys);
        assert_eq!(taken(&["-*.json"], &keys), ["b/c.txt", "d"]);
        assert_eq!(taken(&["+*.json"], &keys), ["a.json", "b/a.json"]);
        assert_eq!(taken(&["-*", "+*.json"], &keys), ["a.json", "b/a.json"]);
        assert_eq!(taken(&["+*.json", "-*"], &keys), [""; 0]);
        assert_eq!(
            taken(&["+*", "-b/*", "+*.txt"], &keys),
            ["a.json", "b/c.txt", "d"]
        );
        assert_eq!(
            taken(&["-b/*", "+*.txt"], &keys),
            ["a.json", "b/c.txt", "d"]
        );
        assert_eq!(
            taken(&["+*.json", "+d"], &keys),
            ["a.json", "b/a.json", "d"]
        );
    }

    #[test]
    fn patterns_are_of_the_whole_key_and_of_characters() {
        let cases = [
            ("a", "a", true),
            ("a", "ab", false),
            ("a", "b/a", false),
            ("*", "", true),
            ("*", "a/b\nc", true),
            ("**/x", "a/b/x", true),
            ("**/x", "x", true),
            ("?", "é", true),
            ("?", "👍", true),
            ("?", "/", true),
            ("?", "ab", false),
            ("[é]", "é", true),
            ("[à-ü]x", "éx", true),
            ("[à-ü]", "z", false),
            ("[!é]", "ü", true),
            ("[!é]", "é", false),
            ("é*", "édition", true),
            ("*.{jpg,jpeg}", "a/b.jpeg", true),
            ("a{,b}", "a", true),
            (r"\*", "*", true),
            (r"\*", "a", false),
            (r"a\\b", r"a\b", true),
            (r"\\xc3", r"\xc3", true),
            ("[*]", "*", true),
            ("a+(b)|$^.", "a+(b)|$^.", true),
            ("A", "a", false),
        ];
        for (glob, key, is_taken) in cases {
            assert_eq!(
                !taken(&[&format!("+{glob}")], &[key]).is_empty(),
                is_taken,
                "{glob} {key:?}"
            );
        }
    }

    #[test]
    fn a_pattern_that_is_not_a_glob_is_named() {
        for bad in ["[a", "{a", "a}", "[b-a]", "\\"] {
            let message = filters(&["-*", &format!("+{bad}")])
                .unwrap_err()
                .to_string();
            assert!(
                message.starts_with(&format!("`--include {}`", bad.escape_debug())),
                "{message}"
            );
            assert!(!message.contains("bug"), "{message}");
        }
        assert!(
            filters(&["-[a"])
                .unwrap_err()
                .to_string()
                .starts_with("`--exclude")
        );
    }

    proptest! {
        #[test]
        fn every_key_matches_itself_escaped(key in r"[a-c*?\[\]{}\\,!é👍^$.|()\nx0-9-]{0,12}", other in ".{0,4}") {
            let escaped: String = key.chars().flat_map(|c| ['\\', c]).collect();
            let filter = filters(&[&format!("+{escaped}")]).unwrap();
            prop_assert!(filter.take(&key));
            prop_assert_eq!(filter.take(&other), other == key);
        }

        #[test]
        fn any_pattern_is_one_or_is_refused_for_what_it_is(glob in r"[a-c*?\[\]{}\\,!é-]{0,12}", key in r"[a-c/é]{0,6}") {
            match filters(&[&format!("+{glob}")]) {
                Ok(filter) => { let _ = filter.take(&key); }
                Err(error) => prop_assert!(!error.to_string().contains("bug")),
            }
        }
    }
}
