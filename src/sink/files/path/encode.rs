//! The encoded form of a key, which `--unsafe-keys encode` makes the path: any key, as names that every file system
//! takes, and back. Pure.
//!
//! `%` and what is unsafe in a segment are `%` and two upper-case hex digits a byte, as in a URL. Two more forms use
//! that nothing else ends in a lone `%`: an empty segment is `%`, and a segment that is too long for one name is several,
//! all but the last with a `%` behind them. So each path comes from one key.

use std::fmt::Write;

use super::name::{NameLimit, Platform, is_reserved};

/// How far a piece of a segment that is too long stays below the longest name, before its ends are looked at: a first
/// character may take 8 bytes more when it is encoded, a last one 2, and the `%` behind it 1.
const ENDS: usize = 11;

/// The path of `key`, a key without its trailing `/`.
pub(crate) fn encode(key: &str, platform: Platform, limit: NameLimit) -> String {
    let mut path = String::with_capacity(key.len() + 16);
    for (n, segment) in key.split('/').enumerate() {
        if n > 0 {
            path.push('/');
        }
        encode_segment(segment, platform, limit, &mut path);
    }
    path
}

fn encode_segment(segment: &str, platform: Platform, limit: NameLimit, path: &mut String) {
    if segment.is_empty() {
        path.push('%');
        return;
    }
    let mut rest = segment;
    loop {
        let name_start = path.len();
        encode_name(rest, platform, path);
        if path.len() - name_start <= limit.bytes() {
            return;
        }
        path.truncate(name_start);
        let (piece, behind) = rest.split_at(piece_length(rest, platform, limit));
        encode_name(piece, platform, path);
        path.push_str("%/");
        rest = behind;
    }
}

/// Bytes of `text` that fit into a name and leave some for the next.
fn piece_length(text: &str, platform: Platform, limit: NameLimit) -> usize {
    let mut n_encoded = 0;
    let fits = |c: &char| {
        n_encoded += if must_encode(*c, platform) {
            3
        } else {
            c.len_utf8()
        };
        n_encoded <= limit.bytes() - ENDS
    };
    text.chars().take_while(fits).map(char::len_utf8).sum()
}

fn encode_name(name: &str, platform: Platform, path: &mut String) {
    let is_dots = matches!(name, "." | "..");
    let first = is_reserved(name) || platform.is_device(name);
    let last = platform.drops_end(name);
    for (start, c) in name.char_indices() {
        let end = start + c.len_utf8();
        if is_dots
            || must_encode(c, platform)
            || (first && start == 0)
            || (last && end == name.len())
        {
            for byte in &name.as_bytes()[start..end] {
                // Writing to a string cannot fail.
                let _ = write!(path, "%{byte:02X}");
            }
        } else {
            path.push(c);
        }
    }
}

fn must_encode(c: char, platform: Platform) -> bool {
    c == '%' || platform.forbids(c)
}

#[cfg(any(test, fuzzing))]
/// The key whose encoded form is `path`; `None` if no key has it.
pub(crate) fn decode(path: &str) -> Option<String> {
    let mut key = Vec::with_capacity(path.len());
    let mut names = path.split('/').peekable();
    while let Some(name) = names.next() {
        let is_continued = name != "%" && decode_name(name, &mut key)?;
        if is_continued {
            // The end of a segment is never left out.
            names.peek().filter(|next| **next != "%")?;
        } else if names.peek().is_some() {
            key.push(b'/');
        }
    }
    String::from_utf8(key).ok()
}

