//! What is known to be wrong before the first request is said at once, with the cure.

use crate::harness::{BUCKET, RawServer, Reply, Run, S3pull, Server, pattern};

/// Ends before the first request, with this text.
#[track_caller]
fn assert_refused(run: S3pull, code: i32, told: &str) -> Run {
    let run = run.keys(["k"]).run().expect(code);
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert!(!run.folder().join("s3pull-failed.csv").exists());
    run
}

#[test]
fn an_endpoint_that_is_not_a_url_is_refused_wherever_it_comes_from() {
    let config = |url: &str| format!("[default]\nendpoint_url = {url}\n");
    for (url, told) in [
        ("localhost:9000", "is not a valid URL: write it as"),
        ("ftp://host", "is not a valid URL: write it as"),
        ("http://host/?a=b", "holds more than a host and a path"),
        ("http://user:hidden@host", "holds a user name or a password"),
    ] {
        let bucket = || S3pull::new().args(["--bucket", BUCKET]);
        let option = assert_refused(bucket().args(["--endpoint-url", url]), 2, told);
        let variables = [
            assert_refused(bucket().env("AWS_ENDPOINT_URL_S3", url), 3, told),
            assert_refused(bucket().env("AWS_ENDPOINT_URL", url), 3, told),
            assert_refused(
                bucket()
                    .file("config", config(url))
                    .env("AWS_CONFIG_FILE", "config"),
                3,
                told,
            ),
        ];
        for run in variables {
            assert!(
                run.stderr.contains("\nhint: it comes from "),
                "{}",
                run.stderr
            );
            assert!(!run.stderr.contains("hidden"), "{}", run.stderr);
        }
        assert!(!option.stderr.contains("hidden"), "{}", option.stderr);
    }
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_unless_it_is_not_needed() {
    let server = Server::start();
    server.put_patterns(["k"], 100);
    for (proxy, told) in [
        (
            "socks5://user:hidden@127.0.0.1:1",
            "`socks5` proxies are not",
        ),
        ("https://user:hidden@127.0.0.1:1", "`https` proxies are not"),
        (
            "http://user:hidden@127.0.0.1:port",
            "is not the URL of a proxy",
        ),
    ] {
        let with_proxy = || server.s3pull().env("ALL_PROXY", proxy);
        let run = assert_refused(with_proxy(), 3, told);
        assert!(run.stderr.contains("in ALL_PROXY cannot"), "{}", run.stderr);
        assert!(!run.stderr.contains("hidden"), "{}", run.stderr);
        let exempt = with_proxy().env("NO_PROXY", "localhost");
        exempt.keys(["k"]).run().expect(0);
    }
}

#[test]
fn a_region_that_cannot_be_one_is_refused() {
    for region in [" ", "eu west", "eu-west-1\n", "a.b/"] {
        let bucket = || S3pull::new().args(["--bucket", BUCKET]);
        let told = "is not a valid region";
        assert_refused(bucket().args(["--region", region]), 3, told);
        assert_refused(bucket().env("AWS_REGION", region), 3, told);
        assert_refused(bucket().env("AWS_DEFAULT_REGION", region), 3, told);
    }
    assert_refused(
        S3pull::new().args(["--bucket", BUCKET, "--region", ""]),
        3,
        "is not a valid region",
    );
    let server = Server::start();
    server.put_patterns(["k"], 10);
    server
        .s3pull()
        .env("AWS_REGION", "")
        .keys(["k"])
        .run()
        .expect(0);
}

#[test]
fn credentials_with_stray_white_space_are_refused_and_not_shown() {
    let bucket = || S3pull::new().args(["--bucket", BUCKET]);
    let key = "AWS_ACCESS_KEY_ID";
    let secret = "AWS_SECRET_ACCESS_KEY";
    for bad in ["AKIDTEST\n", " AKIDTEST", "AKID TEST"] {
        assert_refused(
            bucket().env(key, bad),
            3,
            "the AWS access key ID holds white space",
        );
    }
    for bad in ["hidden\n", " hidden", "hidden\r"] {
        let run = assert_refused(
            bucket().env(secret, bad),
            3,
            "the AWS secret access key holds white space",
        );
        assert!(!run.stderr.contains("hidden"), "{}", run.stderr);
    }
    let bad = "[default]\naws_access_key_id = AKID TEST\naws_secret_access_key = secret\n";
    let of_profile = bucket()
        .without_env(key)
        .without_env(secret)
        .file("config", bad)
        .env("AWS_CONFIG_FILE", "config");
    assert_refused(of_profile, 3, "the AWS access key ID holds white space");
}

#[test]
fn half_a_key_pair_is_called_so() {
    let run = S3pull::new()
        .args(["--bucket", BUCKET])
        .without_env("AWS_SECRET_ACCESS_KEY");
    assert_refused(
        run,
        3,
        "AWS_ACCESS_KEY_ID is set, but AWS_SECRET_ACCESS_KEY is not",
    );
    let run = S3pull::new()
        .args(["--bucket", BUCKET])
        .without_env("AWS_ACCESS_KEY_ID");
    assert_refused(
        run,
        3,
        "AWS_SECRET_ACCESS_KEY is set, but AWS_ACCESS_KEY_ID is not",
    );
}

const CONFIG: &str = "[profile work]\nregion = eu-west-1\naws_access_key_id = AKIDTEST\naws_secret_access_key = secret\n\
    [profile signed-in]\nsso_start_url = https://x.awsapps.com/start\nsso_region = eu-west-1\nsso_account_id = 1\nsso_role_name = r\n\
    [profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = signed-in\n";

fn configured() -> S3pull {
    S3pull::new()
        .args(["--bucket", BUCKET])
        .file("config", CONFIG)
        .env("AWS_CONFIG_FILE", "config")
}

#[test]
fn a_profile_that_is_not_there_is_refused_though_the_environment_has_keys() {
    let told = "the profile `wrok` is not in the AWS configuration files (did you mean `work`?)";
    assert_refused(configured().args(["--profile", "wrok"]), 3, told);
    assert_refused(configured().env("AWS_PROFILE", "wrok"), 3, told);
    assert_refused(
        configured().args(["--profile", "wrok", "--no-sign-request"]),
        3,
        told,
    );
    let told = "the profile `x` is not in the AWS configuration files\n";
    assert_refused(
        S3pull::new().args(["--bucket", BUCKET, "--profile", "x"]),
        3,
        told,
    );
}

#[test]
fn a_named_profile_beats_the_keys_in_the_environment() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    let run = configured()
        .args(["--profile", "work", "--endpoint-url", &server.url()])
        .env("AWS_ACCESS_KEY_ID", "AKIDOTHER")
        .keys(["k"])
        .run()
        .expect(0);
    assert_eq!(run.read("k"), pattern("k", 10));
    // The environment's keys beat AWS_PROFILE.
    configured()
        .env("AWS_PROFILE", "work")
        .args(["--endpoint-url", &server.url()])
        .env("AWS_ACCESS_KEY_ID", "AKIDOTHER")
        .keys(["k"])
        .run()
        .expect(3);
}

