//! What there is to see of a run at one moment, for the progress line and the events of progress.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::meter::{Counts, LargeObject, ListedRows, Meter, Retries};
use crate::source::Totals;
use crate::transfer::Limit;

/// Where a run can be looked at.
pub(super) struct Watch {
    meter: Arc<Meter>,
    limit: Limit,
    /// What the lists hold, where that was counted beforehand.
    totals: OnceLock<Totals>,
    started: Instant,
}

/// A run at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    pub counts: Counts,
    /// What the lists hold; `None` while nobody knows.
    pub totals: Option<Totals>,
    /// Whether the lists were read to their end.
    pub is_list_read: bool,
    /// The large objects that are being downloaded.
    pub large: Vec<Arc<LargeObject>>,
    pub n_in_flight: u64,
    /// The objects whose last request failed.
    pub retries: Option<Retries>,
    /// Why nothing gets through at all, and for how long, if that is so.
    pub outage: Option<(String, Duration)>,
    /// Since the start of the run.
    pub elapsed: Duration,
}

impl Watch {
    pub(super) fn new(meter: Arc<Meter>, limit: Limit) -> Self {
        Self {
            meter,
            limit,
            totals: OnceLock::new(),
            started: Instant::now(),
        }
    }

    /// What the lists hold, once it is counted.
    pub(super) fn set_totals(&self, totals: Totals) {
        // It is counted once.
        let _ = self.totals.set(totals);
    }

    pub(super) fn look(&self) -> Look {
        let is_list_read = self.meter.listed.is_whole();
        let of_list = is_list_read.then(|| totals_of(self.meter.listed.rows()));
        Look {
            counts: self.meter.counts(),
            totals: self.totals.get().copied().or(of_list),
            is_list_read,
            large: self.meter.large_objects(),
            n_in_flight: self.limit.n_in_use() as u64,
            retries: self.meter.retries.now(),
            outage: self
                .limit
                .waiting()
                .map(|waiting| (waiting.cause, waiting.since.elapsed())),
            elapsed: self.started.elapsed(),
        }
    }
}

fn totals_of(rows: ListedRows) -> Totals {
    Totals {
        n_rows: rows.n_rows,
        bytes: rows.bytes,
        n_without_size: rows.n_without_size,
    }
}

impl Look {
    /// Bytes of all objects, but for those that failed or were skipped, which are not waited for; `None` where a row
    /// does not give its size.
    pub(crate) fn all_bytes(&self) -> Option<u64> {
        let totals = self.totals.filter(|totals| totals.n_without_size == 0)?;
        Some(totals.bytes.saturating_sub(self.counts.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_read_to_its_end_has_totals() {
        let meter = Arc::new(Meter::default());
        let watch = Watch::new(Arc::clone(&meter), Limit::fixed(1.try_into().unwrap()));
        meter.listed.add(Some(10));
        meter.listed.add(Some(5));
        let before = watch.look();
        assert_eq!((before.totals, before.is_list_read), (None, false));
        meter.listed.end();
        let after = watch.look();
        assert_eq!((after.all_bytes(), after.is_list_read), (Some(15), true));
        let counted = Totals {
            n_rows: 3,
            bytes: 20,
            n_without_size: 1,
        };
        watch.set_totals(counted);
        assert_eq!(watch.look().totals, Some(counted));
        assert_eq!(watch.look().all_bytes(), None);
    }
}
