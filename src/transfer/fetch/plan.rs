//! The parts of a large object: their ranges, and who takes which. Pure.

use std::ops::Range;

/// More parts than this are made larger instead, so that what is known of them stays small whatever the object's size.
const MAX_PARTS: u64 = 10_000;

/// How an object is cut: into equal parts, the last of which may be shorter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Bytes of the object.
    pub size: u64,
    /// Bytes of a part.
    pub part_size: u64,
}

impl Plan {
    /// Cuts an object of `size` bytes into parts of `part_size`, or of a multiple of it where they would be too many.
    pub(crate) fn new(size: u64, part_size: u64) -> Self {
        let multiple = size.div_ceil(part_size).div_ceil(MAX_PARTS).max(1);
        Self {
            size,
            part_size: part_size * multiple,
        }
    }

    pub(crate) fn n_parts(&self) -> usize {
        usize::try_from(self.size.div_ceil(self.part_size)).expect("at most MAX_PARTS")
    }

    /// The bytes of part `index`, from 0.
    pub(crate) fn range(&self, index: usize) -> Range<u64> {
        let start = index as u64 * self.part_size;
        start..start.saturating_add(self.part_size).min(self.size)
    }
}

/// Where a part stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// A GET of its own was sent for it and is not answered yet.
    Asked,
    /// Its bytes are on their way.
    Taken,
    Done,
}

/// The parts of an object, and who takes which. The stream of the first GET takes them from the front, helpers from the
/// back. Once it shows that the server gives no parts, the stream goes on alone.
#[derive(Debug)]
pub(crate) struct Parts {
    states: Vec<State>,
    has_front: bool,
    is_alone: bool,
    /// A GET for a part was answered with it.
    is_proven: bool,
}

/// What the stream of the first GET does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Front {
    /// The part at its position is its own now.
    Take,
    /// Read over that part, which is there or on its way; later ones are wanted.
    Skip,
    /// Somebody asked for that part and has no answer yet.
    Wait,
    /// Nothing is left that it alone can bring.
    Leave,
}

impl Parts {
    /// All parts are free but those that are `done`.
    pub(crate) fn new(n_parts: usize, done: impl IntoIterator<Item = usize>) -> Self {
        let mut states = vec![State::Free; n_parts];
        for index in done {
            states[index] = State::Done;
        }
        Self {
            states,
            has_front: true,
            is_alone: false,
            is_proven: false,
        }
    }

    /// Whether there is a part that a helper may take.
    pub(crate) fn has_free(&self) -> bool {
        !self.is_alone && self.states.contains(&State::Free)
    }

    /// Whether the stream of the first GET is open and no other GET has brought a part yet: then parts that are refused
    /// are no loss.
    pub(crate) fn can_do_without(&self) -> bool {
        self.has_front && !self.is_proven
    }

    /// What the stream of the first GET, which is at the start of part `index`, does next. A part that somebody asked for
    /// is waited for, unless it `has_waited`.
    pub(crate) fn front(&mut self, index: usize, has_waited: bool) -> Front {
        let Some(&state) = self.states.get(index) else {
            return self.leave();
        };
        let is_any = |states: &[State], wanted| states.contains(&wanted);
        match state {
            State::Free => self.take(index),
            State::Asked if has_waited => self.take(index),
            State::Asked => Front::Wait,
            State::Taken | State::Done if self.is_alone => {
                let later = &self.states[index..];
                if is_any(later, State::Free) || is_any(later, State::Asked) {
                    Front::Skip
                } else {
                    self.leave()
                }
            }
            State::Taken | State::Done => {
                let is_undecided = !self.is_proven && is_any(&self.states, State::Asked);
                if is_undecided && !has_waited {
                    Front::Wait
                } else {
                    self.leave()
                }
            }
        }
    }

    fn take(&mut self, index: usize) -> Front {
        self.states[index] = State::Taken;
        Front::Take
    }

    fn leave(&mut self) -> Front {
        self.has_front = false;
        Front::Leave
    }

