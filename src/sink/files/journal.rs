//! A large object's file, of which a later run can use what is there: beside the partial file, a journal says which
//! object it is of, and which of its parts are written, each with its checksum.
//!
//! The journal is text: a line for the object, then a line a part, `INDEX CHECKSUM`. A part's line is written after
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

/// Bytes read at once when parts are checked.
const READ_SIZE: usize = 1024 * 1024;
/// First word of a journal; another format would have another number.
const FORMAT: &str = "s3pull-journal-2";
/// The longest journal that is looked at: that of 10,000 parts is a third of this, in bytes.
const MAX_JOURNAL: u64 = 1024 * 1024;

/// What makes an object the same one, cut into the same parts: parts of anything else are of no use.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    pub etag: String,
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
pub type DonePart = (usize, u64);

/// A file whose parts are written in any order, and outlive this run once they are whole.
#[derive(Debug)]
pub struct ResumableFile {
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
                return Err(file.partial.error("make room for", error));
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
    pub fn write_at(&self, chunks: &[Bytes], offset: u64) -> Result<(), LocalError> {
        self.partial.write_at(chunks, offset)
    }

    /// Records a part whose bytes are all written: from now on a later run can use it.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn record(&self, (index, checksum): DonePart) -> Result<(), LocalError> {
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
    pub fn for_each_chunk(&self, size: u64, each: impl FnMut(&[u8])) -> Result<(), LocalError> {
        read_range(self.partial.file(), 0, size, each)
            .map_err(|source| self.partial.error("read", source))
    }

    /// Gives the file its time and its final name; nothing else of it is left.
    ///
    /// # Errors
    /// As [`PartialFile::commit`]. The file stays for a later run then, unless it can never be at its path.
    pub fn commit(&self, modified: Option<SystemTime>) -> Result<(), LocalError> {
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
    pub fn discard(&self) {
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
    format!("{FORMAT} {algorithm} {size} {part_size} {modified:?} {version_id:?} {etag:?}\n")
}

/// The parts that a journal of `identity` claims; none if it is of anything else. A last line that was cut off counts
/// for nothing, nor does what comes behind a line that is no part's.
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
mod tests {
    use std::path::Path;

    use super::*;
    use crate::sink::files::{LocalPath, OutputFolder};

    const PART: usize = 1000;

    fn identity() -> Identity {
        Identity {
            etag: "\"a b\"".to_owned(),
            size: 2500,
            last_modified: Some(UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000)),
            version_id: Some("v 1".to_owned()),
            part_size: 1000,
            algorithm: CrcAlgorithm::Crc64Nvme,
        }
    }

    fn open(folder: &Path, identity: &Identity) -> (ResumableFile, Vec<DonePart>) {
        OutputFolder::open(folder, 8)
            .unwrap()
            .begin_resumable(&LocalPath::of_key("k").unwrap(), identity, |_| {})
            .unwrap()
    }

    fn write_part(file: &ResumableFile, index: usize) -> DonePart {
        let bytes = Bytes::from(vec![
            u8::try_from(index).unwrap() + 1;
            PART.min(2500 - index * PART)
        ]);
        let done = (index, crc_fast::crc64_nvme(&bytes));
        file.write_at(&[bytes], (index * PART) as u64).unwrap();
        file.record(done).unwrap();
        done
    }

    fn names(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn finished_parts_outlive_the_run_and_nothing_outlives_success() {
        let folder = tempfile::tempdir().unwrap();
        let (file, done) = open(folder.path(), &identity());
        assert_eq!(done, []);
        let last = write_part(&file, 2);
        drop(file);
        assert_eq!(
            names(folder.path()),
            [".s3pull-k.journal", ".s3pull-k.part"]
        );
        let (file, done) = open(folder.path(), &identity());
        assert_eq!(done, [last]);
        write_part(&file, 0);
        write_part(&file, 1);
        file.commit(None).unwrap();
        drop(file);
        assert_eq!(names(folder.path()), ["k"]);
        assert_eq!(
            std::fs::read(folder.path().join("k")).unwrap(),
            [vec![1; 1000], vec![2; 1000], vec![3; 500]].concat()
        );
    }

    #[test]
    fn a_file_without_a_finished_part_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = open(folder.path(), &identity());
        file.write_at(&[Bytes::from_static(b"abc")], 0).unwrap();
        drop(file);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_discarded_file_is_gone_at_once_and_a_new_one_begins() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = open(folder.path(), &identity());
        write_part(&file, 0);
        file.discard();
        assert!(names(folder.path()).is_empty());
        let (_new, done) = open(folder.path(), &identity());
        assert_eq!(done, []);
        drop(file);
        assert_eq!(
            names(folder.path()).len(),
            2,
            "the old file's end does not touch the new one"
        );
    }

    #[test]
    fn parts_of_another_object_or_another_cut_start_over() {
        let others = [
            Identity {
                etag: "\"other\"".to_owned(),
                ..identity()
            },
            Identity {
                size: 2501,
                ..identity()
            },
            Identity {
                last_modified: identity()
                    .last_modified
                    .map(|time| time + std::time::Duration::from_secs(1)),
                ..identity()
            },
            Identity {
                last_modified: None,
                ..identity()
            },
            Identity {
                version_id: Some("v 2".to_owned()),
                ..identity()
            },
            Identity {
                version_id: None,
                ..identity()
            },
            Identity {
                part_size: 500,
                ..identity()
            },
            Identity {
                algorithm: CrcAlgorithm::Crc32Iscsi,
                ..identity()
            },
        ];
        for other in others {
            let folder = tempfile::tempdir().unwrap();
            let (file, _) = open(folder.path(), &identity());
            write_part(&file, 0);
            drop(file);
            assert_eq!(open(folder.path(), &other).1, []);
        }
    }

    #[test]
    fn a_damaged_part_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = open(folder.path(), &identity());
        write_part(&file, 0);
        let good = write_part(&file, 1);
        file.write_at(&[Bytes::from_static(b"!")], 999).unwrap();
        drop(file);
        assert_eq!(open(folder.path(), &identity()).1, [good]);
    }

