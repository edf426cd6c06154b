//! The done file: a CSV of what was downloaded or kept, with a row per object. It is a key list as well. Pure.

use std::io::{self, BufRead, Read};
use std::time::{Duration, UNIX_EPOCH};

use csv::{ByteRecord, ReaderBuilder};
use memchr::memchr2_iter;
use twox_hash::XxHash3_64;

use crate::row::{Entry, LastModified, Place, RowAlgorithm};
use crate::sink::files::LocalPath;

/// The columns, which key lists have too; those of checksums follow.
const COLUMNS: [&str; 7] = [
    "key",
    "bucket",
    "version_id",
    "size",
    "etag",
    "dest",
    "last_modified",
];

/// Columns of a row.
const N_COLUMNS: usize = COLUMNS.len() + RowAlgorithm::ALL.len();

/// An upper bound on the bytes of a row, whose texts are no longer than 16 KiB each.
pub(crate) const MAX_ROW: u64 = 1 << 20;

/// Bytes that are read at once.
const READ_SIZE: usize = 64 * 1024;

/// The names of all columns.
pub(crate) fn header() -> impl Iterator<Item = &'static str> {
    COLUMNS
        .into_iter()
        .chain(RowAlgorithm::ALL.map(RowAlgorithm::name))
}

/// The first line of a done file.
pub(crate) fn first_line() -> String {
    header().collect::<Vec<_>>().join(",") + "\n"
}

/// What the column `dest` says: the path of the file, which is a folder's if it ends in `/`.
pub(crate) fn dest_of(path: &LocalPath) -> String {
    // The folder that everything is in has no path below it.
    if path.is_folder() && !path.as_str().is_empty() {
        format!("{path}/")
    } else {
        path.as_str().to_owned()
    }
}

/// Bytes up to the end of the last whole row: a run that was killed may have left half of one behind it.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn end_of_rows(mut file: impl BufRead) -> io::Result<u64> {
    let (mut offset, mut end, mut is_quoted) = (0, 0, false);
    loop {
        let bytes = file.fill_buf()?;
        if bytes.is_empty() {
            return Ok(end);
        }
        for at in memchr2_iter(b'"', b'\n', bytes) {
            if bytes[at] == b'"' {
                is_quoted = !is_quoted;
            } else if !is_quoted {
                end = offset + at as u64 + 1;
            }
        }
        let n_bytes = bytes.len();
        offset += n_bytes as u64;
        file.consume(n_bytes);
    }
}

/// The rows of a done file, by hashes of what they say: 28 bytes per row.
#[derive(Debug, Default)]
pub(crate) struct DoneSet {
    /// The run's only bucket, for rows that name none; empty if each row names its own.
    bucket: String,
    /// In order.
    rows: Vec<DoneRow>,
}

/// Hashes; 0 stands for what the row does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct DoneRow {
    /// Of bucket, key and path.
    id: [u32; 3],
    version: u32,
    etag: u32,
    size: u32,
    /// Seconds since 1970.
    time: u32,
}

impl DoneSet {
    /// Reads a done file. What is not a row of it, such as half of one, is passed over.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read(file: impl Read, bucket: Option<&str>) -> io::Result<Self> {
        let mut reader = reader(file);
        let mut rows = Vec::new();
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record)? {
            rows.extend(DoneRow::of(&record));
        }
        rows.sort_unstable();
        rows.dedup();
        Ok(Self {
            bucket: bucket.unwrap_or_default().to_owned(),
            rows,
        })
    }

    /// Whether the object of a row whose file would be at `path` is done: bucket, key and path are those of a row here, and
    /// so are version, ETag, size and time, as far as the row gives them.
    pub(crate) fn has(&self, entry: &Entry, path: &LocalPath) -> bool {
        let bucket = entry.bucket.as_deref().unwrap_or(&self.bucket);
        let dest = dest_of(path);
        let id = id_of([bucket.as_bytes(), entry.key.as_bytes(), dest.as_bytes()]);
        let first = self.rows.partition_point(|row| row.id < id);
        let mut rows = self.rows[first..].iter().take_while(|row| row.id == id);
        rows.any(|row| row.is_of(entry))
    }
}

/// The paths in a done file, by their hashes: 8 bytes per row.
#[derive(Debug, Default)]
pub(crate) struct PathSet(Vec<u64>);

impl PathSet {
    /// Reads a done file.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub(crate) fn read(file: impl Read) -> io::Result<Self> {
        let mut paths = Vec::new();
        let mut reader = reader(file);
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record)? {
            paths.extend(dest(&record).map(XxHash3_64::oneshot));
        }
        paths.sort_unstable();
        Ok(Self(paths))
    }

    pub(crate) fn has(&self, path: &LocalPath) -> bool {
        let path = XxHash3_64::oneshot(dest_of(path).as_bytes());
        self.0.binary_search(&path).is_ok()
    }
}

