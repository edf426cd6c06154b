//! The archive: one file, one stream, or shards; and the thread that writes it.

use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};

use super::complete::Complete;
use super::file::{ArchiveError, ArchiveFile, with_suffix};
use super::header::{BLOCK, Kind, header, padding};
use super::index::{Index, index_of};
use super::order::{Content, Ending, Member, Next, Order};
use super::shards::{ShardRules, Shards};
use crate::outcome::{Class, ErrorCode, Failure};
use crate::sink::files::UserFile;

/// What an archive is to be.
#[derive(Debug, Clone)]
pub struct ArchiveOptions {
    /// `-` is stdout; with `shards`, their pattern.
    pub path: PathBuf,
    pub shards: Option<ShardRules>,
    /// Whether each file gets an index beside it.
    pub has_index: bool,
    /// Whether files are on the disk before they get their name.
    pub sync: bool,
    /// Whether the shards that an earlier run completed are left as they are.
    pub keeps_complete: bool,
}

impl ArchiveOptions {
    /// The names that the archive, or its first shard, has before it is whole and then; none for a stream.
    pub(crate) fn names(&self) -> Vec<PathBuf> {
        let target = self.target().into_iter();
        target.flat_map(|path| [with_suffix(&path), path]).collect()
    }

    /// The same of its index, if it is to have one.
    pub(crate) fn names_of_index(&self) -> Vec<PathBuf> {
        let target = self.target().filter(|_| self.has_index).into_iter();
        let index = target.map(|path| index_of(&path));
        index.flat_map(|path| [with_suffix(&path), path]).collect()
    }

    fn target(&self) -> Option<PathBuf> {
        let shards = self.shards.as_ref();
        let path = shards.map_or_else(|| self.path.clone(), |rules| rules.pattern.path(0));
        if path.as_os_str() == "-" {
            return None;
        }
        match UserFile::at(&path) {
            Ok(UserFile::File(target)) => Some(target),
            _ => None,
        }
    }
}

/// An archive that is being written.
#[derive(Debug)]
pub(crate) struct Archive {
    file: ArchiveFile,
    shards: Option<Shards>,
    index: Option<Index>,
    has_index: bool,
    sync: bool,
    /// The shards before the first one that is written, and whether there are any.
    complete: Option<Complete>,
    is_continued: bool,
}

impl Archive {
    /// Opens the archive, or its first shard.
    ///
    /// # Errors
    /// When something is there that must not be replaced, or the file system refuses.
    pub(crate) fn open(options: &ArchiveOptions) -> Result<Self, ArchiveError> {
        let find = |rules: &ShardRules| Complete::find(&rules.pattern, options.has_index);
        let complete = options.shards.as_ref().filter(|_| options.keeps_complete);
        let complete = complete.map(find);
        let n_complete = complete.as_ref().map_or(0, Complete::n_shards);
        let shards = options.shards.clone();
        let shards = shards.map(|rules| Shards::starting_at(rules, n_complete));
        let path = shards
            .as_ref()
            .map_or_else(|| options.path.clone(), Shards::path);
        let (file, index) = open(&path, options.has_index)?;
        Ok(Self {
            file,
            shards,
            index,
            has_index: options.has_index,
            sync: options.sync,
            complete,
            is_continued: n_complete > 0,
        })
    }

    /// The shards that an earlier run completed, if they are left as they are.
    pub(crate) fn take_complete(&mut self) -> Option<Complete> {
        self.complete.take()
    }

    /// Writes the members in their order until the end, and ends the archive. Returns what is to be said of one that is not
    /// finished.
    ///
    /// # Errors
    /// When it cannot be ended. What fails before is each member's failure.
    pub(crate) fn write(mut self, order: &Order) -> Result<Option<String>, ArchiveError> {
        loop {
            match order.next() {
                Next::Write(members) => {
                    if let Err(error) = self.write_members(members) {
                        order.fail(&failure(&error));
                        return Ok(self.file.left());
                    }
                }
                Next::End(Ending::Whole) => {
                    self.end_file()?;
                    return Ok(None);
                }
                Next::End(Ending::Incomplete) => {
                    let left = self.file.left();
                    let ended = self.end_incomplete();
                    ended.map_err(|error| self.file.failed(error))?;
                    return Ok(left);
                }
            }
        }
    }

