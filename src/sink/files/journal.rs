//! A large object's file, of which a later run can use what is there: beside the partial file, a journal says which
//! object it is of, and which of its parts are written, each with its checksum.
//!
//! The journal is text: a line for the object, then a line per part, `INDEX CHECKSUM`. A part's line is written after
//! its bytes; since a machine that loses power may keep the one without the others, and anybody may have changed the
//! file, each part is read again and compared before it counts.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

use super::error::LocalError;
use super::partial::{JOURNAL_SUFFIX, PartialFile};
use super::sys;
use super::warnings::OptionalStep;
use crate::etag::ETag;

/// Bytes read at once when parts are checked.
const READ_SIZE: usize = 1024 * 1024;
/// First word of a journal; another format would have another number.
const FORMAT: &str = "s3pull-journal-2";
/// The longest journal that is looked at: that of 10,000 parts is a third of this, in bytes.
const MAX_JOURNAL: u64 = 1024 * 1024;

/// What makes an object the same one, cut into the same parts: parts of anything else are of no use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Identity {
    pub etag: ETag,
    /// Bytes of the object.
    pub size: u64,
    pub last_modified: Option<SystemTime>,
    pub version_id: Option<String>,
    /// Bytes of a part; the last one may be shorter.
    pub part_size: u64,
    /// The CRC that the parts' checksums are.
    pub algorithm: CrcAlgorithm,
}

/// A part that is written, by index, and its checksum.
pub(crate) type DonePart = (usize, u64);

/// A file whose parts are written in any order, and outlive this run once they are whole.
#[derive(Debug)]
pub(crate) struct ResumableFile {
    partial: PartialFile,
    journal: File,
    /// Bytes of the object.
    size: u64,
}

impl ResumableFile {
    /// Begins the file, or goes on with it; with the parts that are there and good.
    pub(super) fn open(
        partial: PartialFile,
        journal: File,
        identity: &Identity,
        on_found: impl FnMut(u64),
    ) -> Result<(Self, Vec<DonePart>), LocalError> {
        let size = identity.size;
        let file = Self {
            partial,
            journal,
            size,
        };
        let mut done = Vec::new();
        if file.partial.n_left() > 0 {
            let claimed = file.read_journal(identity)?;
            done = good_parts(file.partial.file(), identity, claimed, on_found);
        }
        if done.is_empty() {
            file.partial.remove_when_dropped();
            file.begin_anew(identity)?;
        } else {
            if file.partial.n_left() > size {
                file.partial.set_length(size)?;
            }
            file.partial.leave();
        }
        if let Err(error) = sys::preallocate(file.partial.file(), size) {
            if is_out_of_room(&error) {
                return Err(file.partial.error("make room for", error).needing(size));
            }
            file.partial.warn(OptionalStep::Preallocate, &error);
        }
        Ok((file, done))
    }

    fn begin_anew(&self, identity: &Identity) -> Result<(), LocalError> {
        let begun = sys::set_length(&self.journal, 0)
            .and_then(|()| sys::append(&self.journal, header(identity).as_bytes()));
        begun.map_err(|source| self.partial.error("write the journal of", source))?;
        self.partial.empty()
    }

    fn read_journal(&self, identity: &Identity) -> Result<Vec<DonePart>, LocalError> {
        let mut text = Vec::new();
        let read = (&self.journal).take(MAX_JOURNAL).read_to_end(&mut text);
        read.map_err(|source| self.partial.error("read the journal of", source))?;
        Ok(parse(&text, identity))
    }

