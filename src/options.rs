//! The choices that the command line offers, as enums, and their defaults. The doc comment of a variant is its help.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;

use clap::ValueEnum;

/// The most GETs in flight that `--concurrency auto` tries, if memory and open files allow as many: 10 KiB from 100 ms away
/// need about 1,100 on one core, and with 512 such a run reaches 0.42 of what it could.
pub(crate) const MAX_AUTO_CONCURRENCY: NonZeroUsize = NonZeroUsize::new(1_024).expect("not zero");
pub(crate) const DEFAULT_PART_SIZE: ByteSize = ByteSize(8 << 20);
pub(crate) const DEFAULT_MULTIPART_THRESHOLD: ByteSize = ByteSize(16 << 20);
pub(crate) const DEFAULT_MAX_ATTEMPTS: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
/// Seconds.
pub(crate) const DEFAULT_MAX_OUTAGE: &str = "300";
/// Seconds.
pub(crate) const DEFAULT_CONNECT_TIMEOUT: &str = "5";
/// Seconds.
pub(crate) const DEFAULT_TIMEOUT: &str = "30";
pub(crate) const DEFAULT_FAILED: &str = "s3pull-failed.csv";

/// What is done about each row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Job {
    Download,
    Check(Check),
}

/// How the files that are there are compared with the objects of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    pub depth: CheckDepth,
    pub if_unverifiable: IfUnverifiable,
    pub if_extra: IfExtra,
}

/// What is done about files in the output folder that are of no row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfExtra {
    Ignore,
    Report,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckDepth {
    /// Sizes and times, as the rows give them.
    Quick,
    /// The content, by the checksums that the rows give.
    Offline,
    /// The content.
    Content,
}

/// What is done about a file of the object's size and time, if nothing tells the object's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfUnverifiable {
    Accept,
    Fail,
}

/// Where a run notes what is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoneOptions {
    pub path: PathBuf,
    /// Whether rows that are in it already are skipped.
    pub skips: bool,
}

/// Who chose where the failed-keys CSV goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedName {
    Typed,
    Default,
}

/// What to do if a key's file already exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum IfExists {
    /// Download, and replace it atomically once the new file is complete
    #[default]
    Overwrite,
    /// Keep it without making a request
    Skip,
    /// Replace it if the object is newer than the file, otherwise keep it (by a conditional GET)
    Newer,
    /// Keep it if it has the object's size and time (as the row gives them, or by a conditional GET)
    Changed,
    /// Keep it if it has the object's content (by the row's ETag, or S3's checksum from a HEAD)
    Verify,
}

/// What to do with a key that is not a safe path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum UnsafeKeys {
    /// Fail the key as `UnsafeKey`
    #[default]
    Fail,
    /// Percent-encode unsafe bytes, and `%` in every key, so that each key has a unique path
    Encode,
}

/// What downloads are verified against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum VerifyMode {
    /// The checksum that S3 returns, and the length
    #[default]
    Auto,
    /// Also the ETag as an MD5, if S3 returns no checksum and the ETag can be an MD5
    Etag,
    /// Only the length
    Off,
}

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ProgressMode {
    /// A bar on a terminal, otherwise plain lines
    #[default]
    Auto,
    /// A bar
    Bar,
    /// One line every 10 seconds
    Plain,
    /// Nothing until the summary
    None,
}

/// How much is printed besides progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Only errors.
    Quiet,
    /// Also the summary and the first failures.
    Normal,
    /// Also one line per object.
    Verbose,
    /// Also one line per request.
    Requests,
}

/// Where URLs contain the bucket name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum AddressingStyle {
    /// `path` for endpoints outside AWS, otherwise `virtual`
    #[default]
    Auto,
    /// `https://host/bucket/key`
    Path,
    /// `https://bucket.host/key`
    Virtual,
}

/// How many GETs may be in flight at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Concurrency {
    /// As many as turn out to be best.
    #[default]
    Auto,
    Fixed(NonZeroUsize),
}

impl FromStr for Concurrency {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            number => number
                .parse()
                .map(Self::Fixed)
                .map_err(|_| "must be `auto`, or a number of at least 1"),
        }
    }
}

impl std::fmt::Display for Concurrency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Fixed(n) => n.fmt(f),
        }
    }
}

/// A number of bytes per second, written as `10MiB` or `10MiB/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRate(pub NonZeroU64);

impl FromStr for ByteRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let size = text.trim_end_matches("/s");
        let ByteSize(bytes) = size
            .parse()
            .map_err(|_| "not a rate such as `10MiB` or `500KB/s`".to_owned())?;
        let bytes = NonZeroU64::new(bytes).ok_or("must be more than 0 bytes per second")?;
        Ok(Self(bytes))
    }
}

/// A number of bytes, written as `8MiB`, `500MB` or `1g`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    /// `MB` is a million bytes, `MiB` and a lone `m` are 2^20.
    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || "not a size such as `8MiB`, `500MB` or `1g`".to_owned();
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| invalid())?;
        let unit = unit.trim_start().to_ascii_lowercase();
        let (prefix, base): (_, u64) = match unit.strip_suffix("ib") {
            Some(prefix) => (prefix, 1024),
            None => match unit.strip_suffix('b') {
                Some(prefix) => (prefix, 1000),
                None => (unit.as_str(), 1024),
            },
        };
        let power = match prefix {
            "" => 0,
            "k" => 1,
            "m" => 2,
            "g" => 3,
            "t" => 4,
            _ => return Err(invalid()),
        };
        number
            .checked_mul(base.pow(power))
            .map(Self)
            .ok_or_else(invalid)
    }
}

impl std::fmt::Display for ByteSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = 1 << 20;
        if self.0.is_multiple_of(mib) {
            write!(f, "{}MiB", self.0 / mib)
        } else {
            write!(f, "{}", self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        let cases = [
            ("0", 0),
            ("7", 7),
            ("7B", 7),
            ("8MiB", 8 << 20),
            ("500MB", 500_000_000),
            ("1g", 1 << 30),
            ("2 KiB", 2048),
            ("1TB", 1_000_000_000_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for bad in ["", "MiB", "-1", "1.5g", "1x", "1ib1", "99999999t"] {
            assert!(bad.parse::<ByteSize>().is_err(), "{bad}");
        }
        assert_eq!(DEFAULT_PART_SIZE.to_string(), "8MiB");
    }

    #[test]
    fn rates_are_sizes_per_second() {
        for text in ["10MiB", "10MiB/s", "10m"] {
            let ByteRate(bytes) = text.parse().unwrap();
            assert_eq!(bytes.get(), 10 << 20, "{text}");
        }
        for wrong in ["0", "0MiB/s", "fast", "10MiB/m", ""] {
            assert!(wrong.parse::<ByteRate>().is_err(), "{wrong}");
        }
    }
}
