//! Numbers, times and names as people read them, and the lines made of them alone. Pure.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use crate::exit_code::ExitCode;
use crate::printable::printable;
pub(crate) use crate::printable::{bytes, count, number};
use crate::row::Place;
use crate::source::ListSource;
use crate::stop::GRACE;
use crate::transfer::{RequestNote, Step};

/// Bytes of a name that are shown.
const MAX_NAME: usize = 1100;

/// A name in quotes, so that blanks around it are seen.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", printable(shortened(name)))
}

/// The start of a name, which is all of it if it can be a key.
fn shortened(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

/// What a row is called: its key, or where it stands among `lists` where there is none.
pub(crate) fn row_name(key: &str, place: Place, lists: &[ListSource]) -> String {
    match lists.get(place.list) {
        _ if !key.is_empty() => printable(shortened(key)).into_owned(),
        Some(list) if lists.len() > 1 => {
            printable(&format!("line {} of the list {}", place.line, list.name())).into_owned()
        }
        _ => format!("line {}", place.line),
    }
}

/// `4 ms`, `0.42 s`, `12.3 s`, `2m 05s`, `3h 02m`
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 if duration.subsec_millis() < 100 => format!("{} ms", duration.subsec_millis()),
        0..10 => format!("{:.2} s", duration.as_secs_f64()),
        10..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// `0 s`, `42 s`, `2m 05s`, `3h 02m`, in whole seconds or minutes
pub(crate) fn whole_duration(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        _ => duration(time),
    }
}

/// `n` a second of `elapsed`, rounded.
pub(crate) fn per_second(n: u64, elapsed: Duration) -> u64 {
    let nanos = elapsed.as_nanos().max(1);
    u64::try_from(u128::from(n) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

/// Time left when `n_done` of `n_total` took `elapsed`; `None` when nothing can be said.
pub(crate) fn time_left(n_done: u64, n_total: u64, elapsed: Duration) -> Option<Duration> {
    if n_done == 0 || n_total < n_done {
        return None;
    }
    let nanos = elapsed.as_nanos() * u128::from(n_total - n_done) / u128::from(n_done);
    Some(Duration::from_nanos(u64::try_from(nanos).ok()?))
}

/// `a, b and c`
pub(crate) fn listed(items: &[String]) -> String {
    let mut text = String::new();
    for (i, item) in items.iter().enumerate() {
        let joint = match i {
            0 => "",
            _ if i + 1 == items.len() => " and ",
            _ => ", ",
        };
        // Writing to a string cannot fail.
        let _ = write!(text, "{joint}{item}");
    }
    text
}

/// What the paths of files begin with, as `--output` was typed.
pub(crate) fn output_prefix(output: &Path) -> String {
    match output.to_string_lossy().into_owned() {
        folder if folder == "." => String::new(),
        folder if folder.ends_with('/') => folder,
        folder => folder + "/",
    }
}

/// What a path below the output folder is shown as: `prefix` is the output folder's, `path` may be the folder itself.
pub(crate) fn below_output<'a>(prefix: &'a str, path: &'a str, is_folder: bool) -> [&'a str; 3] {
    match (prefix, path) {
        ("", "") => ["./", "", ""],
        (prefix, "") => [prefix, "", ""],
        (prefix, path) => [prefix, path, if is_folder { "/" } else { "" }],
    }
}

/// `s3pull: stopping: 5 objects get up to 5 s; press Ctrl-C again to stop now`
pub(crate) fn stopping_line(n_objects: u64, exit_code: ExitCode) -> String {
    let objects = match n_objects {
        0 => String::new(),
        1 => format!(": 1 object gets up to {} s", GRACE.as_secs()),
        n => format!(": {} objects get up to {} s", number(n), GRACE.as_secs()),
    };
    let how = match exit_code {
        ExitCode::Interrupted => "press Ctrl-C again",
        _ => "send SIGTERM again",
    };
    format!("s3pull: stopping{objects}; {how} to stop now")
}

/// `s3pull: GET k bytes=0-9: 12 ms`
pub(crate) fn request_line(note: &RequestNote<'_>) -> String {
    let range = match &note.range {
        Some(range) => format!(" bytes={}-{}", range.start, range.end - 1),
        None => String::new(),
    };
    let error = match note.error {
        Some(error) => format!(", {}: {}", error.code, error.message),
        None => String::new(),
    };
    let line = format!(
        "s3pull: {} {}{range}: {}{error}",
        note.method,
        note.key,
        duration(note.time)
    );
    printable(&line).into_owned()
}

/// `s3pull: up to 64 GETs in flight (climbing; 32 gave 1,200 GETs/s, 11.7 MiB/s)`
pub(crate) fn step_line(step: &Step) -> String {
    let seen = step.seen.map_or_else(String::new, |seen| {
        let (n, rate) = (number(seen.n as u64), count(seen.rate, "GET"));
        format!("; {n} gave {rate}/s, {}/s", bytes(seen.bytes))
    });
    let (n, phase) = (number(step.n as u64), step.phase);
    format!("s3pull: up to {n} GETs in flight ({phase}{seen})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_below_the_output_folder_or_it() {
        let shown = |output, path, is_folder| {
            below_output(&output_prefix(Path::new(output)), path, is_folder).concat()
        };
        for (output, path, is_folder, expected) in [
            (".", "a/b", false, "a/b"),
            (".", "a", true, "a/"),
            (".", "", true, "./"),
            ("out", "a/b", false, "out/a/b"),
            ("out", "a", true, "out/a/"),
            ("out", "", true, "out/"),
            ("/", "", true, "/"),
        ] {
            assert_eq!(shown(output, path, is_folder), expected);
        }
    }

    #[test]
    fn durations_read_well() {
        let cases = [
            (0.0042, "4 ms"),
            (0.416, "0.42 s"),
            (12.34, "12.3 s"),
            (125.0, "2m 05s"),
            (10_920.0, "3h 02m"),
        ];
        for (seconds, text) in cases {
            assert_eq!(duration(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn rates_and_time_left_never_divide_by_zero() {
        assert_eq!(per_second(10, Duration::ZERO), 10_000_000_000);
        assert_eq!(per_second(10, Duration::from_secs(4)), 2);
        assert_eq!(time_left(0, 10, Duration::from_secs(1)), None);
        assert_eq!(
            time_left(5, 10, Duration::from_secs(4)),
            Some(Duration::from_secs(4))
        );
        assert_eq!(time_left(11, 10, Duration::from_secs(4)), None);
    }
}
