//! The formats of key lists. A format is one file here and one line in [`FORMATS`]; `detect` chooses between them once per
//! list.

mod aws_s3_ls;
mod aws_text;
mod binary;
pub(crate) mod bucket;
pub(crate) mod columns;
pub(crate) mod compression;
mod csv;
mod data_files;
pub(crate) mod detect;
mod encoding;
pub(crate) mod findings;
mod foreign;
pub(crate) mod format;
mod inventory;
mod json;
mod lines;
pub(crate) mod listing;
mod manifest;
mod names;
mod not_keys;
pub(crate) mod null;
#[cfg(feature = "parquet")]
mod parquet;
mod quotes;
mod row_limit;
mod s5cmd_ls;
mod s5cmd_run;
pub(crate) mod sample;
mod shell_words;
mod size;
mod uri_listing;
pub(crate) mod url;

use format::Format;

/// The formats in the order in which `auto` tries them. The last one accepts every list.
pub(crate) static FORMATS: &[&Format] = &[
    #[cfg(feature = "parquet")]
    &parquet::FORMAT,
    &inventory::FORMAT,
    &json::FORMAT,
    &csv::FORMAT,
    &csv::TSV,
    &aws_s3_ls::FORMAT,
    &s5cmd_ls::FORMAT,
    &s5cmd_run::FORMAT,
    &uri_listing::S3CMD,
    &uri_listing::GSUTIL,
    &aws_text::FORMAT,
    &null::FORMAT,
    &lines::FORMAT,
];

/// Finds the format that `--keys-format` calls `name`.
pub(crate) fn format_named(name: &str) -> Option<&'static Format> {
    FORMATS.iter().copied().find(|format| format.name == name)
}
