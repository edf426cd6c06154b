//! The resolved configuration: the command line, validated, with defaults filled in. All checks across options are here.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::{Cli, ShardChoice};
use crate::options::{
    ByteSize, Concurrency, DEFAULT_FAILED, FailedName, IfExists, Job, ProgressMode, Verbosity,
};
use crate::s3::{self, ConnectOptions, Trust};
use crate::sink::files::{PathRules, PathTemplate, TemplateError};
use crate::sink::tar::ArchiveOptions;
use crate::sink::tar::shards::{Pattern, ShardRules};
use crate::source::Shard;
use crate::source::list::bucket::is_bucket_name;
use crate::source::{Filters, ListOptions, ListSource, Listing, RemoteList};
use crate::transfer::TransferOptions;

/// Everything a run needs to know.
#[derive(Debug)]
pub struct Config {
    pub list: ListOptions,
    pub output: PathBuf,
    /// The archive that is written instead of files.
    pub tar: Option<TarOptions>,
    pub paths: PathRules,
    pub if_exists: IfExists,
    pub failed: PathBuf,
    pub failed_name: FailedName,
    /// Whether rows are only checked, without requests and without writing files.
    pub dry_run: bool,
    /// Whether files are flushed to disk before success is reported.
    pub sync: bool,
    /// Whether events are printed on stdout.
    pub json: bool,
    pub concurrency: Concurrency,
    /// After which the run ends early.
    pub max_duration: Option<Duration>,
    /// The file that events are written to.
    pub events: Option<PathBuf>,
    pub transfer: TransferOptions,
    pub s3: ConnectOptions,
    pub progress: ProgressMode,
    pub verbosity: Verbosity,
    /// The command that retries the failed keys.
    pub retry_command: String,
}

/// The archive that is written instead of files.
#[derive(Debug)]
pub struct TarOptions {
    pub archive: ArchiveOptions,
    /// Folder for what waits for its turn.
    pub spool: Option<PathBuf>,
}

/// A command line that contradicts itself or lacks something. The message names the option and the fix.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(String);

impl TryFrom<Cli> for Config {
    type Error = UsageError;

    fn try_from(cli: Cli) -> Result<Self, UsageError> {
        let bucket = cli.bucket.as_deref().map(checked_bucket).transpose()?;
        let shard = match cli.shard {
            Some(ShardChoice::Auto) => {
                let shard = Shard::of_environment(|name| std::env::var(name).ok());
                Some(shard.map_err(|error| UsageError(error.to_string()))?)
            }
            Some(ShardChoice::Given(shard)) => Some(shard),
            None => None,
        };
        let failed = match (&cli.failed, shard) {
            (Some(typed), _) => typed.clone(),
            (None, Some(shard)) => shard.name_of(DEFAULT_FAILED).into(),
            (None, None) => DEFAULT_FAILED.into(),
        };
        let failed_name = match cli.failed {
            Some(_) => FailedName::Typed,
            None => FailedName::Default,
        };
        let retry_command = cli.retry_command(&failed);
        let tar = tar(&cli)?;
        let sources = sources(
            cli.keys,
            listings(&cli.prefix, bucket.as_deref())?,
            cli.arguments,
            bucket.is_some(),
        )?;
        if let Some(url) = &cli.endpoint_url {
            check_endpoint(url)?;
        }
        Ok(Self {
            list: ListOptions {
                sources,
                format: cli.keys_format.0,
                key_column: cli.key_column,
                key_prefix: cli.key_prefix,
                bucket: bucket.clone(),
                filters: Filters::new(&cli.filters)
                    .map_err(|error| UsageError(error.to_string()))?,
                columns: cli.keys_columns,
                shard,
            },
            output: if cli.tar.is_some() {
                ".".into()
            } else {
                cli.output
            },
            tar,
            paths: PathRules {
                strip_prefix: cli.strip_prefix,
                template: template(&cli.path)?,
                bucket: bucket.clone().unwrap_or_default(),
                unsafe_keys: cli.unsafe_keys,
                ..PathRules::default()
            },
            if_exists: cli.if_exists,
            failed,
            failed_name,
            dry_run: cli.dry_run,
            sync: cli.sync,
            json: cli.json,
            concurrency: cli.concurrency,
            max_duration: cli.max_duration,
            events: cli.events,
            transfer: TransferOptions {
                job: Job::Download,
                part_size: checked_part_size(cli.part_size)?,
                multipart_threshold: cli.multipart_threshold.0,
                verify: cli.verify,
                max_attempts: cli.max_attempts,
                max_outage: cli.max_outage,
                rps: cli.rps,
                bwlimit: cli.bwlimit.map(|rate| rate.0),
                max_failures: cli.max_failures,
            },
            s3: ConnectOptions {
                bucket: bucket.unwrap_or_else(|| s3::STAND_IN.to_owned()),
                region: cli.region,
                profile: cli.profile,
                endpoint_url: cli.endpoint_url,
                sign_requests: !cli.no_sign_request,
                requester_pays: cli.request_payer.is_some(),
                trust: trust(cli.ca_bundle, cli.no_verify_ssl),
                addressing_style: cli.addressing_style,
                connect_timeout: cli.connect_timeout,
                timeout: cli.timeout,
            },
            progress: if cli.quiet {
                ProgressMode::None
            } else {
                cli.progress
            },
            verbosity: match (cli.quiet, cli.verbose) {
                (true, _) => Verbosity::Quiet,
                (false, 0) => Verbosity::Normal,
                (false, 1) => Verbosity::Verbose,
                (false, _) => Verbosity::Requests,
            },
            retry_command,
        })
    }
}

