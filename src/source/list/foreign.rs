//! Recognises by its first row what other tools print and their keys cannot be told from for certain, and says what to use
//! instead. `--keys-format` reads such a list all the same.

use super::binary::NotAList;
use super::listing::has_shape;
use super::sample::Sample;

const TABLE: NotAList = NotAList {
    what: "a table of `aws --output table`",
    cure: "use `--output json`, or `aws s3 ls --recursive`",
};
const YAML: NotAList = NotAList {
    what: "YAML of `aws --output yaml`",
    cure: "use `--output json`, or `aws s3 ls --recursive`",
};
const XML: NotAList = NotAList {
    what: "XML, with which a bucket's URL answers",
    cure: "have s3pull list the bucket with `--prefix PREFIX`",
};
const WEB_PAGE: NotAList = NotAList {
    what: "a web page",
    cure: "give the list itself; an address that was asked for it has answered something else",
};
const MC: NotAList = NotAList {
    what: "the output of `mc ls`, whose names lack what was listed",
    cure: "use `mc ls --recursive --json`",
};
const RCLONE: NotAList = NotAList {
    what: "the output of `rclone lsl`, whose names lack what was listed",
    cure: "use `rclone lsf --recursive --files-only`, and `--key-prefix` for what it listed",
};

const PYTHON: NotAList = NotAList {
    what: "what Python prints",
    cure: "write it as JSON, with `json.dumps`",
};
const REPORT: NotAList = NotAList {
    what: "the manifest of a report of S3 Batch Operations",
    cure: "give the CSV files that it names, with `--keys-format inventory` and its `ReportSchema` as `--keys-columns`",
};
const XML_ERROR: NotAList = NotAList {
    what: "the XML of an error, not a listing",
    cure: "see what it says, or have s3pull list the bucket with `--prefix PREFIX`",
};
const RCLONE_JSON: NotAList = NotAList {
    what: "the output of `rclone lsjson`, whose paths lack what was listed",
    cure: RCLONE.cure,
};
const GCLOUD_JSON: NotAList = NotAList {
    what: "JSON of `gcloud storage`",
    cure: "use `gcloud storage ls --long 'gs://BUCKET/**'`",
};
const EVENTS: NotAList = NotAList {
    what: "event notifications of S3, whose keys are URL-encoded",
    cure: "`jq -r '.Records[].s3 | [.bucket.name, .object.key] | @csv' LIST | s3pull --keys-format inventory …` reads them",
};
const EVENT_BRIDGE: NotAList = NotAList {
    what: "events of EventBridge",
    cure: "`jq -c '.detail | {bucket: .bucket.name, key: .object.key}' LIST | s3pull …` reads them",
};
const CLOUD_TRAIL: NotAList = NotAList {
    what: "a log of CloudTrail",
    cure: "`jq -c '.Records[].requestParameters | select(.key) | {bucket: .bucketName, key}' LIST | s3pull …` reads it",
};

/// Members that only these have, and what such JSON is.
const JSON: [(&[&str], NotAList); 7] = [
    (&["\"Report_CSV_"], REPORT),
    (&["\"Path\"", "\"IsDir\"", "\"ModTime\""], RCLONE_JSON),
    (&["\"cloud_object\""], GCLOUD_JSON),
    (&["\"storage_url\"", "\"md5_hash\""], GCLOUD_JSON),
    (&["\"Records\"", "\"aws:s3\""], EVENTS),
    (&["\"detail-type\"", "\"aws.s3\""], EVENT_BRIDGE),
    (
        &[
            "\"Records\"",
            "\"s3.amazonaws.com\"",
            "\"requestParameters\"",
        ],
        CLOUD_TRAIL,
    ),
];

/// What the list is, if its first row says that it is one of these.
pub(super) fn what(sample: &Sample<'_>) -> Option<NotAList> {
    let row = sample.first_row();
    let starts_with = |start: &[u8]| {
        let beginning = row.get(..start.len());
        beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(start))
    };
    if starts_with(b"<!doctype html") || starts_with(b"<html") {
        Some(WEB_PAGE)
    } else if starts_with(b"<Error>") {
        Some(XML_ERROR)
    } else if starts_with(b"<?xml ") || starts_with(b"<ListBucketResult") {
        Some(XML)
    } else if row.len() >= 16 && row.iter().all(|&byte| byte == b'-') {
        Some(TABLE)
    } else if row == b"Contents:" || row == b"- Contents:" {
        Some(YAML)
    } else if row
        .get(..21)
        .is_some_and(|start| has_shape(start, b"[dddd-dd-dd dd:dd:dd "))
    {
        Some(MC)
    } else if is_of_rclone(row) {
        Some(RCLONE)
    } else if is_of_python(row) {
        Some(PYTHON)
    } else if b"{[".contains(row.first().unwrap_or(&0)) && sample.key_column.is_none() {
        let has = |members: &[&str]| {
            let mut members = members.iter();
            members.all(|member| contains(sample.text, member.as_bytes()))
        };
        let found = JSON.iter().find(|(members, _)| has(members));
        found.map(|(_, what)| *what)
    } else {
        None
    }
}

