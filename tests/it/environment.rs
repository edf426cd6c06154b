//! `S3PULL_…` variables replace options that are not on the command line.

use crate::harness::{Object, S3pull, Server, pattern};

#[test]
fn options_override_variables_and_variables_override_defaults() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    let by_default = server.s3pull().keys(["k"]).run().expect(0);
    assert_eq!(by_default.read("k"), pattern("k", 10));

    let by_variable = server.s3pull().env("S3PULL_OUTPUT", "there").keys(["k"]);
    assert_eq!(by_variable.run().expect(0).read("there/k").len(), 10);

    let typed = server.s3pull().env("S3PULL_OUTPUT", "there").keys(["k"]);
    let typed = typed.args(["--output", "here"]).run().expect(0);
    assert_eq!(
        typed.files().into_keys().collect::<Vec<_>>(),
        ["here/k"],
        "{}",
        typed.stderr
    );
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    let run = server.s3pull().keys(["k"]);
    let run = ["OUTPUT", "CONCURRENCY", "VERIFY", "FAILED", "TIMEOUT"]
        .into_iter()
        .fold(run, |run, name| run.env(&format!("S3PULL_{name}"), ""));
    assert_eq!(run.run().expect(0).read("k").len(), 10);
}

#[test]
fn retry_command_does_not_repeat_the_environment() {
    let server = Server::start();
    let run = || {
        S3pull::new()
            .env("AWS_ENDPOINT_URL_S3", &server.url())
            .env("S3PULL_BUCKET", crate::harness::BUCKET)
            .env("S3PULL_FAILED", "my failed.csv")
            .env("S3PULL_IF_EXISTS", "skip")
    };
    let first = run().args(["-j2", "late"]).run().expect(1);
    let command = "  s3pull --concurrency 2 --keys 'my failed.csv'\n";
    assert!(first.stderr.contains(command), "{}", first.stderr);

    server.put("late", Object::new("here now"));
    let typed = ["--concurrency", "2", "--keys", "my failed.csv"];
    let second = run().again(&first).args(typed).run().expect(0);
    assert_eq!(second.read("late"), b"here now");
}

#[test]
fn quiet_overrides_progress_from_the_environment() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    let run = server.s3pull().env("S3PULL_PROGRESS", "plain").arg("-q");
    assert_eq!(run.keys(["k"]).run().expect(0).stderr, "");
}

#[test]
fn an_invalid_value_is_reported_with_its_variable() {
    let run = S3pull::new()
        .args(["-bb", "k"])
        .env("S3PULL_CONCURRENCY", "many\u{1b}[31m")
        .run()
        .expect(2);
    for named in ["--concurrency", "many\\u{1b}[31m", "S3PULL_CONCURRENCY"] {
        assert!(run.stderr.contains(named), "{}", run.stderr);
    }

    let typed = S3pull::new().args(["-bb", "-j", "many"]).run().expect(2);
    assert!(!typed.stderr.contains("S3PULL_"), "{}", typed.stderr);
}
