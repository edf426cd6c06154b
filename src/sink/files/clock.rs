//! When the run began, by the file system's own clock: what tells a file of this run from one that was there before.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap_std::fs::Dir;

use super::sys::{self, changed};

/// How often the clock is looked at, and how long it is waited in between: two ticks of the slowest kernel's (100 Hz).
const MAX_LOOKS: u32 = 20;
const LOOK_INTERVAL: Duration = Duration::from_millis(1);
/// How much may have been cut off from a time without a fraction: FAT counts in steps of 2 s.
const COARSEST_STEP: Duration = Duration::from_secs(2);

/// A time of the file system's own clock that is later than every change before the run, and no later than any of
/// the run's.
///
/// File systems stamp with a clock that ticks every 1 to 10 ms, so a file of an earlier run and one of this run could
/// have the same time. That is ruled out by waiting for the tick: what was there before has at most the time of the
/// first probe file, what comes now has at least that of the last, and that is a later one. (A clock that does not tick
/// within 20 ms counts whole seconds: then the time of the first probe is taken, and a file that an earlier run wrote
/// in that very second counts as this run's, which may fail its key but loses nothing.)
pub(super) fn run_start(folder: &Dir) -> SystemTime {
    let Ok(first) = probe(folder) else {
        // Nothing can be written there, so there is nothing to lose either. A file's clock may be a tick behind.
        return SystemTime::now() - LOOK_INTERVAL * MAX_LOOKS;
    };
    for _ in 0..MAX_LOOKS {
        match probe(folder) {
            Ok(later) if later > first => return later,
            _ => std::thread::sleep(LOOK_INTERVAL),
        }
    }
    first
}

/// What the file system says when it is: the time of a file made for that.
fn probe(folder: &Dir) -> io::Result<SystemTime> {
    let present = sys::probe(folder).map(|metadata| changed(&metadata));
    #[cfg(test)]
    let present = present.map(super::faults::as_the_clock_says);
    present
}

/// Whether a file in `folder` was changed for the last time later than it is now by the file system's own clock: that
/// clock was ahead once, before the run, and is right again. (Where it cannot be asked, no file counts as such.)
pub(super) fn is_ahead(changed: SystemTime, folder: &Dir) -> bool {
    probe(folder).is_ok_and(|present| changed > present)
}

/// Whether the last change of a file was certainly before the run.
pub(super) fn is_before(changed: SystemTime, run_start: SystemTime) -> bool {
    let since_1970 = changed.duration_since(UNIX_EPOCH).unwrap_or_default();
    let cut_off = match since_1970.subsec_nanos() {
        0 => COARSEST_STEP,
        _ => Duration::ZERO,
    };
    changed
        .checked_add(cut_off)
        .is_some_and(|latest| latest < run_start)
}

/// Whether a file does not have the time that it was given, beyond what file systems cut off.
pub(super) fn is_other_time(found: SystemTime, given: SystemTime) -> bool {
    let apart = found
        .duration_since(given)
        .unwrap_or_else(|earlier| earlier.duration());
    apart >= COARSEST_STEP
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_later_than_what_was_there_and_no_later_than_what_comes() {
        let folder = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(folder.path(), cap_std::ambient_authority()).unwrap();
        let make = |name: String| {
            dir.write(&name, name.as_bytes()).unwrap();
            changed(&dir.metadata(&name).unwrap())
        };
        for n in 0..20 {
            let before = make(format!("{n} before"));
            let start = run_start(&dir);
            let after = make(format!("{n} after"));
            assert!(is_before(before, start) && !is_before(after, start), "{n}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 40);
    }

    #[test]
    fn a_time_that_was_cut_off_is_the_one_that_was_given() {
        let at = |seconds, nanos| UNIX_EPOCH + Duration::new(seconds, nanos);
        // Windows counts in steps of 100 ns.
        let given = at(100, 700);
        for found in [given, at(100, 0), at(99, 0), at(98, 800), at(101, 0)] {
            assert!(!is_other_time(found, given));
        }
        assert!(is_other_time(at(102, 700), given) && is_other_time(at(98, 700), given));
    }

    #[test]
    fn a_time_that_may_have_been_cut_off_is_not_taken_for_an_early_one() {
        let at = |seconds, nanos| UNIX_EPOCH + Duration::new(seconds, nanos);
        let start = at(100, 500);
        assert!(is_before(at(100, 499), start));
        assert!(!is_before(start, start));
        assert!(!is_before(at(100, 0), start) && !is_before(at(99, 0), start));
        assert!(is_before(at(98, 0), start));
    }
}
