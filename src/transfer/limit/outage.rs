//! Whether anything gets through at all. Pure: the time is handed in.
//!
//! A server that is restarted, a network that is gone, or a maintenance page hits every key: no key is charged for it, the
//! requests wait, and one at a time tries, at growing intervals, until one gets an answer. An outage that lasts longer
//! than the user allows ends the run.
//!
//! A failure is the outage's where nothing was answered since its request began, and either no connection could be made,
//! or requests have failed like that for some time: a storm of resets is over sooner where every key tries by itself. Of
//! more than one key, or while an object is known that was answered well: whoever fails asks for that one, and where it is
//! answered, the outage is over and the keys are charged. A key whose requests alone fail before anything was answered is
//! charged for them. Before the first answer of the run a name that cannot be resolved or a port that refuses is most likely a typing error, and ends the run soon.

use std::time::{Duration, Instant};

use crate::outcome::{Class, ErrorCode, Failure, Sign};

/// Between two requests that try, at first and at most.
const FIRST_INTERVAL: Duration = Duration::from_millis(200);
const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// How long nothing is answered before that counts as an outage, where connections can be made.
const SUSPICION: Duration = Duration::from_secs(2);
/// How long a server that was never reached is tried.
const MAX_UNTIL_REACHED: Duration = Duration::from_secs(5);

/// The state of the run's way to the server.
#[derive(Debug, Default)]
pub(super) struct Outage {
    suspicion: Option<Suspicion>,
    out: Option<Out>,
}

/// Requests failed, and nothing was answered since.
#[derive(Debug)]
struct Suspicion {
    since: Instant,
    /// The first key of them.
    key: String,
    has_company: bool,
}

#[derive(Debug)]
struct Out {
    since: Instant,
    cause: Failure,
    n_tries: u32,
    next_try: Instant,
    is_trying: bool,
}

/// Who pays for a failed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charge {
    Object,
    Nobody,
}

/// A request that failed.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub key: &'a str,
    pub began: Instant,
    /// Whether whoever asked can ask for an object that was answered well, and so find out whether the server is there.
    pub can_ask_for_another: bool,
}

/// Whether a request may start.
#[derive(Debug, PartialEq, Eq)]
pub enum Turn {
    Start,
    /// As the one that tries.
    Try,
    Wait(Instant),
    WaitForOther,
}

/// What the run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub since: Instant,
    /// Why nothing gets through.
    pub cause: String,
}

impl Outage {
    pub(super) fn is_out(&self) -> bool {
        self.out.is_some()
    }

    pub(super) fn waiting(&self) -> Option<Waiting> {
        self.out.as_ref().map(|out| Waiting {
            since: out.since,
            cause: out.cause.message.clone(),
        })
    }

    /// A request failed; the last good answer came at `good_at`.
    ///
    /// # Errors
    /// The failure, as the end of the run, once nothing has got through for `max_outage`.
    pub(super) fn failed(
        &mut self,
        failure: &Failure,
        asked: &Asked<'_>,
        good_at: Option<Instant>,
        now: Instant,
        max_outage: Duration,
    ) -> Result<Charge, Failure> {
        let began = asked.began;
        let is_meant_for_all = match failure.sign {
            Sign::NoTrust => true,
            Sign::Elsewhere => !failure.class.may_pass(),
            _ => false,
        };
        if is_meant_for_all && good_at.is_none() {
            return Err(Failure {
                class: Class::Fatal,
                ..failure.clone()
            });
        }
        // No request can be made without credentials, whoever was answered with the old ones meanwhile.
        let has_no_credentials = failure.sign == Sign::NoCredentials;
        let is_answered = good_at.is_some_and(|good_at| good_at >= began);
        if !has_no_credentials && (!may_be_of_an_outage(failure) || is_answered) {
            return Ok(Charge::Object);
        }
        let is_unreachable = failure.sign == Sign::NoConnection;
        let is_certain = is_unreachable || failure.sign == Sign::Elsewhere || has_no_credentials;
        if self.out.is_none() {
            if !is_certain && !self.is_suspected(asked, good_at, now) {
                return Ok(Charge::Object);
            }
            self.out = Some(Out {
                since: good_at.unwrap_or(began).max(began),
                cause: failure.clone(),
                n_tries: 0,
                next_try: now + FIRST_INTERVAL,
                is_trying: false,
            });
        }
        let Some(out) = &mut self.out else {
            return Ok(Charge::Object);
        };
        out.cause = failure.clone();
        let lasted = now.saturating_duration_since(out.since);
        let max = match good_at {
            None if is_unreachable => max_outage.min(MAX_UNTIL_REACHED),
            _ => max_outage,
        };
        if lasted >= max {
            let message = match good_at {
                // It was not there from the start, so there is no outage to speak of.
                None if is_unreachable => failure.message.clone(),
                _ => format!(
                    "nothing got through for {} s: {}",
                    lasted.as_secs(),
                    failure.message
                ),
            };
            return Err(Failure {
                class: Class::Fatal,
                message,
                ..failure.clone()
            });
        }
        Ok(Charge::Nobody)
    }

    /// Whether requests, not for one unknown key alone, have failed for some time with nothing answered.
    fn is_suspected(&mut self, asked: &Asked<'_>, good_at: Option<Instant>, now: Instant) -> bool {
        let is_outdated = |suspicion: &Suspicion| good_at.is_some_and(|at| at >= suspicion.since);
        if self.suspicion.as_ref().is_some_and(is_outdated) {
            self.suspicion = None;
        }
        let suspicion = self.suspicion.get_or_insert_with(|| Suspicion {
            since: asked.began,
            key: asked.key.to_owned(),
            has_company: false,
        });
        suspicion.has_company |= suspicion.key != asked.key || asked.can_ask_for_another;
        suspicion.has_company && now.saturating_duration_since(suspicion.since) >= SUSPICION
    }

    /// Whether a request may start at `now`.
    pub(super) fn turn(&mut self, now: Instant) -> Turn {
        let Some(out) = &mut self.out else {
            return Turn::Start;
        };
        if out.is_trying {
            return Turn::WaitForOther;
        }
        if now < out.next_try {
            return Turn::Wait(out.next_try);
        }
        out.is_trying = true;
        Turn::Try
    }

    /// The request that tried has ended, or was given up.
    pub(super) fn tried(&mut self, now: Instant) {
        if let Some(out) = &mut self.out {
            let interval = FIRST_INTERVAL * 2_u32.pow(out.n_tries.min(8));
            out.n_tries += 1;
            out.is_trying = false;
            out.next_try = now + interval.min(MAX_INTERVAL);
        }
    }

    /// A request was answered.
    pub(super) fn end(&mut self) {
        *self = Self::default();
    }
}

/// Whether the server may just not be there: no answer of HTTP, one of its 5xx, or one that is not the server's.
fn may_be_of_an_outage(failure: &Failure) -> bool {
    let is_silence = matches!(
        failure.code,
        ErrorCode::ConnectionFailed | ErrorCode::Timeout | ErrorCode::IncompleteBody
    );
    let is_of_5xx = failure.status.is_some_and(|status| status >= 500);
    let is_elsewhere = failure.sign == Sign::Elsewhere;
    failure.class.may_pass() && (is_of_5xx || is_silence || is_elsewhere)
}

#[cfg(test)]
mod tests;
