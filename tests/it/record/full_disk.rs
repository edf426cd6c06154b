//! A disk that takes no more of the record: it ends in a whole row, and the run says so.

use super::{CSV, INCOMPLETE, PARTIAL, assert_says, csv_of, keys_in, last_event};
use crate::harness::Server;

fn missing(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("missing{n}")).collect()
}

#[test]
fn a_record_that_cannot_be_whole_ends_in_a_whole_row_and_all_is_told() {
    let server = Server::start();
    // The list is longer than what is kept in memory, and much more than the file may hold.
    for n in [500, 20_000] {
        let run = server
            .shell("trap '' XFSZ; ulimit -f 8; exec s3pull --bucket bucket --json -j 4 --keys -")
            .keys(missing(n).iter().map(String::as_str))
            .run()
            .expect(3);
        assert_says(&run, "s3pull: error: cannot write the failed-keys CSV");
        let left = run.folder().join(INCOMPLETE);
        let n_rows = keys_in(&left).len();
        assert!(n_rows > 10, "{n_rows}");
        assert_says(&run, &format!("{n_rows} failed rows in {INCOMPLETE}"));
        assert!(std::fs::read(left).unwrap().ends_with(b"\n"));
        let summary = last_event(&run);
        assert_eq!(summary["type"], "summary");
        assert_eq!(summary["exit_code"], 3);
        assert_eq!(summary["list_complete"], false);
        assert_eq!(summary["failed_keys"], INCOMPLETE);
        assert_says(&run, "0 downloaded");
    }
}

#[test]
fn rows_for_which_there_was_no_room_are_recorded_once_there_is() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(PARTIAL);
    let path = path.to_str().unwrap();
    let faults = ["-P", path, "-e", "inject=write:error=ENOSPC:when=2..4"];
    let Some(run) = server.s3pull_with_faults(&faults) else {
        return;
    };
    let keys = missing(200);
    let run = run
        .within(folder.path())
        .args(["-j", "4"])
        .keys(keys.iter().map(String::as_str));
    let run = run.run().expect(3);
    assert_says(
        &run,
        "s3pull: error: cannot write the failed-keys CSV: No space left",
    );
    assert_eq!(run.failed().len(), 200, "{}", run.stderr);
    assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
    assert!(
        run.failed()
            .iter()
            .any(|(_, error)| error == "NotAttempted")
    );
}

#[test]
fn a_record_that_cannot_be_synced_is_not_put_in_place() {
    let server = Server::start();
    let old = csv_of(["of an earlier run"]);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(CSV), &old).unwrap();
    let path = folder.path().join(PARTIAL);
    let path = path.to_str().unwrap();
    let faults = ["-P", path, "-e", "inject=fsync,fdatasync:error=EIO"];
    let Some(run) = server.s3pull_with_faults(&faults) else {
        return;
    };
    let run = run.within(folder.path()).arg("--sync").keys(["missing"]);
    let run = run.run().expect(3);
    assert_eq!(run.read(CSV), old.as_bytes());
    assert_eq!(keys_in(&folder.path().join(INCOMPLETE)), ["missing"]);
    assert_says(&run, "Input/output error");
    assert_says(&run, "0 downloaded, 0 skipped, 1 failed");
}

#[test]
fn a_record_that_can_have_no_name_stays_under_its_working_name_and_that_is_told() {
    let server = Server::start();
    let faults = ["-e", "inject=rename,renameat,renameat2:error=EIO"];
    let Some(run) = server.s3pull_with_faults(&faults) else {
        return;
    };
    let run = run.keys(["missing"]).run().expect(3);
    assert_eq!(keys_in(&run.folder().join(PARTIAL)), ["missing"]);
    assert_says(&run, &format!("1 failed row in {PARTIAL}"));
}
