//! The requests of sources: pages of listings, and lists that stand in S3. Each is tried again as the GET of an object would
//! be: no key is charged for it, and it waits out an outage like the keys.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::OnceCell;

use super::limit::{Asked, Charge, Limit, Permit};
use super::rates::Rates;
use super::retry::{Budget, Round};
use super::shared::{OnRequest, RequestNote};
use crate::open_files;
use crate::outcome::{Class, ErrorCode, Failure};
use crate::s3::{Client, ConnectOptions, GetError};
use crate::source::Requests;

/// What the requests of sources are made with.
#[derive(Debug)]
pub(crate) struct SourceRequests {
    /// The run's client, if it has one. Otherwise one is connected for the first request.
    pub client: OnceCell<Client>,
    pub options: ConnectOptions,
    pub limit: Limit,
    /// The limits of the user, which hold for these requests and those of objects together.
    pub rates: Arc<Rates>,
    pub max_attempts: NonZeroU32,
    /// How long nothing may get through before the run ends.
    pub max_outage: Duration,
    /// Is told of every request that was answered, or failed.
    pub on_request: Option<OnRequest>,
}

impl SourceRequests {
    /// Makes the requests in `runtime`.
    pub(crate) fn on(self, runtime: &Handle) -> Requests {
        let requests = Arc::new(self);
        Requests {
            lister: requests.lister(runtime),
            fetcher: requests.fetcher(runtime),
        }
    }

    pub(super) async fn client(&self) -> Result<&Client, Failure> {
        let connecting = || Box::pin(Client::connect(self.options.clone()));
        let client = self.client.get_or_try_init(connecting).await;
        client.map_err(|error| {
            let why = match error.hint() {
                Some(hint) => format!("{error}: {hint}"),
                None => error.to_string(),
            };
            Failure::new(ErrorCode::Credentials, Class::Fatal, why)
        })
    }

    /// Waits until a request may start.
    pub(super) async fn begin(&self, budget: &Budget) -> (Permit, Round) {
        loop {
            budget.ready().await;
            self.rates.source_request().await;
            let permit = self.limit.aside().await;
            if let Some(round) = budget.begin() {
                return (permit, round);
            }
        }
    }

    /// Tells of a request that began at `started`, and has its answer.
    pub(super) fn note<T>(
        &self,
        method: &'static str,
        key: &str,
        started: Instant,
        answer: &Result<T, GetError>,
    ) {
        if let Some(OnRequest(note)) = &self.on_request {
            note(&RequestNote {
                method,
                key,
                range: None,
                error: answer.as_ref().err(),
                time: started.elapsed(),
            });
        }
    }

    /// What a failed request says of the server; it ends with its permit.
    pub(super) fn refused(permit: Permit, error: GetError) -> Failure {
        if error.class == Class::Throttled {
            permit.throttled();
        } else if error.is_from_server() {
            permit.refused();
        }
        drop(permit);
        Failure::from(error)
    }

    /// Charges a request that failed. `name` is of this request alone: no key may be under way beside it to show that nothing
    /// gets through.
    ///
    /// # Errors
    /// The failure, if the request is not to be made again.
    pub(super) async fn failed(
        &self,
        failure: Failure,
        name: &str,
        round: Round,
        budget: &Budget,
    ) -> Result<(), Failure> {
        if failure.code == ErrorCode::TooManyOpenFiles
            && budget.waited_for_files() <= open_files::MAX_WAITS
        {
            tokio::time::sleep(open_files::WAIT).await;
            return Ok(());
        }
        let asked = Asked {
            key: name,
            began: round.began(),
            can_ask_for_another: false,
        };
        match self.limit.failed(&failure, &asked, self.max_outage)? {
            Charge::Nobody => Ok(()),
            Charge::Object => budget.charge(failure, round),
        }
    }
}
