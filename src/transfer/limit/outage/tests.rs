use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn of(key: &str, began: Instant) -> Asked<'_> {
    Asked {
        key,
        began,
        can_ask_for_another: false,
    }
}

fn refused() -> Failure {
    Failure {
        sign: Sign::NoConnection,
        ..Failure::new(ErrorCode::ConnectionFailed, Class::Transient, "refused")
    }
}

fn status(status: u16, class: Class) -> Failure {
    Failure {
        status: Some(status),
        ..Failure::new(ErrorCode::S3("E".to_owned()), class, "e")
    }
}

#[test]
fn no_key_is_charged_while_nothing_gets_through() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut outage = Outage::default();
    let failed = |outage: &mut Outage, key, began, now| {
        outage.failed(&refused(), &of(key, at(began)), Some(at(1)), at(now), HOUR)
    };
    // One began before the last answer: it is that object's.
    assert_eq!(failed(&mut outage, "a", 0, 2).unwrap(), Charge::Object);
    assert!(!outage.is_out());
    for n in 2..100 {
        assert_eq!(failed(&mut outage, "a", n, n).unwrap(), Charge::Nobody);
    }
    assert_eq!(outage.waiting().unwrap().cause, "refused");
    outage.end();
    assert_eq!(outage.turn(at(100)), Turn::Start);
}

#[test]
fn credentials_that_cannot_be_renewed_are_an_outage_at_once() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let failure = Failure {
        sign: Sign::NoCredentials,
        ..Failure::new(ErrorCode::Credentials, Class::Transient, "over")
    };
    let max = Duration::from_mins(5);
    let mut outage = Outage::default();
    let mut failed =
        |began, now| outage.failed(&failure, &of("a", at(began)), Some(at(9)), at(now), max);
    assert_eq!(failed(0, 10).unwrap(), Charge::Nobody);
    assert_eq!(failed(11, 300).unwrap(), Charge::Nobody);
    assert_eq!(failed(301, 310).unwrap_err().class, Class::Fatal);
    assert_eq!(outage.waiting().unwrap().cause, "over");
}

#[test]
fn a_key_that_fails_alone_is_charged_and_keys_that_fail_for_some_time_are_not() {
    let start = Instant::now();
    let at = |millis| start + Duration::from_millis(millis);
    let unavailable = status(503, Class::Throttled);
    let failed = |outage: &mut Outage, key, failure: &Failure, good_at: Option<u64>, now| {
        let good_at = good_at.map(at);
        outage
            .failed(failure, &of(key, at(now)), good_at, at(now), HOUR)
            .unwrap()
    };
    let mut outage = Outage::default();
    for n in 0..10 {
        let charge = failed(&mut outage, "a", &unavailable, None, n * 1_000);
        assert_eq!(charge, Charge::Object);
    }
    let missing = status(404, Class::Permanent);
    assert_eq!(
        failed(&mut outage, "b", &missing, None, 10_000),
        Charge::Object
    );
    assert_eq!(
        failed(&mut outage, "b", &unavailable, None, 10_000),
        Charge::Nobody
    );
    assert_eq!(
        failed(&mut outage, "a", &unavailable, None, 10_001),
        Charge::Nobody
    );
    // A storm that is answered in between is none.
    let mut outage = Outage::default();
    for (n, key) in (0..100).zip(["a", "b"].iter().cycle()) {
        let good_at = Some(n * 100 - n * 100 % 1_900);
        let charge = failed(&mut outage, key, &unavailable, good_at, n * 100 + 1);
        assert_eq!(charge, Charge::Object, "{n}");
    }
}

#[test]
fn what_answers_in_place_of_the_server_is_an_outage_at_once_and_the_end_at_the_start() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let failed = |class, good_at: Option<u64>| {
        let page = Failure {
            sign: Sign::Elsewhere,
            ..status(302, class)
        };
        let mut outage = Outage::default();
        let asked = of("a", at(2));
        let charge = outage.failed(&page, &asked, good_at.map(at), at(2), HOUR);
        charge.map_err(|failure| failure.class)
    };
    assert_eq!(failed(Class::Transient, Some(1)), Ok(Charge::Nobody));
    assert_eq!(failed(Class::Transient, None), Ok(Charge::Nobody));
    assert_eq!(failed(Class::Permanent, None), Err(Class::Fatal));
    assert_eq!(failed(Class::Permanent, Some(1)), Ok(Charge::Object));
}

