//! What was typed. Nothing past `config` sees it.

use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Parser};

use crate::options::{
    self, AddressingStyle, ByteSize, IfExists, ProgressMode, UnsafeKeys, VerifyMode,
};
use crate::source::list::columns::InventoryColumns;
use crate::source::list::format::Format;
use crate::source::list::{FORMATS, format_named};
use crate::source::{Shard, ShardError};

/// Download the S3 objects that a key list names: whole, verified files out, and a CSV of what failed.
#[derive(Debug, Parser)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "flags that are either given or not"
)]
#[command(
    name = "s3pull",
    version = env!("S3PULL_VERSION"),
    max_term_width = 80,
    after_help = EXAMPLES,
    after_long_help = format!("{EXIT_CODES}\n\n{EXAMPLES}"),
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    /// Bucket name or access point ARN
    ///
    /// A leading `s3://` and a trailing `/` are accepted.
    #[arg(short, long, value_name = "BUCKET", env = "S3PULL_BUCKET")]
    pub bucket: String,

    /// Keys, or `s3://bucket/key` URIs, beside those of the lists
    ///
    /// A key called `man` or `completions` is taken for a command if it is the first argument: put `--` before it.
    #[arg(value_name = "KEY")]
    pub arguments: Vec<String>,

    /// Key list; `-` is stdin
    ///
    /// Plain or compressed with gzip or zstd. May be given more than once. Without a list or a KEY, stdin is read when
    /// it is not a terminal.
    #[arg(short, long, value_name = "FILE", help_heading = LIST)]
    pub keys: Vec<PathBuf>,

    /// Format of the key lists
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = list_format(), help_heading = LIST)]
    pub keys_format: ListFormat,

    /// Columns of an inventory's data file without manifest
    ///
    /// As in the manifest's `fileSchema`, for example `Bucket, Key, Size`.
    #[arg(long, value_name = "COLUMNS", hide_short_help = true,
        help_heading = LIST)]
    pub keys_columns: Option<InventoryColumns>,

    /// Put PREFIX before every key of the lists
    ///
    /// It is what `aws s3 ls` without `--recursive` leaves out.
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true,
        help_heading = LIST
    )]
    pub key_prefix: String,

    /// Take only shard K of N, counted from 0, or `auto`
    ///
    /// A shard is the rows whose key hashes to it. `auto` reads the task's number from the environment of a Slurm
    /// array, a Kubernetes Indexed Job (with S3PULL_SHARDS) or an AWS Batch array job.
    #[arg(long, value_name = "K/N", help_heading = LIST)]
    pub shard: Option<ShardChoice>,

    /// Folder that the files go to
    ///
    /// It is made if it is not there.
    #[arg(
        short,
        long,
        value_name = "DIR",
        default_value = ".",
        env = "S3PULL_OUTPUT",
        help_heading = FILES
    )]
    pub output: PathBuf,

    /// Take PREFIX off keys before they become paths
    ///
    /// For example `photos/`; a key without it fails.
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true,
        help_heading = FILES
    )]
    pub strip_prefix: String,

    /// What to do with a key that is no safe path
    ///
    /// Such as one with `..` or an empty segment.
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value_t,
        help_heading = FILES
    )]
    pub unsafe_keys: UnsafeKeys,

    /// What to do when a file is already at a key's path
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value_t,
        env = "S3PULL_IF_EXISTS",
        help_heading = FILES
    )]
    pub if_exists: IfExists,

    /// GETs in flight at once, of objects and parts together
    #[arg(
        short = 'j',
        long,
        value_name = "N",
        default_value_t = options::DEFAULT_CONCURRENCY,
        env = "S3PULL_CONCURRENCY",
        help_heading = TRANSFER
    )]
    pub concurrency: NonZeroUsize,

    /// Bytes of a part of a large object
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

    /// With what the bytes are compared
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
        value_name = "N",
        default_value_t = options::DEFAULT_MAX_ATTEMPTS,
        env = "S3PULL_MAX_ATTEMPTS",
        help_heading = TRANSFER
    )]
    pub max_attempts: NonZeroU32,

    /// End the run when N keys have failed
    #[arg(long, value_name = "N", help_heading = TRANSFER)]
    pub max_failures: Option<NonZeroU64>,

    /// Longest time to connect, in seconds
    ///
    /// Name look-up, TCP, proxy and TLS together.
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

    /// Longest silence of a server, in seconds
    ///
    /// Before an answer or between bytes; less than 1 KiB in it is silence.
    #[arg(
        long,
        value_name = "S",
        value_parser = parse_seconds,
        default_value = options::DEFAULT_TIMEOUT,
        env = "S3PULL_TIMEOUT",
        help_heading = TRANSFER
    )]
    pub timeout: Duration,

    /// CSV of the keys that failed
    ///
    /// Give it as `--keys` to try them again. It replaces nothing but a failed-keys CSV; devices and pipes are written to.
    ///
    /// [default: s3pull-failed.csv, or s3pull-failed-K-of-N.csv of a shard]
    #[arg(
        long,
        value_name = "FILE",
        env = "S3PULL_FAILED",
        help_heading = REPORT
    )]
    pub failed: Option<PathBuf>,

    /// Read, map and check every row, request nothing
    ///
    /// Prints each key and its path, and what can be seen to go wrong.
    #[arg(long, help_heading = REPORT)]
    pub dry_run: bool,

    /// Flush the file system before success is reported
    #[arg(long, help_heading = REPORT)]
    pub sync: bool,

    /// Print JSON events on stdout
    ///
    /// One a finished row, as it finishes, and a last one for the run.
    #[arg(long, help_heading = REPORT)]
    pub json: bool,

    /// How progress is shown
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value_t,
        env = "S3PULL_PROGRESS",
        help_heading = REPORT
    )]
    pub progress: ProgressMode,

    /// Print errors only
    #[arg(short, long, conflicts_with = "verbose", help_heading = REPORT)]
    pub quiet: bool,

    /// Print a line an object
    ///
    /// And what was decided about the lists; `-vv`: a line a request too.
    #[arg(short, long, action = ArgAction::Count, help_heading = REPORT)]
    pub verbose: u8,

    /// Region of the bucket
    ///
    /// Found out by itself when it is left out or wrong.
    #[arg(long, value_name = "REGION", help_heading = AWS)]
    pub region: Option<String>,

    /// Profile of the AWS configuration files
    #[arg(long, value_name = "NAME", help_heading = AWS)]
    pub profile: Option<String>,

    /// URL of an S3-compatible server
    ///
    /// For example `http://127.0.0.1:9000`.
    #[arg(long, value_name = "URL", help_heading = AWS)]
    pub endpoint_url: Option<String>,

    /// Send unsigned requests, as public buckets take them
    ///
    /// No credentials are looked for.
    #[arg(long, help_heading = AWS)]
    pub no_sign_request: bool,

    /// Agree to pay for a requester-pays bucket
    ///
    /// For the requests and for the transfer.
    #[arg(
        long,
        value_name = "PAYER",
        num_args = 0..=1,
        default_missing_value = "requester",
        value_parser = ["requester"],
        hide_short_help = true,
        help_heading = AWS
    )]
    pub request_payer: Option<String>,

    /// PEM file of the certificate authorities to trust
    ///
    /// They take the place of the system's.
    #[arg(
        long,
        value_name = "FILE",
        env = "AWS_CA_BUNDLE",
        hide_short_help = true,
        help_heading = AWS
    )]
    pub ca_bundle: Option<PathBuf>,

    /// Where the bucket's name stands in a URL
    ///
    /// In its path, or before the host.
    #[arg(
        long,
        value_name = "STYLE",
        value_enum,
        default_value_t,
        hide_short_help = true,
        help_heading = AWS
    )]
    pub addressing_style: AddressingStyle,

    /// What was typed, as words for a shell, but for what describes the lists.
    #[arg(skip)]
    pub(super) words_for_retry: Vec<String>,
}

