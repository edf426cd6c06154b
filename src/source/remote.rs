//! Lists that stand in S3, as a stream of bytes. Someone else fetches them; this module gives the bytes to the readers of lists,
//! and does not take a list that breaks off for one that has ended.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

use crate::outcome::Failure;
use crate::source::list::bucket::split_uri;

/// A list in S3.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteList {
    pub bucket: String,
    /// That of a folder of inventories ends in `/`, or is empty.
    pub key: String,
}

impl RemoteList {
    /// Parses `s3://bucket/key` and `s3://bucket/folder/`; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (bucket, key) = split_uri(text.strip_prefix("s3://")?)?;
        (!bucket.is_empty()).then(|| Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Whether it is not a list, but a folder that has inventories.
    pub fn is_folder(&self) -> bool {
        self.key.is_empty() || self.key.ends_with('/')
    }
}

impl fmt::Display for RemoteList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// A piece of a list.
#[derive(Debug)]
pub(crate) enum Chunk {
    Bytes(Bytes),
    /// Without it, a list has broken off.
    End,
}

/// The pieces of a list, in order, or why the next one cannot be had.
pub(super) type Chunks = mpsc::Receiver<Result<Chunk, Failure>>;

/// Starts to fetch lists, from any thread.
#[derive(Clone)]
pub(crate) struct Fetcher(pub Arc<dyn Fn(RemoteList) -> Chunks + Send + Sync>);

impl Fetcher {
    /// Starts to fetch a list.
    pub(crate) fn fetch(&self, list: &RemoteList) -> Chunks {
        self.0(list.clone())
    }
}

/// Reads the pieces of a list one after another.
pub(super) struct RemoteReader {
    chunks: Chunks,
    current: Bytes,
    has_ended: bool,
}

impl RemoteReader {
    pub(super) fn new(chunks: Chunks) -> Self {
        Self {
            chunks,
            current: Bytes::new(),
            has_ended: false,
        }
    }
}

impl Read for RemoteReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.has_ended {
            match self.chunks.blocking_recv() {
                Some(Ok(Chunk::Bytes(bytes))) => self.current = bytes,
                Some(Ok(Chunk::End)) => self.has_ended = true,
                Some(Err(failure)) => return Err(io::Error::other(failure)),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let n = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Class, ErrorCode};

    fn read(chunks: Vec<Result<Chunk, Failure>>) -> io::Result<Vec<u8>> {
        let (sender, receiver) = mpsc::channel(chunks.len().max(1));
        for chunk in chunks {
            sender.try_send(chunk).unwrap();
        }
        drop(sender);
        let mut bytes = Vec::new();
        RemoteReader::new(receiver).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn only_an_end_is_the_end_of_a_list() {
        let bytes = |bytes: &'static [u8]| Ok(Chunk::Bytes(Bytes::from_static(bytes)));
        let whole = read(vec![bytes(b"ab"), bytes(b""), bytes(b"c"), Ok(Chunk::End)]);
        assert_eq!(whole.unwrap(), b"abc");
        assert!(read(vec![bytes(b"ab")]).is_err());
        let failure = Failure::new(ErrorCode::S3("NoSuchKey".into()), Class::Permanent, "gone");
        let error = read(vec![bytes(b"ab"), Err(failure)]).unwrap_err();
        assert_eq!(error.to_string(), "NoSuchKey: gone");
    }

    #[test]
    fn uris_name_a_list_or_a_folder() {
        for (uri, is_folder) in [
            ("s3://b/a/k.csv", false),
            ("s3://b/a/", true),
            ("s3://b/", true),
        ] {
            let list = RemoteList::parse(uri).unwrap();
            assert_eq!(
                (list.to_string().as_str(), list.is_folder()),
                (uri, is_folder)
            );
        }
        for text in ["s3://b", "s3:///k", "k", "./s3://b/k"] {
            assert_eq!(RemoteList::parse(text), None, "{text}");
        }
    }
}
