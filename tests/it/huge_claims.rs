//! What claims to be of exabytes: nothing is set aside for it, nothing overflows, and the run goes on with the other rows.

use crate::harness::{RawServer, Reply, Run, Server, pattern};

/// 2^62, 2^63 - 1, and the most that a length may be by HTTP's own library.
const HUGE: [u64; 3] = [1 << 62, (1 << 63) - 1, u64::MAX - 2];

/// A server whose object `huge` has `size` bytes, as it says; all others have one.
fn server(size: u64, status: &'static str) -> RawServer {
    RawServer::start(move |head| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        if !path.ends_with("/huge") {
            return Reply::new("200 OK\nETag: \"b\"", "b");
        }
        let asked = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("range: bytes=")
                .map(str::to_owned)
        });
        let last = size - 1;
        let head = match (asked, status) {
            (Some(range), _) => {
                let (from, to) = range.trim().split_once('-').unwrap();
                let to: u64 = to.parse().unwrap_or(last);
                let length = to - from.parse::<u64>().unwrap() + 1;
                format!(
                    "206 Partial Content\nETag: \"e\"\nContent-Range: bytes {from}-{to}/{size}\nContent-Length: {length}"
                )
            }
            (None, "206") => format!(
                "206 Partial Content\nETag: \"e\"\nContent-Range: bytes 0-{last}/{size}\nContent-Length: {size}"
            ),
            (None, _) => format!("200 OK\nETag: \"e\"\nContent-Length: {size}"),
        };
        Reply::raw(&head, "0123456789")
    })
}

#[track_caller]
fn only_huge_failed(run: Run, name: &str) -> Run {
    let run = run.expect(1);
    let failed: Vec<_> = run.failed().into_iter().map(|(key, _)| key).collect();
    assert_eq!(failed, ["huge"], "{name}: {}", run.stderr);
    assert!(
        !run.stderr.contains("panicked") && !run.stderr.contains("a bug"),
        "{name}: {}",
        run.stderr
    );
    run
}

#[test]
fn an_object_that_claims_exabytes_fails_alone() {
    for size in HUGE {
        for status in ["200", "206"] {
            let server = server(size, status);
            let s3pull = || {
                server
                    .s3pull()
                    .keys(["huge", "b"])
                    .args(["--max-attempts", "2", "-j", "4"])
            };
            let name = format!("{size}, {status}");
            let run = only_huge_failed(s3pull().run(), &name);
            assert_eq!(run.read("b"), b"b");
            let run = s3pull().args(["--tar", "a.tar"]).run();
            let run = only_huge_failed(run, &name);
            let archive = run.read("a.tar");
            assert!(archive.len() <= 20 * 512, "{}", archive.len());
        }
    }
}

#[test]
fn sizes_of_rows_may_be_any_number() {
    let server = Server::start();
    server.put_patterns(["a", "b"], 10);
    let list = format!("key,size\na,{0}\nb,{0}\n", u64::MAX);
    let s3pull = || server.s3pull().stdin(list.as_str());
    let run = s3pull().args(["--progress", "plain"]).run().expect(0);
    assert_eq!(run.read("b"), pattern("b", 10));
    s3pull().arg("--dry-run").run().expect(0);
    let run = server
        .s3pull()
        .file("list.csv", &list)
        .args(["--keys", "list.csv", "--progress", "plain"])
        .run()
        .expect(0);
    assert_eq!(run.read("a"), pattern("a", 10));
}
