use crate::etag::ETag;
use crate::row::Entry;
use crate::source::testing::{entries, failure, rows};

const LISTING: &str = r#"{
"Contents": [
    {
        "Key": "a \u00fc\n",
        "LastModified": "2024-01-02T03:04:05+00:00",
        "ETag": "\"abc-2\"",
        "ChecksumAlgorithm": ["CRC64NVME"],
        "Size": 12,
        "Owner": {"Key": "not this"}
    },
    {"Key": "s3://b/is-a-key-here", "Size": 0}
],
"RequestCharged": null
}
"#;

fn keys(keys: &[&str]) -> Vec<Result<String, String>> {
    keys.iter().map(|key| Ok((*key).to_owned())).collect()
}

#[test]
fn listings_of_the_aws_cli_are_read_page_by_page() {
    let found = entries(LISTING.as_bytes(), "auto");
    let first = Entry {
        key: "a ü\n".into(),
        size: Some(12),
        etag: ETag::of_row("abc-2"),
        last_modified: found[0].last_modified,
        ..Entry::default()
    };
    assert_eq!(found[0], first);
    assert!(found[0].last_modified.is_some());
    assert_eq!(found[1].key, "s3://b/is-a-key-here");
    // Several pages may follow one another, in this layout or with one page per line.
    let pages = [LISTING, LISTING].concat();
    assert_eq!(entries(pages.as_bytes(), "auto").len(), 4);
    let compact: String = LISTING.lines().map(str::trim).collect();
    let pages = format!("{compact}\n{compact}\n");
    assert_eq!(entries(pages.as_bytes(), "auto").len(), 4);
}

#[test]
fn lines_of_s5cmd_are_objects_except_folders() {
    let list = "{\"key\":\"s3://b/a\\u0026b\",\"type\":\"file\",\"size\":3,\"etag\":\"e\",\"version_id\":\"v\"}\n\
                {\"key\":\"s3://b/sub/\",\"type\":\"directory\"}\n\
                {\"key\":\"s3://other/x\",\"type\":\"file\"}\n";
    assert_eq!(
        rows(list.as_bytes(), "auto", ""),
        [
            Ok("a&b".to_owned()),
            Err("3: WrongBucket: the row is for bucket `other`, this run is for `b`".to_owned())
        ]
    );
    let first = &entries(list.as_bytes(), "auto")[0];
    assert_eq!(
        (
            first.size,
            first.etag.as_ref().map(ETag::as_str),
            first.version_id.as_deref()
        ),
        (Some(3), Some("e"), Some("v"))
    );
}

#[test]
fn arrays_may_contain_keys_or_objects() {
    assert_eq!(rows(b"[\"a\", \"b c\"]", "auto", ""), keys(&["a", "b c"]));
    assert_eq!(
        rows(b"[\n\"a\",\n\"b\"\n]\n", "auto", "p/"),
        keys(&["p/a", "p/b"])
    );
    assert_eq!(rows(b"[{\"Key\":\"a\"}]\n", "auto", ""), keys(&["a"]));
    assert_eq!(rows(b"\"a\"\n\"b\"\n", "json", ""), keys(&["a", "b"]));
}

#[test]
fn rows_of_one_line_share_its_line_number() {
    let found = rows(b"[1, 2]\n[3]\n", "json", "");
    let lines = found
        .iter()
        .map(|row| row.as_ref().unwrap_err().split(':').next());
    assert_eq!(lines.collect::<Vec<_>>(), [Some("1"), Some("1"), Some("2")]);
}

#[test]
fn versions_are_read_like_those_of_an_inventory() {
    let list = r#"{"RequestCharged": null, "Versions": [
        {"Key": "a", "VersionId": "v2", "IsLatest": true, "Size": 3},
        {"Key": "a", "VersionId": "v1", "IsLatest": false, "Size": 2}
      ], "DeleteMarkers": [{"Key": "gone", "VersionId": "v3", "IsLatest": true}]}"#;
    let found = entries(list.as_bytes(), "auto");
    assert_eq!(found.len(), 1);
    let version = found[0].version_id.as_deref();
    assert_eq!((version, found[0].size), (Some("v2"), Some(3)));
    assert_eq!(
        rows(list.as_bytes(), "auto", ""),
        [
            Ok("a".to_owned()),
            Err("2: not the latest version".to_owned()),
            Err("3: a delete marker".to_owned())
        ]
    );
}

