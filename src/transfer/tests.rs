//! The engine against a scripted client: attempts, parts and stops, request by request.

use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::{
    End, Finished, Getter, Limit, ListEnd, Observer, ObserverError, Shared, Stragglers,
    TransferOptions, download_all, object,
};
use crate::etag::ETag;
use crate::meter::Meter;
use crate::options::{IfExists, Job, VerifyMode};
use crate::outcome::{Class, ErrorCode, Outcome, Sign};
use crate::row::{Entry, Place, Row};
use crate::s3::{Body, GetError, GetRequest, GetResponse, Step};
use crate::sink::door::Sink;
use crate::sink::files::{LocalPath, OutputFolder, PathRules};
use crate::stop::{Phase, Stop};

mod odd_parts;
mod slow;

const PART: usize = 1024;

/// What the client answers to its nth request, from 0, which is for this range.
type Answer = dyn Fn(usize, Option<&Range<u64>>) -> Reply + Send + Sync;

/// A scripted client.
pub(crate) struct Script {
    answer: Box<Answer>,
    log: Mutex<Vec<Option<Range<u64>>>>,
}

enum Reply {
    /// The bytes that were asked for, of this object, but no more steps than these.
    Object(Bytes, Option<Vec<Step>>),
    Error(ErrorCode, Class),
    /// An error with a status, and what it says of the server.
    Refusal(u16, ErrorCode, Class, Sign),
    /// As the object, once there is a permit here.
    Gated(Bytes, Arc<Semaphore>),
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    pub(crate) async fn get_object(
        &self,
        request: &GetRequest<'_>,
    ) -> Result<GetResponse, GetError> {
        let range = request.part.as_ref().map(|part| part.range.clone());
        let n = {
            let mut log = self.log.lock().unwrap();
            log.push(range.clone());
            log.len() - 1
        };
        let (object, steps) = match (self.answer)(n, range.as_ref()) {
            Reply::Object(object, steps) => (object, steps),
            Reply::Refusal(status, code, class, sign) => {
                let mut error = GetError::scripted(class, code);
                (error.status, error.sign) = (Some(status), sign);
                return Err(error);
            }
            Reply::Error(code, class) => return Err(GetError::scripted(class, code)),
            Reply::Gated(object, gate) => {
                gate.acquire().await.unwrap().forget();
                (object, None)
            }
        };
        let etag = ETag::of_header(&format!("\"{:x}\"", crc_fast::crc64_nvme(&object)));
        if request.part.as_ref().is_some_and(|part| *part.etag != etag) {
            let mut error = GetError::scripted(Class::Transient, ErrorCode::ObjectChanged);
            error.sign = Sign::OtherEtag;
            return Err(error);
        }
        let range = range.unwrap_or(0..object.len() as u64);
        let at = |offset: u64| usize::try_from(offset).unwrap();
        let bytes = object.slice(at(range.start)..at(range.end));
        Ok(GetResponse {
            length: Some(bytes.len() as u64),
            etag: Some(etag),
            version_id: None,
            last_modified: None,
            checksum: None,
            md5: None,
            is_encoded: false,
            description: None,
            ends_with_connection: false,
            body: Body::scripted(steps.unwrap_or_else(|| vec![Step::Bytes(bytes)])),
        })
    }
}

/// A download of the key `k` into a folder of its own.
struct Rig {
    shared: Arc<Shared>,
    folder: tempfile::TempDir,
}

fn rig(
    concurrency: usize,
    answer: impl Fn(usize, Option<&Range<u64>>) -> Reply + Send + Sync + 'static,
) -> Rig {
    let folder = tempfile::tempdir().unwrap();
    let output = OutputFolder::open(folder.path(), 8).unwrap();
    let meter = Arc::new(Meter::default());
    let shared = Shared {
        client: Getter::Scripted(Script {
            answer: Box::new(answer),
            log: Mutex::default(),
        }),
        sink: Arc::new(Sink::new(output, IfExists::Overwrite, Arc::clone(&meter))),
        paths: PathRules::default(),
        done: None,
        last_rows: Vec::new(),
        options: TransferOptions {
            job: Job::Download,
            part_size: PART as u64,
            multipart_threshold: 2 * PART as u64,
            verify: VerifyMode::Auto,
            takes_note: false,
            max_attempts: 3.try_into().unwrap(),
            max_outage: Duration::from_secs(5),
            rps: None,
            bwlimit: None,
            max_failures: None,
            n_rounds: 0,
        },
        limit: Limit::fixed(concurrency.try_into().unwrap()),
        rates: Arc::default(),
        meter,
        stop: Arc::default(),
        stragglers: Stragglers::default(),
        witness: super::Witness::default(),
        has_parts: true.into(),
        on_request: None,
        on_step: None,
    };
    Rig {
        shared: Arc::new(shared),
        folder,
    }
}

