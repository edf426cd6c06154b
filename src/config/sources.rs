//! Where the rows come from: lists, listings and keys of the command line.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use super::error::UsageError;
use crate::source::list::bucket::{is_bucket_name, split_uri};
use crate::source::list::{columns, url};
use crate::source::{ListSource, Listing, RemoteList};

/// What `--prefix` asks for.
pub(super) fn listings(typed: &[String], bucket: Option<&str>) -> Result<Vec<Listing>, UsageError> {
    let listing = |typed: &String| {
        let Some(uri) = typed.strip_prefix("s3://") else {
            let Some(bucket) = bucket else {
                return Err(UsageError(format!(
                    "`--prefix {0}` names no bucket: use `--bucket`, or `--prefix s3://BUCKET/{0}`",
                    typed.escape_debug()
                )));
            };
            return Ok(Listing {
                bucket: bucket.to_owned(),
                prefix: typed.clone(),
            });
        };
        let (of_uri, prefix) = split_uri(uri).unwrap_or((uri, ""));
        if !is_bucket_name(of_uri) {
            return Err(UsageError(format!(
                "`--prefix {}` is not `s3://bucket/prefix`",
                typed.escape_debug()
            )));
        }
        if let Some(bucket) = bucket.filter(|bucket| *bucket != of_uri) {
            return Err(UsageError(format!(
                "`--prefix {}` is for another bucket than `--bucket {bucket}`",
                typed.escape_debug()
            )));
        }
        Ok(Listing {
            bucket: of_uri.to_owned(),
            prefix: prefix.to_owned(),
        })
    };
    typed.iter().map(listing).collect()
}

/// The lists in the order of the command line, then what is to be listed, and the keys that the command line contains.
pub(super) fn sources(
    lists: Vec<PathBuf>,
    listings: Vec<Listing>,
    keys: Vec<String>,
    has_bucket: bool,
) -> Result<Vec<ListSource>, UsageError> {
    let mut sources: Vec<_> = lists
        .into_iter()
        .map(list)
        .collect::<Result<_, UsageError>>()?;
    if sources
        .iter()
        .filter(|source| **source == ListSource::Stdin)
        .count()
        > 1
    {
        return Err(UsageError(
            "`--keys -` is given twice: stdin can be read only once".into(),
        ));
    }
    sources.extend(listings.into_iter().map(ListSource::Prefix));
    let is_uri = |key: &String| columns::is_uri(key) || url::parse(key).is_some();
    if !has_bucket && let Some(key) = keys.iter().find(|key| !is_uri(key)) {
        return Err(without_bucket(key, &keys));
    }
    if let Some(uri) = keys.iter().find(|key| is_bucket_uri(key)) {
        let shown = uri.trim_end_matches('/').escape_debug();
        return Err(UsageError(format!(
            "`{}` names no key: `--prefix {shown}/` downloads the whole bucket",
            uri.escape_debug()
        )));
    }
    // A key may have such a name, but does not stand before URIs then.
    if let [word, rest @ ..] = &keys[..]
        && rest.iter().any(is_uri)
        && let Some(advice) = instead_of_command(word)
    {
        return Err(no_command(word, advice));
    }
    if !keys.is_empty() {
        sources.push(ListSource::Arguments(keys));
    }
    if sources.is_empty() && std::io::stdin().is_terminal() {
        return Err(UsageError(
            "no key list: use `--keys FILE` or `--prefix PREFIX`, or pipe a list in (`aws s3 ls … --recursive | s3pull …`)".into(),
        ));
    }
    if sources.is_empty() {
        // The rows may name their buckets, if there are any.
        let is_empty = || {
            std::io::stdin()
                .lock()
                .fill_buf()
                .is_ok_and(<[u8]>::is_empty)
        };
        if !has_bucket && is_empty() {
            return Err(UsageError(
                "no bucket and no keys: use `--bucket BUCKET` with a key list, or `s3pull s3://bucket/key`".into(),
            ));
        }
        sources.push(ListSource::Stdin);
    }
    Ok(sources)
}

/// Whether a key is the URI of a whole bucket.
fn is_bucket_uri(key: &str) -> bool {
    let name = key.strip_prefix("s3://");
    let bucket = name.map(|name| match split_uri(name) {
        Some((bucket, "")) => bucket,
        Some(_) => "",
        None => name,
    });
    bucket.is_some_and(is_bucket_name)
}

