//! `s5cmd-run`: the commands that `s5cmd run` reads, one per line, of which `cp s3://bucket/key FILE` is a row.
//!
//! Words are split like those of a shell (`command/run.go`, go-shellquote). The destination is a path below the output folder;
//! one that ends in `/` is a folder, in which the file gets the last part of the key as its name.

use super::columns::{Columns, KeyRules, Value, excerpt, utf8};
use super::format::{Emit, Format, List, ListProblem};
use super::lines;
use super::sample::{Recognised, Sample};
use crate::row::{Entry, UnusableRow};

pub static FORMAT: Format = Format {
    name: "s5cmd-run",
    help: "The commands of `s5cmd run`: `cp s3://bucket/key FILE` per line",
    magic: b"",
    waits_for_rows: false,
    recognise,
    read,
};

/// Options of `cp` that take a value.
const WITH_VALUE: [&str; 22] = [
    "-c",
    "--concurrency",
    "-p",
    "--part-size",
    "--storage-class",
    "--sse",
    "--sse-kms-key-id",
    "--acl",
    "--cache-control",
    "--expires",
    "--exclude",
    "--include",
    "--source-region",
    "--destination-region",
    "--version-id",
    "--content-type",
    "--content-encoding",
    "--content-disposition",
    "--metadata",
    "--metadata-directive",
    "--numworkers",
    "--endpoint-url",
];

/// Those that take none.
const ALONE: [&str; 16] = [
    "-n",
    "--no-clobber",
    "-s",
    "--if-size-differ",
    "-u",
    "--if-source-newer",
    "-f",
    "--flatten",
    "--no-follow-symlinks",
    "--force-glacier-transfer",
    "--ignore-glacier-warnings",
    "--raw",
    "--show-progress",
    "--sp",
    "--json",
    "--stat",
];

fn recognise(sample: &Sample<'_>) -> Recognised {
    let mut commands = sample.rows().map(<[u8]>::trim_ascii).peekable();
    if !commands
        .peek()
        .is_some_and(|line| is_comment(line) || is_command(line))
    {
        return Recognised::No;
    }
    match commands.find(|line| !is_comment(line)) {
        Some(line) if is_command(line) => {
            Recognised::Yes("its first line is a command of `s5cmd run`")
        }
        None if !sample.is_final => Recognised::Undecided,
        Some(_) | None => Recognised::No,
    }
}

fn is_comment(line: &[u8]) -> bool {
    line.is_empty() || line.starts_with(b"#")
}

/// A key hardly begins so.
fn is_command(line: &[u8]) -> bool {
    line.starts_with(b"cp ") && memchr::memmem::find(line, b"s3://").is_some()
}

fn read(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), ListProblem> {
    let (keys, ending) = (list.keys, list.line_ending);
    lines::for_each(
        &mut *list.input,
        ending,
        lines::MAX_LINE,
        |line, text| match text.map(<[u8]>::trim_ascii) {
            Ok(text) if is_comment(text) => {}
            Ok(text) => emit(line, entry(text, keys)),
            Err(error) => emit(line, Err(error)),
        },
    )?;
    Ok(())
}

