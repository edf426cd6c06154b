//! How requests are made: whoever signs them, whatever the key, and on which way.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::harness::{BUCKET, Fault, Gate, RawServer, Reply, S3pull, Server, pattern};

const ODD_KEYS: [&str; 11] = [
    " ",
    "a b",
    "a+b",
    "a%2Fb",
    "ü/日本",
    "?x=y",
    "#",
    "a&b=c",
    "'\"",
    "a=b:c@d",
    "~tilde",
];

/// Gets the keys from a server that checks signatures.
fn get_odd_keys(server: &Server, run: S3pull) {
    server.put_patterns(ODD_KEYS, 100);
    server.put_patterns(["large"], 3 << 20);
    let large = ["--multipart-threshold", "1MiB", "--part-size", "1MiB"];
    let run = run
        .args(large)
        .keys(ODD_KEYS.into_iter().chain(["large"]))
        .run()
        .expect(0);
    for key in ODD_KEYS {
        assert_eq!(run.read(key), pattern(key, 100), "{key}");
    }
    assert!(run.read("large") == pattern("large", 3 << 20));
}

#[test]
fn odd_keys_are_signed_right_by_every_signer() {
    let server = Server::start();
    get_odd_keys(&server, server.s3pull().without_env("S3PULL_SIGNER"));
    assert!(
        server
            .log()
            .iter()
            .all(|request| request.headers.contains_key("authorization")
                && request.headers["accept-encoding"] == "identity"
                && !request.uri.contains("x-id"))
    );
    let server = Server::start();
    get_odd_keys(&server, server.s3pull().env("S3PULL_SIGNER", "presigned"));
    assert!(
        server
            .log()
            .iter()
            .all(|request| request.uri.contains("X-Amz-Signature="))
    );
}

#[test]
fn anonymous_requests_are_made_for_odd_keys_too() {
    let server = RawServer::start(|head| {
        assert!(!head.to_lowercase().contains("authorization"), "{head}");
        Reply::new("200 OK", head.lines().next().unwrap())
    });
    let run = server
        .s3pull()
        .args(["--no-sign-request"])
        .keys(ODD_KEYS)
        .run()
        .expect(0);
    assert_eq!(run.read("a b"), b"GET /bucket/a%20b HTTP/1.1");
    assert_eq!(run.read("?x=y"), b"GET /bucket/%3Fx%3Dy HTTP/1.1");
    assert_eq!(run.read("a%2Fb"), b"GET /bucket/a%252Fb HTTP/1.1");
}

#[test]
fn a_path_in_the_endpoint_stands_before_the_bucket() {
    for path in ["/store/s3", "/store/s3/"] {
        let server = RawServer::start(|head| Reply::new("200 OK", head.lines().next().unwrap()));
        let url = format!("{}{path}", server.url());
        for run in [
            S3pull::new().args(["--endpoint-url", &url]),
            S3pull::new().env("AWS_ENDPOINT_URL_S3", &url),
        ] {
            let run = run.args(["--bucket", BUCKET]).keys(["k"]).run().expect(0);
            let line = String::from_utf8(run.read("k")).unwrap();
            let target = line.split([' ', '?']).nth(1).unwrap();
            assert_eq!(target, "/store/s3/bucket/k");
        }
    }
}

/// A proxy that opens one tunnel at a time for whoever has its credentials; returns the heads of the requests.
fn tunnelling_proxy(n_tunnels: usize) -> (u16, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let proxy = std::thread::spawn(move || {
        let mut heads = Vec::new();
        for _ in 0..n_tunnels {
            let (mut client, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let is_allowed = head.contains("Proxy-Authorization: Basic dXNlcjpwYXNzd29yZA==\r\n");
            let target = head.split(' ').nth(1).unwrap().to_owned();
            heads.push(head);
            if !is_allowed {
                client
                    .write_all(b"HTTP/1.1 407 Authenticate\r\n\r\n")
                    .unwrap();
                continue;
            }
            let server = TcpStream::connect(target).unwrap();
            client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
            join(&client, &server);
        }
        heads
    });
    (port, proxy)
}

/// Passes bytes both ways until one side ends.
fn join(client: &TcpStream, server: &TcpStream) {
    let pass = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
        std::thread::spawn(move || {
            // Either side may go away.
            let _ = std::io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
        })
    };
    let there = pass(client, server);
    pass(server, client).join().unwrap();
    there.join().unwrap();
}