impl Rig {
    async fn download(&self) -> Outcome {
        let _claim = self.shared.limit.claim();
        let entry = Arc::new(Entry {
            key: "k".to_owned(),
            ..Entry::default()
        });
        let path = Arc::new(LocalPath::of_key("k").unwrap());
        let shared = Arc::clone(&self.shared);
        object::download(shared, entry, path, None).await.outcome
    }

    fn ranges(&self) -> Vec<Option<Range<u64>>> {
        match &self.shared.client {
            Getter::Scripted(script) => script.log.lock().unwrap().clone(),
            Getter::Client(_) | Getter::Nobody => Vec::new(),
        }
    }

    /// How many requests were for the whole object.
    fn n_whole(&self) -> usize {
        self.ranges().iter().filter(|range| range.is_none()).count()
    }

    fn stop(&self) -> &Stop {
        &self.shared.stop
    }

    #[track_caller]
    fn has(&self, object: &Bytes) {
        assert!(std::fs::read(self.folder.path().join("k")).unwrap() == object[..]);
        assert_eq!(self.names(), ["k"]);
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn object_of(n_parts: usize, seed: u8) -> Bytes {
    let byte = |n: usize| u8::try_from(n * 7 % 251).unwrap() ^ seed;
    (0..n_parts * PART).map(byte).collect()
}

fn whole(object: &Bytes) -> Reply {
    Reply::Object(object.clone(), None)
}

#[track_caller]
fn attempts(outcome: &Outcome) -> u32 {
    match outcome {
        Outcome::Downloaded(downloaded) => downloaded.attempts,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn code(outcome: &Outcome) -> ErrorCode {
    match outcome {
        Outcome::Failed(failure) => failure.code.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_broken_body_goes_on_at_the_missing_byte() {
    let object = object_of(1, 1);
    let answered = object.clone();
    let rig = rig(4, move |n, _| {
        let begun = vec![Step::Bytes(answered.slice(..100)), Step::Break];
        Reply::Object(answered.clone(), (n == 0).then_some(begun))
    });
    assert_eq!(attempts(&rig.download().await), 2);
    rig.has(&object);
    assert_eq!(rig.ranges(), [None, Some(100..PART as u64)]);
}

#[tokio::test]
async fn a_mib_is_progress_and_less_is_not() {
    const MIB: usize = 1024 * PART;
    let object = object_of(6 * 1024, 1);
    for (step, arrives) in [(MIB, true), (MIB / 4, false)] {
        let answered = object.clone();
        let mut rig = rig(1, move |_, range| {
            let start = range.map_or(0, |range| usize::try_from(range.start).unwrap());
            let end = answered.len().min(start + step);
            let begun = vec![Step::Bytes(answered.slice(start..end)), Step::Break];
            Reply::Object(answered.clone(), Some(begun))
        });
        let shared = Arc::get_mut(&mut rig.shared).unwrap();
        shared.options.multipart_threshold = u64::MAX;
        let outcome = rig.download().await;
        if arrives {
            assert_eq!(attempts(&outcome), 6);
            rig.has(&object);
        } else {
            assert_eq!(code(&outcome), ErrorCode::IncompleteBody);
        }
    }
}

#[tokio::test]
async fn front_and_back_meet_and_ask_for_each_part_once() {
    let object = object_of(10, 2);
    let answered = object.clone();
    let rig = rig(4, move |_, _| whole(&answered));
    assert_eq!(attempts(&rig.download().await), 1);
    rig.has(&object);
    let mut starts: Vec<_> = rig
        .ranges()
        .into_iter()
        .flatten()
        .map(|range| range.start)
        .collect();
    let n_asked = starts.len();
    starts.sort_unstable();
    starts.dedup();
    assert!(
        starts.len() == n_asked && !starts.contains(&0),
        "{starts:?}"
    );
}

#[tokio::test]
async fn an_object_that_changes_under_its_parts_starts_over_and_is_charged_once() {
    let (old, new) = (object_of(10, 3), object_of(10, 4));
    let answered = new.clone();
    let rig = rig(4, move |n, _| whole(if n == 0 { &old } else { &answered }));
    assert_eq!(attempts(&rig.download().await), 2);
    rig.has(&new);
    assert_eq!(rig.n_whole(), 2, "the answer that showed it is read");
}

#[tokio::test]
async fn parts_that_fail_together_are_charged_once() {
    let object = object_of(10, 5);
    let answered = object.clone();
    let rig = rig(8, move |n, _| match n {
        1..8 => Reply::Error(ErrorCode::Timeout, Class::Transient),
        _ => whole(&answered),
    });
    assert_eq!(attempts(&rig.download().await), 2);
    rig.has(&object);
}

#[tokio::test]
async fn a_part_that_fails_for_good_ends_the_object_once_nothing_of_it_runs() {
    let object = object_of(10, 6);
    let rig = rig(4, move |n, _| match n {
        0 => Reply::Object(object.clone(), Some(vec![Step::Hang])),
        2 => Reply::Error(ErrorCode::S3("AccessDenied".to_owned()), Class::Permanent),
        _ => whole(&object),
    });
    assert_eq!(
        code(&rig.download().await),
        ErrorCode::S3("AccessDenied".to_owned())
    );
    let n_asked = rig.ranges().len();
    tokio::task::yield_now().await;
    assert_eq!(rig.ranges().len(), n_asked);
    assert_eq!(rig.shared.limit.n_in_use(), 0, "all permits are back");
    assert!(!rig.names().contains(&"k".to_owned()));
}

type Answering = Box<dyn Fn(usize) -> Reply + Send + Sync>;

#[tokio::test]
async fn a_stop_gives_up_an_object_in_every_phase_of_it() {
    let never = Arc::new(Semaphore::new(0));
    let object = object_of(10, 7);
    let (small, large) = (object_of(1, 7), object);
    let hanging = |object: &Bytes| Reply::Object(object.clone(), Some(vec![Step::Hang]));
    let phases: [(&str, Answering); 3] = [
        (
            "before the answer",
            Box::new({
                let small = small.clone();
                move |_| Reply::Gated(small.clone(), Arc::clone(&never))
            }),
        ),
        ("in a stream", Box::new(move |_| hanging(&small))),
        ("in parts", Box::new(move |_| hanging(&large))),
    ];
    for (phase, answer) in phases {
        let rig = Arc::new(rig(4, move |n, _| answer(n)));
        let downloading = {
            let rig = Arc::clone(&rig);
            tokio::spawn(async move { rig.download().await })
        };
        while rig.ranges().is_empty() {
            tokio::task::yield_now().await;
        }
        rig.stop().escalate(Phase::GivingUp);
        let outcome = tokio::time::timeout(Duration::from_secs(30), downloading).await;
        assert_eq!(
            code(&outcome.unwrap().unwrap()),
            ErrorCode::Interrupted,
            "{phase}"
        );
        assert!(!rig.names().contains(&"k".to_owned()), "{phase}");
    }
}

/// Counts the rows that end, and says how the list did.
#[derive(Default)]
struct Counting {
    codes: Vec<ErrorCode>,
    list_end: Option<ListEnd>,
}

impl Observer for Counting {
    fn finished(&mut self, finished: &Finished) -> Result<(), ObserverError> {
        if let Outcome::Failed(failure) = &finished.outcome {
            self.codes.push(failure.code.clone());
        }
        Ok(())
    }

    fn list_ended(&mut self, end: ListEnd) {
        self.list_end = Some(end);
    }
}

/// Downloads these keys, which is over within a minute.
async fn download_list(rig: &Rig, keys: &[&str]) -> (End, Counting) {
    let rows = keys.iter().zip(1..).map(|(key, line)| Row {
        place: Place { list: 0, line },
        entry: Ok(Entry {
            key: (*key).to_owned(),
            ..Entry::default()
        }),
    });
    let (sender, list) = tokio::sync::mpsc::channel(1);
    sender.send(Ok(rows.collect())).await.unwrap();
    drop(sender);
    let mut observer = Counting::default();
    let downloading = download_all(&rig.shared, list, &mut observer);
    let end = tokio::time::timeout(Duration::from_mins(1), downloading).await;
    (end.unwrap(), observer)
}

#[tokio::test]
async fn a_list_that_was_read_to_its_end_is_a_whole_record() {
    let object = object_of(1, 8);
    let rig = rig(2, move |_, _| whole(&object));
    let (end, observer) = download_list(&rig, &["a", "b"]).await;
    assert!(matches!(end, End::ListDone), "{end:?}");
    assert_eq!(observer.list_end, Some(ListEnd::Whole));
}

#[tokio::test]
async fn rows_that_are_not_tried_do_not_count_as_failures() {
    let mut rig = rig(2, |_, _| Reply::Error(ErrorCode::Timeout, Class::Permanent));
    Arc::get_mut(&mut rig.shared).unwrap().options.max_failures = 2.try_into().ok();
    let keys = ["a", "b", "c", "d"];
    let (end, observer) = download_list(&rig, &keys).await;
    assert!(matches!(end, End::TooManyFailures(2)), "{end:?}");
    assert_eq!(observer.codes.len(), 4);
    let (end, observer) = download_list(&rig, &keys).await;
    assert!(matches!(end, End::ListDone), "{end:?}");
    assert_eq!(observer.codes, vec![ErrorCode::NotAttempted; 4]);
}
