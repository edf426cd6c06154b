//! Why a command line cannot be used.

/// A command line that contradicts itself or lacks something. The message names the option and the fix.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub(super) String);
