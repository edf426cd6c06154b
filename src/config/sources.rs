//! Where the rows come from: lists, listings and keys of the command line.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use super::error::UsageError;
use crate::source::list::bucket::is_bucket_name;
use crate::source::{ListSource, Listing, RemoteList};

/// What `--prefix` asks for.
pub fn listings(typed: &[String], bucket: Option<&str>) -> Result<Vec<Listing>, UsageError> {
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
        let (of_uri, prefix) = uri.split_once('/').unwrap_or((uri, ""));
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
pub fn sources(
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
    if !has_bucket && let Some(key) = keys.iter().find(|key| !key.starts_with("s3://")) {
        return Err(without_bucket(key, &keys));
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
        None => Ok(ListSource::File(path)),
    }
}

/// The error for `key`, one of the `keys`, which names no bucket.
fn without_bucket(key: &str, keys: &[String]) -> UsageError {
    const COMMANDS: [&str; 7] = ["cp", "download", "get", "ls", "mb", "mv", "sync"];
    let shown = key.escape_debug();
    if keys.first().is_some_and(|first| first == key) && COMMANDS.contains(&key) {
        return UsageError(format!(
            "s3pull has no `{shown}` command: name the objects as in `s3pull s3://bucket/key -o DIR`, or use `--prefix s3://bucket/prefix`"
        ));
    }
    UsageError(format!(
        "the key `{shown}` names no bucket: use `--bucket BUCKET`, or write `s3://BUCKET/{shown}`"
    ))
}
