//! Shell completions and the man page, both generated from the definition of the options.

use std::collections::BTreeSet;
use std::io::{self, Write};

use clap::builder::{PossibleValue, StyledStr};
use clap::{Arg, Command, Subcommand};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

// A text that is printed instead of downloading. (A doc comment here would become the help of s3pull itself.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Page {
    /// Print completions for a shell
    Completions {
        /// Shell to print completions for
        shell: Shell,
    },
    /// Print the man page
    Man,
}

impl Page {
    /// Generates the text from the definition of the options.
    ///
    /// # Errors
    /// None in practice, since it is written to memory.
    pub fn text(self, options: Command) -> io::Result<String> {
        let name = options.get_name().to_owned();
        let mut bytes = Vec::new();
        match self {
            // With commands in the definition, fish would not complete values of options, nor anything after a key. So
            // the commands are added by hand.
            Self::Completions { shell: Shell::Fish } => {
                let commands = super::with_commands(Command::new("s3pull"));
                clap_complete::generate(Shell::Fish, &mut { options }, name, &mut bytes);
                write_fish_commands(&commands, &mut bytes)?;
            }
            Self::Completions { shell } => {
                let mut command = super::with_commands(options);
                clap_complete::generate(shell, &mut command, name, &mut bytes);
            }
            Self::Man => write_man_page(super::with_commands(options), &mut bytes)?,
        }
        String::from_utf8(bytes).map_err(io::Error::other)
    }
}

/// Commands are completed as the first argument only, which is where they are commands, and their own options and values
/// after it.
fn write_fish_commands(commands: &Command, to: &mut Vec<u8>) -> io::Result<()> {
    let quoted = |text: Option<&StyledStr>| {
        let text = text.map(ToString::to_string).unwrap_or_default();
        format!("'{}'", text.replace('\'', "\\'"))
    };
    for command in commands.get_subcommands() {
        let (name, about) = (command.get_name(), quoted(command.get_about()));
        writeln!(
            to,
            "complete -c s3pull -n __fish_is_first_arg -f -a {name} -d {about}"
        )?;
        for (option, help) in flags(command) {
            let help = quoted(help);
            writeln!(
                to,
                "complete -c s3pull -n \"__fish_seen_subcommand_from {name}\" -l {option} -d {help}"
            )?;
        }
        for arg in command.get_positionals() {
            let values = arg.get_possible_values();
            let names: Vec<_> = values.iter().map(PossibleValue::get_name).collect();
            writeln!(
                to,
                "complete -c s3pull -n \"__fish_seen_subcommand_from {name}\" -f -a \"{}\"",
                names.join(" ")
            )?;
        }
    }
    Ok(())
}

/// The options of a command that take no value, each with its help.
fn flags(command: &Command) -> impl Iterator<Item = (&str, Option<&StyledStr>)> {
    command
        .get_arguments()
        .filter(|arg| !arg.get_action().takes_values())
        .filter_map(|arg| Some((arg.get_long()?, arg.get_help())))
}

/// Variables that stand for no option of ours, and what they say.
const VARIABLES: [(&str, &str); 5] = [
    (
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN",
        "Credentials. All other sources that the AWS CLI knows are honoured too.",
    ),
    (
        "AWS_PROFILE, AWS_REGION, AWS_CONFIG_FILE, AWS_SHARED_CREDENTIALS_FILE",
        "The profile, the region and the configuration files, as for the AWS CLI.",
    ),
    (
        "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL",
        "The URL of the server, if `--endpoint-url` is not given.",
    ),
    (
        "HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY",
        "Proxies, and the hosts that are reached without one. Lower case works as well.",
    ),
    (
        "S3PULL_SHARDS",
        "The number of shards for `--shard auto` under Kubernetes and AWS Batch.",
    ),
];

const FILES: [(&str, &str); 4] = [
    (
        "s3pull-failed.csv",
        "The rows that failed, unless `--failed` names another file. Pass it to `--keys` to retry them.",
    ),
    (
        "s3pull-failed.csv.incomplete",
        "The failed rows of a run that could not read its list to the end.",
    ),
    (
        ".s3pull-NAME.part, .s3pull-NAME.journal",
        "An object that is being downloaded, and its finished parts. The next run resumes from them; without one they can be removed.",
    ),
    (
        "~/.aws/config, ~/.aws/credentials",
        "The configuration files of the AWS CLI.",
    ),
];

