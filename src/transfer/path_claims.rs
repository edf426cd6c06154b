//! Keeps two downloads from writing to one path, and fetches a key that is listed twice at once only once.
//!
//! Another object for the same path waits for its turn, and what then becomes of it is decided when it is committed: so
//! a run ends in the same way whatever the concurrency. No row waits for a slot while it waits here: the row that has
//! the path has one already.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::outcome::{Outcome, SkipReason};
use crate::row::Entry;
use crate::sink::files::LocalPath;

/// The paths that are being written to, each by one row.
#[derive(Default)]
pub(super) struct PathClaims {
    leaders: HashMap<Arc<LocalPath>, Leader>,
}

struct Leader {
    entry: Arc<Entry>,
    followers: Vec<oneshot::Sender<Outcome>>,
    /// Rows with other objects, in their order; no more than are in flight.
    waiting: VecDeque<(Arc<Entry>, oneshot::Sender<()>)>,
}

/// Whether a row may begin.
pub(super) enum Entered {
    First,
    /// The same object is on its way for an earlier row; what becomes of it is told here.
    Follower(oneshot::Receiver<Outcome>),
    /// Another object is on its way to the same path. When this one's turn comes, it is told here, and has the path.
    Waiting(oneshot::Receiver<()>),
}

impl PathClaims {
    pub(super) fn enter(&mut self, path: &Arc<LocalPath>, entry: &Arc<Entry>) -> Entered {
        let Some(leader) = self.leaders.get_mut(path) else {
            self.leaders.insert(
                Arc::clone(path),
                Leader {
                    entry: Arc::clone(entry),
                    followers: Vec::new(),
                    waiting: VecDeque::new(),
                },
            );
            return Entered::First;
        };
        if leader.entry.object() != entry.object() {
            let (sender, receiver) = oneshot::channel();
            leader.waiting.push_back((Arc::clone(entry), sender));
            return Entered::Waiting(receiver);
        }
        let (sender, receiver) = oneshot::channel();
        leader.followers.push(sender);
        Entered::Follower(receiver)
    }

    /// Follows the row that fetches the same object to the same path, if there is one.
    pub(super) fn follow(
        &mut self,
        path: &Arc<LocalPath>,
        entry: &Entry,
    ) -> Option<oneshot::Receiver<Outcome>> {
        let leader = self.leaders.get_mut(path)?;
        if leader.entry.object() != entry.object() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        leader.followers.push(sender);
        Some(receiver)
    }

    /// Tells the rows that waited for this very object, and gives the path to the next one, if there is any.
    pub(super) fn finish(&mut self, path: &Arc<LocalPath>, outcome: &Outcome) {
        let Some(leader) = self.leaders.get_mut(path) else {
            return;
        };
        for follower in leader.followers.drain(..) {
            let outcome = match outcome {
                Outcome::Downloaded(_) | Outcome::Skipped(_) => {
                    Outcome::Skipped(SkipReason::Duplicate)
                }
                Outcome::Failed(failure) => Outcome::Failed(failure.clone()),
            };
            // The receiver is gone once the run is over.
            let _ = follower.send(outcome);
        }
        while let Some((entry, turn)) = leader.waiting.pop_front() {
            // A row that was given up does not want its turn.
            if turn.send(()).is_ok() {
                leader.entry = entry;
                return;
            }
        }
        self.leaders.remove(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Failure;

    fn entry(version: &str) -> Arc<Entry> {
        Arc::new(Entry {
            key: "k".to_owned(),
            version_id: Some(version.to_owned()),
            ..Entry::default()
        })
    }

    #[test]
    fn rows_that_differ_only_in_size_name_the_same_object() {
        let mut claims = PathClaims::default();
        let path = Arc::new(LocalPath::of_key("k").unwrap());
        let sized = Entry {
            size: Some(5),
            ..(*entry("1")).clone()
        };
        assert!(matches!(claims.enter(&path, &entry("1")), Entered::First));
        let entered = claims.enter(&path, &Arc::new(sized));
        assert!(matches!(entered, Entered::Follower(_)));
    }

    #[test]
    fn a_path_goes_to_the_next_row_that_still_wants_it_and_is_free_after_the_last() {
        let mut claims = PathClaims::default();
        let path = Arc::new(LocalPath::of_key("k").unwrap());
        let failed = Outcome::Failed(Failure::not_attempted("test"));
        let waiting = |claims: &mut PathClaims, version| match claims.enter(&path, &entry(version))
        {
            Entered::Waiting(turn) => turn,
            _ => panic!("{version} does not wait"),
        };
        assert!(matches!(claims.enter(&path, &entry("1")), Entered::First));
        let given_up = waiting(&mut claims, "2");
        let mut third = waiting(&mut claims, "3");
        let mut fourth = waiting(&mut claims, "4");
        drop(given_up);
        claims.finish(&path, &failed);
        assert!(third.try_recv().is_ok() && fourth.try_recv().is_err());
        // It is the third's now: a row of the same object follows it.
        let Entered::Follower(mut follower) = claims.enter(&path, &entry("3")) else {
            panic!("no follower");
        };
        claims.finish(&path, &failed);
        assert!(fourth.try_recv().is_ok() && follower.try_recv().is_ok());
        claims.finish(&path, &failed);
        assert!(matches!(claims.enter(&path, &entry("1")), Entered::First));
    }
}
