//! What all downloads of a run share.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::limit::{Limit, OnStep};
use super::rates::Rates;
use super::stragglers::Stragglers;
use super::witness::Witness;
use crate::done::{DoneSet, LastRows};
use crate::meter::Meter;
use crate::options::{Job, VerifyMode};
use crate::outcome::{Failure, SkipReason};
use crate::row::{Entry, Place};
use crate::s3::{self, GetError, GetRequest, GetResponse};
use crate::sink::door::Sink;
use crate::sink::files::{LocalPath, PathRules};
use crate::stop::Stop;

/// How objects become files.
#[derive(Debug, Clone, Copy)]
pub struct TransferOptions {
    pub job: Job,
    /// Bytes of a part.
    pub part_size: u64,
    /// Objects of as many bytes, and larger ones, are downloaded in parts.
    pub multipart_threshold: u64,
    pub verify: VerifyMode,
    /// Whether the run takes note of what is done.
    pub takes_note: bool,
    pub max_attempts: NonZeroU32,
    /// How long nothing may get through before the run ends.
    pub max_outage: Duration,
    /// Most requests per second.
    pub rps: Option<NonZeroU32>,
    /// Most bytes of bodies per second.
    pub bwlimit: Option<NonZeroU64>,
    /// Failed keys after which the run ends.
    pub max_failures: Option<NonZeroU64>,
    /// How often what failed is tried again at the end of the run.
    pub n_rounds: u32,
}

impl TransferOptions {
    /// Whether a checksum of each object is to be known, even if there is none to compare with.
    pub fn notes_checksums(&self) -> bool {
        self.takes_note && self.verify != VerifyMode::Off
    }
}

/// What every download shares.
#[derive(Debug)]
pub(crate) struct Shared {
    pub client: Getter,
    pub sink: Arc<Sink>,
    pub paths: PathRules,
    /// What earlier runs noted as done, where that is skipped.
    pub done: Option<DoneSet>,
    /// The last rows of files in lists of what is done, where only these count.
    pub last_rows: Vec<LastRows>,
    pub options: TransferOptions,
    pub limit: Limit,
    pub rates: Arc<Rates>,
    pub meter: Arc<Meter>,
    pub stop: Arc<Stop>,
    pub stragglers: Stragglers,
    pub witness: Witness,
    /// Whether the server gives parts of objects: large ones are streamed once it was seen not to.
    pub has_parts: AtomicBool,
    /// Is told of every request that was answered, or failed.
    pub on_request: Option<OnRequest>,
    /// Is told of each number in flight that the run tries.
    pub on_step: Option<Arc<OnStep>>,
}

impl Shared {
    /// Why nothing is to be done for a row whose file would be at `path`, if an earlier run or a later row did it.
    pub(crate) fn is_dealt_with(
        &self,
        place: Place,
        entry: &Entry,
        path: &LocalPath,
    ) -> Option<SkipReason> {
        let is_done = |done: &DoneSet| done.has(entry, path);
        if self.done.as_ref().is_some_and(is_done) {
            return Some(SkipReason::Done);
        }
        let supersede = |last_rows: &LastRows| last_rows.supersede(place, path);
        let is_superseded = self.last_rows.iter().any(supersede);
        is_superseded.then_some(SkipReason::Superseded)
    }
}

/// What GETs are sent with: the one client.
#[derive(Debug)]
pub(crate) enum Getter {
    Client(s3::Client),
    /// For a run that makes no request.
    Nobody,
    #[cfg(test)]
    Scripted(super::tests::Script),
}

impl Getter {
    /// Counts the connections that are being opened.
    pub(crate) fn connecting(&self) -> impl Fn() -> usize + Send + Sync + use<> {
        let opening = match self {
            Self::Client(client) => Some(client.opening()),
            Self::Nobody => None,
            #[cfg(test)]
            Self::Scripted(_) => None,
        };
        move || opening.as_ref().map_or(0, s3::Opening::n)
    }

    /// Sends one GET.
    ///
    /// # Errors
    /// [`GetError`], whose class says whether another attempt may help.
    pub(crate) async fn get_object(
        &self,
        request: &GetRequest<'_>,
    ) -> Result<GetResponse, GetError> {
        match self {
            Self::Client(client) => client.get_object(request).await,
            Self::Nobody => Err(GetError::not_sent()),
            #[cfg(test)]
            Self::Scripted(script) => script.get_object(request).await,
        }
    }
}

/// Takes notes of requests, from many tasks at once.
pub struct OnRequest(pub Box<dyn Fn(&RequestNote<'_>) + Send + Sync>);

impl fmt::Debug for OnRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnRequest")
    }
}

/// A request, and how it was answered.
#[derive(Debug)]
pub struct RequestNote<'a> {
    /// `GET` or `HEAD` for an object, `LIST` for a page of a listing.
    pub method: &'static str,
    pub key: &'a str,
    /// Bytes that were asked for; `None` for the whole object.
    pub range: Option<Range<u64>>,
    /// Why it failed, if it did.
    pub error: Option<&'a GetError>,
    /// From its start to the first byte of its answer.
    pub time: Duration,
}

/// Why an object's download stopped short.
#[derive(Debug)]
pub(super) enum Broken {
    /// What was fetched is of no use, for this reason: begin anew.
    Restart(Failure),
    /// No parts can be had: begin anew, as one stream. That is nobody's failure.
    WithoutParts,
    /// The file that is there is as new as the object.
    NotModified,
    /// The archive's spool has no room for it yet. That is nobody's failure.
    NoRoom,
    /// The object fails.
    Final(Failure),
}

impl Broken {
    /// Bytes that are not what they are compared with.
    pub(super) fn mismatch(failure: Failure) -> Self {
        if failure.class.may_pass() {
            Self::Restart(failure)
        } else {
            Self::Final(failure)
        }
    }
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Final(failure)
    }
}
