//! `--json`: an event per finished row, as it finishes, and a last one for the run; one line of JSON each, on stdout.
//! `--events` writes them to a file instead.
//! The README documents the members, and a test holds it against what is printed here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::console::{Patience, Stderr};
use super::lines::{ByTheWay, Lines};
use super::record_place::RefusedPlace;
use super::text::{below_output, output_prefix};
use crate::config::Config;
use crate::etag::ETag;
use crate::meter::Counts;
use crate::outcome::{Failure, Outcome, SkipReason, Verification};
use crate::row::{Entry, Place};
use crate::sink::files::{LocalPath, UserFile, first_bytes, open_stream};
use crate::source::{ListOptions, ListSource};
use crate::transfer::Finished;

/// What every event begins with.
const BEGINNING: &[u8] = b"{\"type\":\"";

/// Prints events, each of which leaves this process as soon as it is read.
pub(crate) struct Events {
    lines: Lines,
    /// The run's only bucket.
    bucket: Option<String>,
    /// What each list is called; `None` for keys of the command line.
    lists: Vec<Option<String>>,
    /// What each path begins with.
    output_prefix: String,
    line: Vec<u8>,
}

/// The event for one row.
#[derive(Serialize)]
struct ObjectEvent<'a> {
    r#type: &'static str,
    key: &'a str,
    bucket: Option<&'a str>,
    list: Option<&'a str>,
    line: u64,
    version_id: Option<&'a str>,
    path: Option<String>,
    status: &'static str,
    reason: Option<&'static str>,
    bytes: Option<u64>,
    etag: Option<&'a str>,
    last_modified: Option<String>,
    content_type: Option<&'a str>,
    metadata: Option<&'a BTreeMap<String, String>>,
    verified: Option<String>,
    attempts: u32,
    duration_ms: Option<u64>,
    error: Option<ErrorEvent<'a>>,
}

#[derive(Serialize)]
struct ErrorEvent<'a> {
    code: &'a str,
    message: &'a str,
    http_status: Option<u16>,
    request_id: Option<&'a str>,
}

/// A file that is of no row.
#[derive(Serialize)]
struct ExtraEvent<'a> {
    r#type: &'static str,
    path: &'a str,
}

/// What the run came to.
#[derive(Serialize)]
pub(crate) struct SummaryEvent<'a> {
    pub r#type: &'static str,
    pub rows: u64,
    pub planned: u64,
    pub downloaded: u64,
    pub skipped: u64,
    pub failed: u64,
    pub filtered: u64,
    pub not_attempted: u64,
    pub interrupted: u64,
    pub errors: &'a BTreeMap<String, u64>,
    pub bytes: u64,
    pub duration_ms: u64,
    pub verified: BTreeMap<String, u64>,
    pub throttled_replies: u64,
    pub asked_again: u64,
    pub bottleneck: Option<&'static str>,
    pub best_in_flight: Option<u64>,
    pub best_in_flight_limit: Option<&'static str>,
    pub extra: u64,
    pub failed_keys: Option<String>,
    pub list_complete: bool,
    pub exit_code: u8,
    pub error: Option<&'a str>,
}

impl Events {
    /// Events as `config` asks for them, if it does. `stderr` is told when nobody reads them.
    ///
    /// # Errors
    /// [`RefusedPlace`] when something is there that must not be replaced; else when the file for them cannot be opened.
    pub(crate) fn open(
        config: &Config,
        stderr: &Stderr,
        patience: &Patience,
    ) -> anyhow::Result<Option<Self>> {
        let (stderr, patience) = (stderr.clone(), patience.clone());
        let lines = match &config.events {
            Some(path) => {
                let file = open_file(path)?;
                Lines::stream("the file of `--events`", file, stderr, patience)
            }
            None if config.json => Lines::stdout(stderr, patience),
            None => return Ok(None),
        };
        let prefix = output_prefix(&config.output);
        Ok(Some(Self::new(&config.list, &prefix, lines)))
    }

    fn new(list: &ListOptions, output_prefix: &str, lines: Lines) -> Self {
        Self {
            lines,
            bucket: list.bucket.clone(),
            lists: list.sources.iter().map(ListSource::typed).collect(),
            output_prefix: output_prefix.to_owned(),
            line: Vec::new(),
        }
    }

    /// # Errors
    /// When it cannot be written.
    pub(crate) fn finished(&mut self, finished: &Finished) -> io::Result<()> {
        let path = finished.path.as_deref();
        let bucket = finished.bucket.as_deref();
        let event = ObjectEvent {
            path: path.map(|path| self.path(path)),
            list: name_of(&self.lists, finished.place),
            line: finished.place.line,
            ..ObjectEvent::of(
                &finished.entry,
                bucket.or(self.bucket.as_deref()),
                &finished.outcome,
            )
        };
        print(&mut self.lines, &mut self.line, &event)
    }

