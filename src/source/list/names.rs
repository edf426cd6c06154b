//! The columns of a table, and their names: those of our own tables, of S3 Inventory, Athena, boto3, pandas and checksum
//! tools, in any case, and with or without `_`, `-` and blanks.

use crate::row::RowAlgorithm;

/// A column that is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    Key,
    Bucket,
    VersionId,
    Size,
    Etag,
    LastModified,
    Dest,
    IsLatest,
    IsDeleteMarker,
    Checksum(RowAlgorithm),
}

/// Most bytes of a column's name that is known.
pub(super) const MAX_NAME: usize = 64;

/// One `T` per column that describes an object: the column's position, or its value.
///
/// A new column is added here, with its names in [`NAMES`], and in [`Entry`](crate::row::Entry).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Columns<T> {
    pub key: T,
    pub bucket: T,
    pub version_id: T,
    pub size: T,
    pub etag: T,
    pub dest: T,
    pub last_modified: T,
    /// Says which version it is, as in an inventory.
    pub is_latest: T,
    pub is_delete_marker: T,
    /// In the order of [`RowAlgorithm::ALL`].
    pub checksums: [T; 6],
}

impl<T> Columns<T> {
    /// Borrows each column.
    pub fn each_ref(&self) -> Columns<&T> {
        Columns {
            key: &self.key,
            bucket: &self.bucket,
            version_id: &self.version_id,
            size: &self.size,
            etag: &self.etag,
            dest: &self.dest,
            last_modified: &self.last_modified,
            is_latest: &self.is_latest,
            is_delete_marker: &self.is_delete_marker,
            checksums: self.checksums.each_ref(),
        }
    }

    /// Converts each column.
    pub fn map<U>(self, mut convert: impl FnMut(T) -> U) -> Columns<U> {
        Columns {
            key: convert(self.key),
            bucket: convert(self.bucket),
            version_id: convert(self.version_id),
            size: convert(self.size),
            etag: convert(self.etag),
            dest: convert(self.dest),
            last_modified: convert(self.last_modified),
            is_latest: convert(self.is_latest),
            is_delete_marker: convert(self.is_delete_marker),
            checksums: self.checksums.map(convert),
        }
    }

    pub fn get_mut(&mut self, column: Column) -> &mut T {
        match column {
            Column::Key => &mut self.key,
            Column::Bucket => &mut self.bucket,
            Column::VersionId => &mut self.version_id,
            Column::Size => &mut self.size,
            Column::Etag => &mut self.etag,
            Column::Dest => &mut self.dest,
            Column::LastModified => &mut self.last_modified,
            Column::IsLatest => &mut self.is_latest,
            Column::IsDeleteMarker => &mut self.is_delete_marker,
            Column::Checksum(algorithm) => {
                let [md5, sha256, sha1, crc32, crc32c, crc64nvme] = &mut self.checksums;
                match algorithm {
                    RowAlgorithm::Md5 => md5,
                    RowAlgorithm::Sha256 => sha256,
                    RowAlgorithm::Sha1 => sha1,
                    RowAlgorithm::Crc32 => crc32,
                    RowAlgorithm::Crc32c => crc32c,
                    RowAlgorithm::Crc64Nvme => crc64nvme,
                }
            }
        }
    }
}

/// The names per column, in the form of [`simple`]. Where a table has several of them, the first one counts.
const NAMES: [(Column, &[&str]); 15] = [
    (Column::Key, &["key", "objectkey", "s3key", "keyname"]),
    (Column::Bucket, &["bucket", "bucketname", "s3bucket"]),
    (Column::VersionId, &["versionid", "objectversionid"]),
    (
        Column::Size,
        &[
            "size",
            "sizeinbytes",
            "sizebytes",
            "objectsize",
            "contentlength",
        ],
    ),
    (Column::Etag, &["etag"]),
    (Column::LastModified, &["lastmodified", "lastmodifieddate"]),
    (Column::Dest, &["dest"]),
    (Column::IsLatest, &["islatest"]),
    (Column::IsDeleteMarker, &["isdeletemarker"]),
    (
        Column::Checksum(RowAlgorithm::Md5),
        &["md5", "md5sum", "md5checksum", "contentmd5", "checksummd5"],
    ),
    (
        Column::Checksum(RowAlgorithm::Sha256),
        &["sha256", "sha256sum", "checksumsha256"],
    ),
    (
        Column::Checksum(RowAlgorithm::Sha1),
        &["sha1", "sha1sum", "checksumsha1"],
    ),
    (
        Column::Checksum(RowAlgorithm::Crc32),
        &["crc32", "checksumcrc32"],
    ),
    (
        Column::Checksum(RowAlgorithm::Crc32c),
        &["crc32c", "checksumcrc32c"],
    ),
    (
        Column::Checksum(RowAlgorithm::Crc64Nvme),
        &["crc64nvme", "checksumcrc64nvme"],
    ),
];

