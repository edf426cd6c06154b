//! Fetches lists that stand in S3 while they are read: each from one GET, by a client for its own bucket and region. Where the
//! body breaks off, it goes on at the missing byte of the same object.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::retry::{Budget, PROGRESS};
use crate::etag::ETag;
use crate::outcome::{Class, ErrorCode, Failure};
use crate::s3::{Client, ConnectOptions, GetRequest, GetResponse, Method, Part, Purpose};
use crate::source::{Chunk, Fetcher, RemoteList};

/// Pieces that wait for the reader.
const CHUNKS: usize = 16;

/// Makes what fetches lists: with the options of the run, but for the list's own bucket. It is called within the runtime.
pub fn fetcher(options: ConnectOptions, max_attempts: u32) -> Fetcher {
    let runtime = Handle::current();
    Fetcher(Arc::new(move |list| {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let options = ConnectOptions {
            bucket: list.bucket.clone(),
            ..options.clone()
        };
        runtime.spawn(async move {
            let end = fetch(options, max_attempts, &list, &sender).await;
            // The reader may have given up the list.
            let _ = sender.send(end.map(|()| Chunk::End)).await;
        });
        receiver
    }))
}

/// What was fetched so far.
#[derive(Default)]
struct Fetched {
    /// Bytes.
    position: u64,
    object: Option<Object>,
    n_since_progress: u64,
}

/// The object that the list is, by which the rest of it can be asked for.
struct Object {
    etag: ETag,
    size: u64,
    last_modified: Option<SystemTime>,
}

async fn fetch(
    options: ConnectOptions,
    max_attempts: u32,
    list: &RemoteList,
    sender: &mpsc::Sender<Result<Chunk, Failure>>,
) -> Result<(), Failure> {
    let client = Client::connect(options).await.map_err(|error| {
        Failure::new(ErrorCode::Credentials, Class::Permanent, error.to_string())
    })?;
    let budget = Budget::new(max_attempts);
    let mut fetched = Fetched::default();
    loop {
        budget.ready().await;
        let Some(round) = budget.begin() else {
            continue;
        };
        let Err(failure) = attempt(&client, list, &mut fetched, &budget, sender).await else {
            return Ok(());
        };
        // What was read cannot be read again, and without an ETag nothing tells whether the rest is of the same object.
        if fetched.position > 0 && fetched.object.is_none() {
            return Err(failure);
        }
        budget.charge(failure, round)?;
    }
}

/// Fetches what is missing; ends early if nobody reads it any more.
async fn attempt(
    client: &Client,
    list: &RemoteList,
    fetched: &mut Fetched,
    budget: &Budget,
    sender: &mpsc::Sender<Result<Chunk, Failure>>,
) -> Result<(), Failure> {
    let part = fetched.object.as_ref().map(|object| Part {
        range: fetched.position..object.size,
        etag: &object.etag,
        size: object.size,
        last_modified: object.last_modified,
    });
    let request = GetRequest {
        method: Method::Get,
        purpose: Purpose::List,
        bucket: None,
        key: &list.key,
        version_id: None,
        if_modified_since: None,
        part: part.filter(|part| part.range.start > 0),
    };
    let mut response = client.get_object(&request).await?;
    if fetched.position == 0 {
        fetched.object = object_of(&response);
    }
    let end = response.length.map(|length| fetched.position + length);
    while let Some(bytes) = response.body.next().await? {
        fetched.position += bytes.len() as u64;
        fetched.n_since_progress += bytes.len() as u64;
        if fetched.n_since_progress >= PROGRESS {
            fetched.n_since_progress = 0;
            budget.progressed();
        }
        if sender.send(Ok(Chunk::Bytes(bytes))).await.is_err() {
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
