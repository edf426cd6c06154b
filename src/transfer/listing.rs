//! Lists what is below a prefix. The next page is asked for while the one before is handed out.

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::retry::Budget;
use super::source_requests::SourceRequests;
use crate::outcome::Failure;
use crate::s3::{self, ListRequest, Page, Sequence};
use crate::source::{ListedPage, Lister, Listing};

/// Pages that may wait to be taken. While one does, the next is being asked for.
const PAGES: usize = 1;

impl SourceRequests {
    /// Starts listings in `runtime`.
    pub(super) fn lister(self: &Arc<Self>, runtime: &Handle) -> Lister {
        let (requests, runtime) = (Arc::clone(self), runtime.clone());
        Lister(Arc::new(move |listing| {
            let (sender, pages) = mpsc::channel(PAGES);
            let requests = Arc::clone(&requests);
            runtime.spawn(async move {
                tokio::select! {
                    biased;
                    () = sender.closed() => {}
                    () = list(&requests, &listing, &sender) => {}
                }
            });
            pages
        }))
    }
}

/// How far a listing has come.
struct Progress {
    sequence: Sequence,
    budget: Budget,
    /// What the next page is asked for with.
    token: Option<String>,
    n_requests: u64,
}

async fn list(
    requests: &SourceRequests,
    listing: &Listing,
    pages: &mpsc::Sender<Result<ListedPage, Failure>>,
) {
    let mut progress = Progress {
        sequence: Sequence::new(s3::lists_in_order(&listing.bucket)),
        budget: Budget::new(requests.max_attempts.get()),
        token: None,
        n_requests: 0,
    };
    loop {
        let page = page(requests, listing, &mut progress).await;
        let page = page.map(|Page { rows, next, .. }| {
            progress.token = next;
            ListedPage {
                rows,
                is_last: progress.token.is_none(),
            }
        });
        let is_over = page.as_ref().map_or(true, |page| page.is_last);
        if pages.send(page).await.is_err() || is_over {
            return;
        }
    }
}

/// Asks for the next page until there is an answer of use.
async fn page(
    requests: &SourceRequests,
    listing: &Listing,
    progress: &mut Progress,
) -> Result<Page, Failure> {
    let client = requests.client().await?;
    loop {
        let (permit, round) = requests.begin(&progress.budget).await;
        progress.n_requests += 1;
        let started = Instant::now();
        let request = ListRequest {
            bucket: &listing.bucket,
            prefix: &listing.prefix,
            token: progress.token.as_deref(),
        };
        let answer = client.list(&request, &mut progress.sequence).await;
        requests.note("LIST", &listing.to_string(), started, &answer);
        let error = match answer {
            Ok(page) => {
                permit.answered(started.elapsed());
                progress.budget.progressed();
                return Ok(page);
            }
            Err(error) => error,
        };
        let failure = SourceRequests::refused(permit, error);
        let name = format!("{listing} {}", progress.n_requests);
        requests
            .failed(failure, &name, round, &progress.budget)
            .await?;
    }
}