#[cfg(any(test, fuzzing))]
/// Adds what `name` stands for; whether it is continued in the next one.
fn decode_name(name: &str, key: &mut Vec<u8>) -> Option<bool> {
    let mut rest = name.as_bytes();
    loop {
        match rest {
            [] => return Some(false),
            [b'%'] => return Some(true),
            [b'%', high, low, behind @ ..] => {
                let digit = |digit: &u8| {
                    // Others would be a second form of the same byte.
                    matches!(digit, b'0'..=b'9' | b'A'..=b'F')
                        .then(|| char::from(*digit).to_digit(16))?
                };
                key.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
                rest = behind;
            }
            [b'%', ..] => return None,
            [byte, behind @ ..] => {
                key.push(*byte);
                rest = behind;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::sink::files::path::name::MAX_NAME;
    use crate::sink::files::path::name::fault;

    const PLATFORMS: [Platform; 2] = [Platform::Unix, Platform::Windows];

    #[test]
    fn encoded_forms_are_those_of_the_readme() {
        let both = [
            ("a b/ü.txt", "a b/ü.txt"),
            ("..", "%2E%2E"),
            ("a/./b", "a/%2E/b"),
            ("", "%"),
            ("/a", "%/a"),
            ("a//b", "a/%/b"),
            ("100%", "100%25"),
            ("%", "%25"),
            ("%2E", "%252E"),
            ("a\0b", "a%00b"),
            (".s3pull-x", "%2Es3pull-x"),
            (".S3Pull-x", "%2ES3Pull-x"),
            ("\u{200d}.s3pull-x", "%E2%80%8D.s3pull-x"),
        ];
        for platform in PLATFORMS {
            for (key, path) in both {
                assert_eq!(encode(key, platform, NameLimit::default()), path, "{key:?}");
            }
        }
        let windows = [
            ("...", "..%2E"),
            ("a:b", "a%3Ab"),
            (r"a\b", "a%5Cb"),
            ("a ", "a%20"),
            ("a/con", "a/%63on"),
            ("NUL.txt", "%4EUL.txt"),
            ("COM¹", "%43OM¹"),
            ("tab\t", "tab%09"),
        ];
        for (key, path) in windows {
            assert_eq!(encode(key, Platform::Windows, NameLimit::default()), path);
            assert_eq!(encode(key, Platform::Unix, NameLimit::default()), key);
        }
    }

    #[test]
    fn a_segment_that_is_too_long_is_several_names() {
        assert_eq!(
            encode(&"x".repeat(255), Platform::Unix, NameLimit::default()),
            "x".repeat(255)
        );
        let path = encode(
            &format!("{}/b", "x".repeat(300)),
            Platform::Unix,
            NameLimit::default(),
        );
        let names: Vec<_> = path.split('/').collect();
        assert_eq!(
            names,
            [&format!("{}%", "x".repeat(244)), &"x".repeat(56), "b"]
        );
        // 100 bytes that take 300.
        let path = encode(&"%".repeat(100), Platform::Unix, NameLimit::default());
        assert_eq!(path, format!("{}%/{}", "%25".repeat(81), "%25".repeat(19)));
    }

    #[test]
    fn nothing_but_encoded_forms_is_decoded() {
        for path in ["%2", "%2e", "%zz", "a%b", "a%", "a%/%", "%FF", "%+1"] {
            assert_eq!(decode(path), None, "{path}");
        }
    }

    /// Keys, without their trailing `/`, out of what may go wrong.
    fn keys() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            4 => r"[./%a\\: \x00]{1,4}",
            1 => proptest::sample::select(vec![
                "..", "/", "//", "%2E", "%2F", "%", "%/", ".s3pull-", ".S3PULL-", "\u{200d}", "con", "NUL.", "COM¹",
                "lpt1 ", "\u{7f}\u{85}\u{202e}", "é", "e\u{301}", "😀", "A", "a",
            ]).prop_map(str::to_owned),
            1 => (proptest::sample::select(vec!["x", ".", " ", "%", "\0", "é", "con", "😀", ":"]), 1_usize..300)
                .prop_map(|(text, n)| text.repeat(n)),
            1 => any::<String>(),
        ];
        proptest::collection::vec(piece, 0..6).prop_map(|pieces| {
            let mut key = pieces.concat();
            let end = (0..=1024.min(key.len()))
                .rev()
                .find(|&end| key.is_char_boundary(end));
            key.truncate(end.unwrap_or_default());
            key
        })
    }

    proptest! {
        #[test]
        fn every_key_has_a_safe_path_of_its_own(key in keys()) {
            for platform in PLATFORMS {
                let path = encode(&key, platform, NameLimit::default());
                for name in path.split('/') {
                    prop_assert_eq!(fault(name, platform), None, "{}", name);
                    prop_assert!((1..=MAX_NAME).contains(&name.len()), "{}", name);
                }
                prop_assert!(path.len() < 3_500, "{} bytes", path.len());
                // So no two keys have one path.
                prop_assert_eq!(decode(&path), Some(key.clone()));
            }
        }

        #[test]
        fn what_is_decoded_is_safe_to_encode(path in r"[%./a2E]{0,10}") {
            if let Some(key) = decode(&path) {
                prop_assert_eq!(decode(&encode(&key, Platform::Unix, NameLimit::default())), Some(key));
            }
        }
    }

    #[test]
    fn no_two_short_keys_share_a_path() {
        // Every key of up to five of the characters that matter.
        let mut paths = HashMap::new();
        let mut keys = vec![String::new()];
        for length in 0..5 {
            let longer: Vec<_> = keys
                .iter()
                .filter(|key| key.len() == length)
                .cloned()
                .collect();
            keys.extend(
                longer
                    .iter()
                    .flat_map(|key| ["/", ".", "%", "2", "E", "a"].map(|c| format!("{key}{c}"))),
            );
        }
        for key in keys {
            if let Some(other) = paths.insert(
                encode(&key, Platform::Unix, NameLimit::default()),
                key.clone(),
            ) {
                panic!("{key:?} and {other:?}");
            }
        }
    }
}