// The groups of `--help`.
const LIST: &str = "Key list";
const FILES: &str = "Files";
const TRANSFER: &str = "Transfer";
const REPORT: &str = "Report";
const AWS: &str = "AWS";

/// `auto`, where it is `None`.
#[derive(Debug, Clone, Copy)]
pub struct ListFormat(pub Option<&'static Format>);

fn list_format() -> impl TypedValueParser<Value = ListFormat> {
    let auto = PossibleValue::new("auto").help("Decide once a list, from its first rows");
    let formats = FORMATS
        .iter()
        .map(|format| PossibleValue::new(format.name).help(format.help));
    PossibleValuesParser::new([auto].into_iter().chain(formats))
        .map(|name| ListFormat(format_named(&name)))
}

/// Which shard was asked for.
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

const EXIT_CODES: &str = "\
Exit status:
  0         Every key was downloaded, or was there already.
  1         The run finished; some keys failed and are in the CSV.
  2         Wrong usage.
  3         The run could not start or could not go on.
  129, 130, 143
            Stopped by SIGHUP, SIGINT, SIGTERM.";

const EXAMPLES: &str = "\
Examples:
  s3pull --bucket photos --keys keys.txt -o out -j 32
  aws s3 ls s3://photos/2024/ --recursive | s3pull --bucket photos -o out";

/// Parses seconds such as `30` or `0.5`.
fn parse_seconds(text: &str) -> Result<Duration, String> {
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
    use super::*;

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "nan", "inf", "5s", ""] {
            assert!(parse_seconds(bad).is_err(), "{bad:?}");
        }
    }
}