/// A section of terms, each with a text.
fn terms(roff: &mut Roff, heading: &str, terms: impl IntoIterator<Item = (String, String)>) {
    roff.control("SH", [heading]);
    for (term, text) in terms {
        roff.control("TP", []);
        roff.text([bold(term)]);
        roff.text([roman(text)]);
    }
}

/// The formats of `--keys-format`.
fn formats(command: &Command) -> Vec<(String, String)> {
    let arg = command
        .get_arguments()
        .find(|arg| arg.get_id() == "keys_format");
    let values = arg.map(Arg::get_possible_values).unwrap_or_default();
    let text = |value: &PossibleValue| {
        value
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default()
    };
    let term = |value: &PossibleValue| (value.get_name().to_owned(), text(value));
    values.iter().map(term).collect()
}

/// The variables that stand for options, then the others.
fn variables(command: &Command) -> Vec<(String, String)> {
    let of_option = |arg: &Arg| {
        let name = arg.get_env()?.to_str()?.to_owned();
        Some((name, format!("The default of `--{}`.", arg.get_long()?)))
    };
    let others = VARIABLES.map(|(name, text)| (name.to_owned(), text.to_owned()));
    command
        .get_arguments()
        .filter_map(of_option)
        .chain(others)
        .collect()
}

fn write_man_page(mut command: Command, to: &mut Vec<u8>) -> io::Result<()> {
    // By default the library repeats every option in the usage line.
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let appendix = command.get_after_long_help().map(ToString::to_string);
    let subcommands: Vec<_> = command.get_subcommands().cloned().collect();
    let (formats, variables) = (formats(&command), variables(&command));
    let options: BTreeSet<_> = flags(&command)
        .map(|(option, _)| option.to_owned())
        .collect();
    let version = command.get_version().unwrap_or_default().to_owned();
    // The field must not be empty, and only some builds know their date.
    let man = Man::new(command.override_usage(usage))
        .source("s3pull")
        .date(version);
    man.render_title(to)?;
    man.render_name_section(to)?;
    man.render_synopsis_section(to)?;
    man.render_description_section(to)?;
    man.render_options_section(to)?;

    // The library's own section refers to one man page per command, which do not exist.
    let mut roff = Roff::default();
    let text = |help: Option<&StyledStr>| help.map(ToString::to_string).unwrap_or_default();
    let commands = subcommands.iter().flat_map(|subcommand| {
        let name = subcommand.get_name();
        let own = flags(subcommand).filter(|(option, _)| !options.contains(*option));
        let own = own.map(move |(option, help)| (format!("s3pull {name} --{option}"), text(help)));
        let about = text(subcommand.get_about());
        std::iter::once((usage_of(subcommand), about)).chain(own)
    });
    terms(&mut roff, "COMMANDS", commands);
    terms(&mut roff, "KEY LIST FORMATS", formats);
    terms(&mut roff, "ENVIRONMENT", variables);
    let files = FILES.map(|(name, text)| (name.to_owned(), text.to_owned()));
    terms(&mut roff, "FILES", files);
    // Line breaks are kept; the library would join the lines into one paragraph.
    for section in appendix.iter().flat_map(|text| text.split("\n\n")) {
        let (heading, lines) = section.split_once('\n').unwrap_or((section, ""));
        let heading = heading.trim_end_matches(':').to_uppercase();
        roff.control("SH", [heading.as_str()]);
        roff.control("nf", []);
        for line in lines.lines() {
            roff.text([roman(line.trim_start())]);
        }
        roff.control("fi", []);
    }
    roff.to_writer(to)?;

    // A bare backtick would be shown as an opening quotation mark.
    let page = String::from_utf8_lossy(to).replace('`', "\\(ga");
    *to = page.into_bytes();
    Ok(())
}

/// The usage of a command, such as `s3pull completions SHELL`.
fn usage_of(subcommand: &Command) -> String {
    let positionals = subcommand.get_positionals().filter_map(|arg| {
        let names = arg.get_value_names()?;
        Some(names.join(" "))
    });
    ["s3pull".to_owned(), subcommand.get_name().to_owned()]
        .into_iter()
        .chain(positionals)
        .collect::<Vec<_>>()
        .join(" ")
}