fn tar(cli: &Cli) -> Result<Option<TarOptions>, UsageError> {
    let Some(path) = &cli.tar else {
        return Ok(None);
    };
    if path.as_os_str() == "-" && std::io::stdout().is_terminal() {
        return Err(UsageError(
            "`--tar -` writes an archive to stdout, which is a terminal: use a pipe (`| tar -x`), or `--tar FILE`".into(),
        ));
    }
    let archive = ArchiveOptions {
        path: path.clone(),
        shards: shards(cli, &path.to_string_lossy())?,
        has_index: cli.tar_index,
        sync: cli.sync,
    };
    let spool = cli.spool.clone();
    Ok(Some(TarOptions { archive, spool }))
}

fn shards(cli: &Cli, typed: &str) -> Result<Option<ShardRules>, UsageError> {
    let typed_name = typed.escape_debug();
    let is_wanted = cli.tar_size.is_some() || cli.tar_count.is_some();
    match (typed.parse::<Pattern>(), is_wanted) {
        (Ok(pattern), true) => Ok(Some(ShardRules {
            pattern,
            max_bytes: cli.tar_size.map(|ByteSize(max)| max),
            max_samples: cli.tar_count,
        })),
        (Err(()), true) => Err(UsageError(format!(
            "`--tar {typed_name}` has no number for shards: with `--tar-size` or `--tar-count`, use a name such as `train-%06d.tar`"
        ))),
        (Ok(_), false) => Err(UsageError(format!(
            "`--tar {typed_name}` names shards: add `--tar-size SIZE` or `--tar-count N`"
        ))),
        (Err(()), false) => Ok(None),
    }
}

/// What `--prefix` asks for.
fn listings(typed: &[String], bucket: Option<&str>) -> Result<Vec<Listing>, UsageError> {
    let listing = |typed: &String| {
        let Some(uri) = typed.strip_prefix("s3://") else {
            let Some(bucket) = bucket else {
                return Err(UsageError(format!(
                    "`--prefix {0}` names no bucket: use `--bucket`, or `--prefix s3://BUCKET/{0}`",
                    typed.escape_debug()
                )));
            };
            return Ok(Listing {
                bucket: bucket.to_owned(),
                prefix: typed.clone(),
            });
        };
        let (of_uri, prefix) = uri.split_once('/').unwrap_or((uri, ""));
        if !is_bucket_name(of_uri) {
            return Err(UsageError(format!(
                "`--prefix {}` is not `s3://bucket/prefix`",
                typed.escape_debug()
            )));
        }
        if let Some(bucket) = bucket.filter(|bucket| *bucket != of_uri) {
            return Err(UsageError(format!(
                "`--prefix {}` is for another bucket than `--bucket {bucket}`",
                typed.escape_debug()
            )));
        }
        Ok(Listing {
            bucket: of_uri.to_owned(),
            prefix: prefix.to_owned(),
        })
    };
    typed.iter().map(listing).collect()
}

