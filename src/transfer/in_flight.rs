//! Which paths are being written to: never two writers on one of them, and the same key twice is fetched once.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::keys::Entry;
use crate::local::LocalPath;
use crate::outcome::{Outcome, SkipReason};

/// The paths that are being written to: never two writers on one of them.
#[derive(Default)]
pub struct InFlight {
    leaders: HashMap<Arc<LocalPath>, Leader>,
}

struct Leader {
    entry: Arc<Entry>,
    followers: Vec<oneshot::Sender<Outcome>>,
}

/// Whether a row may begin.
pub enum Entered {
    First,
    /// The same object is on its way for an earlier row; what becomes of it is told here.
    Follower(oneshot::Receiver<Outcome>),
    /// Another object is on its way to the same path.
    Conflict,
}

impl InFlight {
    pub fn enter(&mut self, path: &Arc<LocalPath>, entry: &Arc<Entry>) -> Entered {
        let Some(leader) = self.leaders.get_mut(path) else {
            self.leaders.insert(
                Arc::clone(path),
                Leader {
                    entry: Arc::clone(entry),
                    followers: Vec::new(),
                },
            );
            return Entered::First;
        };
        if leader.entry != *entry {
            return Entered::Conflict;
        }
        let (sender, receiver) = oneshot::channel();
        leader.followers.push(sender);
        Entered::Follower(receiver)
    }

    /// Frees the path, and tells the rows that waited for it.
    pub fn finish(&mut self, path: &Arc<LocalPath>, outcome: &Outcome) {
        let Some(leader) = self.leaders.remove(path) else {
            return;
        };
        for follower in leader.followers {
            let outcome = match outcome {
                Outcome::Downloaded(_) | Outcome::Skipped(_) => {
                    Outcome::Skipped(SkipReason::Duplicate)
                }
                Outcome::Failed(failure) => Outcome::Failed(failure.clone()),
            };
            // Nobody listens once the run is over.
            let _ = follower.send(outcome);
        }
    }
}
