//! The options on requests: how many, how fast, and when to give up.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use clap::Args;

use super::values::{parse_count, parse_seconds};
use crate::options::{self, ByteRate, ByteSize, Concurrency, VerifyMode};

/// The heading of `--help`.
const TRANSFER: &str = "Transfer";

#[derive(Debug, Args)]
pub struct Transfer {
    /// GETs in flight at once, or `auto` to find the best number
    ///
    /// Those for objects and those for parts count together.
    #[arg(
        short = 'j',
        long,
        value_name = "N",
        default_value_t,
        env = "S3PULL_CONCURRENCY",
        help_heading = TRANSFER
    )]
    pub concurrency: Concurrency,

    /// Size of the parts of a large object
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = options::DEFAULT_PART_SIZE,
        env = "S3PULL_PART_SIZE",
        help_heading = TRANSFER
    )]
    pub part_size: ByteSize,

    /// Size from which objects are downloaded in parallel parts
    #[arg(
        long,
        value_name = "SIZE",
        default_value_t = options::DEFAULT_MULTIPART_THRESHOLD,
        env = "S3PULL_MULTIPART_THRESHOLD",
        hide_short_help = true,
        help_heading = TRANSFER
    )]
    pub multipart_threshold: ByteSize,

    /// What to verify downloads against
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value_t,
        env = "S3PULL_VERIFY",
        help_heading = TRANSFER
    )]
    pub verify: VerifyMode,

    /// Give up on an object after N attempts in a row without progress
    ///
    /// Requests that fail together count once. A finished part, or a MiB
    /// received, is progress.
    #[arg(
        long,
        value_name = "N", value_parser = parse_count::<NonZeroU32>,
        default_value_t = options::DEFAULT_MAX_ATTEMPTS,
        env = "S3PULL_MAX_ATTEMPTS",
        help_heading = TRANSFER
    )]
    pub max_attempts: NonZeroU32,

    /// Stop the run after this many seconds in which no request succeeds
    ///
    /// While no request is answered, or only with 5xx, no key is charged for it: one request at a time is tried, at
    /// growing intervals.
    #[arg(
        long,
        value_name = "S",
        value_parser = parse_seconds,
        default_value = options::DEFAULT_MAX_OUTAGE,
        env = "S3PULL_MAX_OUTAGE",
        hide_short_help = true,
        help_heading = TRANSFER
    )]
    pub max_outage: Duration,

    /// Stop the run after this many seconds
    ///
    /// What is running gets 5 s to finish. The rest of the list goes to the failed-keys CSV.
    #[arg(
        long,
        value_name = "S",
        value_parser = parse_seconds,
        env = "S3PULL_MAX_DURATION",
        hide_short_help = true,
        help_heading = TRANSFER
    )]
    pub max_duration: Option<Duration>,

    /// Receive at most this many bytes per second
    ///
    /// All downloads share them. `10MiB` and `10MiB/s` mean the same.
    #[arg(
        long,
        value_name = "RATE",
        env = "S3PULL_BWLIMIT",
        help_heading = TRANSFER
    )]
    pub bwlimit: Option<ByteRate>,

    /// Send at most N requests per second
    ///
    /// Those for lists in S3 and for pages of a listing count too.
    #[arg(
        long,
        value_name = "N", value_parser = parse_count::<NonZeroU32>,
        env = "S3PULL_RPS",
        hide_short_help = true,
        help_heading = TRANSFER
    )]
    pub rps: Option<NonZeroU32>,

    /// Try what failed again, up to N times at the end of the run
    ///
    /// These are the rows whose error may pass, such as a timeout or a 503. Those that succeed are not in the failed-keys
    /// CSV. A run that was stopped or ended early tries nothing again.
    #[arg(
        long,
        value_name = "N", value_parser = parse_count::<NonZeroU32>,
        conflicts_with = "dry_run",
        hide_short_help = true,
        help_heading = TRANSFER
    )]
    pub retry_failed: Option<NonZeroU32>,

    /// Stop the run once N keys have failed
    #[arg(long, value_name = "N", value_parser = parse_count::<NonZeroU64>, help_heading = TRANSFER)]
    pub max_failures: Option<NonZeroU64>,

    /// Give up connecting after this many seconds
    ///
    /// Name lookup, TCP, proxy and TLS count together.
    #[arg(
        long,
        value_name = "S",
        value_parser = parse_seconds,
        default_value = options::DEFAULT_CONNECT_TIMEOUT,
        env = "S3PULL_CONNECT_TIMEOUT",
        hide_short_help = true,
        help_heading = TRANSFER
    )]
    pub connect_timeout: Duration,

    /// Give up after this many seconds without data
    ///
    /// The time before a response counts too, and less than 1 KiB in that time counts as no data.
    #[arg(
        long,
        value_name = "S",
        value_parser = parse_seconds,
        default_value = options::DEFAULT_TIMEOUT,
        env = "S3PULL_TIMEOUT",
        help_heading = TRANSFER
    )]
    pub timeout: Duration,
}