#[test]
fn empty_listings_have_no_rows() {
    for list in [
        "",
        "null\n",
        "[]",
        "{}\n",
        "{\n    \"RequestCharged\": null,\n    \"Prefix\": \"x\"\n}\n",
    ] {
        assert_eq!(rows(list.as_bytes(), "json", ""), [], "{list:?}");
    }
}

#[test]
fn values_that_do_not_name_an_object_fail_only_their_row() {
    let list = b"{\"key\":\"a\"}\n{\"nokey\":1}\n7\nnot json\n[[1]]\n\
                 {\"Key\":5}\n{\"key\":\"b\"}\n";
    let found = rows(list, "auto", "");
    assert_eq!(found.first(), Some(&Ok("a".to_owned())));
    assert_eq!(found.last(), Some(&Ok("b".to_owned())));
    let failed_rows = &found[1..found.len() - 1];
    assert_eq!(failed_rows.len(), 5);
    for (line, row) in (2..).zip(failed_rows) {
        let message = row.as_ref().unwrap_err();
        assert!(
            message.starts_with(&format!("{line}: InvalidRow: ")),
            "{message}"
        );
    }
}

#[test]
fn a_document_that_is_truncated_or_never_reaches_a_row_is_an_error() {
    let message = failure(&LISTING.as_bytes()[..150], "auto");
    assert!(message.contains("it is not JSON: EOF"), "{message}");
    let mut hidden = b"[\n\"".to_vec();
    hidden.resize(32 << 20, b'x');
    let message = failure(&hidden, "auto");
    assert!(message.contains("after row 0"), "{message}");
}

#[test]
fn a_broken_first_line_costs_a_row() {
    for first in [
        "{\"key\":\"a",
        "{\"key\":\"a\"",
        "{\"key\":\"a\",",
        "{\"key\":",
        "{\"key\":\"a\"}}",
        "{\"key\" \"a\"}",
        "{\"key\":nul}",
    ] {
        let list = format!("{first}\n{{\"key\":\"b\"}}\n{{\"key\":\"c\"}}\n");
        let found = rows(list.as_bytes(), "auto", "");
        assert_eq!(found.last(), Some(&Ok("c".to_owned())), "{first}");
        assert_eq!(found[found.len() - 2], Ok("b".to_owned()), "{first}");
        let n_failed = found.iter().filter(|row| row.is_err()).count();
        assert_eq!(n_failed, 1, "{first}: {found:?}");
    }
}

#[test]
fn documents_are_told_from_lines_whatever_their_first_line_holds() {
    for list in [
        "{\"Contents\": [\n{\"Key\":\"a\"}\n]}\n",
        "[\n{\"Key\":\"a\"}\n]\n",
        "[{\"Key\":\n\"a\"}]",
        "{\n\"Key\":\"a\"\n}\n",
        "{\"Key\":\"a\",\n\"Size\":1}",
    ] {
        assert_eq!(rows(list.as_bytes(), "auto", ""), keys(&["a"]), "{list}");
        assert_eq!(rows(list.as_bytes(), "json", ""), keys(&["a"]), "{list}");
    }
    assert_eq!(
        rows(b"{\"key\":\"a\"} {\"key\":\"b\"}\n", "auto", ""),
        keys(&["a", "b"])
    );
}

#[test]
fn optional_values_that_cannot_be_read_are_ignored_but_a_wrong_version_is_not() {
    let list = br#"{"Key":"a","Size":1000.0}
        {"Key":"b","Size":-1}
        {"Key":"c","Size":"1,000","md5":7}
        {"Key":"d","Size":[1],"LastModified":true}
        {"Key":"e","VersionId":17,"Size":null}
        {"Key":"f","VersionId":{"id":1}}
        {"Key":"g","dest":false}
        "#;
    let found = entries(list, "auto");
    let sizes: Vec<_> = found.iter().map(|entry| entry.size).collect();
    assert_eq!(sizes, [Some(1000), None, Some(1000), None, None]);
    assert_eq!(found[4].version_id.as_deref(), Some("17"));
    let failed = rows(list, "auto", "");
    assert_eq!(
        failed[5],
        Err("6: InvalidRow: its `version_id` is not a text".to_owned())
    );
    assert_eq!(
        failed[6],
        Err("7: InvalidRow: its `dest` is not a text".to_owned())
    );
}

