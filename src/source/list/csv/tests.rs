use crate::etag::ETag;
use crate::source::testing::{entries, failure, rows};

#[test]
fn quoted_keys_may_contain_anything() {
    let list = b"size,key\n1,\"a,\"\"b\"\"\nc\"\n2, d \n";
    assert_eq!(
        rows(list, "auto", ""),
        [Ok("a,\"b\"\nc".to_owned()), Ok(" d ".to_owned())]
    );
}

#[test]
fn every_known_column_is_used() {
    let list =
        b"dest,etag,extra,size,version_id,bucket,key\nd/e,\"\"\"abc\"\"\",x,12,v1,b,k\n,,,,,,l\n";
    let found = entries(list, "auto");
    assert_eq!(found[0].dest.as_deref(), Some("d/e"));
    assert_eq!(found[0].etag, ETag::of_row("abc"));
    assert_eq!(found[0].size, Some(12));
    assert_eq!(found[0].version_id.as_deref(), Some("v1"));
    assert_eq!(
        found[1],
        crate::row::Entry {
            key: "l".into(),
            ..Default::default()
        }
    );
}

#[test]
fn rows_of_another_bucket_or_without_a_key_fail_with_their_line() {
    let list = b"key,bucket,message,size\nx,other,,\n,b,\"not UTF-8\",\n,b,,\ny,,,\n\xff,,,\n";
    let found = rows(list, "auto", "");
    assert_eq!(
        found[0],
        Err("2: WrongBucket: the row is for bucket `other`, this run is for `b`".to_owned())
    );
    assert_eq!(found[1], Err("3: InvalidRow: not UTF-8".to_owned()));
    assert_eq!(found[2], Err("4: InvalidRow: the key is empty".to_owned()));
    assert_eq!(found[3], Ok("y".to_owned()));
    assert_eq!(
        found[4],
        Err(r"6: InvalidRow: not UTF-8, as keys in S3 must be: `\xff`".to_owned())
    );
}

#[test]
fn an_empty_file_is_an_empty_list() {
    assert_eq!(rows(b"", "csv", ""), []);
    assert_eq!(rows(b"key\n", "csv", ""), []);
}

#[test]
fn an_unclosed_quote_is_reported_without_filling_memory() {
    let mut list = b"key,size\na,1\n\"".to_vec();
    list.resize(8 << 20, b'x');
    let message = failure(&list, "auto");
    assert!(
        message.contains("after line 2") && message.contains("quote"),
        "{message}"
    );
}

#[test]
fn headers_are_known_in_any_case_and_with_any_separator() {
    for list in [
        "Key,Size\na b,12\n",
        "SIZE,KEY\n12,a b\n",
        "object_key,size\na b,12\n",
        "Key\tSize\na b\t12\n",
        "Key;Size\na b;12\n",
        // Athena quotes everything.
        "\"bucket\",\"key\",\"size\"\n\"b\",\"a b\",\"12\"\n",
        "\u{feff}\"Size\";\"Key\"\r\n\"12\";\"a b\"\r\n",
    ] {
        let found = entries(list.as_bytes(), "auto");
        assert_eq!(found.len(), 1, "{list}");
        assert_eq!(
            (found[0].key.as_str(), found[0].size),
            ("a b", Some(12)),
            "{list}"
        );
        if !list.contains('\t') {
            assert_eq!(entries(list.as_bytes(), "csv"), found, "{list}");
        }
    }
    assert_eq!(entries(b"key\tsize\na\t1\n", "tsv")[0].size, Some(1));
    assert_eq!(entries(b"key\tsize\na\t1\n", "csv")[0].size, Some(1));
}

/// What pandas 3 writes of boto3's answers: `to_csv(index=False)`, with an index, with `sep="\t"`, and with a size that is missing
/// in another row.
#[test]
fn tables_of_pandas_are_read() {
    let head = ",Key,LastModified,ETag,ChecksumAlgorithm,Size,StorageClass\n";
    let row = "0, lead,2026-11-26 00:04:15+00:00,\"\"\"a76f3936c45b5bbd04f19cd73f835db0\"\"\",['CRC32'],15,STANDARD\n";
    let with_index = [head, row].concat();
    let without = [&head[1..], &row[2..]].concat();
    for list in [with_index.as_str(), &without] {
        let found = &entries(list.as_bytes(), "auto")[0];
        assert_eq!((found.key.as_str(), found.size), (" lead", Some(15)));
        assert_eq!(found.etag, ETag::of_row("a76f3936c45b5bbd04f19cd73f835db0"));
        let time = found.last_modified.map(|time| time.to_string());
        assert_eq!(time.as_deref(), Some("2026-11-26T00:04:15Z"));
    }
    let found = entries(
        b"Key,Size\n lead,\n$var `x`,24.0\n\"x\"\"q\"\"y\",15.0\n",
        "auto",
    );
    let sizes: Vec<_> = found.iter().map(|entry| entry.size).collect();
    assert_eq!(sizes, [None, Some(24), Some(15)]);
    assert_eq!(found[2].key, "x\"q\"y");
}

