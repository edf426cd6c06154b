use super::*;

fn path(key: &str) -> LocalPath {
    LocalPath::of_key(key).unwrap()
}

fn conflict(result: Result<PartialFile, LocalError>) -> String {
    match result {
        Err(LocalError::Conflict(message)) => message,
        other => panic!("no conflict: {other:?}"),
    }
}

#[test]
fn list_and_csv_are_kept_under_both_their_names() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("real.txt"), "keys").unwrap();
    let mut output = OutputFolder::open(folder.path(), 8).unwrap();
    output.keep(&folder.path().join("real.txt"));
    output.keep(&folder.path().join("not-there-yet.csv"));
    conflict(output.begin(&path("real.txt")));
    conflict(output.begin(&path("not-there-yet.csv")));
    output.begin(&path("other.txt")).unwrap();
}

#[test]
fn a_file_in_the_way_of_a_folder_is_a_conflict() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a"), "").unwrap();
    let output = OutputFolder::open(folder.path(), 8).unwrap();
    assert!(conflict(output.begin(&path("a/b"))).contains("needs a folder"));
    assert!(matches!(
        output.make_folder(&path("a/")),
        Err(LocalError::Conflict(_))
    ));
}

// Windows keeps a folder that is open.
#[cfg(unix)]
#[test]
fn a_folder_that_vanished_is_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let output = OutputFolder::open(folder.path(), 8).unwrap();
    output.begin(&path("a/b/1")).unwrap();
    std::fs::remove_dir_all(folder.path().join("a")).unwrap();
    output.begin(&path("a/b/2")).unwrap().commit(None).unwrap();
    assert!(folder.path().join("a/b/2").is_file());
}

#[test]
fn more_folders_than_handles_work() {
    let folder = tempfile::tempdir().unwrap();
    let output = OutputFolder::open(folder.path(), 8).unwrap();
    for n in 0..20 {
        output
            .begin(&path(&format!("{n}/file")))
            .unwrap()
            .commit(None)
            .unwrap();
    }
    assert!(output.folders().len() <= 8);
}

#[cfg(unix)]
#[test]
fn an_output_folder_that_vanished_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = OutputFolder::open(folder.path(), 8).unwrap();
    std::fs::remove_dir_all(folder.path()).unwrap();
    for key in ["a", "b/c"] {
        assert!(
            matches!(output.begin(&path(key)), Err(LocalError::Gone { .. })),
            "{key}"
        );
    }
    assert!(matches!(
        output.make_folder(&path("d/")),
        Err(LocalError::Gone { .. })
    ));
}

#[cfg(unix)]
#[test]
fn a_symlink_that_leads_outside_is_not_followed() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::os::unix::fs::symlink(outside.path(), folder.path().join("out")).unwrap();
    let output = OutputFolder::open(folder.path(), 8).unwrap();
    assert!(conflict(output.begin(&path("out/file"))).contains("symlink"));
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}
