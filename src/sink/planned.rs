//! Remembers planned paths, up to a fixed number, to find rows that cannot both become files.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hash, Hasher};

use twox_hash::XxHash3_64;

use crate::row::Entry;
use crate::sink::files::LocalPath;

/// Paths that are remembered, by their hash: some 5 MiB. Later ones are still compared with these.
pub(crate) const MAX_SEEN: usize = 200_000;

/// Finds rows that cannot both become files.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Hashes of files' paths, and of the entries that go there.
    files: HashMap<u64, u64, BuildHasherDefault<IdentityHasher>>,
    folders: HashSet<u64, BuildHasherDefault<IdentityHasher>>,
    /// The folder whose ancestors are known already: rows of one folder mostly stand together.
    last_folder: String,
}

/// How a path relates to those of earlier rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Planned {
    New,
    /// The same object, for the same path.
    Again,
    /// Why there cannot be both.
    Conflict(&'static str),
}

impl Seen {
    pub(crate) fn check(&mut self, path: &LocalPath, entry: &Entry) -> Planned {
        let hash = hash(path.as_str());
        if path.is_folder() {
            return match self.enter_folder(path.as_str()) {
                Ok(()) => Planned::New,
                Err(conflict) => conflict,
            };
        }
        if let Err(conflict) = self.enter_folder(path.folder()) {
            return conflict;
        }
        if self.folders.contains(&hash) {
            return Planned::Conflict("is a folder for an earlier row");
        }
        match self.files.get(&hash) {
            Some(&earlier) if earlier == hash_of(entry) => return Planned::Again,
            Some(_) => {
                return Planned::Conflict("is the path of an earlier row for another object");
            }
            None => {}
        }
        if !self.is_full() {
            self.files.insert(hash, hash_of(entry));
        }
        Planned::New
    }

    /// Frees the path of a file that is not written after all.
    pub(crate) fn forget(&mut self, path: &LocalPath) {
        if !path.is_folder() {
            self.files.remove(&hash(path.as_str()));
        }
    }

    /// Whether later paths are no longer remembered.
    pub(crate) fn is_full(&self) -> bool {
        self.files.len() + self.folders.len() >= MAX_SEEN
    }

    fn enter_folder(&mut self, folder: &str) -> Result<(), Planned> {
        if folder == self.last_folder {
            return Ok(());
        }
        let ends = folder
            .match_indices('/')
            .map(|(end, _)| end)
            .chain([folder.len()]);
        for end in ends {
            let hash = hash(&folder[..end]);
            if self.files.contains_key(&hash) {
                return Err(Planned::Conflict(
                    "needs a folder where an earlier row's file goes",
                ));
            }
            if !self.is_full() {
                self.folders.insert(hash);
            }
        }
        folder.clone_into(&mut self.last_folder);
        Ok(())
    }
}

fn hash(text: &str) -> u64 {
    XxHash3_64::oneshot(text.as_bytes())
}

/// The hash of the object that `entry` names.
fn hash_of(entry: &Entry) -> u64 {
    let mut hasher = XxHash3_64::new();
    entry.object().hash(&mut hasher);
    hasher.finish()
}

/// Takes what is a hash already as its own.
#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn write(&mut self, _: &[u8]) {
        unreachable!("only hashes are hashed")
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(key: &str) -> Entry {
        Entry {
            key: key.to_owned(),
            ..Entry::default()
        }
    }

    /// What each key, in this order, meets.
    fn met(keys: &[&str]) -> Vec<bool> {
        let mut seen = Seen::default();
        let met = keys
            .iter()
            .map(|key| seen.check(&LocalPath::of_key(key).unwrap(), &entry(key)));
        met.map(|met| matches!(met, Planned::Conflict(_))).collect()
    }

    #[test]
    fn a_file_and_a_folder_of_one_name_conflict_in_either_order() {
        assert_eq!(met(&["a", "b/c", "a/b"]), [false, false, true]);
        assert_eq!(met(&["a/b", "a/c", "a"]), [false, false, true]);
        assert_eq!(met(&["a/b/c/d", "a/b"]), [false, true]);
        assert_eq!(met(&["a", "a/"]), [false, true]);
        assert_eq!(met(&["a/", "a/b", "ab", "a"]), [false, false, false, true]);
    }

    #[test]
    fn the_same_object_twice_is_none_but_two_on_one_path_are() {
        let mut seen = Seen::default();
        let path = LocalPath::of_key("a").unwrap();
        assert_eq!(seen.check(&path, &entry("a")), Planned::New);
        assert_eq!(seen.check(&path, &entry("a")), Planned::Again);
        let sized = Entry {
            size: Some(5),
            ..entry("a")
        };
        assert_eq!(seen.check(&path, &sized), Planned::Again);
        let other = Entry {
            version_id: Some("v".into()),
            ..entry("a")
        };
        assert!(matches!(seen.check(&path, &other), Planned::Conflict(_)));
    }

    #[test]
    fn memory_is_bounded_and_what_is_remembered_still_counts() {
        let mut seen = Seen::default();
        for n in 0..MAX_SEEN + 1000 {
            let key = n.to_string();
            seen.check(&LocalPath::of_key(&key).unwrap(), &entry(&key));
        }
        assert!(seen.is_full() && seen.files.len() <= MAX_SEEN);
        assert!(matches!(
            seen.check(&LocalPath::of_key("7/x").unwrap(), &entry("7/x")),
            Planned::Conflict(_)
        ));
    }
}