#[test]
fn a_key_that_fails_alone_is_not_charged_while_another_object_can_be_asked_for() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let unavailable = status(502, Class::Transient);
    let failed = |outage: &mut Outage, good_at, now, can_ask_for_another| {
        let asked = Asked {
            can_ask_for_another,
            ..of("a", at(now))
        };
        outage
            .failed(&unavailable, &asked, Some(at(good_at)), at(now), HOUR)
            .unwrap()
    };
    let mut outage = Outage::default();
    for now in [1, 2, 3] {
        let charge = failed(&mut outage, 0, now, false);
        assert_eq!(charge, Charge::Object);
    }
    assert_eq!(failed(&mut outage, 0, 4, true), Charge::Nobody);
    assert!(outage.is_out());
    // The other object was answered: this key is charged, for some time at least.
    outage.end();
    for now in [6, 7] {
        let charge = failed(&mut outage, 5, now, true);
        assert_eq!(charge, Charge::Object);
    }
    assert_eq!(failed(&mut outage, 5, 8, true), Charge::Nobody);
}

#[test]
fn one_request_at_a_time_tries_less_and_less_often() {
    let before = Instant::now();
    let start = before + Duration::from_secs(1);
    let mut outage = Outage::default();
    outage
        .failed(&refused(), &of("a", start), Some(before), start, HOUR)
        .unwrap();
    let (mut now, mut n_tries) = (start, 0);
    while now < start + Duration::from_mins(10) {
        match outage.turn(now) {
            Turn::Wait(until) => now = until,
            Turn::Try => {
                assert_eq!(outage.turn(now), Turn::WaitForOther);
                n_tries += 1;
                outage.tried(now);
            }
            turn => panic!("{turn:?}"),
        }
    }
    assert!((60..80).contains(&n_tries), "{n_tries}");
}

#[test]
fn an_outage_that_lasts_too_long_ends_the_run() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let max = Duration::from_mins(5);
    let mut outage = Outage::default();
    let mut failed = |now| outage.failed(&refused(), &of("a", at(now)), Some(start), at(now), max);
    assert!(failed(1).is_ok() && failed(299).is_ok());
    let fatal = failed(302).unwrap_err();
    assert_eq!(fatal.class, Class::Fatal);
    assert!(
        fatal.message.contains("301 s: refused"),
        "{}",
        fatal.message
    );
    // A server that was never reached is not waited for that long.
    let mut outage = Outage::default();
    let mut failed = |now| outage.failed(&refused(), &of("a", at(now)), None, at(now), max);
    assert!(failed(0).is_ok() && failed(6).is_err());
    // One that is there, and answers nothing well, is.
    let mut outage = Outage::default();
    let unavailable = status(502, Class::Transient);
    let mut failed = |key, now| {
        let asked = of(key, at(now));
        outage.failed(&unavailable, &asked, None, at(now), max)
    };
    assert!(
        [("a", 0), ("b", 3), ("a", 299)].map(|(key, now)| failed(key, now).is_ok()) == [true; 3]
    );
    let fatal = failed("b", 310).unwrap_err();
    assert!(
        fatal.message.starts_with("nothing got through for 307 s"),
        "{}",
        fatal.message
    );
}

#[test]
fn nothing_tries_right_after_a_failure_and_no_trust_is_the_end() {
    let start = Instant::now();
    let mut outage = Outage::default();
    let mut failed = |failure| outage.failed(&failure, &of("a", start), None, start, HOUR);
    let untrusted = Failure {
        sign: Sign::NoTrust,
        ..refused()
    };
    assert_eq!(failed(untrusted).unwrap_err().class, Class::Fatal);
    assert_eq!(failed(refused()).unwrap(), Charge::Nobody);
    assert_eq!(outage.turn(start), Turn::Wait(start + FIRST_INTERVAL));
}

#[test]
fn what_cannot_pass_and_what_came_from_the_server_is_the_objects_own() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let corrupt = Failure::new(ErrorCode::ChecksumMismatch, Class::Transient, "other bytes");
    for failure in [status(501, Class::Permanent), corrupt] {
        let mut outage = Outage::default();
        for (key, now) in [("a", 0), ("b", 5), ("a", 10)] {
            let charge = outage.failed(&failure, &of(key, at(now)), None, at(now), HOUR);
            assert_eq!(charge.unwrap(), Charge::Object, "{failure:?}");
        }
    }
}
