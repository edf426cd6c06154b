//! Objects ahead of the one whose turn it is: they are begun only as long as there is room for them in the spool.

use std::pin::pin;
use std::sync::{Arc, Mutex};

use super::order::Order;
use super::room::MAX_IN_MEMORY;
use crate::locks::lock;

/// A row's share of the room, which is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Ahead {
    order: Arc<Order>,
    /// The row's turn.
    n: u64,
    share: Mutex<u64>,
}

impl Ahead {
    pub(crate) fn new(order: &Arc<Order>, n: u64) -> Self {
        Self {
            order: Arc::clone(order),
            n,
            share: Mutex::default(),
        }
    }

    /// Whether the object, of `size` bytes if that is known, may be begun; then it has room.
    pub(crate) fn may_begin(&self, size: Option<u64>) -> bool {
        let is_next = || self.order.is_next(self.n);
        let mut share = lock(&self.share);
        self.order.room.try_take(&mut share, spooled(size), is_next)
    }

    /// Takes note of the object's size: as much room is used, whether it is there or not.
    pub(crate) fn has_size(&self, size: Option<u64>) {
        let mut share = lock(&self.share);
        self.order.room.take(&mut share, spooled(size));
    }

    /// Waits until the object may be begun.
    pub(crate) async fn until_room(&self, size: Option<u64>) {
        loop {
            let mut changed = pin!(self.order.room.changed());
            changed.as_mut().enable();
            if self.may_begin(size) {
                return;
            }
            changed.await;
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.order.room.give_back(*lock(&self.share));
    }
}

/// Bytes that an object takes in the spool.
fn spooled(size: Option<u64>) -> u64 {
    size.filter(|&size| size > MAX_IN_MEMORY as u64)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::order::{Ending, Turn};
    use super::super::room::Room;
    use super::*;

    const LARGE: u64 = 10 * MAX_IN_MEMORY as u64;

    /// The rows that take these turns, in a spool with room for two large objects and a half.
    fn rows(n: u64) -> (Arc<Order>, Vec<Turn>, Vec<Ahead>) {
        let order = Arc::new(Order::with_room(Room::of(LARGE * 5 / 2)));
        let turns = (0..n).map(|_| order.turn()).collect();
        let ahead = (0..n).map(|n| Ahead::new(&order, n)).collect();
        (order, turns, ahead)
    }

    #[test]
    fn rows_are_begun_while_they_fit_and_the_one_whose_turn_it_is_in_any_case() {
        let (order, _turns, ahead) = rows(5);
        let size = Some(LARGE);
        assert!(ahead[1].may_begin(size) && ahead[2].may_begin(size));
        assert!(!ahead[3].may_begin(size) && !ahead[4].may_begin(size));
        // What waits in memory takes no room here; a row that has begun goes on.
        let in_memory = Some(MAX_IN_MEMORY as u64);
        assert!(ahead[4].may_begin(in_memory) && ahead[1].may_begin(size));
        assert!(ahead[0].may_begin(size));
        assert_eq!(order.room.peak(), 3 * LARGE);
        drop(ahead);
        assert_eq!(order.room.n_bytes(), 0);
    }

    #[test]
    fn sizes_that_show_late_count_and_then_no_other_row_is_begun() {
        let (order, _turns, ahead) = rows(4);
        assert!((0..3).all(|n| ahead[n].may_begin(None)));
        (1..3).for_each(|n| ahead[n].has_size(Some(LARGE)));
        assert!(ahead[3].may_begin(None), "there is room for a half");
        ahead[3].has_size(Some(LARGE));
        let late = Ahead::new(&order, 9);
        assert!(!late.may_begin(None) && !late.may_begin(Some(5)));
        drop(ahead);
        assert!(late.may_begin(Some(100 * LARGE)), "alone");
    }

    #[tokio::test]
    async fn a_row_waits_until_another_makes_room_or_its_turn_comes() {
        let (order, mut turns, mut ahead) = rows(4);
        let size = Some(LARGE);
        assert!(ahead[0].may_begin(size) && ahead[1].may_begin(size));
        let [third, fourth] = [ahead.remove(2), ahead.remove(2)];
        let waiting = tokio::spawn(async move {
            third.until_room(size).await;
            third
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(ahead.remove(1));
        let _third = waiting.await.unwrap();
        let waiting = tokio::spawn(async move { fourth.until_room(size).await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        let _last_turn = turns.pop();
        // The rows before it end, and the writer passes on to its turn.
        drop(turns);
        order.end(Ending::Whole);
        order.next();
        waiting.await.unwrap();
    }
}
