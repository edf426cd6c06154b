//! Bytes of objects that are not written yet: in few pieces, and few of them in the whole run. Pure.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use bytes::Bytes;

/// Bytes of a piece that are worth one of its own: a piece costs some 100 bytes beside its content, and keeps what it
/// was received with.
const MIN_PIECE: usize = 4 * 1024;
/// Bytes that smaller pieces are joined to.
const JOINED: usize = 16 * 1024;

/// Bytes of one object after which they are written. An object that is smaller is created, written and renamed in one
/// blocking call, since the hop to a thread that may block costs more than the system calls.
pub(crate) const WRITE_SIZE: usize = 1024 * 1024;
/// Bytes of all objects together after which each object's are written sooner: once they are [`MIN_WRITE`].
const MAX_GATHERED: usize = 8 * 1024 * 1024;
/// About as many as one read of a fast connection brings.
const MIN_WRITE: usize = 64 * 1024;

/// The bytes that all objects of a run have gathered, and not written yet.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllGathered(Arc<AtomicUsize>);

/// Pieces of an object in order, the small ones joined: a body that comes byte by byte costs no more than its bytes.
#[derive(Debug)]
pub(crate) struct Gathered {
    pieces: Vec<Bytes>,
    /// Small pieces behind them.
    joined: Vec<u8>,
    n_bytes: Counted,
}

/// Pieces that are being written. They count as gathered until they are dropped.
#[derive(Debug)]
pub(crate) struct Pieces {
    pieces: Vec<Bytes>,
    _n_bytes: Counted,
}

/// Bytes of one object that count among those of the run.
#[derive(Debug)]
struct Counted {
    n: usize,
    all: AllGathered,
}

impl Gathered {
    /// Nothing yet, to be counted with what other objects have in `all`.
    pub(crate) fn new(all: &AllGathered) -> Self {
        Self {
            pieces: Vec::new(),
            joined: Vec::new(),
            n_bytes: Counted::none(all),
        }
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        self.n_bytes.add(piece.len());
        // A first piece may well be the only one, which is not worth a copy.
        let is_first = self.pieces.is_empty() && self.joined.is_empty();
        if piece.len() >= MIN_PIECE || is_first {
            self.end_joined();
            self.pieces.push(piece);
            return;
        }
        if self.joined.is_empty() {
            self.joined = Vec::with_capacity(JOINED);
            // It was not the only one.
            if let Some(first) = self.pieces.pop_if(|last| last.len() < MIN_PIECE) {
                self.joined.extend_from_slice(&first);
            }
        }
        self.joined.extend_from_slice(&piece);
        if self.joined.len() + MIN_PIECE > JOINED {
            self.end_joined();
        }
    }

    /// Bytes in all pieces.
    pub(crate) fn len(&self) -> usize {
        self.n_bytes.n
    }

    /// Whether it is time to write them.
    pub(crate) fn is_due(&self) -> bool {
        self.len() >= WRITE_SIZE || self.len() >= MIN_WRITE && self.n_bytes.all.are_many()
    }

    /// The pieces, which are gathered no longer.
    pub(crate) fn take(&mut self) -> Pieces {
        self.end_joined();
        let none = Counted::none(&self.n_bytes.all);
        Pieces {
            pieces: std::mem::take(&mut self.pieces),
            _n_bytes: std::mem::replace(&mut self.n_bytes, none),
        }
    }

    fn end_joined(&mut self) {
        if !self.joined.is_empty() {
            self.pieces.push(std::mem::take(&mut self.joined).into());
        }
    }
}

impl Deref for Pieces {
    type Target = [Bytes];

    fn deref(&self) -> &[Bytes] {
        &self.pieces
    }
}

impl AllGathered {
    pub(crate) fn n_bytes(&self) -> usize {
        self.0.load(Relaxed)
    }

    fn are_many(&self) -> bool {
        self.n_bytes() > MAX_GATHERED
    }
}

