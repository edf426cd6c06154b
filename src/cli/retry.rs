//! The command that tries failed rows again: what was typed, with the failed-keys CSV as the list.

use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};

use super::args::Cli;
use crate::options::DEFAULT_FAILED;

impl Cli {
    /// The command that tries the rows of `failed` again: what was typed, with that CSV as the list.
    pub fn retry_command(&self, failed: &Path) -> String {
        let failed_name = failed.to_string_lossy();
        let mut words = self.words_for_retry.clone();
        words.extend(option("--keys", &failed_name));
        // A shard's own name comes from `--shard`, which the retry does not have.
        if self.failed.is_none() && failed != Path::new(DEFAULT_FAILED) {
            words.extend(option("--failed", &failed_name));
        }
        words.join(" ")
    }
}

/// What was typed, but for the options that describe the old lists: the CSV holds whole keys, and this run's alone.
pub fn words(options: &Command, matches: &ArgMatches) -> Vec<String> {
    const OF_THE_LISTS: [&str; 6] = [
        "arguments",
        "keys",
        "keys_format",
        "keys_columns",
        "key_prefix",
        "shard",
    ];
    let mut words = vec!["s3pull".to_owned()];
    for arg in options.get_arguments() {
        let id = arg.get_id().as_str();
        let known = matches.try_contains_id(id).unwrap_or(false);
        if !known
            || OF_THE_LISTS.contains(&id)
            || matches.value_source(id) != Some(ValueSource::CommandLine)
        {
            continue;
        }
        let flag = format!("--{}", arg.get_long().unwrap_or(id));
        match arg.get_action() {
            ArgAction::Count => {
                words.extend(std::iter::repeat_n(flag, matches.get_count(id).into()));
            }
            ArgAction::SetTrue => words.push(flag),
            _ => {
                for value in matches.get_raw(id).into_iter().flatten() {
                    words.extend(option(&flag, &value.to_string_lossy()));
                }
            }
        }
    }
    words
}

/// An option and its value, in one word where the value would be taken for an option.
fn option(flag: &str, value: &str) -> Vec<String> {
    let quoted = shell_quoted(value);
    if value.starts_with('-') && value != "-" {
        return vec![format!("{flag}={quoted}")];
    }
    vec![flag.to_owned(), quoted]
}

/// `word` as a POSIX shell takes it.
fn shell_quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::parse;

    #[test]
    fn retry_command_keeps_what_was_typed_and_takes_the_csv_as_list() {
        let cli = parse(&[
            "s3pull",
            "-bmy",
            "-k",
            "a.txt",
            "-o",
            "my out",
            "-j8",
            "-vv",
            "--key-prefix=p/",
            "--strip-prefix=p/",
            "--no-sign-request",
        ]);
        let expected = "s3pull --bucket my --output 'my out' --strip-prefix p/ --concurrency 8 --verbose --verbose --no-sign-request --keys s3pull-failed.csv";
        assert_eq!(
            cli.unwrap().retry_command(Path::new("s3pull-failed.csv")),
            expected
        );
    }

    #[test]
    fn retry_of_a_shard_needs_no_shard_and_keeps_its_csv() {
        let cli = parse(&["s3pull", "-bb", "--shard", "1/4", "a", "b"]).unwrap();
        assert_eq!(
            cli.retry_command(Path::new("f-1-of-4.csv")),
            "s3pull --bucket b --keys f-1-of-4.csv --failed f-1-of-4.csv"
        );
    }

    #[test]
    fn values_that_look_like_options_stay_values() {
        assert_eq!(option("--output", "-o"), ["--output=-o"]);
        assert_eq!(option("--output", "-o x"), ["--output='-o x'"]);
        assert_eq!(option("--output", "o"), ["--output", "o"]);
    }

    #[test]
    fn shell_quoting_survives_quotes_and_blanks() {
        assert_eq!(shell_quoted("a-b/c.csv"), "a-b/c.csv");
        assert_eq!(shell_quoted("it's"), r"'it'\''s'");
        assert_eq!(shell_quoted(""), "''");
    }
}
