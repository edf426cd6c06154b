//! Tests of what becomes of files when another process acts just before a call of the file system.

use bytes::Bytes;

#[cfg(unix)]
use super::LocalError;
use super::faults::Call;
#[cfg(unix)]
use super::faults::inject;
use super::testing::{JOURNAL, PARTIAL, Run, just_before, names, read, whole, write_part};

#[test]
fn a_partial_file_that_another_run_used_between_open_and_lock_starts_empty() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    let other = folder.path().to_owned();
    let _faults = just_before(Call::Lock, move || {
        std::fs::write(other.join(PARTIAL), "longer, and of another object").unwrap();
        std::fs::write(other.join(JOURNAL), "of that").unwrap();
    });
    run.put("k", "new").unwrap();
    assert_eq!(read(folder.path(), "k"), b"new");
    assert_eq!(names(folder.path()), ["k"]);
    run.warned(&[]);
}

#[test]
fn a_file_that_another_run_put_in_place_between_open_and_lock_is_not_written_to() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    let other = folder.path().to_owned();
    let _faults = just_before(Call::Lock, move || {
        Run::new(&other).put("k", "of the other run").unwrap();
    });
    // Which one stays is a matter of their times; never is one written into the other.
    let stays = match run.put("k", "of this one") {
        Ok(()) => "of this one",
        Err(_) => "of the other run",
    };
    assert_eq!(read(folder.path(), "k"), stays.as_bytes());
    assert_eq!(names(folder.path()), ["k"]);
}

#[test]
fn parts_that_another_run_finished_between_open_and_lock_are_resumed_and_its_tail_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    let other = folder.path().to_owned();
    let _faults = just_before(Call::Lock, move || {
        let (file, _) = Run::new(&other).open().unwrap();
        write_part(&file, 0);
        file.write_at(&[Bytes::from_static(b"tail")], 2000).unwrap();
    });
    assert_eq!(run.put_large().unwrap().len(), 1);
    assert_eq!(read(folder.path(), "k"), whole());
    assert_eq!(names(folder.path()), ["k"]);
}

#[test]
fn what_another_run_left_of_another_object_between_open_and_lock_is_not_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    let other = folder.path().to_owned();
    let _faults = just_before(Call::Lock, move || {
        std::fs::write(other.join(PARTIAL), vec![9; 5000]).unwrap();
    });
    assert_eq!(run.put_large().unwrap(), []);
    assert_eq!(read(folder.path(), "k"), whole());
}

#[test]
fn a_tail_that_appears_during_the_download_is_not_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    let (file, _) = run.open().unwrap();
    write_part(&file, 0);
    write_part(&file, 1);
    file.write_at(&[Bytes::from_static(b"tail")], 1500).unwrap();
    file.commit(None).unwrap();
    assert_eq!(read(folder.path(), "k"), whole());
}

#[cfg(unix)]
#[test]
fn a_symlink_that_takes_a_files_place_while_it_is_opened_is_not_written_through() {
    for name in [PARTIAL, JOURNAL] {
        let folder = tempfile::tempdir().unwrap();
        let run = Run::new(folder.path());
        run.leave_part();
        std::fs::write(folder.path().join("victim"), "kept").unwrap();
        let link = folder.path().join(name);
        let mut n_looks = 0;
        let is_looked_at = if name == PARTIAL { 1 } else { 3 };
        let faults = inject(move |call| {
            n_looks += usize::from(call == Call::LookAtLink);
            if call == Call::Open && n_looks == is_looked_at && link.is_file() && !link.is_symlink()
            {
                std::fs::remove_file(&link).unwrap();
                std::os::unix::fs::symlink("victim", &link).unwrap();
            }
            Ok(())
        });
        let taken = run.open();
        drop(faults);
        assert!(
            matches!(taken, Err(LocalError::Conflict(_))),
            "{name}: {taken:?}"
        );
        assert_eq!(read(folder.path(), "victim"), b"kept", "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_symlink_that_takes_a_files_place_before_it_is_compared_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::new(folder.path());
    run.put("k", "same").unwrap();
    std::fs::write(folder.path().join("victim"), "same").unwrap();
    let path = folder.path().join("k");
    let mut is_refused = false;
    let _faults = inject(move |call| {
        is_refused |= call == Call::Rename;
        if call == Call::Open && is_refused {
            std::fs::remove_file(&path).unwrap();
            std::os::unix::fs::symlink("victim", &path).unwrap();
        }
        Ok(())
    });
    assert!(run.put("k", "same").is_err());
}