/// The last row of each file in a done file that is a key list, by hashes of their paths: 16 bytes per row. Rows before it
/// are of objects that were replaced since, or say the same.
#[derive(Debug)]
pub(crate) struct LastRows {
    /// The index of the list.
    list: usize,
    /// Hash of the path and line of the row, in order; one per path.
    rows: Vec<(u64, u64)>,
}

impl LastRows {
    /// Reads the done file that is the `list`th one of the run's lists.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn read(file: impl Read, list: usize) -> io::Result<Self> {
        let mut rows = Vec::new();
        let mut reader = reader(file);
        let mut record = ByteRecord::new();
        while reader.read_byte_record(&mut record)? {
            let line = record.position().map_or(0, csv::Position::line);
            rows.extend(dest(&record).map(|dest| (XxHash3_64::oneshot(dest), line)));
        }
        // The last one of each path comes first.
        rows.sort_unstable_by_key(|&(path, line)| (path, std::cmp::Reverse(line)));
        rows.dedup_by_key(|(path, _)| *path);
        Ok(Self { list, rows })
    }

    /// Whether the row at this place, which is of the file at `path`, is not the last one of that file.
    pub(crate) fn supersede(&self, place: Place, path: &LocalPath) -> bool {
        let path = XxHash3_64::oneshot(dest_of(path).as_bytes());
        let row = self.rows.binary_search_by_key(&path, |(path, _)| *path);
        let last = row.ok().map(|row| self.rows[row].1);
        place.list == self.list && last.is_some_and(|last| last > place.line)
    }
}

/// What the column `dest` says of a row that has all columns.
fn dest(record: &ByteRecord) -> Option<&[u8]> {
    let is_whole = record.len() == N_COLUMNS;
    record.get(5).filter(|_| is_whole)
}

fn reader<R: Read>(file: R) -> csv::Reader<R> {
    ReaderBuilder::new()
        .flexible(true)
        .buffer_capacity(READ_SIZE)
        .from_reader(file)
}

impl DoneRow {
    fn of(record: &ByteRecord) -> Option<Self> {
        if record.len() != N_COLUMNS {
            return None;
        }
        let text = |column: usize| std::str::from_utf8(&record[column]).ok();
        let hash = |column: usize| match &record[column] {
            b"" => 0,
            value => hash(value),
        };
        let size = text(3)?.parse().ok();
        let time = text(6)?.parse::<LastModified>().ok();
        Some(Self {
            id: id_of([&record[1], &record[0], &record[5]]),
            version: hash(2),
            etag: hash(4),
            size: size.map_or(0, hash_of_size),
            time: time.map_or(0, seconds_of),
        })
    }

    fn is_of(&self, entry: &Entry) -> bool {
        let is_same = |asked: Option<u32>, done: u32| asked.is_none_or(|asked| asked == done);
        let version = entry.version_id.as_ref().map(|id| hash(id.as_bytes()));
        let etag = entry
            .etag
            .as_ref()
            .map(|etag| hash(etag.opaque().as_bytes()));
        let time = UNIX_EPOCH + Duration::from_secs(self.time.into());
        is_same(version, self.version)
            && is_same(etag, self.etag)
            && is_same(entry.size.map(hash_of_size), self.size)
            && entry
                .last_modified
                .is_none_or(|asked| self.time != 0 && asked.may_be(time))
    }
}

fn seconds_of(time: LastModified) -> u32 {
    let (LastModified::At(time) | LastModified::Local(time)) = time;
    let since_1970 = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since_1970.as_secs().try_into().unwrap_or(0)
}

/// Never 0.
fn hash(text: &[u8]) -> u32 {
    low_half(XxHash3_64::oneshot(text)).max(1)
}

fn hash_of_size(size: u64) -> u32 {
    hash(&size.to_le_bytes())
}

/// Of 96 bits, so that no two of a hundred million rows have the same.
fn id_of(texts: [&[u8]; 3]) -> [u32; 3] {
    let mut bytes = Vec::with_capacity(texts.iter().map(|text| text.len() + 8).sum());
    for text in texts {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text);
    }
    let first = XxHash3_64::oneshot(&bytes);
    let second = XxHash3_64::oneshot_with_seed(1, &bytes);
    [low_half(first >> 32), low_half(first), low_half(second)]
}

