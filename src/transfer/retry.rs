//! How often an object is tried again, and how long to wait before: full-jitter exponential backoff, which spreads the
//! attempts of many objects that failed together (AWS Architecture Blog, "Exponential Backoff And Jitter").
//!
//! One budget per object covers whatever fails; the SDK's own retries are off, so that budgets do not multiply. Failures
//! are charged by rounds: requests that were under way together fail together when a server is restarted or a connection
//! is reset, and that is one failure, however many parts were in flight. Progress clears the count, so that an object of
//! many parts outlasts many bad moments, each of which is no longer than the budget. While the object waits, none of
//! its requests starts.
//!
//! A broken connection is worth another try soon: the next one most likely goes to another server. A server
//! that asks for fewer requests needs longer to recover, as S3 does while it splits a busy prefix. Ten attempts with
//! these delays outlast half a minute on average, and most of S3's bad moments.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::locks::lock;
use crate::meter::{Meter, Retrying};
use crate::outcome::{Class, Failure};

const TRANSIENT_BASE: Duration = Duration::from_millis(100);
const THROTTLED_BASE: Duration = Duration::from_millis(500);
const CAP: Duration = Duration::from_secs(20);

/// Received bytes that are progress, even where no part is finished by them.
pub(super) const PROGRESS: u64 = 1024 * 1024;

/// The attempts of one object, shared by all its requests.
#[derive(Debug)]
pub(super) struct Budget {
    max_attempts: u32,
    /// Is told while the object is tried again.
    meter: Option<Arc<Meter>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Charged failures since the last progress.
    n_in_a_row: u32,
    /// How often the object was begun anew. No progress clears it: what was fetched before is of no use.
    n_restarts: u32,
    n_charged: u32,
    n_waits_for_files: u32,
    /// Counts the charges.
    round: u64,
    /// No request of the object starts before.
    not_before: Option<Instant>,
    /// Since the last failure, until there is progress.
    retrying: Option<Retrying>,
}

/// When a request began: before or after the last failure that was charged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    number: u64,
    began: Instant,
}

impl Round {
    /// When the request began.
    pub(super) fn began(self) -> Instant {
        self.began
    }
}

impl Budget {
    pub(super) fn new(max_attempts: u32) -> Self {
        Self {
            max_attempts,
            meter: None,
            state: Mutex::default(),
        }
    }

    /// Has `meter` count the object while it is tried again.
    pub(super) fn seen_by(self, meter: &Arc<Meter>) -> Self {
        Self {
            meter: Some(Arc::clone(meter)),
            ..self
        }
    }

    /// Failures that were charged so far.
    pub(super) fn n_failed(&self) -> u32 {
        self.state().n_charged
    }

    /// The round of a request that is treated as if it had begun after the last charge, since its answer is still good.
    pub(super) fn renewed(&self, round: Round) -> Round {
        Round {
            number: self.state().round,
            ..round
        }
    }

    /// The round of a request that begins now; `None` while the object waits out a backoff.
    pub(super) fn begin(&self) -> Option<Round> {
        let (mut state, began) = (self.state(), Instant::now());
        let may_begin = state.pause(began).is_none();
        may_begin.then(|| Round {
            number: state.round,
            began,
        })
    }

