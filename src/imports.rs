//! Checks which module may import which. The tests read the `use` lines of the sources, so that a wrong import fails a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules that all others may import. They import only one another.
const GROUND: [&str; 12] = [
    "etag",
    "exit_code",
    "locks",
    "memory",
    "meter",
    "open_files",
    "options",
    "outcome",
    "page_size",
    "printable",
    "row",
    "stop",
];

/// What each room (a folder or file of `src`) may import besides itself and the ground.
const ROOMS: &[(&str, &[&str])] = &[
    ("source", &[]),
    ("s3", &[]),
    ("sink", &[]),
    ("signal", &[]),
    ("fuzzing", &["s3", "sink", "source"]),
    ("deadline", &[]),
    ("done", &["sink"]),
    ("transfer", &["done", "source", "s3", "sink"]),
    ("cli", &["source"]),
    ("config", &["cli", "source", "s3", "sink", "transfer"]),
    ("report", &["config", "source", "s3", "sink", "transfer"]),
    ("check", &["report", "sink", "transfer"]),
    ("rounds", &["done_file", "report", "source", "transfer"]),
    (
        "preparation",
        &[
            "config",
            "destination",
            "done_file",
            "report",
            "s3",
            "sink",
            "source",
            "transfer",
        ],
    ),
    (
        "run_end",
        &[
            "done_file",
            "report",
            "s3",
            "signal",
            "sink",
            "source",
            "transfer",
        ],
    ),
    (
        "done_file",
        &["config", "done", "report", "sink", "source", "transfer"],
    ),
    (
        "destination",
        &["config", "dry_run", "report", "sink", "source"],
    ),
    (
        "dry_run",
        &[
            "config",
            "done",
            "done_file",
            "report",
            "s3",
            "source",
            "sink",
            "transfer",
        ],
    ),
];

/// Module paths below the crate, such as `source::list`, with the module paths that each imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn imports() -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    collect(&root, "", &mut sources);
    for outside in ["build", "imports", "main", "wording", ""] {
        sources.remove(outside);
    }
    let modules: BTreeSet<_> = sources.keys().cloned().collect();
    let imported = |module: &String, source: &String| {
        statements(source)
            .flat_map(|statement| expanded(&statement))
            .filter_map(|path| resolved(module, &path, &modules))
            .filter(|imported| imported != module)
            .collect()
    };
    sources
        .iter()
        .map(|(module, source)| (module.clone(), imported(module, source)))
        .collect()
}

fn collect(folder: &Path, prefix: &str, sources: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let module = match (prefix, stem) {
            ("", "lib") => String::new(),
            (prefix, "mod") => prefix.to_owned(),
            ("", stem) => stem.to_owned(),
            (prefix, stem) => format!("{prefix}::{stem}"),
        };
        if path.is_dir() {
            collect(&path, &module, sources);
        } else {
            sources.insert(module, fs::read_to_string(&path).unwrap());
        }
    }
}

/// The `use` statements at the left margin; those of tests are indented, and left out.
fn statements(source: &str) -> impl Iterator<Item = String> {
    source.split('\n').enumerate().filter_map(|(n, line)| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        let line = line.strip_prefix("pub(crate) ").unwrap_or(line);
        let start = line.strip_prefix("use ")?;
        let rest = source.split('\n').skip(n + 1);
        let whole: String = std::iter::once(start).chain(rest).collect();
        Some(whole.split(';').next().unwrap().replace(' ', ""))
    })
}

/// Each path of `a::{b, c::{d}}`.
fn expanded(tree: &str) -> Vec<String> {
    let Some((prefix, rest)) = tree.split_once('{') else {
        return vec![tree.to_owned()];
    };
    let inner = rest.strip_suffix('}').unwrap();
    let (mut depth, mut start, mut paths) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let part = &inner[start..at];
                paths.extend(
                    expanded(part)
                        .into_iter()
                        .map(|path| format!("{prefix}{path}")),
                );
                start = at + 1;
            }
            _ => {}
        }
    }
    paths
}

/// The module of this crate that contains the item `path`, as seen from `module`.
fn resolved(module: &str, path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut base: Vec<_> = module.split("::").filter(|part| !part.is_empty()).collect();
    let mut parts: Vec<_> = path.split("::").collect();
    match parts[0] {
        "crate" => base.clear(),
        "super" => {}
        child if modules.contains(&[&base[..], &[child]].concat().join("::")) => {
            parts.insert(0, "self");
        }
        _ => return None,
    }
    while parts[0] == "super" {
        base.pop();
        parts.remove(0);
        if parts.is_empty() {
            return None;
        }
    }
    if matches!(parts[0], "crate" | "self") {
        parts.remove(0);
    }
    let full = [&base[..], &parts[..]].concat();
    (1..=full.len())
        .rev()
        .map(|n| full[..n].join("::"))
        .find(|candidate| modules.contains(candidate))
}

fn room(module: &str) -> &str {
    module.split("::").next().unwrap()
}

#[test]
fn imports_point_down() {
    let mut wrong = Vec::new();
    for (module, imported) in imports() {
        let from = room(&module).to_owned();
        let allowed = ROOMS.iter().find(|(room, _)| *room == from);
        let allowed = allowed.map_or(&[][..], |(_, allowed)| allowed);
        assert!(
            GROUND.contains(&from.as_str()) || ROOMS.iter().any(|(room, _)| *room == from),
            "`{module}` does not belong to a room"
        );
        for other in imported {
            let to = room(&other);
            if to != from && !GROUND.contains(&to) && !allowed.contains(&to) {
                wrong.push(format!("{module} imports {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_two_files_import_each_other() {
    let imports = imports();
    for start in imports.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), vec![start]);
        while let Some(module) = next.pop() {
            for imported in &imports[module] {
                assert!(
                    imported != start,
                    "{start} is in a circle, through {module}"
                );
                if seen.insert(imported) {
                    next.push(imported);
                }
            }
        }
    }
}

#[test]
fn what_one_place_knows_no_other_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = BTreeMap::new();
    collect(&root, "", &mut sources);
    sources.remove("imports");
    for (module, source) in &sources {
        let mentions = |name: &str| source.contains(name);
        assert!(room(module) == "s3" || !mentions("use aws_"), "{module}");
        assert!(
            module == "report::progress" || !mentions("use indicatif"),
            "{module}"
        );
        assert!(module == "locks" || !mentions("PoisonError"), "{module}");
        assert!(
            module.starts_with("sink::files") || !mentions("use cap_std"),
            "{module}"
        );
    }
}
