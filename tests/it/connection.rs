//! The one client: how it reaches the bucket.

#[cfg(target_os = "linux")]
use std::process::ChildStdin;
use std::time::Duration;
#[cfg(target_os = "linux")]
use std::time::Instant;

#[cfg(target_os = "linux")]
use crate::harness::Running;
use crate::harness::{
    BUCKET, Fault, Gate, Logged, RawServer, Reply, S3pull, Server, pattern, sooner_or_later,
};

#[test]
fn a_wrong_region_is_corrected_once_for_the_whole_run() {
    let server = Server::start();
    let keys: Vec<_> = (0..50).map(|n| n.to_string()).collect();
    server.put_patterns(keys.iter().map(String::as_str), 100);
    server.script("0", [Fault::Region(301, "eu-west-1")]);
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(["-j", "1", "--max-attempts", "1"])
        .run()
        .expect(0);
    assert_eq!(run.files().len(), 50);
    let regions: Vec<_> = server.log().iter().map(Logged::region).collect();
    assert_eq!(regions[0], "us-east-1");
    assert!(
        regions[1..].iter().all(|region| region == "eu-west-1"),
        "{regions:?}"
    );
    assert_eq!(regions.len(), 51);
}

#[test]
fn the_region_comes_from_option_environment_or_profile() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    let config = "[profile mine]\nregion = ap-south-1\naws_access_key_id = AKIDTEST\naws_secret_access_key = secret\n";
    let of = |run: S3pull| {
        run.keys(["k"]).run().expect(0);
        server.log().last().unwrap().region()
    };
    assert_eq!(
        of(server.s3pull().env("AWS_REGION", "eu-north-1")),
        "eu-north-1"
    );
    assert_eq!(
        of(server
            .s3pull()
            .env("AWS_REGION", "eu-north-1")
            .args(["--region", "sa-east-1"])),
        "sa-east-1"
    );
    let of_profile = server
        .s3pull()
        .file("config", config)
        .env("AWS_CONFIG_FILE", "config")
        .args(["--profile", "mine"]);
    let of_profile = of_profile
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY");
    assert_eq!(of(of_profile), "ap-south-1");
}

#[test]
fn environments_that_other_tools_accept_do_no_harm() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    server
        .s3pull()
        .env("AWS_RETRY_MODE", "legacy")
        .env("AWS_MAX_ATTEMPTS", "0")
        .keys(["k"])
        .run()
        .expect(0);
}

#[test]
fn the_option_wins_over_the_endpoint_of_the_environment() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    let run = S3pull::new()
        .args(["--bucket", BUCKET, "--endpoint-url", &server.url()])
        .env("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
        .keys(["k"])
        .run()
        .expect(0);
    assert_eq!(run.read("k"), pattern("k", 10));
}

#[test]
fn unsigned_requests_carry_no_signature_and_need_no_credentials() {
    let server = Server::start();
    let run = server
        .s3pull()
        .without_env("AWS_ACCESS_KEY_ID")
        .args(["--no-sign-request"])
        .keys(["k"])
        .run()
        .expect(1);
    assert!(server.log()[0].headers.get("authorization").is_none());
    // The server wants signatures.
    assert_eq!(run.failed(), [("k".to_owned(), "AccessDenied".to_owned())]);
}

#[test]
fn a_ca_bundle_makes_a_private_server_trusted() {
    let (server, certificate) = tls_server();
    server.put_patterns(["k"], 100_000);
    let trusting = server
        .s3pull()
        .file("ca.pem", &certificate)
        .args(["--ca-bundle", "ca.pem"])
        .keys(["k"])
        .run()
        .expect(0);
    assert_eq!(trusting.read("k"), pattern("k", 100_000));
    server
        .s3pull()
        .file("ca.pem", &certificate)
        .env("AWS_CA_BUNDLE", "ca.pem")
        .keys(["k"])
        .run()
        .expect(0);
    server
        .s3pull()
        .file("ca.pem", &certificate)
        .env("SSL_CERT_FILE", "ca.pem")
        .keys(["k"])
        .run()
        .expect(0);
    let wary = server.s3pull().keys(["k"]).run().expect(3);
    assert!(
        wary.stderr.contains("ConnectionFailed") && wary.stderr.contains("UnknownIssuer"),
        "{}",
        wary.stderr
    );
    let broken = server
        .s3pull()
        .file("ca.pem", "no PEM")
        .args(["--ca-bundle", "ca.pem"])
        .keys(["k"])
        .run()
        .expect(3);
    assert!(
        broken
            .stderr
            .contains("the CA bundle `ca.pem` holds no certificate"),
        "{}",
        broken.stderr
    );
}

