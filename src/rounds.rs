//! Downloads, and at the end tries again what failed by errors that may pass (`--retry-failed`).

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::done_file::{DoneFile, Noting};
use crate::meter::Meter;
use crate::report::Report;
use crate::row::Row;
use crate::source::ListError;
use crate::stop::Phase;
use crate::transfer::{End, Finished, ListEnd, Observer, ObserverError, Shared, download_all};

/// Downloads what the rows name. After a list that was read to its end, and unless the run is to stop, what failed is tried
/// again in as many rounds as were asked for. Each row counts once, as what became of it last.
pub(crate) async fn download(
    shared: &Arc<Shared>,
    rows: mpsc::Receiver<Result<Vec<Row>, ListError>>,
    report: &mut Report,
    mut done: Option<&mut DoneFile>,
) -> End {
    let mut observer = Noting::new(report, done.as_deref_mut());
    let mut end = download_all(shared, rows, &mut observer).await;
    let n_rounds = shared.options.n_rounds;
    for n in 1..=n_rounds {
        if !matches!(end, End::ListDone) || shared.stop.phase() != Phase::Running {
            break;
        }
        let Some(rows) = report.begin_round(n, n_rounds) else {
            break;
        };
        let mut round = Round {
            report,
            meter: &shared.meter,
            n_tried: 0,
        };
        let mut observer = Noting::new(&mut round, done.as_deref_mut());
        end = download_all(shared, rows, &mut observer).await;
        let n_tried = round.n_tried;
        if let Err(error) = report.end_round(n_tried) {
            return End::RecordFailed(error);
        }
    }
    end
}

/// Tells the report of rows that it was told of before.
struct Round<'a> {
    report: &'a mut Report,
    meter: &'a Meter,
    n_tried: u64,
}

impl Observer for Round<'_> {
    fn finished(&mut self, finished: &Finished) -> Result<(), ObserverError> {
        self.n_tried += 1;
        self.meter.take_back_failure(finished.entry.size);
        self.report.finished(finished)
    }

    /// What was not tried any more is still in the record, so that it is as whole as it was.
    fn list_ended(&mut self, _: ListEnd) {}
}