impl Counted {
    fn none(all: &AllGathered) -> Self {
        Self {
            n: 0,
            all: all.clone(),
        }
    }

    fn add(&mut self, n: usize) {
        self.n += n;
        self.all.0.fetch_add(n, Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.all.0.fetch_sub(self.n, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_joined_and_large_ones_are_not_copied() {
        let mut gathered = Gathered::new(&AllGathered::default());
        for _ in 0..100_000 {
            gathered.push(Bytes::from_static(b"x"));
        }
        assert_eq!(gathered.len(), 100_000);
        let pieces = gathered.take();
        assert!(pieces.len() < 12, "{}", pieces.len());
        assert_eq!(pieces.concat(), vec![b'x'; 100_000]);
        let large = Bytes::from(vec![1; MIN_PIECE]);
        gathered.push(large.clone());
        gathered.push(Bytes::from_static(b"2"));
        gathered.push(large.clone());
        assert_eq!(gathered.len(), 2 * MIN_PIECE + 1);
        let pieces = gathered.take();
        assert_eq!(pieces[0].as_ptr(), large.as_ptr());
        assert_eq!(pieces.len(), 3);
        assert_eq!((gathered.len(), gathered.take().len()), (0, 0));
    }

    #[test]
    fn a_small_first_piece_is_not_copied_unless_more_come() {
        let mut gathered = Gathered::new(&AllGathered::default());
        let first = Bytes::from(vec![1; 10]);
        gathered.push(first.clone());
        assert_eq!(gathered.take()[0].as_ptr(), first.as_ptr());
        gathered.push(first.clone());
        gathered.push(first.clone());
        let pieces = gathered.take();
        assert_eq!((pieces.len(), pieces[0].len()), (1, 20));
    }

    #[test]
    fn bytes_are_due_sooner_while_all_objects_have_many() {
        let all = AllGathered::default();
        let [mut one, mut other] = [Gathered::new(&all), Gathered::new(&all)];
        one.push(vec![0; WRITE_SIZE - 1].into());
        assert!(!one.is_due());
        other.push(vec![0; MAX_GATHERED - WRITE_SIZE + 1].into());
        assert!(!one.is_due() && other.is_due());
        one.push(vec![0; 1].into());
        assert!(one.is_due());
        // What is being written counts until it is written.
        let written = one.take();
        one.push(vec![0; MIN_WRITE - 1].into());
        assert!(!one.is_due());
        one.push(vec![0; 1].into());
        assert!(one.is_due());
        drop(written);
        assert!(!one.is_due());
        drop((one, other));
        assert_eq!(all.0.load(Relaxed), 0);
    }

    #[test]
    fn however_many_objects_are_under_way_the_run_gathers_little() {
        for n_objects in [1, 32, 100] {
            let all = AllGathered::default();
            let mut objects: Vec<_> = (0..n_objects).map(|_| Gathered::new(&all)).collect();
            for _ in 0..100 {
                for object in &mut objects {
                    object.push(vec![0; 16 * 1024].into());
                    if object.is_due() {
                        object.take();
                    }
                }
                let most = MAX_GATHERED.max(n_objects * MIN_WRITE) + 2 * 16 * 1024;
                assert!(all.0.load(Relaxed) <= most, "{n_objects}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_the_pieces_the_bytes_are_the_same(lengths in proptest::collection::vec(0_usize..9_000, 0..40)) {
            let mut gathered = Gathered::new(&AllGathered::default());
            let mut expected = Vec::new();
            for (n, length) in lengths.into_iter().enumerate() {
                let piece = vec![u8::try_from(n).unwrap(); length];
                expected.extend_from_slice(&piece);
                gathered.push(Bytes::from(piece));
            }
            proptest::prop_assert_eq!(gathered.len(), expected.len());
            proptest::prop_assert_eq!(gathered.take().concat(), expected);
        }
    }
}
