//! Any failed row, through the failed-keys CSV and the command that retries it, is the same row.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::failed_keys::{FailedKeys, RecordEnd};
use super::record_place::RecordPlace;
use crate::config::Config;
use crate::outcome::{Class, ErrorCode, Failure, Outcome};
use crate::printable::printable;
use crate::row::{Row, Unusable};
use crate::source::parse_bytes;
use crate::transfer::Finished;

/// What was typed, and the command that retries its failed rows.
fn typed(args: &[String]) -> (Config, String) {
    let args = args.iter().map(OsString::from);
    let Ok(crate::cli::Invocation::Download(cli)) = crate::cli::Invocation::parse_from(args) else {
        panic!("not a download");
    };
    let config = Config::try_from(*cli).unwrap();
    let command = config.retry_command.clone();
    (config, command)
}

/// The words of a command as a shell reads them.
fn words(command: &str) -> Vec<String> {
    let print = format!("printf '%s\\0' {command}");
    let output = std::process::Command::new("bash")
        .args(["-c", &print])
        .output();
    let mut words = String::from_utf8(output.unwrap().stdout).unwrap();
    assert_eq!(words.pop(), Some('\0'));
    words.split('\0').map(str::to_owned).collect()
}

fn rows(list: &[u8], config: &Config) -> Vec<Row> {
    let mut rows = Vec::new();
    parse_bytes(list, &config.list, |row| rows.push(row)).unwrap();
    rows
}

/// What a retry depends on.
fn meaning(row: &Row) -> String {
    match &row.entry {
        Ok(entry) => format!("{entry:?}"),
        Err(unusable) => {
            let Unusable::Failed(why) = &unusable.why else {
                panic!("{unusable:?}");
            };
            format!("{:?}, {:?}: {}", unusable.entry, unusable.bucket, why.code)
        }
    }
}

/// The row as one that failed.
fn failed(row: Row, failure: &Failure) -> Finished {
    let (entry, bucket, failure) = match row.entry {
        Ok(entry) => (entry, None, failure.clone()),
        Err(unusable) => match unusable.why {
            Unusable::Failed(why) => (*unusable.entry, unusable.bucket, *why),
            Unusable::Skipped(reason) => panic!("{reason}"),
        },
    };
    Finished {
        place: row.place,
        entry: Arc::new(entry),
        bucket,
        path: None,
        outcome: Outcome::Failed(failure),
        content: None,
    }
}

/// The bytes of the failed-keys CSV.
fn recorded(rows: Vec<Row>, failure: &Failure, config: &Config) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("failed.csv");
    let place = RecordPlace::find(&path, config.failed_name, &config.list).unwrap();
    let mut csv = FailedKeys::create(place, &config.list).unwrap();
    let n_read = rows.len() as u64;
    for row in rows {
        let finished = failed(row, failure);
        let Outcome::Failed(failure) = &finished.outcome else {
            panic!("{finished:?}");
        };
        csv.record(&finished, failure).unwrap();
    }
    let end = RecordEnd {
        n_read,
        is_complete: true,
        sync: false,
    };
    assert_eq!(csv.finish(end).n_rows, n_read);
    std::fs::read(path).unwrap()
}

/// Any text, and more often one of those that mean something to a CSV, a shell, or a reader of lists.
fn text() -> impl Strategy<Value = String> {
    let special = "([ \"',;=\\\\#%+\r\n\t\u{feff}*$`~-]|s3://|\\.\\./|key|ü|\u{202e}|a){0,12}";
    prop_oneof![special, any::<String>()]
}

/// As an argument, in which there can be no NUL.
fn word() -> impl Strategy<Value = String> {
    text().prop_map(|text| text.replace('\0', "0"))
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        (0..60, 0..1000).prop_map(|(s, ms)| format!("2024-01-02T03:04:{s:02}.{ms:03}Z")),
        (0..60).prop_map(|s| format!("2024-01-02 03:04:{s:02}")),
        text(),
    ]
}

fn size() -> impl Strategy<Value = String> {
    prop_oneof![any::<u64>().prop_map(|n| n.to_string()), text()]
}

fn bucket() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), Just("b".to_owned()), text()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_failed_row_through_the_csv_and_its_command_is_the_same_row(
        columns in proptest::collection::vec((text(), bucket(), text(), size(), text(), text(), time()), 1..12),
        (prefix, output, strip_prefix, failed) in (word(), word(), word(), word()),
        (code, message, request_id) in (text(), text(), proptest::option::of(text())),
        (status, attempts) in (proptest::option::of(any::<u16>()), any::<u32>()),
    ) {
        prop_assume!(!failed.is_empty());
        // Without the folder in front of it, it may be something else than a folder.
        let output = format!("./{output}");
        let mut list = csv::Writer::from_writer(Vec::new());
        list.write_record(["key", "bucket", "version_id", "size", "etag", "dest", "last_modified"]).unwrap();
        for (key, bucket, version, size, etag, dest, time) in &columns {
            list.write_record([key, bucket, version, size, etag, dest, time]).unwrap();
        }
        let list = list.into_inner().unwrap();
        let args = [
            "s3pull", "--bucket", "b", "--keys", "list.csv",
            &format!("--key-prefix={prefix}"), &format!("--output={output}"),
            &format!("--strip-prefix={strip_prefix}"), &format!("--failed={failed}"),
            "-j8", "--if-exists", "skip", "-vv",
        ];
        let (config, command) = typed(&args.map(str::to_owned));
        let failure = Failure {
            status,
            attempts,
            request_id,
            ..Failure::new(ErrorCode::S3(code), Class::Permanent, message)
        };

        let first = rows(&list, &config);
        prop_assert_eq!(first.len(), columns.len());
        let expected: Vec<_> = first.iter().map(meaning).collect();
        let csv = recorded(first, &failure, &config);

        // As it is shown.
        let (again, next_command) = typed(&words(&printable(&command)));
        let read: Vec<_> = rows(&csv, &again).iter().map(meaning).collect();
        prop_assert_eq!(read, expected);
        // In front of a name that stands for another source there is `./`.
        let list = again.list.files().map(|path| path.strip_prefix(".").unwrap_or(path));
        prop_assert_eq!(list.collect::<Vec<_>>(), [Path::new(&failed).strip_prefix(".").unwrap_or(Path::new(&failed))]);
        prop_assert_eq!(&again.output, Path::new(&output));
        prop_assert_eq!(&again.failed, Path::new(&failed));
        prop_assert_eq!(&again.paths.strip_prefix, &config.paths.strip_prefix);
        prop_assert_eq!(again.if_exists, config.if_exists);
        prop_assert_eq!(again.concurrency, config.concurrency);
        prop_assert_eq!(again.verbosity, config.verbosity);
        prop_assert_eq!(next_command, command);
    }
}