/// The list that `--keys` names.
fn list(path: PathBuf) -> Result<ListSource, UsageError> {
    let Some(text) = path.as_os_str().to_str() else {
        return Ok(ListSource::File(path));
    };
    if text == "-" {
        return Ok(ListSource::Stdin);
    }
    match RemoteList::parse(text) {
        Some(list) => Ok(ListSource::Remote(list)),
        None if text.starts_with("s3://") => Err(UsageError(format!(
            "`--keys {}` is neither `s3://bucket/key` nor the folder of an inventory, `s3://bucket/folder/`",
            text.escape_debug()
        ))),
        None if url::is_url(text) && !path.exists() => Err(UsageError(format!(
            "`--keys {0}` is neither a file nor in S3: use `curl -fsS {0} | s3pull …`",
            text.escape_debug()
        ))),
        None => Ok(ListSource::File(path)),
    }
}

/// The error for `key`, one of the `keys`, which names no bucket.
fn without_bucket(key: &str, keys: &[String]) -> UsageError {
    let shown = key.escape_debug();
    if let Some(advice) = keys
        .first()
        .filter(|first| *first == key)
        .and_then(|first| instead_of_command(first))
    {
        return no_command(key, advice);
    }
    if url::is_url(key) {
        return UsageError(format!(
            "`{shown}` is not the URL of an object that tells its bucket: use `--bucket BUCKET` with its key, and `--endpoint-url URL` for another server than AWS"
        ));
    }
    UsageError(format!(
        "the key `{shown}` names no bucket: use `--bucket BUCKET`, or write `s3://BUCKET/{shown}`"
    ))
}

fn no_command(word: &str, advice: &str) -> UsageError {
    let shown = word.escape_debug();
    UsageError(format!("s3pull has no `{shown}` command: {advice}"))
}

/// What to do instead of a command that other tools have.
pub(crate) fn instead_of_command(word: &str) -> Option<&'static str> {
    Some(match word {
        "cat" | "copy" | "cp" | "download" | "get" | "pull" | "run" => {
            "name the objects as in `s3pull s3://bucket/key -o DIR`, or use `--prefix s3://bucket/prefix`"
        }
        "mirror" | "rsync" | "sync" => {
            "use `s3pull --prefix s3://bucket/prefix -o DIR --if-exists changed`"
        }
        "du" | "find" | "list" | "ls" => "use `s3pull --prefix s3://bucket/prefix --dry-run`",
        "help" => "`s3pull --help` describes its options",
        "version" => "`s3pull --version` prints it",
        "delete" | "mb" | "mv" | "put" | "rb" | "rm" | "upload" => "it only downloads",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(keys: &[&str], has_bucket: bool) -> String {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        let sources = sources(Vec::new(), Vec::new(), keys, has_bucket);
        sources.unwrap_err().to_string()
    }

    #[test]
    fn commands_of_other_tools_lead_to_options() {
        for has_bucket in [false, true] {
            for (word, said) in [
                ("cp", "`s3pull s3://bucket/key -o DIR`"),
                ("sync", "--if-exists changed"),
                ("ls", "--dry-run"),
                ("rm", "only downloads"),
            ] {
                let message = error(&[word, "s3://b/k", "."], has_bucket);
                let expected = format!("s3pull has no `{word}` command: ");
                assert!(
                    message.starts_with(&expected) && message.contains(said),
                    "{message}"
                );
            }
        }
    }

    #[test]
    fn a_key_may_be_called_like_a_command_and_a_url_names_its_bucket() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
        for (typed, has_bucket) in [
            (keys(&["cp"]), true),
            (keys(&["ls", "get"]), true),
            (keys(&["s3://b/cp"]), false),
            (keys(&["https://b.s3.amazonaws.com/k"]), false),
        ] {
            let sources = sources(Vec::new(), Vec::new(), typed, has_bucket);
            assert_eq!(sources.unwrap().len(), 1);
        }
        let message = error(&["k"], false);
        assert!(message.contains("`s3://BUCKET/k`"), "{message}");
    }
}