fn low_half(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::etag::ETag;

    type Change<'a> = &'a dyn Fn(&mut Entry);

    fn set(rows: &str) -> DoneSet {
        DoneSet::read((first_line() + rows).as_bytes(), Some("b")).unwrap()
    }

    fn key(key: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            ..Entry::default()
        }
    }

    fn has(set: &DoneSet, entry: &Entry, path: &str) -> bool {
        set.has(entry, &LocalPath::of_key(path).unwrap())
    }

    #[test]
    fn a_row_is_done_where_all_that_it_gives_is_the_same() {
        let set = set("k,b,v,5,e,d/k,2024-01-02T03:04:05Z,,,,,,\nf/,b,,0,,f/,,,,,,,\n");
        assert_eq!(size_of::<DoneRow>(), 28);
        let given = |change: &dyn Fn(&mut Entry)| {
            let mut entry = key("k");
            change(&mut entry);
            has(&set, &entry, "d/k")
        };
        assert!(given(&|_| {}));
        assert!(has(&set, &key("f/"), "f/"));
        let time = |text: &str| Some(text.parse().unwrap());
        let same: [Change<'_>; 6] = [
            &|row| row.bucket = Some("b".into()),
            &|row| row.version_id = Some("v".to_owned()),
            &|row| row.etag = ETag::of_row("\"e\""),
            &|row| row.size = Some(5),
            &|row| row.last_modified = time("2024-01-02T03:04:05.9Z"),
            &|row| row.last_modified = time("2024-01-02 05:04:05"),
        ];
        let others: [Change<'_>; 5] = [
            &|row| row.bucket = Some("other".into()),
            &|row| row.version_id = Some("w".to_owned()),
            &|row| row.etag = ETag::of_row("f"),
            &|row| row.size = Some(5 << 32),
            &|row| row.last_modified = time("2024-01-02T03:04:06Z"),
        ];
        assert!(same.into_iter().all(&given));
        assert!(!others.into_iter().any(&given));
        assert!(!has(&set, &key("k"), "k") && !has(&set, &key("j"), "d/k"));
        assert!(!has(&set, &key("f/"), "f"));
    }

    #[test]
    fn what_a_row_gives_must_be_known_of_what_is_done() {
        let set = set("k,b,,,,k,,,,,,,\n");
        assert!(has(&set, &key("k"), "k"));
        let sized = Entry {
            size: Some(5),
            ..key("k")
        };
        let timed = Entry {
            last_modified: Some("1970-01-01T00:00:00Z".parse().unwrap()),
            ..key("k")
        };
        assert!(!has(&set, &sized, "k") && !has(&set, &timed, "k"));
    }

    #[test]
    fn each_version_of_a_key_that_is_done_counts() {
        let set = set("k,b,1,5,,k,,,,,,,\nk,b,2,6,,k,,,,,,,\nx,b\nhalf,b,,,,half,,,");
        for (version, size, is_done) in [("1", 5, true), ("2", 6, true), ("1", 6, false)] {
            let entry = Entry {
                version_id: Some(version.to_owned()),
                size: Some(size),
                ..key("k")
            };
            assert_eq!(has(&set, &entry, "k"), is_done, "{version} {size}");
        }
        assert!(!has(&set, &key("x"), "x") && !has(&set, &key("half"), "half"));
    }

    #[test]
    fn the_last_row_of_a_file_counts() {
        let rows =
            "k,b,,5,,k,,,,,,,\n\"x\ny\",b,,5,,x,,,,,,,\nk,b,,6,,k,,,,,,,\nk,b,,6,,d/k,,,,,,,\n";
        let last = LastRows::read((first_line() + rows).as_bytes(), 1).unwrap();
        let supersedes = |list, line, path: &str| {
            last.supersede(Place { list, line }, &LocalPath::of_key(path).unwrap())
        };
        assert!(supersedes(1, 2, "k") && !supersedes(1, 5, "k"));
        assert!(!supersedes(0, 2, "k") && !supersedes(1, 3, "x") && !supersedes(1, 6, "d/k"));
    }

    #[test]
    fn rows_of_several_buckets_name_theirs() {
        let of_many = DoneSet::read((first_line() + "k,b,,,,k,,,,,,,\n").as_bytes(), None).unwrap();
        let mut entry = key("k");
        entry.bucket = Some(Arc::from("b"));
        assert!(has(&of_many, &entry, "k"));
        entry.bucket = Some(Arc::from("c"));
        assert!(!has(&of_many, &entry, "k"));
    }

    #[test]
    fn the_rows_end_before_half_a_row_even_where_that_has_a_line_end() {
        let header = first_line();
        for (rows, n_whole) in [
            ("", 0),
            ("a\n", 2),
            ("a\nb", 2),
            ("a\n\"b\nc\",\n", 9),
            ("a\n\"b\nc", 2),
            ("a\n\"b\"\"\nc", 2),
            ("a\n\"b\"\"\nc\"\nd", 10),
        ] {
            let end = end_of_rows((header.clone() + rows).as_bytes()).unwrap();
            assert_eq!(end, (header.len() + n_whole) as u64, "{rows:?}");
        }
        assert_eq!(end_of_rows(&header.as_bytes()[..9]).unwrap(), 0);
    }
}
