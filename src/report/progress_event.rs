//! An event every 10 seconds on how far the run is, among the events of rows.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::lines::ByTheWay;
use super::look::Look;
use super::rate::Rate;

/// How often there is an event.
pub(super) const INTERVAL: Duration = Duration::from_secs(10);

/// How far the run is.
#[derive(Serialize)]
struct ProgressEvent<'a> {
    r#type: &'static str,
    rows: u64,
    downloaded: u64,
    skipped: u64,
    failed: u64,
    rows_total: Option<u64>,
    bytes: u64,
    bytes_total: Option<u64>,
    bytes_per_second: u64,
    in_flight: u64,
    retrying: u64,
    waiting: Option<&'a str>,
    list_complete: bool,
    duration_ms: u64,
}

impl<'a> ProgressEvent<'a> {
    fn of(look: &'a Look, rate: &Rate) -> Self {
        let counts = &look.counts;
        Self {
            r#type: "progress",
            rows: counts.n_done(),
            downloaded: counts.n_downloaded,
            skipped: counts.n_skipped,
            failed: counts.n_failed,
            rows_total: look.totals.map(|totals| totals.n_rows),
            bytes: counts.bytes,
            bytes_total: look.all_bytes(),
            bytes_per_second: rate.current(),
            in_flight: look.n_in_flight,
            retrying: look.retries.as_ref().map_or(0, |retries| retries.n),
            waiting: look.outage.as_ref().map(|(cause, _)| cause.as_str()),
            list_complete: look.is_list_read,
            duration_ms: u64::try_from(look.elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

/// Prints the events until it is dropped.
pub(super) struct ProgressEvents {
    /// Dropped to end the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressEvents {
    /// Prints an event of what `look` sees each `interval`, as long as there is room among `lines`: an event of progress is
    /// not worth waiting for.
    pub(super) fn start(
        look: impl Fn() -> Look + Send + 'static,
        lines: ByTheWay,
        interval: Duration,
    ) -> Self {
        let (stop, stopped) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut rate = Rate::default();
            rate.note(Instant::now(), &look().counts);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(interval) {
                let look = look();
                rate.note(Instant::now(), &look.counts);
                let event = serde_json::to_vec(&ProgressEvent::of(&look, &rate));
                let Ok(mut line) = event else { return };
                line.push(b'\n');
                // Whoever prints the next row meets the same error.
                if lines.print(&line).is_err() {
                    return;
                }
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for ProgressEvents {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It never waits for anything but the interval.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;
    use crate::meter::{Counts, Retries};
    use crate::source::Totals;

    fn look() -> Look {
        Look {
            counts: Counts {
                n_downloaded: 3,
                n_skipped: 2,
                n_failed: 1,
                bytes: 100,
                ..Counts::default()
            },
            totals: Some(Totals {
                n_rows: 10,
                bytes: 1_000,
                n_without_size: 0,
            }),
            is_list_read: true,
            n_in_flight: 4,
            retries: Some(Retries {
                n: 2,
                code: "SlowDown".into(),
            }),
            outage: Some(("no way".to_owned(), Duration::from_secs(1))),
            elapsed: Duration::from_secs(12),
            ..Look::default()
        }
    }

    fn event(look: &Look) -> Value {
        serde_json::to_value(ProgressEvent::of(look, &Rate::default())).unwrap()
    }

    #[test]
    fn an_event_says_how_far_the_run_is() {
        let event = event(&look());
        for (member, value) in [
            ("type", Value::from("progress")),
            ("rows", 6.into()),
            ("rows_total", 10.into()),
            ("bytes", 100.into()),
            ("bytes_total", 1_000.into()),
            ("in_flight", 4.into()),
            ("retrying", 2.into()),
            ("waiting", "no way".into()),
            ("list_complete", true.into()),
            ("duration_ms", 12_000.into()),
        ] {
            assert_eq!(event[member], value, "{member}");
        }
        let unknown = self::event(&Look::default());
        for member in ["rows_total", "bytes_total", "waiting"] {
            assert_eq!(unknown[member], Value::Null, "{member}");
        }
    }

    #[test]
    fn the_readme_lists_every_member_and_no_other() {
        let readme = include_str!("../../README.md");
        let start = readme.find("{\"type\": \"progress\"").unwrap();
        let mut values = serde_json::Deserializer::from_str(&readme[start..]).into_iter();
        let documented: Value = values.next().unwrap().unwrap();
        let members = |event: &Value| {
            let members = event.as_object().unwrap().keys().cloned();
            members.collect::<BTreeSet<_>>()
        };
        assert_eq!(members(&event(&look())), members(&documented));
    }

    #[test]
    fn events_come_until_the_end_and_are_left_out_where_nobody_reads() {
        use super::super::lines::tests::lines_to;
        use super::super::queue::tests::Reader;

        let (reader, write) = Reader::stalled();
        let lines = lines_to(write);
        let seen = Arc::new(std::sync::atomic::AtomicU64::new(0));
        let looks = Arc::clone(&seen);
        let look = move || {
            looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            look()
        };
        let events = ProgressEvents::start(look, lines.by_the_way(), Duration::ZERO);
        // More than there is room for.
        let started = Instant::now();
        while seen.load(std::sync::atomic::Ordering::SeqCst) < 5_000 {
            assert!(started.elapsed() < Duration::from_mins(1));
            thread::yield_now();
        }
        drop(events);
        let mut lines = lines;
        let read = reader.read_on();
        lines.flush().unwrap();
        let text = String::from_utf8(read.lock().unwrap().clone()).unwrap();
        // As many as may wait, twice: in the queue, and with the writer.
        let n_lines = text.lines().count();
        assert!((1..=2_000).contains(&n_lines), "{n_lines}");
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            assert_eq!(event["type"], "progress");
        }
    }
}
