//! The options for the CSV of what is done.

use std::path::PathBuf;

use clap::Args;

const REPORT: &str = "Report";

// (A doc comment here would become the help of s3pull itself.)
#[derive(Debug, Clone, Args)]
pub struct DoneArgs {
    /// CSV of the keys that were downloaded or kept
    ///
    /// Rows are added as their objects are done, with the checksums of the bytes. It is a key list too, for `check
    /// --offline` or for a later run. Nothing is added to a file that is not such a CSV. Rows are only ever added: an object
    /// that is downloaded or verified again has another row, and the last one of its file counts. So with repeated runs the
    /// file grows by what they download; `--skip-done`, `--if-exists` or a new file for each run keeps it small. With
    /// `--if-exists`, this takes 8 bytes of memory per row of the file.
    #[arg(id = "done", long = "done", value_name = "FILE", hide_short_help = true, help_heading = REPORT)]
    pub file: Option<PathBuf>,

    /// Skip the rows that are in the file of `--done`
    ///
    /// Bucket, key and path must be the same, and so must version, ETag, size and time, as far as a row gives them. Files
    /// are not looked at. This takes 28 bytes of memory per row of the file.
    #[arg(id = "skip_done", long = "skip-done", requires = "done", hide_short_help = true, help_heading = REPORT)]
    pub skips: bool,
}
