//! What a run came to, in a few lines. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tally::Tally;
use super::text::{bytes, count, duration, listed, number, per_second};
use crate::meter::Counts;
use crate::outcome::Verification;
use crate::transfer::{Found, Throttling, WhyNotMore};

/// What is told of a run.
pub struct Summary<'a> {
    pub counts: Counts,
    pub tally: &'a Tally,
    /// What stopped the run, if it was a signal.
    pub stopped_by: Option<&'static str>,
    /// What is to be said when no key exists.
    pub all_missing: Option<String>,
    /// Objects of another size than their row says.
    pub n_other_size: u64,
    /// Files by verdict.
    pub verified: &'a BTreeMap<Verification, u64>,
    pub throttling: Throttling,
    pub elapsed: Duration,
    /// The number in flight that was found to be best.
    pub found: Option<Found>,
    /// What the run waited for, where that can be told.
    pub bottleneck: &'a [String],
}

/// The summary's lines.
pub fn text(summary: &Summary<'_>) -> String {
    let Summary {
        counts,
        verified,
        throttling,
        elapsed,
        ..
    } = *summary;
    let mut lines = vec![first_line(summary)];
    let errors = summary.tally.errors();
    if !errors.is_empty() {
        lines.push(format!("errors: {}", listed(&errors)));
    }
    lines.extend(summary.all_missing.clone());
    if counts.n_downloaded > 0 {
        lines.push(format!(
            "{} in {}: {}/s, {}/s",
            bytes(counts.bytes),
            duration(elapsed),
            count(per_second(counts.n_downloaded, elapsed), "object"),
            bytes(per_second(counts.bytes, elapsed)),
        ));
        lines.push(format!("verified by {}", verdicts(verified)));
    }
    if summary.n_other_size > 0 {
        lines.push(format!(
            "{} of another size than the list says: changed since it was made",
            count(summary.n_other_size, "object")
        ));
    }
    if throttling.n_replies > 0 {
        lines.push(format!(
            "throttled: {} asked for fewer requests; down to {} in flight",
            replies(throttling.n_replies),
            number(throttling.lowest as u64),
        ));
    }
    lines.extend(summary.found.as_ref().map(found));
    lines.extend_from_slice(summary.bottleneck);
    lines.join("\ns3pull: ")
}

/// `s3pull: stopped by Ctrl-C: 610 downloaded, 5 given up, 384 not tried`
fn first_line(summary: &Summary<'_>) -> String {
    let (counts, tally) = (&summary.counts, summary.tally);
    let n_unfinished = tally.n_interrupted + tally.n_not_attempted;
    // A run that came to its end says that nothing failed; one that did not has enough to say.
    let has_ended = n_unfinished == 0 && summary.stopped_by.is_none();
    let parts = [
        (counts.n_downloaded, "downloaded", true),
        (counts.n_skipped, "skipped", has_ended),
        (
            counts.n_failed.saturating_sub(n_unfinished),
            "failed",
            has_ended,
        ),
        (tally.n_interrupted, "given up", false),
        (tally.n_not_attempted, "not tried", false),
    ];
    let parts: Vec<_> = parts
        .into_iter()
        .filter(|&(n, _, always)| always || n > 0)
        .map(|(n, what, _)| format!("{} {what}", number(n)))
        .collect();
    let stopped = summary
        .stopped_by
        .map_or_else(String::new, |by| format!("stopped by {by}: "));
    format!("s3pull: {stopped}{}", parts.join(", "))
}

/// `found 180 GETs in flight best (6,900 GETs/s): more brought nothing: CPU`
fn found(found: &Found) -> String {
    let why = match found.why {
        WhyNotMore::NoGain => "more brought nothing",
        WhyNotMore::Cpu => "more brought nothing: CPU",
        WhyNotMore::Disk => "more brought nothing: disk",
        WhyNotMore::Ceiling => "more are not tried",
        WhyNotMore::Refused => "the server refused more",
    };
    format!(
        "found {} in flight best ({}/s): {why}",
        count(found.n as u64, "GET"),
        count(found.rate, "GET")
    )
}

fn replies(n: u64) -> String {
    if n == 1 {
        "1 reply".to_owned()
    } else {
        format!("{} replies", number(n))
    }
}

/// `crc64nvme (12 files), length (3 files) and folder (1 file)`
fn verdicts(verified: &BTreeMap<Verification, u64>) -> String {
    let verdicts: Vec<_> = verified
        .iter()
        .map(|(verdict, &n)| format!("{verdict} ({})", count(n, "file")))
        .collect();
    listed(&verdicts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary<'a>(verified: &'a BTreeMap<Verification, u64>, tally: &'a Tally) -> Summary<'a> {
        Summary {
            counts: Counts::default(),
            tally,
            stopped_by: None,
            all_missing: None,
            n_other_size: 0,
            verified,
            throttling: Throttling {
                n_replies: 0,
                lowest: 64,
            },
            elapsed: Duration::from_secs(2),
            found: None,
            bottleneck: &[],
        }
    }

    #[test]
    fn summary_tells_counts_rate_and_verdicts() {
        let verified =
            BTreeMap::from([(Verification::Crc64Nvme, 1_230), (Verification::Length, 4)]);
        let counts = Counts {
            n_downloaded: 1_234,
            n_skipped: 5,
            n_failed: 2,
            bytes: 2_097_152,
            ..Counts::default()
        };
        assert_eq!(
            text(&Summary {
                counts,
                ..summary(&verified, &Tally::default())
            }),
            "s3pull: 1,234 downloaded, 5 skipped, 2 failed\n\
             s3pull: 2.0 MiB in 2.00 s: 617 objects/s, 1.0 MiB/s\n\
             s3pull: verified by crc64nvme (1,230 files) and length (4 files)"
        );
    }

    #[test]
    fn summary_tells_which_number_in_flight_was_best() {
        let verified = BTreeMap::new();
        let found = |why| {
            let found = Found {
                n: 180,
                rate: 6_900,
                why,
            };
            text(&Summary {
                found: Some(found),
                ..summary(&verified, &Tally::default())
            })
        };
        assert!(
            found(WhyNotMore::Cpu).ends_with(
                "s3pull: found 180 GETs in flight best (6,900 GETs/s): more brought nothing: CPU"
            ),
            "{}",
            found(WhyNotMore::Cpu)
        );
        assert!(found(WhyNotMore::Refused).ends_with(": the server refused more"));
    }

    #[test]
    fn a_run_without_downloads_has_no_rate() {
        assert_eq!(
            text(&summary(&BTreeMap::new(), &Tally::default())),
            "s3pull: 0 downloaded, 0 skipped, 0 failed"
        );
    }

    #[test]
    fn summary_tells_of_throttling_and_of_rows_that_were_not_tried() {
        let verified = BTreeMap::new();
        let counts = Counts {
            n_failed: 1_500,
            ..Counts::default()
        };
        let mut tally = Tally::default();
        (tally.n_interrupted, tally.n_not_attempted) = (5, 1_494);
        let throttling = Throttling {
            n_replies: 1_234,
            lowest: 8,
        };
        assert_eq!(
            text(&Summary {
                counts,
                stopped_by: Some("Ctrl-C"),
                throttling,
                ..summary(&verified, &tally)
            }),
            "s3pull: stopped by Ctrl-C: 0 downloaded, 1 failed, 5 given up, 1,494 not tried\n\
             s3pull: throttled: 1,234 replies asked for fewer requests; down to 8 in flight"
        );
    }
}
