//! Checks how messages are worded, as far as a program can tell. The tests read the texts in the sources.

use std::fs;
use std::path::{Path, PathBuf};

/// The files below `folder`, without those that only tests use.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if matches!(stem, "tests" | "simulation" | "wording") {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The texts of a source, with their lines. Comments, single characters and tests at its end are left out.
fn texts(source: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut text: Option<(usize, String)> = None;
    let end = source
        .find("#[cfg(test)]\nmod tests {")
        .unwrap_or(source.len());
    for (n, line) in source[..end].lines().enumerate() {
        let mut chars = line.trim_start().chars().peekable();
        while let Some(c) = chars.next() {
            match (&mut text, c) {
                (None, '"') => text = Some((n + 1, String::new())),
                (None, '/') if chars.peek() == Some(&'/') => break,
                // A quote as a character.
                (None, '\'') if chars.peek() == Some(&'"') => {
                    chars.next();
                }
                (None, _) => {}
                (Some(_), '"') => found.extend(text.take()),
                (Some((_, text)), '\\') => text.extend(chars.next()),
                (Some((_, text)), c) => text.push(c),
            }
        }
    }
    found
}

/// What is wrong with a text.
fn fault(text: &str) -> Option<&'static str> {
    let is_message = text.contains(' ') && text.chars().any(|c| c.is_ascii_lowercase());
    let says_no = |verb: &str| {
        text.match_indices(verb).any(|(at, _)| {
            let rest = &text[at + verb.len()..];
            !text[..at].ends_with("here")
                && !rest.starts_with("longer")
                && !rest.starts_with("more")
        })
    };
    if !is_message {
        None
    } else if says_no(" is no ") || says_no(" are no ") {
        Some("say that something is not a …")
    } else if text.contains("..") && !text.contains('`') && !text.contains("{0..") {
        Some("two full stops")
    } else if text.contains("} bytes") {
        Some("`count` writes `1 byte` and `1,234 bytes`")
    } else if text.contains("io error") || text.contains("dispatch failure") {
        Some("this is said by a library")
    } else {
        None
    }
}

#[test]
fn messages_are_plain_english() {
    let (mut n_texts, mut faults) = (0, Vec::new());
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        for (line, text) in texts(&fs::read_to_string(&path).unwrap()) {
            n_texts += 1;
            if let Some(fault) = fault(&text) {
                faults.push(format!("{}:{line}: {fault}: {text}", path.display()));
            }
        }
    }
    assert!(n_texts > 1_000, "{n_texts}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn bad_wording_is_found() {
    let source = "let a = \"it is no URL\"; // \"it is no file\"\nlet b = '\"';\nlet c = \"has {n} bytes\";\n";
    let found: Vec<_> = texts(source)
        .iter()
        .map(|(line, text)| (*line, fault(text).is_some()))
        .collect();
    assert_eq!(found, [(1, true), (3, true)]);
    for good in [
        "there is no file",
        "it is no longer there",
        "`..` and `.`",
        "has {}",
    ] {
        assert_eq!(fault(good), None, "{good}");
    }
}
