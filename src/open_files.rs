//! The limit of open files (which connections count towards), and the concurrency that it allows.

use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;

/// Open files apart from downloads: standard streams, the list, the CSV, the runtime, name lookups, TLS roots.
const OTHERS: usize = 40;
/// Open files per GET: its connection, and the file and journal of a large object.
const PER_GET: usize = 3;
/// Most folder handles to keep open, if the limit allows it.
const FOLDERS: usize = 128;

/// The wait before a request tries again to open a file, and the number of tries: a minute in total.
pub(crate) const WAIT: Duration = Duration::from_millis(50);
pub(crate) const MAX_WAITS: u32 = 1_200;

/// How the limit of open files is divided up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    pub concurrency: NonZeroUsize,
    pub max_open_folders: usize,
}

/// Raises the limit of open files as far as the system allows, and returns it, if there is one.
#[cfg(unix)]
pub(crate) fn raise_limit() -> Option<usize> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        // macOS reports that there is no limit, and then refuses that value.
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = before;
        }
    }
    limit
        .current
        .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
pub(crate) fn raise_limit() -> Option<usize> {
    None
}

/// Whether an operation failed because too many files are open (`EMFILE`, `ENFILE`), which ends once others are closed.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// Lowers `concurrency` to what a limit of open files allows.
pub(crate) fn plan(concurrency: NonZeroUsize, limit: Option<usize>) -> Budget {
    let Some(limit) = limit else {
        return Budget {
            concurrency,
            max_open_folders: FOLDERS,
        };
    };
    let max_open_folders = (limit / 8).clamp(1, FOLDERS);
    let n_gets = limit.saturating_sub(OTHERS + max_open_folders) / PER_GET;
    let concurrency = concurrency.min(NonZeroUsize::new(n_gets).unwrap_or(NonZeroUsize::MIN));
    Budget {
        concurrency,
        max_open_folders,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_is_lowered_to_what_the_limit_allows() {
        let planned = |concurrency, limit| {
            plan(NonZeroUsize::new(concurrency).unwrap(), limit)
                .concurrency
                .get()
        };
        assert_eq!(planned(2_000, None), 2_000);
        assert_eq!(planned(2_000, Some(1_048_576)), 2_000);
        assert_eq!(planned(64, Some(1_024)), 64);
        assert_eq!(planned(2_000, Some(256)), 61);
        assert_eq!(planned(2_000, Some(20)), 1);
    }
}
