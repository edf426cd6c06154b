//! An object whose parts come in any order, on its way into an archive.

use std::sync::Arc;
use std::time::SystemTime;

use super::header::Kind;
use super::order::Content;
use super::spool::Spool;
use super::{Tar, Turn, Unwritten, blocking};
use crate::outcome::Failure;
use crate::sink::files::LocalPath;
use crate::sink::gathered::{Gathered, Pieces};

impl Tar {
    /// Begins an object of `size` bytes whose parts come in any order.
    ///
    /// # Errors
    /// When the spool's folder takes no file.
    pub(crate) async fn parts(
        self: &Arc<Self>,
        path: &Arc<LocalPath>,
        size: u64,
    ) -> Result<TarParts, Failure> {
        let folder = self.spool.clone();
        let spool = blocking(&self.meter, move || Spool::create(&folder)).await?;
        Ok(TarParts {
            tar: Arc::clone(self),
            path: Arc::clone(path),
            spool: Arc::new(spool),
            size,
        })
    }
}

/// Takes an object whose parts come in any order.
#[derive(Debug, Clone)]
pub(crate) struct TarParts {
    tar: Arc<Tar>,
    path: Arc<LocalPath>,
    spool: Arc<Spool>,
    /// Bytes of the object.
    size: u64,
}

impl TarParts {
    /// Where the bytes of a part are gathered until they are written.
    pub(crate) fn gather(&self) -> Gathered {
        Gathered::new(&self.tar.gathered)
    }

    /// Writes `pieces` at `offset`.
    ///
    /// # Errors
    /// When the spool cannot be written.
    pub(crate) async fn write(&self, pieces: Pieces, offset: u64) -> Result<(), Failure> {
        let spool = Arc::clone(&self.spool);
        blocking(&self.tar.meter, move || spool.write_at(&pieces, offset)).await
    }

    /// Hands the first `size` bytes to `digest`, in order, and returns it.
    ///
    /// # Errors
    /// When the spool cannot be read.
    pub(crate) async fn read_back<D: Send + 'static>(
        &self,
        size: u64,
        mut digest: D,
        update: fn(&mut D, &[u8]),
    ) -> Result<D, Failure> {
        let spool = Arc::clone(&self.spool);
        blocking(&self.tar.meter, move || {
            spool.for_each_chunk(size, |bytes| update(&mut digest, bytes))?;
            Ok(digest)
        })
        .await
    }

    /// # Errors
    /// When the archive cannot be written, or the run gives up what waits.
    pub(crate) async fn commit(
        self,
        modified: Option<SystemTime>,
        turn: Option<Turn>,
    ) -> Result<(), Failure> {
        let member = Unwritten {
            path: self.path,
            kind: Kind::File(self.size),
            modified,
            content: Content::Spool(self.spool),
        };
        self.tar.commit(turn, member).await
    }
}
