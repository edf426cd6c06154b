//! `s3pull check --extra`: the files that are of no row of the list.

use std::collections::HashSet;

use anyhow::Context;
use twox_hash::XxHash3_64;

use crate::exit_code::ExitCode;
use crate::report::Report;
use crate::sink::door::Sink;
use crate::stop::Phase;
use crate::transfer::{Finished, ListEnd, Observer, ObserverError, Shared};

/// Tells the report of every row, and remembers the paths of the rows' files, by their hash.
pub(crate) struct Remembering<'a> {
    report: &'a mut Report,
    paths: Paths,
}

/// The paths of the rows' files.
#[derive(Default)]
pub(crate) struct Paths(HashSet<u64>);

impl<'a> Remembering<'a> {
    pub(crate) fn new(report: &'a mut Report) -> Self {
        Self {
            report,
            paths: Paths::default(),
        }
    }

    pub(crate) fn into_paths(self) -> Paths {
        self.paths
    }
}

impl Observer for Remembering<'_> {
    fn finished(&mut self, finished: &Finished) -> Result<(), ObserverError> {
        if let Some(path) = &finished.path {
            self.paths.0.insert(hash(path.as_str()));
        }
        self.report.finished(finished)
    }

    fn list_ended(&mut self, end: ListEnd) {
        self.report.list_ended(end);
    }
}

/// The result of a check that came to the end of its list, with files that are of none of its rows, whose `paths` these are.
pub(crate) fn with_extra(
    exit: anyhow::Result<ExitCode>,
    shared: &Shared,
    paths: Option<&Paths>,
    report: &mut Report,
) -> anyhow::Result<ExitCode> {
    let is_running = || shared.stop.phase() == Phase::Running;
    match paths.filter(|_| is_running()) {
        Some(paths) if exit.is_ok() => {
            let n_extra = report_extra(&shared.sink, paths, report, is_running)?;
            match exit {
                Ok(ExitCode::Success) if n_extra > 0 => Ok(ExitCode::SomeKeysFailed),
                exit => exit,
            }
        }
        _ => exit,
    }
}

/// Reports the files whose path is none of `paths`, and returns how many there are. `goes_on` is asked for each file.
///
/// # Errors
/// When a folder cannot be read.
fn report_extra(
    sink: &Sink,
    paths: &Paths,
    report: &mut Report,
    goes_on: impl Fn() -> bool,
) -> anyhow::Result<u64> {
    let mut n_extra = 0;
    let looked = sink.for_each_file(|path| {
        if goes_on() && !paths.0.contains(&hash(path)) {
            n_extra += 1;
            report.extra(path);
        }
    });
    looked.context("cannot look for extra files")?;
    Ok(n_extra)
}

fn hash(path: &str) -> u64 {
    XxHash3_64::oneshot(path.as_bytes())
}
