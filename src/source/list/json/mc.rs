//! Objects as mc prints them with `--json`: their keys lack what was listed, or begin with more than the key.

use super::scalar::Scalar;
use crate::row::{Entry, UnusableRow};
use crate::source::list::columns::{Columns, KeyRules, Value};

/// What mc says of an object besides its columns.
#[derive(Default)]
pub(super) struct OfMc<'de> {
    /// The member `type`, which s5cmd prints too.
    pub kind: Scalar<'de>,
    pub status: Scalar<'de>,
    pub url: Scalar<'de>,
}

impl OfMc<'_> {
    /// The object, if it is one of mc, which writes the status of each row.
    pub(super) fn entry(
        &self,
        key: &str,
        columns: &Columns<Value<'_>>,
        keys: KeyRules<'_>,
    ) -> Option<Result<Entry, UnusableRow>> {
        if self.status.text() != "success" {
            return None;
        }
        let whole = |bucket: &str, key: &str| {
            let whole = KeyRules { prefix: "", ..keys };
            whole.entry(&Columns {
                key: Value::Text(key),
                bucket: Value::Text(bucket),
                ..*columns
            })
        };
        if !self.kind.text().is_empty() {
            // `mc ls`: below what was listed, which its URL says since 2021 (`cmd/ls.go`).
            let Some((bucket, folder)) = folder_of_url(self.url.text(), keys.bucket.only) else {
                keys.findings.relative();
                return Some(keys.entry(&Columns {
                    key: Value::Text(key),
                    ..*columns
                }));
            };
            return Some(whole(bucket, &format!("{folder}{key}")));
        }
        // `mc find`: after the alias of the server and the bucket, with an empty type (`cmd/find.go`).
        let is_of_find = matches!(&self.kind, Scalar::Text(_));
        let (_, path) = key.split_once('/').filter(|_| is_of_find)?;
        let (bucket, key) = path.split_once('/')?;
        Some(whole(bucket, key))
    }
}

/// The bucket of the URL that mc listed, which is the run's `only` one if there is such, and the part of the keys that mc
/// leaves out: up to the last `/`.
fn folder_of_url<'a>(url: &'a str, only: Option<&str>) -> Option<(&'a str, &'a str)> {
    let (_, rest) = url.split_once("://")?;
    let (_, path) = rest.split_once('/')?;
    let (bucket, below) = path.split_once('/').unwrap_or((path, ""));
    let folder = below.rfind('/').map_or("", |end| &below[..=end]);
    only.is_none_or(|only| bucket == only)
        .then_some((bucket, folder))
}
