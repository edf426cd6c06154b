//! The order of the members: rows take their turns in the order of the list, end in any order, and are written by turns.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::oneshot;

use super::header::Kind;
use super::room::Room;
use super::spool::Spool;
use crate::locks::{self, lock};
use crate::outcome::Failure;
use crate::sink::files::LocalPath;
use crate::sink::gathered::Pieces;

/// Bytes of contents that are written with one call, where the members are small.
const BATCH: usize = 1024 * 1024;

/// How long an archive that takes nothing is waited for without a word.
const PATIENCE: Duration = Duration::from_secs(5);

/// A complete and verified object.
#[derive(Debug)]
pub(crate) struct Member {
    pub path: Arc<LocalPath>,
    pub kind: Kind,
    pub modified: Option<SystemTime>,
    pub content: Content,
    /// Is told when it is in the archive.
    pub written: oneshot::Sender<Result<(), Failure>>,
}

#[derive(Debug)]
pub(crate) enum Content {
    Memory(Pieces),
    Spool(Arc<Spool>),
}

impl Member {
    /// Bytes of the content.
    pub(super) fn n_bytes(&self) -> u64 {
        match self.kind {
            Kind::File(size) => size,
            Kind::Folder => 0,
        }
    }

    fn n_in_memory(&self) -> usize {
        match &self.content {
            Content::Memory(pieces) => pieces.iter().map(Bytes::len).sum(),
            Content::Spool(_) => BATCH,
        }
    }
}

/// How the archive ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With every member that there is.
    Whole,
    /// Before the list did.
    Incomplete,
}

/// What the writer does next.
#[derive(Debug)]
pub(crate) enum Next {
    Write(Vec<Member>),
    End(Ending),
}

#[derive(Debug, Default)]
pub(crate) struct Order {
    state: Mutex<State>,
    changed: Condvar,
    /// For what is fetched ahead.
    pub room: Room,
}

#[derive(Debug, Default)]
struct State {
    /// Turns that were taken.
    n_taken: u64,
    /// The turn that is written next.
    next: u64,
    /// Rows that ended, by turn; `None` for one that is not in the archive.
    ended: BTreeMap<u64, Option<Member>>,
    ending: Option<Ending>,
    /// Why nothing can be written any more.
    broken: Option<Failure>,
    /// Since when these bytes are being written.
    writing: Option<(Instant, u64)>,
    waited_for_head: Duration,
}

/// A row's place in the archive. A row that ends without a member gives it up when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    order: Arc<Order>,
    n: u64,
    is_over: bool,
}

impl Order {
    #[cfg(test)]
    pub(crate) fn with_room(room: Room) -> Self {
        Self {
            room,
            ..Self::default()
        }
    }

    /// Takes the next turn.
    pub(crate) fn turn(self: &Arc<Self>) -> Turn {
        let mut state = lock(&self.state);
        state.n_taken += 1;
        Turn {
            order: Arc::clone(self),
            n: state.n_taken - 1,
            is_over: false,
        }
    }

    /// Ends the archive once the members before a missing one are written.
    pub(crate) fn end(&self, ending: Ending) {
        lock(&self.state).ending = Some(ending);
        self.changed.notify_all();
    }

    /// Fails all members that wait, and those to come.
    pub(crate) fn fail(&self, failure: &Failure) {
        let mut state = lock(&self.state);
        let failure = state.broken.get_or_insert_with(|| failure.clone()).clone();
        for member in std::mem::take(&mut state.ended).into_values().flatten() {
            let _ = member.written.send(Err(failure.clone()));
        }
    }

    /// How long members were ready, and only the one before them was not.
    pub(crate) fn waited_for_head(&self) -> Duration {
        lock(&self.state).waited_for_head
    }

