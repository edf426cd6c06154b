//! Rows of the failed-keys CSV that the run tries again before it ends (`--retry-failed`).
//!
//! During such a round the CSV keeps the rows, and what fails again is added at its end; only after the round is it written
//! anew without those that were tried. So a run that is ended in a round loses none of them. No row is kept in memory.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use bytes::Bytes;
use csv::StringRecord;
use tokio::sync::mpsc;

use super::{COLUMNS, FailedKeys, Mark, header};
use crate::etag::ETag;
use crate::report::may_pass::may_pass;
use crate::report::record_file::Output;
use crate::row::{Entry, LastModified, Place, Row, RowAlgorithm, RowChecksum};
use crate::sink::files::PartialFile;
use crate::source::ListError;

/// Rows that are handed over together.
const BATCH: usize = 100;
/// Batches that may wait.
const BATCHES: usize = 2;
/// Bytes that are copied at once.
const PIECE: usize = 64 * 1024;

/// The rows of a round.
pub struct Round {
    pub n_rows: u64,
    pub rows: mpsc::Receiver<Result<Vec<Row>, ListError>>,
}

impl FailedKeys {
    /// Begins a round with the rows whose errors may pass; `None` if there are none.
    ///
    /// # Errors
    /// When the CSV cannot be read again, or there is no room for a copy of the rows.
    pub fn begin_round(&mut self) -> io::Result<Option<Round>> {
        let Output::File(file) = &self.writer.output else {
            return Ok(None);
        };
        if self.n_may_pass == 0 || !self.writer.rows.n_waiting() == 0 {
            return Ok(None);
        }
        let end = self.writer.rows.n_written;
        let mut copy = csv::Writer::from_writer(tempfile::tempfile()?);
        let mut n_rows = 0;
        for row in rows(file, end).into_records() {
            let row = row?;
            if row_may_pass(&row) {
                copy.write_record(&row)?;
                n_rows += 1;
            }
        }
        // Where a file has one position for all, it was moved.
        file.cut_at(end)?;
        let mut copy = into_file(copy)?;
        copy.rewind()?;
        self.mark = Mark {
            end,
            n_rows: self.n_rows,
        };
        self.n_may_pass = 0;
        let (sender, receiver) = mpsc::channel(BATCHES);
        let reader = RowReader {
            bucket: self.bucket.clone(),
            sources: self.sources.clone(),
        };
        std::thread::spawn(move || reader.send(copy, &sender));
        Ok(Some(Round {
            n_rows,
            rows: receiver,
        }))
    }

    /// Ends the round: of its rows, the first `n_tried` are taken out of the CSV; those of them that failed again are at its
    /// end. The errors of the others are passed to `on_kept`.
    ///
    /// # Errors
    /// When the CSV cannot be written anew.
    pub fn end_round(&mut self, n_tried: u64, mut on_kept: impl FnMut(&str)) -> io::Result<()> {
        self.writer.flush()?;
        let Output::File(file) = &self.writer.output else {
            return Ok(());
        };
        let mut copy = csv::Writer::from_writer(tempfile::tempfile()?);
        copy.write_record(header())?;
        let (mut n_seen, mut n_kept) = (0, 0);
        for row in rows(file, self.mark.end).into_records() {
            let row = row?;
            if row_may_pass(&row) {
                n_seen += 1;
                if n_seen <= n_tried {
                    continue;
                }
                self.n_may_pass += 1;
                on_kept(&row[Column::Error as usize]);
            }
            copy.write_record(&row)?;
            n_kept += 1;
        }
        let mut copy = into_file(copy)?;
        let mut added = Span {
            file,
            position: self.mark.end,
            end: self.writer.rows.n_written,
        };
        io::copy(&mut added, &mut copy)?;
        let n_rows = n_kept + self.n_rows - self.mark.n_rows;
        copy.rewind()?;
        self.is_being_written_anew.store(true, SeqCst);
        let written = if n_rows == 0 {
            file.cut_at(0).map(|()| 0)
        } else {
            overwrite(file, &mut copy)
        };
        self.is_being_written_anew.store(false, SeqCst);
        self.writer.rows.n_written = written?;
        self.writer.n_rows_written = n_rows;
        self.n_rows = n_rows;
        Ok(())
    }
}

