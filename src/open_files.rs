//! How many files and connections this process may have open, and what fits into that.

use std::io;
use std::num::NonZeroUsize;

/// Open files of everything but downloads: standard streams, the list, the CSV, the runtime, look-ups, TLS roots.
const OTHERS: usize = 40;
/// A GET's connection, and a large object's file and journal.
const PER_GET: usize = 3;
/// Folder handles worth keeping open, where there is room for them.
const FOLDERS: usize = 128;

/// What fits into the limit of open files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fit {
    pub concurrency: NonZeroUsize,
    pub max_open_folders: usize,
}

/// Raises the limit of open files as far as it goes; returns it, if there is one.
#[cfg(unix)]
pub fn raise_limit() -> Option<usize> {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let before = limit.current;
        limit.current = limit.maximum;
        // macOS says there is no limit, and then does not take it.
        if setrlimit(Resource::Nofile, limit).is_err() {
            limit.current = before;
        }
    }
    limit
        .current
        .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
pub fn raise_limit() -> Option<usize> {
    None
}

/// Whether an operation failed because too many files are open (`EMFILE`, `ENFILE`), which passes when others are closed.
pub fn is_exhausted(error: &io::Error) -> bool {
    cfg!(unix) && matches!(error.raw_os_error(), Some(23 | 24))
}

/// Fits `concurrency` into a limit of open files.
pub fn fit(concurrency: NonZeroUsize, limit: Option<usize>) -> Fit {
    let Some(limit) = limit else {
        return Fit {
            concurrency,
            max_open_folders: FOLDERS,
        };
    };
    let max_open_folders = (limit / 8).clamp(1, FOLDERS);
    let n_gets = limit.saturating_sub(OTHERS + max_open_folders) / PER_GET;
    let concurrency = concurrency.min(NonZeroUsize::new(n_gets).unwrap_or(NonZeroUsize::MIN));
    Fit {
        concurrency,
        max_open_folders,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_is_lowered_to_what_fits() {
        let fitted = |concurrency, limit| {
            fit(NonZeroUsize::new(concurrency).unwrap(), limit)
                .concurrency
                .get()
        };
        assert_eq!(fitted(2_000, None), 2_000);
        assert_eq!(fitted(2_000, Some(1_048_576)), 2_000);
        assert_eq!(fitted(64, Some(1_024)), 64);
        assert_eq!(fitted(2_000, Some(256)), 61);
        assert_eq!(fitted(2_000, Some(20)), 1);
    }
}
