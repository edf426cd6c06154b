//! The header blocks of a member: ustar, with pax records only for a path, a size or a time that does not fit. Pure.
//!
//! The fields are written here, since the `tar` crate rewrites names and puts large sizes into ustar in a form that is not
//! ustar's. Names are UTF-8 in the fields themselves, which GNU tar, bsdtar and Python read.

use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of a block: headers are whole blocks, and contents are filled up to whole blocks.
pub(super) const BLOCK: usize = 512;

/// Bytes that the fields for the name and its prefix hold.
const MAX_NAME: usize = 100;
const MAX_PREFIX: usize = 155;
/// The largest number of 11 octal digits, for sizes and times.
const MAX_OCTAL: u64 = (1 << 33) - 1;

/// The member that an archive which could not be finished ends in.
const INCOMPLETE: &str = "s3pull-incomplete";

/// The two blocks of zeros that an archive ends in.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file of so many bytes.
    File(u64),
    Folder,
}

/// The header of the member `path`. A folder's path has no trailing `/` here.
pub(super) fn header(path: &str, kind: Kind, modified: Option<SystemTime>) -> Vec<u8> {
    let time = modified.map_or(0, seconds_since_1970);
    let seconds = u64::try_from(time).unwrap_or_default().min(MAX_OCTAL);
    let (path, mode, flag, size) = match kind {
        Kind::File(size) => (path.to_owned(), 0o644, b'0', size),
        Kind::Folder => (format!("{path}/"), 0o755, b'5', 0),
    };
    let mut records = Vec::new();
    let fits = split(&path);
    if fits.is_none() {
        record(&mut records, "path", &path);
    }
    if size > MAX_OCTAL {
        record(&mut records, "size", &size.to_string());
    }
    if i64::try_from(seconds) != Ok(time) {
        record(&mut records, "mtime", &time.to_string());
    }
    let mut blocks = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let size = records.len() as u64;
        blocks.extend(block(("", "PaxHeaders"), 0o644, b'x', size, seconds));
        blocks.extend(&records);
        blocks.resize(blocks.len().next_multiple_of(BLOCK), 0);
    }
    // Where a record says it, the field is for readers that know no pax.
    let start = &path[..path.floor_char_boundary(MAX_NAME)];
    let name = fits.unwrap_or(("", start));
    let size = if size > MAX_OCTAL { 0 } else { size };
    blocks.extend(block(name, mode, flag, size, seconds));
    blocks
}

/// Whole seconds, rounded down; negative before 1970.
fn seconds_since_1970(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => {
            let before = before.duration();
            let seconds = before.as_secs() + u64::from(before.subsec_nanos() > 0);
            i64::try_from(seconds).map_or(i64::MIN, |seconds| -seconds)
        }
    }
}

/// The header of a member whose content never comes: readers fail on it, whereas they accept an archive that is cut off
/// between two members.
pub(super) fn incomplete() -> Vec<u8> {
    block(("", INCOMPLETE), 0o644, b'0', 1, 0).to_vec()
}

/// The zeros after a content of `size` bytes.
pub(super) fn padding(size: u64) -> &'static [u8] {
    let block = BLOCK as u64;
    let missing = usize::try_from((block - size % block) % block).unwrap_or_default();
    &END[..missing]
}

/// The path as prefix and name, if it fits into their fields.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= MAX_NAME {
        return Some(("", path));
    }
    let at = path
        .match_indices('/')
        .map(|(at, _)| at)
        .find(|at| path.len() - at - 1 <= MAX_NAME)?;
    let (prefix, name) = (&path[..at], &path[at + 1..]);
    (prefix.len() <= MAX_PREFIX && !name.is_empty()).then_some((prefix, name))
}

/// Adds `LENGTH key=value\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, key: &str, value: &str) {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len();
    while length != rest.len() + length.to_string().len() {
        length = rest.len() + length.to_string().len();
    }
    records.extend(format!("{length}{rest}").bytes());
}

