//! The shards that an earlier run completed, and the rows that are in them: a shard has its name only once it is complete.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;

use twox_hash::XxHash3_64;

use super::header::{BLOCK, END};
use super::index::index_of;
use super::shards::Pattern;
use crate::outcome::{Class, ErrorCode, Failure};
use crate::row::Entry;
use crate::sink::files::{LocalPath, read_exact_at};

/// The most bytes of pax records that are read: more than those of the longest path.
const MAX_RECORDS: u64 = 1 << 20;

/// Walks through the members of complete shards as the list goes through its rows.
#[derive(Debug)]
pub(crate) struct Complete {
    pattern: Pattern,
    /// Complete shards, from the first one on.
    n_shards: u64,
    /// The one that is read next.
    next: u64,
    /// Members that no row has come to, of the shard that is being walked through.
    members: VecDeque<Member>,
}

/// A member, by the hash of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    name: u64,
    /// Bytes.
    size: u64,
}

/// Where a row is, in view of the complete shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    InShard,
    /// Behind all of them.
    Behind,
}

impl Complete {
    /// Looks for the complete shards: those from the first one on that end as archives do; with an index beside each, if
    /// they are to have one.
    pub(crate) fn find(pattern: &Pattern, has_index: bool) -> Self {
        let is_complete = |n: &u64| {
            let path = pattern.path(*n);
            let has_its_index = !has_index || index_of(&path).is_file();
            has_its_index && is_ended(&path).is_ok_and(|is_ended| is_ended)
        };
        Self {
            pattern: pattern.clone(),
            n_shards: (0..u64::MAX).take_while(is_complete).count() as u64,
            next: 0,
            members: VecDeque::new(),
        }
    }

    /// Complete shards, which are not written again.
    pub(crate) fn n_shards(&self) -> u64 {
        self.n_shards
    }

    /// Whether the row, which comes next, is in a complete shard.
    ///
    /// # Errors
    /// When a later member of a complete shard comes next there: the row failed before, or the list is another one.
    pub(crate) fn meet(&mut self, path: &LocalPath, entry: &Entry) -> Result<Whereabouts, Failure> {
        while self.members.is_empty() {
            if self.next == self.n_shards {
                return Ok(Whereabouts::Behind);
            }
            let shard = self.pattern.path(self.next);
            self.members = members_of(&shard).map_err(|error| broken(&shard, &error))?;
            self.next += 1;
        }
        let is_it = |member: &Member| {
            let has_size = entry.size.is_none_or(|size| size == member.size);
            member.name == hash_of(path) && (has_size || path.is_folder())
        };
        if self.members.front().is_some_and(is_it) {
            self.members.pop_front();
            return Ok(Whereabouts::InShard);
        }
        let shard = self.pattern.path(self.next - 1);
        let message = format!(
            "`{}` is complete, and does not have this member here: remove it, and later shards, to have them written anew",
            shard.display()
        );
        Err(Failure::new(
            ErrorCode::NotInShard,
            Class::Permanent,
            message,
        ))
    }
}

fn broken(shard: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot read the members of `{}`: {error}", shard.display());
    Failure::new(ErrorCode::NotInShard, Class::Permanent, message)
}

/// The hash of a member's name, which ends in `/` if it is a folder's.
fn hash_of(path: &LocalPath) -> u64 {
    if path.is_folder() {
        XxHash3_64::oneshot(format!("{path}/").as_bytes())
    } else {
        XxHash3_64::oneshot(path.as_str().as_bytes())
    }
}

/// Whether an archive with members is there, and ends as one that is whole.
fn is_ended(path: &Path) -> io::Result<bool> {
    // A named pipe would be waited for.
    if !path.metadata()?.is_file() {
        return Ok(false);
    }
    let file = File::open(path)?;
    let n_bytes = file.metadata()?.len();
    let end = END.len() as u64;
    if n_bytes <= end || !n_bytes.is_multiple_of(BLOCK as u64) {
        return Ok(false);
    }
    let mut last = [1; END.len()];
    read_exact_at(&file, &mut last, n_bytes - end)?;
    Ok(last == END && is_header(&block_at(&file, 0)?))
}

