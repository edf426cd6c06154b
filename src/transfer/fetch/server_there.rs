//! Whether the server is there, where nothing has been answered for some time.

use std::sync::Arc;
use std::time::Instant;

use super::request::Request;
use crate::outcome::{Failure, Sign};
use crate::s3::Method;

impl Request {
    /// Whether the server answers, although this request and all others failed for some time. `false` as well where nothing is
    /// known that it should answer.
    pub(super) async fn is_server_there(&self, failure: &Failure) -> bool {
        let witness = &self.shared.witness;
        let is_certain = match failure.sign {
            Sign::NoConnection | Sign::NoCredentials | Sign::NoTrust => true,
            Sign::Nothing | Sign::Elsewhere | Sign::NotTaken | Sign::NoParts | Sign::OtherEtag => {
                false
            }
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
