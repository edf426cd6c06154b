use crate::etag::ETag;
use crate::source::testing::{entries, failure, rows};

/// Written by pyarrow 22 with the schema of an inventory, in row groups of two rows, with the codecs and page versions that are
/// in use.
const FILES: [&[u8]; 3] = [
    include_bytes!("../../../../tests/lists/snappy.parquet"),
    include_bytes!("../../../../tests/lists/zstd.parquet"),
    include_bytes!("../../../../tests/lists/gzip.parquet"),
];

#[test]
fn the_files_of_an_inventory_are_read_by_the_names_of_their_columns() {
    for file in FILES {
        assert_eq!(
            rows(file, "auto", ""),
            [
                // Keys are not URL-encoded.
                Ok("a b%2B+ü".to_owned()),
                Err("2: not the latest version".to_owned()),
                Err("3: a delete marker".to_owned()),
                Ok("plain".to_owned()),
                Err(
                    "5: WrongBucket: the row is for bucket `other`, this run is for `b`".to_owned()
                ),
            ]
        );
        let found = entries(file, "auto");
        let first = &found[0];
        assert_eq!(
            (first.size, first.version_id.as_deref(), first.etag.clone()),
            (Some(12), Some("v1"), ETag::of_row("abc"))
        );
        let time = first.last_modified.map(|time| time.to_string());
        assert_eq!(time.as_deref(), Some("2024-01-02T03:04:05Z"));
        assert_eq!(
            found[1],
            crate::row::Entry {
                key: "plain".into(),
                ..Default::default()
            }
        );
        assert_eq!(rows(file, "parquet", "p/")[0], Ok("p/a b%2B+ü".to_owned()));
    }
}

#[test]
fn a_file_that_is_cut_or_damaged_is_a_broken_list() {
    for file in FILES {
        for length in [4, 5, 100, file.len() / 2, file.len() - 1] {
            let message = failure(&file[..length], "parquet");
            assert!(message.contains("cannot read the key list"), "{message}");
        }
        let mut n_noticed = 0;
        for at in (4..file.len()).step_by(97) {
            let mut damaged = file.to_vec();
            damaged[at] ^= 0x55;
            // It may be an error, or a failed row, or not matter; only an end of the program fails this test.
            let options = crate::source::testing::options("parquet", "");
            n_noticed += u32::from(crate::source::testing::parsed(&damaged, &options).is_err());
        }
        assert!(n_noticed > 0);
    }
}
