//! The record goes back in, and asks for exactly the same.

use std::path::Path;

use super::CSV;
use crate::harness::{Fault, Run, Server};

/// The rows of a failed-keys CSV, without what differs from run to run.
fn rows_in(path: &Path) -> Vec<Vec<String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let names = reader.headers().unwrap().clone();
    let of_the_row = |name: &str| !matches!(name, "request_id" | "source");
    let rows = reader.records().map(Result::unwrap).map(|row| {
        let columns = names.iter().zip(row.iter());
        let columns = columns.filter(|(name, _)| of_the_row(name));
        columns.map(|(_, text)| text.to_owned()).collect()
    });
    let mut rows: Vec<Vec<String>> = rows.collect();
    rows.sort();
    rows
}

/// Runs the command that `run` printed.
fn retry(server: &Server, run: &Run) -> Run {
    let command = run
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("  s3pull "));
    let command = format!("s3pull {}", command.unwrap());
    server.shell(&command).again(run).run()
}

#[cfg(unix)]
#[test]
fn a_failed_row_keeps_all_it_said_through_every_retry() {
    let server = Server::start();
    let list = "key,bucket,version_id,size,etag,dest,last_modified\n\
                missing,,v1,7,abc,to/there,2024-01-02T03:04:05Z\n\
                other,elsewhere,v2,8,def,d,2024-01-02 03:04:05\n\
                x/../y,bucket,v3,9,ghi,,\n\
                k,,v4,1,,../out,\n\
                bad size,bucket,v5,1.0e3,jkl,e,\n\
                ,bucket,v6,2,mno,f,\n\
                \"line\nbreak, \"\"quoted\"\" \",,v7,3,pqr,g,\n"
        .to_owned()
        + &format!("{},,v8,4,stu,h,\n", "k".repeat(1025))
        + &format!("long,,v9,5,vwx,{},\n", "d".repeat(100_000));
    let folder = tempfile::tempdir().unwrap();
    let first = server.s3pull().within(folder.path()).file("list.csv", list);
    let first = first.args(["--keys", "list.csv", "--key-prefix=p/"]);
    let first = first.run().expect(1);
    let rows = rows_in(&first.folder().join(CSV));
    assert_eq!(rows.len(), 9);
    let of = |code: &str, version: &str| {
        let row = rows.iter().find(|row| row[2] == version).unwrap();
        assert_eq!(row[3], code, "{row:?}");
        row.clone()
    };
    let missing = of("NoSuchKey", "v1");
    assert_eq!(missing[0], "p/missing");
    let time = "2024-01-02T03:04:05Z";
    assert_eq!(
        missing[7..11],
        ["7", "abc", "to/there", time].map(str::to_owned)
    );
    let other = of("WrongBucket", "v2");
    assert_eq!(other[..2], ["p/other", "elsewhere"].map(str::to_owned));
    let local = "2024-01-02 03:04:05";
    assert_eq!(other[7..11], ["8", "def", "d", local].map(str::to_owned));
    assert_eq!(of("UnsafeKey", "v3")[0], "p/x/../y");
    assert_eq!(of("UnsafeKey", "v4")[9], "../out");
    assert_eq!(
        of("NoSuchKey", "v5")[7..11],
        ["1000", "jkl", "e", ""].map(str::to_owned)
    );
    of("InvalidRow", "v9");
    let mut run = first;
    for _ in 0..2 {
        run = retry(&server, &run).expect(1);
        let again = rows_in(&run.folder().join(CSV));
        for (row, again) in rows.iter().zip(&again) {
            // But for the count in the message of a key that was cut.
            let is_same = row == again || row[3] == "InvalidKey" && row[7..] == again[7..];
            assert!(is_same, "{:?}", &again[2..7]);
        }
        assert_eq!(again.len(), rows.len());
    }
}

#[test]
fn a_record_can_be_read_back_whatever_the_row_and_the_server_said() {
    let server = Server::start();
    let message: &str = "m\"".repeat(30_000).leak();
    let code: &str = "C".repeat(2_000).leak();
    server.put_patterns(["k"], 10);
    server.script("k", [Fault::Message(403, code, message)]);
    // As JSON, whose rows may be longer than those of a CSV.
    let long = "\\\"".repeat(1 << 20);
    let list = format!(
        "{{\"Key\":\"k\"}}\n{{\"Key\":\"{long}\"}}\n{{\"Key\":\"a\",\"VersionId\":\"{long}\"}}\n\
         {{\"Key\":\"b\",\"Bucket\":\"{long}\"}}\n"
    );
    let run = server.s3pull().file("list", list).args(["--keys", "list"]);
    let run = run.run().expect(1);
    let codes = |run: &Run| -> Vec<String> {
        run.failed()
            .into_iter()
            .map(|(_, code)| code.chars().take(20).collect())
            .collect()
    };
    let first = codes(&run);
    assert_eq!(first.len(), 4);
    assert!(run.read(CSV).len() < 500_000, "{}", run.read(CSV).len());
    server.script("k", [Fault::Message(403, code, message)]);
    let again = server.s3pull().again(&run).args(["--keys", CSV]);
    let again = again.run().expect(1);
    assert_eq!(codes(&again), first);
    assert!(again.stderr.len() < 100_000, "{}", again.stderr.len());
}
