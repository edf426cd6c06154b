use futures::FutureExt;

use super::*;
use crate::outcome::{Class, ErrorCode, Sign};

#[tokio::test]
async fn a_spare_permit_is_one_that_no_object_has_a_claim_on() {
    let limit = Limit::new(2);
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
    let limit = Limit::new(4);
    let _object = limit.claim();
    let mut waiting: Vec<_> = (0..4).map(|_| Box::pin(limit.acquire_spare())).collect();
    let taken: Vec<_> = waiting
        .iter_mut()
        .filter_map(|spare| spare.as_mut().now_or_never())
        .collect();
    assert_eq!(taken.len(), 3);
}

#[tokio::test]
async fn throttling_takes_permits_back_once_a_round_and_gives_them_again() {
    let limit = Limit::new(8);
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(limit.acquire().await);
    }
    for permit in &held {
        permit.throttled();
    }
    assert_eq!(
        (limit.throttling().n_replies, limit.throttling().lowest),
        (8, 4)
    );
    // Four are owed: the first four that come back are not given again.
    held.truncate(4);
    assert!(limit.acquire().now_or_never().is_none());
    held.pop();
    let again = limit.acquire().await;
    for _ in 0..100 {
        again.answered();
    }
    held.push(again);
    while let Some(permit) = limit.acquire().now_or_never() {
        held.push(permit);
    }
    assert_eq!(held.len(), 8, "they all grew back");
}

#[tokio::test]
async fn after_an_outage_the_permits_grow_back() {
    let limit = Limit::new(64);
    let answer_all = async || {
        for _ in 0..64 {
            limit.acquire().await.answered();
        }
    };
    answer_all().await;
    assert_eq!(limit.n_permits(), 64);
    let refused = Failure {
        sign: Sign::NoConnection,
        ..Failure::new(ErrorCode::ConnectionFailed, Class::Transient, "refused")
    };
    let charge = limit.failed(&refused, "k", Instant::now(), Duration::from_mins(5));
    assert_eq!(charge.unwrap(), Charge::Nobody);
    let attempt = limit.unless_out().await;
    assert!(limit.may_start(&attempt) && !limit.may_start(&Attempt(None)));
    limit.acquire().await.used_by(attempt).answered();
    assert!(limit.waiting().is_none() && limit.n_permits() < 64);
    answer_all().await;
    assert_eq!(limit.n_permits(), 64);
}
