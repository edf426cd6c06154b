//! What was typed. Nothing past `config` sees it.

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, parser::ValueSource};

use crate::config::{
    self, AddressingStyle, ByteSize, IfExists, ProgressMode, UnsafeKeys, VerifyMode,
};
use crate::keys::{self, Format, InventoryColumns, Shard, ShardError};

/// Download the S3 objects that a key list names: whole, verified files out, and a CSV of what failed.
#[derive(Debug, Parser)]
#[command(name = "s3pull", version = env!("S3PULL_VERSION"), max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// Bucket name or access point ARN; a leading `s3://` and a trailing `/` are accepted
    #[arg(short, long, value_name = "BUCKET")]
    pub bucket: String,

    /// Keys, or `s3://bucket/key` URIs, to download beside those of the lists
    #[arg(value_name = "KEY")]
    pub arguments: Vec<String>,

    /// Key list, plain or compressed with gzip or zstd; `-` is stdin. May be given more than once. Without a list or a
    /// KEY, stdin is read when it is not a terminal
    #[arg(short, long, value_name = "FILE")]
    pub keys: Vec<PathBuf>,

    /// Format of the key lists
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = list_format())]
    pub keys_format: ListFormat,

    /// Columns of an inventory's data file that is given without its manifest, such as `Bucket, Key, Size`
    #[arg(long, value_name = "COLUMNS")]
    pub keys_columns: Option<InventoryColumns>,

    /// Put PREFIX before every key of the list (what `aws s3 ls` without `--recursive` leaves out)
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub key_prefix: String,

    /// Take only shard K of N, counted from 0: the rows whose key hashes to it. `auto` reads the task's number from the
    /// environment of a Slurm array, a Kubernetes Indexed Job (with S3PULL_SHARDS) or an AWS Batch array job
    #[arg(long, value_name = "K/N")]
    pub shard: Option<ShardChoice>,

    /// Folder that the files go to; made if it is not there
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    pub output: PathBuf,

    /// Take PREFIX off every key before it becomes a path, for example `photos/`; a key without it fails
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub strip_prefix: String,

    /// What to do with a key that is no safe path, such as one with `..` or an empty segment
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    pub unsafe_keys: UnsafeKeys,

    /// What to do when a file is already at a key's path
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    pub if_exists: IfExists,

    /// GETs in flight at once, of objects and parts together
    #[arg(short = 'j', long, value_name = "N", default_value_t = config::DEFAULT_CONCURRENCY)]
    pub concurrency: NonZeroUsize,

    /// Bytes of a part of a large object
    #[arg(long, value_name = "SIZE", default_value_t = config::DEFAULT_PART_SIZE)]
    pub part_size: ByteSize,

    /// Download objects of this size and larger ones in parallel parts
    #[arg(long, value_name = "SIZE", default_value_t = config::DEFAULT_MULTIPART_THRESHOLD)]
    pub multipart_threshold: ByteSize,

    /// With what the bytes are compared
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    pub verify: VerifyMode,

    /// Attempts an object, the first one included: requests that failed, whatever failed
    #[arg(long, value_name = "N", default_value_t = config::DEFAULT_MAX_ATTEMPTS)]
    pub max_attempts: NonZeroU32,

    /// End the run when N keys have failed
    #[arg(long, value_name = "N")]
    pub max_failures: Option<NonZeroU64>,

    /// Longest time to connect, in seconds: name look-up, TCP, proxy and TLS together
    #[arg(long, value_name = "S", value_parser = parse_seconds, default_value = config::DEFAULT_CONNECT_TIMEOUT)]
    pub connect_timeout: Duration,

    /// Longest silence before an answer or between bytes, in seconds; less than 1 KiB in it is silence
    #[arg(long, value_name = "S", value_parser = parse_seconds, default_value = config::DEFAULT_TIMEOUT)]
    pub timeout: Duration,

    /// CSV of the keys that failed; give it as `--keys` to try them again [default: s3pull-failed.csv, or
    /// s3pull-failed-K-of-N.csv of a shard]
    #[arg(long, value_name = "FILE")]
    pub failed: Option<PathBuf>,

    /// Read, map and check every row, request nothing: prints each key and its path, and what can be seen to go wrong
    #[arg(long)]
    pub dry_run: bool,

    /// How progress is shown
    #[arg(long, value_name = "MODE", value_enum, default_value_t)]
    pub progress: ProgressMode,

    /// Print errors only
    #[arg(short, long, conflicts_with_all = ["verbose", "progress"])]
    pub quiet: bool,

    /// Print a line an object, and what was decided about the list
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,

    /// Region of the bucket; found out by itself when it is left out or wrong
    #[arg(long, value_name = "REGION", help_heading = "AWS")]
    pub region: Option<String>,

    /// Profile of the AWS configuration files
    #[arg(long, value_name = "NAME", help_heading = "AWS")]
    pub profile: Option<String>,

    /// URL of an S3-compatible server, for example `http://127.0.0.1:9000`
    #[arg(long, value_name = "URL", help_heading = "AWS")]
    pub endpoint_url: Option<String>,

    /// Send unsigned requests, as public buckets take them: no credentials are looked for
    #[arg(long, help_heading = "AWS")]
    pub no_sign_request: bool,

    /// Agree to pay for the requests and the transfer from a requester-pays bucket
    #[arg(
        long,
        value_name = "PAYER",
        num_args = 0..=1,
        default_missing_value = "requester",
        value_parser = ["requester"],
        help_heading = "AWS"
    )]
    pub request_payer: Option<String>,

    /// PEM file of the certificate authorities to trust, in place of the system's
    #[arg(
        long,
        value_name = "FILE",
        env = "AWS_CA_BUNDLE",
        hide_env_values = true,
        help_heading = "AWS"
    )]
    pub ca_bundle: Option<PathBuf>,

    /// Where the bucket's name stands in a URL
    #[arg(
        long,
        value_name = "STYLE",
        value_enum,
        default_value_t,
        help_heading = "AWS"
    )]
    pub addressing_style: AddressingStyle,

    /// What was typed, as words for a shell, but for what describes the lists.
    #[arg(skip)]
    words_for_retry: Vec<String>,
}

