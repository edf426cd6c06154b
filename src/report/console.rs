//! The one place that prints: people's text on stderr, events on stdout. During a run each has a queue and a thread of its
//! own, so that a reader that stalls does not stop downloads without a word.

use std::fs::File;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::paint::Paint;
use super::queue::{Queue, is_to_be_tried_again};
use super::text::count;
use crate::locks::lock;
use crate::printable::printable;
use crate::stop::{Phase, Stop};

/// How long a line on stderr waits for room before it is dropped.
const MAX_WAIT: Duration = Duration::from_secs(1);

/// How long nobody has read stdout when it counts as closed.
const MAX_STALL: Duration = Duration::from_mins(5);

/// The same, once somebody has stopped the run and waits for its end, and once they have asked twice.
const MAX_STALL_AFTER_SIGNAL: Duration = Duration::from_secs(5);
const MAX_STALL_AT_LAST: Duration = Duration::from_millis(300);

/// How often the phase of the run is looked at while a reader is waited for.
pub(super) const TICK: Duration = Duration::from_millis(50);

/// Prints an error that ended the run, with its causes, and a hint where one is known, before or after a run.
pub fn error(error: &anyhow::Error, hint: Option<&str>) {
    say(&error_text(error, hint));
}

pub(crate) fn error_text(error: &anyhow::Error, hint: Option<&str>) -> String {
    let hint = hint.map_or_else(String::new, |hint| format!("\nhint: {}", printable(hint)));
    format!("s3pull: error: {}{hint}", printable(&one_line(error)))
}

/// An error and its causes, each told once.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if message.contains(&text) {
            continue;
        }
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&text);
    }
    message
}

/// Prints lines for people, at once unless that would hold something up. A closed stderr does not stop the run.
pub(crate) fn say(lines: &str) {
    let _ = io::stderr()
        .lock()
        .write_all(&escaped(lines, Paint::of_stderr()));
}

/// Names and the server's words are escaped where they are put in, line ends among them. What slipped through does no harm
/// either.
fn escaped(lines: &str, paint: Paint) -> Vec<u8> {
    let mut text = Vec::with_capacity(lines.len() + 1);
    for line in lines.split('\n') {
        for part in paint.line(&printable(line)) {
            text.extend_from_slice(part.as_bytes());
        }
        text.push(b'\n');
    }
    text
}

/// Lines for people during a run. Clones share the queue.
#[derive(Clone)]
pub struct Stderr {
    /// What people call the stream.
    name: &'static str,
    queue: Queue,
    /// Lines that nobody will read.
    n_dropped: Arc<Mutex<u64>>,
    paint: Paint,
    /// Where all lines go too.
    log: Option<Arc<Self>>,
}

impl Stderr {
    /// `write` is called by a thread of its own. What it cannot write, such as a log on a full disk, is passed over: it may
    /// take later lines.
    pub fn start(mut write: impl FnMut(&[u8]) -> io::Result<usize> + Send + 'static) -> Self {
        let write = move |bytes: &[u8]| match write(bytes) {
            Err(error) if !is_to_be_tried_again(&error) => Ok(bytes.len()),
            written => written,
        };
        Self {
            name: "stderr",
            queue: Queue::start(write),
            n_dropped: Arc::default(),
            paint: Paint::Plain,
            log: None,
        }
    }

    /// With colours.
    pub fn painted(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }

    /// With a copy of every line in `log`, if there is one.
    pub fn with_log(self, log: Option<File>) -> Self {
        let log = log.map(|mut file| {
            Arc::new(Self {
                name: "the file of `--log`",
                ..Self::start(move |bytes| file.write(bytes))
            })
        });
        Self { log, ..self }
    }

    /// Prints lines that need not be seen at once: only to the log, if there is one.
    pub fn note(&self, lines: &str) {
        match &self.log {
            Some(log) => log.say(lines),
            None => self.say(lines),
        }
    }

    /// Prints a line, or a few. They are dropped, and counted, if there is no room for them for a second: nothing that
    /// people read is worth stopping downloads for.
    pub fn say(&self, lines: &str) {
        if let Some(log) = &self.log {
            log.say(lines);
        }
        let text = escaped(lines, self.paint);
        let n_lines = lines.split('\n').count();
        let mut n_dropped = lock(&self.n_dropped);
        let until = Instant::now() + MAX_WAIT;
        // While lines are being dropped, none waits.
        let is_dropping = *n_dropped > 0;
        loop {
            let lost = self.dropped_lines(*n_dropped);
            match self.queue.push(&[&lost[..], &text[..]].concat(), n_lines) {
                Ok(true) => {
                    *n_dropped = 0;
                    return;
                }
                Ok(false) if !is_dropping && Instant::now() < until => {
                    self.queue.wait_for_room(TICK);
                }
                Ok(false) => {
                    *n_dropped += n_lines as u64;
                    return;
                }
                // Nothing closes it.
                Err(_) => return,
            }
        }
    }

