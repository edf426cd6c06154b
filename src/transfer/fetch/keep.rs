//! When the file that is there is kept. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

/// Which object the file that is there is kept for. Of times, whole seconds count, as in S3's answers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keep {
    /// One that is not newer than this.
    IfAsNew(SystemTime),
    /// One of this size and time.
    IfSame {
        size: u64,
        modified: SystemTime,
        /// Whether the time alone shows that it is the same object, as the row says that it has the size.
        is_known_by_time: bool,
    },
}

impl Keep {
    /// The time that an object must be newer than to be sent.
    ///
    /// `IfAsNew` leaves it to the server; `IfSame` does so only where the size is known.
    pub(crate) fn if_modified_since(self) -> Option<SystemTime> {
        match self {
            Self::IfAsNew(time) => Some(time),
            Self::IfSame {
                modified,
                is_known_by_time,
                ..
            } => is_known_by_time.then_some(modified),
        }
    }

    /// Whether the file is kept for an object of this time and size.
    pub(crate) fn keeps_for(self, time: Option<SystemTime>, length: Option<u64>) -> bool {
        let Some(object) = time.map(seconds) else {
            return false;
        };
        match self {
            Self::IfAsNew(time) => object <= seconds(time),
            Self::IfSame { size, modified, .. } => {
                object == seconds(modified) && length == Some(size)
            }
        }
    }

    /// Whether the file is kept for an object that is not newer, of this time if that is known.
    pub(crate) fn keeps_unless_newer(self, object: Option<SystemTime>) -> bool {
        match self {
            Self::IfAsNew(_) => true,
            Self::IfSame { modified, .. } => {
                object.is_some_and(|object| seconds(object) == seconds(modified))
            }
        }
    }
}

/// The seconds of a time, which is 0 for one before 1970, since S3 has none.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
