//! Tests of what becomes of files when the file system refuses a call.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;

use super::faults::{Call, fail, inject, limit_names, set_clock_back};
use super::testing::{
    JOURNAL, PARTIAL, Run, identity, just_before, modified, names, path, read, whole,
};
use super::{DonePart, LocalError, Preview};

#[test]
fn a_file_of_another_owner_that_cannot_be_written_to_is_replaced() {
    for name in [PARTIAL, JOURNAL] {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::new(folder.path());
        run.leave_part();
        let old = folder.path().join("old");
        std::fs::hard_link(folder.path().join(name), &old).unwrap();
        let before = std::fs::read(&old).unwrap();
        // As for one who is not root: the file cannot be opened to write to it.
        let mut last_two = [Call::Lock; 2];
        let mut n_opened = 0;
        let nth = if name == PARTIAL { 1 } else { 2 };
        let _faults = inject(move |call| {
            let is_of_found = call == Call::Open && last_two == [Call::Open, Call::LookAtLink];
            last_two = [last_two[1], call];
            n_opened += usize::from(is_of_found);
            if is_of_found && n_opened == nth {
                return Err(Errno::ACCESS.into());
            }
            Ok(())
        });
        assert_eq!(run.put_large().unwrap(), [], "{name}");
        assert_eq!(read(folder.path(), "k"), whole(), "{name}");
        assert_eq!(std::fs::read(old).unwrap(), before, "{name}");
    }
}

#[test]
fn times_that_cannot_be_set_lose_no_file() {
    for errno in [
        Errno::PERM,
        Errno::ACCESS,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::INVAL,
        Errno::ROFS,
        Errno::IO,
        Errno::NOSPC,
        Errno::INTR,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::new(folder.path());
        let _faults = fail(Call::SetTimes, errno);
        run.put("a", "a").unwrap();
        run.put("b", "b").unwrap();
        run.put_large().unwrap();
        assert_eq!(read(folder.path(), "k"), whole(), "{errno}");
        assert_eq!(names(folder.path()), ["a", "b", "k"], "{errno}");
        run.warned(&["cannot set the time of `a`"]);
    }
}

#[test]
fn a_file_system_that_ignores_times_is_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    let files = ["a", "b"].map(|name| folder.path().join(name));
    let _faults = inject(move |call| {
        if call == Call::LookAtLink {
            for file in files
                .iter()
                .filter_map(|file| std::fs::File::open(file).ok())
            {
                file.set_modified(SystemTime::now()).unwrap();
            }
        }
        Ok(())
    });
    run.put("a", "a").unwrap();
    run.put("b", "b").unwrap();
    run.warned(&["cannot set the time of `a`: the file system ignores it"]);
}

/// As where no call flushes all files at the end.
#[test]
fn a_file_that_cannot_be_flushed_gets_no_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("k"), "old").unwrap();
    let run = Run::new(folder.path());
    run.output.commits().flush_files();
    let faults = fail(Call::Sync, Errno::IO);
    assert!(run.put("k", "new").is_err());
    assert_eq!(read(folder.path(), "k"), b"old");
    drop(faults);
    run.put("k", "new").unwrap();
    assert_eq!(read(folder.path(), "k"), b"new");
}

#[test]
fn a_time_that_was_kept_or_cannot_be_looked_at_is_no_reason_for_a_warning() {
    for errno in [None, Some(Errno::IO)] {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::new(folder.path());
        let _faults = inject(move |call| match (call, errno) {
            (Call::LookAtLink, Some(errno)) => Err(errno.into()),
            _ => Ok(()),
        });
        let _ = run.put("a", "a");
        run.warned(&[]);
    }
}

#[test]
fn both_times_are_set() {
    let folder = tempfile::tempdir().unwrap();
    let before = SystemTime::now();
    let partial = folder.path().join(PARTIAL);
    let _faults = just_before(Call::SetTimes, move || {
        let times = std::fs::FileTimes::new().set_accessed(UNIX_EPOCH);
        let file = std::fs::File::options().write(true).open(partial).unwrap();
        file.set_times(times).unwrap();
    });
    Run::new(folder.path()).put("k", "k").unwrap();
    let metadata = folder.path().join("k").metadata().unwrap();
    assert_eq!(metadata.modified().unwrap(), modified());
    assert!(metadata.accessed().unwrap() >= before - Duration::from_secs(2));
}

