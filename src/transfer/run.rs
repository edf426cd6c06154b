//! The bounded stream of downloads, and how it ends. Knows no terminal and no CSV.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt, stream};
use tokio::sync::mpsc;

use super::observer::{End, ListEnd, Observer, ObserverError};
use super::path_claims::PathClaims;
use super::shared::Shared;
use super::task::{self, Ended};
use crate::options::Job;
use crate::outcome::{Failure, Outcome};
use crate::printable::count;
use crate::row::Row;
use crate::source::ListError;
use crate::stop::{Phase, Stop};

/// How long the rest of the list is waited for in all, once the run is being stopped. Time in which there is a row at
/// hand does not count.
const MAX_WAIT_FOR_LIST: Duration = Duration::from_secs(5);

/// Downloads what the rows name, until the list ends or the run is stopped. Each row that was read is told to
/// `observer` once.
pub(crate) async fn download_all(
    shared: &Arc<Shared>,
    list: mpsc::Receiver<Result<Vec<Row>, ListError>>,
    observer: &mut impl Observer,
) -> End {
    let claims = RefCell::new(PathClaims::default());
    let mut end = End::ListDone;
    let (mut n_failures, mut n_ended) = (0, 0_u64);
    let n_rows = Cell::new(0_u64);
    let list_end = Cell::new(ListEnd::Whole);
    let rows = rows_until_abandoned(list, &shared.stop, &list_end)
        .inspect(|row| {
            let Ok(row) = row else {
                list_end.set(ListEnd::Broken);
                return;
            };
            n_rows.set(n_rows.get() + 1);
            if !shared.meter.listed.is_whole() {
                // There are no bytes to wait for from a row that cannot be used.
                let size = row.entry.as_ref().map_or(Some(0), |entry| entry.size);
                shared.meter.listed.add(size);
            }
        })
        .chain(stream::poll_fn(|_| {
            shared.stragglers.list_is_over();
            if list_end.get() == ListEnd::Whole {
                shared.meter.listed.end();
            }
            Poll::Ready(None)
        }));
    let _following = shared.limit.follow(
        &shared.meter,
        shared.rates.waits(),
        shared.client.connecting(),
        shared.on_step.clone(),
    );
    let rows_per_permit = shared.sink.rows_per_permit();
    // Concurrent up to here and no further: what follows is a single consumer.
    let downloads = rows
        .then(async |row| {
            shared.limit.room(rows_per_permit).await;
            row
        })
        .map(|row| task::start(shared, &claims, row))
        .buffer_unordered(shared.limit.max() * rows_per_permit);
    let mut downloads = pin!(downloads);
    while let Some(event) = downloads.next().await {
        let (finished, has_path, turn) = match event {
            Ok(Ended {
                finished,
                has_path,
                turn,
            }) => (finished, has_path, turn),
            Err(error) => {
                list_end.set(ListEnd::Broken);
                end = End::ListBroken(error);
                continue;
            }
        };
        if let Some(path) = finished.path.as_ref().filter(|_| has_path) {
            claims.borrow_mut().finish(path, &finished.outcome);
        }
        if let Outcome::Failed(failure) = &finished.outcome {
            n_failures += 1;
            if let Some(ended) = must_end(shared, failure, n_failures) {
                end = ended;
            }
        }
        // Now the run is on its way to its end if it is.
        drop(turn);
        // What is checked and right is read all the same.
        let dropped = match shared.options.job {
            Job::Download => finished.entry.size,
            Job::Check(_) => None,
        };
        shared.meter.count(&finished.outcome, dropped);
        n_ended += 1;
        match observer.finished(&finished) {
            Ok(()) => {}
            Err(ObserverError::NotRecorded(error)) => {
                shared.stop.escalate(Phase::Abandoned);
                end = end.or_record_failed(error);
            }
            Err(ObserverError::RecordWaits(error)) => {
                shared.stop.because(format!("the run ended early: {error}"));
                shared.stop.escalate(Phase::GivingUp);
                end = end.or_record_failed(error);
            }
            Err(ObserverError::NotPrinted(error)) => {
                shared.stop.because(format!("the run ended early: {error}"));
                shared.stop.wind_down();
                // What ended the run before this is the cause.
                if matches!(end, End::ListDone) {
                    end = End::PrintFailed(error);
                }
            }
        }
    }
    let (end, list_end) = balanced(end, list_end.get(), n_rows.get(), n_ended);
    observer.list_ended(list_end);
    end
}

