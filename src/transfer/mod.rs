//! The engine: rows in, verified files out.

mod checksum;
mod fetch;
mod limit;
mod object;
mod observer;
mod path_claims;
mod rates;
mod retry;
mod run;
mod shared;
mod task;
#[cfg(test)]
mod tests;

pub use limit::{Limit, Throttling};
pub use observer::{End, Finished, ListEnd, Observer, ObserverError};
pub use rates::Rates;
pub use run::download_all;
pub use shared::{Getter, OnRequest, RequestNote, Shared, TransferOptions};