    /// Downloads the whole object over what is there, and returns the parts that were resumed.
    fn finish(folder: &Path) -> Vec<DonePart> {
        let (file, done) = open(folder, &identity());
        let missing = (0..3).filter(|index| !done.iter().any(|(is, _)| is == index));
        missing.for_each(|index| {
            write_part(&file, index);
        });
        file.commit(None).unwrap();
        let whole = [vec![1; 1000], vec![2; 1000], vec![3; 500]].concat();
        assert_eq!(std::fs::read(folder.join("k")).unwrap(), whole);
        done
    }

    #[test]
    fn a_partial_file_that_is_longer_or_shorter_than_its_object_ends_at_its_size() {
        for length in [2501, 5000, 2499, 1500] {
            let folder = tempfile::tempdir().unwrap();
            let (file, _) = open(folder.path(), &identity());
            let first = write_part(&file, 0);
            let last = write_part(&file, 2);
            drop(file);
            let partial = File::options()
                .write(true)
                .open(folder.path().join(".s3pull-k.part"))
                .unwrap();
            partial.set_len(length).unwrap();
            let expected = if length > 2500 {
                vec![first, last]
            } else {
                vec![first]
            };
            assert_eq!(finish(folder.path()), expected, "{length}");
            assert_eq!(names(folder.path()), ["k"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_partial_file_or_journal_with_another_name_is_left_alone_and_not_resumed() {
        for linked in [".s3pull-k.part", ".s3pull-k.journal"] {
            let folder = tempfile::tempdir().unwrap();
            let (file, _) = open(folder.path(), &identity());
            write_part(&file, 0);
            drop(file);
            let victim = folder.path().join("victim");
            std::fs::hard_link(folder.path().join(linked), &victim).unwrap();
            let before = std::fs::read(&victim).unwrap();
            assert_eq!(finish(folder.path()), [], "{linked}");
            assert_eq!(std::fs::read(&victim).unwrap(), before, "{linked}");
            assert_eq!(names(folder.path()), ["k", "victim"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_partial_file_or_journal_that_others_may_write_is_not_resumed() {
        use std::os::unix::fs::PermissionsExt;
        for foreign in [".s3pull-k.part", ".s3pull-k.journal"] {
            let folder = tempfile::tempdir().unwrap();
            let (file, _) = open(folder.path(), &identity());
            write_part(&file, 0);
            drop(file);
            let mode = std::fs::Permissions::from_mode(0o4777);
            std::fs::set_permissions(folder.path().join(foreign), mode).unwrap();
            assert_eq!(finish(folder.path()), [], "{foreign}");
            let mode = std::fs::metadata(folder.path().join("k")).unwrap();
            assert_eq!(mode.permissions().mode() & 0o7133, 0, "{foreign}");
        }
    }

    #[test]
    fn a_small_file_that_takes_over_leaves_no_journal() {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = open(folder.path(), &identity());
        write_part(&file, 0);
        drop(file);
        let output = OutputFolder::open(folder.path(), 8).unwrap();
        output
            .begin(&LocalPath::of_key("k").unwrap())
            .unwrap()
            .commit(None)
            .unwrap();
        assert_eq!(names(folder.path()), ["k"]);
        assert_eq!(std::fs::read(folder.path().join("k")).unwrap(), b"");
    }

    #[test]
    fn journals_are_read_as_far_as_they_are_whole() {
        let start = header(&identity());
        let parsed = |lines: &str| parse(format!("{start}{lines}").as_bytes(), &identity());
        assert_eq!(
            parsed("0 000000000000000a\n2 00000000000000ff\n"),
            [(0, 10), (2, 255)]
        );
        assert_eq!(
            parsed("0 000000000000000a\n0 000000000000000b\n"),
            [(0, 11)]
        );
        assert_eq!(
            parsed("0 000000000000000a\n1 00000000000000ff"),
            [(0, 10)],
            "cut off before its end"
        );
        assert_eq!(
            parsed("0 000000000000000a\nnonsense\n1 00000000000000ff\n"),
            [(0, 10)]
        );
        assert_eq!(parsed("3 00000000000000ff\n"), [], "no such part");
        assert_eq!(parse(b"", &identity()), []);
    }

    proptest::proptest! {
        #[test]
        fn any_journal_is_survived(journal in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            let mut text = header(&identity()).into_bytes();
            text.extend(journal);
            // What it claims is checked against the bytes anyway.
            proptest::prop_assert!(parse(&text, &identity()).iter().all(|&(index, _)| index < 3));
        }
    }
}
