//! Outages against the governor: no run loses a key to one that is shorter than it may be.

use std::time::{Duration, Instant};

use super::world::Random;
use crate::outcome::{Class, ErrorCode, Failure, Sign};
use crate::transfer::limit::governor::{Counted, Governor};
use crate::transfer::limit::outage::{Asked, Charge, Turn};

const TICK: Duration = Duration::from_millis(10);
const LATENCY: Duration = Duration::from_millis(30);
const MAX_ATTEMPTS: u32 = 10;
const N_KEYS: usize = 4_000;

/// How requests fail while the server is out.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// The port refuses.
    Refused,
    /// Connections break before an answer.
    Reset,
    /// Nothing comes for as long as the run waits.
    Silence,
    /// A page of maintenance.
    Unavailable,
}

impl Trouble {
    fn failure(self) -> Failure {
        let connection =
            |message| Failure::new(ErrorCode::ConnectionFailed, Class::Transient, message);
        match self {
            Self::Refused => Failure {
                sign: Sign::NoConnection,
                ..connection("refused")
            },
            Self::Reset => connection("reset"),
            Self::Silence => Failure::new(ErrorCode::Timeout, Class::Transient, "silence"),
            Self::Unavailable => Failure {
                status: Some(503),
                ..Failure::new(
                    ErrorCode::S3("ServiceUnavailable".to_owned()),
                    Class::Throttled,
                    "503",
                )
            },
        }
    }

    fn takes(self) -> Duration {
        match self {
            Self::Silence => Duration::from_secs(30),
            _ => LATENCY,
        }
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Key {
    n_in_a_row: u32,
    not_before: Duration,
}

#[derive(Debug)]
struct InFlight {
    key: usize,
    began: Duration,
    ends: Duration,
    is_trying: bool,
    is_good: bool,
    round: u64,
}

/// How a run ends: keys that were lost, and the time; or the failure that ended it.
fn outlast(
    trouble: Trouble,
    outage: Duration,
    max_outage: Duration,
    mut governor: Governor,
    epoch: Instant,
) -> Result<(usize, Duration), Failure> {
    let mut random = Random::new(1);
    let from = Duration::from_millis(300);
    let to = from + outage;
    let mut keys = vec![Key::default(); N_KEYS];
    let mut waiting: Vec<usize> = (0..N_KEYS).rev().collect();
    let mut in_flight: Vec<InFlight> = Vec::new();
    let (mut now, mut n_lost, mut n_done) = (Duration::ZERO, 0, 0);
    let mut counted = Counted::default();
    let mut good_at = None;
    while n_done + n_lost < N_KEYS {
        now += TICK;
        let (ended, rest): (Vec<_>, Vec<_>) = in_flight
            .into_iter()
            .partition(|request| request.ends <= now);
        in_flight = rest;
        for request in ended {
            governor.give_back(false, request.is_good);
            if request.is_good {
                n_done += 1;
                counted.n_answered += 1;
                counted.first_byte += LATENCY;
                good_at = Some(epoch + request.ends);
                governor.reached();
            } else {
                let failure = trouble.failure();
                if failure.class == Class::Throttled {
                    governor.throttled(request.round, counted.n_answered, epoch + now);
                }
                let key = &mut keys[request.key];
                let name = request.key.to_string();
                let asked = Asked {
                    key: &name,
                    began: epoch + request.began,
                    can_ask_for_another: false,
                };
                let charge = governor.failed(&failure, &asked, good_at, epoch + now, max_outage)?;
                if charge == Charge::Object {
                    key.n_in_a_row += 1;
                    let base = if failure.class == Class::Throttled {
                        0.5
                    } else {
                        0.1
                    };
                    let longest = (base * 2_f64.powi(key.n_in_a_row.cast_signed() - 1)).min(20.0);
                    key.not_before = now + Duration::from_secs_f64(longest * random.uniform());
                }
                if key.n_in_a_row >= MAX_ATTEMPTS {
                    n_lost += 1;
                } else {
                    waiting.push(request.key);
                }
            }
            if request.is_trying {
                governor.tried(epoch + now);
            }
        }
        counted.n_objects = governor.max_rows().min(N_KEYS - n_done);
        let _ = governor.read(&counted, epoch + now);
        // Rows in their order, as far as they may be under way.
        let first = waiting.len().saturating_sub(governor.max_rows());
        let mut index = waiting.len();
        while index > first {
            index -= 1;
            if keys[waiting[index]].not_before > now {
                continue;
            }
            let turn = governor.turn(epoch + now);
            if !matches!(turn, Turn::Start | Turn::Try) {
                break;
            }
            let is_trying = turn == Turn::Try;
            if !governor.take() {
                if is_trying {
                    governor.tried(epoch + now);
                }
                break;
            }
            let is_good = now < from || now >= to;
            let takes = if is_good { LATENCY } else { trouble.takes() };
            in_flight.push(InFlight {
                key: waiting.remove(index),
                began: now,
                ends: now + takes,
                is_trying,
                is_good,
                round: governor.round(),
            });
        }
    }
    Ok((n_lost, now))
}

const TROUBLES: [Trouble; 4] = [
    Trouble::Refused,
    Trouble::Reset,
    Trouble::Silence,
    Trouble::Unavailable,
];

#[test]
fn no_key_is_lost_to_an_outage_that_is_shorter_than_it_may_be() {
    for trouble in TROUBLES {
        for seconds in [1, 10, 60, 270, 600] {
            for is_automatic in [false, true] {
                let (epoch, outage) = (Instant::now(), Duration::from_secs(seconds));
                let governor = if is_automatic {
                    Governor::automatic(1_024, epoch)
                } else {
                    Governor::fixed(64, epoch)
                };
                let max_outage = Duration::from_mins(11);
                let (n_lost, ended) =
                    outlast(trouble, outage, max_outage, governor, epoch).unwrap();
                let shown = format!("{trouble:?} for {seconds} s");
                assert_eq!(n_lost, 0, "{shown}");
                // It goes on soon after: the longest wait between two tries, or one of silence, and the rest of the work.
                let late = ended.saturating_sub(outage);
                assert!(late < Duration::from_mins(1), "{shown}: {late:?} after it");
            }
        }
    }
}

#[test]
fn an_outage_that_is_longer_than_it_may_be_ends_the_run() {
    for trouble in TROUBLES {
        let epoch = Instant::now();
        let governor = Governor::automatic(1_024, epoch);
        let (outage, max_outage) = (Duration::from_hours(1), Duration::from_mins(5));
        let fatal = outlast(trouble, outage, max_outage, governor, epoch).unwrap_err();
        assert_eq!(fatal.class, Class::Fatal, "{trouble:?}");
    }
}
