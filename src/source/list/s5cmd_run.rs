//! `s5cmd-run`: the commands that `s5cmd run` reads, one per line, of which `cp s3://bucket/key FILE` is a row.
//!
//! Words are split like those of a shell (`command/run.go`, go-shellquote). The destination is a path below the output folder;
//! one that ends in `/` is a folder, in which the file gets the last part of the key as its name.
//!
//! A `*` at the end of the source stands for all objects that begin so: they are listed, and each has a path below the
//! destination, which is a folder then. It is the key without what comes before the last `/` ahead of the `*`, or with `--flatten` its
//! last part (`command/cp.go`, `prepareLocalDestination`; `storage/url/url.go`, `parseBatch`).

use super::bucket::split_uri;
use super::columns::{Columns, KeyRules, Value, excerpt, utf8};
use super::format::{Asks, Emit, Format, List, ListProblem};
use super::lines;
use super::sample::{Recognised, Sample};
use super::shell_words::words;
use crate::row::{Entry, UnusableRow};
use crate::source::prefix::{self, Listing};

pub(super) static FORMAT: Format = Format {
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
    let (keys, ending, asks) = (list.keys, list.line_ending, list.asks);
    let mut ended = Ok(());
    lines::for_each(
        &mut *list.input,
        ending,
        lines::MAX_LINE,
        |line, text| match text.map(<[u8]>::trim_ascii) {
            Ok(text) if is_comment(text) || ended.is_err() => {}
            Ok(text) => match command(text, keys) {
                Ok(Command::Object(entry)) => emit(line, Ok(*entry)),
                Ok(Command::Objects(objects)) => ended = objects.list(line, keys, asks, emit),
                Err(unusable) => emit(line, Err(unusable)),
            },
            Err(error) => emit(line, Err(error)),
        },
    )?;
    ended
}

/// What a line downloads.
enum Command<'a> {
    Object(Box<Entry>),
    Objects(Objects<'a>),
}

/// All objects below a prefix.
struct Objects<'a> {
    bucket: String,
    prefix: String,
    /// The folder below which they go, with a `/` at its end, or empty.
    folder: String,
    is_flat: bool,
    text: &'a [u8],
}

impl Objects<'_> {
    /// Lists them, and passes each to `emit`; folders' markers are passed over, as by s5cmd.
    fn list(
        self,
        line: u64,
        keys: KeyRules<'_>,
        asks: Option<Asks<'_>>,
        emit: Emit<'_>,
    ) -> Result<(), ListProblem> {
        let Some(asks) = asks else {
            let text = excerpt(self.text);
            return Err(ListProblem::Unreadable(format!(
                "`{text}` has to be listed, and no requests are made"
            )));
        };
        let pages = (asks.list)(Listing {
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
        });
        let mut n_objects = 0_u64;
        let each = |_, listed: Result<Entry, UnusableRow>| {
            let row = match listed {
                Ok(entry) if entry.key.ends_with('/') => return,
                Ok(entry) => Ok(Entry {
                    bucket: keys.bucket.named(&self.bucket),
                    dest: Some(self.dest(&entry.key)),
                    ..entry
                }),
                Err(unusable) => Err(unusable),
            };
            n_objects += 1;
            emit(line, row);
        };
        prefix::read(pages, each, asks.send_rows)
            .map_err(|failure| ListProblem::Listing(Box::new(failure)))?;
        if n_objects == 0 {
            let text = excerpt(self.text);
            let why = format!("there is no object that begins so: `{text}`");
            emit(line, Err(UnusableRow::invalid(why)));
        }
        Ok(())
    }

    fn dest(&self, key: &str) -> String {
        let start = if self.is_flat {
            key.rfind('/')
        } else {
            self.prefix.rfind('/')
        };
        let relative = &key[start.map_or(0, |slash| slash + 1)..];
        format!("{}{relative}", self.folder)
    }
}

