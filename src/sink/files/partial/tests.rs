use super::*;

fn folder() -> (tempfile::TempDir, Arc<Dir>) {
    let folder = tempfile::tempdir().unwrap();
    let dir = Dir::open_ambient_dir(folder.path(), ambient_authority()).unwrap();
    (folder, Arc::new(dir))
}

fn path(key: &str) -> LocalPath {
    LocalPath::of_key(key).unwrap()
}

fn names(folder: &tempfile::TempDir) -> Vec<String> {
    std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_committed_file_has_its_bytes_its_time_and_no_partial_beside_it() {
    let (folder, dir) = folder();
    let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    let file = PartialFile::create(dir, None, &path("a")).unwrap();
    file.write_at(&[Bytes::from_static(b"6")], 5).unwrap();
    let chunks = [
        Bytes::from_static(b"12"),
        Bytes::new(),
        Bytes::from_static(b"345"),
    ];
    file.write_at(&chunks, 0).unwrap();
    file.commit(Some(time)).unwrap();
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"123456");
    assert_eq!(
        std::fs::metadata(folder.path().join("a"))
            .unwrap()
            .modified()
            .unwrap(),
        time
    );
    assert_eq!(names(&folder), ["a"]);
}

#[test]
fn a_dropped_file_leaves_nothing() {
    let (folder, dir) = folder();
    std::fs::write(folder.path().join("a"), "old").unwrap();
    let file = PartialFile::create(dir, None, &path("a")).unwrap();
    file.write_at(&[Bytes::from_static(b"new")], 0).unwrap();
    drop(file);
    assert_eq!(names(&folder), ["a"]);
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"old");
}

#[test]
fn a_stale_partial_is_taken_over_and_a_live_one_is_a_conflict() {
    let (folder, dir) = folder();
    std::fs::write(
        folder
            .path()
            .join(reserved_name("a", PARTIAL_SUFFIX, NameLimit::default())),
        "left by a killed run",
    )
    .unwrap();
    let live = PartialFile::create(Arc::clone(&dir), None, &path("a")).unwrap();
    assert!(matches!(
        PartialFile::create(Arc::clone(&dir), None, &path("a")),
        Err(LocalError::Conflict(_))
    ));
    live.commit(None).unwrap();
    assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), b"");
}

#[test]
fn a_hard_link_under_the_partial_name_is_not_written_through() {
    let (folder, dir) = folder();
    std::fs::write(folder.path().join("victim"), "kept").unwrap();
    std::fs::hard_link(
        folder.path().join("victim"),
        folder
            .path()
            .join(reserved_name("a", PARTIAL_SUFFIX, NameLimit::default())),
    )
    .unwrap();
    let file = PartialFile::create(dir, None, &path("a")).unwrap();
    file.write_at(&[Bytes::from_static(b"new")], 0).unwrap();
    file.commit(None).unwrap();
    let read = |name| std::fs::read(folder.path().join(name)).unwrap();
    assert_eq!((read("victim"), read("a")), (b"kept".into(), b"new".into()));
}

#[cfg(unix)]
#[test]
fn a_symlink_under_the_partial_name_is_not_written_through() {
    let (folder, dir) = folder();
    std::fs::write(folder.path().join("victim"), "kept").unwrap();
    std::os::unix::fs::symlink(
        "victim",
        folder
            .path()
            .join(reserved_name("a", PARTIAL_SUFFIX, NameLimit::default())),
    )
    .unwrap();
    assert!(matches!(
        PartialFile::create(dir, None, &path("a")),
        Err(LocalError::Conflict(_))
    ));
    assert_eq!(
        std::fs::read(folder.path().join("victim")).unwrap(),
        b"kept"
    );
}

#[test]
fn a_folder_at_the_final_path_is_a_conflict() {
    let (folder, dir) = folder();
    std::fs::create_dir(folder.path().join("a")).unwrap();
    let file = PartialFile::create(dir, None, &path("a")).unwrap();
    assert!(matches!(file.commit(None), Err(LocalError::Conflict(_))));
    drop(file);
    assert_eq!(names(&folder), ["a"]);
}