/// How long a test waits for what must happen before it fails.
#[cfg(target_os = "linux")]
const PATIENCE: Duration = Duration::from_mins(3);

pub fn tls_server() -> (Server, String) {
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    (Server::start_tls(config), cert.pem())
}

/// A server with a certificate that is its own authority, as `openssl req -x509` makes them.
fn tls_server_with(change: impl FnOnce(&mut rcgen::CertificateParams)) -> (Server, String) {
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    change(&mut params);
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let config = tokio_rustls::rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    (Server::start_tls(config), certificate.pem())
}

#[test]
fn a_self_signed_authority_in_the_bundle_is_trusted_for_its_own_names() {
    let run = |(server, certificate): &(Server, String)| {
        server.put_patterns(["k"], 100);
        server
            .s3pull()
            .file("ca.pem", certificate)
            .args(["--ca-bundle", "ca.pem", "--max-attempts", "1"])
            .args(["--connect-timeout", "60"])
            .keys(["k"])
            .run()
    };
    run(&tls_server_with(|_| {})).expect(0);
    let other_name = tls_server_with(|params| {
        params.subject_alt_names = vec![rcgen::SanType::DnsName("other".try_into().unwrap())];
    });
    let refused = run(&other_name);
    assert!(
        refused.stderr.contains("is for another name"),
        "{}",
        refused.stderr
    );
    let expired = tls_server_with(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let refused = run(&expired);
    assert!(refused.stderr.contains("has expired"), "{}", refused.stderr);
    let (_, another) = tls_server_with(|_| {});
    let (server, _) = tls_server_with(|_| {});
    let refused = run(&(server, another));
    assert_ne!(refused.code, Some(0), "{}", refused.stderr);
}

#[test]
fn whoever_answers_is_trusted_on_demand_with_one_warning() {
    let (server, _) = tls_server_with(|_| {});
    server.put_patterns(["a", "b"], 100);
    let run = server
        .s3pull()
        .args(["--no-verify-ssl"])
        .keys(["a", "b"])
        .run()
        .expect(0);
    assert_eq!(run.files().len(), 2);
    let warning = "s3pull: warning: `--no-verify-ssl`: certificates are not checked";
    assert_eq!(run.stderr.matches(warning).count(), 1, "{}", run.stderr);
}

#[test]
fn plain_requests_go_through_a_proxy_by_their_whole_url() {
    // The server is its own proxy: it answers whatever host is asked for.
    let server = Server::start();
    server.put_patterns(["k"], 100);
    let proxy = format!("http://user:pass@127.0.0.1:{}", server.port());
    let run = S3pull::new()
        .args(["--bucket", BUCKET, "--endpoint-url", "http://s3.invalid"])
        .env("HTTP_PROXY", &proxy)
        .keys(["k"])
        .run()
        .expect(0);
    assert_eq!(run.read("k"), pattern("k", 100));
    let request = &server.log()[0];
    assert!(
        request.uri.starts_with("http://s3.invalid/bucket/k"),
        "{}",
        request.uri
    );
    assert_eq!(request.headers["proxy-authorization"], "Basic dXNlcjpwYXNz");
    let direct = server
        .s3pull()
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .env("NO_PROXY", "localhost")
        .keys(["k"])
        .run();
    direct.expect(0);
}

#[test]
fn a_proxy_is_taken_as_people_write_it() {
    let server = Server::start();
    server.put_patterns(["k"], 100);
    let proxy = format!(" http://me@corp:p@ss@127.0.0.1:{}/\n", server.port());
    S3pull::new()
        .args(["--bucket", BUCKET, "--endpoint-url", "http://s3.invalid"])
        .env("HTTP_PROXY", "")
        .env("http_proxy", &proxy)
        .keys(["k"])
        .run()
        .expect(0);
    let request = &server.log()[0];
    // `me@corp:p@ss`
    assert_eq!(
        request.headers["proxy-authorization"],
        "Basic bWVAY29ycDpwQHNz"
    );
}

#[test]
fn a_proxy_that_refuses_the_server_ends_the_run_once() {
    let proxy = RawServer::start(|_| Reply::new("403 Forbidden", "<html></html>"));
    let run = S3pull::new()
        .args(["--bucket", BUCKET, "--endpoint-url", "https://s3.invalid"])
        .env(
            "HTTPS_PROXY",
            &format!("http://user:hidden@127.0.0.1:{}", proxy.port()),
        )
        .keys(["a", "b", "c"])
        .run()
        .expect(3);
    let told = "does not connect to `s3.invalid:443` (status 403)";
    assert!(run.stderr.contains(told), "{}", run.stderr);
    assert!(!run.stderr.contains("hidden"), "{}", run.stderr);
    assert_eq!(run.failed().len(), 3);
}

#[test]
fn the_addressing_style_puts_the_bucket_in_path_or_host() {
    let server = Server::start();
    let proxy = format!("http://127.0.0.1:{}", server.port());
    let uri = |args: &[&str]| {
        let run = S3pull::new()
            .args(["--bucket", BUCKET, "--max-attempts", "1"])
            .args(args.iter().copied())
            .env("HTTP_PROXY", &proxy);
        run.keys(["k"]).run();
        server.log().last().unwrap().uri.clone()
    };
    let custom = ["--endpoint-url", "http://s3.invalid"];
    assert!(uri(&custom).starts_with("http://s3.invalid/bucket/k"));
    assert!(
        uri(&[custom[0], custom[1], "--addressing-style", "virtual"])
            .starts_with("http://bucket.s3.invalid/k")
    );
    let aws = ["--endpoint-url", "http://s3.eu-west-1.amazonaws.com"];
    assert!(uri(&aws).starts_with("http://bucket.s3.eu-west-1.amazonaws.com/k"));
    assert!(
        uri(&[aws[0], aws[1], "--addressing-style", "path"])
            .starts_with("http://s3.eu-west-1.amazonaws.com/bucket/k")
    );
}

#[test]
fn the_metadata_service_is_asked_for_credentials_alone_and_never_waited_for_long() {
    // Takes connections and never answers, as the service's address may off EC2.
    let metadata = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", metadata.local_addr().unwrap());
    let server = Server::start();
    server.put_patterns(["k"], 10);
    let off_ec2 = |run: S3pull| {
        run.env("AWS_EC2_METADATA_DISABLED", "false")
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &url)
            .keys(["k"])
            .run()
    };
    off_ec2(server.s3pull()).expect(0);
    metadata.set_nonblocking(true).unwrap();
    assert_eq!(
        metadata.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock,
        "nobody asks for a region"
    );
    let without = off_ec2(server.s3pull().without_env("AWS_ACCESS_KEY_ID")).expect(3);
    assert!(
        without.stderr.contains("no AWS credentials found"),
        "{}",
        without.stderr
    );
}

