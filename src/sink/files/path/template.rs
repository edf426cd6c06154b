//! `--path`: how a key and its bucket become the path below the output folder. Pure: what a template makes is checked, or
//! encoded, like any key.

use std::str::FromStr;

use twox_hash::XxHash3_64;

/// Most hex digits of a hash.
const MAX_DIGITS: usize = 16;

/// A template, such as `{bucket}/{key}`. The default is `{key}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathTemplate {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Bucket,
    Key,
    Name,
    Dir,
    /// As many hex digits.
    Hash(usize),
}

/// Why a template cannot be used, as a complete message without the template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

impl Default for PathTemplate {
    fn default() -> Self {
        Self {
            pieces: vec![Piece::Key],
        }
    }
}

impl FromStr for PathTemplate {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, behind)) = rest.split_once('{') {
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let (name, behind) = behind
                .split_once('}')
                .ok_or_else(|| TemplateError("a `{` is not closed".to_owned()))?;
            pieces.push(Piece::named(name)?);
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        for segment in text.split('/') {
            if matches!(segment, "" | "." | "..") {
                return Err(TemplateError(
                    "it is not a path below the output folder: no segment may be empty, `.` or `..`".to_owned(),
                ));
            }
        }
        if text.contains('\0') {
            return Err(TemplateError("it contains NUL".to_owned()));
        }
        let tells_keys_apart =
            |piece: &Piece| matches!(piece, Piece::Key | Piece::Name | Piece::Hash(_));
        if !pieces.iter().any(tells_keys_apart) {
            return Err(TemplateError(
                "every key would have the same path: use `{key}`, `{name}` or `{hash:16}` in it"
                    .to_owned(),
            ));
        }
        Ok(Self { pieces })
    }
}

impl Piece {
    fn named(name: &str) -> Result<Self, TemplateError> {
        let digits = name.strip_prefix("hash:").and_then(|n| n.parse().ok());
        match (name, digits) {
            ("bucket", _) => Ok(Self::Bucket),
            ("key", _) => Ok(Self::Key),
            ("name", _) => Ok(Self::Name),
            ("dir", _) => Ok(Self::Dir),
            (_, Some(n @ 1..=MAX_DIGITS)) => Ok(Self::Hash(n)),
            _ => Err(TemplateError(format!(
                "`{{{}}}` is not known: use `{{bucket}}`, `{{key}}`, `{{name}}`, `{{dir}}` or `{{hash:N}}` with N from 1 to {MAX_DIGITS}",
                name.escape_debug()
            ))),
        }
    }
}

impl PathTemplate {
    /// Whether the path is the key itself.
    pub fn is_key(&self) -> bool {
        self.pieces == [Piece::Key]
    }

    /// Whether equal keys of two buckets have different paths.
    pub fn has_bucket(&self) -> bool {
        self.pieces.contains(&Piece::Bucket)
    }

    /// The path for `key`, of which `below` is what is left without `--strip-prefix`. It ends in `/` if the key does, and is
    /// just as unsafe as the key may be.
    pub fn expand(&self, bucket: &str, key: &str, below: &str) -> String {
        let (below, is_folder) = match below.strip_suffix('/') {
            Some(below) => (below, true),
            None => (below, key.ends_with('/')),
        };
        let (dir, name) = match below.rsplit_once('/') {
            Some((dir, name)) => (Some(dir), name),
            None => (None, below),
        };
        let mut path = String::with_capacity(below.len() + 64);
        let mut is_dir_left_out = false;
        for piece in &self.pieces {
            match piece {
                // A key without a folder has no `/` after it either.
                Piece::Text(text) if is_dir_left_out => {
                    path.push_str(text.strip_prefix('/').unwrap_or(text));
                }
                Piece::Text(text) => path.push_str(text),
                Piece::Bucket => path.push_str(bucket),
                Piece::Key => path.push_str(below),
                Piece::Name => path.push_str(name),
                Piece::Dir => path.push_str(dir.unwrap_or_default()),
                Piece::Hash(digits) => {
                    let hash = XxHash3_64::oneshot(key.as_bytes());
                    path.push_str(&format!("{hash:016x}")[..*digits]);
                }
            }
            is_dir_left_out = *piece == Piece::Dir && dir.is_none();
        }
        if is_folder && !path.ends_with('/') {
            path.push('/');
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(template: &str, key: &str) -> String {
        template
            .parse::<PathTemplate>()
            .unwrap()
            .expand("b", key, key)
    }

    #[test]
    fn each_placeholder_is_replaced() {
        let key = "photos/2024/a.jpg";
        for (template, path) in [
            ("{key}", "photos/2024/a.jpg"),
            ("{bucket}/{key}", "b/photos/2024/a.jpg"),
            ("{name}", "a.jpg"),
            ("{dir}/{name}", "photos/2024/a.jpg"),
            ("x/{dir}-y/{name}.bak", "x/photos/2024-y/a.jpg.bak"),
        ] {
            assert_eq!(expanded(template, key), path, "{template}");
        }
        // XXH3-64 by its reference implementation, as for shards.
        assert_eq!(expanded("{hash:2}/{key}", "abc"), "78/abc");
        assert_eq!(expanded("{hash:16}", "abc"), "78af5f94892f3950");
        assert_eq!("{key}".parse(), Ok(PathTemplate::default()));
    }

    #[test]
    fn a_key_without_a_folder_has_no_slash_for_it() {
        assert_eq!(expanded("{dir}/{name}", "a"), "a");
        assert_eq!(expanded("x/{dir}/{name}", "a"), "x/a");
        // Its first segment is empty, so that it is unsafe like the key.
        assert_eq!(expanded("{dir}/{name}", "/a"), "/a");
    }

    #[test]
    fn a_folder_marker_stays_one() {
        assert_eq!(expanded("{bucket}/{key}", "a/b/"), "b/a/b/");
        assert_eq!(expanded("{name}", "a/b/"), "b/");
        let template: PathTemplate = "{bucket}/{key}".parse().unwrap();
        assert_eq!(template.expand("b", "p/", ""), "b/");
    }

    #[test]
    fn templates_that_cannot_be_paths_are_refused() {
        for bad in [
            "",
            "/{key}",
            "{key}/",
            "a//{key}",
            "../{key}",
            "./{key}",
            "{key}/..",
            "{bucket}",
            "{dir}",
            "x",
            "{",
            "{key",
            "{x}",
            "{hash}",
            "{hash:0}",
            "{hash:17}",
            "{hash:x}",
            "{Key}",
            "{key}\0",
        ] {
            assert!(bad.parse::<PathTemplate>().is_err(), "{bad:?}");
        }
    }
}
