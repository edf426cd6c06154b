//! Makes text from outside, such as keys and server messages, safe to print, and numbers readable. Pure.

use std::borrow::Cow;

/// Escapes the characters of `text` that would act on a terminal or reorder what it shows: control characters (C0, DEL and
/// C1), bidirectional controls and Unicode line separators.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    // Most texts are plain, and this check handles many bytes at a time.
    let is_plain = text.bytes().fold(true, |is_plain, byte| {
        is_plain & (b' '..=b'~').contains(&byte)
    });
    if is_plain || !text.contains(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unprintable(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

fn is_unprintable(c: char) -> bool {
    let is_bidi = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_bidi || matches!(c, '\u{2028}' | '\u{2029}')
}

/// `1,234 objects`, `1 object`
pub(crate) fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(n), if n == 1 { "" } else { "s" })
}

/// `1,234,567`
pub(crate) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// `512 B`, `1.5 MiB`
pub(crate) fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if n < 1024 {
        return format!("{n} B");
    }
    #[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
    let mut value = n as f64 / 1024.0;
    let mut unit = 0;
    // What would be rounded up to 1024.0 belongs to the next unit.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `572 KiB free, 39.1 MiB needed`
pub(crate) fn room(free: u64, needed: u64) -> String {
    let [free, needed] = [free, needed].map(|n| bytes(n).replace(".0 ", " "));
    format!("{free} free, {needed} needed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(number),
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(count(1, "object"), "1 object");
        assert_eq!(count(1_000, "object"), "1,000 objects");
    }

    #[test]
    fn sizes_read_well() {
        assert_eq!(
            [0, 1023, 1024, 1_572_864, u64::MAX].map(bytes),
            ["0 B", "1023 B", "1.0 KiB", "1.5 MiB", "16.0 EiB"]
        );
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(room(585_728, 41_000_000), "572 KiB free, 39.1 MiB needed");
    }

    #[test]
    fn no_printed_text_can_act_on_a_terminal() {
        assert_eq!(printable("plain ü 日本"), "plain ü 日本");
        assert_eq!(
            printable("a\x1b[31mb\x07\n\x7f"),
            "a\\u{1b}[31mb\\u{7}\\n\\u{7f}"
        );
        assert_eq!(
            printable("\u{9b}2J\u{202e}gpj.exe"),
            "\\u{9b}2J\\u{202e}gpj.exe"
        );
    }
}
