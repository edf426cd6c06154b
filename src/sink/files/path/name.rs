//! Which file names are safe. Pure: the rules of every platform are compiled, and tested, on each of them.

/// Names that start so are this program's own.
pub(crate) const RESERVED_PREFIX: &str = ".s3pull-";
/// The longest file name that common file systems take, in bytes.
pub(crate) const MAX_NAME: usize = 255;
/// The shortest limit that is believed: this program's own names fit into it.
const MIN_LIMIT: usize = 48;

/// The longest name that the file system takes, in bytes: fewer than [`MAX_NAME`] on one that encrypts names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameLimit(usize);

impl NameLimit {
    /// As the file system says, within reason: what holds on common ones holds on all.
    pub fn of_bytes(n_bytes: u64) -> Self {
        let n_bytes = usize::try_from(n_bytes).unwrap_or(MAX_NAME);
        match n_bytes {
            MIN_LIMIT..=MAX_NAME => Self(n_bytes),
            _ => Self(MAX_NAME),
        }
    }

    pub fn bytes(self) -> usize {
        self.0
    }
}

impl Default for NameLimit {
    fn default() -> Self {
        Self(MAX_NAME)
    }
}

/// The naming rules to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Platform {
    Unix,
    Windows,
}

impl Platform {
    pub(crate) const fn current() -> Self {
        if cfg!(windows) {
            Self::Windows
        } else {
            Self::Unix
        }
    }

    /// Whether no name may hold `c`.
    pub(crate) fn forbids(self, c: char) -> bool {
        match self {
            Self::Unix => c == '\0',
            Self::Windows => c < ' ' || r#"\:*?"<>|"#.contains(c),
        }
    }

    /// Whether Windows would drop the name's last character.
    pub(crate) fn drops_end(self, name: &str) -> bool {
        self == Self::Windows && name.ends_with(['.', ' '])
    }

    /// Whether Windows would open a device in place of a file (learn.microsoft.com, "Naming Files, Paths, and
    /// Namespaces").
    pub(crate) fn is_device(self, name: &str) -> bool {
        if self == Self::Unix {
            return false;
        }
        let stem = name.split('.').next().unwrap_or_default();
        let stem = stem.trim_end_matches(' ').to_ascii_uppercase();
        let is_numbered = |device: &str| {
            stem.strip_prefix(device).is_some_and(|number| {
                matches!(number.chars().next(), Some('0'..='9' | '¹' | '²' | '³'))
                    && number.chars().count() == 1
            })
        };
        ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str())
            || is_numbered("COM")
            || is_numbered("LPT")
    }
}

/// Whether all segments of `path` are safe at a glance, as those of nearly all keys are: short, of plain characters,
/// none of them empty or beginning with a dot. One that is not may be safe all the same.
pub(crate) fn is_plain(path: &str, platform: Platform, limit: NameLimit) -> bool {
    if platform != Platform::Unix || path.len() > limit.bytes() {
        return false;
    }
    let mut is_start = true;
    for byte in path.bytes() {
        let is_plain_here = match byte {
            b'/' | b'.' => !is_start,
            byte => (b' '..=b'~').contains(&byte),
        };
        if !is_plain_here {
            return false;
        }
        is_start = byte == b'/';
    }
    !is_start
}

/// What is wrong with a segment of a key as the name of a file or folder, in words that follow it; `None` if nothing.
pub(crate) fn fault(segment: &str, platform: Platform) -> Option<&'static str> {
    if matches!(segment, "." | "..") {
        Some("would leave its folder")
    } else if segment.contains('\0') {
        Some("holds a NUL")
    } else if is_reserved(segment) {
        Some("is kept for this program's own files")
    } else if segment.contains(|c| platform.forbids(c)) {
        Some("holds a character that Windows does not allow in names")
    } else if platform.drops_end(segment) {
        Some("ends in a dot or blank, which Windows drops")
    } else if platform.is_device(segment) {
        Some("is a device's name on Windows")
    } else {
        None
    }
}

/// Whether a name could be one of the program's own: on a file system that folds case too, where `ſ` is an `s`, and on
/// one that passes over invisible characters. Those are not ASCII, so none that isn't counts.
pub(crate) fn is_reserved(name: &str) -> bool {
    let visible = name.chars().filter_map(|c| match c {
        'ſ' => Some('s'),
        c => c.is_ascii().then_some(c.to_ascii_lowercase()),
    });
    visible
        .take(RESERVED_PREFIX.len())
        .eq(RESERVED_PREFIX.chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_names_have_more_rules() {
        for name in [
            r"a\b", r"..\a", "C:x", "a:b", "a*", "a?", "a\"b", "<a", "a|b", "a\n", "a.", "a ",
            "con", "NUL.txt", "com1", "LPT9.x", "COM¹", "conin$", "aux .txt",
        ] {
            assert!(fault(name, Platform::Windows).is_some(), "{name:?}");
            assert_eq!(fault(name, Platform::Unix), None, "{name:?}");
        }
        for name in ["b.txt", "com", "com10", "console", "nul1", ".a", " a"] {
            assert_eq!(fault(name, Platform::Windows), None, "{name:?}");
        }
    }

    #[test]
    fn names_that_a_file_system_may_fold_into_our_own_are_reserved() {
        for name in [
            ".s3pull-x",
            ".S3PULL-x",
            ".ſ3pull-x",
            ".s3\u{200d}pull-x",
            "\u{feff}.s3pull-",
        ] {
            assert!(is_reserved(name), "{name:?}");
        }
        for name in [".s3pull", "s3pull-failed.csv", ".s3pullx-", "x.s3pull-"] {
            assert!(!is_reserved(name), "{name:?}");
        }
    }
}
