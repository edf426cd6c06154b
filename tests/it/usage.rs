//! Wrong usage is reported with its fix, and the README and `--help` agree about the options.

use std::collections::{BTreeMap, BTreeSet};

use crate::harness::S3pull;

#[test]
fn wrong_usage_exits_2_and_names_the_option() {
    let cases: [(&[&str], &str); 9] = [
        (&[], "--bucket"),
        (&["--bucket", "b", "--frobnicate"], "--frobnicate"),
        (&["--bucket", "b/photos"], "`--key-prefix photos/`"),
        (&["--bucket", "b", "-j", "0"], "--concurrency"),
        (&["--bucket", "b", "--timeout", "0"], "--timeout"),
        (&["--bucket", "b", "--if-exists", "maybe"], "--if-exists"),
        (&["--bucket", "b", "-q", "-v"], "--verbose"),
        (&["--bucket", "b", "-q", "--progress", "bar"], "--progress"),
        (
            &["--bucket", "b", "--endpoint-url", "localhost:9000"],
            "`--endpoint-url localhost:9000` is not a valid URL",
        ),
    ];
    for (args, named) in cases {
        let run = S3pull::new().args(args.iter().copied()).run();
        assert_eq!(run.code, Some(2), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(named), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn options_of_other_tools_lead_to_ours_and_numbers_below_one_are_refused() {
    let cases: [(&[&str], &str); 17] = [
        (&["--threads", "8"], "--concurrency"),
        (&["-x", "16"], "--concurrency"),
        (&["--flatten"], "`--path '{name}'`"),
        (
            &["s3://b/"],
            "`--prefix s3://b/` downloads the whole bucket",
        ),
        (
            &["-k", "https://host/list.txt"],
            "`curl -fsS https://host/list.txt | s3pull …`",
        ),
        (&["--tar", "a.tar.gz"], "`--tar - | gzip > a.tar.gz`"),
        (&["--files-from=keys.txt"], "--keys"),
        (&["--recursive"], "--prefix"),
        (&["--continue"], "--if-exists skip"),
        (&["-n"], "--if-exists skip"),
        (&["-o", "-"], "`--tar -`"),
        (&["-o", "s3://b/x"], "not a local folder"),
        (&["-j", "0"], "at least 1"),
        (&["-j", "-1"], "at least 1"),
        (&["--max-failures", "0"], "at least 1"),
        (&["--max-attempts", "many"], "at least 1"),
        (&["cp", "s3://b/k", "."], "no `cp` command"),
    ];
    for (args, said) in cases {
        let run = S3pull::new().args(["-bb"]).args(args).run().expect(2);
        assert!(run.stderr.contains(said), "{args:?}: {}", run.stderr);
        assert!(
            !run.stderr.contains("as a value"),
            "{args:?}: {}",
            run.stderr
        );
    }
    let url = S3pull::new().arg("http://host/b/k").run().expect(2);
    assert!(url.stderr.contains("--endpoint-url"), "{}", url.stderr);
    let help = S3pull::new().arg("help").run().expect(2);
    assert!(help.stderr.contains("`s3pull --help`"), "{}", help.stderr);
    let unknown = S3pull::new().args(["-bb", "--frobnicate"]).run().expect(2);
    assert!(!unknown.stderr.contains("as a value"), "{}", unknown.stderr);
    let similar = S3pull::new().args(["-bb", "--concurency"]).run().expect(2);
    assert!(
        similar.stderr.contains("--concurrency"),
        "{}",
        similar.stderr
    );
}

#[test]
fn a_list_or_a_wildcard_in_place_of_a_key_is_recognised_once_it_does_not_exist() {
    let server = crate::harness::Server::start();
    let run = server
        .s3pull()
        .file("keys.txt", "a\n")
        .args(["keys.txt", "2023/*.jpg"])
        .run()
        .expect(1);
    for said in [
        "s3pull: hint: `keys.txt` is a file here: a list of keys is given as `--keys keys.txt`\n",
        "`--prefix '2023/' --include '*.jpg'`",
    ] {
        assert!(run.stderr.contains(said), "{}", run.stderr);
    }
}

/// The options of the help by the heading that they are listed under.
fn options_of_help() -> BTreeMap<String, BTreeSet<String>> {
    let mut groups: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    let mut group = "Options".to_owned();
    for line in help().lines() {
        let heading = line.strip_suffix(':');
        if let Some(heading) = heading.filter(|heading| !heading.starts_with(' ')) {
            heading.clone_into(&mut group);
        }
        let line = line.trim_start();
        // The values of an option, which follow a dash and a space, are not options.
        if line.starts_with('-') && !line.starts_with("- ") {
            groups
                .entry(group.clone())
                .or_default()
                .extend(long_options(line).take(1));
        }
    }
    groups
}

/// The rows of the README's table of options: the heading above it, the options, and what they mean.
fn rows_of_readme() -> Vec<(String, String, String)> {
    let mut rows = Vec::new();
    let mut group = "Options".to_owned();
    for line in readme_section("Options").lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, options, meaning @ .., _] = &cells[..] else {
            continue;
        };
        if let Some(heading) = options.strip_prefix("**") {
            heading.trim_end_matches('*').clone_into(&mut group);
        } else {
            rows.push((group.clone(), (*options).to_owned(), meaning.join("|")));
        }
    }
    rows
}

fn long_options(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    words
        .filter(|word| word.starts_with("--") && !word.trim_start_matches('-').is_empty())
        .map(str::to_owned)
}

fn help() -> String {
    S3pull::new().arg("--help").run().expect(0).stdout
}

fn readme_section(heading: &str) -> String {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let after = readme.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    after.split("\n## ").next().unwrap().to_owned()
}

#[test]
fn help_and_readme_list_the_same_options_under_the_same_headings() {
    let mut of_help = options_of_help();
    assert!(of_help["Transfer"].contains("--concurrency"), "{of_help:?}");
    // They are described in the text.
    let general = of_help.get_mut("Options").unwrap();
    assert!(general.remove("--help") && general.remove("--version"));
    let mut of_readme: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (group, options, _) in rows_of_readme() {
        let options: Vec<_> = long_options(&options).collect();
        if !options.is_empty() {
            of_readme.entry(group).or_default().extend(options);
        }
    }
    assert_eq!(of_help, of_readme);
}

#[test]
fn help_and_readme_give_the_same_defaults() {
    let (help, rows) = (help(), rows_of_readme());
    let mut option = String::new();
    let mut n_compared = 0;
    for line in help.lines().map(str::trim) {
        if line.starts_with('-')
            && let Some(named) = long_options(line).next()
        {
            option = named;
        }
        let default = line
            .strip_prefix("[default: ")
            .and_then(|rest| rest.split([',', ']']).next());
        let Some(default) = default else { continue };
        let is_row = |options: &str| long_options(options).any(|name| name == option);
        let (_, _, meaning) = rows
            .iter()
            .find(|(_, options, _)| is_row(options))
            .unwrap_or_else(|| panic!("{option} is not in the README"));
        // What several options have in common is described in a section of its own.
        let is_said_elsewhere = meaning.contains("](#");
        assert!(
            is_said_elsewhere
                || meaning.contains(&format!("default `{default}`"))
                || meaning.contains(&format!("`{default}` (default")),
            "the default of {option} is {default}: {meaning}"
        );
        n_compared += usize::from(!is_said_elsewhere);
    }
    assert!(n_compared > 10, "{n_compared}");
}

#[test]
fn help_and_readme_list_the_same_variables() {
    let variables = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .filter(|word| word.starts_with("S3PULL_"))
            .map(str::to_owned)
            .collect()
    };
    let of_help = variables(&help());
    assert!(of_help.contains("S3PULL_PART_SIZE"), "{of_help:?}");
    let mut of_readme = variables(&readme_section("Options"));
    for (_, options, _) in rows_of_readme() {
        let starred = options.split(", ").filter(|option| option.ends_with('*'));
        of_readme.extend(starred.filter_map(|option| {
            let name = long_options(option).next()?;
            Some(
                name.replacen("--", "S3PULL_", 1)
                    .replace('-', "_")
                    .to_uppercase(),
            )
        }));
    }
    assert_eq!(of_help, of_readme);
}

