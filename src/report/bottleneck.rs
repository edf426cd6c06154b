//! What a run waited for, and so what would make the next one faster. Pure.
//!
//! It concludes only from what was measured, and only what follows from that: where nothing stands out, it says nothing,
//! since wrong advice is worse than none.

use std::time::Duration;

use super::text::{bytes, duration, number, per_second};
use crate::meter::Waited;
use crate::transfer::{Found, Throttling, WhyNotMore};

/// Shorter runs are mostly start and end.
const MIN_ELAPSED: Duration = Duration::from_secs(1);
/// Of shorter or smaller runs people are told nothing: there is little to be gained.
const MIN_ELAPSED_TO_TELL: Duration = Duration::from_secs(10);
const MIN_OBJECTS_TO_TELL: u64 = 100;
/// Percent of the time that objects wait, from which on what they wait for is the bottleneck.
const MOST: u64 = 60;
/// Percent of all cores' time. The rest goes to waiting that no run is without.
const BUSY: u64 = 80;
/// An answer that takes so many times as long as the quickest one had others before it.
const QUEUED: u32 = 4;
/// Percent of the permits that must have been in use for a higher number to mean anything.
const IN_USE: u64 = 70;

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measured {
    pub elapsed: Duration,
    /// Objects that were dealt with.
    pub n_objects: u64,
    /// Whether the run was stopped, or ended early: then what it waited for does not matter.
    pub is_cut_short: bool,
    pub first_byte: Waited,
    pub body: Waited,
    pub disk: Waited,
    /// The CPU time of this process, where it can be known.
    pub cpu: Option<Duration>,
    pub n_cores: u64,
    /// GETs that could be in flight, on average, and whether their number was found during the run.
    pub concurrency: u64,
    pub is_automatic: bool,
    pub found: Option<Found>,
    pub bytes: u64,
    pub throttling: Throttling,
}

/// What the run spent its time on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bottleneck {
    /// The server asks for fewer requests.
    Throttled,
    Cpu,
    /// Answers take as long as the way to the server does: more at once are free.
    FirstByte,
    /// Answers take longer the more there are at once.
    Server,
    /// The network, or the server's sending.
    Bytes,
    Disk,
}

impl Bottleneck {
    /// The stable word for it, in events.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Throttled => "throttled",
            Self::Cpu => "cpu",
            Self::FirstByte => "first-byte",
            Self::Server => "server",
            Self::Bytes => "bytes",
            Self::Disk => "disk",
        }
    }
}

/// `None` where nothing stands out.
pub(super) fn bottleneck(measured: &Measured) -> Option<Bottleneck> {
    let Measured {
        elapsed,
        first_byte,
        body,
        disk,
        ..
    } = *measured;
    if measured.is_cut_short || elapsed < MIN_ELAPSED || first_byte.n == 0 {
        return None;
    }
    if measured.throttling.n_replies * 100 >= first_byte.n {
        return Some(Bottleneck::Throttled);
    }
    if measured
        .cpu_percent()
        .is_some_and(|percent| percent >= BUSY)
    {
        return Some(Bottleneck::Cpu);
    }
    let all = first_byte.time + body.time + disk.time;
    let in_use = percent(all, elapsed) / measured.concurrency.max(1);
    if percent(disk.time, all) >= MOST {
        return Some(Bottleneck::Disk);
    }
    // With permits to spare, the list was too short or came too slowly: neither is for this run to mend.
    if in_use < IN_USE {
        return None;
    }
    if percent(body.time, all) >= MOST {
        return Some(Bottleneck::Bytes);
    }
    if percent(first_byte.time, all) < MOST {
        return None;
    }
    if first_byte.mean() > first_byte.shortest * QUEUED {
        return Some(Bottleneck::Server);
    }
    Some(Bottleneck::FirstByte)
}

