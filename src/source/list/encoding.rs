//! URL-encoded keys, as S3 writes them in inventories and, if it is asked to, in listings.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::row::UnusableRow;

/// Whether `key` cannot be URL-encoded: it has a character that every encoder escapes, or a `%` that begins no escape.
pub(super) fn is_plain(key: &str) -> bool {
    let is_escaped = |byte: u8| !byte.is_ascii_graphic() || b"\"#<>?\\^`{|}".contains(&byte);
    let begins_escape =
        |rest: &[u8]| matches!(rest, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    let key = key.as_bytes();
    key.iter().copied().any(is_escaped)
        || memchr::memchr_iter(b'%', key).any(|at| !begins_escape(&key[at + 1..]))
}

/// Decodes a key. S3 writes a space as `+` and a plus as `%2B`.
pub(super) fn decoded(text: &str) -> Result<Cow<'_, str>, UnusableRow> {
    if !text.contains(['+', '%']) {
        return Ok(Cow::Borrowed(text));
    }
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8();
    match decoded {
        Ok(key) => Ok(Cow::Owned(key.into_owned())),
        Err(_) => Err(UnusableRow::invalid(format!(
            "not UTF-8 when URL-decoded, as keys in S3 must be: `{text}`"
        ))),
    }
}