#[test]
fn help_fits_a_terminal_of_80_columns() {
    for columns in ["80", "300"] {
        for args in [
            &["--help"][..],
            &["-h"],
            &["completions", "--help"],
            &["man", "-h"],
        ] {
            let run = S3pull::new().args(args).env("COLUMNS", columns).run();
            for line in run.expect(0).stdout.lines() {
                assert!(line.chars().count() <= 80, "{args:?}: {line}");
            }
        }
    }
}

#[test]
fn short_help_fits_two_screens() {
    let short = S3pull::new().arg("-h").run().expect(0).stdout;
    assert!(short.lines().count() <= 2 * 40, "{short}");
    // The text of an option is on the same line as the option, not below it.
    assert!(short.contains("  -j, --concurrency <N>   GETs"), "{short}");
}

#[test]
fn version_names_the_commit() {
    let run = S3pull::new().arg("--version").run().expect(0);
    let version = concat!("s3pull ", env!("CARGO_PKG_VERSION"));
    let commit = run.stdout.trim_end().strip_prefix(version);
    if std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(".git")
        .exists()
    {
        let commit = commit.and_then(|rest| rest.strip_prefix(" (")?.strip_suffix(')'));
        let (hash, date) = commit.unwrap().split_once(' ').unwrap();
        assert!(hash.len() >= 7 && hash.chars().all(|c| c.is_ascii_hexdigit()));
        assert_eq!(date.len(), "2026-11-21".len());
    } else {
        assert_eq!(commit, Some(""));
    }
}

#[test]
fn wrong_usage_is_shown_without_control_characters() {
    let cases: [&[&str]; 4] = [
        &["--bucket", "b", "--bad\u{1b}[31m"],
        &["--bucket", "b", "--verify", "au\u{202e}to"],
        &["--bucket", "b", "-j", "8\n9"],
        &["man", "k\u{7}ey"],
    ];
    for args in cases {
        let run = S3pull::new().args(args).run().expect(2);
        let is_bad = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!run.stderr.contains(is_bad), "{args:?}: {:?}", run.stderr);
        let escaped = ["\\u{1b}[31m", "au\\u{202e}to", "8\\n9", "k\\u{7}ey"];
        assert!(
            escaped.iter().any(|text| run.stderr.contains(text)),
            "{args:?}: {}",
            run.stderr
        );
    }
}
