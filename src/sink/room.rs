//! Room on the disk. Large objects have it set aside before they are fetched, many at once, and each of them gives back the
//! room of the file that it replaces only once it is whole. So a disk that is full now may have room again when one of them
//! has ended.

use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use crate::outcome::{Class, ErrorCode, Failure};

/// The large objects of a run that have room set aside, or are about to. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Room(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    holders: watch::Sender<Holders>,
    /// Held by the object that waits for room; others wait for their turn.
    turn: Mutex<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Holders {
    n: usize,
    n_ended: u64,
}

/// A large object that has room set aside, until this is dropped.
#[derive(Debug)]
pub(super) struct Holder(Room);

impl Room {
    /// Has room set aside for a large object by `attempt`.
    ///
    /// # Errors
    /// Those of `attempt`. An object for which there is no room although no other one holds any fails alone.
    pub(super) async fn for_large<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        mut attempt: impl FnMut() -> F,
    ) -> Result<(T, Holder), Failure> {
        let held = self
            .again(1, || {
                // Counted first, so that nobody else takes the disk for full for good meanwhile.
                let holder = self.hold();
                let attempt = attempt();
                async move { Ok((attempt.await?, holder)) }
            })
            .await;
        held.map_err(|failure| Failure {
            class: match failure.class {
                Class::Fatal if is_full(&failure) => Class::Permanent,
                class => class,
            },
            ..failure
        })
    }

    /// Does file work by `attempt`. It is done again each time that a large object has ended, for as long as the disk is
    /// full and there are such objects.
    ///
    /// # Errors
    /// Those of `attempt`.
    pub(super) async fn when_others_end<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        attempt: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        self.again(0, attempt).await
    }

    /// `n_own` holders end with an attempt that fails.
    async fn again<T, F: Future<Output = Result<T, Failure>>>(
        &self,
        n_own: u64,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Failure> {
        let mut turn = None;
        loop {
            let n_ended = self.holders().n_ended + n_own;
            let failure = match attempt().await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            let now = self.holders();
            let is_hopeless = now.n == 0 && now.n_ended <= n_ended;
            if !is_full(&failure) || is_hopeless {
                return Err(failure);
            }
            if turn.is_none() {
                turn = Some(self.0.turn.lock().await);
                // Others may have ended until now.
                continue;
            }
            let mut holders = self.0.holders.subscribe();
            // The sender is in `self`, so it cannot be gone.
            let _ = holders
                .wait_for(|holders| holders.n == 0 || holders.n_ended > n_ended)
                .await;
        }
    }

    fn holders(&self) -> Holders {
        *self.0.holders.borrow()
    }

    fn hold(&self) -> Holder {
        self.0.holders.send_modify(|holders| holders.n += 1);
        Holder(self.clone())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.0.0.holders.send_modify(|holders| {
            holders.n -= 1;
            holders.n_ended += 1;
        });
    }
}

fn is_full(failure: &Failure) -> bool {
    failure.code == ErrorCode::DiskFull
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::time::Duration;

    use super::*;

    /// A disk of so many bytes.
    struct Disk {
        free: AtomicU64,
        room: Room,
        n_refused: AtomicU64,
    }

    impl Disk {
        fn new(free: u64) -> Arc<Self> {
            Arc::new(Self {
                free: free.into(),
                room: Room::default(),
                n_refused: AtomicU64::new(0),
            })
        }

        async fn take(&self, n: u64) -> Result<(), Failure> {
            tokio::task::yield_now().await;
            let taken = self
                .free
                .fetch_update(SeqCst, SeqCst, |free| free.checked_sub(n));
            taken.map(drop).map_err(|_| {
                self.n_refused.fetch_add(1, SeqCst);
                Failure::new(ErrorCode::DiskFull, Class::Fatal, "full")
            })
        }

        /// A large object of so many bytes that replaces one of the same size.
        async fn replace(&self, n: u64) -> Result<(), Failure> {
            let ((), _holder) = self.room.for_large(|| self.take(n)).await?;
            tokio::time::sleep(Duration::from_millis(1)).await;
            self.free.fetch_add(n, SeqCst);
            Ok(())
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn objects_that_fit_one_after_another_do_not_fail_for_being_many() {
        let disk = Disk::new(10);
        let objects: Vec<_> = (0..64_u64)
            .map(|n| {
                let disk = Arc::clone(&disk);
                tokio::spawn(async move { disk.replace(1 + n % 10).await })
            })
            .collect();
        for object in objects {
            let ended = tokio::time::timeout(Duration::from_mins(1), object).await;
            ended.unwrap().unwrap().unwrap();
        }
        assert!(disk.n_refused.load(SeqCst) > 0, "the disk was never full");
        assert_eq!(disk.free.load(SeqCst), 10);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn an_object_that_never_fits_fails_alone() {
        let disk = Disk::new(10);
        let objects: Vec<_> = [4, 11, 4, 12, 4]
            .map(|n| {
                let disk = Arc::clone(&disk);
                tokio::spawn(async move { disk.replace(n).await.map_err(|failure| failure.class) })
            })
            .into();
        let mut ended = Vec::new();
        for object in objects {
            let one = tokio::time::timeout(Duration::from_mins(1), object).await;
            ended.push(one.unwrap().unwrap());
        }
        let alone = Err(Class::Permanent);
        assert_eq!(ended, [Ok(()), alone, Ok(()), alone, Ok(())]);
    }

    #[tokio::test]
    async fn small_work_waits_for_large_objects_only() {
        let disk = Disk::new(10);
        disk.take(10).await.unwrap();
        // No object holds room that it could give back, so the whole run ends.
        let failure = disk
            .room
            .when_others_end(|| disk.take(1))
            .await
            .unwrap_err();
        assert_eq!(failure.class, Class::Fatal);
        let holder = disk.room.hold();
        let waiting = disk.room.when_others_end(|| disk.take(1));
        let ending = async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            disk.free.fetch_add(5, SeqCst);
            drop(holder);
        };
        let (done, ()) = tokio::join!(waiting, ending);
        done.unwrap();
        assert_eq!(disk.free.load(SeqCst), 4);
    }
}
