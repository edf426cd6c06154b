//! Requests that are slow among others that are not: while permits are spare, what they bring is asked for again.

use super::*;

/// As much of a part as comes before it hangs.
const BEGUN: usize = 100;

/// The bytes that were asked for begin, and then nothing comes.
fn hanging(object: &Bytes, range: &Range<u64>) -> Reply {
    let start = usize::try_from(range.start).unwrap();
    let begun = Step::Bytes(object.slice(start..start + BEGUN));
    Reply::Object(object.clone(), Some(vec![begun, Step::Hang]))
}

async fn soon(rig: &Rig) -> Outcome {
    tokio::time::timeout(Duration::from_secs(30), rig.download())
        .await
        .expect("in time")
}

#[tokio::test]
async fn the_rest_of_a_part_that_is_far_behind_is_asked_for_again() {
    let object = object_of(10, 1);
    let answered = object.clone();
    let rig = rig(4, move |n, range| match range {
        Some(range) if n == 2 => hanging(&answered, range),
        _ => whole(&answered),
    });
    assert_eq!(attempts(&soon(&rig).await), 1);
    rig.has(&object);
    let ranges = rig.ranges();
    let slow = ranges[2].clone().unwrap();
    let rest = slow.start + BEGUN as u64..slow.end;
    assert_eq!(ranges.last(), Some(&Some(rest)));
    assert_eq!(rig.shared.meter.n_asked_again(), 1);
    assert_eq!(rig.shared.limit.n_in_use(), 0, "all permits are back");
}

#[tokio::test]
async fn the_first_stream_is_helped_too() {
    let object = object_of(10, 1);
    let answered = object.clone();
    let rig = rig(4, move |_, range| match range {
        None => hanging(&answered, &(0..1)),
        Some(_) => whole(&answered),
    });
    assert_eq!(attempts(&soon(&rig).await), 1);
    rig.has(&object);
    assert_eq!(rig.ranges().last(), Some(&Some(BEGUN as u64..PART as u64)));
    assert_eq!(rig.n_whole(), 1);
}

#[tokio::test]
async fn a_part_without_a_first_byte_is_asked_for_again() {
    let object = object_of(10, 1);
    let (answered, never) = (object.clone(), Arc::new(Semaphore::new(0)));
    let rig = rig(4, move |n, _| match n {
        2 => Reply::Gated(answered.clone(), Arc::clone(&never)),
        _ => whole(&answered),
    });
    assert_eq!(attempts(&soon(&rig).await), 1);
    rig.has(&object);
    let ranges = rig.ranges();
    let n_asked = ranges.iter().filter(|range| **range == ranges[2]).count();
    assert_eq!((n_asked, rig.shared.meter.n_asked_again()), (2, 1));
}

#[tokio::test]
async fn help_that_is_refused_changes_nothing() {
    let object = object_of(10, 1);
    let (answered, gate) = (object.clone(), Arc::new(Semaphore::new(0)));
    let rig = rig(4, move |n, range| match range {
        Some(range) if n == 2 => {
            let start = usize::try_from(range.start).unwrap();
            let end = usize::try_from(range.end).unwrap();
            let steps = vec![
                Step::Bytes(answered.slice(start..start + BEGUN)),
                Step::Wait(Arc::clone(&gate)),
                Step::Bytes(answered.slice(start + BEGUN..end)),
            ];
            Reply::Object(answered.clone(), Some(steps))
        }
        Some(range) if range.start % PART as u64 != 0 => {
            gate.add_permits(1);
            Reply::Error(ErrorCode::Timeout, Class::Transient)
        }
        _ => whole(&answered),
    });
    assert_eq!(attempts(&soon(&rig).await), 1);
    rig.has(&object);
}

#[tokio::test]
async fn bytes_that_both_requests_bring_are_taken_once() {
    let object = object_of(10, 1);
    let (answered, go_on) = (object.clone(), Arc::new(Semaphore::new(0)));
    let rig = rig(4, move |n, range| match range {
        Some(range) if n == 2 => {
            let start = usize::try_from(range.start).unwrap();
            let steps = vec![
                Step::Bytes(answered.slice(start..start + BEGUN)),
                Step::Wait(Arc::clone(&go_on)),
                Step::Bytes(answered.slice(start + BEGUN..start + 2 * BEGUN)),
                Step::Hang,
            ];
            Reply::Object(answered.clone(), Some(steps))
        }
        Some(range) if range.start % PART as u64 != 0 => {
            // The first body goes on before this is answered.
            go_on.add_permits(1);
            let answer = Arc::new(Semaphore::new(0));
            let later = Arc::clone(&answer);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                later.add_permits(1);
            });
            Reply::Gated(answered.clone(), answer)
        }
        _ => whole(&answered),
    });
    assert_eq!(attempts(&soon(&rig).await), 1);
    rig.has(&object);
}

#[tokio::test]
async fn help_that_shows_another_object_starts_over() {
    let (old, new) = (object_of(10, 1), object_of(10, 2));
    let answered = (old, new.clone());
    let rig = rig(4, move |n, range| match range {
        Some(range) if n == 2 => hanging(&answered.0, range),
        None if n > 0 => whole(&answered.1),
        Some(range) if range.start % PART as u64 != 0 => whole(&answered.1),
        Some(_) if n > 11 => whole(&answered.1),
        _ => whole(&answered.0),
    });
    assert_eq!(attempts(&soon(&rig).await), 2);
    rig.has(&new);
}

#[tokio::test]
async fn a_late_first_byte_is_asked_for_again_at_the_end_of_the_list() {
    for is_over in [true, false] {
        let object = object_of(1, 1);
        let (answered, never) = (object.clone(), Arc::new(Semaphore::new(0)));
        let rig = rig(4, move |n, _| match n {
            0 => Reply::Gated(answered.clone(), Arc::clone(&never)),
            _ => whole(&answered),
        });
        rig.shared.stragglers.answered(Duration::from_millis(10));
        if is_over {
            rig.shared.stragglers.list_is_over();
            assert_eq!(attempts(&soon(&rig).await), 1);
            rig.has(&object);
        } else {
            let waiting = tokio::time::timeout(Duration::from_secs(2), rig.download());
            assert!(waiting.await.is_err(), "the timeout of the request decides");
        }
        assert_eq!(rig.ranges().len(), 1 + usize::from(is_over));
        assert_eq!(rig.shared.limit.n_in_use(), 0);
    }
}
