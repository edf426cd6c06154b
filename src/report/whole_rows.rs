//! Rows of a CSV on their way to its file: each is written whole, at once or as soon as there is room for it.

use std::io;

/// The most bytes of rows that are kept in memory while the disk has no room for them.
const MAX_WAITING: usize = 1 << 20;

/// The rows of a file, of which some may wait for room.
#[derive(Debug, Default)]
pub(crate) struct WholeRows {
    /// Bytes of the file, which ends in a whole row.
    pub n_written: u64,
    waiting: Vec<u8>,
}

impl WholeRows {
    /// Adds a row, which may wait for [`flush`](Self::flush).
    ///
    /// # Errors
    /// None but those of the library.
    pub(crate) fn add<C: AsRef<[u8]>>(
        &mut self,
        columns: impl IntoIterator<Item = C>,
    ) -> io::Result<()> {
        // Its own buffer, whose usual size is that of many rows, is made for each.
        let mut row = csv::WriterBuilder::new()
            .buffer_capacity(512)
            .from_writer(&mut self.waiting);
        row.write_record(columns)?;
        row.flush()
    }

    /// Has `write` write the rows that wait. `cut_at` cuts off again what cannot be written whole, so that what is added
    /// later does not join half a row.
    ///
    /// # Errors
    /// Those of `write`. The rows then wait for another try.
    pub(crate) fn flush(
        &mut self,
        write: impl FnOnce(&[u8]) -> io::Result<()>,
        cut_at: impl FnOnce(u64) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        write(&self.waiting).inspect_err(|_| {
            // Should that fail too, what is written next covers it, or the next run cuts it off.
            let _ = cut_at(self.n_written);
        })?;
        self.n_written += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// Bytes of rows that wait.
    pub(crate) fn n_waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether more rows wait than are to be kept.
    pub(crate) fn are_too_many(&self) -> bool {
        self.waiting.len() > MAX_WAITING
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn rows_wait_until_they_can_be_written_whole() {
        let mut rows = WholeRows::default();
        let full = |_: &[u8]| Err(ErrorKind::StorageFull.into());
        rows.add(["a", "b,c"]).unwrap();
        let mut cut = None;
        let refused = rows.flush(full, |n_bytes| {
            cut = Some(n_bytes);
            Ok(())
        });
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!((cut, rows.n_written, rows.n_waiting()), (Some(0), 0, 8));
        rows.add(["d", ""]).unwrap();
        let mut written = Vec::new();
        let write = |bytes: &[u8]| {
            written.extend_from_slice(bytes);
            Ok(())
        };
        rows.flush(write, |_| panic!("nothing is cut off")).unwrap();
        assert_eq!(written, b"a,\"b,c\"\nd,\n");
        assert_eq!((rows.n_written, rows.n_waiting()), (11, 0));
        rows.flush(full, |_| Ok(())).unwrap();
        rows.add(["x".repeat(MAX_WAITING)]).unwrap();
        assert!(rows.are_too_many());
    }
}