    /// Prints lines that must not be dropped, at the end of a run.
    pub fn insist(&self, lines: &str) {
        if let Some(log) = &self.log {
            log.insist(lines);
        }
        let mut n_dropped = lock(&self.n_dropped);
        let lost = self.dropped_lines(std::mem::take(&mut *n_dropped));
        self.queue
            .insist(&[lost, escaped(lines, self.paint)].concat());
    }

    /// Waits until everything is printed, or `limit` is over.
    pub fn flush_within(&self, limit: Duration) {
        if let Some(log) = &self.log {
            log.flush_within(limit);
        }
        // Nothing closes it.
        let _ = self.queue.flush(limit);
    }

    /// Waits until everything is printed, unless nobody reads it, and for long enough.
    pub fn flush(&self, patience: &Patience) {
        if let Some(log) = &self.log {
            log.flush(patience);
        }
        while let Ok(Some(stalled)) = self.queue.flush(TICK) {
            if patience.is_over(stalled) {
                return;
            }
        }
    }

    fn dropped_lines(&self, n: u64) -> Vec<u8> {
        if n == 0 {
            return Vec::new();
        }
        let (lines, name) = (count(n, "line"), self.name);
        let told = format!("s3pull: {lines} not printed: {name} was not read");
        escaped(&told, self.paint)
    }
}

/// How long readers that stall are waited for.
#[derive(Debug, Clone)]
pub enum Patience {
    /// For as long as it takes: nothing else waits.
    Endless,
    /// For a few minutes, and for less once this run is being stopped.
    Of(Arc<Stop>),
}

impl Patience {
    pub(super) fn is_over(&self, stalled: Duration) -> bool {
        let Self::Of(stop) = self else {
            return false;
        };
        match stop.awaited_for() {
            None => stalled >= MAX_STALL,
            Some(_) if stop.phase() == Phase::Abandoned => stalled >= MAX_STALL_AT_LAST,
            Some(time) => stalled.min(time) >= MAX_STALL_AFTER_SIGNAL,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::super::queue::tests::Reader;
    use super::*;

    fn text(read: &Mutex<Vec<u8>>) -> String {
        String::from_utf8(read.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn a_stderr_that_is_not_read_holds_nobody_up_and_what_was_dropped_is_told() {
        let (reader, write) = Reader::stalled();
        let stderr = Stderr::start(write);
        let started = Instant::now();
        for n in 0..100_000 {
            stderr.say(&format!("line {n}"));
        }
        assert!(started.elapsed() < Duration::from_mins(3));
        stderr.insist("the summary\nof two lines");
        let read = reader.read_on();
        stderr.flush(&Patience::Endless);
        let text = text(&read);
        let lines: Vec<_> = text.lines().collect();
        let [printed @ .., dropped, "the summary", "of two lines"] = &lines[..] else {
            panic!("{:?}", lines.last());
        };
        for (n, line) in printed.iter().enumerate() {
            assert_eq!(*line, format!("line {n}"));
        }
        let n_dropped = super::super::text::number(100_000 - printed.len() as u64);
        let expected = format!("s3pull: {n_dropped} lines not printed: stderr was not read");
        assert_eq!(*dropped, expected);
    }

    #[test]
    fn lines_that_were_dropped_are_told_before_the_next_one() {
        let (reader, write) = Reader::stalled();
        let stderr = Stderr::start(write);
        *stderr.n_dropped.lock().unwrap() = 1;
        stderr.say("next");
        let read = reader.read_on();
        stderr.flush(&Patience::Endless);
        assert_eq!(
            text(&read),
            "s3pull: 1 line not printed: stderr was not read\nnext\n"
        );
    }

    #[test]
    fn a_log_that_cannot_be_written_gets_what_comes_later() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&written);
        let mut n_calls = 0;
        let stderr = Stderr::start(move |bytes| {
            n_calls += 1;
            if n_calls == 1 {
                return Err(ErrorKind::StorageFull.into());
            }
            log.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        });
        stderr.say("lost");
        stderr.flush(&Patience::Endless);
        stderr.insist("the summary");
        stderr.flush(&Patience::Endless);
        assert_eq!(text(&written), "the summary\n");
    }

    #[test]
    fn a_log_has_all_lines_and_stderr_only_those_that_are_to_be_seen_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let file = File::create(&path).unwrap();
        let (reader, write) = Reader::stalled();
        let stderr = Stderr::start(write).painted(Paint::Coloured);
        let stderr = stderr.with_log(Some(file));
        stderr.note("s3pull: downloaded a");
        stderr.say("s3pull: failed: b");
        stderr.insist("s3pull: the summary");
        let read = reader.read_on();
        stderr.flush(&Patience::Endless);
        assert_eq!(
            std::fs::read_to_string(path).unwrap(),
            "s3pull: downloaded a\ns3pull: failed: b\ns3pull: the summary\n"
        );
        assert_eq!(
            text(&read),
            "s3pull: \u{1b}[1;31mfailed:\u{1b}[0m b\ns3pull: the summary\n"
        );
    }

    #[test]
    fn nobody_waits_for_ever() {
        let patience = Patience::Of(Arc::default());
        assert!(!patience.is_over(MAX_STALL / 2) && patience.is_over(MAX_STALL));
        assert!(!Patience::Endless.is_over(MAX_STALL * 100));
    }
}
