//! The output folder as people write it.

use std::path::PathBuf;

use super::error::UsageError;

/// Accepts a folder, or what can become one.
pub(super) fn checked_output(typed: PathBuf) -> Result<PathBuf, UsageError> {
    let text = typed.to_string_lossy();
    let shown = text.escape_debug();
    let error = |why: &str| Err(UsageError(format!("`--output {shown}`: {why}")));
    if text == "-" {
        return error(
            "files cannot be written to stdout: `--tar -` writes one archive to it, and `./-` is a folder of that name",
        );
    }
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    if !scheme.is_empty() && scheme.chars().all(char::is_alphanumeric) {
        return error("it is not a local folder, and s3pull writes to no other");
    }
    if text == "~" || text.starts_with("~/") {
        return error(
            "the shell has not expanded `~`: write `$HOME` instead, without single quotes",
        );
    }
    if typed.is_file() {
        return error("it is a file, not a folder");
    }
    Ok(typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        std::fs::write(&file, "").unwrap();
        for (typed, said) in [
            ("-", "`--tar -`"),
            ("s3://b/x", "not a local folder"),
            ("gs://b", "not a local folder"),
            ("~/x", "`$HOME`"),
            (file.to_str().unwrap(), "it is a file, not a folder"),
        ] {
            let message = checked_output(typed.into()).unwrap_err().to_string();
            assert!(
                message.contains("`--output ") && message.contains(said),
                "{message}"
            );
        }
        for typed in [
            ".",
            "./-",
            "./s3://b",
            "a b",
            "~x",
            folder.path().to_str().unwrap(),
        ] {
            assert_eq!(checked_output(typed.into()).unwrap(), PathBuf::from(typed));
        }
    }
}
