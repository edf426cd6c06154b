//! The types of arguments that are not words or numbers.

use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::source::list::format::Format;
use crate::source::list::{FORMATS, format_named};
use crate::source::{Shard, ShardError};

/// `None` stands for `auto`.
#[derive(Debug, Clone, Copy)]
pub struct ListFormat(pub Option<&'static Format>);

pub(super) fn list_format() -> impl TypedValueParser<Value = ListFormat> {
    let auto = PossibleValue::new("auto").help("Detect the format per list from its first rows");
    let formats = FORMATS
        .iter()
        .map(|format| PossibleValue::new(format.name).help(format.help));
    PossibleValuesParser::new([auto].into_iter().chain(formats))
        .map(|name| ListFormat(format_named(&name)))
}

/// The argument of `--shard`.
#[derive(Debug, Clone, Copy)]
pub enum ShardChoice {
    Auto,
    Given(Shard),
}

impl FromStr for ShardChoice {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        match text {
            "auto" => Ok(Self::Auto),
            text => text.parse().map(Self::Given),
        }
    }
}

/// Parses a number that is not zero.
pub(super) fn parse_count<T: FromStr>(text: &str) -> Result<T, &'static str> {
    text.parse().map_err(|_| "must be a number of at least 1")
}

/// Parses seconds such as `30` or `0.5`.
pub(super) fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds, such as `30` or `0.5`".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err("must be more than 0 seconds".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn numbers_begin_with_one() {
        assert_eq!(parse_count::<NonZeroU32>("1").map(NonZeroU32::get), Ok(1));
        for bad in ["0", "-1", "1.5", "many", "", "99999999999"] {
            let error = parse_count::<NonZeroU32>(bad).unwrap_err();
            assert!(error.contains("at least 1"), "{bad}: {error}");
        }
    }

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "nan", "inf", "5s", ""] {
            assert!(parse_seconds(bad).is_err(), "{bad:?}");
        }
    }
}
