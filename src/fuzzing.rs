//! What the fuzz targets run.

use std::sync::OnceLock;

use crate::options::UnsafeKeys;
use crate::s3;
use crate::sink::files::{LocalPath, PathRules, decode};
use crate::source::list::format_named;
use crate::source::{ListOptions, ListSource, parse_bytes};

/// Any bytes as a reply: its head is read without a panic, and so is the body of an error.
pub fn reply(bytes: &[u8]) {
    s3::read_reply(bytes);
}

/// Any bytes as a page of a listing: it is read without a panic, and no key is taken that was not asked for.
pub fn list_page(bytes: &[u8]) {
    s3::read_page(bytes);
}

/// Any bytes as a list of any format: no panic, no memory without bound, and no row that leads out of the output folder.
///
/// `S3PULL_FUZZ_FORMAT` names the format, or is not set for `auto`.
///
/// # Panics
/// When one of these does not hold.
pub fn key_list(list: &[u8]) {
    let mut previous_line = 0;
    // Whether such a list is usable is not the question here.
    let _ = parse_bytes(list, options(), |row| {
        assert!(row.place.line >= previous_line, "rows come in their order");
        previous_line = row.place.line;
        let Ok(entry) = row.entry else { return };
        assert!(!entry.key.is_empty() && entry.key.len() <= 1024);
        let path = entry.dest.as_ref().unwrap_or(&entry.key);
        if let Ok(path) = LocalPath::of_key(path) {
            assert!(
                path.as_str()
                    .split('/')
                    .all(|segment| !matches!(segment, "" | "." | ".."))
            );
        }
    });
}

fn options() -> &'static ListOptions {
    static OPTIONS: OnceLock<ListOptions> = OnceLock::new();
    OPTIONS.get_or_init(|| {
        let format = std::env::var("S3PULL_FUZZ_FORMAT").ok();
        ListOptions {
            sources: vec![ListSource::Stdin],
            format: format.and_then(|name| format_named(&name)),
            bucket: Some("b".into()),
            ..ListOptions::default()
        }
    })
}

/// Any key as a path: none leaves the output folder, and an encoded one can be read back.
///
/// # Panics
/// When one of these does not hold.
pub fn key_path(key: &str) {
    if key.is_empty() {
        return;
    }
    let rules = |unsafe_keys| PathRules {
        strip_prefix: String::new(),
        unsafe_keys,
        ..PathRules::default()
    };
    if let Ok(path) = rules(UnsafeKeys::Fail).path_of(key) {
        assert_stays(&path);
        assert_eq!(with_slash(path.as_str(), &path), key);
    }
    let Ok(path) = rules(UnsafeKeys::Encode).path_of(key) else {
        panic!("every key has an encoded path");
    };
    assert_stays(&path);
    let decoded = decode(path.as_str()).map(|decoded| with_slash(&decoded, &path));
    assert_eq!(decoded.as_deref(), Some(key));
}

fn assert_stays(path: &LocalPath) {
    for segment in path.as_str().split('/') {
        assert!(
            !matches!(segment, "" | "." | "..") && segment.len() <= 255 && !segment.contains('\0')
        );
    }
}

fn with_slash(text: &str, path: &LocalPath) -> String {
    let slash = if path.is_folder() { "/" } else { "" };
    format!("{text}{slash}")
}
