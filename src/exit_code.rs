//! The exit codes of the process. A code never claims more success than there was.

/// The process's exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitCode {
    /// Every key was downloaded or skipped.
    Success,
    /// The run finished; some keys failed and are in the failed-keys CSV.
    SomeKeysFailed,
    /// Wrong usage; nothing was done.
    Usage,
    /// The run could not start or continue.
    Fatal,
    /// Stopped by SIGHUP (128 + 1).
    HungUp,
    /// Stopped by SIGINT (128 + 2).
    Interrupted,
    /// Stopped by SIGTERM (128 + 15).
    Terminated,
}

impl ExitCode {
    /// Whether every row of the list was dealt with.
    pub(crate) fn is_of_whole_list(self) -> bool {
        match self {
            Self::Success | Self::SomeKeysFailed => true,
            Self::Usage | Self::Fatal | Self::HungUp | Self::Interrupted | Self::Terminated => {
                false
            }
        }
    }

    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::SomeKeysFailed => 1,
            Self::Usage => 2,
            Self::Fatal => 3,
            Self::HungUp => 129,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}

#[cfg(test)]
mod tests {
    use crate::exit_code::ExitCode;

    #[test]
    fn codes_are_the_documented_ones() {
        let codes = [
            ExitCode::Success,
            ExitCode::SomeKeysFailed,
            ExitCode::Usage,
            ExitCode::Fatal,
            ExitCode::HungUp,
            ExitCode::Interrupted,
            ExitCode::Terminated,
        ];
        assert_eq!(codes.map(ExitCode::code), [0, 1, 2, 3, 129, 130, 143]);
    }
}
