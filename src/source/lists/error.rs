//! Why a list cannot be read.

use crate::outcome::Failure;
use crate::source::list::format::ListProblem;

/// A list that cannot be opened or read further, so that the run cannot know its remaining rows.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {list}: {problem}")]
pub struct ListError {
    pub(super) action: &'static str,
    pub(super) list: String,
    pub(super) problem: ListProblem,
}

impl ListError {
    /// Why the requests for it failed, if there were any.
    pub fn failure(&self) -> Option<&Failure> {
        match &self.problem {
            ListProblem::Listing(failure) => Some(failure),
            ListProblem::Io(error) => error.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// Whether it was a listing that failed.
    pub fn is_of_listing(&self) -> bool {
        matches!(self.problem, ListProblem::Listing(_))
    }

    /// Whether the command line lacks something that it needs for this list.
    pub fn is_usage(&self) -> bool {
        matches!(self.problem, ListProblem::NoBucket)
    }
}
