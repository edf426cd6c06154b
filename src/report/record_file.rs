//! Writes the rows of the failed-keys CSV whole: each at once, or later where there is no room for it.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use super::lines::Lines;
use super::whole_rows::WholeRows;
use crate::sink::files::PartialFile;

/// Bytes of room on the disk that are taken ahead: of some ten thousand rows.
const ROOM: u64 = 1 << 20;

/// What the CSV is written to.
pub(super) enum Output {
    File(Arc<PartialFile>),
    Stream(File),
    /// A stream whose reader is waited for, but not for ever.
    Lines(Lines),
}

/// Writes whole rows, and keeps those for which there is no room at the moment.
pub(super) struct RowWriter {
    pub(super) output: Output,
    pub(super) rows: WholeRows,
    pub(super) n_rows_written: u64,
    pub(super) n_rows_waiting: u64,
    /// Bytes of the file for which there is room on the disk.
    n_reserved: u64,
}

impl RowWriter {
    pub(super) fn new(output: Output) -> Self {
        let mut writer = Self {
            output,
            rows: WholeRows::default(),
            n_rows_written: 0,
            n_rows_waiting: 0,
            n_reserved: 0,
        };
        writer.reserve();
        writer
    }

    /// Writes the rows that wait.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.rows.n_waiting() == 0 {
            return Ok(());
        }
        self.reserve();
        match &mut self.output {
            Output::File(file) => self
                .rows
                .flush(|bytes| file.append(bytes), |end| file.cut_at(end))?,
            Output::Stream(stream) => self
                .rows
                .flush(|bytes| stream.write_all(bytes), |_| Ok(()))?,
            Output::Lines(lines) => self.rows.flush(|bytes| lines.print(bytes), |_| Ok(()))?,
        }
        self.n_rows_written += self.n_rows_waiting;
        self.n_rows_waiting = 0;
        Ok(())
    }

    /// Has the file system set room aside for the rows to come: a disk that objects fill up takes them all the same.
    fn reserve(&mut self) {
        let Output::File(file) = &self.output else {
            return;
        };
        let end = self.rows.n_written + self.rows.n_waiting() as u64;
        if end + ROOM / 2 > self.n_reserved {
            let wanted = end + ROOM;
            // What cannot be had is not asked for again with each row.
            self.n_reserved = wanted;
            file.reserve(wanted);
        }
    }
}
