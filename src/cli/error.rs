//! Makes the errors of `clap` safe to print, and names the environment variable that a bad value came from.

use std::ffi::OsString;

use clap::Command;
use clap::error::{ContextKind, ContextValue};

use super::elsewhere::lead_here;
use crate::printable::printable;

/// Returns `error` without characters that act on a terminal: `clap` repeats what was typed without escaping it.
pub(super) fn made_printable(
    error: clap::Error,
    args: &[OsString],
    command: fn() -> Command,
) -> clap::Error {
    let printable = args
        .iter()
        .map(|arg| printable(&arg.to_string_lossy()).into_owned());
    let again = command().try_get_matches_from(printable);
    let mut error = again.err().unwrap_or(error);
    lead_here(&mut error);
    with_origin(error, command())
}

/// Adds a tip with the variable's name if the invalid value comes from the environment.
fn with_origin(mut error: clap::Error, mut command: Command) -> clap::Error {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let (option, value) = (
        context(ContextKind::InvalidArg),
        context(ContextKind::InvalidValue),
    );
    command.build();
    let variable = command
        .get_arguments()
        .filter(|arg| arg.to_string() == option)
        .find_map(|arg| arg.get_env()?.to_str())
        .filter(|name| std::env::var_os(name).is_some_and(|set| set == *value));
    if let Some(variable) = variable {
        let tip = format!("the value comes from the environment variable {variable}");
        let shown = printable(&value).into_owned();
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
        error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
    }
    error
}
