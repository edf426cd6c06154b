//! Where rows come from. Lists are read as streams, on a thread of their own, through a bounded channel: downloads start
//! while a list is still arriving, and memory does not grow with its length.

pub mod list;
mod lists;
mod options;
mod shard;
#[cfg(test)]
mod testing;

#[cfg(any(test, fuzzing))]
pub use lists::parse_bytes;
pub use lists::{ListError, ListNote, Taken, Totals, count, open, read};
pub use options::{ListOptions, ListSource};
pub use shard::{Shard, ShardError};