#[test]
fn room_that_cannot_be_reserved_is_done_without_unless_there_is_none() {
    for errno in [
        Errno::INTR,
        Errno::PERM,
        Errno::ACCESS,
        Errno::OPNOTSUPP,
        Errno::NOSYS,
        Errno::INVAL,
        Errno::NODEV,
        Errno::IO,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::new(folder.path());
        let _faults = fail(Call::Preallocate, errno);
        run.put_large().unwrap();
        assert_eq!(read(folder.path(), "k"), whole(), "{errno}");
        run.warned(&["cannot reserve room for `k`"]);
    }
    for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k"), "old").unwrap();
        let run = Run::new(folder.path());
        let _faults = fail(Call::Preallocate, errno);
        assert!(run.put_large().is_err(), "{errno}");
        assert_eq!(read(folder.path(), "k"), b"old", "{errno}");
        assert_eq!(names(folder.path()), ["k"], "{errno}");
        run.warned(&[]);
    }
}

#[test]
fn an_interrupted_reservation_is_made_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    let mut n_interruptions = 0;
    let _faults = inject(move |call| match call {
        Call::Preallocate if n_interruptions < 5 => {
            n_interruptions += 1;
            Err(Errno::INTR.into())
        }
        _ => Ok(()),
    });
    run.put_large().unwrap();
    run.warned(&[]);
}

/// What a failed look at a file or at a folder on the way may be.
const LOOKS: [Errno; 6] = [
    Errno::IO,
    Errno::STALE,
    Errno::ACCESS,
    Errno::PERM,
    Errno::LOOP,
    Errno::NAMETOOLONG,
];

#[test]
fn only_not_found_says_that_no_file_is_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    for key in ["k", "d/k"] {
        std::fs::write(folder.path().join(key), "old").unwrap();
        for errno in LOOKS {
            let run = Run::new(folder.path());
            let _faults = fail(Call::Look, errno);
            let time = run.output.file_at(&path(key));
            assert!(time.is_err(), "{key} {errno}: {time:?}");
        }
    }
    let run = Run::new(folder.path());
    for key in ["new", "new/k"] {
        assert!(matches!(run.output.file_at(&path(key)), Ok(None)), "{key}");
    }
}

#[test]
fn a_symlink_that_leads_out_is_there_and_what_is_behind_one_is_in_doubt() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
    let run = Run::new(folder.path());
    assert!(matches!(run.output.file_at(&path("out")), Ok(Some(_))));
    assert!(matches!(
        run.output.file_at(&path("out/k")),
        Err(LocalError::Conflict(_))
    ));
    for errno in LOOKS {
        let _faults = fail(Call::LookAtLink, errno);
        assert!(run.output.file_at(&path("out")).is_err(), "{errno}");
    }
}

#[test]
fn a_look_waits_until_other_files_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("k"), "old").unwrap();
    for errno in [Errno::MFILE, Errno::NFILE] {
        let run = Run::new(folder.path());
        let mut n_refused = 0;
        let _faults = inject(move |call| match call {
            Call::Look if n_refused < 3 => {
                n_refused += 1;
                Err(errno.into())
            }
            _ => Ok(()),
        });
        assert!(matches!(run.output.file_at(&path("k")), Ok(Some(_))));
    }
}

#[test]
fn a_preview_claims_nothing_of_what_it_could_not_look_at() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("d")).unwrap();
    std::fs::write(folder.path().join("d/k"), "old").unwrap();
    for call in [Call::LookAtLink, Call::OpenFolder] {
        for errno in LOOKS.into_iter().chain([Errno::MFILE]) {
            let mut preview = Preview::open(folder.path(), std::iter::empty()).unwrap();
            let faults = fail(call, errno);
            for _ in 0..2 {
                let is_there = preview.check(&path("d/k"));
                assert!(is_there.is_err(), "{call:?} {errno}: {is_there:?}");
            }
            drop(faults);
            assert!(preview.check(&path("d/k")).unwrap().is_some());
            assert!(preview.check(&path("d/new")).unwrap().is_none());
            assert!(preview.check(&path("new/k")).unwrap().is_none());
        }
    }
}