fn block(
    (prefix, name): (&str, &str),
    mode: u64,
    flag: u8,
    size: u64,
    seconds: u64,
) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    // Owner and group 0, without names: the same list gives the same bytes, whoever runs it.
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{seconds:011o}").as_bytes());
    put(148, b"        ");
    put(156, &[flag]);
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    put(345, prefix.as_bytes());
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::Duration;

    use super::*;

    /// Path, size, time, mode and type of the one member, as the `tar` crate reads them.
    fn read(archive: &[u8]) -> (String, u64, u64, u32, tar::EntryType) {
        let mut archive = tar::Archive::new(archive);
        let entry = archive.entries().unwrap().next().unwrap().unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let header = entry.header();
        let (time, mode) = (header.mtime().unwrap(), header.mode().unwrap());
        assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
        (path, entry.size(), time, mode, header.entry_type())
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn whatever_the_length_of_a_path_it_is_read_back() {
        let long = "d".repeat(60);
        for path in [
            "a".to_owned(),
            "ü/ö.txt".to_owned(),
            "n".repeat(100),
            "n".repeat(101),
            "n".repeat(255),
            format!("{long}/{}", "n".repeat(100)),
            format!("{long}/{}", "n".repeat(101)),
            format!("{}/{}", "p".repeat(155), "n".repeat(100)),
            format!("{}/{}", "p".repeat(156), "n".repeat(100)),
            [long.as_str(); 16].join("/"),
            "ü".repeat(127),
        ] {
            let mut archive = header(&path, Kind::File(3), Some(at(1_600_000_000)));
            assert_eq!(archive.len() % BLOCK, 0);
            archive.extend(b"abc");
            archive.extend(padding(3));
            archive.extend(END);
            let expected = (
                path.clone(),
                3,
                1_600_000_000,
                0o644,
                tar::EntryType::Regular,
            );
            assert_eq!(read(&archive), expected);
            let needs_pax = split(&path).is_none();
            assert_eq!(archive.len() > 4 * BLOCK, needs_pax, "{path}");
        }
    }

    #[test]
    fn a_path_is_split_wherever_both_parts_fit() {
        for (prefix, name) in [(1, 100), (155, 1), (155, 100), (100, 60)] {
            let path = format!("{}/{}", "p".repeat(prefix), "n".repeat(name));
            let (found_prefix, found_name) = split(&path).unwrap();
            assert!(found_name == path || format!("{found_prefix}/{found_name}") == path);
        }
        assert_eq!(split(&format!("{}/", "p".repeat(100))), None);
    }

    #[test]
    fn sizes_beyond_8_gib_stand_in_a_record() {
        for (size, n_blocks) in [(MAX_OCTAL, 1), (MAX_OCTAL + 1, 3), (5 << 40, 3)] {
            let header = header("a", Kind::File(size), None);
            assert_eq!(header.len(), n_blocks * BLOCK);
            assert_eq!(read(&header).1, size);
        }
    }

    #[test]
    fn folders_are_members_of_their_own() {
        let folder = header("a/b", Kind::Folder, Some(at(5)));
        let expected = ("a/b/".to_owned(), 0, 5, 0o755, tar::EntryType::Directory);
        assert_eq!(read(&folder), expected);
    }

    #[test]
    fn times_are_whole_seconds_and_those_that_do_not_fit_stand_in_a_record() {
        let time = |modified| {
            let header = header("a", Kind::File(0), modified);
            let mut archive = tar::Archive::new(header.as_slice());
            let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
            let records = entry.pax_extensions().unwrap();
            let record = records.and_then(|mut records| {
                let record = records.next().unwrap().unwrap();
                (record.key() == Ok("mtime")).then(|| record.value().unwrap().to_owned())
            });
            (entry.header().mtime().unwrap(), record)
        };
        let before = |duration| time(Some(UNIX_EPOCH - duration));
        let after = |duration| time(Some(UNIX_EPOCH + duration));
        assert_eq!(time(None), (0, None));
        assert_eq!(after(Duration::from_millis(1999)), (1, None));
        assert_eq!(after(Duration::from_secs(MAX_OCTAL)), (MAX_OCTAL, None));
        let late = after(Duration::from_secs(MAX_OCTAL + 1));
        assert_eq!(late, (MAX_OCTAL, Some("8589934592".to_owned())));
        assert_eq!(before(Duration::from_secs(9)), (0, Some("-9".to_owned())));
        let half = before(Duration::from_millis(500));
        assert_eq!(half, (0, Some("-1".to_owned())));
    }

    #[test]
    fn records_count_their_own_length() {
        for (length, expected) in [(90, "99 path="), (91, "101 path="), (92, "102 path=")] {
            let mut records = Vec::new();
            record(&mut records, "path", &"p".repeat(length));
            let text = String::from_utf8(records).unwrap();
            assert!(text.starts_with(expected), "{text}");
            assert!(text.starts_with(&format!("{} ", text.len())));
        }
    }

    #[test]
    fn the_last_member_of_an_unfinished_archive_cannot_be_read() {
        let archive = incomplete();
        let mut archive = tar::Archive::new(archive.as_slice());
        let mut entry = archive.entries().unwrap().next().unwrap().unwrap();
        assert_eq!(entry.path_bytes().as_ref(), INCOMPLETE.as_bytes());
        assert!(entry.read_to_end(&mut Vec::new()).is_err() || entry.size() == 1);
    }

    #[test]
    fn contents_are_filled_up_to_blocks() {
        let lengths = [0, 1, 511, 512, 513].map(|size| padding(size).len());
        assert_eq!(lengths, [0, 511, 1, 0, 511]);
    }
}
