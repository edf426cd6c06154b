//! Reads a listing as one of the lists.

use std::cell::RefCell;
use std::sync::Arc;

use super::{Batch, ListError, ListNote, note_filtered};
use crate::row::{Entry, UnusableRow};
use crate::source::list::format::ListProblem;
use crate::source::options::ListOptions;
use crate::source::prefix::{self, Lister, Listing};
use crate::source::selection::Selection;

/// Reads the rows of a listing, and sends those of each page.
pub(super) fn read(
    index: usize,
    listing: &Listing,
    lister: Option<&Lister>,
    options: &ListOptions,
    on_note: &mut impl FnMut(ListNote),
    batch: &RefCell<Batch>,
) -> Result<(), ListError> {
    let name = format!("`{listing}`");
    let mut selection = Selection::new(options, index, &listing.prefix);
    let mut n_rows = 0_u64;
    let bucket: Option<Arc<str>> = options
        .bucket
        .is_none()
        .then(|| listing.bucket.as_str().into());
    let emit = |line, mut entry: Result<Entry, UnusableRow>| {
        n_rows += 1;
        match &mut entry {
            Ok(entry) => entry.bucket.clone_from(&bucket),
            Err(unusable) => unusable.entry.bucket.clone_from(&bucket),
        }
        if let Some(row) = selection.row(line, entry) {
            batch.borrow_mut().push(row);
        }
    };
    let pages = prefix::start(lister, listing.clone());
    let read = prefix::read(pages, emit, || batch.borrow_mut().send());
    note_filtered(selection.n_filtered(), on_note);
    if read.is_ok() && n_rows == 0 {
        let cure = if listing.prefix.contains(['*', '?']) {
            "a prefix is not a pattern: use a shorter one with `--include`"
        } else if listing.prefix.starts_with('/') {
            "keys hardly begin with `/`: leave it out"
        } else {
            "check the bucket and the prefix"
        };
        on_note(ListNote::Warning(format!(
            "there is nothing below {name}: {cure}"
        )));
    }
    read.map_err(|failure| ListError {
        action: "list",
        list: name,
        problem: ListProblem::Listing(Box::new(failure)),
    })
}
