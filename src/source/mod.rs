//! Where rows come from. A thread reads the lists as streams and sends rows through a bounded channel, so downloads start
//! while a list is still arriving, and memory use does not grow with its length.

mod filter;
pub mod list;
mod lists;
mod options;
mod prefix;
mod remote;
mod requests;
mod selection;
mod shard;
#[cfg(test)]
mod testing;

pub use filter::{FilterKind, Filters, TypedFilter};
#[cfg(any(test, fuzzing))]
pub use lists::parse_bytes;
pub use lists::{DetectedList, ListError, ListNote, Totals, count, for_each, open, read};
pub use options::{ListOptions, ListSource};
pub use prefix::{ListedPage, Lister, Listing};
pub use remote::{Chunk, Fetcher, RemoteList};
pub use requests::Requests;
pub use shard::{Shard, ShardError};