fn block_at(file: &File, offset: u64) -> io::Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    read_exact_at(file, &mut block, offset)?;
    Ok(block)
}

fn is_header(block: &[u8; BLOCK]) -> bool {
    &block[257..265] == b"ustar\x0000"
}

/// The members of the archive at `path`, by their headers.
fn members_of(path: &Path) -> io::Result<VecDeque<Member>> {
    let file = File::open(path)?;
    let mut members = VecDeque::new();
    let mut records = Records::default();
    let mut offset = 0;
    loop {
        let block = block_at(&file, offset)?;
        offset += BLOCK as u64;
        if block == [0; BLOCK] {
            return Ok(members);
        }
        let size = octal(&block[124..136]).filter(|_| is_header(&block));
        let size = size.ok_or_else(|| odd("a header that is not one of ustar's"))?;
        let size = match block[156] {
            b'x' if size <= MAX_RECORDS => {
                let mut text = vec![0; usize::try_from(size).unwrap_or_default()];
                read_exact_at(&file, &mut text, offset)?;
                records = Records::of(&text);
                size
            }
            b'0' | b'5' => {
                let Records { path, size: large } = std::mem::take(&mut records);
                let name = path.unwrap_or_else(|| name_in(&block));
                let size = large.unwrap_or(size);
                let name = XxHash3_64::oneshot(&name);
                members.push_back(Member { name, size });
                size
            }
            _ => return Err(odd("a member that is not a file")),
        };
        offset += size.next_multiple_of(BLOCK as u64);
    }
}

/// What the pax records before a member say of it.
#[derive(Debug, Default)]
struct Records {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Records {
    /// Reads `LENGTH key=value\n`, where the length counts itself. What is odd is passed over.
    fn of(mut text: &[u8]) -> Self {
        let mut records = Self::default();
        while let Some(blank) = text.iter().position(|&byte| byte == b' ') {
            let length = std::str::from_utf8(&text[..blank]).ok();
            let length = length.and_then(|length| length.parse().ok());
            let length = length.filter(|&length| length > blank + 1 && length <= text.len());
            let Some(length) = length else {
                break;
            };
            let record = &text[blank + 1..length - 1];
            if let Some(path) = record.strip_prefix(b"path=") {
                records.path = Some(path.to_vec());
            } else if let Some(size) = record.strip_prefix(b"size=") {
                let size = std::str::from_utf8(size).ok();
                records.size = size.and_then(|size| size.parse().ok());
            }
            text = &text[length..];
        }
        records
    }
}

/// The name in the fields of a header.
fn name_in(block: &[u8; BLOCK]) -> Vec<u8> {
    let field = |field: &[u8]| -> Vec<u8> {
        let end = field.iter().position(|&byte| byte == 0);
        field[..end.unwrap_or(field.len())].to_vec()
    };
    let (name, prefix) = (field(&block[..100]), field(&block[345..500]));
    if prefix.is_empty() {
        return name;
    }
    [prefix, name].join(&b'/')
}

fn octal(field: &[u8]) -> Option<u64> {
    let digits = field.split(|&byte| byte == 0).next()?;
    let digits = std::str::from_utf8(digits).ok()?;
    u64::from_str_radix(digits, 8).ok()
}

fn odd(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::super::header::{Kind, header, incomplete, padding};
    use super::*;

    /// Writes a shard with these members.
    fn write(folder: &Path, n: u64, members: &[(&str, Kind)], end: &[u8]) {
        let mut archive = Vec::new();
        for (path, kind) in members {
            archive.extend(header(path, *kind, None));
            if let Kind::File(size) = kind {
                archive.extend(vec![b'x'; usize::try_from(*size).unwrap()]);
                archive.extend(padding(*size));
            }
        }
        archive.extend(end);
        std::fs::write(folder.join(format!("{n}.tar")), archive).unwrap();
    }

    fn find(folder: &Path) -> Complete {
        let pattern = folder.join("%d.tar").to_string_lossy().parse().unwrap();
        Complete::find(&pattern, false)
    }

    fn meet(complete: &mut Complete, key: &str, size: Option<u64>) -> Option<Whereabouts> {
        let entry = Entry {
            size,
            ..Entry::default()
        };
        complete.meet(&LocalPath::of_key(key).unwrap(), &entry).ok()
    }

    #[test]
    fn rows_are_in_the_shards_that_are_complete_whatever_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let long = "n".repeat(150);
        let split = format!("{}/{}", "p".repeat(120), "n".repeat(90));
        let names = ["a", "d/ü", &long, &split];
        let mut members = names.map(|name| (name, Kind::File(513))).to_vec();
        members.push(("d/f", Kind::Folder));
        write(folder.path(), 0, &members, &END);
        write(folder.path(), 1, &[("b", Kind::File(0))], &END);
        let mut complete = find(folder.path());
        assert_eq!(complete.n_shards(), 2);
        for key in names {
            let size = (key == "a").then_some(513);
            assert_eq!(
                meet(&mut complete, key, size),
                Some(Whereabouts::InShard),
                "{key}"
            );
        }
        assert_eq!(meet(&mut complete, "d/f", Some(0)), None, "a file");
        assert_eq!(
            meet(&mut complete, "d/f/", Some(0)),
            Some(Whereabouts::InShard)
        );
        // It failed when the shards were written, or is of another list.
        assert_eq!(meet(&mut complete, "failed", None), None);
        assert_eq!(meet(&mut complete, "b", Some(1)), None, "another size");
        assert_eq!(meet(&mut complete, "b", None), Some(Whereabouts::InShard));
        assert_eq!(meet(&mut complete, "b", None), Some(Whereabouts::Behind));
    }

