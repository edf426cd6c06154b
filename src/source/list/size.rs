//! Sizes as tables write them: `1000`, `1000.0` (pandas, where a size is missing), `1e3` (spreadsheets) and `1,000`.

/// The number of bytes that `text` stands for; `None` if it is not a whole number that fits.
pub(super) fn parse(text: &str) -> Option<u64> {
    let text = text.trim_matches(' ');
    // The usual case, without a sign, which `u64` would accept.
    if !text.starts_with('+')
        && let Ok(size) = text.parse()
    {
        return Some(size);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = without_groups(whole)?;
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !is_digits(&whole) || !is_digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let exponent = i64::from(exponent) - i64::try_from(fraction.len()).ok()?;
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    if exponent < 0 {
        let n_zeros = usize::try_from(-exponent).ok()?;
        let (size, zeros) = digits.split_at_checked(digits.len().checked_sub(n_zeros)?)?;
        let is_whole = zeros.bytes().all(|byte| byte == b'0');
        return if is_whole { size.parse().ok() } else { None };
    }
    let size: u64 = digits.parse().ok()?;
    size.checked_mul(10_u64.checked_pow(u32::try_from(exponent).ok()?)?)
}

/// `1,234,567` without its commas; `None` if they do not stand between groups of three digits.
fn without_groups(whole: &str) -> Option<String> {
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let has_groups = first.len() < whole.len();
    if has_groups && !(1..=3).contains(&first.len()) {
        return None;
    }
    groups.try_fold(first.to_owned(), |digits, group| {
        (group.len() == 3).then(|| digits + group)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_in_every_common_form() {
        for (text, size) in [
            ("0", 0),
            ("1000", 1000),
            (" 1000 ", 1000),
            ("1000.0", 1000),
            ("1000.", 1000),
            ("0.0", 0),
            ("1e3", 1000),
            ("1.0E3", 1000),
            ("1.2345e+4", 12345),
            ("10000e-1", 1000),
            ("1,000", 1000),
            ("12,345,678", 12_345_678),
            ("1,000.00", 1000),
            ("0e99999", 0),
            ("18446744073709551615", u64::MAX),
            ("18446744073709551615.0", u64::MAX),
        ] {
            assert_eq!(parse(text), Some(size), "{text}");
        }
    }

    #[test]
    fn everything_else_is_not_a_size() {
        for text in [
            "",
            " ",
            "-1",
            "+1",
            "1.5",
            "1e-1",
            "1.0001e3",
            "1,00",
            "1,0000",
            ",100",
            "1000,000",
            "1 000",
            "1_000",
            "0x10",
            "1KB",
            "nan",
            "inf",
            "1e",
            "e3",
            "1e3e3",
            "1.2.3",
            "18446744073709551616",
            "1e20",
            "1e999999999999",
            ".",
            "٣",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