fn command<'a>(line: &'a [u8], keys: KeyRules<'_>) -> Result<Command<'a>, UnusableRow> {
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
    let (mut version_id, mut operands) = ("", Vec::new());
    let (mut is_raw, mut is_flat, mut filter) = (false, false, None);
    while let Some(word) = words.next() {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        if word == "--" {
            operands.extend(words.by_ref());
        } else if !word.starts_with('-') {
            operands.push(word);
        } else if ALONE.contains(&name) {
            is_raw |= name == "--raw";
            is_flat |= matches!(name, "-f" | "--flatten");
        } else if WITH_VALUE.contains(&name) {
            let value = if word.contains('=') {
                value
            } else {
                words.next().unwrap_or_default()
            };
            match name {
                "--version-id" => version_id = value,
                "--include" | "--exclude" => filter = Some(name),
                _ => {}
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
    let Some((bucket, key)) = source.strip_prefix("s3://").and_then(split_uri) else {
        return Err(not_a_download("its source is not `s3://bucket/key`"));
    };
    if dest.starts_with("s3://") {
        return Err(not_a_download("its destination is not a file"));
    }
    let dest = dest.strip_prefix("./").unwrap_or(dest);
    if !is_raw && key.contains(['*', '?']) {
        let prefix = key.trim_end_matches('*');
        if prefix.contains(['*', '?']) {
            let before = key.split(['*', '?']).next().unwrap_or_default();
            let folder = before.rfind('/').map_or("", |end| &before[..=end]);
            return Err(not_a_download(&format!(
                "only a `*` at the end is expanded: list it with `--prefix '{folder}'` and filter with `--include`"
            )));
        }
        if let Some(name) = filter {
            return Err(not_a_download(&format!(
                "`{name}` of `cp` is not applied: list it with `--prefix '{prefix}'` and filter with `{name}`"
            )));
        }
        // The bucket must be one that may be asked.
        keys.uri_or(source, &Columns::default())?;
        let folder = match dest.trim_end_matches('/') {
            "" | "." => String::new(),
            folder => format!("{folder}/"),
        };
        return Ok(Command::Objects(Objects {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
            folder,
            is_flat,
            text: line,
        }));
    }
    let name = key.rsplit('/').next().unwrap_or_default();
    let dest = match dest {
        "" | "." => name.to_owned(),
        folder if folder.ends_with('/') => format!("{folder}{name}"),
        file => file.to_owned(),
    };
    let entry = keys.uri_or(
        source,
        &Columns {
            version_id: Value::Text(version_id),
            dest: Value::Text(&dest),
            ..Columns::default()
        },
    )?;
    Ok(Command::Object(Box::new(entry)))
}

#[cfg(test)]
mod tests {
    use crate::source::testing::{entries, failure, rows};

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

    /// As `prepareLocalDestination` of s5cmd has it.
    #[test]
    fn objects_of_a_wildcard_keep_their_folders_unless_they_are_flattened() {
        for (prefix, folder, is_flat, key, dest) in [
            ("p/", "d/", false, "p/a/b.txt", "d/a/b.txt"),
            ("p/", "", false, "p/a/b.txt", "a/b.txt"),
            ("p/a", "d/", false, "p/a/b.txt", "d/a/b.txt"),
            ("p/a/b", "d/", false, "p/a/b.txt", "d/b.txt"),
            ("", "d/", false, "p/a/b.txt", "d/p/a/b.txt"),
            ("p", "d/", false, "p/a", "d/p/a"),
            ("p/", "d/", true, "p/a/b.txt", "d/b.txt"),
            ("", "d/", true, "b.txt", "d/b.txt"),
        ] {
            let objects = super::Objects {
                bucket: "b".into(),
                prefix: prefix.into(),
                folder: folder.into(),
                is_flat,
                text: b"",
            };
            assert_eq!(objects.dest(key), dest, "{prefix}");
        }
        let unlisted = failure(b"cp s3://b/p/* d/\n", "s5cmd-run");
        assert!(unlisted.contains("`cp s3://b/p/* d/`"), "{unlisted}");
    }

    #[test]
    fn what_is_not_a_download_fails_with_the_cure() {
        for (line, said) in [
            (
                "cp s3://b/p/*.gz d/",
                "`--prefix 'p/'` and filter with `--include`",
            ),
            ("cp s3://b/p/a?b* d/", "`--prefix 'p/'`"),
            (
                "cp --exclude '*.txt' s3://b/p/* d/",
                "filter with `--exclude`",
            ),
            ("cp s3://other/p/* d/", "WrongBucket"),
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
