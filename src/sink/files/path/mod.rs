//! Which path a key becomes. Pure: nothing here looks at the file system.
//!
//! The key is split at `/` by this code and not by the platform's path rules, which drop `.` and `//`, and let an
//! absolute segment replace everything before it.

pub(super) mod encode;
pub(super) mod name;
pub(super) mod template;

use std::fmt;

use crate::options::UnsafeKeys;
use crate::printable::count;
use crate::row::Entry;
use encode::encode;
use name::{NameLimit, Platform, fault, is_plain};
use template::PathTemplate;

/// How this run's keys become paths.
#[derive(Debug, Clone, Default)]
pub struct PathRules {
    /// Taken off every key first; may be empty.
    pub strip_prefix: String,
    pub template: PathTemplate,
    /// The run's only bucket; empty if each row names its own.
    pub bucket: String,
    pub unsafe_keys: UnsafeKeys,
    /// The longest name on the output folder's file system.
    pub name_limit: NameLimit,
}

/// A path below the output folder: segments joined by `/`, none of them empty, `.` or `..`. Only a folder marker's may be
/// empty as a whole, and is the output folder's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalPath {
    path: String,
    /// Where the last segment starts.
    name_start: usize,
    is_folder: bool,
}

/// Why a key is not a path below the output folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key is not a safe path: {0}")]
pub struct UnsafeKey(String);

/// Why a key has no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPath {
    #[error("{0}; `--unsafe-keys encode` percent-encodes it")]
    Unsafe(#[from] UnsafeKey),
    #[error("the key does not begin with `{prefix}`, which `--strip-prefix` takes off")]
    OtherPrefix { prefix: String },
}

impl PathRules {
    /// Where an object's file goes: to `dest`, the path that its row gives, or else to that of its key.
    ///
    /// # Errors
    /// When that is not a plain path below the output folder, or lacks the prefix.
    pub fn path_for(&self, entry: &Entry) -> Result<LocalPath, NoPath> {
        match (&entry.dest, &entry.bucket) {
            (Some(dest), _) => self.path_of_dest(dest),
            (None, Some(bucket)) => self.for_platform(bucket, &entry.key, Platform::current()),
            (None, None) => self.path_of(&entry.key),
        }
    }

    /// Maps `key` for this platform. A trailing `/` makes a folder.
    ///
    /// # Errors
    /// When the key lacks the prefix, or is unsafe and is not to be encoded.
    pub fn path_of(&self, key: &str) -> Result<LocalPath, NoPath> {
        self.for_platform(&self.bucket, key, Platform::current())
    }

    fn for_platform(
        &self,
        bucket: &str,
        key: &str,
        platform: Platform,
    ) -> Result<LocalPath, NoPath> {
        let Some(below) = key.strip_prefix(&self.strip_prefix) else {
            let prefix = self.strip_prefix.clone();
            return Err(NoPath::OtherPrefix { prefix });
        };
        if !self.template.is_key() {
            let path = self.template.expand(bucket, key, below);
            return self.below_output(&path, platform);
        }
        // The prefix's own folder marker, which a listing of it has: the output folder is its folder.
        if below.is_empty() && key.ends_with('/') {
            return Ok(LocalPath::new(String::new(), true));
        }
        self.below_output(below, platform)
    }

    /// Maps `dest`, a path that a list gives in place of its key's: nothing is taken off it.
    ///
    /// # Errors
    /// When it is unsafe and is not to be encoded.
    pub fn path_of_dest(&self, dest: &str) -> Result<LocalPath, NoPath> {
        self.below_output(dest, Platform::current())
    }

    fn below_output(&self, path: &str, platform: Platform) -> Result<LocalPath, NoPath> {
        match self.unsafe_keys {
            UnsafeKeys::Fail => Ok(LocalPath::for_platform(path, platform, self.name_limit)?),
            UnsafeKeys::Encode => Ok(LocalPath::encoded(path, platform, self.name_limit)),
        }
    }
}

impl LocalPath {
    /// The path that is `key` itself, where this platform can have it. A trailing `/` makes a folder.
    ///
    /// # Errors
    /// [`UnsafeKey`], with the segment and what is wrong with it.
    pub fn of_key(key: &str) -> Result<Self, UnsafeKey> {
        Self::for_platform(key, Platform::current(), NameLimit::default())
    }

    fn for_platform(key: &str, platform: Platform, limit: NameLimit) -> Result<Self, UnsafeKey> {
        let (path, is_folder) = without_slash(key);
        if !is_plain(path, platform, limit) {
            for segment in path.split('/') {
                check_segment(segment, platform, limit)?;
            }
        }
        Ok(Self::new(path.to_owned(), is_folder))
    }

    fn encoded(key: &str, platform: Platform, limit: NameLimit) -> Self {
        let (path, is_folder) = without_slash(key);
        Self::new(encode(path, platform, limit), is_folder)
    }

