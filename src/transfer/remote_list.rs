//! Fetches lists that stand in S3 while they are read: each from one GET of its own bucket. Where the body breaks off, it goes
//! on at the missing byte of the same object.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::limit::Permit;
use super::retry::Budget;
use super::source_requests::SourceRequests;
use crate::etag::ETag;
use crate::outcome::{Class, ErrorCode, Failure};
use crate::s3::{GetRequest, GetResponse, Method, Part, Purpose};
use crate::source::{Chunk, Fetcher, RemoteList};

/// Pieces that wait for the reader.
const CHUNKS: usize = 16;

/// Bytes of one answer that are progress. They are few: rows are taken as objects are downloaded, and a server may give up a
/// reader that is as slow as that, over and over.
const PROGRESS: u64 = 4096;

type Chunks = mpsc::Sender<Result<Chunk, Failure>>;

impl SourceRequests {
    /// Starts to fetch lists in `runtime`.
    pub(super) fn fetcher(self: &Arc<Self>, runtime: &Handle) -> Fetcher {
        let (requests, runtime) = (Arc::clone(self), runtime.clone());
        Fetcher(Arc::new(move |list| {
            let (sender, chunks) = mpsc::channel(CHUNKS);
            let requests = Arc::clone(&requests);
            runtime.spawn(async move {
                tokio::select! {
                    biased;
                    // The reader has given up the list, and may have done so just now.
                    () = sender.closed() => {}
                    end = fetch(&requests, &list, &sender) => {
                        let _ = sender.send(end.map(|()| Chunk::End)).await;
                    }
                }
            });
            chunks
        }))
    }
}

/// What was fetched so far.
#[derive(Default)]
struct Fetched {
    /// Bytes.
    position: u64,
    object: Option<Object>,
    n_requests: u64,
}

/// The object that the list is, by which the rest of it can be asked for.
struct Object {
    etag: ETag,
    size: u64,
    last_modified: Option<SystemTime>,
}

async fn fetch(
    requests: &SourceRequests,
    list: &RemoteList,
    chunks: &Chunks,
) -> Result<(), Failure> {
    let budget = Budget::new(requests.max_attempts.get());
    let mut fetched = Fetched::default();
    loop {
        let (permit, round) = requests.begin(&budget).await;
        let before = fetched.position;
        let answer = answer(requests, list, &mut fetched, permit).await;
        let read = match answer {
            Ok(response) => read(response, &mut fetched, chunks).await,
            Err(failure) => Err(failure),
        };
        let Err(failure) = read else {
            return Ok(());
        };
        // What was read cannot be read again, and without an ETag nothing tells whether the rest is of the same object.
        let is_other = failure.code == ErrorCode::ObjectChanged;
        if is_other || fetched.position > 0 && fetched.object.is_none() {
            return Err(failure);
        }
        if fetched.position - before >= PROGRESS {
            budget.progressed();
        }
        let name = format!("{list} {}", fetched.n_requests);
        requests.failed(failure, &name, round, &budget).await?;
    }
}

/// Asks for what is missing.
async fn answer(
    requests: &SourceRequests,
    list: &RemoteList,
    fetched: &mut Fetched,
    permit: Permit,
) -> Result<GetResponse, Failure> {
    let part = fetched.object.as_ref().map(|object| Part {
        range: fetched.position..object.size,
        etag: &object.etag,
        size: object.size,
        last_modified: object.last_modified,
    });
    let request = GetRequest {
        method: Method::Get,
        purpose: Purpose::List,
        bucket: Some(list.bucket.as_str()),
        key: &list.key,
        version_id: None,
        if_modified_since: None,
        part: part.filter(|part| part.range.start > 0),
        has_failed: false,
    };
    let client = requests.client().await?;
    fetched.n_requests += 1;
    let started = Instant::now();
    let answer = client.get_object(&request).await;
    requests.note("GET", &list.to_string(), started, &answer);
    let response = match answer {
        Ok(response) => response,
        Err(error) => return Err(SourceRequests::refused(permit, error)),
    };
    permit.answered(started.elapsed());
    if fetched.position == 0 {
        fetched.object = object_of(&response);
    }
    Ok(response)
}

/// Reads the body of an answer to its end.
async fn read(
    mut response: GetResponse,
    fetched: &mut Fetched,
    chunks: &Chunks,
) -> Result<(), Failure> {
    let end = response.length.map(|length| fetched.position + length);
    while let Some(bytes) = response.body.next().await? {
        fetched.position += bytes.len() as u64;
        if chunks.send(Ok(Chunk::Bytes(bytes))).await.is_err() {
            return Ok(());
        }
    }
    match end {
        Some(end) if end != fetched.position => Err(Failure::new(
            ErrorCode::IncompleteBody,
            Class::Transient,
            "the body ended early",
        )),
        _ => Ok(()),
    }
}

fn object_of(response: &GetResponse) -> Option<Object> {
    Some(Object {
        etag: response.strong_etag()?.clone(),
        size: response.length?,
        last_modified: response.last_modified,
    })
}
