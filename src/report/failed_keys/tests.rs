use super::*;
use crate::options::FailedName;
use crate::outcome::{Class, ErrorCode, Outcome};
use crate::row::Entry;
use crate::source::ListSource;

/// A CSV with these rows, at `f.csv` in this folder.
pub(super) fn with_rows(
    folder: &Path,
    rows: impl IntoIterator<Item = (Entry, Failure)>,
) -> FailedKeys {
    let list = ListOptions {
        sources: vec![ListSource::Stdin],
        bucket: Some("b".into()),
        ..ListOptions::default()
    };
    let place = RecordPlace::find(&folder.join("f.csv"), FailedName::Typed, &list).unwrap();
    let mut csv = FailedKeys::create(place, &list).unwrap();
    for (line, (entry, failure)) in (1..).zip(rows) {
        csv.record_row(entry, line, &failure);
    }
    csv
}

impl FailedKeys {
    /// Records the row at `line` of the only list.
    pub fn record_row(&mut self, entry: Entry, line: u64, failure: &Failure) {
        let finished = Finished {
            place: Place { list: 0, line },
            entry: Arc::new(entry),
            bucket: None,
            path: None,
            outcome: Outcome::Failed(failure.clone()),
            content: None,
        };
        self.record(&finished, failure).unwrap();
    }
}

fn with_row(folder: &Path) -> FailedKeys {
    let entry = Entry {
        key: "k".to_owned(),
        ..Entry::default()
    };
    let failure = Failure::new(ErrorCode::Timeout, Class::Transient, "");
    with_rows(folder, [(entry, failure)])
}

pub(super) const END: RecordEnd = RecordEnd {
    n_read: 1,
    is_complete: true,
    sync: false,
};

#[test]
fn rows_that_were_rescued_are_where_that_was_told_and_no_error() {
    for is_complete in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let csv = with_row(folder.path());
        let left = csv.rescue().unwrap().leave().unwrap();
        assert_eq!(left, folder.path().join("f.csv.incomplete"));
        let finished = csv.finish(RecordEnd { is_complete, ..END });
        assert!(finished.error.is_none(), "{:?}", finished.error);
        assert!(matches!(&finished.kept, Kept::Incomplete(path) if *path == left));
        assert!(std::fs::read_to_string(left).unwrap().contains("\nk,b,"));
    }
}

#[test]
fn rows_that_are_rescued_while_the_record_ends_are_left_once() {
    for is_complete in [false, true] {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let csv = with_row(folder.path());
            let rescue = csv.rescue().unwrap();
            let end = RecordEnd { is_complete, ..END };
            let rescuing = std::thread::spawn(move || rescue.leave());
            let finished = csv.finish(end);
            let rescued = rescuing.join().unwrap();
            assert!(finished.error.is_none(), "{:?}", finished.error);
            let path = folder.path().join("f.csv");
            let kept = finished.place(&path).unwrap();
            assert!(rescued.is_none_or(|rescued| rescued == kept));
            let text = std::fs::read_to_string(kept).unwrap();
            assert!(text.contains("\nk,b,"), "{text}");
            assert_eq!(folder.path().read_dir().unwrap().count(), 1);
        }
    }
}

// Windows keeps a folder of which a file is open.
#[cfg(unix)]
#[test]
fn a_csv_whose_folder_was_moved_is_not_said_to_be_in_place() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("d");
    std::fs::create_dir(&folder).unwrap();
    let csv = with_row(&folder);
    std::fs::rename(&folder, parent.path().join("moved")).unwrap();
    let finished = csv.finish(END);
    assert!(matches!(finished.kept, Kept::Lost), "{:?}", finished.kept);
    let message = format!("{:#}", finished.error.unwrap());
    assert!(message.contains("its folder was moved"), "{message}");
    assert!(parent.path().join("moved/f.csv").exists());
}

// Windows keeps a folder of which a file is open.
#[cfg(unix)]
#[test]
fn rows_whose_folder_is_gone_are_not_said_to_be_anywhere() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("d");
    std::fs::create_dir(&folder).unwrap();
    let csv = with_row(&folder);
    std::fs::remove_dir_all(&folder).unwrap();
    let finished = csv.finish(END);
    assert!(matches!(finished.kept, Kept::Lost), "{:?}", finished.kept);
    assert!(finished.error.is_some() && finished.place(Path::new("f.csv")).is_none());
}
