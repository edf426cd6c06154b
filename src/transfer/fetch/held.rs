//! What a request is sent with.

use crate::transfer::limit::Permit;
use crate::transfer::retry::Round;

/// A permit, and the round of the request that is sent under it: requests that got theirs together are together.
#[derive(Debug)]
pub(crate) struct Held {
    pub permit: Permit,
    pub round: Round,
}
