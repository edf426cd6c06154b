//! A bounded queue of lines before a writer that may block for as long as it likes, such as a pipe that nobody reads.
//!
//! A thread of its own writes what waits, as much at a time as has gathered. Nobody else ever waits for the writer without
//! a limit.

use std::io::{self, ErrorKind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::locks;

/// Lines, and bytes of lines, that may wait. A line that is longer by itself still finds room in an empty queue.
const MAX_LINES: usize = 1000;
const MAX_BYTES: usize = 1 << 20;

/// Bytes per write: few enough to notice a reader that is slow, and no more than slow.
const WRITE_SIZE: usize = 8 * 1024;

/// How long lines gather after a write, so that not each of them wakes the thread.
const LINGER: Duration = Duration::from_millis(1);

/// How soon a writer that cannot take anything at the moment is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// Lines on their way to a writer. Clones share it.
#[derive(Clone)]
pub(super) struct Queue(Arc<Handle>);

struct Handle(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    waiting: Vec<u8>,
    n_lines: usize,
    is_writing: bool,
    /// When the writer last took something, or there was nothing for it to take.
    last_progress: Instant,
    closed: Option<(ErrorKind, String)>,
    is_over: bool,
}

impl State {
    fn is_full(&self) -> bool {
        self.n_lines >= MAX_LINES || self.waiting.len() >= MAX_BYTES
    }

    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.is_writing
    }

    fn open(&self) -> io::Result<()> {
        match &self.closed {
            Some((kind, message)) => Err(io::Error::new(*kind, message.clone())),
            None => Ok(()),
        }
    }

    fn stalled(&self) -> Duration {
        if self.is_empty() {
            Duration::ZERO
        } else {
            self.last_progress.elapsed()
        }
    }
}

impl Queue {
    /// Starts the thread, which calls `write` with some of the bytes that wait.
    pub(super) fn start(write: impl FnMut(&[u8]) -> io::Result<usize> + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                waiting: Vec::new(),
                n_lines: 0,
                is_writing: false,
                last_progress: Instant::now(),
                closed: None,
                is_over: false,
            }),
            changed: Condvar::new(),
        });
        let handle = Handle(Arc::clone(&shared));
        thread::spawn(move || shared.write_all(write));
        Self(Arc::new(handle))
    }

    /// Adds `n_lines` lines. Returns `false`, and adds nothing, if too many wait.
    ///
    /// # Errors
    /// When the writer failed, or the queue was closed.
    pub(super) fn push(&self, lines: &[u8], n_lines: usize) -> io::Result<bool> {
        let mut state = self.0.0.lock();
        state.open()?;
        let has_room = !state.is_full();
        if has_room {
            self.add(&mut state, lines, n_lines);
        }
        Ok(has_room)
    }

    /// Adds lines, however many wait: few, at the end of all.
    pub(super) fn insist(&self, lines: &[u8]) {
        let mut state = self.0.0.lock();
        if state.closed.is_none() {
            self.add(&mut state, lines, 1);
        }
    }

    fn add(&self, state: &mut State, lines: &[u8], n_lines: usize) {
        if state.is_empty() {
            state.last_progress = Instant::now();
            // A thread that is writing looks for more by itself.
            self.0.0.changed.notify_all();
        }
        state.waiting.extend_from_slice(lines);
        state.n_lines += n_lines;
    }

    /// Waits for room, for no longer than `limit`. Returns how long the writer has taken nothing.
    pub(super) fn wait_for_room(&self, limit: Duration) -> Duration {
        self.wait_while(limit, State::is_full)
    }

    /// Waits until all is written, for no longer than `limit`. Returns how long the writer has taken nothing, or `None`
    /// when all is written.
    ///
    /// # Errors
    /// When the writer failed, or the queue was closed.
    pub(super) fn flush(&self, limit: Duration) -> io::Result<Option<Duration>> {
        let stalled = self.wait_while(limit, |state| !state.is_empty());
        let state = self.0.0.lock();
        state.open()?;
        Ok((!state.is_empty()).then_some(stalled))
    }

    fn wait_while(&self, limit: Duration, is_to_wait: impl Fn(&State) -> bool) -> Duration {
        let is_to_wait = |state: &mut State| state.closed.is_none() && is_to_wait(state);
        let shared = &self.0.0;
        let state = locks::wait_while_within(&shared.changed, shared.lock(), limit, is_to_wait);
        state.stalled()
    }

    /// Takes no more lines, as if the writer had failed for this reason.
    pub(super) fn close(&self, kind: ErrorKind, message: String) {
        self.0.0.close(kind, message);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.changed.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        locks::lock(&self.state)
    }

    fn close(&self, kind: ErrorKind, message: String) {
        self.lock().closed.get_or_insert((kind, message));
        self.changed.notify_all();
    }

    /// Writes until nobody is left who could add lines, or the writer fails.
    fn write_all(&self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) {
        let mut batch = Vec::new();
        while self.take(&mut batch) {
            let mut rest = &batch[..];
            while !rest.is_empty() {
                match write(&rest[..whole_lines(rest)]) {
                    Ok(0) => {
                        return self.close(ErrorKind::WriteZero, "it takes no bytes".to_owned());
                    }
                    Ok(n) => {
                        rest = &rest[n..];
                        self.lock().last_progress = Instant::now();
                    }
                    Err(error) if is_to_be_tried_again(&error) => thread::sleep(RETRY),
                    Err(error) => return self.close(error.kind(), error.to_string()),
                }
            }
            thread::sleep(LINGER);
        }
    }

    /// Waits for lines, and takes all of them. Returns `false` when there will be none.
    fn take(&self, batch: &mut Vec<u8>) -> bool {
        batch.clear();
        let mut state = self.lock();
        state.is_writing = false;
        self.changed.notify_all();
        let mut state = locks::wait_while(&self.changed, state, |state| {
            state.waiting.is_empty() && !state.is_over
        });
        std::mem::swap(&mut state.waiting, batch);
        state.n_lines = 0;
        state.is_writing = !batch.is_empty();
        self.changed.notify_all();
        state.is_writing
    }
}

