//! Bytes of an object that are not written yet, in few pieces. Pure.

use bytes::Bytes;

/// Bytes of a piece that are worth one of its own: a piece costs some 100 bytes beside its content, and keeps what it
/// was received with.
const MIN_PIECE: usize = 4 * 1024;
/// Bytes that smaller pieces are joined to.
const JOINED: usize = 16 * 1024;

/// Pieces of an object in order, the small ones joined: a body that comes byte by byte costs no more than its bytes.
#[derive(Debug, Default)]
pub struct Gathered {
    pieces: Vec<Bytes>,
    /// Small pieces behind them.
    joined: Vec<u8>,
    n_bytes: usize,
}

impl Gathered {
    pub fn push(&mut self, piece: Bytes) {
        self.n_bytes += piece.len();
        // A first piece may well be the only one, which is not worth a copy.
        let is_first = self.pieces.is_empty() && self.joined.is_empty();
        if piece.len() >= MIN_PIECE || is_first {
            self.end_joined();
            self.pieces.push(piece);
            return;
        }
        if self.joined.is_empty() {
            self.joined = Vec::with_capacity(JOINED);
        }
        self.joined.extend_from_slice(&piece);
        if self.joined.len() + MIN_PIECE > JOINED {
            self.end_joined();
        }
    }

    /// Bytes in all pieces.
    pub fn len(&self) -> usize {
        self.n_bytes
    }

    /// The pieces, which are gathered no longer.
    pub fn take(&mut self) -> Vec<Bytes> {
        self.end_joined();
        self.n_bytes = 0;
        std::mem::take(&mut self.pieces)
    }

    fn end_joined(&mut self) {
        if !self.joined.is_empty() {
            self.pieces.push(std::mem::take(&mut self.joined).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_joined_and_large_ones_are_not_copied() {
        let mut gathered = Gathered::default();
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

    proptest::proptest! {
        #[test]
        fn whatever_the_pieces_the_bytes_are_the_same(lengths in proptest::collection::vec(0_usize..9_000, 0..40)) {
            let mut gathered = Gathered::default();
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
