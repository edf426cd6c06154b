//! Large objects: in parallel parts, verified as a whole, never stitched from two versions.

use std::time::Duration;

use crate::harness::{Fault, Gate, Object, Quirks, S3pull, Server, pattern};

const MIB: usize = 1024 * 1024;

/// The binary with parts of 1 MiB for objects from 2 MiB on.
fn in_parts(server: &Server) -> S3pull {
    server
        .s3pull()
        .args(["--part-size", "1MiB", "--multipart-threshold", "2MiB"])
}

fn server(size: usize) -> Server {
    let server = Server::start();
    server.put_patterns(["k"], size);
    server
}

#[test]
fn parts_are_fetched_at_once_and_verified_as_a_whole() {
    let size = 40 * MIB + 123;
    let server = server(size);
    let gate = Gate::closed();
    server.script("k", [Fault::Hold(1, gate.clone())]);
    let run = in_parts(&server).args(["-j", "8", "--timeout", "600"]);
    let (running, mut stdin) = run.start();
    std::io::Write::write_all(&mut stdin, b"k\n").unwrap();
    drop(stdin);
    // The first GET is held until there are others.
    server.wait_for_requests(3);
    gate.open();
    let run = running.wait().expect(0);
    assert!(run.read("k") == pattern("k", size), "the bytes differ");
    assert_eq!(run.files().len(), 1, "{:?}", run.files().keys());
    assert!(
        run.stderr.contains("verified by crc64nvme (1 file)"),
        "{}",
        run.stderr
    );
    let most = 8 + run.n_sent_again();
    assert!(
        (2..=most).contains(&server.peak()),
        "{} in flight",
        server.peak()
    );
    let log = server.log();
    assert!(
        log[0].headers.get("range").is_none(),
        "the first GET is a plain one"
    );
    for request in &log[1..] {
        assert_eq!(request.method, "GET");
        assert!(
            request.headers.get("range").is_some() && request.headers.get("if-match").is_some()
        );
    }
}

#[test]
fn with_one_permit_the_object_streams_down_its_first_get() {
    let server = server(9 * MIB);
    let run = in_parts(&server)
        .args(["-j", "1"])
        .keys(["k"])
        .run()
        .expect(0);
    assert!(run.read("k") == pattern("k", 9 * MIB));
    assert_eq!((server.log().len(), server.peak()), (1, 1));
}

#[test]
fn each_algorithm_answers_for_all_parts() {
    for algorithm in ["crc64nvme", "crc32c", "crc32", "sha1", "sha256"] {
        let body = pattern(algorithm, 7 * MIB + 5);
        let server = Server::start();
        let good = Object::new(body.clone()).with_checksums(&[algorithm]);
        server.put("bad", good.clone().wrong_checksum(&Object::new("other")));
        server.put("good", good);
        let run = in_parts(&server)
            .args(["-j", "4", "--max-attempts", "2"])
            .keys(["good", "bad"])
            .run()
            .expect(1);
        assert!(run.read("good") == body, "{algorithm}");
        assert!(
            run.stderr
                .contains(&format!("verified by {algorithm} (1 file)")),
            "{}",
            run.stderr
        );
        assert_eq!(
            run.failed(),
            [("bad".to_owned(), "ChecksumMismatch".to_owned())]
        );
        assert_eq!(
            run.files().len(),
            2,
            "left behind: {:?}",
            run.files().keys()
        );
    }
}

#[test]
fn a_flipped_byte_of_a_part_is_noticed() {
    let server = server(6 * MIB);
    server.script("k", [Fault::Flip(0)]);
    let run = in_parts(&server)
        .args(["-j", "1"])
        .keys(["k"])
        .run()
        .expect(0);
    assert!(run.read("k") == pattern("k", 6 * MIB));
}

