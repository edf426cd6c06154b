//! Reads the `manifest.json` of an S3 Inventory: the columns of its data files, and where these are.
//! (S3 user guide, "Locating your inventory list".)

use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::data_files::{DataFile, Place};
use super::format::ListProblem;
use crate::printable::{count, number};
use crate::row::{RowAlgorithm, RowChecksum};
use crate::source::remote::RemoteList;

/// Most bytes of a manifest. Each data file takes some 200 of them.
const MAX_MANIFEST: u64 = 64 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    file_format: String,
    pub file_schema: String,
    /// Where the data files are in S3: an ARN, or a bare name.
    #[serde(default)]
    destination_bucket: String,
    files: Vec<NamedFile>,
}

#[derive(Debug, Deserialize)]
struct NamedFile {
    key: String,
    /// Bytes.
    size: u64,
    #[serde(rename = "MD5checksum", default)]
    md5: String,
}

/// Where a manifest was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// Its folder, if it is a file.
    pub folder: Option<&'a Path>,
    /// Itself, if it stands in S3.
    pub remote: Option<&'a RemoteList>,
    /// Whether requests can be made.
    pub can_fetch: bool,
}

impl Manifest {
    pub(super) fn read(input: &mut dyn BufRead) -> Result<Self, ListProblem> {
        let mut text = Vec::new();
        input.take(MAX_MANIFEST).read_to_end(&mut text)?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| {
            ListProblem::Unreadable(format!("it is not a manifest of an S3 Inventory: {error}"))
        })?;
        let can_be_read =
            manifest.file_format == "CSV" || cfg!(feature = "parquet") && manifest.is_parquet();
        if !can_be_read {
            let cure = match (manifest.is_parquet(), cfg!(feature = "parquet")) {
                (true, _) => {
                    "build s3pull with `--features parquet`, or configure the inventory to use CSV"
                }
                (false, true) => "configure the inventory to use CSV or Parquet",
                (false, false) => "configure the inventory to use CSV",
            };
            return Err(ListProblem::Unreadable(format!(
                "the inventory's files are {}, which cannot be read: {cure}, or query it with Athena and use the result's CSV",
                manifest.file_format
            )));
        }
        Ok(manifest)
    }

    pub(super) fn is_parquet(&self) -> bool {
        self.file_format.eq_ignore_ascii_case("Parquet")
    }

    /// Finds all data files, near the manifest or in S3, before any of their rows is read.
    ///
    /// # Errors
    /// If one is not there, or has another size than the manifest says.
    pub(super) fn data_files(&self, found: Found<'_>) -> Result<Vec<DataFile>, ListProblem> {
        let bucket = self.bucket(found);
        let files = self.files.iter().map(|file| file.find(found, bucket));
        files.collect()
    }

    /// The bucket of the data files; `None` where nothing can be fetched, or nothing tells it.
    fn bucket<'a>(&'a self, found: Found<'a>) -> Option<&'a str> {
        let named = match self.destination_bucket.split_once(":::") {
            Some((arn, bucket)) if arn.starts_with("arn:") => bucket,
            _ => self.destination_bucket.as_str(),
        };
        let named = Some(named).filter(|bucket| !bucket.is_empty());
        let of_manifest = || found.remote.map(|list| list.bucket.as_str());
        named.or_else(of_manifest).filter(|_| found.can_fetch)
    }
}

impl NamedFile {
    fn find(&self, found: Found<'_>, bucket: Option<&str>) -> Result<DataFile, ListProblem> {
        let beside = found.folder.and_then(|folder| self.beside(folder));
        let place = match (beside, bucket) {
            (Some(path), _) => Place::Local(path),
            (None, Some(bucket)) => Place::Remote(RemoteList {
                bucket: bucket.to_owned(),
                key: self.key.clone(),
            }),
            (None, None) => {
                return Err(ListProblem::Unreadable(format!(
                    "its data file `{}` is missing: put it beside the manifest, or in a folder `data` beside it",
                    self.key
                )));
            }
        };
        if let Place::Local(path) = &place {
            let length = path.metadata()?.len();
            if length != self.size {
                return Err(ListProblem::Unreadable(format!(
                    "its data file `{}` has {}, but the manifest says {}",
                    path.display(),
                    count(length, "byte"),
                    number(self.size)
                )));
            }
        }
        let md5 = RowChecksum::parse(RowAlgorithm::Md5, &self.md5);
        Ok(DataFile {
            place,
            size: self.size,
            md5: md5.and_then(|md5| <[u8; 16]>::try_from(&*md5.value).ok()),
        })
    }

    /// The file near the manifest, which is in `folder`.
    fn beside(&self, folder: &Path) -> Option<PathBuf> {
        self.places(folder).into_iter().find(|path| path.is_file())
    }

    /// The paths to try: beside the manifest, and the places that the file has in a copy of the inventory's whole prefix,
    /// where `config/data/` is next to the folder of `config/date/manifest.json`.
    fn places(&self, folder: &Path) -> Vec<PathBuf> {
        let segments: Vec<_> = self.key.split('/').collect();
        let name = match segments.last() {
            // A name that leads outside these folders is not a data file.
            Some(name) if !segments.contains(&"..") && !name.is_empty() => *name,
            _ => return Vec::new(),
        };
        let beside = [folder.join(name), folder.join("data").join(name)];
        let above = folder.parent().map(|above| above.join("data").join(name));
        let mirrored = folder.ancestors().map(|ancestor| {
            segments
                .iter()
                .fold(ancestor.to_owned(), |path, segment| path.join(segment))
        });
        beside.into_iter().chain(above).chain(mirrored).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_files_are_looked_for_in_the_destination_bucket() {
        let remote = RemoteList::parse("s3://own/i/manifest.json").unwrap();
        let found = Found {
            folder: None,
            remote: Some(&remote),
            can_fetch: true,
        };
        for (destination, bucket) in [
            (r#""destinationBucket": "arn:aws:s3:::dest","#, "dest"),
            (r#""destinationBucket": "arn:aws-cn:s3:::dest","#, "dest"),
            (r#""destinationBucket": "dest","#, "dest"),
            (r#""destinationBucket": "","#, "own"),
            ("", "own"),
        ] {
            let text = format!(
                r#"{{{destination} "fileFormat": "CSV", "fileSchema": "Bucket, Key",
                "files": [{{"key": "i/data/1.csv.gz", "size": 3, "MD5checksum": "900150983cd24fb0d6963f7d28e17f72"}}]}}"#
            );
            let manifest = Manifest::read(&mut text.as_bytes()).unwrap();
            let files = manifest.data_files(found).unwrap();
            let place = RemoteList {
                bucket: bucket.to_owned(),
                key: "i/data/1.csv.gz".to_owned(),
            };
            assert_eq!(files[0].place, Place::Remote(place), "{destination}");
            assert_eq!(files[0].md5.map(|md5| md5[0]), Some(0x90));
            let without = Found {
                can_fetch: false,
                ..found
            };
            assert!(manifest.data_files(without).is_err());
        }
    }

    #[test]
    fn other_formats_are_refused_with_the_cure() {
        let text = r#"{"fileFormat": "ORC", "fileSchema": "x", "files": []}"#;
        let message = Manifest::read(&mut text.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("ORC") && message.contains("to use CSV") && message.contains("Athena"),
            "{message}"
        );
    }
}
