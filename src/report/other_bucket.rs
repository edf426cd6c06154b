//! Which bucket an existing failed-keys CSV is of: the rows of another one would be lost if it were replaced.

use std::io;
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use crate::sink::files::first_bytes;

/// Columns by which a failed-keys CSV of any version is known: the first ones of the first version.
pub(super) const KNOWN_COLUMNS: [&str; 8] = [
    "key",
    "bucket",
    "version_id",
    "error",
    "status",
    "attempts",
    "request_id",
    "message",
];

/// Bytes of the CSV that are looked at: of tens of thousands of rows.
const MAX_BYTES: u64 = 4 << 20;

/// The bucket that the failed-keys CSV at `path` is of, if it has rows and none of them can be one of `bucket`.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn other_bucket(path: &Path, bucket: &str) -> io::Result<Option<String>> {
    let bytes = first_bytes(path, MAX_BYTES)?;
    // The last row may be cut.
    let end = match memchr::memrchr(b'\n', &bytes) {
        Some(end) if bytes.len() as u64 == MAX_BYTES => end + 1,
        _ => bytes.len(),
    };
    Ok(of_rows(&bytes[..end], bucket))
}

fn of_rows(csv: &[u8], bucket: &str) -> Option<String> {
    let column = KNOWN_COLUMNS.iter().position(|name| *name == "bucket")?;
    let mut rows = ReaderBuilder::new().flexible(true).from_reader(csv);
    let mut row = ByteRecord::new();
    let mut other = None;
    while rows.read_byte_record(&mut row).is_ok_and(|is_row| is_row) {
        match row.get(column) {
            // A row that names no bucket may be one of any.
            None | Some(b"") => return None,
            Some(name) if name == bucket.as_bytes() => return None,
            Some(name) => {
                other.get_or_insert_with(|| String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_csv_whose_rows_all_name_another_bucket_is_one_of_that_bucket() {
        let of = |rows: &str| {
            of_rows(
                format!("{}\n{rows}", KNOWN_COLUMNS.join(",")).as_bytes(),
                "b",
            )
        };
        assert_eq!(of(""), None);
        assert_eq!(of("k,other,,,,,,\n").as_deref(), Some("other"));
        assert_eq!(
            of("k,other,,,,,,\n\"k\n\",more,,,,,,\n").as_deref(),
            Some("other")
        );
        assert_eq!(of("k,b,,,,,,\n"), None);
        assert_eq!(of("k,other,,,,,,\nk,b,,,,,,\n"), None);
        assert_eq!(of("k,other,,,,,,\nk,,,,,,,\n"), None);
        assert_eq!(of("k,other,,,,,,\nk\n"), None);
    }

    #[test]
    fn a_row_that_is_cut_at_the_end_of_what_is_read_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.csv");
        let mut csv = KNOWN_COLUMNS.join(",") + "\n";
        while (csv.len() as u64) < MAX_BYTES + 100 {
            csv += "key,other,,,,,,message\n";
        }
        std::fs::write(&path, csv).unwrap();
        assert_eq!(other_bucket(&path, "b").unwrap().as_deref(), Some("other"));
    }
}
