//! What was typed. Nothing past `config` sees it.

use std::ffi::OsString;
use std::num::{NonZeroU32, NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, parser::ValueSource};

use crate::config::{
    self, AddressingStyle, ByteSize, IfExists, ListFormat, ProgressMode, UnsafeKeys, VerifyMode,
};

/// Download the S3 objects that a key list names: whole, verified files out, and a CSV of what failed.
#[derive(Debug, Parser)]
#[command(name = "s3pull", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Cli {
    /// Bucket name or access point ARN; a leading `s3://` and a trailing `/` are accepted
    #[arg(short, long, value_name = "BUCKET")]
    pub bucket: String,

    /// Key list; `-` is stdin. Without it, stdin is read when it is not a terminal
    #[arg(short, long, value_name = "FILE")]
    pub keys: Option<PathBuf>,

    /// Format of the key list
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub keys_format: ListFormat,

    /// Put PREFIX before every key of the list (what `aws s3 ls` without `--recursive` leaves out)
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub key_prefix: String,

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

    /// CSV of the keys that failed; give it as `--keys` to try them again
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_FAILED)]
    pub failed: PathBuf,

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

    /// The same command, as typed but for the list, for the hint that ends a run with failures.
    #[arg(skip)]
    pub retry_command: String,
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
        cli.retry_command = retry_command(&matches, &cli.failed);
        Ok(cli)
    }
}

/// The command that tries the failed keys again: what was typed, with the CSV as the list.
/// The options that described the old list go, since the CSV holds whole keys.
fn retry_command(matches: &clap::ArgMatches, failed: &std::path::Path) -> String {
    const OF_THE_LIST: [&str; 3] = ["keys", "keys_format", "key_prefix"];
    let mut words = vec!["s3pull".to_owned()];
    for arg in Cli::command().get_arguments() {
        let id = arg.get_id().as_str();
        let known = matches.try_contains_id(id).unwrap_or(false);
        if !known
            || OF_THE_LIST.contains(&id)
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
    words.push("--keys".to_owned());
    words.push(shell_quoted(&failed.to_string_lossy()));
    words.join(" ")
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
        assert_eq!(cli.unwrap().retry_command, expected);
    }

    #[test]
    fn shell_quoting_survives_quotes_and_blanks() {
        assert_eq!(shell_quoted("a-b/c.csv"), "a-b/c.csv");
        assert_eq!(shell_quoted("it's"), r"'it'\''s'");
        assert_eq!(shell_quoted(""), "''");
    }
}
