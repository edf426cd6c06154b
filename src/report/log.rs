//! `--log`: a file that the lines for people are added to.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::SystemTime;

use anyhow::Context as _;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::record_place::RefusedPlace;
use crate::config::Config;
use crate::sink::files::{UserFile, first_bytes, open_stream};

/// What every log begins with.
const BEGINNING: &[u8] = b"s3pull: ";

/// The file that `config` asks for, to be added to, if it asks for one.
///
/// # Errors
/// [`RefusedPlace`] when something else than a log is there; else when it cannot be opened.
pub(super) fn open(config: &Config) -> anyhow::Result<Option<File>> {
    let Some(path) = &config.log else {
        return Ok(None);
    };
    let cannot = || format!("cannot write the log `{}`", path.display());
    let file = match UserFile::at(path).with_context(cannot)? {
        UserFile::Stream => open_stream(path),
        UserFile::InTheWay(kind) => Err(io::Error::other(format!("it is a {kind}"))),
        UserFile::File(target) => {
            if !is_free_or_log(&target).with_context(cannot)? {
                return Err(RefusedPlace::ForeignLog(path.clone()).into());
            }
            File::options().append(true).create(true).open(target)
        }
    };
    file.map(Some).with_context(cannot)
}

fn is_free_or_log(path: &Path) -> io::Result<bool> {
    match first_bytes(path, BEGINNING.len() as u64) {
        Ok(bytes) => Ok(bytes.is_empty() || bytes == BEGINNING),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error),
    }
}

/// `s3pull: started at 2026-01-02T03:04:05Z (s3pull 0.1.0)`
pub(super) fn first_line() -> String {
    let now = OffsetDateTime::from(SystemTime::now());
    let now = now.replace_nanosecond(0).unwrap_or(now);
    let time = now.format(&Rfc3339).unwrap_or_default();
    format!(
        "s3pull: started at {time} (s3pull {})",
        env!("S3PULL_VERSION")
    )
}
