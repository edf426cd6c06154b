use std::time::Instant;

use super::*;
use crate::meter::{Counts, Meter, Retries};
use crate::source::Totals;

fn counts(n_downloaded: u64, bytes: u64) -> Counts {
    Counts {
        n_downloaded,
        bytes,
        ..Counts::default()
    }
}

/// At 10 s, after 2 MiB/s for 5 s and 1 MiB/s from then on.
fn rate() -> Rate {
    let start = Instant::now();
    let mut rate = Rate::default();
    for (second, mib) in [(0, 0), (5, 10), (10, 15)] {
        let at = start + Duration::from_secs(second);
        rate.note(at, &counts(second * 100, mib << 20));
    }
    rate
}

/// A run in its middle.
fn look() -> Look {
    Look {
        counts: Counts {
            n_failed: 2,
            ..counts(998, 15 << 20)
        },
        totals: Some(Totals {
            n_rows: 2_000,
            bytes: 300 << 20,
            n_without_size: 0,
        }),
        n_in_flight: 32,
        elapsed: Duration::from_secs(10),
        ..Look::default()
    }
}

fn retrying(n: u64, code: &str) -> Look {
    Look {
        retries: Some(Retries {
            n,
            code: code.into(),
        }),
        ..look()
    }
}

/// The line at 110, 80, 60 and 40 characters.
fn lines(look: &Look) -> [String; 4] {
    [110, 80, 60, 40].map(|width| {
        let line = status(look, &rate(), width);
        assert!(line.chars().count() <= width, "{width}: {line}");
        line
    })
}

#[test]
fn what_matters_least_is_left_out_first_and_no_word_is_cut() {
    assert_eq!(
        lines(&look()),
        [
            "5 %, 15.0 of 300.0 MiB, 1.0 MiB/s, 4m 45s left, 32 in flight, 2 failed, 1,000 of 2,000 objects, 10 s elapsed",
            "5 %, 15.0 of 300.0 MiB, 1.0 MiB/s, 4m 45s left, 32 in flight, 2 failed",
            "5 %, 15.0 of 300.0 MiB, 1.0 MiB/s, 4m 45s left, 32 in flight",
            "5 %, 15.0 of 300.0 MiB, 1.0 MiB/s",
        ]
    );
}

#[test]
fn without_sizes_rows_are_counted_and_without_a_total_there_is_no_time_left() {
    let mut look = look();
    look.totals = look.totals.map(|totals| Totals {
        n_without_size: 1,
        ..totals
    });
    assert_eq!(
        lines(&look)[1],
        "1,000 of 2,000 objects, 15.0 MiB, 1.0 MiB/s, 10 s left, 32 in flight, 2 failed"
    );
    look.totals = None;
    look.counts.n_failed = 0;
    assert_eq!(
        lines(&look),
        [
            "998 objects so far, 15.0 MiB, 1.0 MiB/s, 32 in flight, 10 s elapsed",
            "998 objects so far, 15.0 MiB, 1.0 MiB/s, 32 in flight, 10 s elapsed",
            "998 objects so far, 15.0 MiB, 1.0 MiB/s, 32 in flight",
            "998 objects so far, 15.0 MiB, 1.0 MiB/s",
        ]
    );
}

#[test]
fn retries_show_at_every_width_while_they_last() {
    assert_eq!(
        lines(&retrying(12, "SlowDown")),
        [
            "5 %, 15.0 of 300.0 MiB, 1.0 MiB/s, 4m 45s left, 32 in flight, 2 failed, 12 retrying: SlowDown",
            "5 %, 15.0 of 300.0 MiB, 1.0 MiB/s, 4m 45s left, 12 retrying: SlowDown",
            "5 %, 15.0 of 300.0 MiB, 1.0 MiB/s, 12 retrying: SlowDown",
            "5 %, 15.0 of 300.0 MiB, 12 retrying",
        ]
    );
}

