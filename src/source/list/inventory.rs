//! `inventory`: the files of S3 Inventory and S3 Batch Operations. The list is a `manifest.json` with its data files beside
//! it or in S3, or a single data file, which is a CSV without a header. Keys are URL-encoded, with `+` for a space.
//!
//! Rows of delete markers and of versions that are not the latest are skipped. (S3 user guide, "Amazon S3 Inventory" and
//! "Specifying a manifest".)

use std::borrow::Cow;
#[cfg(feature = "parquet")]
use std::fs::File;
use std::io::{BufReader, Read};

use ::csv::ByteRecord;

use super::columns::{Columns, InventoryColumns, KeyRules, Value, skip_reason};
use super::compression::Compression;
use super::csv::{self, RecordFault};
use super::data_files;
#[cfg(feature = "parquet")]
use super::data_files::Place;
use super::encoding::decoded;
use super::format::READ_SIZE;
use super::format::{Emit, Format, List, ListProblem};
use super::json;
use super::manifest::{Found, Manifest};
#[cfg(feature = "parquet")]
use super::parquet;
use super::sample::{Recognised, Sample};
use crate::row::{Entry, UnusableRow};

pub(super) static FORMAT: Format = Format {
    name: "inventory",
    help: "`manifest.json` of an S3 Inventory, one of its CSV files, or a manifest of S3 Batch Operations",
    magic: b"",
    waits_for_rows: false,
    recognise,
    read,
};

/// The columns of a manifest of S3 Batch Operations: `Bucket,Key` or `Bucket,Key,VersionId`.
fn columns_of_batch_operations(first: &ByteRecord) -> Result<InventoryColumns, ListProblem> {
    let is_version = |field: &[u8]| !field.iter().all(u8::is_ascii_digit) || field.is_empty();
    match first.len() {
        2 => {}
        3 if is_version(&first[2]) => {}
        n => {
            let columns = match n {
                1 => "1 column has no name".to_owned(),
                n => format!("{n} columns have no names"),
            };
            return Err(ListProblem::Unreadable(format!(
                "its {columns}: pass the `fileSchema` of its manifest to `--keys-columns`, such as `Bucket, Key, Size`"
            )));
        }
    }
    Ok(InventoryColumns(Columns {
        key: Some(1),
        bucket: Some(0),
        version_id: (first.len() == 3).then_some(2),
        ..Columns::default()
    }))
}

fn recognise(sample: &Sample<'_>) -> Recognised {
    // More would make a list of keys wait that begin with the bucket's name.
    const ENOUGH: usize = 16;
    if sample.key_column.is_some() {
        return Recognised::No;
    }
    if is_manifest(sample.text) {
        return Recognised::Yes("it has a `fileSchema`, like a manifest of S3 Inventory");
    }
    if json::is_unfinished(sample) {
        return Recognised::Undecided;
    }
    let bucket = sample.bucket.as_bytes();
    sample.is_listing(ENOUGH, "its first column is the bucket", |line| {
        names_bucket(line, bucket).then_some(())
    })
}

/// Whether the first column of `line` is the bucket, quoted or not.
fn names_bucket(line: &[u8], bucket: &[u8]) -> bool {
    if bucket.is_empty() {
        return false;
    }
    let (line, end) = match line.strip_prefix(b"\"") {
        Some(quoted) => (quoted, &b"\","[..]),
        None => (line, &b","[..]),
    };
    line.strip_prefix(bucket)
        .is_some_and(|rest| rest.starts_with(end))
}

fn is_manifest(text: &[u8]) -> bool {
    text.trim_ascii_start().starts_with(b"{")
        && memchr::memmem::find(text, b"\"fileSchema\"").is_some()
}

fn read(list: &mut List<'_>, emit: Emit<'_>) -> Result<(), ListProblem> {
    if !list.start.text.trim_ascii_start().starts_with(b"{") {
        return read_data(
            &mut *list.input,
            list.columns.cloned(),
            list.keys,
            &mut 0,
            emit,
        );
    }
    let manifest = Manifest::read(&mut *list.input)?;
    let fetch = list.asks.map(|asks| asks.fetch);
    let files = manifest.data_files(Found {
        folder: list.folder,
        remote: list.remote,
        can_fetch: fetch.is_some(),
    })?;
    let (keys, mut n_rows) = (list.keys, 0);
    #[cfg(feature = "parquet")]
    if manifest.is_parquet() {
        return data_files::for_each(&files, fetch, |place, data| {
            let file = match place {
                Place::Local(path) => {
                    data.check_rest()?;
                    File::open(path)?
                }
                Place::Remote(_) => parquet::spooled(data)?,
            };
            parquet::read_file(file, None, keys, &mut n_rows, emit)
        });
    }
    let columns: InventoryColumns = manifest
        .file_schema
        .parse()
        .map_err(ListProblem::Unreadable)?;
    data_files::for_each(&files, fetch, |_, data| {
        let mut start = Vec::new();
        Read::take(&mut *data, 4).read_to_end(&mut start)?;
        let compression = Compression::of(&start);
        let file = start.chain(data);
        let columns = Some(columns.clone());
        if let Some(compression) = compression {
            return read_data(compression.decoder(file)?, columns, keys, &mut n_rows, emit);
        }
        let file = BufReader::with_capacity(READ_SIZE, file);
        read_data(file, columns, keys, &mut n_rows, emit)
    })
}

