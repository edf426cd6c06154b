//! What a run came to, in a few lines. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::tally::Tally;
use super::text::{bytes, count, duration, listed, number, per_second};
use crate::meter::Counts;
use crate::options::Job;
use crate::outcome::Verification;
use crate::transfer::{Found, Throttling, WhyNotMore};

/// What is told of a run.
pub(super) struct Summary<'a> {
    pub job: Job,
    pub counts: Counts,
    pub tally: &'a Tally,
    /// Rows that the filters left out.
    pub n_filtered: u64,
    /// What to do about path conflicts, if there were any.
    pub conflict_hint: Option<&'static str>,
    /// What stopped the run, if it was a signal.
    pub stopped_by: Option<&'static str>,
    /// What is to be said when no key exists.
    pub all_missing: Option<String>,
    /// Objects of another size than their row says.
    pub n_other_size: u64,
    /// Files that were kept although nothing tells the content of their objects.
    pub n_not_verified: u64,
    /// Files that are of no row.
    pub n_extra: u64,
    /// Files by verdict.
    pub verified: &'a BTreeMap<Verification, u64>,
    pub throttling: Throttling,
    /// Requests that were sent again because the first one was slow.
    pub n_asked_again: u64,
    pub elapsed: Duration,
    /// The number in flight that was found to be best.
    pub found: Option<Found>,
    /// What the run waited for, where that can be told.
    pub bottleneck: &'a [String],
}

/// The summary's lines.
pub(super) fn text(summary: &Summary<'_>) -> String {
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
    lines.extend(summary.conflict_hint.map(str::to_owned));
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
    if counts.n_downloaded == 0 && counts.bytes > 0 && matches!(summary.job, Job::Check(_)) {
        lines.push(format!(
            "{} read in {}: {}/s",
            bytes(counts.bytes),
            duration(elapsed),
            bytes(per_second(counts.bytes, elapsed)),
        ));
    }
    if summary.n_other_size > 0 {
        lines.push(format!(
            "{} of another size than the list says: changed since it was made",
            count(summary.n_other_size, "object")
        ));
    }
    if summary.n_not_verified > 0 {
        lines.push(format!(
            "{} kept by size and time: S3 has no checksum to verify them with",
            count(summary.n_not_verified, "file")
        ));
    }
    if summary.n_extra > 0 {
        let files = count(summary.n_extra, "extra file");
        lines.push(format!("{files}, of no row of the list"));
    }
    if throttling.n_replies > 0 {
        lines.push(format!(
            "throttled: {} asked for fewer requests; down to {} in flight",
            replies(throttling.n_replies),
            number(throttling.lowest as u64),
        ));
    }
    if summary.n_asked_again > 0 {
        lines.push(format!(
            "{} sent again because the first one was slow",
            count(summary.n_asked_again, "request")
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
    if let Job::Check(_) = summary.job {
        return checked_line(summary, n_unfinished);
    }
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
        (summary.n_filtered, "filtered out", false),
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

/// `s3pull: checked: 610 right, 5 wrong, 384 not checked`
fn checked_line(summary: &Summary<'_>, n_unfinished: u64) -> String {
    let (n_right, n_wrong) = (
        number(summary.counts.n_skipped),
        number(summary.counts.n_failed.saturating_sub(n_unfinished)),
    );
    let stopped = summary
        .stopped_by
        .map_or_else(String::new, |by| format!("stopped by {by}: "));
    let unfinished = match n_unfinished {
        0 => String::new(),
        n => format!(", {} not checked", number(n)),
    };
    format!("s3pull: {stopped}checked: {n_right} right, {n_wrong} wrong{unfinished}")
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
    use crate::options::{Check, CheckDepth, IfExtra, IfUnverifiable};

    fn summary<'a>(verified: &'a BTreeMap<Verification, u64>, tally: &'a Tally) -> Summary<'a> {
        Summary {
            job: Job::Download,
            counts: Counts::default(),
            tally,
            n_filtered: 0,
            conflict_hint: None,
            stopped_by: None,
            all_missing: None,
            n_other_size: 0,
            n_not_verified: 0,
            n_extra: 0,
            verified,
            throttling: Throttling {
                n_replies: 0,
                lowest: 64,
            },
            n_asked_again: 0,
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
    fn a_check_tells_what_is_right_and_how_fast_it_was_read() {
        let (verified, mut tally) = (BTreeMap::new(), Tally::default());
        tally.n_not_attempted = 3;
        let counts = Counts {
            n_skipped: 1_234,
            n_failed: 5,
            bytes: 4 << 20,
            ..Counts::default()
        };
        let check = Job::Check(Check {
            depth: CheckDepth::Content,
            if_unverifiable: IfUnverifiable::Accept,
            if_extra: IfExtra::Ignore,
        });
        assert_eq!(
            text(&Summary {
                job: check,
                counts,
                stopped_by: Some("Ctrl-C"),
                ..summary(&verified, &tally)
            }),
            "s3pull: stopped by Ctrl-C: checked: 1,234 right, 2 wrong, 3 not checked\n\
             s3pull: 4.0 MiB read in 2.00 s: 2.0 MiB/s"
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
