//! Where rows come from. A thread reads the lists as streams and sends rows through a bounded channel, so downloads start
//! while a list is still arriving, and memory use does not grow with its length.

mod filter;
pub(crate) mod list;
mod lists;
mod options;
mod prefix;
mod remote;
mod requests;
mod selection;
mod shard;
#[cfg(test)]
mod testing;

pub(crate) use filter::{FilterKind, Filters, TypedFilter};
#[cfg(any(test, fuzzing))]
pub(crate) use lists::parse_bytes;
pub(crate) use lists::{DetectedList, ListError, ListNote, Totals, count, for_each, open, read};
pub(crate) use options::{ListOptions, ListSource};
pub(crate) use prefix::{ListedPage, Lister, Listing};
pub(crate) use remote::{Chunk, Fetcher, RemoteList};
pub(crate) use requests::Requests;
pub(crate) use shard::{Shard, ShardError};