/// The letters of a name that matter, in lower case.
fn simple(name: &str) -> impl Iterator<Item = char> {
    let matters = |c: &char| !matches!(c, '_' | '-' | ' ' | '"' | '\u{feff}');
    name.chars().filter(matters).map(|c| c.to_ascii_lowercase())
}

/// Whether a column of this name holds paths or URIs, some of which may be keys.
pub(super) fn is_path(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "uri", "s3uri", "url", "s3url", "path", "s3path", "filepath", "filename", "file", "object",
    ];
    NAMES.iter().any(|known| known.chars().eq(simple(name)))
}

/// The column that `name` names, and how good the name is: 0 is the best.
pub(super) fn column_named(name: &str) -> Option<(Column, usize)> {
    NAMES.iter().find_map(|(column, names)| {
        let is_it = |known: &&str| known.chars().eq(simple(name));
        Some((*column, names.iter().position(is_it)?))
    })
}

/// Where the columns of a table stand, by their names. `key_column` names the one that holds the key.
pub(super) fn positions(names: &[&str], key_column: Option<&str>) -> Columns<Option<usize>> {
    let mut found: Columns<Option<(usize, usize)>> = Columns::default();
    for (position, name) in names.iter().enumerate() {
        let Some((column, rank)) = column_named(name) else {
            continue;
        };
        let place = found.get_mut(column);
        if place.is_none_or(|(best, _)| rank < best) {
            *place = Some((rank, position));
        }
    }
    let mut found = found.map(|place| place.map(|(_, position)| position));
    if let Some(wanted) = key_column {
        let exact = names.iter().position(|name| name.trim() == wanted.trim());
        let similar = || {
            names
                .iter()
                .position(|name| simple(name).eq(simple(wanted)))
        };
        found.key = exact.or_else(similar);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_in_any_case_and_spelling() {
        for (name, column) in [
            ("key", Column::Key),
            ("Key", Column::Key),
            ("KEY", Column::Key),
            ("object_key", Column::Key),
            (" Key ", Column::Key),
            ("Bucket", Column::Bucket),
            ("VersionId", Column::VersionId),
            ("version_id", Column::VersionId),
            ("Size", Column::Size),
            ("ETag", Column::Etag),
            ("e_tag", Column::Etag),
            ("LastModified", Column::LastModified),
            ("last_modified_date", Column::LastModified),
            ("Last Modified", Column::LastModified),
            ("is_delete_marker", Column::IsDeleteMarker),
            ("IsLatest", Column::IsLatest),
            ("md5", Column::Checksum(RowAlgorithm::Md5)),
            ("ChecksumSHA256", Column::Checksum(RowAlgorithm::Sha256)),
            ("CRC64NVME", Column::Checksum(RowAlgorithm::Crc64Nvme)),
        ] {
            let found = column_named(name).map(|(column, _)| column);
            assert_eq!(found, Some(column), "{name}");
        }
        for name in ["", "keys", "filename", "Size (MB)", "checksum", "version"] {
            assert_eq!(column_named(name), None, "{name}");
        }
    }

    #[test]
    fn the_best_name_counts_and_the_column_of_the_key_can_be_named() {
        let names = ["object_key", "size", "Key", "Size", "File Name"];
        let found = positions(&names, None);
        assert_eq!((found.key, found.size), (Some(2), Some(1)));
        assert_eq!(positions(&names, Some("object_key")).key, Some(0));
        assert_eq!(positions(&names, Some("file_name")).key, Some(4));
        assert_eq!(positions(&names, Some("nowhere")).key, None);
    }
}