/// Replaces the content of `file`, which is not shorter, by that of `copy`; returns its length.
fn overwrite(file: &PartialFile, copy: &mut File) -> io::Result<u64> {
    let mut position = 0;
    loop {
        let mut piece = Vec::with_capacity(PIECE);
        copy.by_ref().take(PIECE as u64).read_to_end(&mut piece)?;
        let n_bytes = piece.len() as u64;
        if n_bytes == 0 {
            break;
        }
        let written = file.write_at(&[Bytes::from(piece)], position);
        written.map_err(|error| io::Error::other(error.to_string()))?;
        position += n_bytes;
    }
    file.cut_at(position)?;
    Ok(position)
}

fn into_file(copy: csv::Writer<File>) -> io::Result<File> {
    copy.into_inner()
        .map_err(|error| io::Error::other(error.to_string()))
}

/// The rows of the CSV up to `end`, without its header.
fn rows(file: &PartialFile, end: u64) -> csv::Reader<Span<'_>> {
    csv::Reader::from_reader(Span {
        file,
        position: 0,
        end,
    })
}

fn row_may_pass(row: &StringRecord) -> bool {
    let status = row[Column::Status as usize].parse().ok();
    may_pass(&row[Column::Error as usize], status)
}

/// Bytes of a file that is being written.
struct Span<'a> {
    file: &'a PartialFile,
    position: u64,
    end: u64,
}

impl Read for Span<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        let n_bytes = buffer.len().min(left);
        self.file
            .read_exact_at(&mut buffer[..n_bytes], self.position)?;
        self.position += n_bytes as u64;
        Ok(n_bytes)
    }
}

/// Columns of the CSV that are read here, by their place in [`COLUMNS`].
#[derive(Debug, Clone, Copy)]
enum Column {
    Key = 0,
    Bucket = 1,
    VersionId = 2,
    Error = 3,
    Status = 4,
    Size = 8,
    ETag = 9,
    Dest = 10,
    Source = 11,
    LastModified = 12,
}

/// Makes rows of those in the CSV.
struct RowReader {
    /// The run's only bucket; empty if rows have buckets of their own.
    bucket: String,
    sources: Vec<String>,
}

impl RowReader {
    /// Sends all rows of `copy`. What cannot be read stays in the CSV, as a row that was not tried.
    fn send(&self, copy: File, sender: &mpsc::Sender<Result<Vec<Row>, ListError>>) {
        let mut rows = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(copy);
        let mut batch = Vec::with_capacity(BATCH);
        for row in rows.records().map_while(Result::ok) {
            batch.push(self.row(&row));
            if batch.len() == BATCH
                && sender
                    .blocking_send(Ok(std::mem::take(&mut batch)))
                    .is_err()
            {
                return;
            }
        }
        if !batch.is_empty() {
            // Nobody waits for it if the run is over.
            let _ = sender.blocking_send(Ok(batch));
        }
    }

    fn row(&self, row: &StringRecord) -> Row {
        let text = |column: Column| &row[column as usize];
        let own = |column| Some(text(column).to_owned()).filter(|text| !text.is_empty());
        let bucket = text(Column::Bucket);
        let checksums = RowAlgorithm::ALL
            .into_iter()
            .zip(row.iter().skip(COLUMNS.len()));
        let entry = Entry {
            key: text(Column::Key).to_owned(),
            bucket: (bucket != self.bucket).then(|| Arc::from(bucket)),
            version_id: own(Column::VersionId),
            size: text(Column::Size).parse().ok(),
            etag: ETag::of_row(text(Column::ETag)),
            dest: own(Column::Dest),
            is_listed: false,
            last_modified: LastModified::from_str(text(Column::LastModified)).ok(),
            checksums: checksums
                .filter_map(|(algorithm, text)| RowChecksum::parse(algorithm, text))
                .collect(),
        };
        Row {
            place: self.place(text(Column::Source)),
            entry: Ok(entry),
        }
    }

    /// Where `keys.txt:3` is among the lists.
    fn place(&self, source: &str) -> Place {
        let (name, line) = source.rsplit_once(':').unwrap_or((source, ""));
        Place {
            list: self
                .sources
                .iter()
                .position(|source| source == name)
                .unwrap_or_default(),
            line: line.parse().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
