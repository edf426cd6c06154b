//! Which bucket a row is for: the run's only one, or, where the run has none, the one that the row names.

use std::cell::{Cell, RefCell};
use std::io::{self, Read};
use std::sync::Arc;

use crate::outcome::ErrorCode;
use crate::row::{Entry, UnusableRow};

/// The most bytes of a name that are shown.
const MAX_SHOWN: usize = 200;

/// The buckets of a list's rows.
#[derive(Debug)]
pub struct Buckets<'a> {
    /// The run's bucket; `None` if each row must name its own.
    pub only: Option<&'a str>,
    /// The name in the last row that had one; most lists have long runs of equal names.
    last: RefCell<Option<Arc<str>>>,
    is_first_row: Cell<bool>,
    is_missing: Cell<bool>,
}

impl<'a> Buckets<'a> {
    pub fn new(only: Option<&'a str>) -> Self {
        Self {
            only,
            last: RefCell::default(),
            is_first_row: Cell::new(true),
            is_missing: Cell::new(false),
        }
    }

    /// Whether the first row names no bucket though it must: no other row is expected to name one.
    pub fn are_missing(&self) -> bool {
        self.is_missing.get()
    }

    /// From now on, a row without a bucket is only that row's failure: the list has a column for buckets.
    pub fn may_be_missing(&self) {
        self.is_first_row.set(false);
    }
}

impl Buckets<'_> {
    /// Has `input` end once the list is refused: its rest may be long.
    pub fn until_refused<R: Read>(&self, input: R) -> impl Read {
        UntilRefused {
            input,
            buckets: self,
        }
    }

    /// The bucket of a row that names it as `name`, which may be empty; `None` for the run's only one.
    pub fn named(&self, name: &str) -> Option<Arc<str>> {
        if self.only.is_some() || name.is_empty() {
            return None;
        }
        let mut last = self.last.borrow_mut();
        if last.as_deref() != Some(name) {
            *last = Some(name.into());
        }
        last.clone()
    }

    /// Checks the bucket of a row that names it as `name`.
    ///
    /// # Errors
    /// When it is not the run's, or not a bucket's name, or missing.
    pub fn check(&self, entry: Entry, name: &str) -> Result<Entry, UnusableRow> {
        let is_first_row = self.is_first_row.replace(false);
        match self.only {
            Some(only) if !name.is_empty() && name != only => {
                let message = format!(
                    "the row is for bucket `{}`, this run is for `{only}`",
                    beginning(name)
                );
                Err(UnusableRow {
                    bucket: Some(name.to_owned()),
                    ..UnusableRow::failed(entry, ErrorCode::WrongBucket, message)
                })
            }
            None if name.is_empty() => {
                if is_first_row {
                    self.is_missing.set(true);
                }
                let message = "the row names no bucket: use `--bucket`, or write `s3://bucket/key`";
                Err(UnusableRow::failed(entry, ErrorCode::InvalidRow, message))
            }
            None if !is_bucket_name(name) => {
                let shown = beginning(name).escape_debug();
                let message = format!("`{shown}` is not a valid bucket name");
                Err(UnusableRow::failed(entry, ErrorCode::InvalidRow, message))
            }
            Some(_) | None => Ok(entry),
        }
    }
}

fn beginning(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_SHOWN)]
}

struct UntilRefused<'a, R> {
    input: R,
    buckets: &'a Buckets<'a>,
}

impl<R: Read> Read for UntilRefused<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.buckets.are_missing() {
            return Ok(0);
        }
        self.input.read(buffer)
    }
}

/// The most bytes of an ARN of AWS (IAM user guide, "Identify AWS resources with ARNs").
const MAX_ARN: usize = 2048;

/// Whether `name` has only characters that are in names of buckets, and at least one.
pub(crate) fn has_characters_of_a_name(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    !name.is_empty() && name.chars().all(is_allowed)
}

/// Whether `name` can be a bucket's name or access point's ARN.
pub(crate) fn is_bucket_name(name: &str) -> bool {
    if name.len() > MAX_ARN {
        return false;
    }
    let is_of_arn = |c: char| c.is_ascii_graphic() && !"?#%\\".contains(c);
    match name.strip_prefix("arn:") {
        Some(rest) => !rest.is_empty() && rest.chars().all(is_of_arn),
        None => has_characters_of_a_name(name) && !matches!(name, "." | ".."),
    }
}

