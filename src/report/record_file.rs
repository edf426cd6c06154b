//! Writes the rows of the failed-keys CSV whole: each at once, or later where there is no room for it.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

use super::lines::Lines;
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
    /// Bytes of the file, which ends in a whole row.
    pub(super) n_written: u64,
    pub(super) n_rows_written: u64,
    /// Rows that are still to be written.
    pub(super) waiting: Vec<u8>,
    pub(super) n_rows_waiting: u64,
    /// Bytes of the file for which there is room on the disk.
    n_reserved: u64,
}

impl RowWriter {
    pub(super) fn new(output: Output) -> Self {
        let mut writer = Self {
            output,
            n_written: 0,
            n_rows_written: 0,
            waiting: Vec::new(),
            n_rows_waiting: 0,
            n_reserved: 0,
        };
        writer.reserve();
        writer
    }

    /// Adds a row, which may wait for [`flush`](Self::flush).
    pub(super) fn add<'a>(&mut self, columns: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
        // Its own buffer, whose usual size is that of many rows, is made for each.
        let mut row = csv::WriterBuilder::new()
            .buffer_capacity(512)
            .from_writer(&mut self.waiting);
        row.write_record(columns)?;
        row.flush()
    }

    /// Writes the rows that wait. What cannot be written whole is cut off again, so that what is added later does not
    /// join half a row.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.reserve();
        match &mut self.output {
            Output::File(file) => {
                let end = self.n_written;
                if let Err(error) = file.append(&self.waiting) {
                    // Should that fail too, what is written next covers it.
                    let _ = file.cut_at(end);
                    return Err(error);
                }
            }
            Output::Stream(stream) => stream.write_all(&self.waiting)?,
            Output::Lines(lines) => lines.print(&self.waiting)?,
        }
        self.n_written += self.waiting.len() as u64;
        self.n_rows_written += self.n_rows_waiting;
        self.n_rows_waiting = 0;
        self.waiting.clear();
        Ok(())
    }

    /// Has the file system set room aside for the rows to come: a disk that objects fill up takes them all the same.
    fn reserve(&mut self) {
        let Output::File(file) = &self.output else {
            return;
        };
        if self.n_written + self.waiting.len() as u64 + ROOM / 2 > self.n_reserved {
            let wanted = self.n_written + self.waiting.len() as u64 + ROOM;
            // What cannot be had is not asked for again with each row.
            self.n_reserved = wanted;
            file.reserve(wanted);
        }
    }
}
