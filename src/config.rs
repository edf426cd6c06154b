//! The resolved configuration: the command line, validated, with defaults filled in. All checks across options are here.

use std::io::IsTerminal;
use std::path::PathBuf;

use crate::cli::{Cli, ShardChoice};
use crate::options::{ByteSize, DEFAULT_FAILED, IfExists, ProgressMode, Verbosity};
use crate::s3::{self, ConnectOptions, Trust};
use crate::sink::files::PathRules;
use crate::sink::tar::ArchiveOptions;
use crate::sink::tar::shards::{Pattern, ShardRules};
use crate::source::Shard;
use crate::source::{ListOptions, ListSource};
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
    /// Whether rows are only checked, without requests and without writing files.
    pub dry_run: bool,
    /// Whether files are flushed to disk before success is reported.
    pub sync: bool,
    /// Whether events are printed on stdout.
    pub json: bool,
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
        let bucket = checked_bucket(&cli.bucket)?;
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
        let retry_command = cli.retry_command(&failed);
        let tar = tar(&cli)?;
        let sources = sources(cli.keys, cli.arguments)?;
        if let Some(url) = &cli.endpoint_url {
            check_endpoint(url)?;
        }
        Ok(Self {
            list: ListOptions {
                sources,
                format: cli.keys_format.0,
                key_prefix: cli.key_prefix,
                bucket: bucket.clone(),
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
                unsafe_keys: cli.unsafe_keys,
                ..PathRules::default()
            },
            if_exists: cli.if_exists,
            failed,
            dry_run: cli.dry_run,
            sync: cli.sync,
            json: cli.json,
            events: cli.events,
            transfer: TransferOptions {
                concurrency: cli.concurrency,
                part_size: checked_part_size(cli.part_size)?,
                multipart_threshold: cli.multipart_threshold.0,
                verify: cli.verify,
                max_attempts: cli.max_attempts,
                max_outage: cli.max_outage,
                max_failures: cli.max_failures,
            },
            s3: ConnectOptions {
                bucket,
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

/// The lists in the order of the command line, followed by the keys that it contains.
fn sources(lists: Vec<PathBuf>, keys: Vec<String>) -> Result<Vec<ListSource>, UsageError> {
    let mut sources: Vec<_> = lists
        .into_iter()
        .map(|path| match path.as_os_str().to_str() {
            Some("-") => ListSource::Stdin,
            _ => ListSource::File(path),
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
    if !keys.is_empty() {
        sources.push(ListSource::Arguments(keys));
    }
    if sources.is_empty() && std::io::stdin().is_terminal() {
        return Err(UsageError(
            "no key list: use `--keys FILE`, or pipe a list in (`aws s3 ls … --recursive | s3pull …`)".into(),
        ));
    }
    if sources.is_empty() {
        sources.push(ListSource::Stdin);
    }
    Ok(sources)
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
