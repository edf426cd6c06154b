//! Wrong usage is told with its cure, and the README tells the truth about the options.

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
            "`--endpoint-url localhost:9000` is no URL",
        ),
    ];
    for (args, named) in cases {
        let run = S3pull::new().args(args.iter().copied()).run();
        assert_eq!(run.code, Some(2), "{args:?}: {}", run.stderr);
        assert!(run.stderr.contains(named), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn help_and_readme_name_the_same_options() {
    let help = S3pull::new().arg("--help").run().expect(0).stdout;
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let section = readme
        .split("## Options")
        .nth(1)
        .unwrap()
        .split("\n## ")
        .next()
        .unwrap();
    let options = |text: &str| {
        let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
        let mut options: Vec<_> = words
            .filter(|word| word.starts_with("--") && word.len() > 2)
            .map(str::to_owned)
            .collect();
        options.sort();
        options.dedup();
        options
    };
    let of_help: Vec<_> = help
        .lines()
        .map(str::trim_start)
        // Not the values of an option, which follow a dash and a blank.
        .filter(|line| line.starts_with('-') && !line.starts_with("- "))
        .flat_map(|line| options(line).into_iter().take(1))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let of_readme: Vec<_> = section
        .lines()
        .filter(|line| line.starts_with("| `-"))
        .flat_map(|line| options(line.split('|').nth(1).unwrap()))
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(of_help, of_readme);
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
