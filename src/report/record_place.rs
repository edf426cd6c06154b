//! Where the failed-keys CSV may go, and what may be replaced by it: another failed-keys CSV, an empty file, nothing else.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::other_bucket::{KNOWN_COLUMNS, other_bucket};
use crate::options::FailedName;
use crate::sink::files::{UserFile, first_bytes, is_same_file};
use crate::source::ListOptions;

/// More bytes than a header has, of this version or a later one.
const MAX_HEADER: u64 = 1024;

/// Names that are tried for a record that does not cover the list.
const MAX_NAMES: u32 = 1000;

/// Bytes of a file's name that file systems take.
const MAX_NAME: usize = 255;

/// Why the CSV cannot go where `--failed` says.
#[derive(Debug, thiserror::Error)]
pub enum RefusedPlace {
    #[error("`{}` exists and is not a failed-keys CSV, so it is not replaced", .0.display())]
    Foreign(PathBuf),
    #[error("`{}` exists and is not a file of events, so it is not replaced", .0.display())]
    ForeignEvents(PathBuf),
    #[error("`{}` exists and is not a log of s3pull, so nothing is added to it", .0.display())]
    ForeignLog(PathBuf),
    #[error("`{}` cannot be read again, so that no row in it can be tried again (`--retry-failed`)", .0.display())]
    NotReadAgain(PathBuf),
    #[error("`{}` is a {kind}, so the failed-keys CSV cannot be written there", .path.display())]
    InTheWay { path: PathBuf, kind: &'static str },
    #[error(
        "`{}` is the key list of every shard: with `--shard`, `--failed` would leave only one shard's failed keys in it",
        .0.display()
    )]
    ListOfAllShards(PathBuf),
    #[error(
        "`{}` has the failed keys of the bucket `{}`, which this run would replace",
        .path.display(),
        .bucket.escape_debug()
    )]
    OtherBucket { path: PathBuf, bucket: String },
}

impl RefusedPlace {
    pub fn hint(&self) -> String {
        let hint = match self {
            Self::Foreign(_) => {
                "`--failed` names the file to write; to retry failed keys, give the CSV as `--keys`"
            }
            Self::ForeignEvents(_) => {
                "`--events` names the file to write: name another, or remove this one"
            }
            Self::ForeignLog(_) => {
                "`--log` names the file that lines are added to: name another, or remove this one"
            }
            Self::NotReadAgain(_) => {
                "`--failed` names the CSV: with `--retry-failed` it must be a file"
            }
            Self::InTheWay { kind: "folder", .. } => {
                "`--failed` names a file, for example one in that folder"
            }
            Self::InTheWay { .. } => "`--failed` names a file",
            Self::ListOfAllShards(_) => {
                "without `--failed`, each shard writes a CSV of its own: `s3pull-failed-K-of-N.csv`"
            }
            Self::OtherBucket { path, bucket } => {
                return format!(
                    "retry them first, with `--bucket {bucket} --keys {path}`; or name another file for this run with `--failed FILE`; `--failed {path}` replaces it",
                    bucket = bucket.escape_debug(),
                    path = path.display(),
                );
            }
        };
        hint.to_owned()
    }
}

/// Where the CSV goes.
#[derive(Debug, Clone)]
pub struct RecordPlace {
    /// As it was typed.
    path: PathBuf,
    file: UserFile,
    /// The lists that are files, none of which may be lost.
    lists: Vec<PathBuf>,
}

