//! The command that retries failed rows: the options as they were typed, with the failed-keys CSV as the list.

use std::fmt::Write;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use super::args::{Cli, LIST};
use crate::options::DEFAULT_FAILED;
use crate::printable::printable;

impl Cli {
    /// The command that retries the rows of the CSV `failed`: the options as they were typed, with that CSV as the list.
    pub fn retry_command(&self, failed: &Path) -> String {
        let failed_name = failed.to_string_lossy();
        let mut words = self.words_for_retry.clone();
        // `-` alone would be stdin, and a list in S3 is not a file.
        let list = if failed_name == "-" || failed_name.starts_with("s3://") {
            &format!("./{failed_name}")
        } else {
            &*failed_name
        };
        words.extend(option("--keys", list));
        // The default name for a shard depends on `--shard`, which the retry does not have.
        if self.failed.is_none() && failed != Path::new(DEFAULT_FAILED) {
            words.extend(option("--failed", &failed_name));
        }
        words.join(" ")
    }
}

/// The options as they were typed, except those that describe the old lists: the CSV contains whole keys, and only those
/// of this run.
pub(super) fn words(options: &Command, matches: &ArgMatches) -> Vec<String> {
    let mut words = vec!["s3pull".to_owned()];
    for arg in options.get_arguments() {
        let id = arg.get_id().as_str();
        let known = matches.try_contains_id(id).unwrap_or(false);
        if !known
            || describes_lists(arg)
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
                    let value = value.to_string_lossy();
                    if id == "tar" {
                        words.extend(option(&flag, &other_archive(&value)));
                    } else {
                        words.extend(option(&flag, &value));
                    }
                }
            }
        }
    }
    words
}

/// The archive for what is retried: the first one stays as it is.
fn other_archive(path: &str) -> String {
    let name_start = path.rfind('/').map_or(0, |slash| slash + 1);
    let (folder, name) = path.split_at(name_start);
    match name {
        "-" => path.to_owned(),
        name => format!("{folder}retry-{name}"),
    }
}

/// Whether the argument describes the lists: those under their heading do, and so do the keys themselves.
fn describes_lists(arg: &Arg) -> bool {
    arg.is_positional() || arg.get_help_heading() == Some(LIST)
}

/// An option and its value, joined into one word if the value would otherwise be read as an option.
fn option(flag: &str, value: &str) -> Vec<String> {
    let quoted = shell_quoted(value);
    if value.starts_with('-') && value != "-" {
        return vec![format!("{flag}={quoted}")];
    }
    vec![flag.to_owned(), quoted]
}

/// Quotes `word` for a shell, if it needs quotes: so that it is the same word after what would act on a terminal in it is
/// escaped, too.
fn shell_quoted(word: &str) -> String {
    if printable(word) != word {
        return dollar_quoted(word);
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Quotes `word` as `$'…'` (POSIX.1-2024, 2.2.4), in which bytes can be written as octal numbers.
fn dollar_quoted(word: &str) -> String {
    let mut quoted = "$'".to_owned();
    for byte in word.bytes() {
        match byte {
            b'\'' | b'\\' => quoted.extend(['\\', byte.into()]),
            b' '..=b'~' => quoted.push(byte.into()),
            byte => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\{byte:03o}");
            }
        }
    }
    quoted + "'"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::parse;

    #[test]
    fn the_retry_command_repeats_the_typed_options_with_the_csv_as_list() {
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
    fn the_retry_of_a_shard_drops_the_shard_and_keeps_its_csv() {
        let cli = parse(&["s3pull", "-bb", "--shard", "1/4", "a", "b"]).unwrap();
        assert_eq!(
            cli.retry_command(Path::new("f-1-of-4.csv")),
            "s3pull --bucket b --keys f-1-of-4.csv --failed f-1-of-4.csv"
        );
    }

    #[test]
    fn a_retry_does_not_replace_the_archive() {
        assert_eq!(other_archive("-"), "-");
        assert_eq!(other_archive("a.tar"), "retry-a.tar");
        assert_eq!(other_archive("d/e/a.tar"), "d/e/retry-a.tar");
        let cli = parse(&["s3pull", "-bb", "--tar", "d/a.tar", "k"]).unwrap();
        assert_eq!(
            cli.retry_command(Path::new("s3pull-failed.csv")),
            "s3pull --bucket b --tar d/retry-a.tar --keys s3pull-failed.csv"
        );
    }

    #[test]
    fn values_that_look_like_options_stay_values() {
        assert_eq!(option("--output", "-o"), ["--output=-o"]);
        assert_eq!(option("--output", "-o x"), ["--output='-o x'"]);
        assert_eq!(option("--output", "o"), ["--output", "o"]);
    }

    #[test]
    fn shell_quoting_handles_quotes_and_empty_words() {
        assert_eq!(shell_quoted("a-b/c.csv"), "a-b/c.csv");
        assert_eq!(shell_quoted("it's"), r"'it'\''s'");
        assert_eq!(shell_quoted(""), "''");
        assert_eq!(shell_quoted("a\n'ü\\"), r"$'a\012\'\303\274\\'");
    }

    #[test]
    fn a_csv_called_like_another_source_is_a_file() {
        for name in ["-", "s3://b/k"] {
            let cli = parse(&["s3pull", "-bb", "--failed", name]).unwrap();
            assert_eq!(
                cli.retry_command(Path::new(name)),
                format!("s3pull --bucket b --failed {name} --keys ./{name}")
            );
        }
    }
}
