//! The files that the run writes itself: no two of them may be one, and none but the failed-keys CSV a key list.

use std::path::{Path, PathBuf};

use super::error::UsageError;
use super::tar::TarOptions;
use crate::cli::Cli;
use crate::sink::files::{is_one_file, is_stdin, is_stdout};
use crate::source::ListSource;

/// A file that the run writes, and the option that names it.
struct OwnFile {
    option: &'static str,
    path: PathBuf,
}

/// Checks the files that the command line names; `failed` is the failed-keys CSV.
///
/// # Errors
/// When two options name one file, or one of them a key list that would be lost.
pub(super) fn check(
    cli: &Cli,
    failed: &Path,
    tar: Option<&TarOptions>,
    sources: &[ListSource],
) -> Result<(), UsageError> {
    let files = own_files(cli, failed, tar);
    // The failed-keys CSV is put in place once the list is read, and a list is never an archive.
    let mut spoils = files
        .iter()
        .filter(|file| !matches!(file.option, "--failed" | "--tar" | "--output"));
    if let Some(file) = spoils.find(|file| is_list(&file.path, sources)) {
        return Err(UsageError(format!(
            "`{}` is a key list of this run, so `{}` must name another file",
            file.path.display(),
            file.option
        )));
    }
    for (n, file) in files.iter().enumerate() {
        for other in &files[..n] {
            if file.option != other.option && is_one_file(&file.path, &other.path) {
                return Err(are_one(file, other.option));
            }
        }
    }
    let on_stdout = match &cli.tar {
        Some(path) if path.as_os_str() == "-" => Some("--tar -"),
        _ => cli.json.then_some("--json"),
    };
    match (on_stdout, files.iter().find(|file| is_stdout(&file.path))) {
        (Some(option), Some(file)) => Err(are_one(file, option)),
        _ => Ok(()),
    }
}

fn are_one(file: &OwnFile, option: &str) -> UsageError {
    UsageError(format!(
        "`{} {}` and `{option}` name one file: give each its own",
        file.option,
        file.path.display()
    ))
}

fn own_files(cli: &Cli, failed: &Path, tar: Option<&TarOptions>) -> Vec<OwnFile> {
    let own = |option, path: &Path| OwnFile {
        option,
        path: path.to_owned(),
    };
    let mut files = vec![own("--failed", failed)];
    for (option, path) in [
        ("--done", &cli.done.file),
        ("--events", &cli.events),
        ("--log", &cli.log),
    ] {
        files.extend(path.iter().map(|path| own(option, path)));
    }
    match tar {
        Some(tar) => {
            let (names, of_index) = (tar.archive.names(), tar.archive.names_of_index());
            files.extend(names.iter().map(|path| own("--tar", path)));
            files.extend(of_index.iter().map(|path| own("--tar-index", path)));
        }
        // What is there already is not a file.
        None if !cli.output.exists() => files.push(own("--output", &cli.output)),
        None => {}
    }
    files
}

fn is_list(path: &Path, sources: &[ListSource]) -> bool {
    sources.iter().any(|source| match source {
        ListSource::File(list) => is_one_file(list, path),
        ListSource::Stdin => is_stdin(path),
        ListSource::Prefix(_) | ListSource::Remote(_) | ListSource::Arguments(_) => false,
    })
}
