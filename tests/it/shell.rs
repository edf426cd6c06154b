//! The completions and the man page.

use crate::harness::{S3pull, Server, pattern};

/// The completions that bash offers for the last of `words`.
fn bash_offers(words: &[&str]) -> Vec<String> {
    const SCRIPT: &str = r#"
        eval "$(s3pull completions bash)"
        complete -p s3pull | grep -q -- '-F _s3pull' || exit 1
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        _s3pull s3pull "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let run = S3pull::shell(SCRIPT).arg("bash").args(words);
    let run = run.run().expect(0);
    run.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_options_values_and_commands() {
    assert_eq!(
        bash_offers(&["s3pull", "--if-ex"]),
        ["--if-exists"],
        "an option"
    );
    assert_eq!(
        bash_offers(&["s3pull", "-b", "b", "--if-exists", ""]),
        ["overwrite", "skip", "newer", "changed", "verify"],
        "its values"
    );
    assert_eq!(
        bash_offers(&["s3pull", "-b", "b", "key", "--if-ex"]),
        ["--if-exists"],
        "after a key"
    );
    assert_eq!(bash_offers(&["s3pull", "comp"]), ["completions"]);
    assert!(bash_offers(&["s3pull", "completions", ""]).contains(&"zsh".to_owned()));
}

#[test]
fn every_shell_gets_completions_of_every_option() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let run = S3pull::new().args(["completions", shell]).run().expect(0);
        assert_eq!(run.stderr, "");
        for option in ["multipart-threshold", "no-sign-request", "addressing-style"] {
            assert!(run.stdout.contains(option), "{shell}: {option}");
        }
    }
    let fish = S3pull::new().args(["completions", "fish"]).run().expect(0);
    assert!(
        fish.stdout.contains("-l verify") && !fish.stdout.contains("needs_command"),
        "values, and words after a key, are completed"
    );
    S3pull::new().args(["completions", "csh"]).run().expect(2);
}

#[test]
fn man_page_shows_options_variables_and_exit_codes() {
    let page = S3pull::new().arg("man").run().expect(0).stdout;
    for shown in [
        ".TH s3pull 1",
        ".SH \"KEY LIST\"",
        r"\-\-multipart\-threshold",
        "S3PULL_CONCURRENCY",
        // This is the help of an option that `-h` does not show.
        "URLs contain the bucket name",
        ".SH \"EXIT STATUS\"",
        ".SH EXAMPLES",
        ".SH \"KEY LIST FORMATS\"\n.TP\n\\fBauto\\fR",
        "\\fBaws\\-s3\\-ls\\fR",
        ".SH ENVIRONMENT\n.TP\n\\fBS3PULL_BUCKET\\fR",
        "AWS_PROFILE",
        ".SH FILES\n.TP\n\\fBs3pull\\-failed.csv\\fR",
        "s3pull completions SHELL",
        ".TP\n\\fBs3pull check \\-\\-quick\\fR\nCompare only sizes and times",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains('`'), "a bare backtick is shown as a quote");
}

#[test]
fn fish_completes_the_commands_and_their_values_besides_the_options() {
    let run = S3pull::new().args(["completions", "fish"]).run().expect(0);
    for line in [
        "complete -c s3pull -n __fish_is_first_arg -f -a check -d 'Say which files of a list are missing or differ, and download nothing'",
        "complete -c s3pull -n \"__fish_seen_subcommand_from check\" -l quick -d 'Compare only sizes and times, as the list gives them, without requests'",
        "complete -c s3pull -n __fish_is_first_arg -f -a man -d 'Print the man page'",
        "complete -c s3pull -n __fish_is_first_arg -f -a completions -d 'Print completions for a shell'",
        "complete -c s3pull -n \"__fish_seen_subcommand_from completions\" -f -a \"bash elvish fish powershell zsh\"",
    ] {
        assert!(
            run.stdout.lines().any(|printed| printed == line),
            "{line}: {}",
            run.stdout
        );
    }
    assert!(run.stdout.contains("-l if-exists"), "{}", run.stdout);
}

#[test]
fn a_reader_that_closes_the_pipe_early_is_not_an_error() {
    let run = S3pull::shell("set -o pipefail; s3pull completions zsh | true");
    let run = run.run().expect(0);
    assert_eq!(run.stderr, "");
}

#[test]
fn a_key_may_have_the_name_of_a_command() {
    let server = Server::start();
    server.put_patterns(["man", "completions", "k"], 10);
    let cases: [&[&str]; 4] = [
        // The bucket precedes the key.
        &["man"],
        &["completions"],
        &["k", "man"],
        &["--", "man"],
    ];
    for args in cases {
        let run = server.s3pull().args(args).run().expect(0);
        let key = args[args.len() - 1];
        assert_eq!(run.read(key), pattern(key, 10), "{args:?}");
    }

    let typed_first = |args: &[&str]| {
        S3pull::new()
            .env("AWS_ENDPOINT_URL_S3", &server.url())
            .env("S3PULL_BUCKET", crate::harness::BUCKET)
            .args(args)
            .run()
            .expect(0)
    };
    assert!(typed_first(&["man"]).stdout.contains(".TH"));
    assert_eq!(typed_first(&["--", "man"]).read("man"), pattern("man", 10));
}