    /// Waits for the members whose turn it is, or the end.
    pub(crate) fn next(&self) -> Next {
        let mut state = lock(&self.state);
        state.writing = None;
        loop {
            let turn = state.next;
            let members = state.take_ready();
            if state.next != turn {
                self.room.wake();
            }
            if !members.is_empty() {
                let n_bytes = members.iter().map(Member::n_bytes).sum();
                state.writing = Some((Instant::now(), n_bytes));
                return Next::Write(members);
            }
            if let Some(ending) = state.ending {
                return Next::End(ending);
            }
            let is_ready = !state.ended.is_empty();
            let started = Instant::now();
            state = locks::wait(&self.changed, state);
            if is_ready {
                state.waited_for_head += started.elapsed();
            }
        }
    }

    /// Whether what is being written takes longer than [`PATIENCE`] and a second per MiB.
    pub(crate) fn is_stalled(&self) -> bool {
        lock(&self.state).writing.is_some_and(|(since, n_bytes)| {
            since.elapsed() > PATIENCE + Duration::from_secs(n_bytes >> 20)
        })
    }

    /// Whether it is the turn of row `n`.
    pub(crate) fn is_next(&self, n: u64) -> bool {
        lock(&self.state).next == n
    }

    fn ended(&self, n: u64, member: Option<Member>) {
        let mut state = lock(&self.state);
        if let Some(failure) = &state.broken {
            if let Some(member) = member {
                let _ = member.written.send(Err(failure.clone()));
            }
            return;
        }
        let is_next = n == state.next;
        state.ended.insert(n, member);
        // The writer looks for the next one only; what comes later is there when it gets to it.
        if is_next {
            self.changed.notify_all();
        }
    }
}

impl State {
    fn take_ready(&mut self) -> Vec<Member> {
        let (mut members, mut n_bytes) = (Vec::new(), 0);
        while n_bytes < BATCH
            && let Some(ended) = self.ended.remove(&self.next)
        {
            self.next += 1;
            if let Some(member) = ended {
                n_bytes += member.n_in_memory();
                members.push(member);
            }
        }
        members
    }
}

impl Turn {
    /// The turn, from 0.
    pub(crate) fn n(&self) -> u64 {
        self.n
    }

    /// Has nothing written from here on: the run gives up what is behind it.
    pub(crate) fn cut(mut self) {
        self.is_over = true;
    }

    /// Hands the member over.
    pub(crate) fn submit(mut self, member: Member) -> Submitted {
        self.is_over = true;
        let submitted = Submitted {
            order: Arc::clone(&self.order),
            n: self.n,
        };
        self.order.ended(self.n, Some(member));
        submitted
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            self.order.ended(self.n, None);
        }
    }
}

/// A member that waits for its turn.
pub(crate) struct Submitted {
    order: Arc<Order>,
    n: u64,
}

impl Submitted {
    /// Takes the member back, unless it is being written or is written; whether it did. Nothing behind it is written then.
    pub(crate) fn take_back(&self) -> bool {
        lock(&self.order.state).ended.remove(&self.n).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Class, ErrorCode};
    use crate::sink::gathered::{AllGathered, Gathered};

    type Written = oneshot::Receiver<Result<(), Failure>>;

    fn member(name: &str, n_bytes: usize) -> (Member, Written) {
        let (written, is_written) = oneshot::channel();
        let mut gathered = Gathered::new(&AllGathered::default());
        gathered.push(vec![0; n_bytes].into());
        let member = Member {
            path: Arc::new(LocalPath::of_key(name).unwrap()),
            kind: Kind::File(n_bytes as u64),
            modified: None,
            content: Content::Memory(gathered.take()),
            written,
        };
        (member, is_written)
    }

    fn names(next: Next) -> Vec<String> {
        match next {
            Next::Write(members) => {
                let names = members.iter().map(|member| member.path.as_str().to_owned());
                names.collect()
            }
            Next::End(ending) => vec![format!("{ending:?}")],
        }
    }