    /// A row that a dry run would download.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn planned(
        &mut self,
        entry: &Entry,
        place: Place,
        path: &LocalPath,
    ) -> io::Result<()> {
        let event = ObjectEvent {
            path: Some(self.path(path)),
            list: name_of(&self.lists, place),
            line: place.line,
            status: "planned",
            bytes: entry.size,
            etag: entry.etag.as_ref().map(ETag::opaque),
            ..ObjectEvent::blank(entry, entry.bucket.as_deref().or(self.bucket.as_deref()))
        };
        print(&mut self.lines, &mut self.line, &event)
    }

    /// A row of which a dry run knows that it would not be downloaded.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn unplanned(
        &mut self,
        entry: &Entry,
        bucket: Option<&str>,
        place: Place,
        outcome: &Outcome,
    ) -> io::Result<()> {
        let event = ObjectEvent {
            list: name_of(&self.lists, place),
            line: place.line,
            ..ObjectEvent::of(entry, bucket.or(self.bucket.as_deref()), outcome)
        };
        print(&mut self.lines, &mut self.line, &event)
    }

    /// A file that is of no row.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub(crate) fn extra(&mut self, path: &str) -> io::Result<()> {
        let event = ExtraEvent {
            r#type: "extra",
            path,
        };
        print(&mut self.lines, &mut self.line, &event)
    }

    /// What prints events of progress among the others.
    pub(crate) fn by_the_way(&self) -> ByTheWay {
        self.lines.by_the_way()
    }

    /// Prints the last event, and waits until all of them are read.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn summary(mut self, summary: &SummaryEvent<'_>) -> io::Result<()> {
        print(&mut self.lines, &mut self.line, summary)?;
        self.lines.flush()
    }

    fn path(&self, path: &LocalPath) -> String {
        below_output(&self.output_prefix, path.as_str(), path.is_folder()).concat()
    }
}

impl<'a> ObjectEvent<'a> {
    fn of(entry: &'a Entry, bucket: Option<&'a str>, outcome: &'a Outcome) -> Self {
        let blank = Self::blank(entry, bucket);
        let described = match outcome {
            Outcome::Downloaded(downloaded) => downloaded.object.description.as_deref(),
            Outcome::Skipped(_) | Outcome::Failed(_) => None,
        };
        match outcome {
            Outcome::Downloaded(downloaded) => Self {
                status: "downloaded",
                version_id: downloaded.object.version_id.as_deref().or(blank.version_id),
                bytes: Some(downloaded.bytes),
                etag: downloaded.object.etag.as_ref().map(ETag::opaque),
                last_modified: downloaded.object.last_modified.and_then(rfc3339),
                content_type: described.and_then(|object| object.content_type.as_deref()),
                metadata: described.and_then(|object| object.metadata.as_ref()),
                verified: Some(downloaded.verification.to_string()),
                attempts: downloaded.attempts,
                duration_ms: Some(millis(downloaded.duration)),
                ..blank
            },
            Outcome::Skipped(reason) => Self {
                status: "skipped",
                reason: Some(SkipReason::as_str(*reason)),
                ..blank
            },
            Outcome::Failed(failure) => Self {
                status: "failed",
                attempts: failure.attempts,
                error: Some(ErrorEvent::of(failure)),
                ..blank
            },
        }
    }

    fn blank(entry: &'a Entry, bucket: Option<&'a str>) -> Self {
        Self {
            r#type: "object",
            key: &entry.key,
            bucket,
            list: None,
            line: 0,
            version_id: entry.version_id.as_deref(),
            path: None,
            status: "",
            reason: None,
            bytes: None,
            etag: None,
            last_modified: None,
            content_type: None,
            metadata: None,
            verified: None,
            attempts: 0,
            duration_ms: None,
            error: None,
        }
    }
}

impl<'a> ErrorEvent<'a> {
    fn of(failure: &'a Failure) -> Self {
        Self {
            code: failure.code.as_str(),
            message: &failure.message,
            http_status: failure.status,
            request_id: failure.request_id.as_deref(),
        }
    }
}

impl<'a> SummaryEvent<'a> {
    /// The counts; the rest is for the caller to fill in.
    pub(crate) fn of(
        counts: &Counts,
        errors: &'a BTreeMap<String, u64>,
        verified: &BTreeMap<Verification, u64>,
        elapsed: Duration,
    ) -> Self {
        Self {
            r#type: "summary",
            rows: counts.n_done(),
            planned: 0,
            downloaded: counts.n_downloaded,
            skipped: counts.n_skipped,
            failed: counts.n_failed,
            filtered: 0,
            not_attempted: 0,
            interrupted: 0,
            errors,
            bytes: counts.bytes,
            duration_ms: millis(elapsed),
            verified: verified
                .iter()
                .map(|(verdict, &n)| (verdict.to_string(), n))
                .collect(),
            throttled_replies: 0,
            asked_again: 0,
            bottleneck: None,
            best_in_flight: None,
            best_in_flight_limit: None,
            extra: 0,
            failed_keys: None,
            list_complete: true,
            exit_code: 0,
            error: None,
        }
    }
}

fn name_of(lists: &[Option<String>], place: Place) -> Option<&str> {
    lists.get(place.list)?.as_deref()
}

fn print(lines: &mut Lines, line: &mut Vec<u8>, event: &impl Serialize) -> io::Result<()> {
    line.clear();
    serde_json::to_writer(&mut *line, event)?;
    line.push(b'\n');
    lines.print(line)
}

fn open_file(path: &Path) -> anyhow::Result<File> {
    let cannot = || format!("cannot write events to `{}`", path.display());
    let file = match UserFile::at(path).with_context(cannot)? {
        UserFile::Stream => open_stream(path),
        UserFile::InTheWay(kind) => Err(io::Error::other(format!("it is a {kind}"))),
        UserFile::File(target) => {
            if !is_free_or_of_events(&target).with_context(cannot)? {
                return Err(RefusedPlace::ForeignEvents(path.to_owned()).into());
            }
            File::create(target)
        }
    };
    file.with_context(cannot)
}

/// Whether nothing would be lost at `path` but the events of another run.
fn is_free_or_of_events(path: &Path) -> io::Result<bool> {
    match first_bytes(path, BEGINNING.len() as u64) {
        Ok(bytes) => Ok(bytes.is_empty() || bytes == BEGINNING),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// `2024-01-02T03:04:05Z`
fn rfc3339(time: SystemTime) -> Option<String> {
    OffsetDateTime::from(time).format(&Rfc3339).ok()
}
