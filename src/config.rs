//! The resolved configuration: the command line, validated, with defaults filled in. All checks across options are here.

mod bucket;
mod error;
mod output;
mod own_files;
mod sources;
mod tar;

use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use bucket::checked_bucket;
pub use error::UsageError;
use output::checked_output;
pub(crate) use sources::instead_of_command;
use sources::{listings, sources};
use tar::{TarOptions, tar};

use crate::cli::{Cli, ShardChoice, Transfer};
use crate::options::{
    ByteSize, Concurrency, DEFAULT_FAILED, DoneOptions, FailedName, IfExists, Job, ProgressMode,
    Verbosity,
};
use crate::printable::count;
use crate::s3::{self, ConnectOptions, CustomerKey, Trust};
use crate::sink::files::{PathRules, PathTemplate, TemplateError};
use crate::source::Shard;
use crate::source::{Filters, ListOptions};
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
    pub done: Option<DoneOptions>,
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
    /// The file that lines are added to.
    pub log: Option<PathBuf>,
    pub transfer: TransferOptions,
    pub s3: ConnectOptions,
    pub progress: ProgressMode,
    pub verbosity: Verbosity,
    /// The command that retries the failed keys.
    pub retry_command: String,
}

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
        let done = cli.done.file.clone().map(|path| DoneOptions {
            path,
            skips: cli.done.skips,
        });
        let takes_note = done.is_some();
        let sources = sources(
            cli.keys.clone(),
            listings(&cli.prefix, bucket.as_deref())?,
            cli.arguments.clone(),
            bucket.is_some(),
        )?;
        own_files::check(&cli, &failed, tar.as_ref(), &sources)?;
        if let Some(url) = &cli.aws.endpoint_url {
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
                checked_output(cli.output)?
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
            done,
            dry_run: cli.dry_run,
            sync: cli.sync,
            json: cli.json,
            concurrency: cli.transfer.concurrency,
            max_duration: cli.transfer.max_duration,
            events: cli.events,
            log: cli.log,
            transfer: TransferOptions {
                takes_note,
                ..transfer_options(&cli.transfer)?
            },
            s3: ConnectOptions {
                bucket: bucket.unwrap_or_else(|| s3::STAND_IN.to_owned()),
                region: cli.aws.region,
                profile: cli.aws.profile,
                endpoint_url: cli.aws.endpoint_url,
                sign_requests: !cli.aws.no_sign_request,
                requester_pays: cli.aws.request_payer.is_some(),
                customer_key: customer_key(cli.aws.sse_c_key)?,
                trust: trust(cli.aws.ca_bundle, cli.aws.no_verify_ssl),
                addressing_style: cli.aws.addressing_style,
                connect_timeout: cli.transfer.connect_timeout,
                timeout: cli.transfer.timeout,
            },
            progress: if cli.quiet {
                ProgressMode::None
            } else {
                cli.progress
            },
            verbosity: verbosity(cli.quiet, cli.verbose),
            retry_command,
        })
    }
}

fn verbosity(is_quiet: bool, n_verbose: u8) -> Verbosity {
    match (is_quiet, n_verbose) {
        (true, _) => Verbosity::Quiet,
        (false, 0) => Verbosity::Normal,
        (false, 1) => Verbosity::Verbose,
        (false, _) => Verbosity::Requests,
    }
}

fn transfer_options(typed: &Transfer) -> Result<TransferOptions, UsageError> {
    Ok(TransferOptions {
        job: Job::Download,
        part_size: checked_part_size(typed.part_size)?,
        multipart_threshold: typed.multipart_threshold.0,
        verify: typed.verify,
        takes_note: false,
        max_attempts: typed.max_attempts,
        max_outage: typed.max_outage,
        rps: typed.rps,
        bwlimit: typed.bwlimit.map(|rate| rate.0),
        max_failures: typed.max_failures,
        n_rounds: typed.retry_failed.map_or(0, NonZeroU32::get),
    })
}

fn template(typed: &str) -> Result<PathTemplate, UsageError> {
    typed.parse().map_err(|error: TemplateError| {
        UsageError(format!(
            "`--path {}` cannot be used: {error}",
            typed.escape_debug()
        ))
    })
}

/// A part is written in pieces of 1 MiB, and S3 does not store parts larger than 5 GiB.
fn checked_part_size(ByteSize(typed): ByteSize) -> Result<u64, UsageError> {
    const ALLOWED: std::ops::RangeInclusive<u64> = 1 << 20..=5 << 30;
    if !ALLOWED.contains(&typed) {
        return Err(UsageError(format!(
            "`--part-size` of {} is out of range: use 1MiB to 5GiB",
            count(typed, "byte")
        )));
    }
    Ok(typed)
}

fn check_endpoint(url: &str) -> Result<(), UsageError> {
    s3::check_endpoint(url, Some("--endpoint-url")).map_err(UsageError)
}

/// The key in the file that is named.
fn customer_key(path: Option<PathBuf>) -> Result<Option<CustomerKey>, UsageError> {
    let key = path.map(|path| CustomerKey::read(&path)).transpose();
    key.map_err(|error| UsageError(format!("`--sse-c-key`: {error}")))
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