    /// Writes `chunks` at `offset`.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn write_at(&self, chunks: &[Bytes], offset: u64) -> Result<(), LocalError> {
        self.partial.write_at(chunks, offset)
    }

    /// Records a part whose bytes are all written: from now on a later run can use it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn record(&self, (index, checksum): DonePart) -> Result<(), LocalError> {
        let line = format!("{index} {checksum:016x}\n");
        let written = sys::append(&self.journal, line.as_bytes());
        written.map_err(|source| self.partial.error("write the journal of", source))?;
        self.partial.leave();
        Ok(())
    }

    /// The file's bytes in order, for a checksum that parts do not add up to.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(crate) fn for_each_chunk(
        &self,
        size: u64,
        each: impl FnMut(&[u8]),
    ) -> Result<(), LocalError> {
        read_range(self.partial.file(), 0, size, each)
            .map_err(|source| self.partial.error("read", source))
    }

    /// Gives the file its time and its final name; nothing else of it is left.
    ///
    /// # Errors
    /// As [`PartialFile::commit`]. The file stays for a later run then, unless it can never be at its path.
    pub(crate) fn commit(&self, modified: Option<SystemTime>) -> Result<(), LocalError> {
        // The parts are checked one by one, so whatever is behind the last one is not the object's.
        let length_set = self.partial.set_length(self.size);
        match length_set.and_then(|()| self.partial.commit(modified)) {
            Err(error) if !self.partial.is_forgotten() => {
                self.partial.leave();
                Err(LocalError::NotPutInPlace {
                    error: Box::new(error),
                    partial_name: self.partial.name().to_owned(),
                })
            }
            // Removed last: as long as it is there, the file can be used.
            committed => {
                self.partial.remove_beside(JOURNAL_SUFFIX);
                committed
            }
        }
    }

    /// Removes the file and its journal: no run can use them.
    pub(crate) fn discard(&self) {
        self.partial.remove_beside(JOURNAL_SUFFIX);
        self.partial.forget();
    }
}

impl Drop for ResumableFile {
    fn drop(&mut self) {
        if !self.partial.is_left() {
            self.partial.remove_beside(JOURNAL_SUFFIX);
        }
    }
}

fn header(identity: &Identity) -> String {
    let Identity {
        etag,
        size,
        last_modified,
        version_id,
        part_size,
        algorithm,
    } = identity;
    // S3's times are whole seconds.
    let modified = last_modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map(|since_1970| since_1970.as_secs());
    // What may hold blanks is quoted.
    format!(
        "{FORMAT} {algorithm} {size} {part_size} {modified:?} {version_id:?} {:?}\n",
        etag.as_str()
    )
}

/// The parts that a journal of `identity` claims; none if it is of anything else. A last line that was cut off counts
/// for nothing, nor does what comes after a line that is not one of a part.
fn parse(journal: &[u8], identity: &Identity) -> Vec<DonePart> {
    let Some(lines) = journal.strip_prefix(header(identity).as_bytes()) else {
        return Vec::new();
    };
    let n_parts = identity.size.div_ceil(identity.part_size);
    let mut done = std::collections::BTreeMap::new();
    for line in lines.split_inclusive(|&byte| byte == b'\n') {
        let Some((index, checksum)) = parse_line(line) else {
            break;
        };
        if (index as u64) < n_parts {
            // A part that was fetched again counts as it was last.
            done.insert(index, checksum);
        }
    }
    done.into_iter().collect()
}

fn parse_line(line: &[u8]) -> Option<DonePart> {
    let line = std::str::from_utf8(line.strip_suffix(b"\n")?).ok()?;
    let (index, checksum) = line.split_once(' ')?;
    if checksum.len() != 16 {
        return None;
    }
    Some((index.parse().ok()?, u64::from_str_radix(checksum, 16).ok()?))
}

/// Those of the claimed parts whose bytes are what the journal says; `on_found` is told the length of each.
fn good_parts(
    file: &File,
    identity: &Identity,
    claimed: Vec<DonePart>,
    mut on_found: impl FnMut(u64),
) -> Vec<DonePart> {
    let is_good = |&(index, checksum): &DonePart| {
        let start = index as u64 * identity.part_size;
        let end = (start + identity.part_size).min(identity.size);
        let mut crc = Digest::new(identity.algorithm);
        // A part that cannot be read is fetched again.
        let is_good = read_range(file, start, end, |bytes| crc.update(bytes)).is_ok()
            && crc.finalize() == checksum;
        if is_good {
            on_found(end - start);
        }
        is_good
    };
    claimed.into_iter().filter(is_good).collect()
}

fn read_range(file: &File, start: u64, end: u64, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut buffer = vec![0; READ_SIZE];
    let mut offset = start;
    while offset < end {
        let n_wanted = usize::try_from(end - offset).map_or(READ_SIZE, |rest| rest.min(READ_SIZE));
        sys::read_exact_at(file, &mut buffer[..n_wanted], offset)?;
        each(&buffer[..n_wanted]);
        offset += n_wanted as u64;
    }
    Ok(())
}

/// Whether the file can never be whole here. Not every file system can reserve room; then a full disk shows later.
fn is_out_of_room(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge
    )
}

#[cfg(test)]
mod tests;