#[test]
fn a_tunnel_is_opened_with_the_credentials_of_the_proxy() {
    let (server, certificate) = crate::connection::tls_server();
    server.put_patterns(["k"], 100);
    let (port, proxy) = tunnelling_proxy(1);
    let through = |user: &str, port: u16| {
        S3pull::new()
            .args(["--bucket", BUCKET, "--endpoint-url", &server.url()])
            .file("ca.pem", &certificate)
            .args(["--ca-bundle", "ca.pem", "--connect-timeout", "60"])
            .env("HTTPS_PROXY", &format!("http://{user}@127.0.0.1:{port}"))
            .keys(["k"])
            .run()
    };
    let run = through("user:password", port).expect(0);
    assert_eq!(run.read("k"), pattern("k", 100));
    let heads = proxy.join().unwrap();
    let line = format!("CONNECT localhost:{} HTTP/1.1\r\n", server.port());
    assert!(heads[0].starts_with(&line), "{heads:?}");
    let (port, proxy) = tunnelling_proxy(1);
    let run = through("user:otherwise", port).expect(3);
    proxy.join().unwrap();
    let told = format!("the proxy `127.0.0.1:{port}` refuses its credentials (status 407)");
    assert!(run.stderr.contains(&told), "{}", run.stderr);
    assert!(!run.stderr.contains("otherwise"), "{}", run.stderr);
}

#[test]
fn a_proxy_that_refuses_a_plain_request_is_named() {
    let proxy = RawServer::start(|_| Reply::new("407 Proxy Authentication Required", "otherwise"));
    let run = S3pull::new()
        .args(["--bucket", BUCKET, "--endpoint-url", "http://s3.invalid"])
        .env(
            "HTTP_PROXY",
            &format!("http://user:otherwise@127.0.0.1:{}", proxy.port()),
        )
        .keys(["k"])
        .run()
        .expect(3);
    let told = format!(
        "the proxy `127.0.0.1:{}` refuses its credentials (status 407)",
        proxy.port()
    );
    assert!(run.stderr.contains(&told), "{}", run.stderr);
    assert!(!run.stderr.contains("otherwise"), "{}", run.stderr);
}

#[test]
fn no_proxy_holds_for_addresses() {
    let server = Server::start();
    server.put_patterns(["k"], 100);
    for rules in ["*", "10.0.0.0/8, *", "127.0.0.0/8", "127.0.0.1"] {
        S3pull::new()
            .args(["--bucket", BUCKET, "--max-attempts", "1"])
            .args([
                "--endpoint-url",
                &format!("http://127.0.0.1:{}", server.port()),
            ])
            .env("HTTP_PROXY", "http://127.0.0.1:1")
            .env("NO_PROXY", rules)
            .keys(["k"])
            .run()
            .expect(0);
    }
}

#[test]
fn a_proxy_that_does_not_answer_is_named() {
    let run = S3pull::new()
        .args([
            "--bucket",
            BUCKET,
            "--endpoint-url",
            "http://s3.invalid",
            "--max-attempts",
            "1",
        ])
        .env("HTTP_PROXY", "http://127.0.0.1:1")
        .keys(["k"])
        .run();
    let told = "cannot connect to the proxy `127.0.0.1:1`: connection refused";
    assert!(run.stderr.contains(told), "{}", run.stderr);
}

#[test]
fn what_fails_on_the_way_is_said_in_plain_words() {
    let once = |url: &str| {
        let run = S3pull::new()
            .args([
                "--bucket",
                BUCKET,
                "--endpoint-url",
                url,
                "--max-attempts",
                "1",
                "--connect-timeout",
                "60",
            ])
            .keys(["k"])
            .run();
        run.stderr
    };
    let stderr = once("http://127.0.0.1:1");
    assert!(
        stderr.contains("cannot connect to `127.0.0.1:1`: connection refused"),
        "{stderr}"
    );
    let stderr = once("http://nosuch.invalid");
    assert!(
        stderr.contains("cannot resolve `nosuch.invalid`"),
        "{stderr}"
    );
    let server = Server::start();
    let stderr = once(&format!("https://localhost:{}", server.port()));
    let told = format!(
        "the server at `localhost:{}` does not speak TLS",
        server.port()
    );
    assert!(stderr.contains(&told), "{stderr}");
}

#[test]
fn a_reply_that_is_refused_for_its_session_is_asked_for_again_once_for_all() {
    let server = Server::start();
    let keys: Vec<_> = (0..8).map(|n| n.to_string()).collect();
    server.put_patterns(keys.iter().map(String::as_str), 10);
    for key in &keys {
        server.script(key, [Fault::Region(301, "eu-west-1")]);
    }
    // All are in flight before one is refused.
    let gates: Vec<_> = keys.iter().map(|key| server.gate(key)).collect();
    let run = server.s3pull().args(["-j", "8", "--max-attempts", "1"]);
    let (running, mut list) = run.start();
    writeln!(list, "{}", keys.join("\n")).unwrap();
    drop(list);
    server.wait_for_requests(8);
    gates.iter().for_each(Gate::open);
    let run = running.wait().expect(0);
    run.expect_requests(server.log().len(), 16);
}
