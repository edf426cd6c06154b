//! Whether the objects of the lists fit on the disk, as far as the lists give sizes.

use std::path::Path;

use crate::printable::room;
use crate::row::Entry;
use crate::sink::files::{FileThere, LocalPath, PathRules, Preview};
use crate::source::{self, ListOptions, Totals};

/// Bytes by which the files grow when the object of `entry` takes the place of the file that is there.
pub(super) fn growth(entry: &Entry, there: Option<&FileThere>) -> u64 {
    let there = there.and_then(|file| file.size).unwrap_or_default();
    entry.size.unwrap_or_default().saturating_sub(there)
}

/// What is free and what is needed in `output`, if the objects of the lists do not fit there. Lists that can be read only
/// once are not read for this.
pub(crate) fn shortage(
    options: &ListOptions,
    totals: &Totals,
    output: &Path,
    paths: &PathRules,
) -> Option<String> {
    let mut preview = Preview::open(output, std::iter::empty()).ok()?;
    let free = preview.free_bytes()?;
    if totals.bytes <= free {
        return None;
    }
    // Objects that are here already, or take the place of others, need less. A list that breaks is told elsewhere.
    let mut needed: u64 = 0;
    source::for_each(options, |row| {
        if let Ok(entry) = &row.entry
            && let Ok(path) = paths.path_for(entry)
        {
            let there = file_at(&mut preview, &path);
            needed = needed.saturating_add(growth(entry, there.as_ref()));
        }
    })
    .ok()?;
    (needed > free).then(|| room(free, needed))
}

/// What cannot be looked at counts as not there.
fn file_at(preview: &mut Preview, path: &LocalPath) -> Option<FileThere> {
    preview.check(path).ok().flatten()
}

// How much room Windows has is not asked.
#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::source::ListSource;

    #[test]
    fn files_that_are_there_count_with_what_they_grow_by() {
        let folder = tempfile::tempdir().unwrap();
        let list = folder.path().join("keys.csv");
        // More than any disk has, and as much as is there already but for a few bytes.
        let sparse = std::fs::File::create(folder.path().join("there")).unwrap();
        sparse.set_len(1 << 40).unwrap();
        let shortage = |rows: &str| {
            std::fs::write(&list, format!("key,size\n{rows}")).unwrap();
            let options = ListOptions {
                sources: vec![ListSource::File(list.clone())],
                bucket: Some("b".into()),
                ..ListOptions::default()
            };
            let totals = source::count(&options).unwrap().unwrap();
            super::shortage(&options, &totals, folder.path(), &PathRules::default())
        };
        let exbibyte = 1_u64 << 60;
        let said = shortage(&format!("a,{exbibyte}\nthere,{}\n", 1_u64 << 40)).unwrap();
        assert!(said.ends_with(" free, 1 EiB needed"), "{said}");
        assert_eq!(shortage(&format!("there,{}\n", (1_u64 << 40) + 5)), None);
        assert_eq!(shortage("a,5\nb,\n"), None);
    }
}
