//! Fails once too many bytes have been read without completing a row, so that a library that buffers a whole row cannot
//! exhaust memory.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read};
use std::rc::Rc;

pub(super) struct RowLimit<R> {
    input: R,
    /// Bytes read since the last row. The code that finds a row sets it to 0.
    since_row: Rc<Cell<usize>>,
    max: usize,
}

impl<R> RowLimit<R> {
    /// Returns the reader and its counter. Reading fails once more than `max` bytes were read since the counter was set to 0.
    pub(super) fn new(input: R, max: usize) -> (Self, Rc<Cell<usize>>) {
        let since_row = Rc::<Cell<usize>>::default();
        let limited = Self {
            input,
            since_row: Rc::clone(&since_row),
            max,
        };
        (limited, since_row)
    }
}

impl<R: Read> Read for RowLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.since_row.get() > self.max {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let n = self.input.read(buffer)?;
        self.since_row.set(self.since_row.get() + n);
        Ok(n)
    }
}
