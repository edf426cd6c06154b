//! Hostile keys, symlinks and servers: nothing outside the output folder is touched, and nothing acts on a terminal.

#![cfg(unix)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use crate::harness::{Fault, Object, Run, S3pull, Server, pattern};

/// All there is below a folder, itself included: its kind, link target or content, and times.
fn snapshot(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(path) = folders.pop() {
        let metadata = path.symlink_metadata().unwrap();
        let content = if metadata.is_symlink() {
            std::fs::read_link(&path).unwrap().display().to_string()
        } else if metadata.is_dir() {
            folders.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            "folder".to_owned()
        } else {
            format!("{:?}", std::fs::read(&path).unwrap())
        };
        let times = (
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime_nsec(),
            metadata.mode(),
        );
        found.insert(path.display().to_string(), format!("{content} {times:?}"));
    }
    found
}

const LINKS: [&str; 14] = [
    "to-folder",
    "to-file",
    "abs-folder",
    "abs-file",
    "dangling",
    "dangling-out",
    "loop",
    "pool",
    "self",
    "up",
    "up-up",
    "root",
    "inside",
    "inside-file",
];

/// The links that are to be replaced by files.
const REPLACED: [&str; 4] = ["abs-file", "dangling-out", "pool", "to-file"];

/// Symlinks of every kind in `out`, which lies beside the folder `outside`.
fn plant_links(outside: &Path, out: &Path) {
    std::fs::create_dir_all(outside.join("folder/inner")).unwrap();
    std::fs::write(outside.join("file"), "sentinel").unwrap();
    std::fs::write(outside.join("folder/x"), "sentinel").unwrap();
    std::fs::create_dir_all(out.join("real")).unwrap();
    let (folder, file) = (outside.join("folder"), outside.join("file"));
    let targets = [
        Path::new("../../outside/folder"),
        Path::new("../../outside/file"),
        &folder,
        &file,
        Path::new("nowhere"),
        Path::new("../../outside/new"),
        Path::new("pool"),
        Path::new("loop"),
        Path::new("self"),
        Path::new(".."),
        Path::new("../.."),
        Path::new("/"),
        Path::new("real"),
        Path::new("real/y"),
    ];
    for (link, target) in LINKS.into_iter().zip(targets) {
        symlink(target, out.join(link)).unwrap();
    }
}

/// Keys through the links, and keys that are themselves out to leave the folder.
fn hostile_keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for link in LINKS {
        for behind in [
            "",
            "/x",
            "/x/y",
            "/../x",
            "/inner/x",
            "/./x",
            "//x",
            "/folder/x",
            "/outside/file",
            "/",
        ] {
            // A file takes a link's place, and then nothing leads through it any more.
            if !behind.is_empty() || REPLACED.contains(&link) {
                keys.insert(format!("{link}{behind}"));
            }
        }
    }
    for odd in [
        "..",
        ".",
        "../x",
        "../../outside/file",
        "../run/x",
        "/etc/s3pull-evil",
        "//x",
        "/",
        "//",
        "a/../../x",
        "a/..",
        "a/.",
        "./x",
        "a//x",
        "a///",
        "%2e%2e/x",
        "%2E%2E/x",
        "..%2Fx",
        "%2F",
        "%",
        "%/x",
        "%%",
        "%25",
        "...",
        "....//x",
        "..\\x",
        "C:\\x",
        "C:x",
        "\\\\server\\x",
        "nul",
        "con.txt",
        "x:stream",
        "a\0b",
        "\0",
        "../\0",
        "a\nb",
        "\x1b[2J",
        "\u{202e}gpj.exe",
        ".s3pull-x",
        ".S3PULL-x",
        ".\u{17f}3pull-x",
        "d/.s3pull-real.part",
        ".s3pull-real.part",
        ".s3pull-lock",
        "~/x",
        "~root/x",
        "$HOME/x",
        "-rf",
        "--",
        "*",
        "a b ",
        " a",
        "x/",
        "x//",
        "..\u{200b}/x",
        "\u{ff0e}\u{ff0e}/x",
        "\u{2025}/x",
        "s3pull-failed.csv",
        "keys.csv",
        "s3pull-failed.csv/x",
        "\0x/y",
        "..;/x",
        "..%00/x",
        "%c0%ae%c0%ae/x",
        "a/b/../../../x",
        "a/./../x",
        "\u{feff}../x",
    ] {
        keys.insert(odd.to_owned());
    }
    keys.insert("inside/fine".to_owned());
    keys.insert("../".repeat(300) + "x");
    keys.insert("/".repeat(500) + "x");
    keys.insert("x".repeat(256));
    keys.insert(format!("{}/x", ".".repeat(700)));
    keys.insert("%".repeat(1_000));
    assert!(keys.len() >= 200, "{}", keys.len());
    keys
}

