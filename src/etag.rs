//! The ETag of an object, as a reply's header or a list's row states it.

use std::fmt;
use std::sync::Arc;

/// An ETag. Two that are equal were written alike, which is what `If-Match` compares (RFC 9110, 8.8.3.2: strong
/// comparison); [`ETag::names_the_same`] is for those of different origins.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ETag(Arc<str>);

impl ETag {
    /// The ETag of a header's value. It is kept as the server wrote it: with its quotes, and perhaps weak (`W/"…"`).
    pub fn of_header(value: &str) -> Self {
        Self(value.into())
    }

    /// The ETag of a list's row, which may have quotes or not; `None` if it says nothing.
    pub fn of_row(text: &str) -> Option<Self> {
        let opaque = opaque(text);
        (!opaque.is_empty()).then(|| Self(opaque.into()))
    }

    /// The text as it was written, for `If-Match`, messages about a server's words, and the journal.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text without quotes and mark of weakness, for lists, events and people.
    pub fn opaque(&self) -> &str {
        opaque(&self.0)
    }

    pub fn is_weak(&self) -> bool {
        self.0.starts_with("W/")
    }

    /// Whether parts can be requested with it. `If-Match` compares strongly (RFC 9110, 13.1.1), so a weak ETag never
    /// matches, and a value without quotes is not an ETag.
    pub fn is_strong(&self) -> bool {
        in_quotes(&self.0).is_some_and(|opaque| !opaque.is_empty())
    }

    /// Whether both name the same object, however they are written (RFC 9110, 8.8.3.2: weak comparison).
    pub fn names_the_same(&self, other: &Self) -> bool {
        self.opaque() == other.opaque()
    }

    /// The ETag as an MD5, if it is written as one is.
    pub fn md5(&self) -> Option<[u8; 16]> {
        let hex = in_quotes(&self.0)?;
        let is_hex = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let value = u128::from_str_radix(hex, 16).ok().filter(|_| is_hex)?;
        Some(value.to_be_bytes())
    }

    /// The first `n_bytes`, or a few more, so that no character is cut.
    #[must_use]
    pub fn shortened(&self, n_bytes: usize) -> Self {
        Self(self.0[..self.0.ceil_char_boundary(n_bytes)].into())
    }
}

fn in_quotes(text: &str) -> Option<&str> {
    text.strip_prefix('"')?.strip_suffix('"')
}

fn opaque(text: &str) -> &str {
    let text = match text.strip_prefix("W/") {
        Some(weak) if weak.starts_with('"') => weak,
        _ => text,
    };
    text.trim_matches('"')
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_weakness_are_not_part_of_what_an_etag_says() {
        let strong = ETag::of_header("\"abc-2\"");
        let weak = ETag::of_header("W/\"abc-2\"");
        for row in ["abc-2", "\"abc-2\"", "W/\"abc-2\""] {
            let row = ETag::of_row(row).unwrap();
            assert_eq!(row.opaque(), "abc-2");
            assert!(row.names_the_same(&strong) && row.names_the_same(&weak));
        }
        for other in ["abc", "W/abc-2", "abc-2 ", "ABC-2"] {
            let other = ETag::of_row(other).unwrap();
            assert!(!other.names_the_same(&strong), "{other}");
        }
        let written = [strong.as_str(), weak.as_str()];
        assert_eq!(written, ["\"abc-2\"", "W/\"abc-2\""]);
        assert_ne!(strong, weak);
    }

    #[test]
    fn a_row_that_says_nothing_has_no_etag() {
        for nothing in ["", "\"", "\"\"", "W/\"\""] {
            assert_eq!(ETag::of_row(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn only_a_strong_etag_in_quotes_can_ask_for_parts() {
        assert!(ETag::of_header("\"e\"").is_strong());
        for etag in ["W/\"e\"", "e", "\"", "\"\"", "\"e", ""] {
            assert!(!ETag::of_header(etag).is_strong(), "{etag}");
        }
        assert!(ETag::of_header("W/\"e\"").is_weak());
        assert!(!ETag::of_header("\"W/e\"").is_weak());
    }

    #[test]
    fn an_md5_has_32_hexadecimal_digits_in_quotes() {
        let hex = "000102030405060708090a0b0c0d0E0F";
        let md5 = ETag::of_header(&format!("\"{hex}\"")).md5();
        assert_eq!(md5, Some(std::array::from_fn(|n| u8::try_from(n).unwrap())));
        for other in [
            hex.to_owned(),
            format!("W/\"{hex}\""),
            format!("\"{hex}-2\""),
            format!("\"+{}\"", &hex[1..]),
            format!("\"{}g\"", &hex[1..]),
        ] {
            assert_eq!(ETag::of_header(&other).md5(), None, "{other}");
        }
    }

    #[test]
    fn a_long_one_is_cut_between_characters() {
        assert_eq!(ETag::of_header("äöü").shortened(3).as_str(), "äö");
        assert_eq!(ETag::of_header("ab").shortened(3).as_str(), "ab");
    }
}
