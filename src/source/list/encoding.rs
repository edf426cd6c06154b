//! URL-encoded keys, as S3 writes them in inventories and, if it is asked to, in listings.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::row::UnusableRow;

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
