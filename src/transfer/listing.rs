//! Lists what is below a prefix. The next page is asked for while the one before is handed out, and each is tried again as
//! the GET of an object would be: no key is charged for a page, and a listing waits out an outage like the keys.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::limit::{Charge, Limit};
use super::retry::Budget;
use super::shared::{OnRequest, RequestNote};
use crate::open_files;
use crate::outcome::{Class, ErrorCode, Failure};
use crate::s3::{self, ListRequest, Page, Sequence};
use crate::source::{ListedPage, Lister, Listing};

/// Pages that may wait to be taken. While one does, the next is being asked for.
const PAGES: usize = 1;

/// What listings are made with.
#[derive(Debug)]
pub struct Listings {
    pub client: s3::Client,
    pub limit: Limit,
    pub max_attempts: NonZeroU32,
    /// How long nothing may get through before the run ends.
    pub max_outage: Duration,
    /// Is told of every request that was answered, or failed.
    pub on_request: Option<OnRequest>,
}

impl Listings {
    /// Lists in the runtime that this is called in.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn lister(self) -> Lister {
        let (listings, runtime) = (Arc::new(self), Handle::current());
        Lister(Arc::new(move |listing| {
            let (sender, pages) = mpsc::channel(PAGES);
            let listings = Arc::clone(&listings);
            runtime.spawn(async move {
                tokio::select! {
                    biased;
                    () = sender.closed() => {}
                    () = listings.list(&listing, &sender) => {}
                }
            });
            pages
        }))
    }

    async fn list(&self, listing: &Listing, pages: &mpsc::Sender<Result<ListedPage, Failure>>) {
        let mut progress = Progress {
            sequence: Sequence::new(s3::lists_in_order(&listing.bucket)),
            budget: Budget::new(self.max_attempts.get()),
            token: None,
            n_requests: 0,
        };
        loop {
            let page = self.page(listing, &mut progress).await;
            let page = page.map(|Page { rows, next }| {
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
    async fn page(&self, listing: &Listing, progress: &mut Progress) -> Result<Page, Failure> {
        loop {
            progress.budget.ready().await;
            let permit = self.limit.aside().await;
            let Some(round) = progress.budget.begin() else {
                continue;
            };
            progress.n_requests += 1;
            let started = Instant::now();
            let request = ListRequest {
                bucket: &listing.bucket,
                prefix: &listing.prefix,
                token: progress.token.as_deref(),
            };
            let answer = self.client.list(&request, &mut progress.sequence).await;
            if let Some(OnRequest(note)) = &self.on_request {
                note(&RequestNote {
                    method: "LIST",
                    key: &listing.to_string(),
                    range: None,
                    error: answer.as_ref().err(),
                    time: started.elapsed(),
                });
            }
            let error = match answer {
                Ok(page) => {
                    permit.answered(started.elapsed());
                    progress.budget.progressed();
                    return Ok(page);
                }
                Err(error) => error,
            };
            if error.class == Class::Throttled {
                permit.throttled();
            } else if error.status.is_some_and(|status| status < 500) {
                permit.refused();
            }
            drop(permit);
            let failure = Failure::from(error);
            if failure.code == ErrorCode::TooManyOpenFiles
                && progress.budget.waited_for_files() <= open_files::MAX_WAITS
            {
                tokio::time::sleep(open_files::WAIT).await;
                continue;
            }
            // Each request stands for itself: no key may be under way beside a listing to show that nothing gets through.
            let name = format!("{listing} {}", progress.n_requests);
            match self
                .limit
                .failed(&failure, &name, round.began(), self.max_outage)?
            {
                Charge::Nobody => {}
                Charge::Object => progress.budget.charge(failure, round)?,
            }
        }
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