/// The lists in the order of the command line, then what is to be listed, and the keys that the command line contains.
fn sources(
    lists: Vec<PathBuf>,
    listings: Vec<Listing>,
    keys: Vec<String>,
    has_bucket: bool,
) -> Result<Vec<ListSource>, UsageError> {
    let mut sources: Vec<_> = lists
        .into_iter()
        .map(|path| match path.as_os_str().to_str() {
            Some("-") => ListSource::Stdin,
            Some(text) => match RemoteList::parse(text) {
                Some(list) => ListSource::Remote(list),
                None => ListSource::File(path),
            },
            None => ListSource::File(path),
        })
        .collect();
    if sources
        .iter()
        .filter(|source| **source == ListSource::Stdin)
        .count()
        > 1
    {
        return Err(UsageError(
            "`--keys -` is given twice: stdin can be read only once".into(),
        ));
    }
    sources.extend(listings.into_iter().map(ListSource::Prefix));
    if !has_bucket && let Some(key) = keys.iter().find(|key| !key.starts_with("s3://")) {
        return Err(without_bucket(key, &keys));
    }
    if !keys.is_empty() {
        sources.push(ListSource::Arguments(keys));
    }
    if sources.is_empty() && std::io::stdin().is_terminal() {
        return Err(UsageError(
            "no key list: use `--keys FILE` or `--prefix PREFIX`, or pipe a list in (`aws s3 ls … --recursive | s3pull …`)".into(),
        ));
    }
    if sources.is_empty() {
        // The rows may name their buckets, if there are any.
        let is_empty = || {
            std::io::stdin()
                .lock()
                .fill_buf()
                .is_ok_and(<[u8]>::is_empty)
        };
        if !has_bucket && is_empty() {
            return Err(UsageError(
                "no bucket and no keys: use `--bucket BUCKET` with a key list, or `s3pull s3://bucket/key`".into(),
            ));
        }
        sources.push(ListSource::Stdin);
    }
    Ok(sources)
}

/// The error for `key`, one of the `keys`, which names no bucket.
fn without_bucket(key: &str, keys: &[String]) -> UsageError {
    const COMMANDS: [&str; 7] = ["cp", "download", "get", "ls", "mb", "mv", "sync"];
    let shown = key.escape_debug();
    if keys.first().is_some_and(|first| first == key) && COMMANDS.contains(&key) {
        return UsageError(format!(
            "s3pull has no `{shown}` command: name the objects as in `s3pull s3://bucket/key -o DIR`, or use `--prefix s3://bucket/prefix`"
        ));
    }
    UsageError(format!(
        "the key `{shown}` names no bucket: use `--bucket BUCKET`, or write `s3://BUCKET/{shown}`"
    ))
}

fn template(typed: &str) -> Result<PathTemplate, UsageError> {
    typed.parse().map_err(|error: TemplateError| {
        UsageError(format!(
            "`--path {}` cannot be used: {error}",
            typed.escape_debug()
        ))
    })
}

/// Accepts `b`, `s3://b`, `s3://b/` or an access point ARN.
fn checked_bucket(typed: &str) -> Result<String, UsageError> {
    let name = typed.strip_prefix("s3://").unwrap_or(typed);
    let name = name.strip_suffix('/').unwrap_or(name);
    if let Some(bucket) = meant_bucket(name) {
        return Err(UsageError(format!(
            "`--bucket {}` is not a bucket name: use `--bucket {bucket}`",
            typed.escape_debug()
        )));
    }
    if name.starts_with("arn:") {
        return Ok(name.to_owned());
    }
    if let Some((bucket, prefix)) = name.split_once('/') {
        return Err(UsageError(format!(
            "`--bucket {typed}` contains more than a bucket name: use `--bucket {bucket}`, and `--key-prefix {prefix}/` if the keys of the list lack it"
        )));
    }
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if name.is_empty() || !name.chars().all(is_allowed) {
        return Err(UsageError(format!(
            "`--bucket {}` is not a valid bucket name: only letters, digits, `.`, `-` and `_` are allowed",
            typed.escape_debug()
        )));
    }
    Ok(name.to_owned())
}

