//! Colours of what is printed: what went wrong stands out on a terminal that shows colours.

use std::io::IsTerminal;

const BOLD_RED: &str = "\u{1b}[1;31m";
const RESET: &str = "\u{1b}[0m";

/// What lines begin with.
const NAME: &str = "s3pull: ";
/// The words behind it that stand out.
const STRIKING: [&str; 2] = ["error:", "failed:"];

/// Whether lines have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paint {
    #[default]
    Plain,
    Coloured,
}

impl Paint {
    /// What stderr shows. `NO_COLOR` is as <https://no-color.org> defines it.
    pub fn of_stderr() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let has_colours = std::io::stderr().is_terminal()
            && variable("NO_COLOR").is_none()
            && variable("TERM").is_none_or(|term| term != "dumb");
        if has_colours {
            Self::Coloured
        } else {
            Self::Plain
        }
    }

    /// The parts of a line, with what colours it.
    pub fn line(self, line: &str) -> [&str; 5] {
        let striking = line.strip_prefix(NAME).and_then(|rest| {
            let word = STRIKING.into_iter().find(|word| rest.starts_with(word))?;
            Some(rest.split_at(word.len()))
        });
        match (self, striking) {
            (Self::Coloured, Some((word, rest))) => [NAME, BOLD_RED, word, RESET, rest],
            _ => [line, "", "", "", ""],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_and_failures_stand_out_and_nothing_else_does() {
        let painted = |line| Paint::Coloured.line(line).concat();
        assert_eq!(
            painted("s3pull: error: it broke: error: twice"),
            "s3pull: \u{1b}[1;31merror:\u{1b}[0m it broke: error: twice"
        );
        assert_eq!(
            painted("s3pull: failed: k: NoSuchKey"),
            "s3pull: \u{1b}[1;31mfailed:\u{1b}[0m k: NoSuchKey"
        );
        for line in ["s3pull: 2 failed", "hint: error: none", "", "error: x"] {
            assert_eq!(painted(line), line);
        }
        assert_eq!(
            Paint::Plain.line("s3pull: error: x").concat(),
            "s3pull: error: x"
        );
    }
}