    #[test]
    fn members_are_written_by_turns_whatever_the_order_they_end_in() {
        let order = Arc::new(Order::default());
        let turns: Vec<_> = (0..4).map(|_| order.turn()).collect();
        let [first, second, third, fourth] = <[Turn; 4]>::try_from(turns).unwrap();
        fourth.submit(member("d", 1).0);
        second.submit(member("b", 1).0);
        // The third one failed.
        drop(third);
        first.submit(member("a", 1).0);
        assert_eq!(names(order.next()), ["a", "b", "d"]);
        order.end(Ending::Whole);
        assert_eq!(names(order.next()), ["Whole"]);
    }

    #[test]
    fn the_end_does_not_wait_for_a_member_that_never_comes() {
        let order = Arc::new(Order::default());
        let (first, _missing, third) = (order.turn(), order.turn(), order.turn());
        third.submit(member("c", 1).0);
        first.submit(member("a", 1).0);
        order.end(Ending::Incomplete);
        assert_eq!(names(order.next()), ["a"]);
        assert_eq!(names(order.next()), ["Incomplete"]);
    }

    #[test]
    fn small_members_are_taken_together_and_large_ones_by_themselves() {
        let order = Arc::new(Order::default());
        for (name, n_bytes) in [("a", 10), ("b", BATCH), ("c", BATCH), ("d", 1), ("e", 1)] {
            order.turn().submit(member(name, n_bytes).0);
        }
        assert_eq!(names(order.next()), ["a", "b"]);
        assert_eq!(names(order.next()), ["c"]);
        assert_eq!(names(order.next()), ["d", "e"]);
    }

    #[test]
    fn a_member_can_be_taken_back_until_it_is_written() {
        let order = Arc::new(Order::default());
        let (first, second) = (order.turn(), order.turn());
        let waiting = second.submit(member("b", 1).0);
        assert!(waiting.take_back() && !waiting.take_back());
        let written = first.submit(member("a", 1).0);
        assert_eq!(names(order.next()), ["a"]);
        assert!(!written.take_back());
    }

    #[test]
    fn nothing_is_written_behind_a_row_that_was_given_up() {
        for is_submitted in [false, true] {
            let order = Arc::new(Order::default());
            let (first, second) = (order.turn(), order.turn());
            second.submit(member("b", 1).0);
            if is_submitted {
                assert!(first.submit(member("a", 1).0).take_back());
            } else {
                first.cut();
            }
            order.end(Ending::Incomplete);
            assert_eq!(names(order.next()), ["Incomplete"]);
        }
    }

    #[test]
    fn once_writing_failed_every_member_is_told_why() {
        let order = Arc::new(Order::default());
        let (first, second, third) = (order.turn(), order.turn(), order.turn());
        let (waiting, mut is_written) = member("b", 1);
        second.submit(waiting);
        order.fail(&Failure::new(ErrorCode::WriteFailed, Class::Fatal, "why"));
        assert!(is_written.try_recv().unwrap().is_err());
        let (late, mut is_written) = member("c", 1);
        third.submit(late);
        assert!(is_written.try_recv().unwrap().is_err());
        drop(first);
    }

    #[test]
    fn only_waits_for_the_head_of_the_line_are_counted() {
        let order = Arc::new(Order::default());
        let first = order.turn();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| names(order.next()));
            first.submit(member("a", 1).0);
            assert_eq!(writer.join().unwrap(), ["a"]);
        });
        assert_eq!(order.waited_for_head(), Duration::ZERO);
        let (second, third) = (order.turn(), order.turn());
        third.submit(member("c", 1).0);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| names(order.next()));
            let started = Instant::now();
            // Each time the writer wakes it has waited for the second one.
            while order.waited_for_head() == Duration::ZERO && started.elapsed().as_secs() < 30 {
                order.changed.notify_all();
                std::thread::yield_now();
            }
            second.submit(member("b", 1).0);
            assert_eq!(writer.join().unwrap(), ["b", "c"]);
        });
        assert!(order.waited_for_head() > Duration::ZERO);
    }
}
