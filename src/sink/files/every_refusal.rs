//! The table of every call of the file system and every error of it: whatever fails, wherever, a file is whole or absent,
//! no file of the user's is lost, and nothing is left but what the next run uses.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use rustix::io::Errno;

use super::LocalError;
use super::faults::{Call, inject};
use super::testing::{JOURNAL, PARTIAL, Run, names, read, whole};

const CALLS: [Call; 16] = [
    Call::Append,
    Call::Lock,
    Call::Look,
    Call::LookAtLink,
    Call::MakeFolder,
    Call::Open,
    Call::OpenFolder,
    Call::Preallocate,
    Call::Read,
    Call::Remove,
    Call::Rename,
    Call::SetLength,
    Call::SetTimes,
    Call::Stat,
    Call::Sync,
    Call::Write,
];

const ERRNOS: [Errno; 9] = [
    Errno::IO,
    Errno::NOSPC,
    Errno::ROFS,
    Errno::PERM,
    Errno::ACCESS,
    Errno::STALE,
    Errno::NOLCK,
    Errno::INVAL,
    Errno::OPNOTSUPP,
];

/// What is in the folder before the download.
#[derive(Debug, Clone, Copy)]
enum Before {
    Nothing,
    OldFile,
    FirstPart,
}

#[derive(Debug, Clone, Copy)]
enum Size {
    Small,
    Large,
}

fn download(folder: &Path, size: Size) -> Result<(), LocalError> {
    let run = Run::new(folder);
    run.output.commits().flush_files();
    match size {
        Size::Small => run.put("k", "small"),
        Size::Large => run.put_large().map(drop),
    }
}

fn content(size: Size) -> Vec<u8> {
    match size {
        Size::Small => b"small".to_vec(),
        Size::Large => whole(),
    }
}

/// A download during which the `nth` `call` fails, or it and all later ones; `false` if there are not as many.
fn is_survived(
    (before, size): (Before, Size),
    (call, errno): (Call, Errno),
    (nth, is_once): (usize, bool),
) -> bool {
    let what = format!("{before:?} {size:?} {call:?} {errno} {nth} {is_once}");
    let folder = tempfile::tempdir().unwrap();
    match before {
        Before::Nothing => {}
        Before::OldFile => std::fs::write(folder.path().join("k"), "old").unwrap(),
        Before::FirstPart => Run::new(folder.path()).leave_part(),
    }
    let n_calls = Rc::new(Cell::new(0));
    let counted = Rc::clone(&n_calls);
    let faults = inject(move |called| {
        if called == call {
            counted.set(counted.get() + 1);
            if counted.get() == nth || counted.get() > nth && !is_once {
                return Err(errno.into());
            }
        }
        Ok(())
    });
    let downloaded = download(folder.path(), size);
    drop(faults);
    let left = names(folder.path());
    let is_left = |name: &str| left.iter().any(|left| left == name);
    match (&downloaded, before) {
        (Ok(()), _) => assert!(read(folder.path(), "k") == content(size), "{what}"),
        (Err(_), Before::OldFile) => assert_eq!(read(folder.path(), "k"), b"old", "{what}"),
        (Err(_), _) => assert!(!is_left("k"), "{what}"),
    }
    // What cannot be removed is left, and so is an empty file of which it is not known whether another process uses it.
    let is_in_doubt = matches!(call, Call::Lock | Call::LookAtLink | Call::Stat)
        && is_left(PARTIAL)
        && read(folder.path(), PARTIAL).is_empty();
    let is_clean = call != Call::Remove && !is_in_doubt;
    if is_clean {
        let mut expected = Vec::new();
        if is_left(JOURNAL) && downloaded.is_err() {
            expected.extend([JOURNAL, PARTIAL]);
        }
        if is_left("k") {
            expected.push("k");
        }
        assert_eq!(left, expected, "{what}: {downloaded:?}");
    }
    if is_left(PARTIAL) && is_clean {
        let resumed = Run::new(folder.path()).put_large().unwrap();
        assert!(!resumed.is_empty(), "{what}");
    } else {
        // As a file of another run: one of this run is not replaced.
        download(folder.path(), size).unwrap();
        assert!(read(folder.path(), "k") == content(size), "{what}");
    }
    if call != Call::Remove {
        assert_eq!(names(folder.path()), ["k"], "{what}");
    }
    n_calls.get() >= nth
}

fn is_survived_everywhere(before: Before) {
    for size in [Size::Small, Size::Large] {
        for (call, errno) in CALLS
            .into_iter()
            .flat_map(|call| ERRNOS.map(|errno| (call, errno)))
        {
            for is_once in [false, true] {
                // Once is enough where nothing depends on the error.
                if is_once && errno != Errno::IO {
                    continue;
                }
                let n_survived = (1..50)
                    .take_while(|&nth| is_survived((before, size), (call, errno), (nth, is_once)))
                    .count();
                assert!(n_survived < 49, "{call:?}: it never ends");
            }
        }
    }
}

#[test]
fn whatever_fails_a_new_file_is_whole_or_absent() {
    is_survived_everywhere(Before::Nothing);
}

#[test]
fn whatever_fails_a_file_is_replaced_by_a_whole_one_or_stays() {
    is_survived_everywhere(Before::OldFile);
}

#[test]
fn whatever_fails_what_is_left_of_a_large_file_can_be_resumed() {
    is_survived_everywhere(Before::FirstPart);
}