#[test]
fn a_region_is_corrected_whatever_the_status_that_named_it() {
    for (status, code) in [
        (400, "AuthorizationHeaderMalformed"),
        (307, "TemporaryRedirect"),
        (403, "AccessDenied"),
    ] {
        let server = Server::start();
        server.put_patterns(["k"], 10);
        let region = "eu-west-1".to_owned();
        server.script(
            "k",
            [Fault::StatusWith(
                status,
                code,
                "x-amz-bucket-region",
                region,
            )],
        );
        server
            .s3pull()
            .args(["--max-attempts", "1"])
            .keys(["k"])
            .run()
            .expect(0);
        assert_eq!(server.log()[1].region(), "eu-west-1");
    }
}

/// A profile whose credentials come from a program: another session each time that it is asked.
#[cfg(unix)]
fn with_sessions(run: S3pull) -> S3pull {
    let program = "#!/bin/sh\necho >> asked\nn=$(wc -l < asked | tr -d ' ')\n\
        echo '{\"Version\":1,\"AccessKeyId\":\"AKIDTEST\",\"SecretAccessKey\":\"secret\",\"SessionToken\":\"'session$n'\"}'\n";
    run.file("program.sh", program)
        .file("config", "[default]\ncredential_process = sh program.sh\n")
        .env("AWS_CONFIG_FILE", "config")
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
}

