//! Requests that are not GETs of objects, such as those for pages of a listing: they take no permit, but wait for the server
//! as the GETs do, and their answers say as much about it.

use super::permits::Holder;
use super::{Limit, Permit};

impl Limit {
    /// At once, for a request that finds out whether the server is there.
    pub fn beside(&self) -> Permit {
        Permit::new(&self.0, Holder::Aside, &self.0.state().governor)
    }

    /// Waits while nothing gets through, and in time where requests start at an interval.
    pub async fn aside(&self) -> Permit {
        let attempt = self.unless_out().await;
        let permit = Permit::new(&self.0, Holder::Aside, &self.0.state().governor);
        self.in_time(permit).await.used_by(attempt)
    }
}
