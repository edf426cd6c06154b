use std::path::Path;

use super::*;
use crate::sink::files::{LocalPath, OutputFolder};

const PART: usize = 1000;

fn identity() -> Identity {
    Identity {
        etag: ETag::of_header("\"a b\""),
        size: 2500,
        last_modified: Some(UNIX_EPOCH + std::time::Duration::from_secs(1_600_000_000)),
        version_id: Some("v 1".to_owned()),
        part_size: 1000,
        algorithm: CrcAlgorithm::Crc64Nvme,
    }
}

fn open(folder: &Path, identity: &Identity) -> (ResumableFile, Vec<DonePart>) {
    OutputFolder::open(folder, 8)
        .unwrap()
        .begin_resumable(&LocalPath::of_key("k").unwrap(), identity, |_| {})
        .unwrap()
}

fn write_part(file: &ResumableFile, index: usize) -> DonePart {
    let bytes = Bytes::from(vec![
        u8::try_from(index).unwrap() + 1;
        PART.min(2500 - index * PART)
    ]);
    let done = (index, crc_fast::crc64_nvme(&bytes));
    file.write_at(&[bytes], (index * PART) as u64).unwrap();
    file.record(done).unwrap();
    done
}

fn names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn finished_parts_outlive_the_run_and_nothing_outlives_success() {
    let folder = tempfile::tempdir().unwrap();
    let (file, done) = open(folder.path(), &identity());
    assert_eq!(done, []);
    let last = write_part(&file, 2);
    drop(file);
    assert_eq!(
        names(folder.path()),
        [".s3pull-k.journal", ".s3pull-k.part"]
    );
    let (file, done) = open(folder.path(), &identity());
    assert_eq!(done, [last]);
    write_part(&file, 0);
    write_part(&file, 1);
    file.commit(None).unwrap();
    drop(file);
    assert_eq!(names(folder.path()), ["k"]);
    assert_eq!(
        std::fs::read(folder.path().join("k")).unwrap(),
        [vec![1; 1000], vec![2; 1000], vec![3; 500]].concat()
    );
}

#[test]
fn a_file_without_a_finished_part_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = open(folder.path(), &identity());
    file.write_at(&[Bytes::from_static(b"abc")], 0).unwrap();
    drop(file);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn what_was_discarded_is_not_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = open(folder.path(), &identity());
    write_part(&file, 0);
    file.discard();
    drop(file);
    assert!(names(folder.path()).is_empty());
    let (_new, done) = open(folder.path(), &identity());
    assert_eq!(done, []);
}

// Windows keeps the name of a removed file until it is closed.
#[cfg(unix)]
#[test]
fn a_discarded_file_is_gone_at_once_and_a_new_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = open(folder.path(), &identity());
    write_part(&file, 0);
    file.discard();
    assert!(names(folder.path()).is_empty());
    let (_new, done) = open(folder.path(), &identity());
    assert_eq!(done, []);
    drop(file);
    assert_eq!(
        names(folder.path()).len(),
        2,
        "the old file's end does not touch the new one"
    );
}

#[test]
fn parts_of_another_object_or_another_cut_start_over() {
    let others = [
        Identity {
            etag: ETag::of_header("\"other\""),
            ..identity()
        },
        Identity {
            size: 2501,
            ..identity()
        },
        Identity {
            last_modified: identity()
                .last_modified
                .map(|time| time + std::time::Duration::from_secs(1)),
            ..identity()
        },
        Identity {
            last_modified: None,
            ..identity()
        },
        Identity {
            version_id: Some("v 2".to_owned()),
            ..identity()
        },
        Identity {
            version_id: None,
            ..identity()
        },
        Identity {
            part_size: 500,
            ..identity()
        },
        Identity {
            algorithm: CrcAlgorithm::Crc32Iscsi,
            ..identity()
        },
    ];
    for other in others {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = open(folder.path(), &identity());
        write_part(&file, 0);
        drop(file);
        assert_eq!(open(folder.path(), &other).1, []);
    }
}

#[test]
fn a_damaged_part_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = open(folder.path(), &identity());
    write_part(&file, 0);
    let good = write_part(&file, 1);
    file.write_at(&[Bytes::from_static(b"!")], 999).unwrap();
    drop(file);
    assert_eq!(open(folder.path(), &identity()).1, [good]);
}