/// The bucket that a bucket's ARN, a bucket's URL or `s3:/b` names.
fn meant_bucket(typed: &str) -> Option<&str> {
    let is_name = |name: &&str| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
        !name.is_empty() && name.chars().all(is_allowed)
    };
    // The ARN of a bucket is arn:aws:s3:::b or arn:aws:s3:::b/prefix; that of an access point has a region and an account.
    if let Some((_, name)) = typed
        .split_once(":s3:::")
        .filter(|_| typed.starts_with("arn:"))
    {
        return name.split('/').next().filter(is_name);
    }
    if let Some(path) = typed.strip_prefix("s3:/") {
        return path.trim_matches('/').split('/').next().filter(is_name);
    }
    let url = typed
        .strip_prefix("https://")
        .or_else(|| typed.strip_prefix("http://"))?;
    let (host, path) = url.split_once('/').unwrap_or((url, ""));
    let of_host = host.split_once(".s3").map(|(bucket, _)| bucket);
    let in_path = path.split(['/', '?']).next();
    of_host.filter(is_name).or_else(|| in_path.filter(is_name))
}

/// A part is written in pieces of 1 MiB, and S3 does not store parts larger than 5 GiB.
fn checked_part_size(ByteSize(typed): ByteSize) -> Result<u64, UsageError> {
    const ALLOWED: std::ops::RangeInclusive<u64> = 1 << 20..=5 << 30;
    if !ALLOWED.contains(&typed) {
        return Err(UsageError(format!(
            "`--part-size` of {typed} bytes is out of range: use 1MiB to 5GiB"
        )));
    }
    Ok(typed)
}

fn check_endpoint(url: &str) -> Result<(), UsageError> {
    s3::check_endpoint(url, Some("--endpoint-url")).map_err(UsageError)
}

/// An empty variable counts as unset.
fn trust(ca_bundle: Option<PathBuf>, no_verify_ssl: bool) -> Trust {
    match ca_bundle.filter(|path| !path.as_os_str().is_empty()) {
        _ if no_verify_ssl => Trust::Everyone,
        Some(path) => Trust::Bundle(path),
        None => Trust::System,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_accepted_in_every_common_form() {
        for typed in ["b", "s3://b", "s3://b/", "b/"] {
            assert_eq!(checked_bucket(typed).unwrap(), "b", "{typed}");
        }
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
        assert_eq!(checked_bucket(arn).unwrap(), arn);
    }

    #[test]
    fn the_error_for_a_bucket_with_a_prefix_names_the_right_options() {
        let message = checked_bucket("s3://b/photos/2024/")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("`--bucket b`") && message.contains("`--key-prefix photos/2024/`"),
            "{message}"
        );
    }

    #[test]
    fn invalid_bucket_names_are_refused() {
        for typed in ["", "s3://", "a b", "b\n", "ü"] {
            assert!(checked_bucket(typed).is_err(), "{typed:?}");
        }
    }

    #[test]
    fn arns_and_urls_of_buckets_are_recognised() {
        for typed in [
            "arn:aws:s3:::photos",
            "arn:aws-cn:s3:::photos/2024/*",
            "s3:/photos",
            "s3:/photos/2024/",
            "https://photos.s3.amazonaws.com",
            "https://photos.s3.eu-west-1.amazonaws.com/2024/a.jpg",
            "https://s3.amazonaws.com/photos/",
            "http://localhost:9000/photos",
        ] {
            let message = checked_bucket(typed).unwrap_err().to_string();
            assert!(
                message.contains("use `--bucket photos`"),
                "{typed}: {message}"
            );
        }
    }

    #[test]
    fn part_sizes_out_of_range_are_refused() {
        assert!(
            checked_part_size(ByteSize(1 << 20)).is_ok()
                && checked_part_size(ByteSize(5 << 30)).is_ok()
        );
        for bad in [0, 1023, (1 << 20) - 1, (5 << 30) + 1] {
            let message = checked_part_size(ByteSize(bad)).unwrap_err().to_string();
            assert!(message.contains("`--part-size`"), "{message}");
        }
    }
}
