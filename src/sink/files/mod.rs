//! The file system: where a key's file goes, and how it gets there whole. This module alone touches it.
//! Everything here blocks; `transfer` calls it from threads that may.

mod clock;
mod error;
#[cfg(all(test, target_os = "linux"))]
mod every_refusal;
#[cfg(test)]
mod faults;
mod journal;
mod lock;
#[cfg(all(test, target_os = "linux"))]
mod no_locks;
mod output;
mod partial;
mod path;
mod preview;
mod publish;
#[cfg(test)]
mod races;
#[cfg(all(test, target_os = "linux"))]
mod refusals;
mod sys;
#[cfg(test)]
mod testing;
mod there;
mod user_file;
mod warnings;

pub(crate) use error::LocalError;
pub(crate) use journal::{DonePart, Identity, ResumableFile};
pub(crate) use output::OutputFolder;
pub(crate) use partial::PartialFile;
#[cfg(fuzzing)]
pub(crate) use path::encode::decode;
pub(crate) use path::template::{PathTemplate, TemplateError};
pub(crate) use path::{LocalPath, PathRules};
pub(crate) use preview::Preview;
pub(in crate::sink) use sys::{read_exact_at, write_at};
pub(crate) use there::{FileThere, SizeInRow};
pub(crate) use user_file::{
    UserFile, first_bytes, is_of_one_name, is_one_file, is_same_file, is_stdin, is_stdout,
    open_stream, stdout,
};
pub(crate) use warnings::{OnWarning, OptionalStep};
