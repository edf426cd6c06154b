//! The buckets that requests name, where the run is not for a single one: each has a session of its own, since its region and
//! endpoint may differ, and its errors do not concern the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use tokio::sync::OnceCell;

use super::error::GetError;
use super::sessions::Sessions;
use crate::locks::lock;
use crate::outcome::{Class, ErrorCode};

/// Stands for a bucket while the configuration and the credentials are checked, before any request names one.
pub(crate) const STAND_IN: &str = "s3pull-stand-in";

/// The most buckets whose sessions are kept. A session that is not kept is made again when its bucket is next named.
const MAX_KEPT: usize = 1_000;

/// Errors that are the bucket's, and not the account's.
const OF_BUCKET: [&str; 5] = [
    "AllAccessDisabled",
    "IllegalLocationConstraintException",
    "InvalidBucketName",
    "NoSuchBucket",
    "PermanentRedirect",
];

/// Made when a request first needs them.
type Place = Arc<OnceCell<Arc<Sessions>>>;

/// The sessions by bucket.
#[derive(Default)]
pub(super) struct Buckets {
    sessions: Mutex<HashMap<Box<str>, Place>>,
}

impl Buckets {
    /// The sessions of `bucket`, which have the account of `first`.
    ///
    /// # Errors
    /// When no request can be made for a bucket of this name.
    pub(super) async fn sessions(
        &self,
        first: &Sessions,
        bucket: &str,
    ) -> Result<Arc<Sessions>, GetError> {
        let place = self.place(bucket);
        if let Some(sessions) = place.get() {
            return Ok(Arc::clone(sessions));
        }
        // Boxed, so that the future of each request is not as large as the SDK's.
        let making = Box::pin(async { first.of_bucket(bucket).await.map(Arc::new) });
        let sessions = place.get_or_try_init(|| making).await;
        sessions.map(Arc::clone).map_err(|why| {
            let code = ErrorCode::S3("InvalidBucketName".to_owned());
            let message = format!("no request can be made for the bucket: {why}");
            GetError::new(Class::Permanent, code, message)
        })
    }

    fn place(&self, bucket: &str) -> Place {
        let mut sessions = lock(&self.sessions);
        if let Some(place) = sessions.get(bucket) {
            return Arc::clone(place);
        }
        if sessions.len() >= MAX_KEPT {
            // Those in use are kept by their users.
            sessions.clear();
        }
        let place = Arc::default();
        sessions.insert(bucket.into(), Arc::clone(&place));
        place
    }
}

impl GetError {
    /// The error of a request that names its bucket: what is wrong with the bucket fails the rows that name it.
    pub(super) fn of_named_bucket(mut self) -> Self {
        if self.class == Class::Fatal && OF_BUCKET.contains(&self.code.as_str()) {
            self.class = Class::Permanent;
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_one_of_several_buckets_does_not_end_the_run() {
        let class = |code: &str, class| {
            let error = GetError::new(class, ErrorCode::S3(code.to_owned()), "");
            error.of_named_bucket().class
        };
        assert_eq!(class("NoSuchBucket", Class::Fatal), Class::Permanent);
        assert_eq!(class("InvalidAccessKeyId", Class::Fatal), Class::Fatal);
        assert_eq!(class("SlowDown", Class::Throttled), Class::Throttled);
    }

    #[test]
    fn buckets_of_any_number_fill_no_memory() {
        let buckets = Buckets::default();
        for n in 0..10 * MAX_KEPT {
            let place = buckets.place(&format!("b{n}"));
            assert!(Arc::ptr_eq(&place, &buckets.place(&format!("b{n}"))));
        }
        assert!(buckets.sessions.lock().unwrap().len() <= MAX_KEPT);
    }
}