/// The summary's lines on it: the figures, and what follows from them; none for a short or small run.
pub(super) fn lines(measured: &Measured) -> Vec<String> {
    if measured.elapsed < MIN_ELAPSED_TO_TELL || measured.n_objects < MIN_OBJECTS_TO_TELL {
        return Vec::new();
    }
    let Some(bottleneck) = bottleneck(measured) else {
        return Vec::new();
    };
    let Measured {
        first_byte,
        body,
        disk,
        ..
    } = *measured;
    let concurrency = number(
        measured
            .found
            .map_or(measured.concurrency, |found| found.n as u64),
    );
    let all = first_byte.time + body.time + disk.time;
    let cpu = match measured.cpu_percent() {
        Some(percent) => format!("; CPU: {percent} % of {} cores", measured.n_cores),
        None => String::new(),
    };
    let figures = format!(
        "waited: {} % for answers ({} on average), {} % for bytes, {} % for the disk{cpu}",
        percent(first_byte.time, all),
        duration(first_byte.mean()),
        percent(body.time, all),
        percent(disk.time, all),
    );
    // Who left the number to the run has no use for advice on it.
    let unless_automatic = |advice| if measured.is_automatic { "" } else { advice };
    let advice = match bottleneck {
        Bottleneck::Throttled => format!(
            "bottleneck: the server's limit, {} of {} requests refused{}",
            number(measured.throttling.n_replies),
            number(first_byte.n),
            unless_automatic(": a higher `-j` gains nothing")
        ),
        Bottleneck::Cpu if measured.is_automatic => {
            "bottleneck: this machine's CPU: more machines help (`--shard`)".to_owned()
        }
        Bottleneck::Cpu => {
            "bottleneck: this machine's CPU: a higher `-j` gains nothing, more machines do (`--shard`)".to_owned()
        }
        Bottleneck::FirstByte => match measured.found.map(|found| found.why) {
            Some(WhyNotMore::Ceiling) => format!(
                "bottleneck: waiting for answers: a fixed `-j` above {concurrency} may help, if memory and open files allow it"
            ),
            _ if measured.is_automatic => "bottleneck: waiting for answers".to_owned(),
            _ => format!("bottleneck: waiting for answers: a higher `-j` than {concurrency} helps"),
        },
        Bottleneck::Server => format!(
            "bottleneck: the server, whose quickest answer took {}: it is busy{}",
            duration(first_byte.shortest),
            unless_automatic(", and a higher `-j` may gain nothing")
        ),
        Bottleneck::Bytes => format!(
            "bottleneck: the network, or how fast the server sends: {}/s in all",
            bytes(per_second(measured.bytes, measured.elapsed))
        ),
        Bottleneck::Disk if measured.is_automatic => {
            "bottleneck: the disk: a faster output folder helps".to_owned()
        }
        Bottleneck::Disk => {
            "bottleneck: the disk: a higher `-j` gains nothing, a faster output folder does".to_owned()
        }
    };
    vec![figures, advice]
}

impl Measured {
    fn cpu_percent(&self) -> Option<u64> {
        let whole = self.elapsed * u32::try_from(self.n_cores).unwrap_or(u32::MAX);
        self.cpu.map(|cpu| percent(cpu, whole))
    }
}