#[test]
fn a_file_system_that_is_read_only_by_now_fails_the_row_and_keeps_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("k"), "old").unwrap();
    let run = Run::new(folder.path());
    let _faults = inject(|call| match call {
        Call::Open => Err(io::Error::from(Errno::ROFS)),
        _ => Ok(()),
    });
    assert!(run.put("k", "new").is_err());
    assert_eq!(read(folder.path(), "k"), b"old");
}

/// What is left of a large file whose last step failed; the parts that the next run finds are all of them.
fn is_kept_whole(folder: &Path, put: Result<Vec<DonePart>, LocalError>) {
    let message = put.unwrap_err().to_string();
    assert!(message.contains("kept as `.s3pull-k.part`"), "{message}");
    assert_eq!(names(folder), [JOURNAL, PARTIAL]);
    assert_eq!(Run::new(folder).put_large().unwrap().len(), 2);
    assert_eq!(read(folder, "k"), whole());
    assert_eq!(names(folder), ["k"]);
}

#[test]
fn a_large_file_whose_last_step_fails_is_kept_whole_for_the_next_run() {
    for errno in [Errno::IO, Errno::NOSPC, Errno::ACCESS, Errno::STALE] {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::new(folder.path());
        let faults = fail(Call::Rename, errno);
        let put = run.put_large();
        drop(faults);
        is_kept_whole(folder.path(), put);
    }
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    std::fs::create_dir(folder.path().join("k")).unwrap();
    let put = run.put_large();
    std::fs::remove_dir(folder.path().join("k")).unwrap();
    is_kept_whole(folder.path(), put);
}

#[test]
fn a_large_file_that_can_never_be_at_its_path_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    run.put("k", "of this run").unwrap();
    assert!(matches!(run.put_large(), Err(LocalError::Conflict(_))));
    assert_eq!(read(folder.path(), "k"), b"of this run");
    assert_eq!(names(folder.path()), ["k"]);
}

#[test]
fn what_was_left_of_a_large_file_outlives_a_lack_of_handles() {
    for errno in [Errno::MFILE, Errno::NFILE] {
        let folder = tempfile::tempdir().unwrap();
        Run::new(folder.path()).leave_part();
        let run = Run::new(folder.path());
        let (mut since, mut n_opened) = (None, 0);
        // The partial file can be opened, its journal only after a while.
        let _faults = inject(move |call| {
            n_opened += usize::from(call == Call::Open);
            if call == Call::Open && n_opened > 2 {
                let since = since.get_or_insert_with(std::time::Instant::now);
                if since.elapsed() < Duration::from_millis(300) {
                    return Err(errno.into());
                }
            }
            Ok(())
        });
        assert_eq!(run.put_large().unwrap().len(), 1, "{errno}");
        assert_eq!(read(folder.path(), "k"), whole());
    }
}

#[test]
fn a_file_is_compared_with_this_runs_once_there_are_handles_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    run.put("k", "same").unwrap();
    let (mut since, mut is_refused) = (None, false);
    let _faults = inject(move |call| {
        is_refused |= call == Call::Rename;
        if call == Call::Open && is_refused {
            let since = since.get_or_insert_with(std::time::Instant::now);
            if since.elapsed() < Duration::from_millis(300) {
                return Err(Errno::MFILE.into());
            }
        }
        Ok(())
    });
    run.put("k", "same").unwrap();
}

#[test]
fn a_file_from_when_the_clock_was_ahead_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("k"), "of the future").unwrap();
    set_clock_back(Duration::from_hours(1));
    Run::new(folder.path()).put("k", "new").unwrap();
    set_clock_back(Duration::ZERO);
    assert_eq!(read(folder.path(), "k"), b"new");
    assert_eq!(names(folder.path()), ["k"]);
}

#[test]
fn own_names_fit_where_names_are_shorter() {
    let folder = tempfile::tempdir().unwrap();
    limit_names(143);
    let run = Run::new(folder.path());
    let key = "x".repeat(143);
    let file = run.output.begin(&path(&key)).unwrap();
    assert!(names(folder.path()).iter().all(|name| name.len() <= 143));
    file.commit(None).unwrap();
    assert_eq!(names(folder.path()), [key.as_str()]);
    let begun = run.output.begin_resumable(&path(&key), &identity(), |_| {});
    assert!(names(folder.path()).iter().all(|name| name.len() <= 143));
    assert_eq!(names(folder.path()).len(), 3);
    drop(begun);
}
