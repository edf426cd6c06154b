//! The command `check`: the options of a download, and those of its own.

use clap::{Args, Command};

use super::args::Cli;
use crate::options::{Check, CheckDepth, IfExtra, IfUnverifiable};

/// The name of the command.
pub const CHECK: &str = "check";

#[derive(Debug, Clone, Copy, Args)]
pub struct CheckArgs {
    /// Compare only sizes and times, as the list gives them, without requests
    ///
    /// A row without a size fails as `Unverifiable`.
    #[arg(long, help_heading = "Check", conflicts_with = "strict")]
    quick: bool,

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
            depth: if args.quick {
                CheckDepth::Quick
            } else {
                CheckDepth::Content
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

/// The definition of the command, from that of the options.
pub fn command(options: Command) -> Command {
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
            (self.transfer.retry_failed.is_some(), "--retry-failed <N>"),
        ];
        let mut given = options.into_iter().filter(|(is_given, _)| *is_given);
        given.next().map(|(_, option)| option)
    }
}
