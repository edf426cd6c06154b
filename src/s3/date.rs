//! Reads and writes times in the forms that servers use, in whole seconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of a `Last-Modified` or `Date` in any of HTTP's three forms (RFC 9110, 5.6.7), with `UTC` or an offset in place
/// of `GMT`, or in ISO 8601. `None` for anything else, and for times before 1970.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    let text = text.trim();
    let seconds = if text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('-') {
        iso(text)?
    } else {
        http(text)?
    };
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.try_into().ok()?))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, `Sunday, 06-Nov-94 08:49:37 GMT`, `Sun Nov  6 08:49:37 1994`.
fn http(text: &str) -> Option<i64> {
    let words = text.split([' ', ',', '-']).filter(|word| !word.is_empty());
    let mut words: [&str; 7] = {
        // The split removes the sign of an offset such as `-0800`; it is read separately below.
        let mut array = [""; 7];
        for (place, word) in array.iter_mut().zip(words) {
            *place = word;
        }
        array
    };
    // The weekday is redundant.
    if words[0].starts_with(|c: char| c.is_ascii_alphabetic()) {
        words.rotate_left(1);
        words[6] = "";
    }
    let (day, month, year, time, zone) = if words[0].starts_with(|c: char| c.is_ascii_digit()) {
        (words[0], words[1], words[2], words[3], words[4])
    } else {
        (words[1], words[0], words[3], words[2], "")
    };
    let year = match (number(year)?, year.len()) {
        // RFC 9110: a two-digit year that appears far in the future is in the past.
        (year, 2) if year >= 70 => 1900 + year,
        (year, 2) => 2000 + year,
        (year, 4) => year,
        _ => return None,
    };
    let offset = match zone {
        "" | "GMT" | "UTC" | "Z" | "UT" => 0,
        digits => {
            let sign = text.rfind(['+', '-']).map(|at| &text[at..=at])?;
            let seconds = offset(digits.trim_start_matches('+'))?;
            if sign == "-" { -seconds } else { seconds }
        }
    };
    Some(days(year, month_of(month)?, number(day)?)? * 86_400 + time_of_day(time)? - offset)
}

/// `1994-11-06T08:49:37Z`, with a fraction, an offset, or a blank in place of the `T`.
fn iso(text: &str) -> Option<i64> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let mut fields = date.split('-');
    let (year, month, day) = (fields.next()?, fields.next()?, fields.next()?);
    if year.len() != 4 {
        return None;
    }
    let rest = rest.strip_prefix(['T', 't', ' '])?;
    let (time, rest) = (rest.get(..8)?, rest.get(8..)?);
    let rest = match rest.strip_prefix(['.', ',']) {
        Some(fraction) => fraction.trim_start_matches(|c: char| c.is_ascii_digit()),
        None => rest,
    };
    let offset = match rest.trim() {
        "" | "Z" | "z" | "GMT" | "UTC" => 0,
        rest => {
            let digits = rest.get(1..)?.replace(':', "");
            match rest.as_bytes()[0] {
                b'+' => offset(&digits)?,
                b'-' => -offset(&digits)?,
                _ => return None,
            }
        }
    };
    let days = days(number(year)?, number(month)?, number(day)?)?;
    Some(days * 86_400 + time_of_day(time)? - offset)
}

/// The seconds of an offset such as `0130`.
fn offset(digits: &str) -> Option<i64> {
    if digits.len() != 4 {
        return None;
    }
    let (hours, minutes) = (number(digits.get(..2)?)?, number(digits.get(2..)?)?);
    (hours < 24 && minutes < 60).then_some(hours * 3600 + minutes * 60)
}

/// The seconds since midnight of a time such as `08:49:37`.
fn time_of_day(text: &str) -> Option<i64> {
    let mut fields = text.split(':');
    let (hour, minute, second) = (fields.next()?, fields.next()?, fields.next()?);
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    // 60 is a leap second.
    let is_time = hour < 24 && minute < 60 && second <= 60 && fields.next().is_none();
    is_time.then_some(hour * 3600 + minute * 60 + second)
}

fn month_of(name: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    let name = name.get(..3)?;
    let month = MONTHS
        .iter()
        .position(|month| name.eq_ignore_ascii_case(month))?;
    i64::try_from(month + 1).ok()
}

/// A number of one to four digits, which cannot overflow.
fn number(text: &str) -> Option<i64> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Year, month, day, hour, minute and second of a number of seconds since 1970.
pub(super) fn fields(seconds: u64) -> [u64; 6] {
    let (days, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    [
        year,
        month,
        day,
        second / 3600,
        second / 60 % 60,
        second % 60,
    ]
}

/// A time in HTTP's preferred form. Fractions of a second are dropped; times before 1970 become 1970.
pub(super) fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let [year, month, day, hour, minute, second] = fields(seconds);
    let name = |names: &[&'static str], at: u64| usize::try_from(at).map_or("", |at| names[at]);
    format!(
        "{}, {day:02} {} {year:04} {hour:02}:{minute:02}:{second:02} GMT",
        name(&DAYS, seconds / 86_400 % 7),
        name(&MONTHS, month - 1),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seconds(text: &str) -> Option<u64> {
        let time = parse(text)?;
        Some(time.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn times_are_read_in_every_form_that_servers_use() {
        for text in [
            "Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 10:49:37 +0200",
            "Sun, 06 Nov 1994 03:19:37 -0530",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "06 Nov 1994 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "1994-11-06T08:49:37Z",
            "1994-11-06T08:49:37.123Z",
            "1994-11-06T08:49:37+00:00",
            "1994-11-06T10:49:37+0200",
            "1994-11-06 08:49:37",
            "  Sun, 06 Nov 1994 08:49:37 GMT ",
        ] {
            assert_eq!(seconds(text), Some(784_111_777), "{text}");
        }
        assert_eq!(seconds("Thursday, 01-Jan-70 00:00:01 GMT"), Some(1));
        assert_eq!(
            seconds("Thu, 29 Feb 2024 23:59:60 GMT"),
            Some(1_709_251_200)
        );
        assert_eq!(
            seconds("2069-12-31T00:00:00Z"),
            seconds("Tuesday, 31-Dec-69 00:00:00 GMT")
        );
    }

    #[test]
    fn what_is_not_a_time_is_none() {
        for text in [
            "",
            "yesterday",
            "1600000000",
            "Sun, 06 Nov 1994",
            "Sun, 06 Foo 1994 08:49:37 GMT",
            "Sun, 32 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Wed, 31 Dec 1969 23:59:59 GMT",
            "1994-13-06T08:49:37Z",
            "1994-11-06T08:49:37X",
            "-1994-11-06T08:49:37Z",
            "19é4-11-06T08:49:37Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_time_is_read_back_as_it_was_written(seconds in 0_u64..253_402_300_800) {
            let time = UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert_eq!(parse(&http_date(time)), Some(time));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
