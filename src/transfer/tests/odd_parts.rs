//! Servers that give no parts of objects, or contradict themselves about them: the first GET's stream goes on alone.

use super::*;

/// As if the object were another one.
fn changed() -> Reply {
    let code = ErrorCode::ObjectChanged;
    Reply::Refusal(412, code, Class::Transient, Sign::OtherEtag)
}

/// The object as one stream that goes on behind its first part only once `gate` has a permit.
fn in_two(object: &Bytes, gate: &Arc<Semaphore>) -> Reply {
    let steps = vec![
        Step::Bytes(object.slice(..PART)),
        Step::Wait(Arc::clone(gate)),
        Step::Bytes(object.slice(PART..)),
    ];
    Reply::Object(object.clone(), Some(steps))
}

fn refused(status: u16, code: &str, class: Class) -> Reply {
    Reply::Refusal(status, ErrorCode::S3(code.to_owned()), class, Sign::Nothing)
}

async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), work)
        .await
        .expect("in time")
}

type Refusal = fn() -> Reply;

#[tokio::test]
async fn the_first_stream_goes_on_alone_where_parts_are_refused() {
    let no_parts = || {
        let code = ErrorCode::InvalidResponse;
        Reply::Refusal(200, code, Class::Transient, Sign::NoParts)
    };
    let nonsense = || {
        let code = ErrorCode::InvalidResponse;
        Reply::Refusal(206, code, Class::Transient, Sign::Nothing)
    };
    // With the most attempts that this may cost, and the requests for the whole object.
    let cases: [(&str, Refusal, u32, usize); 6] = [
        ("no parts", no_parts, 1, 1),
        ("nonsense", nonsense, 1, 1),
        ("never the same", changed, 1, 2),
        (
            "another signature",
            || refused(403, "SignatureDoesNotMatch", Class::Fatal),
            1,
            1,
        ),
        (
            "no such method",
            || refused(405, "MethodNotAllowed", Class::Permanent),
            1,
            1,
        ),
        (
            "always out of order",
            || refused(503, "SlowDown", Class::Transient),
            10,
            1,
        ),
    ];
    for (what, refusal, n_attempts, n_whole) in cases {
        let object = object_of(10, 1);
        let (answered, gate) = (object.clone(), Arc::new(Semaphore::new(0)));
        let opened = Arc::clone(&gate);
        let rig = rig(4, move |_, range| {
            if range.is_none() {
                return in_two(&answered, &gate);
            }
            // The stream still stands behind its first part when this is refused.
            opened.add_permits(1);
            refusal()
        });
        assert!(
            attempts(&within(rig.download()).await) <= n_attempts,
            "{what}"
        );
        rig.has(&object);
        assert_eq!(rig.n_whole(), n_whole, "{what}");
        assert_eq!(rig.shared.limit.n_in_use(), 0, "{what}");
        assert_eq!(rig.shared.meter.counts().bytes, object.len() as u64);
    }
}

#[tokio::test]
async fn parts_that_came_before_the_refusal_stay() {
    let object = object_of(10, 1);
    let (answered, gate) = (object.clone(), Arc::new(Semaphore::new(0)));
    let rig = rig(2, move |n, range| match (n, range) {
        (_, None) => in_two(&answered, &gate),
        (1..4, _) => whole(&answered),
        _ => {
            gate.add_permits(1);
            let code = ErrorCode::InvalidResponse;
            Reply::Refusal(200, code, Class::Transient, Sign::NoParts)
        }
    });
    assert_eq!(attempts(&within(rig.download()).await), 1);
    rig.has(&object);
    assert_eq!(rig.ranges().len(), 5, "{:?}", rig.ranges());
    assert_eq!(rig.shared.meter.counts().bytes, object.len() as u64);
}

#[tokio::test]
async fn a_part_without_an_answer_is_brought_by_the_first_stream() {
    let object = object_of(3, 1);
    let (answered, never) = (object.clone(), Arc::new(Semaphore::new(0)));
    let rig = rig(2, move |_, range| match range {
        None => whole(&answered),
        Some(_) => Reply::Gated(answered.clone(), Arc::clone(&never)),
    });
    assert_eq!(attempts(&within(rig.download()).await), 1);
    rig.has(&object);
    assert!(rig.ranges().len() <= 2, "{:?}", rig.ranges());
}

#[tokio::test]
async fn a_lone_stream_that_breaks_starts_over() {
    let object = object_of(10, 1);
    let (answered, gate) = (object.clone(), Arc::new(Semaphore::new(0)));
    let rig = rig(2, move |n, range| match (n, range) {
        (0, _) => Reply::Object(
            answered.clone(),
            Some(vec![
                Step::Bytes(answered.slice(..PART)),
                Step::Wait(Arc::clone(&gate)),
                Step::Bytes(answered.slice(PART..2 * PART)),
                Step::Break,
            ]),
        ),
        (_, None) => whole(&answered),
        _ => {
            gate.add_permits(1);
            changed()
        }
    });
    assert_eq!(attempts(&within(rig.download()).await), 2);
    rig.has(&object);
}
