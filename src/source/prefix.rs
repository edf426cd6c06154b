//! `--prefix`: the objects below a prefix as a source of rows. Someone else asks for the pages; this module turns them into
//! rows, and does not take a listing that breaks off for one that has ended.

use std::fmt;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::outcome::{Class, ErrorCode, Failure};
use crate::row::{Entry, UnusableRow};

/// What to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    pub bucket: String,
    /// What the keys begin with; empty for the whole bucket.
    pub prefix: String,
}

impl fmt::Display for Listing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.prefix)
    }
}

/// A page of a listing.
#[derive(Debug)]
pub struct ListedPage {
    pub rows: Vec<Result<Entry, UnusableRow>>,
    /// Without such a page, a listing has broken off.
    pub is_last: bool,
}

/// The pages of a listing, or why the next one cannot be had.
pub(super) type Pages = mpsc::Receiver<Result<ListedPage, Failure>>;

/// Starts listings, from any thread.
#[derive(Clone)]
pub(crate) struct Lister(pub Arc<dyn Fn(Listing) -> Pages + Send + Sync>);

impl fmt::Debug for Lister {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lister")
    }
}

/// Starts a listing. Without a lister, it breaks off at once.
pub(super) fn start(lister: Option<&Lister>, listing: Listing) -> Pages {
    match lister {
        Some(Lister(start)) => start(listing),
        None => mpsc::channel(1).1,
    }
}

/// Passes each row of a listing to `emit` with its number, from 1, and calls `page_ended` after each page, which returns
/// whether there is still a use for the rest.
///
/// # Errors
/// Why the listing could not be read to its end.
pub(super) fn read(
    mut pages: Pages,
    mut emit: impl FnMut(u64, Result<Entry, UnusableRow>),
    mut page_ended: impl FnMut() -> bool,
) -> Result<(), Failure> {
    let mut n_rows = 0;
    loop {
        let page = pages.blocking_recv().unwrap_or_else(|| {
            let message = "a bug in s3pull, please report it: the listing broke off";
            Err(Failure::new(ErrorCode::Internal, Class::Permanent, message))
        })?;
        for row in page.rows {
            n_rows += 1;
            emit(n_rows, row);
        }
        if !page_ended() || page.is_last {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(pages: Vec<Result<ListedPage, Failure>>) -> Pages {
        let (sender, receiver) = mpsc::channel(pages.len().max(1));
        for page in pages {
            sender.try_send(page).unwrap();
        }
        receiver
    }

    fn page(keys: &[&str], is_last: bool) -> ListedPage {
        let entry = |key: &&str| Entry {
            key: (*key).to_owned(),
            ..Entry::default()
        };
        ListedPage {
            rows: keys.iter().map(entry).map(Ok).collect(),
            is_last,
        }
    }

    fn read_all(pages: Pages) -> (Vec<(u64, String)>, Result<(), String>) {
        let mut rows = Vec::new();
        let emit = |n, entry: Result<Entry, UnusableRow>| rows.push((n, entry.unwrap().key));
        let ended = read(pages, emit, || true).map_err(|failure| failure.to_string());
        (rows, ended)
    }

    #[test]
    fn rows_are_numbered_through_all_pages() {
        let (rows, ended) = read_all(pages(vec![
            Ok(page(&["a", "b"], false)),
            Ok(page(&[], false)),
            Ok(page(&["c"], true)),
        ]));
        assert_eq!(rows, [(1, "a".into()), (2, "b".into()), (3, "c".into())]);
        assert_eq!(ended, Ok(()));
    }

    #[test]
    fn a_listing_that_breaks_off_is_not_one_that_ended() {
        let (rows, ended) = read_all(pages(vec![Ok(page(&["a"], false))]));
        assert_eq!(rows.len(), 1);
        assert!(ended.unwrap_err().starts_with("Internal"));
        let failure = Failure::new(ErrorCode::Timeout, Class::Transient, "too late");
        let (rows, ended) = read_all(pages(vec![Ok(page(&["a"], false)), Err(failure)]));
        assert_eq!(rows.len(), 1);
        assert_eq!(ended, Err("Timeout: too late".to_owned()));
    }

    #[test]
    fn no_page_is_taken_once_nobody_wants_the_rest() {
        let mut pages = pages(vec![Ok(page(&["a"], false)), Ok(page(&["b"], true))]);
        pages.close();
        let mut n_rows = 0;
        assert!(read(pages, |_, _| n_rows += 1, || false).is_ok());
        assert_eq!(n_rows, 1);
    }
}
