//! The failed-keys CSV: it destroys nothing, it has every row that failed, and it goes back in.

#[cfg(target_os = "linux")]
mod full_disk;
mod half_read;
mod messages;
mod replacing;
mod retrying;
#[cfg(unix)]
mod streams;

use std::io::Write;
use std::path::Path;
use std::process::ChildStdin;

use crate::harness::{Gate, Run, Running, Server};

const HEADER: &str = "key,bucket,version_id,error,status,attempts,request_id,message,size,etag,dest,source,last_modified,md5,sha256,sha1,crc32,crc32c,crc64nvme\n";
const CSV: &str = "s3pull-failed.csv";
const INCOMPLETE: &str = "s3pull-failed.csv.incomplete";
/// The run's file that holds the rows until it ends.
const PARTIAL: &str = ".s3pull-s3pull-failed.csv.part";

/// A failed-keys CSV of an earlier run.
fn csv_of<'a>(keys: impl IntoIterator<Item = &'a str>) -> String {
    let rows = keys
        .into_iter()
        .map(|key| format!("{key},bucket,,NotAttempted,,0,,stopped,,,,,\n"));
    HEADER.to_owned() + &rows.collect::<String>()
}

/// The keys of a failed-keys CSV.
fn keys_in(path: &Path) -> Vec<String> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    let rows = reader.records().map(Result::unwrap);
    rows.map(|row| row[0].to_owned()).collect()
}

fn assert_says(run: &Run, text: &str) {
    assert!(run.stderr.contains(text), "{text:?} in:\n{}", run.stderr);
}

/// A run with an old CSV in its folder, of whose list, a pipe that stays open, the server holds the first key.
fn with_open_list(server: &Server, folder: &Path, args: &[&str]) -> (Running, ChildStdin, Gate) {
    server.put_patterns(["held"], 100);
    let gate = server.gate("held");
    let run = server.s3pull().within(folder).args(args.iter().copied());
    let (running, mut stdin) = run.start();
    stdin.write_all(b"held\n").unwrap();
    server.wait_for_requests(1);
    (running, stdin, gate)
}

fn last_event(run: &Run) -> serde_json::Value {
    serde_json::from_str(run.stdout.lines().last().unwrap()).unwrap()
}