#[test]
fn who_is_not_signed_in_is_told_how_to() {
    for profile in ["signed-in", "role"] {
        let run = assert_refused(
            configured().args(["--profile", profile]),
            3,
            &format!("not signed in to SSO for the profile `{profile}`"),
        );
        let hint = format!("\nhint: run `aws sso login --profile {profile}`");
        assert!(run.stderr.contains(&hint), "{}", run.stderr);
    }
}

#[test]
fn a_broken_configuration_file_is_named_with_its_line() {
    let run = S3pull::new()
        .args(["--bucket", BUCKET])
        .file("config", "[default]\nregion = eu-west-1\n[broken\n")
        .env("AWS_CONFIG_FILE", "config");
    assert_refused(run, 3, "error parsing config on line 3");
}

#[test]
fn authorities_that_are_not_there_are_named() {
    let https =
        || S3pull::new().args(["--bucket", BUCKET, "--endpoint-url", "https://127.0.0.1:1"]);
    assert_refused(
        https().args(["--ca-bundle", "no.pem"]),
        3,
        "cannot read the CA bundle `no.pem`",
    );
    assert_refused(
        https().env("AWS_CA_BUNDLE", "no.pem"),
        3,
        "cannot read the CA bundle `no.pem`",
    );
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        let run = assert_refused(
            https().env(variable, "no.pem"),
            3,
            &format!("that {variable} names, `no.pem`"),
        );
        assert!(run.stderr.contains("\nhint: "), "{}", run.stderr);
    }
    // Plain HTTP needs none.
    let server = Server::start();
    server.put_patterns(["k"], 10);
    server
        .s3pull()
        .env("SSL_CERT_FILE", "no.pem")
        .keys(["k"])
        .run()
        .expect(0);
}