impl RecordPlace {
    /// Looks at what is at `path`, and changes nothing.
    ///
    /// # Errors
    /// [`RefusedPlace`] when something is there that must not be replaced; else when the file system does not say.
    pub fn find(path: &Path, name: FailedName, list: &ListOptions) -> anyhow::Result<Self> {
        let file = UserFile::at(path).with_context(|| cannot_write(path))?;
        match &file {
            UserFile::InTheWay(kind) => {
                let path = path.to_owned();
                return Err(RefusedPlace::InTheWay { path, kind }.into());
            }
            UserFile::File(target)
                if !is_free_or_ours(target).with_context(|| cannot_write(path))? =>
            {
                return Err(RefusedPlace::Foreign(path.to_owned()).into());
            }
            UserFile::File(target)
                if list.shard.is_some() && list.files().any(|list| is_same_file(list, target)) =>
            {
                return Err(RefusedPlace::ListOfAllShards(path.to_owned()).into());
            }
            // What is read from it is written to it again.
            UserFile::File(target)
                if name == FailedName::Default
                    && !list.files().any(|list| is_same_file(list, target)) =>
            {
                let other = other_bucket_at(target, list);
                if let Some(bucket) = other.with_context(|| cannot_write(path))? {
                    let path = path.to_owned();
                    return Err(RefusedPlace::OtherBucket { path, bucket }.into());
                }
            }
            UserFile::File(_) | UserFile::Stream => {}
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            lists: list.files().map(Path::to_owned).collect(),
        })
    }

    /// The place, of a CSV whose rows are tried again in `n_rounds` rounds.
    ///
    /// # Errors
    /// [`RefusedPlace`] if it is a stream, which cannot be read again.
    pub fn for_rounds(self, n_rounds: u32) -> anyhow::Result<Self> {
        if n_rounds > 0 && self.file == UserFile::Stream {
            return Err(RefusedPlace::NotReadAgain(self.path).into());
        }
        Ok(self)
    }

    /// The place as it was typed.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self) -> &UserFile {
        &self.file
    }

    /// The lists that are files, none of which may be lost.
    pub(super) fn lists(&self) -> &[PathBuf] {
        &self.lists
    }

    /// The files that a run may put there.
    pub fn files(&self) -> Vec<PathBuf> {
        match &self.file {
            UserFile::File(target) => {
                vec![self.path.clone(), target.clone(), incomplete(target, 1)]
            }
            UserFile::Stream | UserFile::InTheWay(_) => Vec::new(),
        }
    }
}

fn other_bucket_at(path: &Path, list: &ListOptions) -> io::Result<Option<String>> {
    match other_bucket(path, |name| list.may_be_of(name)) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other,
    }
}

pub(super) fn cannot_write(path: &Path) -> String {
    format!("cannot write the failed-keys CSV `{}`", path.display())
}

/// The `n`th name, from 1, for a record that does not cover the whole list: `NAME.incomplete`, `NAME.incomplete-2`, ….
fn incomplete(target: &Path, n: u32) -> PathBuf {
    let suffix = match n {
        1 => ".incomplete".to_owned(),
        n => format!(".incomplete-{n}"),
    };
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let fits = name.floor_char_boundary(MAX_NAME - suffix.len());
    target.with_file_name(format!("{}{suffix}", &name[..fits]))
}

/// The first name beside `target` under which the rows can be left without replacing one of `lists`.
pub(super) fn free_beside(target: &Path, lists: &[PathBuf]) -> Option<PathBuf> {
    let is_no_loss = |path: &PathBuf| {
        is_free_or_ours(path).is_ok_and(|is_free| is_free)
            && !lists.iter().any(|list| is_same_file(list, path))
    };
    (1..MAX_NAMES)
        .map(|n| incomplete(target, n))
        .find(is_no_loss)
}

/// Whether nothing is lost when a CSV takes the place of what is at `path`, which is not followed if it is a symlink.
pub(super) fn is_free_or_ours(path: &Path) -> io::Result<bool> {
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => Ok(false),
        Ok(metadata) => Ok(metadata.len() == 0 || begins_as_ours(&first_bytes(path, MAX_HEADER)?)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// Whether a file that begins so is a failed-keys CSV, of whatever version, as it was or as a spreadsheet wrote it.
fn begins_as_ours(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let is_first_line = |byte: &u8| !matches!(byte, b'\r' | b'\n');
    let line = bytes.split(|byte| !is_first_line(byte)).next();
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .from_reader(line.unwrap_or_default());
    let mut header = csv::ByteRecord::new();
    let is_read = reader.read_byte_record(&mut header);
    let known = KNOWN_COLUMNS.map(str::as_bytes);
    is_read.is_ok() && header.iter().take(known.len()).eq(known)
}

#[cfg(test)]
mod tests;
