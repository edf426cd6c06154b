//! However a run ends, and whatever its list is: each row of the list is a file or a row of the failed-keys CSV, or the run
//! says that its record is not whole, and the list is still there.

#![cfg(target_os = "linux")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::harness::{Fault, Gate, Run, Running, S3pull, Server, sooner_or_later};

const HEADER: &str = "key,bucket,version_id,error,status,attempts,request_id,message,size,etag,dest,source,last_modified\n";
const CSV: &str = "s3pull-failed.csv";
const INCOMPLETE: &str = "s3pull-failed.csv.incomplete";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    File,
    Pipe,
    CsvItself,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    WholeList,
    FirstSignal,
    SecondSignal,
    HangUp,
    Fatal,
    MaxFailures,
    BrokenList,
    ClosedStdout,
    /// Read only once events wait.
    StalledStdout,
    /// Never read, and then a signal.
    UnreadStdoutAndSignal,
    /// Never read, no more than stderr, and then two signals.
    UnreadOutputAndTwoSignals,
    FullDisk,
}

const ENDS: [End; 12] = [
    End::WholeList,
    End::FirstSignal,
    End::SecondSignal,
    End::HangUp,
    End::Fatal,
    End::MaxFailures,
    End::BrokenList,
    End::ClosedStdout,
    End::StalledStdout,
    End::UnreadStdoutAndSignal,
    End::UnreadOutputAndTwoSignals,
    End::FullDisk,
];

impl End {
    /// Exit codes with which it may end.
    fn codes(self) -> &'static [i32] {
        match self {
            Self::WholeList | Self::StalledStdout => &[1],
            Self::FirstSignal | Self::UnreadStdoutAndSignal => &[143],
            // Of two signals that arrive together either may be the first.
            Self::SecondSignal | Self::UnreadOutputAndTwoSignals => &[130, 143],
            Self::HangUp => &[129],
            Self::Fatal
            | Self::MaxFailures
            | Self::BrokenList
            | Self::ClosedStdout
            | Self::FullDisk => &[3],
        }
    }

    /// Whether the record must be whole, or cannot be; `None` where the time decides, of which a second signal leaves less
    /// than a second.
    fn is_whole(self) -> Option<bool> {
        match self {
            Self::BrokenList | Self::FullDisk => Some(false),
            Self::SecondSignal | Self::UnreadOutputAndTwoSignals => None,
            _ => Some(true),
        }
    }

    fn has_events(self) -> bool {
        matches!(
            self,
            Self::ClosedStdout
                | Self::StalledStdout
                | Self::UnreadStdoutAndSignal
                | Self::UnreadOutputAndTwoSignals
                | Self::WholeList
        )
    }

    /// Whether there are more events than a pipe and what is before it hold.
    fn has_many_rows(self) -> bool {
        matches!(
            self,
            // A process that is just being started by another test may hold its pipe for a moment longer.
            Self::ClosedStdout
                | Self::StalledStdout
                | Self::UnreadStdoutAndSignal
                | Self::UnreadOutputAndTwoSignals
                | Self::FullDisk
        )
    }

    /// Whether the server holds an object, and with it the run, until the test says so.
    fn is_held(self) -> bool {
        matches!(self, Self::FirstSignal | Self::SecondSignal | Self::HangUp)
    }
}

struct Case<'a> {
    server: &'a Server,
    end: End,
    list: List,
    /// What its keys begin with.
    prefix: String,
    keys: Vec<String>,
    list_bytes: Vec<u8>,
    gate: Option<Gate>,
}

impl<'a> Case<'a> {
    fn new(server: &'a Server, end: End, list: List, turn: usize) -> Self {
        let prefix = format!("{end:?}-{list:?}-{turn}/");
        let name = |name: &str, n: usize| format!("{prefix}{name}{n}");
        let mut keys: Vec<_> = (0..3).map(|n| name("there", n)).collect();
        server.put_patterns(keys.iter().map(String::as_str), 10);
        keys.extend((0..2).map(|n| name("missing", n)));
        let held = name("held", 0);
        server.put_patterns([held.as_str()], 10);
        let gate = end.is_held().then(|| server.gate(&held));
        if end == End::Fatal {
            server.script(&held, [Fault::Status(404, "NoSuchBucket")]);
        }
        keys.push(held);
        // They need no request.
        let n_more = if end.has_many_rows() { 4_000 } else { 100 };
        keys.extend((0..n_more).map(|n| name("../unsafe", n)));
        let mut case = Self {
            server,
            end,
            list,
            prefix,
            keys,
            list_bytes: Vec::new(),
            gate,
        };
        case.list_bytes = case.list_bytes();
        case
    }

