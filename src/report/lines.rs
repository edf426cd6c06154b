//! Lines for programs, on stdout or another stream: none of them is dropped, so a reader that stalls is waited for, within
//! limits.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::time::Duration;

use super::console::{Patience, Stderr, TICK};
use super::queue::Queue;
use super::text::duration;

/// How long nobody has read the stream when that is said.
const STALL_TO_TELL: Duration = Duration::from_secs(5);

/// Lines for programs, on stdout or another stream.
pub(super) struct Lines {
    /// What people call the stream.
    name: &'static str,
    queue: Queue,
    stderr: Stderr,
    patience: Patience,
    has_told: bool,
}

impl Lines {
    /// Those on stdout. `stderr` is told when nobody reads it.
    pub(super) fn stdout(stderr: Stderr, patience: Patience) -> Self {
        let queue = Queue::start(|bytes| io::stdout().lock().write(bytes));
        Self::of("stdout", queue, stderr, patience)
    }

    /// Those on another stream.
    pub(super) fn stream(
        name: &'static str,
        mut stream: File,
        stderr: Stderr,
        patience: Patience,
    ) -> Self {
        let queue = Queue::start(move |bytes| stream.write(bytes));
        Self::of(name, queue, stderr, patience)
    }

    /// What prints lines without ever waiting.
    pub(super) fn by_the_way(&self) -> ByTheWay {
        ByTheWay(self.queue.clone())
    }

    fn of(name: &'static str, queue: Queue, stderr: Stderr, patience: Patience) -> Self {
        Self {
            name,
            queue,
            stderr,
            patience,
            has_told: false,
        }
    }

    /// Prints a line, which waits for room.
    ///
    /// # Errors
    /// When the stream cannot be written to, or nobody has read it for too long.
    pub(super) fn print(&mut self, line: &[u8]) -> io::Result<()> {
        while !self.queue.push(line, 1)? {
            let stalled = self.queue.wait_for_room(TICK);
            self.check(stalled)?;
        }
        Ok(())
    }

    /// Waits until everything is printed.
    ///
    /// # Errors
    /// When the stream cannot be written to, or nobody has read it for too long.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(stalled) = self.queue.flush(TICK)? {
            self.check(stalled)?;
        }
        Ok(())
    }

    fn check(&mut self, stalled: Duration) -> io::Result<()> {
        if self.patience.is_over(stalled) {
            let message = format!("{} has not been read for {}", self.name, duration(stalled));
            self.queue.close(ErrorKind::TimedOut, message.clone());
            return Err(io::Error::new(ErrorKind::TimedOut, message));
        }
        if stalled >= STALL_TO_TELL && !self.has_told {
            self.has_told = true;
            self.stderr.say(&format!(
                "s3pull: warning: {} has not been read for {} s; waiting",
                self.name,
                STALL_TO_TELL.as_secs()
            ));
        }
        Ok(())
    }
}

/// Prints lines for programs that are not worth waiting for.
pub(crate) struct ByTheWay(Queue);

impl ByTheWay {
    /// Prints a line, unless there is no room for it.
    ///
    /// # Errors
    /// When the stream cannot be written to.
    pub(crate) fn print(&self, line: &[u8]) -> io::Result<()> {
        self.0.push(line, 1).map(|_| ())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use super::super::queue::tests::Reader;
    use super::*;
    use crate::stop::{Phase, Stop};

    /// Lines that are written by `write`, which nobody is told of.
    pub(crate) fn lines_to(
        write: impl FnMut(&[u8]) -> io::Result<usize> + Send + 'static,
    ) -> Lines {
        let stderr = Stderr::start(|bytes| Ok(bytes.len()));
        Lines::of("the stream", Queue::start(write), stderr, Patience::Endless)
    }

    fn text(read: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(read.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_stdout_that_is_not_read_counts_as_closed_once_the_run_was_stopped() {
        let (_stdout_reader, stdout_write) = Reader::stalled();
        let (stderr_reader, stderr_write) = Reader::stalled();
        let stderr = Stderr::start(stderr_write);
        let stop = Arc::new(Stop::default());
        let patience = Patience::Of(Arc::clone(&stop));
        let mut stdout = Lines::of(
            "stdout",
            Queue::start(stdout_write),
            stderr.clone(),
            patience,
        );
        stdout.check(STALL_TO_TELL).unwrap();
        stdout.check(Duration::from_mins(1)).unwrap();
        stop.be_awaited();
        stdout.check(Duration::from_mins(1)).unwrap();
        stop.escalate(Phase::Abandoned);
        let error = loop {
            // Until there is no more room.
            if let Err(error) = stdout.print(b"event\n") {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        let read = stderr_reader.read_on();
        stderr.flush(&Patience::Endless);
        assert_eq!(
            text(&read),
            "s3pull: warning: stdout has not been read for 5 s; waiting\n"
        );
    }
}
