//! The command `check`: the options of a download, and those of its own.

use std::path::PathBuf;

use clap::{Args, Command};

use super::args::Cli;
use crate::options::{Check, CheckDepth, IfExtra, IfUnverifiable};

/// The name of the command.
pub(super) const CHECK: &str = "check";

#[derive(Debug, Clone, Copy, Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag that is given or not"
)]
pub struct CheckArgs {
    /// Compare only sizes and times, as the list gives them, without requests
    ///
    /// A row without a size fails as `Unverifiable`.
    #[arg(long, help_heading = "Check", conflicts_with = "strict")]
    quick: bool,

    /// Compare contents only with what the list says, without requests
    ///
    /// The list gives checksums or ETags, as the file of `--done` does. A row of which no checksum tells the content fails as
    /// `Unverifiable`.
    #[arg(long, help_heading = "Check", conflicts_with = "quick")]
    offline: bool,

    /// Count a file as wrong if its content cannot be verified
    ///
    /// Without this option, size and time decide where S3 has no checksum of the whole object.
    #[arg(long, help_heading = "Check")]
    strict: bool,

    /// Also report files that are of no row of the list
    ///
    /// They are not deleted, and not in the failed-keys CSV. It takes about 20 bytes of memory per row.
    #[arg(long, help_heading = "Check")]
    extra: bool,
}

impl From<CheckArgs> for Check {
    fn from(args: CheckArgs) -> Self {
        Self {
            depth: match (args.quick, args.offline) {
                (true, _) => CheckDepth::Quick,
                (false, true) => CheckDepth::Offline,
                (false, false) => CheckDepth::Content,
            },
            if_unverifiable: if args.strict {
                IfUnverifiable::Fail
            } else {
                IfUnverifiable::Accept
            },
            if_extra: if args.extra {
                IfExtra::Report
            } else {
                IfExtra::Ignore
            },
        }
    }
}

impl CheckArgs {
    /// A source of rows that takes requests, where there are to be none.
    pub(super) fn source_with_requests(self, cli: &Cli) -> Option<&'static str> {
        let is_remote = |list: &PathBuf| list.to_string_lossy().starts_with("s3://");
        if !self.offline {
            None
        } else if !cli.prefix.is_empty() {
            Some("'--prefix <PREFIX>'")
        } else if cli.keys.iter().any(is_remote) {
            Some("a list in S3")
        } else {
            None
        }
    }
}

/// The definition of the command, from that of the options.
pub(super) fn command(options: Command) -> Command {
    CheckArgs::augment_args(options)
        .name(CHECK)
        .about("Say which files of a list are missing or differ, and download nothing")
        .long_about(
            "Say which files of a list are missing or differ, and download nothing\n\n\
             It takes the options of a download. Rows without their right file are in the failed-keys CSV, which can be \
             downloaded.",
        )
        .after_help("")
        .after_long_help("")
}

impl Cli {
    /// Whether there is an option that makes no sense for a check.
    pub(super) fn option_of_downloads(&self) -> Option<&'static str> {
        let options = [
            (self.dry_run, "--dry-run"),
            (self.tar.is_some(), "--tar <FILE>"),
            (self.done.file.is_some(), "--done <FILE>"),
            (self.transfer.retry_failed.is_some(), "--retry-failed <N>"),
        ];
        let mut given = options.into_iter().filter(|(is_given, _)| *is_given);
        given.next().map(|(_, option)| option)
    }
}