    fn list_bytes(&self) -> Vec<u8> {
        let is_broken = self.end == End::BrokenList;
        if self.list == List::CsvItself {
            let rows = self
                .keys
                .iter()
                .map(|key| format!("{key},bucket,,NotAttempted,,0,,stopped,,,,,\n"));
            let mut csv = HEADER.to_owned() + &rows.collect::<String>();
            if is_broken {
                csv.push('"');
                csv += &"x".repeat(2 << 20);
            }
            return csv.into_bytes();
        }
        let lines: String = self.keys.join("\n") + "\n";
        if !is_broken {
            return lines.into_bytes();
        }
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(lines.as_bytes()).unwrap();
        let mut gzip = gzip.finish().unwrap();
        gzip.truncate(gzip.len() - 8);
        gzip
    }

    fn start(&self) -> Running {
        let mut words = vec!["--bucket", "bucket", "-o", "out", "-j", "1", "--keys"];
        words.push(match self.list {
            List::File => "keys",
            List::Pipe => "-",
            List::CsvItself => CSV,
        });
        if self.end.has_events() {
            words.push("--json");
        }
        if self.end == End::UnreadOutputAndTwoSignals {
            // A line on stderr for each row.
            words.push("-v");
        }
        if self.end == End::MaxFailures {
            words.extend(["--max-failures", "2"]);
        }
        let limit = if self.end == End::FullDisk {
            "trap '' XFSZ; ulimit -f 16; "
        } else {
            ""
        };
        let command = format!(
            "{limit}exec {} {}",
            env!("CARGO_BIN_EXE_s3pull"),
            words.join(" ")
        );
        let run = S3pull::of("sh")
            .args(["-c", &command])
            .env("AWS_ENDPOINT_URL_S3", &self.server.url());
        let run = match self.list {
            List::File => run.file("keys", &self.list_bytes),
            List::CsvItself => run.file(CSV, &self.list_bytes),
            List::Pipe => run,
        };
        let (running, mut stdin) = run.start();
        if self.list == List::Pipe {
            let bytes = self.list_bytes.clone();
            std::thread::spawn(move || {
                // A run that ends early closes the pipe.
                let _ = stdin.write_all(&bytes);
            });
        }
        running
    }

    fn run(&self) -> Run {
        let mut running = self.start();
        if self.gate.is_some() {
            let held = format!("{}held0", self.prefix);
            until(|| self.server.n_requests(&held) > 0);
        }
        match self.end {
            End::FirstSignal => running.signal_and_wait("TERM"),
            End::HangUp => running.signal_and_wait("HUP"),
            End::SecondSignal => {
                running.signal("INT");
                running.signal("TERM");
                // Before the gate opens.
                running.wait_unread();
            }
            End::ClosedStdout => running.close_stdout(),
            End::StalledStdout => running.until_rows_stop_coming(),
            End::UnreadStdoutAndSignal => {
                running.until_rows_stop_coming();
                running.signal("TERM");
                running.wait_unread();
            }
            End::UnreadOutputAndTwoSignals => {
                running.until_rows_stop_coming();
                running.signal("INT");
                running.signal("TERM");
                // It would wait for its readers for minutes.
                let started = Instant::now();
                running.wait_unread();
                assert!(
                    started.elapsed() < Duration::from_mins(3),
                    "{:?}",
                    self.list
                );
            }
            End::WholeList | End::Fatal | End::MaxFailures | End::BrokenList | End::FullDisk => {}
        }
        if let Some(gate) = &self.gate {
            gate.open();
        }
        running.wait()
    }

