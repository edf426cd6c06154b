//! An object that was answered well is asked for again where nothing has been answered for some time: whether it is now tells
//! an outage from trouble with the objects whose requests fail.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::Mutex;

use crate::row::Entry;

/// The first object of the run that was answered well.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub entry: OnceLock<Arc<Entry>>,
    /// Held while it is asked for: one answer is enough for all who wait. When there was none last.
    pub not_answered: Mutex<Option<Instant>>,
}

impl Witness {
    /// This object was answered well.
    pub(crate) fn note(&self, entry: &Arc<Entry>) {
        if self.entry.get().is_none() {
            let _ = self.entry.set(Arc::clone(entry));
        }
    }

    /// Whether there is one.
    pub(crate) fn is_some(&self) -> bool {
        self.entry.get().is_some()
    }
}