#[cfg(unix)]
#[test]
fn credentials_are_loaded_once_and_again_once_when_they_expire() {
    let server = Server::start();
    let keys: Vec<_> = (0..40).map(|n| n.to_string()).collect();
    let keys = || keys.iter().map(String::as_str);
    server.put_patterns(keys(), 10);
    let run = with_sessions(server.s3pull()).keys(keys()).run().expect(0);
    assert_eq!(run.read("asked"), b"\n");
    // All that is in flight at one time is refused.
    let n_before = server.log().len();
    let gates: Vec<_> = keys().take(8).map(|key| server.gate(key)).collect();
    for key in keys().take(8) {
        server.script(key, [Fault::Status(400, "ExpiredToken")]);
    }
    let run = with_sessions(server.s3pull()).args(["-j", "8", "--max-attempts", "1"]);
    let (running, mut list) = run.start();
    let lines: String = keys().flat_map(|key| [key, "\n"]).collect();
    std::io::Write::write_all(&mut list, lines.as_bytes()).unwrap();
    drop(list);
    server.wait_for_requests(n_before + 8);
    gates.iter().for_each(Gate::open);
    let run = running.wait().expect(0);
    assert_eq!(run.read("asked"), b"\n\n");
    assert_eq!(server.log().last().unwrap().session_token(), "session2");
}

/// A profile whose credentials come from a program that is written in shell; `asked` has a line per time that it was run.
#[cfg(unix)]
fn with_program(run: S3pull, program: &str) -> S3pull {
    run.file(
        "program.sh",
        format!("echo >> asked\nn=$(wc -l < asked | tr -d ' ')\n{program}\n"),
    )
    .file("config", "[default]\ncredential_process = sh program.sh\n")
    .env("AWS_CONFIG_FILE", "config")
    .without_env("AWS_ACCESS_KEY_ID")
    .without_env("AWS_SECRET_ACCESS_KEY")
}

/// Prints the credentials of session `$n`, which end after `lifetime`.
#[cfg(unix)]
fn session_of(lifetime: Duration) -> String {
    let seconds = lifetime.as_secs();
    format!(
        "end=$(date -u -d \"+{seconds} seconds\" +%Y-%m-%dT%H:%M:%SZ)\n\
        echo '{{\"Version\":1,\"AccessKeyId\":\"AKIDTEST\",\"SecretAccessKey\":\"secret\",\"SessionToken\":\"'session$n'\",\"Expiration\":\"'$end'\"}}'"
    )
}

/// How long the first credentials last, and when others are due.
#[cfg(target_os = "linux")]
const LIFETIME: Duration = Duration::from_secs(8);

/// Runs on, with credentials of which the first ones end soon, until others are due: `None` where the machine was so slow
/// that the first ones may be over. The list is still open, and the server has had a request for `first` and one for
/// `second`, which the first credentials signed.
#[cfg(target_os = "linux")]
fn with_renewal_due(server: &Server, program: &str) -> Option<(Running, ChildStdin)> {
    use std::io::Write;
    let (running, mut list) = with_program(server.s3pull(), program).start();
    let asked = running.folder().join("asked");
    writeln!(list, "first").unwrap();
    server.wait_for_requests_of("first", 1);
    let loaded = Instant::now();
    std::thread::sleep(LIFETIME / 2 + Duration::from_millis(100));
    // This one starts the renewal, and does not wait for it.
    writeln!(list, "second").unwrap();
    while server.n_requests("second") == 0 || std::fs::read(&asked).unwrap() != b"\n\n" {
        if loaded.elapsed() >= LIFETIME + Duration::from_secs(1) {
            return None;
        }
        std::thread::yield_now();
    }
    Some((running, list))
}

#[cfg(target_os = "linux")]
#[test]
fn credentials_are_renewed_ahead_of_their_end_while_the_old_ones_serve() {
    sooner_or_later(are_renewed_while_the_old_ones_serve);
}

