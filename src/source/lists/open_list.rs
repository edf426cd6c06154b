//! Opens the lists before anything else happens, so that a missing one is reported at once.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::error::ListError;
use crate::source::list::format::{Format, ListProblem};
use crate::source::list::null;
use crate::source::options::ListSource;
use crate::source::prefix::Listing;
use crate::source::remote::RemoteList;

/// A list that is open for reading.
pub(crate) struct OpenList {
    pub(super) info: ListInfo,
    /// Empty for a list in S3 and for a listing: nothing is requested before it is read.
    pub(super) input: Box<dyn Read + Send>,
}

/// What is known about a list before it is read.
#[derive(Debug, Default)]
pub(super) struct ListInfo {
    /// The name used in messages.
    pub name: String,
    /// The folder of the list, if it is a file.
    pub folder: Option<PathBuf>,
    /// Whether its name says that it is a table: `keys.csv`, `keys.tsv.gz`.
    pub is_named_table: bool,
    /// The list, if it is a plain file, which can be read again.
    pub path: Option<PathBuf>,
    /// The list, if it stands in S3.
    pub remote: Option<RemoteList>,
    /// The last bytes, if the list is a file.
    pub end: Vec<u8>,
    /// The format of keys on the command line, which `--keys-format` does not change; `None` for other lists.
    pub format: Option<&'static Format>,
    /// What to list, if that is how the rows are found.
    pub listing: Option<Listing>,
}

impl ListInfo {
    pub(super) fn error(&self, action: &'static str, problem: ListProblem) -> ListError {
        ListError {
            action,
            list: format!("the key list {}", self.name),
            problem,
        }
    }

    /// Makes it that of a list in S3.
    pub(super) fn set_remote(&mut self, list: RemoteList) {
        self.name = format!("`{list}`");
        self.is_named_table = is_named_table(Path::new(&list.key));
        self.remote = Some(list);
    }
}

/// Opens the lists, so that a missing one is reported before anything else happens.
///
/// # Errors
/// If a file does not exist, is a folder, or must not be read.
pub(crate) fn open(sources: &[ListSource]) -> Result<Vec<OpenList>, ListError> {
    sources.iter().map(open_one).collect()
}

fn open_one(source: &ListSource) -> Result<OpenList, ListError> {
    let mut info = ListInfo {
        name: source.name(),
        ..ListInfo::default()
    };
    let input: Box<dyn Read + Send> = match source {
        ListSource::Stdin => Box::new(io::stdin()),
        ListSource::File(path) => {
            info.is_named_table = is_named_table(path);
            info.folder = path
                .canonicalize()
                .ok()
                .and_then(|path| path.parent().map(Path::to_owned));
            match open_file(path) {
                Ok((file, end)) => {
                    info.path = path.is_file().then(|| path.clone());
                    info.end = end;
                    Box::new(file)
                }
                Err(error) => return Err(info.error("open", error.into())),
            }
        }
        ListSource::Prefix(listing) => {
            info.listing = Some(listing.clone());
            Box::new(io::empty())
        }
        ListSource::Remote(list) => {
            info.set_remote(list.clone());
            Box::new(io::empty())
        }
        ListSource::Arguments(keys) => {
            info.format = Some(&null::FORMAT);
            Box::new(Cursor::new(keys.join("\0")))
        }
    };
    Ok(OpenList { info, input })
}

/// Whether the name, with or without the ending of a compressed file, is that of a table.
fn is_named_table(path: &Path) -> bool {
    let has_ending = |path: &Path, endings: &[&str]| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| {
            endings
                .iter()
                .any(|known| known.eq_ignore_ascii_case(ending))
        })
    };
    let is_compressed = has_ending(path, &["gz", "zst", "zstd"]);
    let inner = path.file_stem().map(Path::new).filter(|_| is_compressed);
    has_ending(inner.unwrap_or(path), &["csv", "tsv"])
}

/// Opens a list; also returns its last bytes, if it is a file in which one can go to and fro.
fn open_file(path: &Path) -> io::Result<(File, Vec<u8>)> {
    const END: u64 = 1024;
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let mut end = Vec::new();
    if metadata.is_file() {
        file.seek(SeekFrom::Start(metadata.len().saturating_sub(END)))?;
        (&mut file).take(END).read_to_end(&mut end)?;
        file.rewind()?;
    }
    Ok((file, end))
}