#[test]
fn a_signer_that_is_not_known_is_refused() {
    let run = S3pull::new()
        .args(["--bucket", BUCKET])
        .env("S3PULL_SIGNER", "v2");
    assert_refused(run, 3, "`S3PULL_SIGNER` is `v2`");
}

#[test]
fn a_service_of_credentials_that_never_ends_its_answer_is_given_up() {
    static BLANKS: [u8; 64 * 1024] = [b' '; 64 * 1024];
    let started = std::time::Instant::now();
    for pause in [
        std::time::Duration::ZERO,
        std::time::Duration::from_millis(200),
    ] {
        let service = RawServer::start(move |_| {
            Reply::raw("200 OK\nContent-Length: 1000000000", "{").then_again(&BLANKS, pause)
        });
        let run = S3pull::new()
            .args(["--bucket", BUCKET, "--timeout", "1"])
            .without_env("AWS_ACCESS_KEY_ID")
            .without_env("AWS_SECRET_ACCESS_KEY")
            .env(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                &format!("{}/role", service.url()),
            );
        assert_refused(run, 3, "the AWS credentials could not be loaded");
    }
    assert!(
        started.elapsed() < std::time::Duration::from_mins(5),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn what_needs_another_kind_of_sign_in_or_signature_is_said_with_its_cure() {
    let config = "[profile console]\nlogin_session = arn:aws:sts::123456789012:assumed-role/r/me\n";
    let run = S3pull::new()
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .file("config", config)
        .env("AWS_CONFIG_FILE", "config")
        .args(["--bucket", "b", "--profile", "console"])
        .keys(["k"])
        .run()
        .expect(3);
    for told in [
        "the profile `console` is signed in with `aws login`",
        "aws configure export-credentials --profile console",
    ] {
        assert!(run.stderr.contains(told), "{}", run.stderr);
    }
    let run = S3pull::new()
        .args([
            "--bucket",
            "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap",
        ])
        .keys(["k"])
        .run();
    assert!([Some(2), Some(3)].contains(&run.code), "{}", run.stderr);
    assert!(
        run.stderr.contains("multi-region access point"),
        "{}",
        run.stderr
    );
}

/// No file can be made in `/sys`, not even by root.
#[cfg(target_os = "linux")]
#[test]
fn an_output_folder_that_cannot_be_written_to_is_told_before_the_first_request() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    if !std::path::Path::new("/sys/kernel").is_dir() {
        crate::harness::skipped::<()>("there is no /sys");
        return;
    }
    let run = server.s3pull().keys(["k"]);
    let run = run.args(["-o", "/sys/kernel"]).run().expect(3);
    assert!(
        run.stderr
            .contains("error: cannot use the output folder `/sys/kernel`: "),
        "{}",
        run.stderr
    );
    assert_eq!(server.log().len(), 0);
}
