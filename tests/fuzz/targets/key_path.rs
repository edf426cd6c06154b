//! Any key as a path: none leaves the output folder, and an encoded one can be read back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use s3pull::fuzzing::{LocalPath, PathRules, UnsafeKeys, decode};

fuzz_target!(|key: &str| {
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
    let path = rules(UnsafeKeys::Encode).path_of(key).expect("every key has an encoded path");
    assert_stays(&path);
    let decoded = decode(path.as_str());
    assert_eq!(with_slash(&decoded.expect("what was encoded can be decoded"), &path), key);
});

fn assert_stays(path: &LocalPath) {
    for segment in path.as_str().split('/') {
        assert!(!matches!(segment, "" | "." | "..") && segment.len() <= 255 && !segment.contains('\0'));
    }
}

fn with_slash(text: &str, path: &LocalPath) -> String {
    let slash = if path.is_folder() { "/" } else { "" };
    format!("{text}{slash}")
}