    /// Writes members that follow one another, each into its shard.
    fn write_members(&mut self, members: Vec<Member>) -> Result<(), ArchiveError> {
        let mut in_shard = Vec::new();
        for member in members {
            let head = header(member.path.as_str(), member.kind, member.modified);
            let size = member.n_bytes();
            let n_bytes = head.len() as u64 + size.next_multiple_of(BLOCK as u64);
            let is_next = self
                .shards
                .as_mut()
                .is_some_and(|shards| shards.add(member.path.as_str(), n_bytes));
            if is_next {
                self.write_together(std::mem::take(&mut in_shard))?;
                if let Err(error) = self.next_shard() {
                    // The run learns from it why it ends.
                    let _ = member.written.send(Err(failure(&error)));
                    return Err(error);
                }
            }
            in_shard.push((member, head));
        }
        self.write_together(in_shard)
    }

    /// Writes members with as few calls as their contents allow, and tells them.
    fn write_together(&mut self, members: Vec<(Member, Vec<u8>)>) -> Result<(), ArchiveError> {
        let n_whole = self.file.n_bytes();
        let written = self.write_all(&members);
        let result = written.map_err(|error| {
            self.file.break_off(n_whole);
            self.file.failed(error)
        });
        for (member, _) in members {
            let told = match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(failure(error)),
            };
            // A row that was given up does not listen.
            let _ = member.written.send(told);
        }
        result
    }

    fn write_all(&mut self, members: &[(Member, Vec<u8>)]) -> io::Result<()> {
        let mut slices = Vec::new();
        let mut offset = self.file.n_bytes();
        for (member, head) in members {
            let size = member.n_bytes();
            offset += head.len() as u64;
            slices.push(IoSlice::new(head));
            let mut crc = None;
            match &member.content {
                Content::Memory(pieces) => {
                    if self.index.is_some() {
                        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
                        for piece in pieces.iter() {
                            digest.update(piece);
                        }
                        crc = Some(digest.finalize());
                    }
                    slices.extend(pieces.iter().map(|piece| IoSlice::new(piece)));
                }
                Content::Spool(spool) => {
                    self.file.write(&mut slices)?;
                    let has_index = self.index.is_some();
                    crc = self.file.write_by(size, |out| {
                        if has_index {
                            return spool.copy_hashed(out, size).map(Some);
                        }
                        spool.copy_to(out, size).map(|()| None)
                    })?;
                }
            }
            if let (Some(index), Kind::File(size), Some(crc)) = (&mut self.index, member.kind, crc)
            {
                index.add(member.path.as_str(), offset, size, crc)?;
            }
            slices.push(IoSlice::new(padding(size)));
            offset += size.next_multiple_of(BLOCK as u64);
        }
        self.file.write(&mut slices)
    }

    fn next_shard(&mut self) -> Result<(), ArchiveError> {
        self.end_file()?;
        if let Some(shards) = &self.shards {
            (self.file, self.index) = open(&shards.path(), self.has_index)?;
        }
        Ok(())
    }

    /// Ends the file so that readers fail on it. Without a member, nothing is left.
    fn end_incomplete(&mut self) -> io::Result<()> {
        if self.file.n_bytes() == 0 {
            self.index = None;
        }
        self.file.end_incomplete()
    }

    /// Ends the file, after its index: an archive that has its name has its index too. One without a member replaces nothing.
    fn end_file(&mut self) -> Result<(), ArchiveError> {
        // After the last complete shard there may be nothing to write.
        let is_not_wanted = self.is_continued && self.file.n_bytes() == 0;
        let ended = if self.file.is_of_no_use() || is_not_wanted {
            self.end_incomplete()
        } else {
            let indexed = self.index.take().map_or(Ok(()), Index::finish);
            if indexed.is_err() {
                self.file.break_off(self.file.n_bytes());
            }
            indexed.and_then(|()| self.file.end_whole(self.sync))
        };
        ended.map_err(|error| self.file.not_ended(error))
    }
}

fn open(path: &Path, has_index: bool) -> Result<(ArchiveFile, Option<Index>), ArchiveError> {
    let file = ArchiveFile::open(path)?;
    let index = match file.target() {
        _ if !has_index => None,
        Some(target) => Some(Index::create(target)?),
        None => return Err(ArchiveError::NoIndex(path.to_owned())),
    };
    Ok((file, index))
}

/// What a failure to write the archive means for a row: no other row can be written either.
fn failure(error: &ArchiveError) -> Failure {
    let code = match error {
        ArchiveError::Io { error, .. } => match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorCode::DiskFull,
            _ => ErrorCode::WriteFailed,
        },
        _ => ErrorCode::WriteFailed,
    };
    Failure::new(code, Class::Fatal, error.to_string())
}