/// Splits what follows the scheme of a URI into bucket and key. The ARN of an access point has a `/` of its own.
pub(crate) fn split_uri(text: &str) -> Option<(&str, &str)> {
    const ACCESS_POINT: &str = "accesspoint/";
    let is_arn = text.starts_with("arn:");
    let access_point = text.find(ACCESS_POINT).filter(|_| is_arn);
    let name_from = access_point.map_or(0, |at| at + ACCESS_POINT.len());
    let end = name_from + text[name_from..].find('/')?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::split_uri;
    use crate::outcome::Outcome;
    use crate::source::testing::{options, parsed};
    use crate::source::{ListError, ListOptions};

    /// Each row as its bucket and key, or as its bucket and error.
    fn rows(list: &str, format: &str) -> Result<Vec<(String, String)>, ListError> {
        let options = ListOptions {
            bucket: None,
            ..options(format, "")
        };
        let described = |row: crate::row::Row| match row.entry {
            Ok(entry) => (entry.bucket.unwrap_or_default().to_string(), entry.key),
            Err(unusable) => {
                let bucket = unusable.bucket.unwrap_or_default();
                let why = match Outcome::from(unusable.why) {
                    Outcome::Failed(failure) => failure.code.to_string(),
                    other => format!("{other:?}"),
                };
                (bucket, why)
            }
        };
        Ok(parsed(list.as_bytes(), &options)?
            .into_iter()
            .map(described)
            .collect())
    }

    fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
        pairs
            .map(|(bucket, key)| (bucket.to_owned(), key.to_owned()))
            .to_vec()
    }

    #[test]
    fn without_a_bucket_of_the_run_each_row_names_its_own() {
        assert_eq!(
            rows("s3://a/k\ns3://b/k/l\nk\ns3://a b/k\n", "lines").unwrap(),
            pairs([
                ("a", "k"),
                ("b", "k/l"),
                ("", "InvalidRow"),
                ("a b", "InvalidRow")
            ])
        );
        assert_eq!(
            rows(
                "key,bucket\nk,a\nl,\nm,../x\nn,arn:aws:s3:eu-west-1:1:accesspoint/p\n",
                "csv"
            )
            .unwrap(),
            pairs([
                ("a", "k"),
                ("", "InvalidRow"),
                ("../x", "InvalidRow"),
                ("arn:aws:s3:eu-west-1:1:accesspoint/p", "n")
            ])
        );
        assert_eq!(
            rows("key,bucket\nk,\nl,b\n", "csv").unwrap(),
            pairs([("", "InvalidRow"), ("b", "l")])
        );
    }

    #[test]
    fn the_slash_of_an_access_point_is_part_of_its_name() {
        let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint";
        let outpost = "arn:aws:s3-outposts:eu-west-1:123456789012:outpost/op-1/accesspoint/p";
        for (uri, expected) in [
            ("b/k/l".to_owned(), Some(("b".to_owned(), "k/l"))),
            (
                "b/accesspoint/p/k".to_owned(),
                Some(("b".to_owned(), "accesspoint/p/k")),
            ),
            ("b".to_owned(), None),
            (format!("{arn}/p/k/l"), Some((format!("{arn}/p"), "k/l"))),
            (format!("{arn}:p/k"), Some((format!("{arn}:p"), "k"))),
            (format!("{arn}/p"), None),
            (format!("{outpost}/k"), Some((outpost.to_owned(), "k"))),
        ] {
            let expected = expected
                .as_ref()
                .map(|(bucket, key)| (bucket.as_str(), *key));
            assert_eq!(split_uri(&uri), expected, "{uri}");
        }
        assert_eq!(
            rows(&format!("s3://{arn}/p/k\n"), "lines").unwrap(),
            pairs([(&format!("{arn}/p"), "k")])
        );
    }

    #[test]
    fn a_row_that_fails_for_something_else_keeps_its_bucket() {
        let long = "k".repeat(1025);
        assert_eq!(
            rows(&format!("s3://a/{long}\n"), "lines").unwrap(),
            pairs([("a", "InvalidKey")])
        );
    }

    #[test]
    fn a_list_whose_first_row_names_no_bucket_is_refused_as_a_whole() {
        for (list, format) in [
            ("k\ns3://a/k\n", "lines"),
            ("k\0", "null"),
            ("2024-01-02 03:04:05          3 k\n", "aws-s3-ls"),
            ("{\"Key\":\"k\"}\n", "json"),
        ] {
            let refused = rows(list, format).unwrap_err();
            assert!(refused.to_string().contains("`--bucket"), "{refused}");
            assert!(refused.is_usage());
        }
    }
}
