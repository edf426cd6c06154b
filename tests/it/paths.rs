//! Keys become paths by the rules.

use crate::harness::{Object, Server, pattern};

#[test]
fn a_prefix_is_taken_off_and_keys_without_it_fail() {
    let server = Server::start();
    server.put_patterns(["p/a", "p/d/b", "other"], 10);
    server.put("p/", Object::new(""));
    let run = server
        .s3pull()
        .keys(["p/", "p/a", "p/d/b", "other"])
        .args(["--strip-prefix", "p/", "-o", "out"])
        .run()
        .expect(1);
    assert_eq!(run.read("out/a"), pattern("p/a", 10));
    assert_eq!(run.read("out/d/b"), pattern("p/d/b", 10));
    assert_eq!(
        run.failed(),
        [("other".to_owned(), "InvalidKey".to_owned())]
    );
    assert!(
        run.stderr.contains("which `--strip-prefix` takes off"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr
            .contains("--strip-prefix p/ --keys s3pull-failed.csv"),
        "{}",
        run.stderr
    );
    assert_eq!(server.n_requests("other"), 0);
}

#[test]
fn unsafe_keys_are_encoded_on_demand() {
    let server = Server::start();
    let long = format!("{}%", "l".repeat(300));
    let slashes = "/".repeat(1_023) + "e";
    let percents = "%".repeat(1_024);
    let deep = "../".repeat(341);
    let keys = [
        ("../evil", "%2E%2E/evil"),
        ("/etc/passwd", "%/etc/passwd"),
        ("a//b", "a/%/b"),
        ("100%", "100%25"),
        (".s3pull-k.part", "%2Es3pull-k.part"),
        ("plain/k", "plain/k"),
        (
            &long,
            &format!("{}%/{}%25", "l".repeat(244), "l".repeat(56)),
        ),
        (&slashes, &("%/".repeat(1_023) + "e")),
        (
            &percents,
            &(0..12)
                .map(|_| "%25".repeat(81) + "%/")
                .chain(["%25".repeat(52)])
                .collect::<String>(),
        ),
    ];
    server.put_patterns(keys.map(|(key, _)| key), 10);
    server.put(&deep, Object::new(""));
    let rows = keys.iter().flat_map(|(key, _)| ["s3://bucket/", key, "\n"]);
    let list: String = rows.collect();
    let run = server
        .s3pull()
        .stdin(format!("{list}s3://bucket/{deep}\n"))
        .args(["-o", "out", "--unsafe-keys", "encode"])
        .run()
        .expect(0);
    for (key, path) in keys {
        assert_eq!(run.read(&format!("out/{path}")), pattern(key, 10), "{key}");
    }
    assert!(
        run.folder()
            .join("out")
            .join("%2E%2E/".repeat(341))
            .is_dir()
    );
    assert_eq!(run.files().len(), keys.len());
}