#[test]
fn an_etag_counts_as_md5_only_where_it_can_be_one() {
    let md5 = |body: &[u8]| {
        use md5::Digest;
        md5::Md5::digest(body)
            .iter()
            .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
    };
    let server = Server::start();
    for (key, size) in [("small", 1000), ("large", 5 * MIB)] {
        let mut object = Object::new(pattern(key, size)).with_checksums(&[]);
        object.etag = Some(md5(&object.body));
        server.put(&format!("{key}/md5"), object.clone());
        object.etag = Some("0123456789abcdef0123456789abcdef-3".to_owned());
        server.put(&format!("{key}/multipart"), object.clone());
        object.etag = Some("0123456789abcdef0123456789abcdef".to_owned());
        server.put(&format!("{key}/wrong"), object.clone());
        server.put(
            &format!("{key}/with-checksum"),
            object.with_checksums(&["crc32"]),
        );
    }
    let keys = ["small", "large"].map(|key| {
        ["md5", "multipart", "wrong", "with-checksum"].map(|kind| format!("{key}/{kind}"))
    });
    let keys = keys.concat();
    let keys = || keys.iter().map(String::as_str);
    let run = in_parts(&server)
        .args(["--verify", "etag", "--max-attempts", "1"])
        .keys(keys())
        .run()
        .expect(1);
    let mismatch = |key: &str| (key.to_owned(), "ChecksumMismatch".to_owned());
    assert_eq!(
        run.failed(),
        [mismatch("large/wrong"), mismatch("small/wrong")]
    );
    assert!(
        run.stderr
            .contains("verified by crc32 (2 files), etag-md5 (2 files) and length (2 files)"),
        "{}",
        run.stderr
    );
    let auto = in_parts(&server).keys(keys()).run().expect(0);
    assert!(
        auto.stderr
            .contains("verified by crc32 (2 files) and length (6 files)"),
        "{}",
        auto.stderr
    );
    let off = in_parts(&server)
        .keys(keys())
        .args(["--verify", "off"])
        .run()
        .expect(0);
    assert!(
        off.stderr.contains("verified by length (8 files)"),
        "{}",
        off.stderr
    );
}

#[test]
fn an_object_replaced_at_any_instant_is_wholly_old_or_wholly_new() {
    let (old, new) = (pattern("old", 8 * MIB), pattern("new", 8 * MIB + 77));
    // As long as the old one: then only the ETag tells.
    let same_size = pattern("same", 8 * MIB);
    for ignores_if_match in [false, true] {
        for new in [&new, &same_size] {
            for n_before in [0, 1, 2, 4, 7] {
                let server = Server::start();
                server.quirks(Quirks {
                    ignores_if_match,
                    ..Quirks::default()
                });
                // No checksum would tell.
                let object = |body: &[u8]| Object::new(body.to_vec()).with_checksums(&[]);
                server.put("k", object(&old));
                // Nothing wrong with the first ones.
                server.script("k", (0..n_before).map(|_| Fault::Header("x-nothing", "")));
                server.script("k", [Fault::Replace(Box::new(object(new)))]);
                let run = in_parts(&server)
                    .args(["-j", "4"])
                    .keys(["k"])
                    .run()
                    .expect(0);
                let got = run.read("k");
                // The old one is right too if one GET brought all of it.
                assert!(got == *new || got == old, "neither, after {n_before}");
                assert_eq!(run.files().len(), 1);
            }
        }
    }
}

#[test]
fn a_broken_body_goes_on_at_the_missing_byte() {
    // In parts, and as one stream.
    for threshold in ["2MiB", "1GiB"] {
        let size = 64 * MIB;
        let server = server(size);
        server.script("k", (0..20).map(|n| Fault::Cut(2 * MIB as u64 + 1000 * n)));
        let run = server
            .s3pull()
            .args([
                "--part-size",
                "8MiB",
                "--multipart-threshold",
                threshold,
                "-j",
                "1",
                "--max-attempts",
                "21",
            ])
            .keys(["k"])
            .run()
            .expect(0);
        assert!(run.read("k") == pattern("k", size));
        assert_eq!(server.log().len(), 21);
        let sent = server.bytes_sent("k");
        // What was under way when a connection broke is lost: at most a few buffers each time.
        assert!(
            sent < size as u64 + 20 * 512 * 1024,
            "{sent} bytes were sent for an object of {size}"
        );
    }
}

