//! The command line: its options, its errors and the texts that are generated from it. Only `config` and `main` use it.

mod args;
mod aws;
mod check;
mod done;
mod elsewhere;
mod error;
mod pages;
mod retry;
mod transfer;
mod values;

use std::ffi::{OsStr, OsString};

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, CommandFactory, FromArgMatches, Subcommand};

use crate::options::{Check, IfExists};
use crate::source::{FilterKind, TypedFilter};
pub use args::Cli;
use check::CheckArgs;
pub use pages::Page;
pub use transfer::Transfer;
pub use values::ShardChoice;

/// What the command line asks for.
#[derive(Debug)]
pub enum Invocation {
    Download(Box<Cli>),
    Check(Box<Cli>, Check),
    Print(Page),
}

impl Invocation {
    /// Parses the arguments, the first of which is the program's name, and the environment.
    ///
    /// # Errors
    /// Those of `clap`, which include `--help` and `--version`.
    pub fn parse_from(args: impl IntoIterator<Item = OsString>) -> Result<Self, clap::Error> {
        let args: Vec<_> = args.into_iter().collect();
        let matches = command()
            .try_get_matches_from(&args)
            .map_err(|error| error::made_printable(error, &args, command))?;
        if let Some((check::CHECK, matches)) = matches.subcommand() {
            let args = CheckArgs::from_arg_matches(matches)?;
            let cli = cli_of(matches)?;
            if let Some(option) = cli.option_of_downloads() {
                return Err(command().error(
                    ErrorKind::ArgumentConflict,
                    format!("the argument '{option}' cannot be used with 'check', which downloads nothing"),
                ));
            }
            if let Some(source) = args.source_with_requests(&cli) {
                return Err(command().error(
                    ErrorKind::ArgumentConflict,
                    format!("the argument '--offline' cannot be used with {source}, which takes requests"),
                ));
            }
            return Ok(Self::Check(Box::new(cli), args.into()));
        }
        if matches.subcommand().is_some() {
            return Page::from_arg_matches(&matches).map(Self::Print);
        }
        cli_of(&matches).map(|cli| Self::Download(Box::new(cli)))
    }
}

fn command() -> Command {
    with_commands(options())
}

/// The definition of the options and of the commands.
fn with_commands(options: Command) -> Command {
    let check = check::command(options.clone());
    Page::augment_subcommands(options.subcommand(check))
}

/// The definition of the options, without the commands.
pub fn options() -> Command {
    Cli::command().mut_args(|arg| with_numbers(with_variable(arg)))
}

/// Names the argument's variable in `--help`, but not in `-h`, where the names would take up most of the space.
fn with_variable(arg: Arg) -> Arg {
    let Some(variable) = arg.get_env().map(OsStr::to_owned) else {
        return arg;
    };
    let help = arg.get_long_help().or(arg.get_help());
    let help = help.map(ToString::to_string).unwrap_or_default();
    let arg = arg
        .hide_env(true)
        .long_help(format!("{help}\n\n[env: {}]", variable.display()));
    // An empty variable counts as unset, since scripts and CI mean that by it.
    if std::env::var_os(variable).is_some_and(|value| value.is_empty()) {
        return arg.env(Resettable::Reset);
    }
    arg
}

/// A number below zero is a value that is refused, and not an option that is not known.
fn with_numbers(arg: Arg) -> Arg {
    let takes_values = arg.get_action().takes_values() && !arg.is_positional();
    arg.allow_negative_numbers(takes_values)
}

fn cli_of(matches: &ArgMatches) -> Result<Cli, clap::Error> {
    let mut cli = Cli::from_arg_matches(matches)?;
    // This cannot be declared to clap, since `--progress` from the environment does not conflict with `--quiet`.
    if cli.quiet && matches.value_source("progress") == Some(ValueSource::CommandLine) {
        return Err(command().error(
            ErrorKind::ArgumentConflict,
            "the argument '--quiet' cannot be used with '--progress <MODE>'",
        ));
    }
    cli.filters = filters(matches);
    if let Some(message) = without_meaning(&cli, matches) {
        return Err(command().error(ErrorKind::ArgumentConflict, message));
    }
    cli.words_for_retry = retry::words(&options(), matches);
    Ok(cli)
}

