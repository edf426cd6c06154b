//! What a run came to, in a few lines. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::text::{bytes, count, duration, listed, number, per_second};
use crate::meter::Counts;
use crate::outcome::Verification;
use crate::transfer::Throttling;

/// What is told of a run.
pub struct Summary<'a> {
    pub counts: Counts,
    /// Of the failed rows.
    pub n_not_attempted: u64,
    /// Objects of another size than their row says.
    pub n_other_size: u64,
    /// Files by verdict.
    pub verified: &'a BTreeMap<Verification, u64>,
    pub throttling: Throttling,
    pub elapsed: Duration,
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
    let not_attempted = match summary.n_not_attempted {
        0 => String::new(),
        n => format!(" ({} of them not attempted)", number(n)),
    };
    let mut lines = vec![format!(
        "s3pull: {} downloaded, {} skipped, {} failed{not_attempted}",
        number(counts.n_downloaded),
        number(counts.n_skipped),
        number(counts.n_failed),
    )];
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
    lines.extend_from_slice(summary.bottleneck);
    lines.join("\ns3pull: ")
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

    fn summary(verified: &BTreeMap<Verification, u64>) -> Summary<'_> {
        Summary {
            counts: Counts::default(),
            n_not_attempted: 0,
            n_other_size: 0,
            verified,
            throttling: Throttling {
                n_replies: 0,
                lowest: 64,
            },
            elapsed: Duration::from_secs(2),
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
                ..summary(&verified)
            }),
            "s3pull: 1,234 downloaded, 5 skipped, 2 failed\n\
             s3pull: 2.0 MiB in 2.00 s: 617 objects/s, 1.0 MiB/s\n\
             s3pull: verified by crc64nvme (1,230 files) and length (4 files)"
        );
    }

    #[test]
    fn a_run_without_downloads_has_no_rate() {
        assert_eq!(
            text(&summary(&BTreeMap::new())),
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
        let throttling = Throttling {
            n_replies: 1_234,
            lowest: 8,
        };
        assert_eq!(
            text(&Summary {
                counts,
                n_not_attempted: 1_499,
                throttling,
                ..summary(&verified)
            }),
            "s3pull: 0 downloaded, 0 skipped, 1,500 failed (1,499 of them not attempted)\n\
             s3pull: throttled: 1,234 replies asked for fewer requests; down to 8 in flight"
        );
    }
}
