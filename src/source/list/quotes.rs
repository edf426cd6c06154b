//! Follows the quotes of a CSV beside the library that reads it, which takes any text: what follows a closed quote was not
//! written by the rules that it is read by (RFC 4180), so that its fields are others than they were, and a quote that is open at
//! the end has swallowed rows.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

/// Passes bytes through, and looks at their quotes.
pub(super) struct QuoteCheck<R> {
    input: R,
    quotes: Rc<RefCell<Quotes>>,
}

/// What the quotes up to here say.
#[derive(Debug)]
pub(super) struct Quotes {
    delimiter: u8,
    state: State,
    n_bytes: u64,
    last: u8,
    is_over: bool,
    /// Positions of texts that follow a closed quote. No more are kept than one read may hold.
    faults: VecDeque<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldBegins,
    Plain,
    Quoted,
    /// After a quote that is closed, unless another one follows.
    Closed,
}

impl<R> QuoteCheck<R> {
    pub(super) fn new(input: R, delimiter: u8) -> (Self, Rc<RefCell<Quotes>>) {
        let quotes = Rc::new(RefCell::new(Quotes {
            delimiter,
            state: State::FieldBegins,
            n_bytes: 0,
            last: b'\n',
            is_over: false,
            faults: VecDeque::new(),
        }));
        let check = Self {
            input,
            quotes: Rc::clone(&quotes),
        };
        (check, quotes)
    }
}

impl<R: Read> Read for QuoteCheck<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.input.read(buffer)?;
        let mut quotes = self.quotes.borrow_mut();
        quotes.is_over |= n == 0 && !buffer.is_empty();
        quotes.follow(&buffer[..n]);
        Ok(n)
    }
}

impl Quotes {
    /// Whether text follows a closed quote before this position. Such places are told once.
    pub(super) fn has_fault_before(&mut self, position: u64) -> bool {
        let n_before = self.faults.partition_point(|&fault| fault < position);
        self.faults.drain(..n_before);
        n_before > 0
    }

    /// Whether all is read, and a quote is open.
    pub(super) fn are_open_at_end(&self) -> bool {
        self.is_over && self.state == State::Quoted
    }

    /// Whether all is read, and the last row has no line end.
    pub(super) fn is_last_row_open(&self) -> bool {
        self.is_over && !matches!(self.last, b'\n' | b'\r')
    }

    fn follow(&mut self, bytes: &[u8]) {
        let ends_field =
            |byte: u8, delimiter: u8| byte == delimiter || matches!(byte, b'\n' | b'\r');
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            let rest = &bytes[at..];
            let n;
            (self.state, n) = match self.state {
                State::FieldBegins | State::Closed if byte == b'"' => (State::Quoted, 1),
                State::FieldBegins | State::Closed if ends_field(byte, self.delimiter) => {
                    (State::FieldBegins, 1)
                }
                State::FieldBegins => (State::Plain, 1),
                State::Plain => match memchr::memchr3(self.delimiter, b'\n', b'\r', rest) {
                    Some(end) => (State::FieldBegins, end + 1),
                    None => (State::Plain, rest.len()),
                },
                State::Quoted => match memchr::memchr(b'"', rest) {
                    Some(end) => (State::Closed, end + 1),
                    None => (State::Quoted, rest.len()),
                },
                State::Closed => {
                    self.faults.push_back(self.n_bytes + at as u64);
                    (State::Plain, 1)
                }
            };
            at += n;
        }
        self.last = bytes.last().copied().unwrap_or(self.last);
        self.n_bytes += bytes.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Positions of faults, whether a quote is open at the end, and whether the last row is, where the bytes come in pieces of
    /// this length.
    fn checked(text: &str, length: usize) -> (Vec<u64>, bool, bool) {
        let (mut check, quotes) = QuoteCheck::new(text.as_bytes(), b',');
        let mut buffer = vec![0; length];
        while check.read(&mut buffer).unwrap() > 0 {}
        let quotes = quotes.borrow();
        let faults = quotes.faults.iter().copied().collect();
        (faults, quotes.are_open_at_end(), quotes.is_last_row_open())
    }

    #[test]
    fn faults_and_open_quotes_are_found_however_the_bytes_arrive() {
        for (text, expected) in [
            ("", (vec![], false, false)),
            ("a,\"b\"\n", (vec![], false, false)),
            ("a,\"b\"\"c,\n\"\r\n", (vec![], false, false)),
            // Quotes within plain text are plain.
            ("a\"b,c\"\n", (vec![], false, false)),
            ("\"a\\\"b\",1\n", (vec![4], false, false)),
            ("\"a\"b,\"c\"d", (vec![3, 8], false, true)),
            ("a,\"b\nc\n", (vec![], true, false)),
            ("a,\"b", (vec![], true, true)),
            ("a,\"b\"", (vec![], false, true)),
        ] {
            for length in 1..8 {
                assert_eq!(checked(text, length), expected, "{text:?} by {length}");
            }
        }
    }

    #[test]
    fn faults_are_told_once_and_by_position() {
        let (mut check, quotes) = QuoteCheck::new(&b"\"a\"b\nc\n\"d\"e\n"[..], b',');
        io::copy(&mut check, &mut io::sink()).unwrap();
        let mut quotes = quotes.borrow_mut();
        let told = [5, 7, 13, 13].map(|end| quotes.has_fault_before(end));
        assert_eq!(told, [true, false, true, false]);
    }
}