/// What pandas and boto3 with `json.dump(default=str)` write.
#[test]
fn members_are_known_by_every_common_name() {
    let list = br#"[{"Key":" lead","LastModified":"2026-11-26 00:04:15+00:00","ETag":"\"a76\"","Size":15.0,"ChecksumSHA1":"98O8HYCOBHMq32eZZczDTKeuNEE="},
        {"object_key":"b","last_modified_date":"2026-11-26T00:04:15.000Z","e_tag":"x","is_latest":true}]"#;
    let found = entries(list, "auto");
    for entry in &found {
        let time = entry.last_modified.map(|time| time.to_string());
        assert_eq!(time.as_deref(), Some("2026-11-26T00:04:15Z"));
    }
    assert_eq!(
        (found[0].size, found[0].etag.clone()),
        (Some(15), ETag::of_row("a76"))
    );
    assert_eq!(
        found[0].checksums[0].to_string(),
        "f7c3bc1d808e04732adf679965ccc34ca7ae3441"
    );
    assert_eq!(
        (found[1].key.as_str(), found[1].etag.clone()),
        ("b", ETag::of_row("x"))
    );
}

#[test]
fn keys_are_decoded_where_the_listing_says_that_they_are_encoded() {
    let list = r#"{"Contents": [{"Key": "a+b%2Bc/%C3%BC"}], "RequestCharged": null, "EncodingType": "url"}"#;
    assert_eq!(rows(list.as_bytes(), "auto", ""), keys(&["a b+c/ü"]));
    let raw = list.replace(r#", "EncodingType": "url""#, "");
    assert_eq!(rows(raw.as_bytes(), "auto", ""), keys(&["a+b%2Bc/%C3%BC"]));
}

/// botocore asks for encoded keys, decodes them, and leaves `EncodingType` in what `aws s3api --no-paginate` and boto3 print.
#[test]
fn keys_are_not_decoded_where_they_show_that_they_are_plain() {
    for list in [
        r#"{"ResponseMetadata": {"HTTPStatusCode": 200}, "EncodingType": "url", "Contents": [{"Key": "a+b%2Bc"}]}"#,
        r#"{"Contents": [{"Key": "a b"}, {"Key": "a+b%2Bc"}], "EncodingType": "url"}"#,
        r#"{"Contents": [{"Key": "ü"}, {"Key": "a+b%2Bc"}], "EncodingType": "url"}"#,
        r#"{"EncodingType": "url", "Contents": [{"Key": "100%"}, {"Key": "a+b%2Bc"}]}"#,
    ] {
        let found = rows(list.as_bytes(), "auto", "");
        assert_eq!(found.last(), Some(&Ok("a+b%2Bc".to_owned())), "{list}");
    }
}

/// As `jq` prints keys without `-r`.
#[test]
fn texts_in_quotes_on_each_line_are_keys() {
    assert_eq!(
        rows(b"\"a b\"\n\"\\u00fc\\\"\"\n\"s3://b/c\"\n", "auto", ""),
        keys(&["a b", "ü\"", "c"])
    );
    assert_eq!(rows(b"\"a\"\n", "auto", "p/"), keys(&["p/a"]));
    for plain in ["\"a\"\nb\n", "\"a\nb\"\n", "\"a\"b\"\n", "\"\n"] {
        let lines: Vec<_> = plain.lines().collect();
        assert_eq!(rows(plain.as_bytes(), "auto", ""), keys(&lines), "{plain}");
    }
}

#[test]
fn the_best_name_of_a_key_counts_wherever_it_stands() {
    for list in [
        r#"{"key":"a","object_key":"b"}"#,
        r#"{"object_key":"b","key":"a"}"#,
        r#"{"s3_key":"b","Key":"a"}"#,
    ] {
        assert_eq!(rows(list.as_bytes(), "auto", ""), keys(&["a"]), "{list}");
    }
}

#[test]
fn rows_that_say_which_version_they_are_of_are_read_like_those_of_an_inventory() {
    let list = br#"{"key":"a","is_latest":true}
        {"key":"a","version_id":"v1","is_latest":false}
        {"key":"gone","is_delete_marker":true}
        {"status":"success","type":"file","key":"gone","isDeleteMarker":true}"#;
    assert_eq!(
        rows(list, "auto", ""),
        [
            Ok("a".to_owned()),
            Err("2: not the latest version".to_owned()),
            Err("3: a delete marker".to_owned()),
            Err("4: a delete marker".to_owned())
        ]
    );
}

#[test]
fn an_object_without_a_key_says_how_to_name_it() {
    let message = failure_of(br#"{"s3":{"bucket":"b","key":"a"}}"#);
    assert!(
        message.contains("`--key-column NAME`") && message.contains("`jq`"),
        "{message}"
    );
}

fn failure_of(list: &[u8]) -> String {
    rows(list, "auto", "")[0].as_ref().unwrap_err().clone()
}

/// `mc find --json` writes the alias of the server and the bucket before each key, and an empty type.
#[test]
fn keys_of_mc_find_stand_behind_the_bucket() {
    let row = |key: &str| {
        format!(
            "{{\"status\":\"success\",\"type\":\"\",\"size\":15,\"key\":\"{key}\",\"etag\":\"\"}}\n"
        )
    };
    let list = [row("local/b/2024/c d"), row("local/other/x")].concat();
    let found = rows(list.as_bytes(), "auto", "p/");
    assert_eq!(found[0], Ok("2024/c d".to_owned()));
    assert!(found[1].as_ref().unwrap_err().contains("WrongBucket"));
    // A `status` of another kind does not mean that mc wrote it.
    let own = br#"{"status":"success","key":"a/b/c"}"#;
    assert_eq!(rows(own, "auto", ""), keys(&["a/b/c"]));
}

#[test]
fn arrays_in_an_array_say_what_to_query() {
    for list in [
        "[\n [\n \"a\",\n 15\n ]\n]\n",
        "[\n    [\n        15,\n        \"a\"\n    ]\n]\n",
        "[[15,\"a\"]]",
        "[[null, \"a\"],\n[1, \"b\"]]\n",
    ] {
        let found = rows(list.as_bytes(), "auto", "");
        let message = found[0].as_ref().unwrap_err();
        assert!(
            message.contains("--query 'Contents[].{Key: Key, Size: Size}'"),
            "{list}: {message}"
        );
    }
    assert_eq!(
        rows(b"[[1]].txt\n[[n\n", "auto", ""),
        keys(&["[[1]].txt", "[[n"])
    );
}

/// What mc prints, with the URL that newer versions add and without it.
#[test]
fn keys_of_mc_are_below_what_was_listed() {
    let row = r#"{"status":"success","type":"file","lastModified":"2026-11-26T00:04:15Z","size":15,"key":"c/d e","etag":"a76f""#;
    for (url, key) in [
        (r#","url":"http://127.0.0.1:9000/b/2024/"}"#, "2024/c/d e"),
        (r#","url":"http://127.0.0.1:9000/b/2024/x"}"#, "2024/c/d e"),
        (r#","url":"http://127.0.0.1:9000/b"}"#, "c/d e"),
        (r#","url":"http://127.0.0.1:9000/other/2024/"}"#, "c/d e"),
        ("}", "c/d e"),
    ] {
        let list = format!("{row}{url}\n");
        assert_eq!(rows(list.as_bytes(), "auto", ""), keys(&[key]), "{url}");
        let first = &entries(list.as_bytes(), "auto")[0];
        assert_eq!(
            (first.size, first.etag.clone()),
            (Some(15), ETag::of_row("a76f"))
        );
    }
}

/// As mc prints them without `--json-lines`: over several lines each.
#[test]
fn objects_may_follow_one_another_over_several_lines() {
    let object = |key: &str| {
        format!(
            "{{\n \"status\": \"success\",\n \"type\": \"file\",\n \"size\": 15,\n \"key\": \"{key}\"\n}}\n"
        )
    };
    let list = [object("a"), object("b c")].concat();
    assert_eq!(rows(list.as_bytes(), "auto", "p/"), keys(&["p/a", "p/b c"]));
}
