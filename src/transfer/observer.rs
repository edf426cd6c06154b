//! What the engine says of a run while it lasts, and of its end.

use std::io;
use std::sync::Arc;

use crate::outcome::{Failure, Outcome};
use crate::row::{Entry, Place, RowChecksum};
use crate::sink::files::LocalPath;
use crate::sink::tar::Turn;
use crate::source::ListError;

/// Is told of every row as it ends, one at a time.
pub(crate) trait Observer {
    /// # Errors
    /// When what became of the row cannot be passed on: then the run ends, since no later row could be either.
    fn finished(&mut self, finished: &Finished) -> Result<(), ObserverError>;

    /// Every row that was read has ended.
    fn list_ended(&mut self, _: ListEnd) {}
}

/// Why what became of a row could not be passed on.
#[derive(Debug)]
pub(crate) enum ObserverError {
    /// The row is in no record, and no later row would be.
    NotRecorded(io::Error),
    /// The row waits for room in the record, which the files that are given up may leave.
    RecordWaits(io::Error),
    /// The row is recorded, but nobody learns of it. The rest of the list can still be recorded.
    NotPrinted(io::Error),
}

/// How far the list was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListEnd {
    /// To its end.
    Whole,
    /// Until the run was stopped: nothing is known of the rest.
    CutShort,
    /// Until it could not be read any further.
    Broken,
}

/// What became of a row.
#[derive(Debug)]
pub struct Finished {
    pub place: Place,
    pub entry: Arc<Entry>,
    /// Where it is another than the run's.
    pub bucket: Option<String>,
    /// Where its file is, or would be.
    pub path: Option<Arc<LocalPath>>,
    pub outcome: Outcome,
    /// What is known of its file's content, if the run takes note of that.
    pub content: Option<Box<Content>>,
}

/// The content of a file that is its object's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Bytes.
    pub size: u64,
    /// Those that were computed.
    pub checksums: Vec<RowChecksum>,
}

/// How the work on a row ended.
#[derive(Debug)]
pub(super) struct RowEnd {
    pub outcome: Outcome,
    pub content: Option<Box<Content>>,
    /// That of a row which did not become a member of the archive. It is given up once it is known whether the run goes on:
    /// nothing is written past a row that a later run may still have there.
    pub turn: Option<Turn>,
}

impl From<Outcome> for RowEnd {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            content: None,
            turn: None,
        }
    }
}

/// Why the run ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Every row was read and dealt with.
    ListDone,
    /// A failure that every other key would share.
    Fatal(Failure),
    /// As many keys failed as `--max-failures` allows.
    TooManyFailures(u64),
    /// The list could not be read to its end; the rows before were dealt with.
    ListBroken(ListError),
    /// What became of the rows could not be recorded.
    RecordFailed(io::Error),
    /// What became of the rows could not be printed.
    PrintFailed(io::Error),
    /// A defect: each row that was read must end once.
    Miscounted { n_read: u64, n_ended: u64 },
}

impl End {
    /// This end, unless that the rows could not be recorded is a worse one.
    pub(super) fn or_record_failed(self, error: io::Error) -> Self {
        match self {
            // The same full disk may have been met before.
            Self::Fatal(_) | Self::RecordFailed(_) => self,
            _ => Self::RecordFailed(error),
        }
    }
}