/// How the run and its list ended, unless a row that was read did not end once: then the record is not whole.
fn balanced(end: End, list_end: ListEnd, n_read: u64, n_ended: u64) -> (End, ListEnd) {
    if n_read == n_ended {
        (end, list_end)
    } else {
        (End::Miscounted { n_read, n_ended }, ListEnd::Broken)
    }
}

/// Whether this failure, the `n_failures`th, ends the run; then the run is on its way to its end. Rows that were not tried
/// or given up are failures too, but there are none of these before the run is on its way.
fn must_end(shared: &Shared, failure: &Failure, n_failures: u64) -> Option<End> {
    if is_of_every_key(shared, failure) && shared.stop.phase() < Phase::GivingUp {
        shared
            .stop
            .because(format!("the run ended early: {}", failure.message));
        shared.stop.escalate(Phase::GivingUp);
        return Some(End::Fatal(failure.clone()));
    }
    if shared
        .options
        .max_failures
        .is_some_and(|max| n_failures >= max.get())
        && shared.stop.phase() == Phase::Running
    {
        shared.stop.because(format!(
            "the run ended early: {} had failed",
            count(n_failures, "key")
        ));
        shared.stop.wind_down();
        return Some(End::TooManyFailures(n_failures));
    }
    None
}

/// Whether every other key would fail likewise. A signature or credentials that are refused although others were accepted
/// are this key's trouble.
fn is_of_every_key(shared: &Shared, failure: &Failure) -> bool {
    let is_refusal = failure.status == Some(403);
    failure.class.ends_run() && !(is_refusal && shared.meter.counts().n_downloaded > 0)
}

struct CutShort;

/// The rows as they arrive. Once the run is being stopped the rest is still read, for the record, unless it makes the
/// run wait for too long in all, somebody waits for the end, or the run is abandoned.
fn rows_until_abandoned(
    list: mpsc::Receiver<Result<Vec<Row>, ListError>>,
    stop: &Stop,
    list_end: &Cell<ListEnd>,
) -> impl Stream<Item = Result<Row, ListError>> {
    let start = (list, Box::pin(stop.list_is_over()), MAX_WAIT_FOR_LIST);
    let batches = stream::unfold(start, async |(mut list, mut is_over, patience)| {
        let started = Instant::now();
        let out_of_patience = async {
            stop.reached(Phase::WindingDown).await;
            tokio::time::sleep(patience).await;
        };
        let batch = tokio::select! {
            biased;
            () = &mut is_over => Err(CutShort),
            batch = list.recv() => Ok(batch),
            () = out_of_patience => Err(CutShort),
        };
        let batch = batch.unwrap_or_else(|CutShort| {
            list_end.set(ListEnd::CutShort);
            None
        });
        let patience = patience.saturating_sub(stop.ending_for(started));
        batch.map(|batch| (batch, (list, is_over, patience)))
    });
    batches.flat_map(|batch| {
        let (rows, error) = match batch {
            Ok(rows) => (rows, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        stream::iter(rows.into_iter().map(Ok).chain(error.map(Err)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_end_otherwise_than_once_each_are_a_broken_record() {
        let whole = balanced(End::ListDone, ListEnd::Whole, 3, 3);
        assert!(matches!(whole, (End::ListDone, ListEnd::Whole)));
        for (n_read, n_ended) in [(3, 2), (2, 3)] {
            let (end, list_end) = balanced(End::ListDone, ListEnd::Whole, n_read, n_ended);
            let End::Miscounted {
                n_read: r,
                n_ended: e,
            } = end
            else {
                panic!("{end:?}")
            };
            assert_eq!((r, e, list_end), (n_read, n_ended, ListEnd::Broken));
        }
    }
}
