//! Rounds at the end of a run, in which what failed is tried again.

use std::io;

use tokio::sync::mpsc;

use super::Report;
use super::text::count;
use crate::options::Verbosity;
use crate::row::Row;
use crate::source::ListError;

impl Report {
    /// Begins the round `n` of `n_rounds`; `None` if there is nothing that may come right.
    pub fn begin_round(
        &mut self,
        n: u32,
        n_rounds: u32,
    ) -> Option<mpsc::Receiver<Result<Vec<Row>, ListError>>> {
        let round = match self.failed_keys.begin_round() {
            Ok(round) => round?,
            Err(error) => {
                self.warn(&format!("`--retry-failed`: no row is tried again: {error}"));
                return None;
            }
        };
        self.tally.begin_round();
        if self.verbosity > Verbosity::Quiet {
            let rows = count(round.n_rows, "failed row");
            let line = format!("s3pull: trying {rows} again (round {n} of {n_rounds})");
            self.progress.announce(&line);
        }
        Some(round.rows)
    }

    /// Ends a round, of whose rows the first `n_tried` were tried.
    ///
    /// # Errors
    /// When the failed-keys CSV cannot be written anew.
    pub fn end_round(&mut self, n_tried: u64) -> io::Result<()> {
        let tally = &mut self.tally;
        self.failed_keys
            .end_round(n_tried, |code| tally.keep(code))
            .inspect_err(|_| self.is_recorded = false)
    }
}