#[test]
fn broken_parts_are_paid_from_one_budget() {
    let server = server(8 * MIB);
    server.script("k", (0..50).map(|_| Fault::Cut(10)));
    let run = in_parts(&server)
        .args(["-j", "4", "--max-attempts", "5"])
        .keys(["k"])
        .run()
        .expect(1);
    // Whether the break shows before or after the headers is the connection's choice.
    let code = &run.failed()[0].1;
    assert!(
        ["IncompleteBody", "ConnectionFailed"].contains(&code.as_str()),
        "{code}"
    );
    // In each of five rounds as many as there are permits fail together.
    let most = 5 * 4 + run.n_sent_again();
    let n = server.log().len();
    assert!(n <= most, "{n} requests");
}

#[test]
fn objects_of_a_server_without_ranges_are_streamed() {
    let server = Server::start();
    let keys: Vec<_> = (0..8).map(|n| n.to_string()).collect();
    server.put_patterns(keys.iter().map(String::as_str), 8 * MIB);
    server.quirks(Quirks {
        ignores_range: true,
        ..Quirks::default()
    });
    // The first GET must still be under way when helpers ask for parts.
    server.script("0", [Fault::Slow(Duration::from_millis(5))]);
    let run = in_parts(&server)
        .args(["-j", "4", "--max-attempts", "1"])
        .keys(keys.iter().map(String::as_str))
        .run()
        .expect(0);
    for key in &keys {
        assert!(run.read(key) == pattern(key, 8 * MIB));
    }
    // Once it is known, nothing asks for parts any more.
    let most = 8 + 8 + run.n_sent_again();
    let n = server.log().len();
    assert!(n <= most, "{n} requests");
    assert_eq!(run.files().len(), 8, "{:?}", run.files().keys());
}

#[test]
fn where_parts_are_refused_the_first_stream_goes_on_alone() {
    // The whole object in place of a part; no such thing as a range; a condition that never holds; an ETag per part;
    // no sense.
    for fault in [
        Fault::As(200),
        Fault::Status(501, "NotImplemented"),
        Fault::Status(412, "PreconditionFailed"),
        Fault::Status(400, "InvalidArgument"),
        Fault::Status(403, "SignatureDoesNotMatch"),
        Fault::Header("etag", "\"of this part\""),
        Fault::Header("content-range", "bytes 0-0/8388608"),
    ] {
        let server = server(8 * MIB);
        let shown = format!("{fault:?}");
        server.script("k", [Fault::Slow(Duration::from_millis(5))]);
        server.spoil_parts(fault);
        let run = in_parts(&server)
            .args(["-j", "4", "--max-attempts", "1"])
            .keys(["k"])
            .run();
        assert_eq!(run.code, Some(0), "{shown}: {}", run.stderr);
        assert!(run.read("k") == pattern("k", 8 * MIB), "{shown}");
        let log = server.log();
        let n_whole = log.iter().filter(|one| !one.headers.contains_key("range"));
        // A server that speaks of another object is asked once whether there is one.
        assert!(n_whole.count() <= 2 + run.n_sent_again(), "{shown}");
        let most = 1 + 3 + 1 + run.n_sent_again();
        assert!(log.len() <= most, "{shown}: {} requests", log.len());
    }
}

#[test]
fn a_part_that_is_another_one_is_not_taken() {
    let server = server(8 * MIB);
    let wrong = [
        "bytes 0-1048575/8388608",
        "bytes 7340032-8388606/8388608",
        "nonsense",
    ];
    server.script("k", [Fault::Stall(MIB as u64)]);
    server.script(
        "k",
        wrong.map(|range| Fault::Header("content-range", range)),
    );
    let run = in_parts(&server)
        .args(["-j", "2", "--timeout", "1"])
        .keys(["k"])
        .run()
        .expect(0);
    assert!(run.read("k") == pattern("k", 8 * MIB));
}