    #[test]
    fn only_shards_from_the_first_one_on_that_are_whole_count() {
        let member = [("a", Kind::File(5))];
        for (end, n_shards) in [
            (&END[..], 3),
            (&END[..BLOCK], 1),
            (&incomplete()[..], 1),
            (b"", 1),
        ] {
            let folder = tempfile::tempdir().unwrap();
            write(folder.path(), 0, &member, &END);
            write(folder.path(), 1, &member, end);
            write(folder.path(), 2, &member, &END);
            assert_eq!(find(folder.path()).n_shards(), n_shards);
            std::fs::remove_file(folder.path().join("0.tar")).unwrap();
            assert_eq!(find(folder.path()).n_shards(), 0);
            // That of a run without a member.
            write(folder.path(), 0, &[], &END);
            assert_eq!(find(folder.path()).n_shards(), 0);
        }
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), 0, &member, &END);
        let pattern = folder
            .path()
            .join("%d.tar")
            .to_string_lossy()
            .parse()
            .unwrap();
        assert_eq!(Complete::find(&pattern, true).n_shards(), 0);
        std::fs::write(folder.path().join("0.csv"), "").unwrap();
        assert_eq!(Complete::find(&pattern, true).n_shards(), 1);
    }

    #[test]
    fn an_archive_of_another_program_fails_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let mut archive = header("a", Kind::File(0), None);
        let mut link = header("b", Kind::File(0), None);
        link[156] = b'2';
        archive.extend(link);
        archive.extend(END);
        std::fs::write(folder.path().join("0.tar"), archive).unwrap();
        let mut complete = find(folder.path());
        assert_eq!(meet(&mut complete, "a", None), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_named_pipe_is_not_a_shard_and_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut mkfifo = std::process::Command::new("mkfifo");
        let made = mkfifo.arg(folder.path().join("0.tar")).status();
        assert!(made.unwrap().success());
        assert_eq!(find(folder.path()).n_shards(), 0);
    }
}