    /// The first free part, for a GET of its own.
    pub(crate) fn claim_first(&mut self) -> Option<usize> {
        let index = self.states.iter().position(|&state| state == State::Free)?;
        self.states[index] = State::Asked;
        Some(index)
    }

    /// The last free part, for a GET of its own.
    pub(crate) fn claim_last(&mut self) -> Option<usize> {
        let is_free = |&state: &State| state == State::Free;
        let index = self.states.iter().rposition(is_free)?;
        self.states[index] = State::Asked;
        Some(index)
    }

    /// Whether a GET for part `index` was sent, is not answered yet, and still wanted.
    pub(crate) fn is_asked(&self, index: usize) -> bool {
        self.states[index] == State::Asked
    }

    /// The GET for part `index` was answered with it; `false` if the first GET's stream has taken it meanwhile.
    pub(crate) fn answered(&mut self, index: usize) -> bool {
        self.is_proven = true;
        let is_wanted = self.states[index] == State::Asked;
        if is_wanted {
            self.states[index] = State::Taken;
        }
        is_wanted
    }

    pub(crate) fn done(&mut self, index: usize) {
        self.states[index] = State::Done;
    }

    /// Part `index` cannot be had by a GET of its own, and no other one is asked for either. `false` if the first GET's
    /// stream is gone, so that nobody brings it; `was_answered` tells whose part it is.
    pub(crate) fn give_back(&mut self, index: usize, was_answered: bool) -> bool {
        self.is_alone = true;
        if was_answered || self.states[index] == State::Asked {
            self.states[index] = State::Free;
        }
        self.has_front
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
            (u64::MAX - 2, 8 << 20),
            (u64::MAX, u64::MAX),
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
        let mut parts = Parts::new(5, [1]);
        assert_eq!(parts.front(0, false), Front::Take);
        assert_eq!(parts.claim_last(), Some(4));
        assert_eq!(parts.front(1, false), Front::Wait, "do parts work at all?");
        assert!(parts.answered(4));
        assert_eq!(parts.front(1, false), Front::Leave, "it is there already");
        assert_eq!(parts.claim_first(), Some(2));
        assert_eq!(parts.claim_last(), Some(3));
        assert_eq!((parts.claim_last(), parts.claim_first()), (None, None));
        assert!(!parts.has_free());
    }

    #[test]
    fn the_front_waits_for_an_answer_and_then_takes_the_part() {
        let mut parts = Parts::new(2, []);
        assert_eq!(parts.front(0, false), Front::Take);
        assert_eq!(parts.claim_last(), Some(1));
        assert_eq!(parts.front(1, false), Front::Wait);
        assert_eq!(parts.front(1, true), Front::Take);
        assert!(!parts.answered(1), "it came too late");
        assert!(parts.give_back(1, false));
        parts.done(1);
        assert_eq!(parts.front(2, false), Front::Leave);
    }

    #[test]
    fn the_front_goes_on_alone_over_what_is_there() {
        let mut parts = Parts::new(6, []);
        assert_eq!(parts.front(0, false), Front::Take);
        assert_eq!([(); 3].map(|()| parts.claim_last()), [5, 4, 3].map(Some));
        assert!(parts.answered(3) && !parts.can_do_without());
        assert!(parts.give_back(4, false), "the stream can bring it");
        assert!(!parts.has_free(), "for a helper");
        assert_eq!(parts.front(1, false), Front::Take);
        assert_eq!(parts.front(2, false), Front::Take);
        assert_eq!(parts.front(3, false), Front::Skip);
        assert_eq!(parts.front(4, false), Front::Take);
        parts.done(3);
        assert_eq!(parts.front(5, false), Front::Wait);
        assert!(parts.give_back(5, false));
        assert_eq!(parts.front(5, false), Front::Take);
        assert_eq!(parts.front(6, false), Front::Leave);
        assert!(!parts.give_back(3, true), "nobody brings it any more");
    }
}