    fn new(path: String, is_folder: bool) -> Self {
        let name_start = path.rfind('/').map_or(0, |slash| slash + 1);
        Self {
            path,
            name_start,
            is_folder,
        }
    }

    /// The whole path, relative to the output folder.
    pub fn as_str(&self) -> &str {
        &self.path
    }

    /// The folder that the file is in, relative to the output folder; empty for the output folder itself.
    pub fn folder(&self) -> &str {
        self.path[..self.name_start].trim_end_matches('/')
    }

    pub fn name(&self) -> &str {
        &self.path[self.name_start..]
    }

    /// Whether the key is a folder marker's.
    pub fn is_folder(&self) -> bool {
        self.is_folder
    }
}

impl fmt::Display for LocalPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.path)
    }
}

/// A key, or its part below the prefix, without its trailing `/`; and whether it has one.
fn without_slash(key: &str) -> (&str, bool) {
    match key.strip_suffix('/') {
        Some(folder) => (folder, true),
        None => (key, false),
    }
}

fn check_segment(segment: &str, platform: Platform, limit: NameLimit) -> Result<(), UnsafeKey> {
    if segment.is_empty() {
        return Err(UnsafeKey("it has an empty segment".to_owned()));
    }
    let limit = limit.bytes();
    if segment.len() > limit {
        let length = segment.len();
        let message = format!(
            "a segment has {}, the file system takes names of {limit}",
            count(length as u64, "byte")
        );
        return Err(UnsafeKey(message));
    }
    match fault(segment, platform) {
        Some(fault) => Err(UnsafeKey(format!(
            "segment `{}` {fault}",
            segment.escape_debug()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(platform: Platform, key: &str) -> Result<LocalPath, UnsafeKey> {
        LocalPath::for_platform(key, platform, NameLimit::default())
    }

    #[test]
    fn plain_keys_are_their_own_path() {
        for key in [
            "a",
            "a/b.txt",
            " a ",
            "a b/ü",
            "a+b%20#?&=",
            "...",
            "..a",
            "a..",
            "-rf",
            "~",
            "C:x",
            "a\nb",
            "con",
        ] {
            let path = on(Platform::Unix, key).unwrap();
            assert_eq!(path.as_str(), key);
            assert!(!path.is_folder());
        }
    }

    #[test]
    fn path_is_folder_and_name() {
        let path = on(Platform::Unix, "a/b/c").unwrap();
        assert_eq!((path.folder(), path.name()), ("a/b", "c"));
        let path = on(Platform::Unix, "c").unwrap();
        assert_eq!((path.folder(), path.name()), ("", "c"));
    }

    #[test]
    fn a_trailing_slash_makes_a_folder() {
        let path = on(Platform::Unix, "a/b/").unwrap();
        assert_eq!((path.as_str(), path.is_folder()), ("a/b", true));
    }

    #[test]
    fn keys_that_are_no_plain_relative_path_are_unsafe() {
        let too_long = "x".repeat(256);
        for key in [
            "",
            "/",
            "//",
            "/etc/passwd",
            "a//b",
            "a//",
            ".",
            "..",
            "./a",
            "../a",
            "a/../b",
            "a/..",
            "a/./b",
            "a/.",
            "../",
            "a\0b",
            ".s3pull-x",
            "a/.S3PULL-x/b",
            &too_long,
        ] {
            assert!(on(Platform::Unix, key).is_err(), "{key:?}");
        }
        assert!(on(Platform::Unix, &"x".repeat(255)).is_ok());
    }

    #[test]
    fn a_prefix_is_taken_off_and_must_be_there() {
        let rules = |prefix: &str, unsafe_keys| PathRules {
            strip_prefix: prefix.to_owned(),
            unsafe_keys,
            ..PathRules::default()
        };
        for unsafe_keys in [UnsafeKeys::Fail, UnsafeKeys::Encode] {
            let path_of = |prefix, key: &str| {
                rules(prefix, unsafe_keys).for_platform("b", key, Platform::Unix)
            };
            assert_eq!(path_of("p/", "p/a/b").unwrap().as_str(), "a/b");
            assert_eq!(path_of("p", "photo").unwrap().as_str(), "hoto");
            assert_eq!(path_of("", "a").unwrap().as_str(), "a");
            for key in ["q/a", "p", "P/a", ""] {
                assert!(
                    matches!(path_of("p/", key), Err(NoPath::OtherPrefix { .. })),
                    "{key:?}"
                );
            }
            let own = path_of("p/", "p/").unwrap();
            assert_eq!((own.as_str(), own.is_folder()), ("", true));
        }
        // What is left must be safe by itself.
        for (prefix, key) in [("p", "p/a"), ("p/", "p/../a"), ("p", "p..")] {
            assert!(
                rules(prefix, UnsafeKeys::Fail).path_of(key).is_err(),
                "{key}"
            );
        }
        let encoded = rules("p", UnsafeKeys::Encode).path_of("p/a").unwrap();
        assert_eq!(encoded.as_str(), "%/a");
    }

    #[test]
    fn what_a_template_makes_is_under_the_same_rules() {
        let path = |template: &str, unsafe_keys, bucket: &str, key: &str| {
            let rules = PathRules {
                template: template.parse().unwrap(),
                unsafe_keys,
                strip_prefix: "p/".to_owned(),
                ..PathRules::default()
            };
            rules.for_platform(bucket, key, Platform::Unix)
        };
        let fail = UnsafeKeys::Fail;
        let made = path("{bucket}/{key}", fail, "b", "p/a/b").unwrap();
        assert_eq!((made.as_str(), made.is_folder()), ("b/a/b", false));
        let marker = path("{bucket}/{key}", fail, "b", "p/a/").unwrap();
        assert_eq!((marker.as_str(), marker.is_folder()), ("b/a", true));
        let own = path("{bucket}/{key}", fail, "b", "p/").unwrap();
        assert_eq!((own.as_str(), own.is_folder()), ("b", true));
        for (template, bucket, key) in [
            ("{bucket}/{key}", "b", "p/../x"),
            ("{bucket}/{key}", "..", "p/x"),
            ("{bucket}/{key}", "", "p/x"),
            ("x/{name}", "b", "p/a/.."),
            ("{dir}/{name}", "b", "p//x"),
            ("{name}", "b", "p/.s3pull-x"),
        ] {
            assert!(
                path(template, fail, bucket, key).is_err(),
                "{template} {key}"
            );
            let encoded = path(template, UnsafeKeys::Encode, bucket, key).unwrap();
            let is_safe = |segment: &str| {
                check_segment(segment, Platform::Unix, NameLimit::default()).is_ok()
            };
            assert!(encoded.as_str().split('/').all(is_safe), "{template} {key}");
        }
        assert!(matches!(
            path("{bucket}/{key}", fail, "b", "q"),
            Err(NoPath::OtherPrefix { .. })
        ));
    }

    #[test]
    fn names_are_as_long_as_the_file_system_takes_them() {
        for limit in [143, 168, 255] {
            let mut rules = PathRules {
                name_limit: NameLimit::of_bytes(limit),
                ..PathRules::default()
            };
            let limit = usize::try_from(limit).unwrap();
            let (fits, too_long) = ("x".repeat(limit), "x".repeat(limit + 1));
            for folder in ["", "a/", "ü/"] {
                assert!(rules.path_of(&format!("{folder}{fits}")).is_ok());
                let error = rules.path_of(&format!("{folder}{too_long}")).unwrap_err();
                assert!(error.to_string().contains(&limit.to_string()), "{error}");
            }
            rules.unsafe_keys = UnsafeKeys::Encode;
            let key = format!("a/{}/b", "ü%".repeat(500));
            let path = rules.path_of(&key).unwrap();
            assert!(path.as_str().split('/').all(|name| name.len() <= limit));
            assert_eq!(encode::decode(path.as_str()).unwrap(), key);
        }
        for nonsense in [0, 12, 1_530] {
            assert_eq!(NameLimit::of_bytes(nonsense), NameLimit::default());
        }
    }

    #[test]
    fn encoded_folder_markers_are_folders() {
        let rules = PathRules {
            unsafe_keys: UnsafeKeys::Encode,
            ..PathRules::default()
        };
        for (key, path) in [
            ("a/", "a"),
            ("a//", "a/%"),
            ("/", "%"),
            ("../", "%2E%2E"),
            ("%/", "%25"),
        ] {
            let mapped = rules.path_of(key).unwrap();
            assert_eq!((mapped.as_str(), mapped.is_folder()), (path, true), "{key}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_plain_is_safe(path in "[a./ %\\x00é~]{0,6}") {
            if is_plain(&path, Platform::Unix, NameLimit::default()) {
                for segment in path.split('/') {
                    proptest::prop_assert!(check_segment(segment, Platform::Unix, NameLimit::default()).is_ok());
                }
            }
        }

        #[test]
        fn no_key_leaves_the_folder(key in r"[./a\\:\x00-]{0,12}", platform in proptest::sample::select(vec![Platform::Unix, Platform::Windows])) {
            if let Ok(path) = on(platform, &key) {
                let segments: Vec<_> = path.as_str().split('/').collect();
                proptest::prop_assert!(segments.iter().all(|segment| !matches!(*segment, "" | "." | "..")));
                // What is a name on Unix may be a drive on Windows.
                let is_judged_here = cfg!(unix) || platform == Platform::Windows;
                proptest::prop_assert!(!is_judged_here || std::path::Path::new(path.as_str()).is_relative());
                // Distinct keys give distinct paths: the key is the path, but for the folder's slash.
                let slash = if path.is_folder() { "/" } else { "" };
                proptest::prop_assert_eq!(format!("{}{slash}", path.as_str()), key);
            }
        }
    }
}