#[cfg(target_os = "linux")]
fn are_renewed_while_the_old_ones_serve() -> bool {
    use std::io::Write;
    let server = Server::start();
    let keys: Vec<_> = (0..1_000).map(|n| format!("third{n}")).collect();
    server.put_patterns(
        keys.iter().map(String::as_str).chain(["first", "second"]),
        10,
    );
    // Whoever asks for the second ones waits until it is let.
    let slow = "test $n = 1 || until test -e let; do sleep 0.05; done";
    let program = format!(
        "{slow}\nif test $n = 1; then\n{}\nelse\n{}\nfi",
        session_of(LIFETIME),
        session_of(Duration::from_hours(1))
    );
    let Some((running, mut list)) = with_renewal_due(&server, &program) else {
        return false;
    };
    std::fs::write(running.folder().join("let"), "").unwrap();
    let is_renewed = || {
        let log = server.log();
        log.last().unwrap().session_token() == "session2"
    };
    let started = Instant::now();
    for key in &keys {
        if is_renewed() {
            break;
        }
        assert!(started.elapsed() < PATIENCE);
        writeln!(list, "{key}").unwrap();
        server.wait_for_requests_of(key, 1);
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(is_renewed());
    drop(list);
    let run = running.wait().expect(0);
    assert_eq!(run.read("asked"), b"\n\n");
    let log = server.log();
    let tokens: Vec<_> = log.iter().map(Logged::session_token).collect();
    assert_eq!(tokens[..2], ["session1", "session1"]);
    assert!(tokens.is_sorted(), "{tokens:?}");
    true
}

#[cfg(target_os = "linux")]
#[test]
fn a_failed_renewal_is_nothing_until_the_credentials_are_over() {
    use std::io::Write;
    sooner_or_later(|| {
        let server = Server::start();
        server.put_patterns(["first", "second", "third"], 10);
        let program = format!("test $n = 1 || exit 1\n{}", session_of(LIFETIME));
        let Some((running, mut list)) = with_renewal_due(&server, &program) else {
            return false;
        };
        // The renewal has failed by now, or will soon.
        writeln!(list, "third").unwrap();
        drop(list);
        // Where the machine stalls, the credentials may be over.
        let run = running.wait();
        run.code == Some(0) || {
            assert!(run.stderr.contains("have expired"), "{}", run.stderr);
            false
        }
    });
    let server = Server::start();
    let program = format!("test $n = 1 || exit 1\n{}", session_of(Duration::ZERO));
    let over = with_program(server.s3pull(), &program)
        .keys(["first"])
        .run()
        .expect(3);
    assert!(
        over.stderr
            .contains("Credentials: the AWS credentials have expired"),
        "{}",
        over.stderr
    );
}

#[test]
fn credentials_that_stay_expired_end_the_run() {
    let server = Server::start();
    server.put_patterns(["k", "other"], 10);
    server.script("k", (0..9).map(|_| Fault::Status(400, "ExpiredToken")));
    let run = server
        .s3pull()
        .args(["-j", "1"])
        .keys(["k", "other"])
        .run()
        .expect(3);
    assert!(
        run.stderr.contains("s3pull: error: ExpiredToken"),
        "{}",
        run.stderr
    );
    assert_eq!(server.log().len(), 1);
}

#[test]
fn a_clock_that_is_off_is_corrected_against_the_server_s() {
    let server = Server::start();
    server.put_patterns(["k"], 10);
    // The server seems to be in another year. Signed for that, the request is refused by the real check, whose answer
    // has the true time.
    let date = "Mon, 01 Jan 2035 00:00:00 GMT".to_owned();
    server.script(
        "k",
        [Fault::StatusWith(403, "RequestTimeTooSkewed", "date", date)],
    );
    let run = server
        .s3pull()
        .args(["--max-attempts", "1"])
        .keys(["k"])
        .run()
        .expect(0);
    assert_eq!(run.read("k"), pattern("k", 10));
    let dates: Vec<_> = server.log().iter().map(Logged::date).collect();
    assert!(dates[1].starts_with("20350101T"), "{dates:?}");
    assert!(!dates.last().unwrap().starts_with("2035"), "{dates:?}");
}

#[test]
fn a_handshake_that_never_ends_is_given_up_as_a_connection() {
    // Takes connections, and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", mute.local_addr().unwrap());
    let run = S3pull::new()
        .args(["--bucket", BUCKET, "--endpoint-url", &url])
        .args([
            "--connect-timeout",
            "0.3",
            "--timeout",
            "60",
            "--max-attempts",
            "2",
        ])
        .keys(["k"])
        .run()
        .expect(1);
    assert!(
        run.stderr.contains("Timeout: no connection within 0.3 s"),
        "{}",
        run.stderr
    );
}