/// `auto`, where it is `None`.
#[derive(Debug, Clone, Copy)]
pub struct ListFormat(pub Option<&'static Format>);

fn list_format() -> impl TypedValueParser<Value = ListFormat> {
    let auto = PossibleValue::new("auto").help("Decide once a list, from its first rows");
    let formats = keys::FORMATS.map(|format| PossibleValue::new(format.name).help(format.help));
    PossibleValuesParser::new([auto].into_iter().chain(formats))
        .map(|name| ListFormat(keys::format_named(&name)))
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

const EXAMPLES: &str = "\
Examples:
  s3pull --bucket photos --keys keys.txt -o out -j 32
  aws s3 ls s3://photos/2024/ --recursive | s3pull --bucket photos -o out";

impl Cli {
    /// Reads the arguments; the first one is the program's name.
    ///
    /// # Errors
    /// `clap`'s: `--help` and `--version` among them.
    pub fn parse_from(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let matches = Self::command().try_get_matches_from(args)?;
        let mut cli = Self::from_arg_matches(&matches)?;
        cli.words_for_retry = words_for_retry(&matches);
        Ok(cli)
    }

    /// The command that tries the rows of `failed` again: what was typed, with that CSV as the list.
    pub fn retry_command(&self, failed: &Path) -> String {
        let failed_word = shell_quoted(&failed.to_string_lossy());
        let mut words = self.words_for_retry.clone();
        words.extend(["--keys".to_owned(), failed_word.clone()]);
        // A shard's own name comes from `--shard`, which the retry does not have.
        if self.failed.is_none() && failed != Path::new(config::DEFAULT_FAILED) {
            words.extend(["--failed".to_owned(), failed_word]);
        }
        words.join(" ")
    }
}

/// What was typed, but for the options that describe the old lists: the CSV holds whole keys, and this run's alone.
fn words_for_retry(matches: &clap::ArgMatches) -> Vec<String> {
    const OF_THE_LISTS: [&str; 6] = [
        "arguments",
        "keys",
        "keys_format",
        "keys_columns",
        "key_prefix",
        "shard",
    ];
    let mut words = vec!["s3pull".to_owned()];
    for arg in Cli::command().get_arguments() {
        let id = arg.get_id().as_str();
        let known = matches.try_contains_id(id).unwrap_or(false);
        if !known
            || OF_THE_LISTS.contains(&id)
            || matches.value_source(id) != Some(ValueSource::CommandLine)
        {
            continue;
        }
        let flag = format!("--{}", arg.get_long().unwrap_or(id));
        match arg.get_action() {
            ArgAction::Count => {
                words.extend(std::iter::repeat_n(flag, matches.get_count(id).into()));
            }
            ArgAction::SetTrue => words.push(flag),
            _ => {
                for value in matches.get_raw(id).into_iter().flatten() {
                    words.push(flag.clone());
                    words.push(shell_quoted(&value.to_string_lossy()));
                }
            }
        }
    }
    words
}

/// `word` as a POSIX shell takes it.
fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

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

    fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        Cli::parse_from(args.iter().map(OsString::from))
    }

    #[test]
    fn definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn seconds_are_positive_numbers() {
        assert_eq!(parse_seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["0", "-1", "nan", "inf", "5s", ""] {
            assert!(parse_seconds(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn retry_command_keeps_what_was_typed_and_takes_the_csv_as_list() {
        let cli = parse(&[
            "s3pull",
            "-bmy",
            "-k",
            "a.txt",
            "-o",
            "my out",
            "-j8",
            "-vv",
            "--key-prefix=p/",
            "--strip-prefix=p/",
            "--no-sign-request",
        ]);
        let expected = "s3pull --bucket my --output 'my out' --strip-prefix p/ --concurrency 8 --verbose --verbose --no-sign-request --keys s3pull-failed.csv";
        assert_eq!(
            cli.unwrap().retry_command(Path::new("s3pull-failed.csv")),
            expected
        );
    }

    #[test]
    fn retry_of_a_shard_needs_no_shard_and_keeps_its_csv() {
        let cli = parse(&["s3pull", "-bb", "--shard", "1/4", "a", "b"]).unwrap();
        assert_eq!(
            cli.retry_command(Path::new("f-1-of-4.csv")),
            "s3pull --bucket b --keys f-1-of-4.csv --failed f-1-of-4.csv"
        );
    }

    #[test]
    fn shell_quoting_survives_quotes_and_blanks() {
        assert_eq!(shell_quoted("a-b/c.csv"), "a-b/c.csv");
        assert_eq!(shell_quoted("it's"), r"'it'\''s'");
        assert_eq!(shell_quoted(""), "''");
    }
}
