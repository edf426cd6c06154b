//! What a run has before it starts: how much may be under way at once, the client, warnings of its options, and the size of
//! what it has to do.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::config::Config;
use crate::destination::FolderToFill;
use crate::done_file::DoneFile;
use crate::memory;
use crate::open_files::{self, Budget};
use crate::options::{Check, CheckDepth, Concurrency, Job, MAX_AUTO_CONCURRENCY};
use crate::report::{ListNotes, Report};
use crate::s3::{self, Trust};
use crate::sink::files::OnWarning;
use crate::source::{self, ListOptions};
use crate::transfer::Limit;

/// Files that are looked at at once in a run that makes no request: enough for threads to have the next one at hand.
const FILES_AT_ONCE: NonZeroUsize = NonZeroUsize::new(256).expect("not zero");

/// What the system allows of what was typed, once the limit of open files is raised.
pub(crate) fn budget(typed: Concurrency) -> Budget {
    let max_open_files = open_files::raise_limit();
    let wanted = match typed {
        Concurrency::Auto => memory::plan(MAX_AUTO_CONCURRENCY, memory::available()),
        Concurrency::Fixed(n) => n,
    };
    open_files::plan(wanted, max_open_files)
}

/// How many GETs, or files that are looked at without any, may be under way. How many of these are best, the replies to
/// requests do not tell.
pub(crate) fn limit(typed: Concurrency, max: NonZeroUsize, makes_requests: bool) -> Limit {
    match typed {
        Concurrency::Auto if !makes_requests => Limit::fixed(max.min(FILES_AT_ONCE)),
        typed => Limit::new(typed, max),
    }
}

/// Warns of options that do not hold, or that are dangerous.
pub(crate) fn warn(
    report: &Report,
    config: &Config,
    concurrency: NonZeroUsize,
    done: Option<&DoneFile>,
) {
    if let Some(done) = done {
        done.warn_by(report);
    }
    if let Concurrency::Fixed(wanted) = config.concurrency
        && concurrency < wanted
    {
        report.warn(&format!(
            "`--concurrency {wanted}` does not fit into the limit of open files: going on with {concurrency} (`ulimit -n` raises it)"
        ));
    }
    if config.s3.trust == Trust::Everyone {
        report.warn(
            "`--no-verify-ssl`: certificates are not checked, so that anyone on the way can read and change what is downloaded",
        );
    }
}

/// What requests are sent with; `None` for a run that makes none and needs no credentials.
pub(crate) async fn connect(config: &Config) -> anyhow::Result<Option<s3::Client>> {
    let compares_by_list = matches!(
        config.transfer.job,
        Job::Check(Check {
            depth: CheckDepth::Quick | CheckDepth::Offline,
            ..
        })
    );
    if compares_by_list && !config.list.needs_requests() {
        return Ok(None);
    }
    let client = s3::Client::connect(config.s3.clone()).await?;
    Ok(Some(client))
}

/// Counts the rows during the downloads, if the lists can be read twice, and warns if the objects do not fit on the disk.
/// The receiver hears when that is done.
pub(crate) fn count_in_background(
    options: &Arc<ListOptions>,
    to_fill: Option<FolderToFill>,
    notes: ListNotes,
    OnWarning(warn): OnWarning,
) -> oneshot::Receiver<()> {
    let options = Arc::clone(options);
    let (done, is_done) = oneshot::channel();
    std::thread::spawn(move || {
        // A list that cannot be read is reported by the thread that reads it for the downloads.
        if let Ok(Some(totals)) = source::count(&options) {
            notes.totals(totals);
            let warning = to_fill.and_then(|folder| folder.warning(&options, &totals));
            if let Some(warning) = warning {
                warn(&warning);
            }
        }
        // The run may have ended meanwhile.
        let _ = done.send(());
    });
    is_done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_files_is_not_searched_for_where_no_reply_tells_it() {
        let max = NonZeroUsize::new(1_000).expect("not zero");
        let few = NonZeroUsize::new(5).expect("not zero");
        let auto = limit(Concurrency::Auto, max, false);
        assert_eq!((auto.is_automatic(), auto.max()), (false, 256));
        assert_eq!(limit(Concurrency::Auto, few, false).max(), 5);
        assert_eq!(limit(Concurrency::Fixed(max), max, false).max(), 1_000);
        assert!(limit(Concurrency::Auto, max, true).is_automatic());
    }
}