#[test]
fn a_lone_header_counts_if_it_is_quoted_or_the_list_is_called_a_csv() {
    let keys = |keys: &[&str]| -> Vec<_> { keys.iter().map(|key| Ok((*key).to_owned())).collect() };
    assert_eq!(rows(b"\"key\"\n\"a b\"\n", "auto", ""), keys(&["a b"]));
    assert_eq!(rows(b"key\na\n", "auto", ""), keys(&["key", "a"]));
    assert_eq!(rows(b"key\na\n", "csv", ""), keys(&["a"]));
    // These are JSON, as `jq` prints it, and no table.
    assert_eq!(rows(b"\"a\"\n\"b\"\n", "auto", ""), keys(&["a", "b"]));
}

#[test]
fn columns_that_are_not_those_of_the_header_are_no_key() {
    let failed = |list: &str, format: &str, said: &str| {
        let found = rows(list.as_bytes(), format, "");
        let message = found[0].as_ref().unwrap_err();
        assert!(
            message.starts_with("2: InvalidRow: ") && message.contains(said),
            "{list}: {message}"
        );
        assert_eq!(found[1..], [Ok("k".to_owned())], "{list}");
    };
    for (list, said) in [
        // A key with a comma.
        (
            "key,size\na,b.txt,12\nk,1\n",
            "has 3 columns, and the header 2: put a text with `,`",
        ),
        ("key;size\na;b.txt;12\nk;1\n", "a text with `;`"),
        // What R's `write.table` prints: no name for the first column.
        ("key\tsize\n1\ta.txt\t12\nk\t1\n", "a text with a TAB"),
        // Spark's quotes.
        ("key,size\n\"a\\\"b\",12\nk,1\n", "written twice"),
        ("key,size\n\"a\" ,12\nk,1\n", "`a ,12`"),
    ] {
        failed(list, "auto", said);
    }
    // Columns without a name may be empty.
    let list = b"key,size\na,1,\nb,2,,\nc\n";
    assert_eq!(rows(list, "auto", "").len(), 3);
    assert!(rows(list, "auto", "").iter().all(Result::is_ok));
}

#[test]
fn a_header_that_comes_again_is_no_row() {
    let list = "\u{feff}key,size\na,1\n\u{feff}key,size\nb,2\nkey,size\n";
    assert_eq!(
        rows(list.as_bytes(), "auto", ""),
        [Ok("a".to_owned()), Ok("b".to_owned())]
    );
    let names = rows(b"key,size\nkey,1\n", "auto", "");
    assert_eq!(names, [Ok("key".to_owned())]);
}

#[test]
fn a_table_that_is_cut_off_is_told_from_a_whole_one() {
    let message = failure(b"key,size\na,1\n\"b,2\nc,3\n", "auto");
    assert!(
        message.contains("line 3") && message.contains("not closed"),
        "{message}"
    );
    let message = failure(b"key,size\na,1\n\"b", "auto");
    assert!(message.contains("not closed"), "{message}");
    let cut = rows(b"key,size\na,1\nb", "auto", "");
    let message = cut[1].as_ref().unwrap_err();
    assert!(message.contains("ends within the row: `b`"), "{message}");
    for whole in [
        &b"key,size\na,1\nb,"[..],
        b"key\na\nb",
        // All rows are as short.
        b"key,size\na\nb",
        b"key,size\na,1\nb\n",
    ] {
        assert!(rows(whole, "csv", "").iter().all(Result::is_ok));
    }
}

#[test]
fn checksums_are_read_from_hex_and_base64() {
    let list = b"key,MD5,sha256,crc32c\n\
        a,JfnnlDI7RTiF9RgfG2JNCw==,15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225,4waSgw==\n\
        b,,,e3069283\nc,25f9e794323b453885f5181f1b624d0b-2,,\n";
    let found: Vec<Vec<_>> = entries(list, "auto")
        .iter()
        .map(|entry| entry.checksums.iter().map(ToString::to_string).collect())
        .collect();
    let sha = "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225";
    assert_eq!(
        found[0],
        [sha, "25f9e794323b453885f5181f1b624d0b", "e3069283"]
    );
    assert_eq!(found[1], ["e3069283"]);
    assert_eq!(found[2], Vec::<String>::new());
}

#[test]
fn versions_in_the_table_of_an_inventory_are_read_like_the_inventory() {
    let list = b"key,version_id,is_latest,is_delete_marker\na,v2,true,false\na,v1,False,false\ngone,v3,true,TRUE\n";
    assert_eq!(
        rows(list, "auto", ""),
        [
            Ok("a".to_owned()),
            Err("3: not the latest version".to_owned()),
            Err("4: a delete marker".to_owned())
        ]
    );
}
