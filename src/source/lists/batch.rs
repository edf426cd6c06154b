//! Rows that arrive together are sent together.

use std::cell::RefCell;
use std::io::{self, Read};
use std::rc::Rc;

use tokio::sync::mpsc;

use super::error::ListError;
use crate::row::Row;

/// Most rows per batch. One read of a plain list yields about as many; one read of a compressed list may yield a thousand
/// times more.
pub(super) const MAX_BATCH: usize = 1024;
/// Bytes of rows after which a batch is sent: those of a column may be as many as those of a hundred keys.
pub(super) const MAX_BATCH_BYTES: usize = 256 * 1024;

/// Rows that have been read but not yet sent.
pub(super) struct Batch {
    rows: Vec<Row>,
    /// Bytes of memory that they take.
    n_bytes: usize,
    sender: mpsc::Sender<Result<Vec<Row>, ListError>>,
}

impl Batch {
    pub(super) fn new(sender: mpsc::Sender<Result<Vec<Row>, ListError>>) -> Self {
        Self {
            rows: Vec::new(),
            n_bytes: 0,
            sender,
        }
    }

    pub(super) fn push(&mut self, row: Row) {
        self.n_bytes += row.n_bytes();
        self.rows.push(row);
        if self.rows.len() >= MAX_BATCH || self.n_bytes >= MAX_BATCH_BYTES {
            // If the receiver is gone, the next read ends the list.
            self.send();
        }
    }

    /// Sends the rows; returns `false` if the receiver is gone.
    pub(super) fn send(&mut self) -> bool {
        if self.rows.is_empty() {
            return !self.sender.is_closed();
        }
        self.n_bytes = 0;
        self.sender
            .blocking_send(Ok(std::mem::take(&mut self.rows)))
            .is_ok()
    }
}

/// A reader that sends the pending rows before it waits for more bytes, so that no row waits for a slow pipe.
pub(super) struct SendBeforeRead<R> {
    pub input: R,
    pub batch: Rc<RefCell<Batch>>,
}

impl<R: Read> Read for SendBeforeRead<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.batch.borrow_mut().send() {
            return Ok(0);
        }
        self.input.read(buffer)
    }
}
