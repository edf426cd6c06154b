//! What people are told of the lists while they are read.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::progress::Progress;
use crate::options::Verbosity;
use crate::printable::printable;
use crate::source::{DetectedList, ListNote, Totals};

/// Tells of the list while it is read.
#[derive(Clone)]
pub struct ListNotes {
    pub(super) progress: Progress,
    pub(super) verbosity: Verbosity,
    /// Is told how the first list is read.
    pub(super) format: Arc<OnceLock<&'static str>>,
    /// Counts the rows that the filters left out.
    pub(super) n_filtered: Arc<AtomicU64>,
}

impl ListNotes {
    pub(crate) fn new(
        progress: Progress,
        verbosity: Verbosity,
        n_filtered: Arc<AtomicU64>,
    ) -> Self {
        Self {
            progress,
            verbosity,
            format: Arc::default(),
            n_filtered,
        }
    }

    /// How a list is read, and why so; or what is odd about it.
    pub fn note(&self, note: &ListNote) {
        match note {
            ListNote::Detected(detected) => {
                let _ = self.format.set(detected.format);
                let line = detected_line(detected);
                if let Some(line) = line.filter(|_| self.verbosity >= Verbosity::Verbose) {
                    self.progress.println(&line);
                }
            }
            ListNote::Newest { folder, manifest } => {
                if self.verbosity > Verbosity::Quiet {
                    self.progress.println(&format!(
                        "s3pull: the newest inventory below `{}` is `{}`",
                        printable(&folder.to_string()),
                        printable(&manifest.to_string())
                    ));
                }
            }
            ListNote::FilteredOut(n) => {
                self.n_filtered.fetch_add(*n, Relaxed);
            }
            ListNote::Warning(warning) => {
                if self.verbosity > Verbosity::Quiet {
                    self.progress
                        .announce(&format!("s3pull: warning: {}", printable(warning)));
                }
            }
        }
    }

    /// What all the lists hold, once they are counted.
    pub fn totals(&self, totals: Totals) {
        self.progress.set_totals(totals);
    }
}

/// `s3pull: the key list `k.csv.gz` is read as gzip, `csv`: its first line is a header with a `key` column`
fn detected_line(detected: &DetectedList) -> Option<String> {
    let compression = detected
        .compression
        .map_or_else(String::new, |compression| format!("{compression}, "));
    let reason = detected.reason?;
    Some(format!(
        "s3pull: the key list {} is read as {compression}`{}`: {reason}",
        printable(&detected.list),
        detected.format,
    ))
}