#[test]
fn a_large_object_does_not_hold_up_small_ones() {
    let server = server(30 * MIB);
    let small: Vec<_> = (0..500).map(|n| format!("small/{n}")).collect();
    server.put_patterns(small.iter().map(String::as_str), 1_000);
    // The large one makes no progress, on whatever permits it has.
    server.script("k", (0..100).map(|_| Fault::Stall(1_000)));
    let (mut running, mut stdin) = in_parts(&server).args(["-j", "8"]).start();
    let list: String = ["k"]
        .into_iter()
        .chain(small.iter().map(String::as_str))
        .flat_map(|key| [key, "\n"])
        .collect();
    std::io::Write::write_all(&mut stdin, list.as_bytes()).unwrap();
    server.wait_for_requests(501);
    // One that was given up still counts until its connection is closed.
    assert!(server.peak() <= 16, "{} in flight", server.peak());
    running.kill();
}

#[test]
fn small_objects_do_not_hold_up_a_large_one() {
    let server = server(12 * MIB);
    let small: Vec<_> = (0..40).map(|n| format!("small/{n}")).collect();
    server.put_patterns(small.iter().map(String::as_str), 1_000);
    let gates: Vec<_> = small.iter().map(|key| server.gate(key)).collect();
    let (running, mut stdin) = in_parts(&server).args(["-j", "8"]).start();
    let list: String = ["k"]
        .into_iter()
        .chain(small.iter().map(String::as_str))
        .flat_map(|key| [key, "\n"])
        .collect();
    std::io::Write::write_all(&mut stdin, list.as_bytes()).unwrap();
    drop(stdin);
    // Every other permit is held by a small object that gets no answer.
    server.wait_for_bytes("k", 12 * MIB as u64);
    for gate in gates {
        gate.open();
    }
    let run = running.wait().expect(0);
    assert!(run.read("k") == pattern("k", 12 * MIB));
}

#[test]
fn large_objects_alone_use_every_permit() {
    let server = Server::start();
    let keys = ["a", "b", "c", "d"];
    server.put_patterns(keys, 24 * MIB);
    // Whatever is asked for first gets stuck, so that all permits must be in use at one time.
    for key in keys {
        server.script(key, (0..12).map(|_| Fault::Stall(100_000)));
    }
    let (mut running, mut stdin) = in_parts(&server).args(["-j", "12"]).start();
    std::io::Write::write_all(&mut stdin, b"a\nb\nc\nd\n").unwrap();
    drop(stdin);
    server.wait_for_requests(12);
    // One whose answer is late may be asked for again.
    assert!((12..=13).contains(&server.peak()), "{}", server.peak());
    running.kill();
}

#[test]
fn versions_and_payer_hold_for_parts_too() {
    let server = server(8 * MIB);
    server.script("k", [Fault::Stall(MIB as u64)]);
    let list = "key,version_id\nk,v7\n";
    in_parts(&server)
        .args(["-j", "2", "--request-payer", "requester", "--timeout", "1"])
        .stdin(list)
        .run()
        .expect(0);
    assert!(server.log().len() > 1);
    for request in server.log() {
        assert!(request.uri.contains("versionId=v7"), "{}", request.uri);
        assert_eq!(request.headers["x-amz-request-payer"], "requester");
    }
}

#[test]
fn a_stream_that_breaks_on_a_server_without_ranges_starts_over() {
    let server = server(5 * MIB);
    server.quirks(Quirks {
        ignores_range: true,
        ..Quirks::default()
    });
    server.script("k", [Fault::Cut(3 * MIB as u64)]);
    let run = server.s3pull().keys(["k"]).run().expect(0);
    assert!(run.read("k") == pattern("k", 5 * MIB));
}
