//! Shell completions and the man page, both generated from the definition of the options.

use std::io;

use clap::{Command, Subcommand};
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
            // With commands in the definition, fish would not complete values of options, nor anything after a key.
            Self::Completions { shell: Shell::Fish } => {
                clap_complete::generate(Shell::Fish, &mut { options }, name, &mut bytes);
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

fn write_man_page(mut command: Command, to: &mut Vec<u8>) -> io::Result<()> {
    // By default the library repeats every option in the usage line.
    let usage = command.render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ").to_owned();
    let appendix = command.get_after_long_help().map(ToString::to_string);
    let subcommands: Vec<_> = command.get_subcommands().cloned().collect();
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
    roff.control("SH", ["COMMANDS"]);
    for subcommand in &subcommands {
        let about = subcommand.get_about().map(ToString::to_string);
        roff.control("TP", []);
        roff.text([bold(usage_of(subcommand))]);
        roff.text([roman(about.unwrap_or_default())]);
    }
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
