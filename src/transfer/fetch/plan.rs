//! The parts of a large object: their ranges, and who takes which. Pure.

use std::ops::Range;

/// More parts than this are made larger instead, so that what is known of them stays small whatever the object's size.
const MAX_PARTS: u64 = 10_000;

/// How an object is cut: into equal parts, the last of which may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the object.
    pub size: u64,
    /// Bytes of a part.
    pub part_size: u64,
}

impl Plan {
    /// Cuts an object of `size` bytes into parts of `part_size`, or of a multiple of it where they would be too many.
    pub fn new(size: u64, part_size: u64) -> Self {
        let multiple = size.div_ceil(part_size).div_ceil(MAX_PARTS).max(1);
        Self {
            size,
            part_size: part_size * multiple,
        }
    }

    pub fn n_parts(&self) -> usize {
        usize::try_from(self.size.div_ceil(self.part_size)).expect("at most MAX_PARTS")
    }

    /// The bytes of part `index`, from 0.
    pub fn range(&self, index: usize) -> Range<u64> {
        let start = index as u64 * self.part_size;
        start..(start + self.part_size).min(self.size)
    }
}

/// The parts that nobody has taken yet. The stream of the first GET takes them from the front, helpers from the back.
#[derive(Debug)]
pub struct Unclaimed {
    is_unclaimed: Vec<bool>,
    n_unclaimed: usize,
}

impl Unclaimed {
    /// All parts but those that are `done`.
    pub fn new(n_parts: usize, done: impl IntoIterator<Item = usize>) -> Self {
        let mut is_unclaimed = vec![true; n_parts];
        for index in done {
            is_unclaimed[index] = false;
        }
        let n_unclaimed = is_unclaimed.iter().filter(|&&is| is).count();
        Self {
            is_unclaimed,
            n_unclaimed,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.n_unclaimed == 0
    }

    /// Takes part `index`; `false` if it is taken or not there.
    pub fn claim(&mut self, index: usize) -> bool {
        let is_ours = self.is_unclaimed.get_mut(index).is_some_and(std::mem::take);
        self.n_unclaimed -= usize::from(is_ours);
        is_ours
    }

    pub fn claim_first(&mut self) -> Option<usize> {
        let index = self.is_unclaimed.iter().position(|&is| is)?;
        self.claim(index).then_some(index)
    }

    pub fn claim_last(&mut self) -> Option<usize> {
        let index = self.is_unclaimed.iter().rposition(|&is| is)?;
        self.claim(index).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_the_object_once() {
        let sizes = [
            (1, 8),
            (7, 8),
            (8, 8),
            (9, 8),
            (16, 8),
            (100_001, 7),
            (5 << 40, 8 << 20),
            (u64::MAX / 4, 1 << 20),
        ];
        for (size, part_size) in sizes {
            let plan = Plan::new(size, part_size);
            assert!(plan.n_parts() <= 10_000);
            assert_eq!(plan.part_size % part_size, 0);
            let mut end = 0;
            for index in 0..plan.n_parts() {
                let range = plan.range(index);
                assert!(
                    range.start == end && !range.is_empty(),
                    "part {index} of {size}"
                );
                end = range.end;
            }
            assert_eq!(end, size);
        }
    }

    #[test]
    fn front_and_back_meet() {
        let mut unclaimed = Unclaimed::new(5, [1]);
        assert!(
            unclaimed.claim(0) && !unclaimed.claim(0) && !unclaimed.claim(1) && !unclaimed.claim(9)
        );
        assert_eq!(unclaimed.claim_last(), Some(4));
        assert_eq!(unclaimed.claim_first(), Some(2));
        assert_eq!(unclaimed.claim_last(), Some(3));
        assert_eq!(unclaimed.claim_last(), None);
        assert_eq!(unclaimed.claim_first(), None);
        assert!(unclaimed.is_empty());
    }
}
