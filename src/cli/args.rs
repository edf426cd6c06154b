//! The command line as it was typed, before it is validated. Only `config` reads it.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{ArgAction, Parser};

use super::aws::Aws;
use super::done::DoneArgs;
use super::transfer::Transfer;
use super::values::{ListFormat, ShardChoice, list_format, parse_count};
use crate::options::{ByteSize, IfExists, ProgressMode, UnsafeKeys};
use crate::source::TypedFilter;
use crate::source::list::columns::InventoryColumns;

/// Download every object on a list of keys from an S3 bucket: complete, verified files, and a CSV of what failed.
#[derive(Debug, Parser)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag that is given or not"
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
    /// A leading `s3://` and a trailing `/` are accepted. Without it, each row must name its bucket, as `s3://bucket/key`
    /// does, and rows may be of several buckets.
    #[arg(short, long, value_name = "BUCKET", env = "S3PULL_BUCKET")]
    pub bucket: Option<String>,

    /// Keys, or `s3://bucket/key` URIs, in addition to the lists
    ///
    /// As the first argument, `check`, `man` or `completions` is a command: put `--` before a key of that name.
    #[arg(value_name = "KEY")]
    pub arguments: Vec<String>,

    /// Key list; `-` is stdin
    ///
    /// `s3://bucket/key` is read from S3, and of the folder of an inventory, `s3://bucket/folder/`, the newest one. It may be compressed with gzip or zstd. The option may be given more than once. Without a list or a KEY, stdin is
    /// read if it is not a terminal.
    #[arg(short, long, value_name = "FILE", help_heading = LIST)]
    pub keys: Vec<PathBuf>,

    /// Download what is below PREFIX in the bucket
    ///
    /// PREFIX is what the keys begin with, or `s3://bucket/prefix`; an empty one stands for the whole bucket. The option
    /// may be given more than once.
    #[arg(long, value_name = "PREFIX", help_heading = LIST)]
    pub prefix: Vec<String>,

    /// Take the keys that match GLOB
    ///
    /// `*` crosses `/`. The last match of `--include` and `--exclude` decides. If the first of them is an `--include`, keys
    /// that match none are left out.
    #[arg(long, value_name = "GLOB", help_heading = LIST)]
    pub include: Vec<String>,

    /// Leave out the keys that match GLOB
    ///
    /// A pattern is matched against the whole key, or the part of it after `--prefix`.
    #[arg(long, value_name = "GLOB", help_heading = LIST)]
    pub exclude: Vec<String>,

    /// Format of the key lists
    #[arg(long, value_name = "FORMAT", default_value = "auto", value_parser = list_format(), help_heading = LIST)]
    pub keys_format: ListFormat,

    /// Columns of an inventory data file that has no manifest
    ///
    /// They are written like the manifest's `fileSchema`, for example `Bucket, Key, Size`.
    #[arg(long, value_name = "COLUMNS", hide_short_help = true,
        help_heading = LIST)]
    pub keys_columns: Option<InventoryColumns>,

    /// Column of a table that holds the key
    ///
    /// Without it, the column is called `key` or `object_key`, in any case. The column may hold `s3://bucket/key` URIs. For
    /// JSON, it is the member of each object.
    #[arg(long, value_name = "NAME", hide_short_help = true, help_heading = LIST)]
    pub key_column: Option<String>,

    /// Prepend PREFIX to every key of the lists
    ///
    /// `aws s3 ls` without `--recursive` omits it.
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
    /// A shard consists of the rows whose key hashes to it. `auto` reads the number of the task from the environment of
    /// a Slurm array, a Kubernetes Indexed Job (with S3PULL_SHARDS) or an AWS Batch array job.
    #[arg(long, value_name = "K/N", help_heading = LIST)]
    pub shard: Option<ShardChoice>,

    /// Folder to write the files to
    ///
    /// It is created if it does not exist.
    #[arg(
        short,
        long,
        value_name = "DIR",
        default_value = ".",
        env = "S3PULL_OUTPUT",
        help_heading = FILES
    )]
    pub output: PathBuf,

    /// Path below the output folder, by placeholders
    ///
    /// `{key}`, `{bucket}`, `{name}` and `{dir}` (the key after and before its last `/`), and `{hash:N}` (N hex digits of
    /// the key's hash).
    #[arg(
        long,
        value_name = "TEMPLATE",
        default_value = "{key}",
        help_heading = FILES
    )]
    pub path: String,

    /// Write a tar archive instead of files; `-` is stdout
    ///
    /// Its members are in the order of the list. A file has its name only once it is complete. What ends early ends in
    /// a member on which `tar` fails.
    #[arg(long, value_name = "FILE", help_heading = FILES)]
    pub tar: Option<PathBuf>,

    /// Begin a new archive where the next object would make it larger than SIZE
    ///
    /// `--tar` then names all of them, as in `train-%06d.tar`. Files with equal names up to the first dot that follow
    /// one another stay together, so that an archive may be larger by the rest of such a sample. With `--if-exists skip`,
    /// archives that an earlier run completed stay, and their rows are skipped.
    #[arg(long, value_name = "SIZE", requires = "tar", hide_short_help = true, help_heading = FILES)]
    pub tar_size: Option<ByteSize>,

    /// Begin a new archive after N samples
    ///
    /// Files with equal names up to the first dot that follow one another are one sample.
    #[arg(
        long,
        value_name = "N",
        value_parser = parse_count::<NonZeroU64>,
        requires = "tar",
        hide_short_help = true,
        help_heading = FILES
    )]
    pub tar_count: Option<NonZeroU64>,

    /// Write an index beside each archive
    ///
    /// It is a CSV, `a.csv` for `a.tar`, with path, offset, size and CRC-64/NVME of each file.
    #[arg(long, requires = "tar", hide_short_help = true, help_heading = FILES)]
    pub tar_index: bool,

    /// Folder for what waits for its turn in an archive
    ///
    /// Objects of more than 1 MiB, and smaller ones once 256 MiB wait in memory, are kept there in files without names.
    /// Once 4 GiB are, none is begun but the one whose turn it is. Without the option, it is the system's folder for
    /// temporary files.
    #[arg(
        long,
        value_name = "DIR",
        requires = "tar",
        hide_short_help = true,
        help_heading = FILES
    )]
    pub spool: Option<PathBuf>,

    /// Remove PREFIX from keys before they become paths
    ///
    /// PREFIX is, for example, `photos/`; a key without it fails.
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true,
        help_heading = FILES
    )]
    pub strip_prefix: String,

    /// What to do with keys that are not safe paths
    ///
    /// A key with `..` or an empty segment, for example, is not a safe path.
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value_t,
        help_heading = FILES
    )]
    pub unsafe_keys: UnsafeKeys,

    /// What to do if a key's file already exists
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value_t,
        env = "S3PULL_IF_EXISTS",
        help_heading = FILES
    )]
    pub if_exists: IfExists,

    #[command(flatten)]
    pub transfer: Transfer,

    /// CSV of the keys that failed
    ///
    /// Pass it to `--keys` to retry them. Only an empty file or another failed-keys CSV is replaced; devices and pipes
    /// are written to.
    ///
    /// [default: s3pull-failed.csv, or s3pull-failed-K-of-N.csv for a shard]
    #[arg(
        long,
        value_name = "FILE",
        env = "S3PULL_FAILED",
        help_heading = REPORT
    )]
    pub failed: Option<PathBuf>,

    #[command(flatten)]
    pub done: DoneArgs,

    /// Read, map and check every row without making requests
    ///
    /// Each key and its path are printed, and so is every row that would fail.
    #[arg(long, help_heading = REPORT)]
    pub dry_run: bool,

    /// Flush files to disk before reporting success
    #[arg(long, help_heading = REPORT)]
    pub sync: bool,

    /// Print JSON events on stdout
    ///
    /// There is one JSON object per finished row, one on progress every 10 seconds, and one for the run.
    #[arg(long, help_heading = REPORT)]
    pub json: bool,

    /// Write JSON events to FILE
    ///
    /// The events are those of `--json`. FILE is replaced; devices and pipes are written to.
    #[arg(long, value_name = "FILE", conflicts_with = "json", hide_short_help = true, help_heading = REPORT)]
    pub events: Option<PathBuf>,

    /// Add the lines to FILE
    ///
    /// These are the lines of `--progress plain`, with those of `-v` if it is given; only the bar, warnings and how the run
    /// ends are shown too. A FILE that is not such a log is refused; devices and pipes are written to.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run", hide_short_help = true, help_heading = REPORT)]
    pub log: Option<PathBuf>,

    /// How to show progress
    #[arg(
        long,
        value_name = "MODE",
        value_enum,
        default_value_t,
        env = "S3PULL_PROGRESS",
        help_heading = REPORT
    )]
    pub progress: ProgressMode,

    /// Print only errors
    #[arg(short, long, conflicts_with = "verbose", help_heading = REPORT)]
    pub quiet: bool,

    /// Print one line per object
    ///
    /// How each list is read is printed too. `-vv` also prints one line per request, and each number of GETs in flight that
    /// is tried.
    #[arg(short, long, action = ArgAction::Count, help_heading = REPORT)]
    pub verbose: u8,

    #[command(flatten)]
    pub aws: Aws,

    /// `--include` and `--exclude` in the order of the command line.
    #[arg(skip)]
    pub filters: Vec<TypedFilter>,

    /// The options as they were typed, quoted for a shell, without those that describe the lists.
    #[arg(skip)]
    pub(super) words_for_retry: Vec<String>,
}

// The headings of `--help`.
pub(super) const LIST: &str = "Key list";
const FILES: &str = "Files";
const REPORT: &str = "Report";

const EXIT_CODES: &str = "\
Exit status:
  0         Every key was downloaded or skipped.
  1         The run finished; some keys failed and are in the CSV.
  2         Wrong usage.
  3         The run could not start or continue.
  129, 130, 143
            Stopped by SIGHUP, SIGINT, SIGTERM.";

const EXAMPLES: &str = "\
Examples:
  s3pull --bucket photos --keys keys.txt -o out -j 32
  s3pull --bucket photos --prefix 2024/ -o out
  s3pull s3://photos/a.jpg s3://thumbs/a.jpg --path '{bucket}/{key}'
  aws s3 ls s3://photos/2024/ --recursive | s3pull --bucket photos -o out";
