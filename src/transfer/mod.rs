//! The engine: rows in, verified files out.

mod checksum;
mod etag;
mod fetch;
mod limit;
mod object;
mod observer;
mod path_claims;
mod remote_list;
mod retry;
mod run;
mod shared;
mod task;
#[cfg(test)]
mod tests;
mod verdict;

pub use limit::{Limit, Throttling};
pub use observer::{End, Finished, ListEnd, Observer, ObserverError};
pub use remote_list::fetcher;
pub use run::download_all;
pub use shared::{Getter, OnRequest, RequestNote, Shared, TransferOptions};