fn run_hostile(server: &Server, folder: &Path, keys: &BTreeSet<String>, mode: &str) -> Run {
    let mut list = csv::Writer::from_writer(Vec::new());
    list.write_record(["key", "size"]).unwrap();
    for key in keys {
        list.write_record([key, "10"]).unwrap();
    }
    let run = server
        .s3pull()
        .within(&folder.join("run"))
        .file("keys.csv", list.into_inner().unwrap())
        .args([
            "--keys",
            "keys.csv",
            "-o",
            "out",
            "--unsafe-keys",
            mode,
            "-v",
        ]);
    run.run().expect(1)
}

#[test]
fn no_hostile_key_and_no_symlink_leads_out_of_the_output_folder() {
    let server = Server::start();
    let keys = hostile_keys();
    for key in &keys {
        let body = if key.ends_with('/') {
            Vec::new()
        } else {
            pattern(key, 10)
        };
        server.put(key, Object::new(body));
    }
    for mode in ["fail", "encode"] {
        let folder = tempfile::tempdir().unwrap();
        let (outside, run) = (folder.path().join("outside"), folder.path().join("run"));
        plant_links(&outside, &run.join("out"));
        let before = snapshot(&outside);
        let run = run_hostile(&server, folder.path(), &keys, mode);
        assert_eq!(snapshot(&outside), before, "{mode}");
        assert_eq!(names(folder.path()), ["outside", "run"], "{mode}");
        assert_eq!(
            names(run.folder()),
            ["keys.csv", "out", "s3pull-failed.csv"],
            "{mode}"
        );
        for path in ["/etc/s3pull-evil", "/x", "/inner", "/folder", "/outside"] {
            assert!(!Path::new(path).exists(), "{path}");
        }

        let failed = run.failed();
        let n_ok = run
            .stderr
            .lines()
            .filter(|line| line.starts_with("s3pull: downloaded "))
            .count();
        assert_eq!(failed.len() + n_ok, keys.len(), "{mode}");
        assert!(is_printable(&run.stderr), "{:?}", run.stderr);
        let codes: BTreeSet<_> = failed.iter().map(|(_, code)| code.as_str()).collect();
        if mode == "fail" {
            assert_eq!(codes, BTreeSet::from(["PathConflict", "UnsafeKey"]));
        } else {
            assert_eq!(codes, BTreeSet::from(["PathConflict"]), "{failed:?}");
            // Nothing but a link, or a file where another key needs a folder, stands in the way.
            let is_below = |key: &str, other: &str| {
                key.strip_prefix(other)
                    .is_some_and(|rest| rest.starts_with('/'))
            };
            let is_expected = |key: &str| {
                LINKS.iter().any(|link| is_below(key, link))
                    || keys
                        .iter()
                        .any(|other| is_below(key, other) || is_below(other, key))
            };
            assert!(failed.iter().all(|(key, _)| is_expected(key)), "{failed:?}");
        }
        // A symlink that stays inside is followed; one at the file's own place is replaced, and its target left alone.
        assert_eq!(run.read("out/real/fine"), pattern("inside/fine", 10));
        assert_eq!(run.read("out/to-file"), pattern("to-file", 10));
        assert!(
            run.folder()
                .join("out/to-file")
                .symlink_metadata()
                .unwrap()
                .is_file()
        );
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Whether text has no control characters but line ends, and none that reorder what is read.
fn is_printable(text: &str) -> bool {
    text.chars().all(|c| {
        let is_bidi = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        c == '\n' || !(c.is_control() || is_bidi || matches!(c, '\u{2028}' | '\u{2029}'))
    })
}

/// Clears the screen, sets the title, rings, and turns what follows round: C0, DEL, C1 and bidirectional controls.
const HOSTILE: &str =
    "\x1b[2J\x1b]0;title\x07\x7f\u{9b}31m\u{85}\u{202e}gpj\u{2066}\u{200f}\u{2028}\r";

#[test]
fn hostile_keys_and_server_texts_are_escaped_on_the_terminal_and_whole_in_the_csv() {
    let server = Server::start();
    let (good, missing, refused, conflict) = ("good", "missing", "refused", "conflict");
    let hostile = |name: &str| format!("{name}{HOSTILE}");
    server.put(&hostile(good), Object::new("x"));
    server.put(&hostile(conflict), Object::new("x"));
    // XML takes no C0 controls but these, however they are written.
    server.script(
        &hostile(refused),
        [Fault::Message(
            403,
            "Denied\u{202e}\u{9b}",
            "no\u{9b}31m\u{202e}\u{7f}&#13;&#10;\u{85}.",
        )],
    );
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join(hostile(conflict))).unwrap();
    let mut list = csv::Writer::from_writer(Vec::new());
    list.write_record(["key", "bucket"]).unwrap();
    for key in [good, missing, refused, conflict, "../"] {
        list.write_record([hostile(key), "bucket".to_owned()])
            .unwrap();
    }
    list.write_record(["k", &hostile("other")]).unwrap();
    let csv = hostile("failed");
    let run = server
        .s3pull()
        .within(folder.path())
        .stdin(list.into_inner().unwrap())
        .args(["-v", "--failed", &csv])
        .run()
        .expect(1);
    assert!(is_printable(&run.stderr), "{:?}", run.stderr);
    for name in [
        good, missing, refused, conflict, "../", "Denied", "failed", "other",
    ] {
        assert!(
            run.stderr.contains(&format!("{name}\\u{{")),
            "{name}: {:?}",
            run.stderr
        );
    }
    let mut reader = csv::Reader::from_path(folder.path().join(&csv)).unwrap();
    let rows: Vec<_> = reader.records().map(Result::unwrap).collect();
    let keys: BTreeSet<_> = rows.iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(
        keys,
        [missing, refused, conflict, "../"]
            .map(hostile)
            .into_iter()
            .chain(["k".to_owned()])
            .collect()
    );
    let row = rows.iter().find(|row| row[0] == hostile(refused)).unwrap();
    assert_eq!(
        (&row[3], &row[7]),
        (
            "Denied\u{202e}\u{9b}",
            "no\u{9b}31m\u{202e}\u{7f}\r\n\u{85}."
        )
    );
}

#[test]
fn errors_that_end_a_run_are_escaped() {
    let server = Server::start();
    server.script(
        "k",
        [Fault::Message(
            403,
            "InvalidAccessKeyId",
            "\u{9b}2J\u{202e}",
        )],
    );
    let hostile = |run: S3pull, code| {
        let run = run.run().expect(code);
        assert!(is_printable(&run.stderr), "{:?}", run.stderr);
        assert!(
            run.stderr.contains("9b") && run.stderr.contains("2J"),
            "{:?}",
            run.stderr
        );
    };
    hostile(server.s3pull().keys(["k"]), 3);
    hostile(
        server
            .s3pull()
            .stdin("name,\u{9b}2J\u{202e}\na,b\n")
            .args(["--keys-format", "csv"]),
        3,
    );
    hostile(server.s3pull().args(["--keys", "\u{9b}2J\u{202e}"]), 3);
    let name = "\u{9b}2J\u{202e}";
    hostile(
        server
            .s3pull()
            .file(name, "")
            .args(["-o", name])
            .keys(["k"]),
        2,
    );
    hostile(
        server
            .s3pull()
            .args(["--endpoint-url", "\u{9b}2J\u{202e}"])
            .keys(["k"]),
        2,
    );
}
