//! Searches and prints the chain of an error's causes.

use std::error::Error;

/// The first `T` among `error` and its causes.
pub(super) fn find_cause<'a, T: Error + 'static>(
    error: &'a (dyn Error + 'static),
) -> Option<&'a T> {
    std::iter::successors(Some(error), |error| cause(*error)).find_map(|error| error.downcast_ref())
}

/// The cause of `error`. The `source` of an I/O error skips the error that it wraps, so this returns the wrapped one.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<std::io::Error>() {
        Some(io) => io.get_ref().map(|inner| inner as &(dyn Error + 'static)),
        None => error.source(),
    }
}

/// The chain of causes in one line, without repetitions.
pub(super) fn one_line(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    for cause in std::iter::successors(Some(error), |error| cause(*error)) {
        let text = cause.to_string();
        if line.contains(&text) {
            continue;
        }
        if !line.is_empty() {
            line.push_str(": ");
        }
        line.push_str(&text);
    }
    line.replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the\ninnermost")]
    struct Inner;

    #[test]
    fn an_error_within_an_io_error_is_found() {
        let wrapped = io::Error::other(io::Error::other(Inner));
        assert!(find_cause::<Inner>(&wrapped).is_some());
        assert!(find_cause::<std::fmt::Error>(&wrapped).is_none());
        assert_eq!(one_line(&wrapped), "the innermost");
    }
}
