//! Whether the server is there, where nothing has been answered for some time.

use std::sync::Arc;
use std::time::Instant;

use super::request::Request;
use crate::outcome::{Failure, Sign};
use crate::s3::Method;
use crate::transfer::limit::Charge;
use crate::transfer::retry::Round;
use crate::transfer::witness::Last;

impl Request {
    /// Finds out whether the server answers, although this request, of `round`, and all others failed for some time, and so who
    /// pays for it: nobody if the server is back by now, and the object if it has been there all the time. `None` where it does
    /// not answer, or nothing is known that it should answer.
    pub(super) async fn ask_witness(&self, failure: &Failure, round: Round) -> Option<Charge> {
        let witness = &self.shared.witness;
        let is_certain = match failure.sign {
            Sign::NoConnection | Sign::NoCredentials | Sign::NoTrust => true,
            Sign::Nothing | Sign::Elsewhere | Sign::NotTaken | Sign::NoParts | Sign::OtherEtag => {
                false
            }
        };
        let entry = witness.entry.get().filter(|_| !is_certain)?;
        let failed = Instant::now();
        let mut last = witness.last.lock().await;
        if matches!(*last, Last::NotAnswered(at) if at >= failed) {
            return None;
        }
        if self.shared.limit.waiting().is_none() {
            return Some(Charge::Nobody);
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
        if !is_there {
            *last = Last::NotAnswered(Instant::now());
            return None;
        }
        let was_there = matches!(*last, Last::Answered(at) if at <= round.began());
        *last = Last::Answered(Instant::now());
        Some(if was_there {
            Charge::Object
        } else {
            Charge::Nobody
        })
    }
}