fn percent(part: Duration, whole: Duration) -> u64 {
    let percent = part.as_nanos() * 100 / whole.as_nanos().max(1);
    u64::try_from(percent).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waited(n: u64, seconds: u64, shortest_ms: u64) -> Waited {
        Waited {
            n,
            time: Duration::from_secs(seconds),
            shortest: Duration::from_millis(shortest_ms),
        }
    }

    /// Ten seconds at `-j 10`: 100 seconds of waiting to share.
    fn measured(first_byte: u64, body: u64, disk: u64) -> Measured {
        Measured {
            elapsed: Duration::from_secs(10),
            n_objects: 100,
            is_cut_short: false,
            first_byte: waited(1_000, first_byte, first_byte),
            body: waited(1_000, body, 1),
            disk: waited(1_000, disk, 1),
            cpu: Some(Duration::from_secs(2)),
            n_cores: 2,
            concurrency: 10,
            is_automatic: false,
            found: None,
            bytes: 104_857_600,
            throttling: Throttling {
                n_replies: 0,
                lowest: 10,
            },
        }
    }

    #[test]
    fn what_takes_most_of_the_time_is_the_bottleneck() {
        let cases = [
            (measured(90, 5, 5), Some(Bottleneck::FirstByte)),
            (measured(5, 90, 5), Some(Bottleneck::Bytes)),
            (measured(5, 5, 90), Some(Bottleneck::Disk)),
            (measured(40, 30, 30), None),
            // Half of the permits were never in use.
            (measured(50, 0, 0), None),
        ];
        for (measured, expected) in cases {
            assert_eq!(bottleneck(&measured), expected, "{measured:?}");
        }
    }

    #[test]
    fn throttling_and_cpu_come_first_since_they_slow_all_else() {
        let mut busy = measured(90, 5, 5);
        busy.cpu = Some(Duration::from_secs(17));
        assert_eq!(bottleneck(&busy), Some(Bottleneck::Cpu));
        busy.throttling.n_replies = 10;
        assert_eq!(bottleneck(&busy), Some(Bottleneck::Throttled));
        busy.throttling.n_replies = 9;
        assert_eq!(bottleneck(&busy), Some(Bottleneck::Cpu));
        busy.cpu = None;
        assert_eq!(bottleneck(&busy), Some(Bottleneck::FirstByte));
    }

    #[test]
    fn answers_that_queue_on_the_server_are_not_a_reason_for_more_at_once() {
        let mut queued = measured(90, 5, 5);
        queued.first_byte.shortest = Duration::from_millis(20);
        assert_eq!(bottleneck(&queued), Some(Bottleneck::Server));
    }

    #[test]
    fn short_runs_are_not_judged() {
        let mut short = measured(9, 0, 0);
        short.elapsed = Duration::from_millis(900);
        assert_eq!(bottleneck(&short), None);
        assert_eq!(lines(&short), Vec::<String>::new());
    }

    #[test]
    fn people_are_told_after_ten_seconds_and_a_hundred_objects_unless_the_run_was_cut_short() {
        let whole = measured(90, 5, 5);
        assert_eq!(lines(&whole).len(), 2);
        let quick = Measured {
            elapsed: Duration::from_millis(9_999),
            ..whole
        };
        let small = Measured {
            n_objects: 99,
            ..whole
        };
        let cut_short = Measured {
            is_cut_short: true,
            ..whole
        };
        for measured in [quick, small, cut_short] {
            assert_eq!(lines(&measured), Vec::<String>::new(), "{measured:?}");
        }
        assert_eq!(bottleneck(&quick), Some(Bottleneck::FirstByte));
        assert_eq!(bottleneck(&cut_short), None);
    }

    #[test]
    fn a_run_that_found_its_number_is_given_no_advice_on_it() {
        let found = |why| Found {
            n: 180,
            rate: 6_900,
            why,
        };
        let mut automatic = measured(90, 5, 5);
        automatic.is_automatic = true;
        for cpu in [2, 17] {
            automatic.cpu = Some(Duration::from_secs(cpu));
            for found in [
                None,
                Some(found(WhyNotMore::NoGain)),
                Some(found(WhyNotMore::Cpu)),
            ] {
                automatic.found = found;
                let lines = lines(&automatic);
                assert!(lines.len() == 2 && !lines[1].contains("-j"), "{lines:?}");
            }
        }
        automatic.cpu = None;
        automatic.found = Some(found(WhyNotMore::Ceiling));
        assert!(lines(&automatic)[1].contains("a fixed `-j` above 180 may help"));
    }

    #[test]
    fn lines_give_the_figures_that_the_advice_follows_from() {
        assert_eq!(
            lines(&measured(90, 5, 5)),
            [
                "waited: 90 % for answers (90 ms on average), 5 % for bytes, 5 % for the disk; CPU: 10 % of 2 cores",
                "bottleneck: waiting for answers: a higher `-j` than 10 helps"
            ]
        );
    }
}
