//! Reads the `manifest.json` of an S3 Inventory: the columns of its data files, and where these are.
//! (S3 user guide, "Locating your inventory list".)

use std::fs::File;
use std::io::{BufRead, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::format::ListProblem;

/// Most bytes of a manifest. Each data file takes some 200 of them.
const MAX_MANIFEST: u64 = 64 * 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    file_format: String,
    pub file_schema: String,
    files: Vec<DataFile>,
}

#[derive(Debug, Deserialize)]
struct DataFile {
    key: String,
    /// Bytes.
    size: u64,
}

impl Manifest {
    pub fn read(input: &mut dyn BufRead) -> Result<Self, ListProblem> {
        let mut text = Vec::new();
        input.take(MAX_MANIFEST).read_to_end(&mut text)?;
        let manifest: Self = serde_json::from_slice(&text).map_err(|error| {
            ListProblem::Inventory(format!("it is not a manifest of an S3 Inventory: {error}"))
        })?;
        let can_be_read =
            manifest.file_format == "CSV" || cfg!(feature = "parquet") && manifest.is_parquet();
        if !can_be_read {
            let other = if manifest.is_parquet() {
                "build s3pull with `--features parquet`, or "
            } else {
                ""
            };
            return Err(ListProblem::Inventory(format!(
                "the inventory's files are {}, which cannot be read: {other}configure the inventory to use CSV",
                manifest.file_format
            )));
        }
        Ok(manifest)
    }

    pub fn is_parquet(&self) -> bool {
        self.file_format.eq_ignore_ascii_case("Parquet")
    }

    /// Finds all data files near the manifest, which is in `folder`, before any of their rows is read.
    pub fn find_files(&self, folder: &Path) -> Result<Vec<PathBuf>, ListProblem> {
        self.files.iter().map(|file| file.find(folder)).collect()
    }
}

impl DataFile {
    fn find(&self, folder: &Path) -> Result<PathBuf, ListProblem> {
        let path = self.places(folder).into_iter().find(|path| path.is_file());
        let Some(path) = path else {
            return Err(ListProblem::Inventory(format!(
                "its data file `{}` is missing: put it beside the manifest, or in a folder `data` beside it",
                self.key
            )));
        };
        let length = File::open(&path)?.metadata()?.len();
        if length != self.size {
            return Err(ListProblem::Inventory(format!(
                "its data file `{}` has {length} bytes, but the manifest says {}",
                path.display(),
                self.size
            )));
        }
        Ok(path)
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
