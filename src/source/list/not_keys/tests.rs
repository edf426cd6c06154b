use crate::source::testing::{failure, rows};

/// What other programs write, and what is said of it.
const FOREIGN: &[(&str, &str)] = &[
    (
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
        "`git lfs pull`",
    ),
    (
        "outs:\n- md5: a304afb96060aad90176268345e10355\n  path: keys.txt\n",
        "`dvc pull`",
    ),
    (
        "\nAn error occurred (AccessDenied) when calling the ListObjectsV2 operation: Access Denied\n",
        "an error message",
    ),
    (
        "ERROR \"ls s3://b\": NoSuchBucket: status code: 404\n",
        "an error message",
    ),
    (
        "79a5 b [06/Feb/2019:00:00:38 +0000] 192.0.2.3 79a5 3E57427F3EXAMPLE REST.GET.OBJECT a%2520b \"GET /b/a HTTP/1.1\" 200\n",
        "an access log",
    ),
    (
        "-rw-r--r-- 1 root root 12 Jan  2 03:04 a b.txt\n",
        "`ls -l`",
    ),
    ("s3.ObjectSummary(bucket_name='b', key='a')\n", "Python"),
    ("['a.txt' 'b.txt'\n 'c.txt']\n", "Python"),
    ("b'a.txt'\nb'b.txt'\n", "Python"),
    ("<ArrowStringArray>\n['a', 'b']\n", "Python"),
    ("0    a.txt\n1    b.txt\nName: Key, dtype: str\n", "pandas"),
    ("'Key','Size'\n'a','12'\n", "double quotes"),
    ("sep=;\nkey;size\na;1\n", "`tail -n +2"),
    ("s3_uri,label\ns3://b/a,1\n", "`--key-column NAME`"),
    (
        "id\tfilename\tmd5\tsize\tstate\n1\ta\t0\t1\tlive\n",
        "`--key-column NAME`",
    ),
    ("\"size\";\"etag\"\n1;x\n", "`--key-column NAME`"),
    ("     key  size\n0  a.txt    12\n", "a table for people"),
    ("┌─────────┐\n│   key   │\n", "a table for people"),
    ("+-----+----+\n|  key|size|\n", "a table for people"),
    (
        "  key  | size \n-------+------\n a.txt |   12\n",
        "a table for people",
    ),
    (
        "| key | size |\n| --- | ---: |\n| a | 12 |\n",
        "a table for people",
    ),
    (
        "name      bytes\n--------  -----\na.txt     12\n",
        "a table for people",
    ),
    (
        "---------------\n|ListObjectsV2|\n+-------------+\n|  a          |\n",
        "--output json",
    ),
    ("key|size\na|1\n", "`tr '|'"),
    ("- a.txt\n- b/c.txt\n", "YAML"),
    ("- - a.txt\n  - 12\n", "YAML"),
    ("- Key: a.txt\n  Size: 12\n", "YAML"),
    ("IsTruncated: false\nContents:\n", "YAML"),
    (
        "d41d8cd98f00b204e9800998ecf8427e  a.txt\nd41d8cd98f00b204e9800998ecf8427e  b.txt\n",
        "checksums",
    ),
    ("\\d41d8cd98f00b204e9800998ecf8427e *a.txt\n", "checksums"),
    (
        "MD5 (a.txt) = d41d8cd98f00b204e9800998ecf8427e\n",
        "checksums",
    ),
    ("       12 a.txt\n123456789 b/c.txt\n", "`rclone ls`"),
    ("      1 a.txt\n      2 b.txt\n", "`uniq -c`"),
    (
        "     1\ta.txt\n     2\tb.txt\n",
        "a number before each name",
    ),
    (
        "2024-01-02 03:04:05 photos\n2024-01-02 03:04:05 my-logs-1\n",
        "a list of buckets",
    ),
    (
        "gs://b/a.txt:\n    Creation time:    Tue, 02 Jan 2024 03:04:05 GMT\n",
        "`gsutil ls -l",
    ),
    ("download: s3://b/a to ./a\n", "`s3://bucket/key` per line"),
    (
        "2024/01/02 03:04:05  s3://b\n",
        "`s3://bucket/key` per line",
    ),
    (
        "9 bytes in 1 objects: s3://b/*\n",
        "`s3://bucket/key` per line",
    ),
    (
        "       12  gs://b/a\n       13  gs://b/c\n",
        "`s3://bucket/key` per line",
    ),
    (
        "pipe:aws s3 cp s3://b/train-000.tar -\n",
        "`s3://bucket/key` per line",
    ),
    ("a.txt\rb.txt\rc.txt\r", "CR alone"),
];

#[test]
fn what_other_programs_write_is_refused_with_the_cure() {
    for (list, said) in FOREIGN {
        let message = failure(list.as_bytes(), "auto");
        assert!(message.contains(said), "{list}: {message}");
        assert!(!rows(list.as_bytes(), "lines", "").is_empty());
    }
}

#[test]
fn keys_that_begin_like_these_are_keys() {
    for list in [
        "- a\nb\n",
        "-- a\n",
        " 12\n",
        "12 a\n13 b\n",
        "0  a\nb\n",
        "  a\n  b\n",
        "d41d8cd98f00b204e9800998ecf8427e\n",
        "d41d8cd98f00b204e9800998ecf8427e a\n",
        "d41d8cd98f00b204e9800998ecf8427e  a\nb\n",
        "2024-01-02 03:04:05 photos.jpg\n",
        "2024-01-02 03:04:05 photos\na\n",
        "key size chart for people.pdf\n",
        "my key\n",
        "name,first\n",
        "a,b\n",
        "file,1.txt\n",
        "---\na\n",
        "---\n",
        "| a\n",
        "b'a\n",
        "error: a\n",
        "-rw a\n",
        "Icon\r",
        "a [06/Feb/2019]\n",
        "as3://b\n",
        "s3 and gs\n",
    ] {
        let expected: Vec<_> = list
            .split_terminator('\n')
            .map(|key| Ok(key.to_owned()))
            .collect();
        assert_eq!(rows(list.as_bytes(), "auto", ""), expected, "{list:?}");
    }
}
