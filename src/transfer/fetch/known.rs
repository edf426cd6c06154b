//! What the answers to an object's requests showed of it.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::OnceCell;

use super::held::Held;
use crate::etag::ETag;
use crate::s3::GetResponse;

/// ETag, size and time of an object, as a whole answer states them.
type Stated = (Option<ETag>, Option<u64>, Option<SystemTime>);

/// The most of them that are kept. They are told apart for servers of which each replica states something else.
const MAX_STATED: usize = 16;

fn stated(response: &GetResponse) -> Stated {
    (
        response.etag.clone(),
        response.length,
        response.last_modified,
    )
}

/// What attempts at an object showed.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// What whole answers stated, the last one last.
    stated: Vec<Stated>,
    /// A part's answer spoke of another object.
    pub is_doubted: bool,
    /// It has to be fetched as one stream.
    pub without_parts: bool,
    /// Whether the object was really replaced, once a part's answer spoke of another one. All parts of an attempt share it.
    pub is_replaced: Arc<OnceCell<bool>>,
    /// The answer that showed this. The next attempt reads it.
    pub in_hand: Option<Box<(GetResponse, Held)>>,
    /// It is not newer than the file that is there, and not the same.
    pub is_older: bool,
}

impl Known {
    /// Takes note of what a whole answer, which begins an attempt, states of the object. One that states the same as
    /// an earlier one, although a part's answer spoke of another object, comes from a server whose parts cannot be relied on.
    pub(super) fn note(&mut self, response: &GetResponse) {
        let stated = stated(response);
        let before = self.stated.iter().position(|earlier| *earlier == stated);
        self.without_parts |= before.is_some() && std::mem::take(&mut self.is_doubted);
        if let Some(before) = before {
            self.stated.remove(before);
        } else if self.stated.len() == MAX_STATED {
            self.stated.remove(0);
        }
        self.stated.push(stated);
        self.is_replaced = Arc::default();
    }

    /// Whether a whole answer stated the same before.
    pub(super) fn has_stated(&self, response: &GetResponse) -> bool {
        self.stated.contains(&stated(response))
    }

    /// Bytes of the object, as the last whole answer stated them.
    pub(super) fn size(&self) -> Option<u64> {
        self.stated.last()?.1
    }
}
