//! `--done` and `--skip-done`.

use std::path::Path;

use super::error::UsageError;
use crate::cli::Cli;
use crate::options::DoneOptions;

/// The file for what is done, if the command line names one.
///
/// # Errors
/// When it is that of `--failed`, `--events` or `--log`, too.
pub(super) fn done(cli: &Cli, failed: &Path) -> Result<Option<DoneOptions>, UsageError> {
    let Some(path) = &cli.done.file else {
        return Ok(None);
    };
    let others = [
        ("--failed", Some(failed)),
        ("--events", cli.events.as_deref()),
        ("--log", cli.log.as_deref()),
    ];
    for (option, other) in others {
        if other == Some(path) {
            return Err(UsageError(format!(
                "`--done {}` and `{option}` name one file: give each its own",
                path.display()
            )));
        }
    }
    Ok(Some(DoneOptions {
        path: path.clone(),
        skips: cli.done.skips,
    }))
}