/// Whether the writer could not take anything just now: it was interrupted, or is in non-blocking mode.
pub(super) fn is_to_be_tried_again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock)
}

/// Bytes to write at once: whole lines where there are such, since others may write to the same stream.
fn whole_lines(bytes: &[u8]) -> usize {
    let most = bytes.len().min(WRITE_SIZE);
    memchr::memrchr(b'\n', &bytes[..most]).map_or(most, |end| end + 1)
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A writer that takes bytes only while it is let.
    pub(crate) struct Reader {
        permits: mpsc::Sender<()>,
        read: Arc<Mutex<Vec<u8>>>,
    }

    impl Reader {
        pub(crate) fn stalled() -> (
            Self,
            impl FnMut(&[u8]) -> io::Result<usize> + Send + 'static,
        ) {
            let (permits, permitted) = mpsc::channel();
            let read = Arc::new(Mutex::new(Vec::new()));
            let written = Arc::clone(&read);
            let mut is_free = false;
            let write = move |bytes: &[u8]| {
                // Once the sender is gone, everything is taken.
                is_free = is_free || permitted.recv().is_err();
                written.lock().unwrap().extend_from_slice(bytes);
                Ok(bytes.len())
            };
            (Self { permits, read }, write)
        }

        /// Lets one write through.
        pub(crate) fn let_one(&self) {
            self.permits.send(()).unwrap();
        }

        /// Reads all from now on.
        pub(crate) fn read_on(self) -> Arc<Mutex<Vec<u8>>> {
            self.read
        }
    }

    const FOREVER: Duration = Duration::from_mins(1);

    #[test]
    fn lines_come_out_whole_and_in_order_however_late_they_are_read() {
        let (reader, write) = Reader::stalled();
        let queue = Queue::start(write);
        let mut expected = Vec::new();
        let mut n = 0;
        loop {
            let line = format!("line {n}\n");
            if !queue.push(line.as_bytes(), 1).unwrap() {
                break;
            }
            expected.extend_from_slice(line.as_bytes());
            n += 1;
            assert!(n <= 2 * MAX_LINES + 1, "the queue is not bounded");
        }
        queue.insist(b"the end\n");
        expected.extend_from_slice(b"the end\n");
        assert!(queue.flush(Duration::ZERO).unwrap().is_some());
        let read = reader.read_on();
        assert_eq!(queue.flush(FOREVER).unwrap(), None);
        assert!(*read.lock().unwrap() == expected);
        assert!(queue.push(b"more\n", 1).unwrap());
    }

    #[test]
    fn long_lines_fill_the_queue_too() {
        let (_reader, write) = Reader::stalled();
        let queue = Queue::start(write);
        let line = vec![b'x'; MAX_BYTES];
        let n = (0..10)
            .take_while(|_| queue.push(&line, 1).unwrap())
            .count();
        // One may be with the writer by then.
        assert!((1..=2).contains(&n), "{n}");
    }

    #[test]
    fn a_writer_that_fails_is_told_to_everyone() {
        let queue = Queue::start(|_| Err(ErrorKind::BrokenPipe.into()));
        queue.push(b"line\n", 1).unwrap();
        let error = queue.flush(FOREVER).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        assert!(queue.push(b"line\n", 1).is_err());
    }

    #[test]
    fn what_was_closed_takes_nothing_more() {
        let (_reader, write) = Reader::stalled();
        let queue = Queue::start(write);
        queue.push(b"line\n", 1).unwrap();
        queue.close(ErrorKind::TimedOut, "nobody reads it".to_owned());
        let error = queue.push(b"line\n", 1).unwrap_err();
        assert_eq!(error.to_string(), "nobody reads it");
        assert!(queue.flush(FOREVER).is_err());
    }

    #[test]
    fn a_writer_that_takes_something_is_not_stalled() {
        let (reader, write) = Reader::stalled();
        let queue = Queue::start(write);
        queue.insist(&vec![b'x'; 100 * WRITE_SIZE]);
        thread::sleep(Duration::from_millis(50));
        let stalled = || queue.flush(Duration::ZERO).unwrap().unwrap();
        let before = stalled();
        assert!(before >= Duration::from_millis(50), "{before:?}");
        // Where the machine stalls, a write may be followed by as long a pause, of which this thread sees the end only.
        let takes_something = |_| {
            reader.let_one();
            (0..100).any(|_| {
                thread::sleep(Duration::from_millis(1));
                stalled() < before
            })
        };
        assert!((0..50).any(takes_something));
    }
}
