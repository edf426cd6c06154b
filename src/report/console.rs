//! The one place that prints for people, on stderr.

use std::io::{self, Write};

use crate::printable::printable;

/// Prints an error that ended the run, with its causes, and a hint where one is known.
pub fn error(error: &anyhow::Error, hint: Option<&str>) {
    say(&format!("s3pull: error: {}", printable(&one_line(error))));
    if let Some(hint) = hint {
        say(&format!("hint: {hint}"));
    }
}

/// An error and its causes, each told once.
pub fn one_line(error: &anyhow::Error) -> String {
    let mut message = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if message.contains(&text) {
            continue;
        }
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&text);
    }
    message
}

/// Prints a line, or a few, for people. A stderr that is closed is no reason to stop.
pub fn say(lines: &str) {
    let mut stderr = io::stderr().lock();
    for line in lines.split('\n') {
        // Names and the server's words are escaped where they are put in, line ends among them. What slipped through
        // does no harm either.
        let _ = writeln!(stderr, "{}", printable(line));
    }
}