    /// Whether it ended as it should; not if it had no time to, for which a slow machine is to blame.
    fn check(&self, run: &Run) -> bool {
        let case = format!("{:?} with {:?}:\n{}", self.end, self.list, run.stderr);
        assert!(
            run.code
                .is_some_and(|code| self.end.codes().contains(&code)),
            "{:?}, {case}",
            run.code
        );
        let at = |name: &str| run.folder().join(name);
        let is_whole = !at(INCOMPLETE).exists();
        if self.end.is_whole().is_none() && is_whole && !self.has_record(run) {
            return false;
        }
        let is_slow = self.end == End::UnreadStdoutAndSignal && !is_whole;
        let is_as_it_must_be = self.end.is_whole().is_none_or(|whole| whole == is_whole);
        assert!(is_slow || is_as_it_must_be, "{case}");

        let files = run.files();
        let done = files.keys().filter_map(|name| name.strip_prefix("out/"));
        let done: BTreeSet<_> = done.map(str::to_owned).collect();
        assert!(!done.iter().any(|name| name.contains(".s3pull-")), "{case}");
        let record = if is_whole { CSV } else { INCOMPLETE };
        let failed = keys_in(&at(record));
        let n_failed = failed.len();
        let failed: BTreeSet<_> = failed.into_iter().collect();
        assert_eq!(failed.len(), n_failed, "a row is there twice: {case}");
        assert!(failed.is_disjoint(&done), "{case}");

        let keys: BTreeSet<_> = self.keys.iter().cloned().collect();
        let found: BTreeSet<_> = failed.union(&done).cloned().collect();
        if is_whole {
            assert!(
                found == keys,
                "{} of {} rows: {case}",
                found.len(),
                keys.len()
            );
        } else {
            assert!(found.is_subset(&keys), "{case}");
            // Unless nobody reads it, stderr says so, if there is time.
            let is_read = self.end != End::UnreadOutputAndTwoSignals;
            if self.end == End::SecondSignal && !run.stderr.contains(INCOMPLETE) {
                return false;
            }
            assert!(!is_read || run.stderr.contains(INCOMPLETE), "{case}");
            match self.list {
                List::File => assert!(run.read("keys") == self.list_bytes, "{case}"),
                List::CsvItself => assert!(run.read(CSV) == self.list_bytes, "{case}"),
                List::Pipe => assert!(!at(CSV).exists(), "{case}"),
            }
        }
        if matches!(self.end, End::WholeList | End::StalledStdout) {
            let events: Vec<serde_json::Value> = run
                .stdout
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                // A slow run has these too.
                .filter(|event: &serde_json::Value| event["type"] != "progress")
                .collect();
            let (summary, rows) = events.split_last().unwrap();
            assert_eq!(rows.len(), keys.len(), "{case}");
            assert_eq!(summary["rows"], keys.len(), "{case}");
        }
        !is_slow
    }

    /// Whether the run has put a record in place. One that has not has left the list as it was.
    fn has_record(&self, run: &Run) -> bool {
        let csv = std::fs::read(run.folder().join(CSV)).ok();
        if self.list == List::File {
            assert!(run.read("keys") == self.list_bytes);
        }
        match self.list {
            List::CsvItself => csv.unwrap() != self.list_bytes,
            List::File | List::Pipe => csv.is_some(),
        }
    }
}

impl Running {
    /// Waits until the run records no more rows, since it waits for a reader.
    fn until_rows_stop_coming(&self) {
        let path = self.folder().join(format!(".s3pull-{CSV}.part"));
        let n_bytes = || std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        // Of about half the rows that there is room for, so that what the run does next is looked at then.
        until(|| n_bytes() > 150_000);
        let mut before = n_bytes();
        until(|| {
            std::thread::sleep(Duration::from_millis(200));
            std::mem::replace(&mut before, n_bytes()) == before
        });
    }
}

fn until(mut is_so: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_mins(3));
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn keys_in(path: &Path) -> Vec<String> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| row[0].to_owned()).collect()
}

/// All ends with one kind of list, side by side: most of them wait.
fn every_end_with(list: List) {
    let server = Server::start();
    let comes_right = |end| {
        let mut turn = 0;
        sooner_or_later(|| {
            turn += 1;
            let case = Case::new(&server, end, list, turn);
            case.check(&case.run())
        });
    };
    std::thread::scope(|scope| {
        for end in ENDS {
            scope.spawn(move || comes_right(end));
        }
    });
}

#[test]
fn no_row_of_a_file_is_lost_whatever_ends_the_run() {
    every_end_with(List::File);
}

#[test]
fn no_row_of_a_pipe_is_lost_whatever_ends_the_run() {
    every_end_with(List::Pipe);
}

#[test]
fn no_row_of_a_csv_that_is_also_the_list_is_lost_whatever_ends_the_run() {
    every_end_with(List::CsvItself);
}