    /// Waits out the backoff, if there is one.
    pub(super) async fn ready(&self) {
        while let Some(until) = self.pause() {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// Counts a wait for other files to be closed; returns how many there were since the last progress.
    pub(super) fn waited_for_files(&self) -> u32 {
        let mut state = self.state();
        state.n_waits_for_files += 1;
        state.n_waits_for_files
    }

    /// The object came on: a part is finished, or [`PROGRESS`] bytes arrived.
    pub(super) fn progressed(&self) {
        let mut state = self.state();
        (state.n_in_a_row, state.n_waits_for_files) = (0, 0);
        state.retrying = None;
    }

    /// Charges the failure of a request, unless one that was under way with it was charged already.
    ///
    /// # Errors
    /// The failure, when another attempt would not help or is not allowed.
    pub(super) fn charge(&self, failure: Failure, round: Round) -> Result<(), Failure> {
        let mut state = self.state();
        let may_pass = failure.class.may_pass();
        let is_charged_already = round.number < state.round;
        if may_pass && is_charged_already {
            let asked = failure.retry_after.unwrap_or_default().min(CAP);
            state.not_before = state.not_before.max(Some(Instant::now() + asked));
            return Ok(());
        }
        state.n_in_a_row += 1;
        let n_in_a_row = state.n_in_a_row;
        let may_go_on = may_pass && n_in_a_row < self.max_attempts;
        self.note(&mut state, &failure, may_go_on);
        state.charge(failure, may_go_on, n_in_a_row)
    }

    /// Charges an object of which everything that was fetched is of no use.
    ///
    /// # Errors
    /// The failure, when it was begun anew as often as is allowed.
    pub(super) fn restart(&self, failure: Failure) -> Result<(), Failure> {
        let mut state = self.state();
        state.n_restarts += 1;
        state.n_in_a_row += 1;
        let n_in_vain = state.n_restarts.max(state.n_in_a_row);
        let may_go_on = n_in_vain < self.max_attempts;
        self.note(&mut state, &failure, may_go_on);
        state.charge(failure, may_go_on, n_in_vain)
    }

    /// Has the object counted as one that is tried again, if it is.
    fn note(&self, state: &mut State, failure: &Failure, may_go_on: bool) {
        let meter = self.meter.as_ref().filter(|_| may_go_on);
        state.retrying = meter.map(|meter| meter.retries.begin(failure.code.as_str()));
    }

    fn pause(&self) -> Option<Instant> {
        self.state().pause(Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Until when the object waits, if it does at `now`.
    fn pause(&mut self, now: Instant) -> Option<Instant> {
        self.not_before = self.not_before.filter(|&not_before| not_before > now);
        self.not_before
    }

    fn charge(&mut self, failure: Failure, may_go_on: bool, n_in_vain: u32) -> Result<(), Failure> {
        self.n_charged += 1;
        self.round += 1;
        if !may_go_on {
            return Err(Failure {
                attempts: self.n_charged,
                ..failure
            });
        }
        let asked = failure.retry_after.unwrap_or_default().min(CAP);
        let delay = delay(failure.class, n_in_vain, fastrand::f64()).max(asked);
        self.not_before = Some(Instant::now() + delay);
        Ok(())
    }
}

/// The wait after `n_failed` attempts, from 1, of which the last failed with `class`; `random` is from 0 to 1.
fn delay(class: Class, n_failed: u32, random: f64) -> Duration {
    let base = match class {
        Class::Throttled => THROTTLED_BASE,
        Class::Transient | Class::Permanent | Class::Fatal => TRANSIENT_BASE,
    };
    let doublings = n_failed.saturating_sub(1).min(16);
    CAP.min(base * 2_u32.pow(doublings)).mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_cap() {
        let longest = |class, n_failed| delay(class, n_failed, 1.0).as_millis();
        assert_eq!(
            [1, 2, 3, 8, 9].map(|n| longest(Class::Transient, n)),
            [100, 200, 400, 12_800, 20_000]
        );
        assert_eq!(
            [1, 2, 6, 7].map(|n| longest(Class::Throttled, n)),
            [500, 1_000, 16_000, 20_000]
        );
        assert_eq!(longest(Class::Transient, u32::MAX), 20_000);
    }

    fn failure(class: Class) -> Failure {
        Failure::new(crate::outcome::ErrorCode::Timeout, class, "")
    }

    /// The round of a request that begins now, whatever the backoff.
    fn round(budget: &Budget) -> Round {
        budget.state().not_before = None;
        budget.begin().unwrap()
    }

    fn charge(budget: &Budget, class: Class) -> Result<(), u32> {
        budget
            .charge(failure(class), round(budget))
            .map_err(|failure| failure.attempts)
    }

    #[test]
    fn the_budget_is_spent_by_whatever_fails() {
        let budget = Budget::new(3);
        assert_eq!(charge(&budget, Class::Transient), Ok(()));
        assert_eq!(charge(&budget, Class::Throttled), Ok(()));
        assert_eq!(charge(&budget, Class::Transient), Err(3));
        for class in [Class::Permanent, Class::Fatal] {
            assert_eq!(charge(&Budget::new(3), class), Err(1));
        }
    }

    #[test]
    fn an_object_counts_as_tried_again_until_there_is_progress_or_it_fails() {
        let meter = Arc::new(Meter::default());
        let budget = Budget::new(2).seen_by(&meter);
        charge(&budget, Class::Transient).unwrap();
        assert_eq!(&*meter.retries.now().unwrap().code, "Timeout");
        budget.progressed();
        assert_eq!(meter.retries.now(), None);
        charge(&budget, Class::Transient).unwrap();
        assert!(meter.retries.now().is_some());
        charge(&budget, Class::Transient).unwrap_err();
        assert_eq!(meter.retries.now(), None);
    }

    #[test]
    fn requests_that_were_under_way_together_fail_once() {
        let budget = Budget::new(3);
        let together = round(&budget);
        for _ in 0..100 {
            assert!(budget.charge(failure(Class::Transient), together).is_ok());
        }
        assert_eq!(budget.n_failed(), 1);
        // What cannot pass ends the object, whoever failed before.
        assert!(budget.charge(failure(Class::Permanent), together).is_err());
    }

    #[test]
    fn progress_clears_the_count_but_not_that_of_restarts() {
        let budget = Budget::new(3);
        for _ in 0..10 {
            assert_eq!(charge(&budget, Class::Transient), Ok(()));
            assert_eq!(charge(&budget, Class::Transient), Ok(()));
            budget.progressed();
        }
        let restart = |budget: &Budget| {
            budget.progressed();
            budget.restart(failure(Class::Transient)).is_ok()
        };
        let budget = Budget::new(3);
        assert_eq!([(); 3].map(|()| restart(&budget)), [true, true, false]);
    }

    #[test]
    fn restarts_and_failures_without_progress_share_the_budget() {
        let budget = Budget::new(3);
        assert_eq!(charge(&budget, Class::Transient), Ok(()));
        assert!(budget.restart(failure(Class::Transient)).is_ok());
        assert_eq!(charge(&budget, Class::Transient), Err(3));
    }

    #[test]
    fn a_wish_of_the_server_is_heeded_up_to_the_cap() {
        let wait = |seconds| {
            let budget = Budget::new(3);
            let retry_after = Some(Duration::from_secs(seconds));
            let failure = Failure {
                retry_after,
                ..failure(Class::Throttled)
            };
            // The second failure of a round may ask for longer than the first.
            let together = round(&budget);
            budget
                .charge(self::failure(Class::Transient), together)
                .unwrap();
            budget.charge(failure, together).unwrap();
            (budget.pause().unwrap() - Instant::now())
                .as_millis()
                .div_ceil(1_000)
        };
        assert_eq!(wait(3), 3);
        assert_eq!(wait(3_600), u128::from(CAP.as_secs()));
    }

    #[test]
    fn no_request_begins_before_the_server_wants_it() {
        let budget = Budget::new(3);
        let failure = Failure {
            retry_after: Some(CAP),
            ..failure(Class::Throttled)
        };
        budget.charge(failure, round(&budget)).unwrap();
        assert!(budget.begin().is_none());
    }

    #[tokio::test]
    async fn requests_begin_again_after_the_backoff() {
        let budget = Budget::new(10);
        for _ in 0..5 {
            charge(&budget, Class::Transient).unwrap();
            budget.ready().await;
            assert!(budget.begin().is_some());
            budget.progressed();
        }
        assert_eq!(budget.n_failed(), 5);
    }

    #[test]
    fn a_request_whose_answer_is_still_good_is_charged_for_what_comes_next() {
        let budget = Budget::new(10);
        let together = round(&budget);
        for _ in 0..2 {
            budget.charge(failure(Class::Transient), together).unwrap();
        }
        budget
            .charge(failure(Class::Transient), budget.renewed(together))
            .unwrap();
        assert_eq!(budget.n_failed(), 2);
    }

    #[test]
    fn waits_for_other_files_are_counted_until_there_is_progress() {
        let budget = Budget::new(3);
        let waited = || budget.waited_for_files();
        assert_eq!([waited(), waited(), waited()], [1, 2, 3]);
        budget.progressed();
        assert_eq!(waited(), 1);
    }

    #[test]
    fn jitter_is_full() {
        assert_eq!(delay(Class::Transient, 3, 0.0), Duration::ZERO);
        assert_eq!(delay(Class::Transient, 3, 0.5), Duration::from_millis(200));
    }
}
