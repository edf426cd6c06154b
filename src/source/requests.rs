//! The requests that sources need. Someone else makes them.

use super::prefix::Lister;
use super::remote::Fetcher;

/// Starts the requests of sources, from any thread.
#[derive(Clone)]
pub(crate) struct Requests {
    pub lister: Lister,
    pub fetcher: Fetcher,
}
