//! An object that was answered well is asked for again where nothing has been answered for some time: whether it is now tells
//! an outage from trouble with the objects whose requests fail.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use tokio::sync::Mutex;

use super::request::Request;
use crate::outcome::{Failure, Sign};
use crate::row::Entry;
use crate::s3::Method;

/// The first object of the run that was answered well.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    entry: OnceLock<Arc<Entry>>,
    /// Held while it is asked for: one answer is enough for all who wait. When there was none last.
    not_answered: Mutex<Option<Instant>>,
}

impl Witness {
    /// This object was answered well.
    pub(super) fn note(&self, entry: &Arc<Entry>) {
        if self.entry.get().is_none() {
            let _ = self.entry.set(Arc::clone(entry));
        }
    }

    /// Whether there is one.
    pub(super) fn is_some(&self) -> bool {
        self.entry.get().is_some()
    }
}

impl Request {
    /// Whether the server answers, although this request and all others failed for some time. `false` as well where nothing is
    /// known that it should answer.
    pub(super) async fn is_server_there(&self, failure: &Failure) -> bool {
        let witness = &self.shared.witness;
        let is_certain = match failure.sign {
            Sign::NoConnection | Sign::NoCredentials | Sign::NoTrust | Sign::Elsewhere => true,
            Sign::Nothing | Sign::NotTaken | Sign::NoParts | Sign::OtherEtag => false,
        };
        let Some(entry) = witness.entry.get().filter(|_| !is_certain) else {
            return false;
        };
        let failed = Instant::now();
        let mut not_answered = witness.not_answered.lock().await;
        if not_answered.is_some_and(|at| at >= failed) {
            return false;
        }
        if self.shared.limit.waiting().is_none() {
            return true;
        }
        let request = Self {
            entry: Arc::clone(entry),
            keep: None,
            known: Arc::default(),
            ahead: None,
            ..self.clone()
        };
        let permit = self.shared.limit.beside();
        let answer = Box::pin(request.send_as(Method::Head, None, &permit)).await;
        let is_there = match &answer {
            Ok(_) => true,
            Err(error) => error.is_from_server(),
        };
        *not_answered = (!is_there).then(Instant::now);
        is_there
    }
}
