use super::*;

const ANSWER: Duration = Duration::from_millis(30);

/// Reads `n_good` more good replies per reading of 10 ms, for as many readings.
fn answered(pace: &mut Pace, n_good: u64, n_readings: u32, now: &mut Duration) {
    for _ in 0..n_readings {
        *now += Duration::from_millis(10);
        pace.read(pace.n_good + n_good, ANSWER, *now);
    }
}

/// As many refusals of this round.
fn refused(pace: &mut Pace, n: usize, now: Duration) -> usize {
    (0..n)
        .filter(|_| pace.throttled(0, pace.n_good, now))
        .count()
}

#[test]
fn permits_double_at_the_start_with_few_new_connections_at_once() {
    let mut pace = Pace::new(1_024);
    let (mut now, mut seen) = (Duration::ZERO, vec![pace.n_permits()]);
    while pace.n_permits() < 1_024 {
        let n_good = pace.n_permits() as u64;
        answered(&mut pace, n_good, 1, &mut now);
        seen.push(pace.n_permits());
    }
    assert_eq!(seen, [32, 64, 128, 256, 384, 512, 640, 768, 896, 1_024]);
}

#[test]
fn only_a_share_of_a_round_counts() {
    for (n_permits, n_needed) in [(4, 1), (16, 2), (100, 3), (256, 4)] {
        let mut pace = Pace::new(n_permits);
        let mut now = Duration::ZERO;
        answered(&mut pace, 1_000, 10, &mut now);
        assert_eq!(pace.n_permits(), n_permits);
        assert_eq!(refused(&mut pace, n_needed - 1, now), 0);
        assert_eq!(pace.n_permits(), n_permits);
        assert_eq!(refused(&mut pace, 1, now), 1);
        assert_eq!(pace.n_permits(), n_permits / 2);
        // As many, but spread over many rounds.
        let mut pace = Pace::new(n_permits);
        answered(&mut pace, 1_000, 10, &mut now);
        for _ in 0..100 {
            assert_eq!(refused(&mut pace, n_needed - 1, now), 0);
            answered(&mut pace, 1_000, 1, &mut now);
        }
        assert_eq!(pace.n_permits(), n_permits);
    }
}

#[test]
fn a_known_limit_costs_an_eighth_and_answer_times_bring_it_back() {
    let mut pace = Pace::new(128);
    let mut now = Duration::ZERO;
    answered(&mut pace, 100, 10, &mut now);
    refused(&mut pace, 3, now);
    assert_eq!(pace.n_permits(), 64);
    // Long bodies: hardly a reply per reading is enough.
    answered(&mut pace, 1, 40, &mut now);
    assert!(
        (112..=116).contains(&pace.n_permits()),
        "{}",
        pace.n_permits()
    );
    answered(&mut pace, 1, 200, &mut now);
    let n = pace.n_permits();
    assert!((120..=128).contains(&n), "{n}");
    refused(&mut pace, 3, now);
    assert_eq!(pace.n_permits(), n * 7 / 8);
    // Once more before it crept up again: it was not known after all.
    refused(&mut pace, 3, now);
    assert_eq!(pace.n_permits(), n * 7 / 8 / 2);
}

#[test]
fn refusals_of_a_round_that_is_long_over_change_nothing() {
    let mut pace = Pace::new(32);
    refused(&mut pace, 3, Duration::ZERO);
    for _ in 0..100 {
        assert!(!pace.throttled(2, 0, Duration::ZERO));
    }
    assert_eq!((pace.n_permits(), pace.throttling().n_replies), (16, 103));
    // Those of the round that was halved tell how many the server took: 32 less these.
    for _ in 0..28 {
        assert!(!pace.throttled(1, 0, Duration::ZERO));
    }
    assert_eq!(pace.n_permits(), 1);
}

#[test]
fn permits_never_fall_below_one_nor_rise_above_what_was_asked_for() {
    let mut pace = Pace::new(3);
    refused(&mut pace, 10, Duration::ZERO);
    assert!(!pace.interval().is_zero());
    assert_eq!((pace.n_permits(), pace.throttling().lowest), (1, 1));
    let mut now = Duration::ZERO;
    answered(&mut pace, 1, 10_000, &mut now);
    assert_eq!((pace.n_permits(), pace.interval()), (3, Duration::ZERO));
}

#[test]
fn a_maximum_that_moves_is_followed_unless_the_server_holds_the_permits_down() {
    let mut pace = Pace::new(32);
    pace.set_max(64);
    assert_eq!(pace.n_permits(), 64);
    refused(&mut pace, 3, Duration::ZERO);
    pace.set_max(1_024);
    assert_eq!(pace.n_permits(), 32);
    pace.set_max(8);
    assert_eq!(pace.n_permits(), 8);
}

#[test]
fn permits_return_while_one_long_body_holds_the_only_one() {
    let mut pace = Pace::new(2);
    let mut now = Duration::ZERO;
    // Refused once, which leaves one permit; then a long body, and no reply.
    refused(&mut pace, 1, now);
    assert_eq!(pace.n_permits(), 1);
    for _ in 0..150 {
        now += Duration::from_millis(10);
        pace.in_use(pace.n_permits(), now);
        pace.read(0, Duration::from_millis(10), now);
    }
    assert_eq!(pace.n_permits(), 2);
    // A server that takes only one is asked ever less often.
    let mut n_refused = 0;
    for _ in 0..6_000 {
        now += Duration::from_millis(10);
        pace.in_use(pace.n_permits(), now);
        pace.read(0, Duration::from_millis(10), now);
        if pace.n_permits() == 2 {
            n_refused += 1;
            refused(&mut pace, 1, now);
        }
    }
    assert!((2..=8).contains(&n_refused), "{n_refused}");
}