/// `--include` and `--exclude`, whose order matters across the two.
fn filters(matches: &ArgMatches) -> Vec<TypedFilter> {
    let of = |id: &str, kind| {
        let globs = matches.get_many::<String>(id).into_iter().flatten();
        let indices = matches.indices_of(id).into_iter().flatten();
        let filters = indices.zip(globs).map(move |(index, glob)| {
            let glob = glob.clone();
            (index, TypedFilter { kind, glob })
        });
        filters.collect::<Vec<_>>()
    };
    let mut filters = of("include", FilterKind::Include);
    filters.extend(of("exclude", FilterKind::Exclude));
    filters.sort_by_key(|(index, _)| *index);
    filters.into_iter().map(|(_, filter)| filter).collect()
}

/// What is wrong with an option that was typed beside `--tar`. One from the environment is for the runs that write files.
fn without_meaning(cli: &Cli, matches: &ArgMatches) -> Option<String> {
    let tar = cli.tar.as_deref()?;
    let is_stdout = tar.as_os_str() == "-";
    let has_shards = cli.tar_size.is_some() || cli.tar_count.is_some();
    let keeps_shards = cli.if_exists == IfExists::Skip && has_shards;
    let refused = [
        (
            "output",
            true,
            "the archive's own path is the argument of `--tar`",
        ),
        (
            "if_exists",
            !keeps_shards,
            "an archive is written anew, but for complete shards, which `skip` keeps",
        ),
        (
            "dry_run",
            true,
            "leave out `--tar` to see the paths, which are the same",
        ),
        (
            "done",
            true,
            "an archive counts as a whole; `--tar-index` lists what is in it",
        ),
        (
            "retry_failed",
            true,
            "its members are in the order of the list, which a row that is tried again would come out of",
        ),
        (
            "sync",
            is_stdout,
            "who reads the archive writes it to a disk",
        ),
        ("tar_index", is_stdout, "an index stands beside a file"),
        (
            "json",
            is_stdout,
            "stdout is the archive; `--events FILE` writes the events elsewhere",
        ),
    ];
    refused.into_iter().find_map(|(id, is_refused, why)| {
        let is_typed = matches.value_source(id) == Some(ValueSource::CommandLine);
        let name = id.replace('_', "-");
        (is_refused && is_typed).then(|| {
            format!(
                "`--{name}` cannot be used with `--tar {}`: {why}",
                tar.display()
            )
        })
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn parse(args: &[&str]) -> Result<Cli, clap::Error> {
        cli_of(&command().try_get_matches_from(args)?)
    }

    #[test]
    fn the_definition_of_the_options_is_valid() {
        command().debug_assert();
    }

    #[test]
    fn filters_keep_the_order_of_the_command_line() {
        let cli = parse(&[
            "s3pull",
            "-bb",
            "--exclude",
            "1",
            "--include=2",
            "-kx",
            "--exclude",
            "3",
            "--exclude=4",
            "--include",
            "5",
        ]);
        let filters = cli.unwrap().filters;
        let globs: Vec<_> = filters.iter().map(|filter| filter.glob.as_str()).collect();
        assert_eq!(globs, ["1", "2", "3", "4", "5"]);
        let is_include = |filter: &TypedFilter| filter.kind == FilterKind::Include;
        let kinds: Vec<_> = filters.iter().map(is_include).collect();
        assert_eq!(kinds, [false, true, false, false, true]);
    }

    #[test]
    fn every_option_has_a_help_heading() {
        for arg in Cli::command().get_arguments() {
            let id = arg.get_id().as_str();
            let is_general = ["bucket", "arguments"].contains(&id);
            assert_eq!(arg.get_help_heading().is_none(), is_general, "{id}");
        }
    }

    #[test]
    fn variables_are_named_after_their_options() {
        for arg in Cli::command().get_arguments() {
            let Some(variable) = arg.get_env().and_then(|name| name.to_str()) else {
                continue;
            };
            let name = arg.get_long().unwrap().replace('-', "_").to_uppercase();
            assert!(
                variable == format!("S3PULL_{name}") || variable == format!("AWS_{name}"),
                "{variable}"
            );
        }
    }
}
