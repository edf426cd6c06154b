//! Tests of what becomes of files when they cannot be locked.

use rustix::io::Errno;

use super::LocalError;
use super::faults::{Call, fail, inject};
use super::testing::{PARTIAL, Run, names, path, read, whole, write_part};

const HAS_NO_LOCKS: [Errno; 7] = [
    Errno::NOLCK,
    Errno::INVAL,
    Errno::NOSYS,
    Errno::OPNOTSUPP,
    Errno::PERM,
    Errno::ACCESS,
    Errno::INTR,
];

#[test]
fn without_locks_files_are_written_and_resumed_with_one_warning() {
    for errno in HAS_NO_LOCKS {
        let folder = tempfile::tempdir().unwrap();
        let _faults = fail(Call::Lock, errno);
        let earlier = Run::new(folder.path());
        earlier.leave_part();
        std::fs::write(folder.path().join(".s3pull-a.part"), "left behind").unwrap();
        let run = Run::new(folder.path());
        run.put("a", "a").unwrap();
        run.put("b", "b").unwrap();
        assert_eq!(run.put_large().unwrap().len(), 1, "{errno}");
        assert_eq!(read(folder.path(), "k"), whole(), "{errno}");
        assert_eq!(read(folder.path(), "a"), b"a");
        assert_eq!(names(folder.path()), ["a", "b", "k"], "{errno}");
        run.warned(&["cannot lock `a`"]);
    }
}

#[test]
fn an_interrupted_lock_is_taken_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    let mut n_interruptions = 0;
    let faults = inject(move |call| match call {
        Call::Lock if n_interruptions < 5 => {
            n_interruptions += 1;
            Err(Errno::INTR.into())
        }
        _ => Ok(()),
    });
    let live = run.output.begin(&path("k")).unwrap();
    drop(faults);
    let other = Run::new(folder.path());
    assert!(matches!(other.put("k", "k"), Err(LocalError::Conflict(_))));
    drop(live);
    run.warned(&[]);
}

#[test]
fn a_lock_of_which_nothing_is_known_fails_the_row() {
    for errno in [Errno::IO, Errno::STALE] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k"), "old").unwrap();
        let run = Run::new(folder.path());
        let _faults = fail(Call::Lock, errno);
        assert!(matches!(run.put("k", "new"), Err(LocalError::Io { .. })));
        assert_eq!(read(folder.path(), "k"), b"old");
    }
}

#[test]
fn without_locks_two_downloads_of_a_run_never_write_one_file() {
    let folder = tempfile::tempdir().unwrap();
    let _faults = fail(Call::Lock, Errno::NOLCK);
    let run = Run::new(folder.path());
    let (first, _) = run.open().unwrap();
    write_part(&first, 0);
    for second in [run.open().map(drop), run.put("k", "other")] {
        assert!(matches!(second, Err(LocalError::Conflict(_))), "{second:?}");
    }
    write_part(&first, 1);
    first.commit(None).unwrap();
    drop(first);
    assert_eq!(read(folder.path(), "k"), whole());
    assert_eq!(names(folder.path()), ["k"]);
}

#[test]
fn without_locks_the_partial_file_of_another_process_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let _faults = fail(Call::Lock, Errno::NOLCK);
    let run = Run::new(folder.path());
    let file = run.output.begin(&path("k")).unwrap();
    std::fs::remove_file(folder.path().join(PARTIAL)).unwrap();
    std::fs::write(folder.path().join(PARTIAL), "half of it").unwrap();
    assert!(matches!(file.commit(None), Err(LocalError::Conflict(_))));
    drop(file);
    assert_eq!(names(folder.path()), [PARTIAL]);
}