fn entry(line: &[u8], keys: KeyRules<'_>) -> Result<Entry, UnusableRow> {
    let text = utf8(line)?;
    let not_a_download = |why: &str| {
        let command = excerpt(line);
        UnusableRow::invalid(format!("{why}: `{command}`"))
    };
    let words = words(text).ok_or_else(|| not_a_download("a quote or an escape is not closed"))?;
    let mut words = words.iter().map(String::as_str);
    if words.next() != Some("cp") {
        return Err(not_a_download("only `cp` is a download"));
    }
    let (mut version_id, mut is_raw, mut operands) = ("", false, Vec::new());
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        if word == "--" {
            operands.extend(words.by_ref());
        } else if !word.starts_with('-') {
            operands.push(word);
        } else if ALONE.contains(&name) {
            is_raw |= name == "--raw";
        } else if WITH_VALUE.contains(&name) {
            let value = if word.contains('=') {
                value
            } else {
                words.next().unwrap_or_default()
            };
            if name == "--version-id" {
                version_id = value;
            }
        } else {
            return Err(not_a_download(&format!(
                "`{name}` is not an option of `cp` that is known"
            )));
        }
    }
    let [source, dest] = operands[..] else {
        return Err(not_a_download("`cp` needs a source and a destination"));
    };
    let Some((_, key)) = source
        .strip_prefix("s3://")
        .and_then(|uri| uri.split_once('/'))
    else {
        return Err(not_a_download("its source is not `s3://bucket/key`"));
    };
    if dest.starts_with("s3://") {
        return Err(not_a_download("its destination is not a file"));
    }
    if !is_raw && key.contains(['*', '?']) {
        let before = key.split(['*', '?']).next().unwrap_or_default();
        let folder = before.rfind('/').map_or("", |end| &before[..=end]);
        let cure = match key.strip_suffix('*') {
            Some(prefix) if prefix == before => format!("list it with `--prefix '{prefix}'`"),
            _ => format!("list it with `--prefix '{folder}'` and filter with `--include`"),
        };
        return Err(not_a_download(&format!(
            "wildcards are not expanded: {cure}"
        )));
    }
    let dest = dest.strip_prefix("./").unwrap_or(dest);
    let name = key.rsplit('/').next().unwrap_or_default();
    let dest = match dest {
        "" | "." => name.to_owned(),
        folder if folder.ends_with('/') => format!("{folder}{name}"),
        file => file.to_owned(),
    };
    keys.uri_or(
        source,
        &Columns {
            version_id: Value::Text(version_id),
            dest: Value::Text(&dest),
            ..Columns::default()
        },
    )
}

/// Splits a line into words: quotes and backslashes as in a shell, nothing expanded. `None` if it ends within a quote.
fn words(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('$' | '`' | '"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use crate::source::testing::{entries, rows};

    #[test]
    fn a_command_gives_key_version_and_destination() {
        for (line, key, dest) in [
            ("cp s3://b/p/k.txt out.txt", "p/k.txt", "out.txt"),
            ("cp s3://b/p/k.txt ./dir/", "p/k.txt", "dir/k.txt"),
            ("  cp  s3://b/p/k.txt  .  ", "p/k.txt", "k.txt"),
            ("cp 's3://b/a b' \"c d/\"", "a b", "c d/a b"),
            ("cp s3://b/a\\ b 'it'\\''s'", "a b", "it's"),
            ("cp \"s3://b/\\\"q\\\" \\n\" x", "\"q\" \\n", "x"),
            (
                "cp -n --if-size-differ -c 5 --part-size=10 s3://b/k d/",
                "k",
                "d/k",
            ),
            ("cp --raw 's3://b/k*?' d", "k*?", "d"),
            ("cp s3://b/#1 d", "#1", "d"),
        ] {
            let list = format!("# a comment\n\n{line}\n");
            let found = entries(list.as_bytes(), "auto");
            assert_eq!(
                found.len(),
                1,
                "{line}: {:?}",
                rows(list.as_bytes(), "auto", "")
            );
            assert_eq!(
                (found[0].key.as_str(), found[0].dest.as_deref()),
                (key, Some(dest)),
                "{line}"
            );
        }
        let found = entries(b"cp --version-id v1 s3://b/k d\n", "auto");
        assert_eq!(found[0].version_id.as_deref(), Some("v1"));
    }

    #[test]
    fn what_is_not_the_download_of_one_object_fails_with_the_cure() {
        for (line, said) in [
            ("cp s3://b/p/* d/", "`--prefix 'p/'`"),
            ("cp s3://b/p/a* d/", "`--prefix 'p/a'`"),
            (
                "cp s3://b/p/*.gz d/",
                "`--prefix 'p/'` and filter with `--include`",
            ),
            ("cp file s3://b/k", "its source is not"),
            ("cp s3://b/k s3://b/l", "its destination is not a file"),
            ("mv s3://b/k d", "only `cp`"),
            ("cp s3://b/k", "a source and a destination"),
            ("cp 's3://b/k d", "not closed"),
            ("cp --frobnicate s3://b/k d", "`--frobnicate`"),
            ("cp s3://other/k d", "WrongBucket"),
        ] {
            let found = rows(line.as_bytes(), "s5cmd-run", "");
            let message = found[0].as_ref().unwrap_err();
            assert!(message.contains(said), "{line}: {message}");
        }
        // A list of keys may begin with a `#`.
        assert_eq!(rows(b"#1\nb\n", "auto", "")[0], Ok("#1".to_owned()));
    }
}
