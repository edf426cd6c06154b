//! The engine: rows in, verified files out.

mod check;
mod checksum;
mod etag;
mod fetch;
mod limit;
mod listing;
mod object;
mod observer;
mod path_claims;
mod rates;
mod remote_list;
mod retry;
mod run;
mod shared;
mod source_requests;
mod stragglers;
mod task;
#[cfg(test)]
mod tests;
mod verdict;
mod witness;

pub(crate) use limit::{Found, Limit, OnStep, Step, Throttling, WhyNotMore};
pub(crate) use observer::{End, Finished, ListEnd, Observer, ObserverError};
pub(crate) use rates::Rates;
pub(crate) use run::download_all;
pub(crate) use shared::{Getter, OnRequest, RequestNote, Shared, TransferOptions};
pub(crate) use source_requests::SourceRequests;
pub(crate) use stragglers::Stragglers;
pub(crate) use witness::Witness;