#[test]
fn an_outage_shows_with_its_cause_where_there_is_room() {
    let mut look = look();
    let cause = "cannot connect to s3.example.com:443: connection refused";
    look.outage = Some((cause.to_owned(), Duration::from_secs(42)));
    let unbounded = status(&look, &rate(), usize::MAX);
    assert!(
        unbounded.ends_with(&format!("waiting 42 s, nothing gets through: {cause}")),
        "{unbounded}"
    );
    let lines = lines(&look);
    assert_eq!(
        lines,
        [
            format!("5 %, waiting 42 s, nothing gets through: {cause}").as_str(),
            "5 %, 15.0 of 300.0 MiB, 2 failed, waiting 42 s: nothing gets through",
            "5 %, 15.0 of 300.0 MiB, waiting 42 s: nothing gets through",
            "5 %, waiting 42 s: nothing gets through",
        ]
    );
    // A rate and a time left would be those before it.
    assert!(
        !unbounded.contains("/s") && !unbounded.contains("left"),
        "{unbounded}"
    );
}

#[test]
fn the_first_line_says_nothing_that_is_not_known_yet() {
    let look = Look {
        totals: look().totals,
        n_in_flight: 32,
        elapsed: Duration::from_millis(100),
        ..Look::default()
    };
    assert_eq!(
        status(&look, &Rate::default(), 110),
        "0 %, 0 B of 300.0 MiB, 32 in flight, 0 of 2,000 objects, 0 s elapsed"
    );
    // All bytes are here; the last file is still to be renamed.
    let last = Look {
        counts: counts(1_999, 300 << 20),
        elapsed: Duration::from_secs(10),
        ..look
    };
    assert_eq!(
        status(&last, &rate(), 110),
        "99 %, 300.0 of 300.0 MiB, 1.0 MiB/s, 32 in flight, 1,999 of 2,000 objects, 10 s elapsed"
    );
}

#[test]
fn large_objects_under_way_are_not_one_row_like_others() {
    let meter = Arc::new(Meter::default());
    let object = meter.object();
    object.mark_large("k", 100 << 20);
    let look = Look {
        counts: counts(1_000, 15 << 20),
        totals: Some(Totals {
            n_rows: 1_001,
            bytes: 0,
            n_without_size: 1_001,
        }),
        large: meter.large_objects(),
        ..look()
    };
    let line = status(&look, &rate(), 110);
    assert!(line.contains("1m 40s left"), "{line}");
}

#[test]
fn bytes_of_an_earlier_run_are_there_but_no_speed() {
    let mut look = look();
    look.counts.resumed = 10 << 20;
    look.counts.dropped = 260 << 20;
    let line = status(&look, &rate(), 110);
    assert!(
        line.starts_with("62 %, 25.0 of 40.0 MiB, 1.0 MiB/s, 15 s left"),
        "{line}"
    );
}

#[test]
fn three_large_objects_are_named_and_the_others_counted() {
    let meter = Arc::new(Meter::default());
    let objects: Vec<_> = (0..15_u64)
        .map(|n| {
            let object = meter.object();
            object.mark_large(&format!("{n}"), 100 + n);
            object
        })
        .collect();
    let (largest, n_more) = largest(&meter.large_objects());
    let keys: Vec<_> = largest.iter().map(|object| object.key.as_str()).collect();
    assert_eq!((&keys[..], n_more), (&["14", "13", "12"][..], 12));
    drop(objects);
}

#[test]
fn of_a_long_key_the_end_is_shown() {
    let meter = Arc::new(Meter::default());
    let object = meter.object();
    object.mark_large("videos/2024/holidays/beach.mp4", 10 << 30);
    let large = meter.large_objects();
    let shown = |width| large_status(&large[0], width);
    assert_eq!(
        shown(80),
        "  0 % of 10.0 GiB  videos/2024/holidays/beach.mp4"
    );
    assert_eq!(shown(35), "  0 % of 10.0 GiB  …idays/beach.mp4");
    assert_eq!(shown(10), "  0 % of 10.0 GiB");
}
