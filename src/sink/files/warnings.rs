//! Steps that a file can do without: what the file system refuses of them is told once per run, and the file is kept.

use std::fmt;
use std::io;
use std::sync::{Mutex, OnceLock};

use crate::locks::lock;

/// A step that a file can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OptionalStep {
    /// Without it, two processes that write one file are not kept apart.
    Lock,
    SetTimes,
    Preallocate,
}

/// Prints a warning.
pub struct OnWarning(pub Box<dyn Fn(&str) + Send + Sync>);

impl fmt::Debug for OnWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnWarning")
    }
}

/// The warnings of a run.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    printer: OnceLock<OnWarning>,
    told: Mutex<Vec<OptionalStep>>,
}

impl Warnings {
    /// Has the warnings printed by `printer`; before that they are not.
    pub(crate) fn print_by(&self, printer: OnWarning) {
        // The first one stays.
        let _ = self.printer.set(printer);
    }

    /// Warns, the first time, that the file system refused `step` for the file at `path`.
    pub(crate) fn refused(&self, step: OptionalStep, path: &str, error: &io::Error) {
        let Some(OnWarning(print)) = self.printer.get() else {
            return;
        };
        let mut told = lock(&self.told);
        if told.contains(&step) {
            return;
        }
        told.push(step);
        drop(told);
        print(&message(step, path, error));
    }
}

fn message(step: OptionalStep, path: &str, error: &io::Error) -> String {
    let path = path.escape_debug();
    match step {
        OptionalStep::Lock => format!(
            "cannot lock `{path}`: {error}; going on without locks: do not run s3pull twice at once in one folder"
        ),
        OptionalStep::SetTimes => format!(
            "cannot set the time of `{path}`: {error}; files keep the time of their download where that fails"
        ),
        OptionalStep::Preallocate => format!(
            "cannot reserve room for `{path}`: {error}; going on without: a full disk shows only once it is full"
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn each_step_is_told_once() {
        let (warnings, printed) = (Warnings::default(), Arc::new(Mutex::new(Vec::new())));
        let lines = Arc::clone(&printed);
        let error = io::Error::from(io::ErrorKind::PermissionDenied);
        let refuse = |step| warnings.refused(step, "a\nb", &error);
        refuse(OptionalStep::Lock);
        warnings.print_by(OnWarning(Box::new(move |line| {
            lines.lock().unwrap().push(line.to_owned());
        })));
        for _ in 0..3 {
            refuse(OptionalStep::Lock);
            refuse(OptionalStep::SetTimes);
            refuse(OptionalStep::Preallocate);
        }
        let printed = printed.lock().unwrap();
        let starts = [
            "cannot lock `a\\nb`",
            "cannot set the time",
            "cannot reserve room",
        ];
        assert_eq!(printed.len(), starts.len());
        for (line, start) in printed.iter().zip(starts) {
            assert!(line.starts_with(start), "{line}");
        }
    }
}