/// Whether a row is the text of a dictionary, or of a list of texts or dictionaries.
fn is_of_python(row: &[u8]) -> bool {
    let is_begun = [&b"{'"[..], b"['", b"[{'"]
        .iter()
        .any(|start| row.starts_with(start));
    is_begun && matches!(row.last(), Some(b'}' | b']' | b','))
}

fn contains(text: &[u8], wanted: &[u8]) -> bool {
    memchr::memmem::find(text, wanted).is_some()
}

/// Size, date, time of nine decimals, and the name, each after one blank (`fs/operations`, `ListLong`).
fn is_of_rclone(row: &[u8]) -> bool {
    const TIME: &[u8] = b" dddd-dd-dd dd:dd:dd.ddddddddd ";
    let row = row.trim_ascii_start();
    let n_digits = row.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let time = row.get(n_digits..n_digits + TIME.len());
    n_digits > 0 && time.is_some_and(|time| has_shape(time, TIME))
}

#[cfg(test)]
mod tests {
    use crate::source::testing::{failure, rows};

    #[test]
    fn what_other_tools_print_is_refused_with_the_cure() {
        for (list, said) in [
            (
                "----------------------------------\n|          ListObjectsV2         |\n",
                "--output json",
            ),
            ("Contents:\n- ETag: '\"a\"'\n  Key: a\n", "--output json"),
            (
                "<?xml version=\"1.0\"?>\n<ListBucketResult>",
                "`--prefix PREFIX`",
            ),
            (
                "<ListBucketResult xmlns=\"x\"><Name>b</Name>",
                "`--prefix PREFIX`",
            ),
            ("\n<!DOCTYPE html>\n<html>", "a web page"),
            (
                "[2024-01-02 03:04:05 UTC]    15B STANDARD a b.txt\n",
                "`mc ls --recursive --json`",
            ),
            (
                "    15 2024-01-02 03:04:05.000000000 a b.txt\n",
                "rclone lsf",
            ),
            ("{'Key': 'a', 'Size': 15}\n", "json.dumps"),
            ("['a', 'b']\n", "json.dumps"),
            (
                "{\"Format\":\"Report_CSV_20180820\",\"Results\":[]}",
                "--keys-columns",
            ),
            (
                "<Error><Code>AccessDenied</Code></Error>",
                "XML of an error",
            ),
            (
                "[\n{\"Path\":\"a\",\"Name\":\"a\",\"Size\":1,\"ModTime\":\"x\",\"IsDir\":false}\n]\n",
                "`rclone lsf",
            ),
            (
                "[{\"type\":\"cloud_object\",\"url\":\"gs://b/a#1\"}]",
                "`gcloud storage ls --long",
            ),
            (
                "{\"Records\":[{\"eventSource\":\"aws:s3\",\"s3\":{\"object\":{\"key\":\"a\"}}}]}\n",
                "--keys-format inventory",
            ),
            (
                "{\n  \"detail-type\": \"Object Created\",\n  \"source\": \"aws.s3\"\n}\n",
                "EventBridge",
            ),
            (
                "{\"Records\":[{\"eventSource\":\"s3.amazonaws.com\",\"requestParameters\":{\"key\":\"a\"}}]}",
                "CloudTrail",
            ),
        ] {
            let message = failure(list.as_bytes(), "auto");
            assert!(message.contains(said), "{list}: {message}");
            assert!(!rows(list.as_bytes(), "lines", "").is_empty());
        }
    }

    #[test]
    fn keys_that_begin_like_these_are_keys() {
        for list in [
            "---\n",
            "<xml\n",
            "['a'].txt\n",
            "Contents\n",
            "[2024-01-02]\n",
            "15 2024-01-02 03:04:05 a\n",
            "a\n<?xml version\n",
        ] {
            let expected: Vec<_> = list.lines().map(|key| Ok(key.to_owned())).collect();
            assert_eq!(rows(list.as_bytes(), "auto", ""), expected, "{list:?}");
        }
    }
}
