//! Requests that are not GETs of objects, such as those for pages of a listing: they take no permit, but wait for the server
//! as the GETs do, and their answers say as much about it.

use std::sync::atomic::Ordering::SeqCst;

use super::{Limit, Permit};

impl Limit {
    /// Waits while nothing gets through, and in time where requests start at an interval.
    pub async fn aside(&self) -> Permit {
        let attempt = self.unless_out().await;
        self.turn_in_time().await;
        Permit {
            held: None,
            limit: self.clone(),
            is_helper_s: false,
            round: self.0.round.load(SeqCst),
            attempt,
        }
    }
}
