//! Any bytes as a list of any format: no panic, no memory without bound, and no row that leads out of the output folder.
//!
//! `S3PULL_FUZZ_FORMAT` names the format, or is not set for `auto`.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use s3pull::fuzzing::{Filters, ListOptions, ListSource, LocalPath, format_named, parse_bytes};

fn options() -> &'static ListOptions {
    static OPTIONS: OnceLock<ListOptions> = OnceLock::new();
    OPTIONS.get_or_init(|| {
        let format = std::env::var("S3PULL_FUZZ_FORMAT").ok().map(|name| {
            format_named(&name).expect("`S3PULL_FUZZ_FORMAT` is a value of `--keys-format`")
        });
        ListOptions {
            sources: vec![ListSource::Stdin],
            format,
            key_column: None,
            key_prefix: String::new(),
            bucket: Some("b".into()),
            filters: Filters::default(),
            columns: None,
            shard: None,
        }
    })
}

fuzz_target!(|list: &[u8]| {
    let mut previous_line = 0;
    // Whether such a list is usable is not the question here.
    let _ = parse_bytes(list, options(), |row| {
        assert!(row.place.line >= previous_line, "rows come in their order");
        previous_line = row.place.line;
        let Ok(entry) = row.entry else { return };
        assert!(!entry.key.is_empty() && entry.key.len() <= 1024);
        let path = entry.dest.as_ref().unwrap_or(&entry.key);
        if let Ok(path) = LocalPath::of_key(path) {
            assert!(path.as_str().split('/').all(|segment| !matches!(segment, "" | "." | "..")));
        }
    });
});