/// Reads a data file. Its rows are numbered from `n_rows` + 1, and `n_rows` is increased.
fn read_data(
    input: impl Read,
    mut columns: Option<InventoryColumns>,
    keys: KeyRules<'_>,
    n_rows: &mut u64,
    emit: Emit<'_>,
) -> Result<(), ListProblem> {
    csv::for_each_record(input, b',', |_, record, fault| {
        let columns = match &mut columns {
            Some(columns) => columns,
            unknown => unknown.insert(columns_of_batch_operations(record)?),
        };
        *n_rows += 1;
        let row = match fault {
            Some(fault @ RecordFault::Quote) => Err(csv::unusable(record, b',', fault.described())),
            Some(RecordFault::NoLineEnd) | None => entry(record, columns, keys),
        };
        emit(*n_rows, row);
        Ok(())
    })
}

fn entry(
    record: &ByteRecord,
    columns: &InventoryColumns,
    keys: KeyRules<'_>,
) -> Result<Entry, UnusableRow> {
    let mut fields = csv::Fields::of(record);
    let values = columns.0.map(|position| fields.text(position));
    let (key, undecodable) = match decoded(values.key) {
        Ok(key) => (key, None),
        Err(unusable) => (Cow::Borrowed(""), Some(unusable)),
    };
    let row = Columns {
        key: Value::Text(&key),
        ..values.map(Value::Text)
    };
    if let Some(unreadable) = fields.unreadable {
        return Err(unreadable.without_key(keys.read(&row), &key));
    }
    if let (Some(undecodable), None) = (undecodable, skip_reason(&row)) {
        return Err(undecodable.without_key(keys.read(&row), ""));
    }
    keys.latest(&row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::Row;
    use crate::source::testing::{entries, failure, rows};
    use crate::source::{ListOptions, ListSource, open, read as read_lists};
    use std::io::Write;
    use std::path::Path;
    use std::sync::Arc;

    const SCHEMA: &str =
        "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, LastModifiedDate, ETag";
    const DATA: &str = "\"b\",\"a+b%2Bc/%C3%BC\",\"v1\",\"true\",\"false\",\"12\",\"2024-01-02T03:04:05.000Z\",\"abc\"\n\
                        \"b\",\"old\",\"v2\",\"false\",\"false\",\"3\",\"2024-01-02T03:04:05.000Z\",\"abc\"\n\
                        \"b\",\"gone\",\"v3\",\"true\",\"true\",\"\",\"2024-01-02T03:04:05.000Z\",\"\"\n";

    #[test]
    fn keys_are_decoded_and_versions_are_kept() {
        let list = b"b,a%20b,v1\nb,c+d,\n\"b\",\"%ff\",v\nother,x,v\n";
        let found = entries(list, "inventory");
        assert_eq!(
            (found[0].key.as_str(), found[0].version_id.as_deref()),
            ("a b", Some("v1"))
        );
        assert_eq!(
            (found[1].key.as_str(), found[1].version_id.as_deref()),
            ("c d", None)
        );
        let described = rows(list, "inventory", "");
        assert!(
            described[2]
                .as_ref()
                .unwrap_err()
                .starts_with("3: InvalidRow: not UTF-8")
        );
        assert!(
            described[3]
                .as_ref()
                .unwrap_err()
                .starts_with("4: WrongBucket")
        );
    }

    #[test]
    fn text_behind_a_closed_quote_fails_its_row() {
        let found = rows(b"b,\"a\"x\nb,k\n", "inventory", "");
        let message = found[0].as_ref().unwrap_err();
        assert!(message.contains("written twice"), "{message}");
        assert_eq!(found[1], Ok("k".to_owned()));
    }

    #[test]
    fn unnamed_columns_are_not_guessed() {
        for list in [&b"b,k,12\n"[..], b"b,k,12,2024\n", b"b\n"] {
            let message = failure(list, "inventory");
            assert!(message.contains("--keys-columns"), "{message}");
        }
    }

    fn inventory(folder: &Path, manifest: &str) -> Result<Vec<Row>, String> {
        let path = folder.join("manifest.json");
        std::fs::write(&path, manifest).unwrap();
        let options = ListOptions {
            sources: vec![ListSource::File(path)],
            bucket: Some("b".into()),
            ..ListOptions::default()
        };
        let lists = open(&options.sources).unwrap();
        let mut batches = read_lists(lists, Arc::new(options), None, |_| {});
        let mut rows = Vec::new();
        while let Some(batch) = batches.blocking_recv() {
            rows.extend(batch.map_err(|error| error.to_string())?);
        }
        Ok(rows)
    }

    fn manifest(files: &[(&str, usize)]) -> String {
        let files: Vec<_> = files
            .iter()
            .map(|(key, size)| format!(r#"{{"key": "{key}", "size": {size}, "MD5checksum": "x"}}"#))
            .collect();
        format!(
            r#"{{"sourceBucket": "b", "fileFormat": "CSV", "fileSchema": "{SCHEMA}", "files": [{}]}}"#,
            files.join(",")
        )
    }

    #[test]
    fn a_manifest_gives_its_columns_and_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(DATA.as_bytes()).unwrap();
        let gzip = gzip.finish().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        std::fs::write(folder.path().join("data/1.csv.gz"), &gzip).unwrap();
        std::fs::write(folder.path().join("2.csv"), DATA).unwrap();
        let manifest = manifest(&[
            ("inv/b/all/data/1.csv.gz", gzip.len()),
            ("inv/b/all/data/2.csv", DATA.len()),
        ]);
        let rows = inventory(folder.path(), &manifest).unwrap();
        assert_eq!(rows.len(), 6);
        let first = rows[0].entry.as_ref().unwrap();
        let expected = Entry {
            key: "a b+c/ü".into(),
            version_id: Some("v1".into()),
            size: Some(12),
            etag: crate::etag::ETag::of_row("abc"),
            last_modified: "2024-01-02T03:04:05Z".parse().ok(),
            ..Entry::default()
        };
        assert_eq!(*first, expected);
        let outcome = |row: &Row| format!("{:?}", row.entry.as_ref().unwrap_err().why);
        assert_eq!(outcome(&rows[1]), "Skipped(OldVersion)");
        assert_eq!(outcome(&rows[5]), "Skipped(DeleteMarker)");
        assert_eq!(rows[5].place.line, 6);
    }

    #[test]
    fn a_local_data_file_with_another_md5_is_a_broken_list() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1.csv"), DATA).unwrap();
        let md5 = "900150983cd24fb0d6963f7d28e17f72";
        let manifest = manifest(&[("1.csv", DATA.len())]).replace("\"x\"", &format!("\"{md5}\""));
        let message = inventory(folder.path(), &manifest).unwrap_err();
        assert!(message.contains("has another MD5"), "{message}");
    }

    #[test]
    fn data_files_are_found_in_a_copy_of_the_whole_inventory() {
        let root = tempfile::tempdir().unwrap();
        let date = root.path().join("inv/b/all/2024-01-02T00-00Z");
        std::fs::create_dir_all(&date).unwrap();
        std::fs::create_dir(root.path().join("inv/b/all/data")).unwrap();
        std::fs::write(root.path().join("inv/b/all/data/1.csv"), DATA).unwrap();
        let manifest = manifest(&[("inv/b/all/data/1.csv", DATA.len())]);
        assert_eq!(inventory(&date, &manifest).unwrap().len(), 3);
    }

    #[test]
    fn missing_truncated_or_outside_data_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("1.csv"), DATA).unwrap();
        for (files, named) in [
            ([("x/2.csv", 1)], "`x/2.csv` is missing"),
            ([("x/1.csv", 1)], "the manifest says 1"),
            ([("../../etc/passwd", 1)], "is missing"),
        ] {
            let message = inventory(folder.path(), &manifest(&files)).unwrap_err();
            assert!(message.contains(named), "{message}");
        }
        let orc = manifest(&[]).replace("\"CSV\"", "\"ORC\"");
        assert!(
            inventory(folder.path(), &orc)
                .unwrap_err()
                .contains("configure the inventory to use CSV")
        );
        let on_stdin = failure(manifest(&[("x/2.csv", 1)]).as_bytes(), "auto");
        assert!(on_stdin.contains("`x/2.csv` is missing"), "{on_stdin}");
    }
}
