use super::super::tests::{END, with_rows};
use super::*;
use crate::outcome::{Class, ErrorCode, Failure};
use crate::report::failed_keys::Kept;

fn s3(code: &str, status: u16) -> Failure {
    let code = ErrorCode::S3(code.to_owned());
    Failure {
        status: Some(status),
        ..Failure::new(code, Class::Transient, "")
    }
}

#[test]
fn a_round_has_the_rows_as_they_were_and_leaves_those_that_were_not_tried() {
    let folder = tempfile::tempdir().unwrap();
    let whole = Entry {
        key: "a\n\"b\",ü".to_owned(),
        version_id: Some("v".to_owned()),
        size: Some(7),
        etag: ETag::of_row("e"),
        dest: Some("d/e".to_owned()),
        last_modified: "2024-01-02T03:04:05Z".parse().ok(),
        checksums: RowChecksum::parse(RowAlgorithm::Crc32, "cbf43926")
            .into_iter()
            .collect(),
        ..Entry::default()
    };
    let named = |key: &str| Entry {
        key: key.to_owned(),
        ..Entry::default()
    };
    let slow = s3("SlowDown", 503);
    let mut csv = with_rows(
        folder.path(),
        [
            (whole.clone(), slow.clone()),
            (named("missing"), s3("NoSuchKey", 404)),
            (named("second"), slow.clone()),
            (named("third"), s3("InternalError", 500)),
        ],
    );
    let mut round = csv.begin_round().unwrap().unwrap();
    assert_eq!(round.n_rows, 3);
    let rows = round.rows.blocking_recv().unwrap().unwrap();
    assert!(round.rows.blocking_recv().is_none());
    assert_eq!(rows[0].entry.as_ref().unwrap(), &whole);
    let lines: Vec<_> = rows.iter().map(|row| row.place.line).collect();
    assert_eq!(lines, [1, 3, 4]);
    // The first one comes right, the second one fails again, and the third one is not reached.
    csv.record_row(named("second"), 3, &slow);
    let mut kept = Vec::new();
    csv.end_round(2, |code| kept.push(code.to_owned())).unwrap();
    assert_eq!(kept, ["InternalError"]);
    // Another one, in which all of them come right.
    assert_eq!(csv.begin_round().unwrap().unwrap().n_rows, 2);
    csv.end_round(0, |_| {}).unwrap();
    let finished = csv.finish(END);
    assert!(
        matches!(finished.kept, Kept::InPlace),
        "{:?}",
        finished.kept
    );
    assert_eq!(finished.n_rows, 3);
    let mut rows = csv::Reader::from_path(folder.path().join("f.csv")).unwrap();
    let rows: Vec<_> = rows.records().map(Result::unwrap).collect();
    let keys: Vec<_> = rows.iter().map(|row| (&row[0], &row[11])).collect();
    assert_eq!(
        keys,
        [("missing", "-:2"), ("third", "-:4"), ("second", "-:3")]
    );
}

#[test]
fn where_all_rows_come_right_there_is_no_csv() {
    let folder = tempfile::tempdir().unwrap();
    let entry = Entry {
        key: "k".to_owned(),
        ..Entry::default()
    };
    let mut csv = with_rows(folder.path(), [(entry.clone(), s3("SlowDown", 503))]);
    drop(csv.begin_round().unwrap().unwrap());
    csv.end_round(1, |_| {}).unwrap();
    assert!(csv.begin_round().unwrap().is_none());
    // What fails after that is in a CSV with a header.
    csv.record_row(entry, 9, &s3("SlowDown", 503));
    assert_eq!(csv.begin_round().unwrap().unwrap().n_rows, 1);
    csv.end_round(1, |_| {}).unwrap();
    assert!(matches!(csv.finish(END).kept, Kept::Nothing));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
