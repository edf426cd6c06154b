//! Which path a key becomes. Pure: nothing here looks at the file system.
//!
//! The key is split at `/` by this code and not by the platform's path rules, which drop `.` and `//`, and let an
//! absolute segment replace everything before it.

use std::fmt;

/// Names that start so are this program's own.
pub const RESERVED_PREFIX: &str = ".s3pull-";
/// The longest file name that common file systems take, in bytes.
pub(super) const MAX_NAME: usize = 255;

/// A path below the output folder: segments joined by `/`, none of them empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LocalPath {
    path: String,
    /// Where the last segment starts.
    name_start: usize,
    is_folder: bool,
}

/// Why a key is no path below the output folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key is no safe path: {0}")]
pub struct UnsafeKey(String);

/// The naming rules to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Platform {
    Unix,
    Windows,
}

impl Platform {
    pub const fn current() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else {
            Self::Unix
        }
    }
}

impl LocalPath {
    /// Maps `key` for this platform. A trailing `/` makes a folder.
    ///
    /// # Errors
    /// [`UnsafeKey`], with the segment and what is wrong with it.
    pub fn of_key(key: &str) -> Result<Self, UnsafeKey> {
        Self::for_platform(key, Platform::current())
    }

    fn for_platform(key: &str, platform: Platform) -> Result<Self, UnsafeKey> {
        let (path, is_folder) = match key.strip_suffix('/') {
            Some(folder) => (folder, true),
            None => (key, false),
        };
        for segment in path.split('/') {
            check_segment(segment, platform)?;
        }
        let name_start = path.rfind('/').map_or(0, |slash| slash + 1);
        Ok(Self {
            path: path.to_owned(),
            name_start,
            is_folder,
        })
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

fn check_segment(segment: &str, platform: Platform) -> Result<(), UnsafeKey> {
    let unsafe_because = |why: &str| {
        Err(UnsafeKey(format!(
            "segment `{}` {why}",
            segment.escape_debug()
        )))
    };
    match segment {
        "" => return Err(UnsafeKey("it has an empty segment".to_owned())),
        "." | ".." => return unsafe_because("would leave its folder"),
        _ => {}
    }
    if segment.contains('\0') {
        return unsafe_because("holds a NUL");
    }
    if segment.len() > MAX_NAME {
        return Err(UnsafeKey(format!(
            "a segment has {} bytes, file systems take {MAX_NAME}",
            segment.len()
        )));
    }
    if starts_reserved(segment) {
        return unsafe_because("is kept for this program's own files");
    }
    match platform {
        Platform::Unix => Ok(()),
        Platform::Windows => match windows_fault(segment) {
            Some(why) => unsafe_because(why),
            None => Ok(()),
        },
    }
}

/// In any case, since a file system that folds case would take them for the program's own.
fn starts_reserved(segment: &str) -> bool {
    segment
        .get(..RESERVED_PREFIX.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RESERVED_PREFIX))
}

/// What Windows would do to a name (learn.microsoft.com, "Naming Files, Paths, and Namespaces").
fn windows_fault(segment: &str) -> Option<&'static str> {
    if segment
        .chars()
        .any(|c| c < ' ' || r#"\:*?"<>|"#.contains(c))
    {
        return Some("holds a character that Windows does not allow in names");
    }
    if segment.ends_with(['.', ' ']) {
        return Some("ends in a dot or blank, which Windows drops");
    }
    let stem = segment
        .split('.')
        .next()
        .unwrap_or_default()
        .trim_end_matches(' ')
        .to_ascii_uppercase();
    let is_numbered = |device: &str| {
        stem.strip_prefix(device).is_some_and(|number| {
            matches!(number.chars().next(), Some('0'..='9' | '¹' | '²' | '³'))
                && number.chars().count() == 1
        })
    };
    let is_device = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str());
    (is_device || is_numbered("COM") || is_numbered("LPT"))
        .then_some("is a device's name on Windows")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(platform: Platform, key: &str) -> Result<LocalPath, UnsafeKey> {
        LocalPath::for_platform(key, platform)
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
    fn windows_names_have_more_rules() {
        for key in [
            r"a\b", r"..\a", "C:x", "a:b", "a*", "a?", "a\"b", "<a", "a|b", "a\n", "a.", "a ",
            "a/con", "NUL.txt", "com1", "LPT9.x", "COM¹", "conin$", "aux .txt",
        ] {
            assert!(on(Platform::Windows, key).is_err(), "{key:?}");
        }
        for key in ["a/b.txt", "com", "com10", "console", "nul1", ".a", " a"] {
            assert!(on(Platform::Windows, key).is_ok(), "{key:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_key_leaves_the_folder(key in r"[./a\\:\x00-]{0,12}", platform in proptest::sample::select(vec![Platform::Unix, Platform::Windows])) {
            if let Ok(path) = on(platform, &key) {
                let segments: Vec<_> = path.as_str().split('/').collect();
                proptest::prop_assert!(segments.iter().all(|segment| !matches!(*segment, "" | "." | "..")));
                proptest::prop_assert!(std::path::Path::new(path.as_str()).is_relative());
                // Distinct keys give distinct paths: the key is the path, but for the folder's slash.
                let slash = if path.is_folder() { "/" } else { "" };
                proptest::prop_assert_eq!(format!("{}{slash}", path.as_str()), key);
            }
        }
    }
}
