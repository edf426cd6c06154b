//! The index of an archive: a CSV with a line per file, so that single files can be read out of it.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use super::file::{ArchiveError, with_suffix};
use crate::sink::files::first_bytes;

const HEADER: [&str; 4] = ["path", "offset", "size", "crc64nvme"];

/// An index that is being written, beside itself until it is whole.
#[derive(Debug)]
pub(super) struct Index {
    writer: csv::Writer<BufWriter<File>>,
    partial: PathBuf,
    target: PathBuf,
    /// Whether it is worth keeping: it has a file, or its name.
    is_kept: bool,
}

/// The index of an archive: `a.csv` for `a.tar`, and else the archive's name with `.csv` behind it, so that no two archives
/// have one.
pub(super) fn index_of(archive: &Path) -> PathBuf {
    let is_tar = archive
        .extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("tar"));
    if is_tar {
        return archive.with_extension("csv");
    }
    let mut name = archive.file_name().unwrap_or_default().to_owned();
    name.push(".csv");
    archive.with_file_name(name)
}

impl Index {
    /// Begins the index of `archive`.
    ///
    /// # Errors
    /// When another file has its name, or the file system refuses.
    pub(super) fn create(archive: &Path) -> Result<Self, ArchiveError> {
        let target = index_of(archive);
        let partial = with_suffix(&target);
        for path in [&target, &partial] {
            let is_free = is_free_or_index(path);
            if !is_free.map_err(|error| ArchiveError::Io {
                path: path.clone(),
                error,
            })? {
                return Err(ArchiveError::ForeignIndex(path.clone()));
            }
        }
        let path = target.clone();
        Self::begin(partial, target).map_err(|error| ArchiveError::Io { path, error })
    }

    fn begin(partial: PathBuf, target: PathBuf) -> io::Result<Self> {
        // What an earlier run left is not written to: it may have another name, too.
        match std::fs::remove_file(&partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::create_new(&partial)?;
        let mut writer = csv::Writer::from_writer(BufWriter::new(file));
        writer.write_record(HEADER)?;
        Ok(Self {
            writer,
            partial,
            target,
            is_kept: false,
        })
    }

    /// Adds a file whose content of `size` bytes begins at `offset`.
    ///
    /// # Errors
    /// When the file system refuses.
    pub(super) fn add(&mut self, path: &str, offset: u64, size: u64, crc: u64) -> io::Result<()> {
        self.is_kept = true;
        let crc = base64_simd::STANDARD.encode_to_string(crc.to_be_bytes());
        let (offset, size) = (offset.to_string(), size.to_string());
        Ok(self.writer.write_record([path, &offset, &size, &crc])?)
    }

    /// Gives the index its name.
    ///
    /// # Errors
    /// When the file system refuses, or something else has its name by now.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.writer.flush()?;
        if !is_free_or_index(&self.target)? {
            let target = self.target.display();
            return Err(io::Error::other(format!(
                "`{target}` was put there meanwhile and is not an index, so it is not replaced"
            )));
        }
        std::fs::rename(&self.partial, &self.target)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Index {
    /// Leaves nothing behind that has no file.
    fn drop(&mut self) {
        if !self.is_kept {
            // It is empty but for its header, and the next run takes it.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}

/// Whether nothing but an index, or nothing at all, is lost when an index takes the place of what is at `path`.
fn is_free_or_index(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => Ok(false),
        Ok(metadata) if metadata.len() == 0 => Ok(true),
        Ok(_) => {
            let header = HEADER.join(",");
            Ok(first_bytes(path, header.len() as u64)? == header.as_bytes())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}
