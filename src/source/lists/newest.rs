//! Finds the newest inventory below a folder in S3: that of the latest `…/YYYY-MM-DDTHH-MMZ/manifest.json` (S3 user guide,
//! "Locating your inventory list").

use std::cell::RefCell;
use std::collections::BTreeMap;

use crate::row::{Entry, UnusableRow};
use crate::source::list::format::ListProblem;
use crate::source::list::listing::has_shape;
use crate::source::prefix::{self, Lister, Listing};
use crate::source::remote::RemoteList;

/// Most folders of inventories that are told apart.
const MOST: usize = 8;

/// The manifest of the newest inventory below `folder`. Without a lister, the listing breaks off at once.
///
/// # Errors
/// If the folder cannot be listed, has no inventory, or has those of several buckets or configurations.
pub(super) fn manifest(
    folder: &RemoteList,
    lister: Option<&Lister>,
) -> Result<RemoteList, ListProblem> {
    let listing = Listing {
        bucket: folder.bucket.clone(),
        prefix: folder.key.clone(),
    };
    let pages = prefix::start(lister, listing);
    let found = RefCell::new(Inventories::of(&folder.key));
    let see = |_, row: Result<Entry, UnusableRow>| {
        if let Ok(entry) = row {
            found.borrow_mut().see(&entry.key);
        }
    };
    prefix::read(pages, see, || !found.borrow().is_past)
        .map_err(|failure| ListProblem::Listing(Box::new(failure)))?;
    let key = found.into_inner().newest(&folder.bucket);
    key.map(|key| RemoteList {
        bucket: folder.bucket.clone(),
        key,
    })
    .map_err(ListProblem::Unreadable)
}

/// The inventories that are found in a folder while it is listed. Pure.
struct Inventories<'a> {
    folder: &'a str,
    /// The latest date of each folder that has some; their names end in `/`.
    latest: BTreeMap<String, String>,
    /// The keys are past the dates in the folder itself: `data/` and `hive/` come after them, and may hold any number of
    /// keys.
    is_past: bool,
}

impl<'a> Inventories<'a> {
    fn of(folder: &'a str) -> Self {
        Self {
            folder,
            latest: BTreeMap::new(),
            is_past: false,
        }
    }

    fn see(&mut self, key: &str) {
        let below = key.strip_prefix(self.folder).unwrap_or(key);
        self.is_past |= self.latest.contains_key(self.folder) && below > ":";
        let Some(dated) = key.strip_suffix("/manifest.json") else {
            return;
        };
        let start = dated.rfind('/').map_or(0, |slash| slash + 1);
        let (parent, date) = dated.split_at(start);
        if !has_shape(date.as_bytes(), b"dddd-dd-ddTdd-ddZ") {
            return;
        }
        let n_parents = self.latest.len();
        match self.latest.get_mut(parent) {
            Some(latest) if date > latest.as_str() => date.clone_into(latest),
            None if n_parents < MOST => {
                self.latest.insert(parent.to_owned(), date.to_owned());
            }
            Some(_) | None => {}
        }
    }

    /// The key of the newest manifest, or why there is not one.
    fn newest(mut self, bucket: &str) -> Result<String, String> {
        if let Some(date) = self.latest.remove(self.folder) {
            return Ok(format!("{}{date}/manifest.json", self.folder));
        }
        let mut parents = self.latest.iter();
        match (parents.next(), parents.next()) {
            (None, _) => Err(
                "there is no `YYYY-MM-DDTHH-MMZ/manifest.json` of an inventory below it: name the folder that the inventory's configuration writes to"
                    .to_owned(),
            ),
            (Some((parent, date)), None) => Ok(format!("{parent}{date}/manifest.json")),
            (Some(_), Some(_)) => {
                let names: Vec<_> = self
                    .latest
                    .keys()
                    .map(|parent| format!("`s3://{bucket}/{parent}`"))
                    .collect();
                Err(format!(
                    "there are several inventories below it: name one of {}",
                    names.join(", ")
                ))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest(folder: &str, keys: &[&str]) -> Result<String, String> {
        let mut found = Inventories::of(folder);
        for key in keys {
            found.see(key);
            if found.is_past {
                break;
            }
        }
        found.newest("b")
    }

    #[test]
    fn the_latest_date_with_a_manifest_counts() {
        let keys = [
            "inv/src/all/2024-01-02T00-00Z/manifest.checksum",
            "inv/src/all/2024-01-02T00-00Z/manifest.json",
            "inv/src/all/2024-02-01T00-00Z/manifest.checksum",
            "inv/src/all/2024-02-01T00-00Z/manifest.json",
            // It is not finished.
            "inv/src/all/2024-03-01T00-00Z/manifest.checksum",
            "inv/src/all/data/1.csv.gz",
            "inv/src/all/hive/dt=2024-02-01-00-00/symlink.txt",
        ];
        let latest = Ok("inv/src/all/2024-02-01T00-00Z/manifest.json".to_owned());
        for folder in [
            "inv/src/all/",
            "inv/src/",
            "inv/",
            "",
            "inv/src/all/2024-02-01T00-00Z/",
        ] {
            let below: Vec<_> = keys
                .into_iter()
                .filter(|key| key.starts_with(folder))
                .collect();
            assert_eq!(newest(folder, &below), latest, "{folder}");
        }
    }

    #[test]
    fn data_files_are_not_listed_once_a_date_is_found() {
        let mut found = Inventories::of("i/");
        found.see("i/2024-02-01T00-00Z/manifest.json");
        assert!(!found.is_past);
        found.see("i/data/1.csv.gz");
        assert!(found.is_past);
        // Nothing but dates further below: any key may follow.
        let mut found = Inventories::of("");
        found.see("i/2024-02-01T00-00Z/manifest.json");
        found.see("i/data/1.csv.gz");
        assert!(!found.is_past);
    }

    #[test]
    fn several_inventories_or_none_are_not_guessed_among() {
        let of = |config: &str| format!("inv/{config}/2024-01-02T00-00Z/manifest.json");
        let keys = [of("all"), of("some")];
        let message = newest("inv/", &[&keys[0], &keys[1]]).unwrap_err();
        assert!(
            message.ends_with("name one of `s3://b/inv/all/`, `s3://b/inv/some/`"),
            "{message}"
        );
        for key in [
            "inv/manifest.json",
            "inv/2024-01-02/manifest.json",
            "inv/2024-01-02T00-00Z/other.json",
        ] {
            let message = newest("inv/", &[key]).unwrap_err();
            assert!(message.contains("there is no"), "{key}: {message}");
        }
        let many: Vec<_> = (0..100).map(|n| of(&n.to_string())).collect();
        let mut found = Inventories::of("inv/");
        for key in &many {
            found.see(key);
        }
        assert_eq!(found.latest.len(), MOST);
    }
}
