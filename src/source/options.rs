//! Where rows come from and how they are read, as the command line says it.

use std::path::{Path, PathBuf};

use super::list::columns::InventoryColumns;
use super::list::format::Format;
use super::shard::Shard;

/// What is needed to read the lists.
#[derive(Debug)]
pub struct ListOptions {
    pub sources: Vec<ListSource>,
    /// `None`: each list's first rows decide.
    pub format: Option<&'static Format>,
    /// Put before every key; may be empty.
    pub key_prefix: String,
    /// The bucket that `s3://bucket/key` lines and `bucket` columns must name.
    pub bucket: String,
    /// The columns of an inventory's data files, where no manifest tells them.
    pub columns: Option<InventoryColumns>,
    /// The rows that are this run's.
    pub shard: Option<Shard>,
}

impl ListOptions {
    /// The lists that are files.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.sources.iter().filter_map(|source| match source {
            ListSource::File(path) => Some(path.as_path()),
            ListSource::Stdin | ListSource::Arguments(_) => None,
        })
    }
}

/// Where a list comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListSource {
    Stdin,
    File(PathBuf),
    /// Keys, or `s3://bucket/key` URIs, on the command line.
    Arguments(Vec<String>),
}
