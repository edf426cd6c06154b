//! The options for reading key lists: where they come from, and how to read them.

use std::path::{Path, PathBuf};

use super::filter::Filters;
use super::list::columns::InventoryColumns;
use super::list::format::Format;
use super::prefix::Listing;
use super::remote::RemoteList;
use super::shard::Shard;

/// Everything that is needed to read the lists.
#[derive(Debug, Default)]
pub struct ListOptions {
    pub sources: Vec<ListSource>,
    /// `None`: the format is detected per list from its first rows.
    pub format: Option<&'static Format>,
    /// The column of a table, or the member of a JSON object, that holds the key; `None`: one of the known names.
    pub key_column: Option<String>,
    /// Prepended to every key; may be empty.
    pub key_prefix: String,
    /// The bucket that `s3://bucket/key` lines and `bucket` columns must name, if they name one; `None` if each row must name
    /// its own.
    pub bucket: Option<String>,
    /// Which keys this run takes.
    pub filters: Filters,
    /// The columns of an inventory's data file that is read without its manifest.
    pub columns: Option<InventoryColumns>,
    /// The shard of the rows that this run takes; `None` for all rows.
    pub shard: Option<Shard>,
}

impl ListOptions {
    /// Whether requests have to be made to learn the rows.
    pub fn needs_requests(&self) -> bool {
        self.sources
            .iter()
            .any(|source| matches!(source, ListSource::Prefix(_) | ListSource::Remote(_)))
    }

    /// Whether rows may be of the bucket `name`, as far as the command line tells.
    pub fn may_be_of(&self, name: &str) -> bool {
        if let Some(bucket) = &self.bucket {
            return bucket == name;
        }
        let uri = format!("s3://{name}/");
        self.sources.iter().any(|source| match source {
            ListSource::Stdin | ListSource::File(_) | ListSource::Remote(_) => true,
            ListSource::Arguments(keys) => keys.iter().any(|key| key.starts_with(&uri)),
            ListSource::Prefix(listing) => listing.bucket == name,
        })
    }

    /// The lists that are files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|source| match source {
            ListSource::File(path) => Some(path.as_path()),
            ListSource::Stdin
            | ListSource::Remote(_)
            | ListSource::Arguments(_)
            | ListSource::Prefix(_) => None,
        })
    }
}

/// Where a list comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListSource {
    Stdin,
    File(PathBuf),
    /// What is below a prefix of the bucket.
    Prefix(Listing),
    /// An object in S3.
    Remote(RemoteList),
    /// Keys, or `s3://bucket/key` URIs, on the command line.
    Arguments(Vec<String>),
}

impl ListSource {
    /// The name used in records, as it was typed: `-` is stdin. `None` for keys of the command line.
    pub fn typed(&self) -> Option<String> {
        match self {
            Self::Stdin => Some("-".to_owned()),
            Self::File(path) => Some(path.to_string_lossy().into_owned()),
            Self::Prefix(listing) => Some(listing.to_string()),
            Self::Remote(list) => Some(list.to_string()),
            Self::Arguments(_) => None,
        }
    }

    /// The name used in messages.
    pub fn name(&self) -> String {
        match self {
            Self::Stdin => "on stdin".to_owned(),
            Self::File(path) => format!("`{}`", path.display()),
            Self::Prefix(listing) => format!("`{listing}`"),
            Self::Remote(list) => format!("`{list}`"),
            Self::Arguments(_) => "on the command line".to_owned(),
        }
    }
}
