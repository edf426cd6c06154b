use futures::FutureExt;

use super::*;
use crate::outcome::{Class, ErrorCode, Sign};

fn fixed(n: usize) -> Limit {
    Limit::fixed(n.try_into().unwrap())
}

#[tokio::test]
async fn a_spare_permit_is_one_that_no_object_has_a_claim_on() {
    let limit = fixed(2);
    let (first, second) = (limit.claim(), limit.claim());
    let mut spare = Box::pin(limit.acquire_spare());
    assert!(
        spare.as_mut().now_or_never().is_none(),
        "both objects may want theirs"
    );
    drop(first);
    let helper = spare.await;
    assert!(limit.acquire_spare().now_or_never().is_none());
    drop(helper);
    let _helper = limit.acquire_spare().await;
    // The object is not held up by its helper.
    limit.acquire().await;
    drop(second);
}

#[tokio::test]
async fn all_spare_permits_find_their_takers() {
    let limit = fixed(4);
    let _object = limit.claim();
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(limit.acquire_spare())).collect();
    let taken: Vec<_> = waiting
        .iter_mut()
        .filter_map(|spare| spare.as_mut().now_or_never())
        .collect();
    assert_eq!(taken.len(), 3);
}

/// Takes readings for `seconds` of time that is to come, with an answer for each of `held` before each.
fn read_on(limit: &Limit, held: &[Permit], seconds: u64) {
    let start = Instant::now();
    for n in 0..seconds * 100 {
        for permit in held {
            permit.answered(Duration::from_millis(1));
        }
        let now = start + Duration::from_millis(10) * u32::try_from(n).unwrap();
        limit.0.read(&limit.0.counted(), now);
    }
}

#[tokio::test]
async fn throttling_takes_permits_back_once_a_round_and_gives_them_again() {
    let limit = fixed(8);
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(limit.acquire().await);
    }
    // Half of them: as many as are left then.
    for permit in &held[..4] {
        permit.throttled();
    }
    assert_eq!(
        (limit.throttling().n_replies, limit.throttling().lowest),
        (4, 4)
    );
    // Four are too many: the first four that come back are not given again.
    held.truncate(4);
    assert!(limit.acquire().now_or_never().is_none());
    held.pop();
    held.push(limit.acquire().await);
    read_on(&limit, &held, 60);
    while let Some(permit) = limit.acquire().now_or_never() {
        held.push(permit);
    }
    assert_eq!(held.len(), 8, "they all grew back");
}

#[tokio::test]
async fn permits_are_given_in_turn_and_not_to_those_who_left() {
    let limit = fixed(1);
    let held = limit.acquire().await;
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(limit.acquire())).collect();
    for permit in &mut waiting {
        assert!(permit.as_mut().now_or_never().is_none());
    }
    drop(waiting.remove(0));
    drop(held);
    let mut late = Box::pin(limit.acquire());
    assert!(late.as_mut().now_or_never().is_none(), "it came last");
    assert!(waiting[1].as_mut().now_or_never().is_none());
    // One that was given its permit, but left before it took it.
    drop(waiting.remove(0));
    let second = waiting.remove(0).now_or_never();
    assert!(second.is_some() && limit.n_in_use() == 1);
    drop((waiting, second));
    assert!(late.now_or_never().is_some());
    assert_eq!(limit.n_in_use(), 0);
}

#[tokio::test]
async fn after_an_outage_the_permits_grow_back() {
    let limit = fixed(64);
    let first = limit.acquire().await;
    read_on(&limit, std::slice::from_ref(&first), 1);
    assert_eq!(limit.n_permits(), 64);
    let refused = Failure {
        sign: Sign::NoConnection,
        ..Failure::new(ErrorCode::ConnectionFailed, Class::Transient, "refused")
    };
    let asked = Asked {
        key: "k",
        began: Instant::now(),
        can_ask_for_another: false,
    };
    let charge = limit.failed(&refused, &asked, Duration::from_mins(5));
    assert_eq!(charge.unwrap(), Charge::Nobody);
    let attempt = limit.unless_out().await;
    assert!(limit.may_start(&attempt) && !limit.may_start(&Attempt::default()));
    let trying = limit.acquire().await.used_by(attempt);
    trying.answered(Duration::from_millis(1));
    assert!(limit.waiting().is_none() && limit.n_permits() < 64);
    read_on(&limit, std::slice::from_ref(&first), 1);
    assert_eq!(limit.n_permits(), 64);
}

#[tokio::test]
async fn rows_are_few_more_than_permits_where_the_number_is_found() {
    let most = 1_024.try_into().unwrap();
    let limit = Limit::new(Concurrency::Auto, most);
    let mut claims = Vec::new();
    while limit.room(1).now_or_never().is_some() && claims.len() < 1_024 {
        claims.push(limit.claim());
    }
    assert_eq!((limit.n_permits(), claims.len()), (32, 64));
    // More are under way where they wait for one another.
    while limit.room(4).now_or_never().is_some() && claims.len() < 1_024 {
        claims.push(limit.claim());
    }
    assert_eq!(claims.len(), 4 * 64);
    claims.truncate(63);
    assert!(limit.room(1).now_or_never().is_some());
    // A fixed number has as many rows as permits, which the stream of rows bounds.
    let limit = fixed(2);
    let _claims = [limit.claim(), limit.claim()];
    assert!(limit.room(1).now_or_never().is_some());
}