/// Downloads the whole object over what is there, and returns the parts that were resumed.
fn finish(folder: &Path) -> Vec<DonePart> {
    let (file, done) = open(folder, &identity());
    let missing = (0..3).filter(|index| !done.iter().any(|(is, _)| is == index));
    missing.for_each(|index| {
        write_part(&file, index);
    });
    file.commit(None).unwrap();
    let whole = [vec![1; 1000], vec![2; 1000], vec![3; 500]].concat();
    assert_eq!(std::fs::read(folder.join("k")).unwrap(), whole);
    done
}

#[test]
fn a_partial_file_that_is_longer_or_shorter_than_its_object_ends_at_its_size() {
    for length in [2501, 5000, 2499, 1500] {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = open(folder.path(), &identity());
        let first = write_part(&file, 0);
        let last = write_part(&file, 2);
        drop(file);
        let partial = File::options()
            .write(true)
            .open(folder.path().join(".s3pull-k.part"))
            .unwrap();
        partial.set_len(length).unwrap();
        let expected = if length > 2500 {
            vec![first, last]
        } else {
            vec![first]
        };
        assert_eq!(finish(folder.path()), expected, "{length}");
        assert_eq!(names(folder.path()), ["k"]);
    }
}

#[test]
fn a_partial_file_or_journal_with_another_name_is_left_alone_and_not_resumed() {
    for linked in [".s3pull-k.part", ".s3pull-k.journal"] {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = open(folder.path(), &identity());
        write_part(&file, 0);
        drop(file);
        let victim = folder.path().join("victim");
        std::fs::hard_link(folder.path().join(linked), &victim).unwrap();
        let before = std::fs::read(&victim).unwrap();
        assert_eq!(finish(folder.path()), [], "{linked}");
        assert_eq!(std::fs::read(&victim).unwrap(), before, "{linked}");
        assert_eq!(names(folder.path()), ["k", "victim"]);
    }
}

#[cfg(unix)]
#[test]
fn a_partial_file_or_journal_that_others_may_write_is_not_resumed() {
    use std::os::unix::fs::PermissionsExt;
    for foreign in [".s3pull-k.part", ".s3pull-k.journal"] {
        let folder = tempfile::tempdir().unwrap();
        let (file, _) = open(folder.path(), &identity());
        write_part(&file, 0);
        drop(file);
        let mode = std::fs::Permissions::from_mode(0o4777);
        std::fs::set_permissions(folder.path().join(foreign), mode).unwrap();
        assert_eq!(finish(folder.path()), [], "{foreign}");
        let mode = std::fs::metadata(folder.path().join("k")).unwrap();
        assert_eq!(mode.permissions().mode() & 0o7133, 0, "{foreign}");
    }
}

#[test]
fn a_small_file_that_takes_over_leaves_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    let (file, _) = open(folder.path(), &identity());
    write_part(&file, 0);
    drop(file);
    let output = OutputFolder::open(folder.path(), 8).unwrap();
    output
        .begin(&LocalPath::of_key("k").unwrap())
        .unwrap()
        .commit(None)
        .unwrap();
    assert_eq!(names(folder.path()), ["k"]);
    assert_eq!(std::fs::read(folder.path().join("k")).unwrap(), b"");
}

#[test]
fn journals_are_read_as_far_as_they_are_whole() {
    let start = header(&identity());
    let parsed = |lines: &str| parse(format!("{start}{lines}").as_bytes(), &identity());
    assert_eq!(
        parsed("0 000000000000000a\n2 00000000000000ff\n"),
        [(0, 10), (2, 255)]
    );
    assert_eq!(
        parsed("0 000000000000000a\n0 000000000000000b\n"),
        [(0, 11)]
    );
    assert_eq!(
        parsed("0 000000000000000a\n1 00000000000000ff"),
        [(0, 10)],
        "cut off before its end"
    );
    assert_eq!(
        parsed("0 000000000000000a\nnonsense\n1 00000000000000ff\n"),
        [(0, 10)]
    );
    assert_eq!(parsed("3 00000000000000ff\n"), [], "no such part");
    assert_eq!(parse(b"", &identity()), []);
}

proptest::proptest! {
    #[test]
    fn any_journal_is_survived(journal in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let mut text = header(&identity()).into_bytes();
        text.extend(journal);
        // What it claims is checked against the bytes anyway.
        proptest::prop_assert!(parse(&text, &identity()).iter().all(|&(index, _)| index < 3));
    }
}
