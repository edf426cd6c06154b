//! `--prefix`: what the bucket lists is what is downloaded, and a listing that breaks off is never taken for a short one.

use crate::harness::{
    Fault, LISTING, Object, Quirks, RawServer, Reply, Run, S3pull, Server, pattern,
};

/// A server with these keys, three to a page.
fn server(keys: &[&str]) -> Server {
    let server = Server::start();
    server.put_patterns(keys.iter().copied(), 100);
    server.quirks(Quirks {
        page_size: 3,
        ..Quirks::default()
    });
    server
}

fn downloaded(run: &Run) -> Vec<String> {
    run.files().into_keys().collect()
}

const SEVEN: [&str; 7] = ["p/1", "p/2", "p/3", "p/4", "p/5", "p/6", "p/7"];

#[test]
fn everything_below_the_prefix_is_downloaded() {
    let server = server(&[
        "a",
        "p/1",
        "p/2",
        "p/a b+c%20",
        "p/é\u{1}\n",
        "p/z/1",
        "p/z/",
        "q",
    ]);
    server.put("p/z/", Object::new(""));
    let run = server.s3pull().args(["--prefix", "p/"]).run().expect(0);
    let expected = ["p/1", "p/2", "p/a b+c%20", "p/z/1", "p/é\u{1}\n"];
    assert_eq!(downloaded(&run), expected);
    assert_eq!(run.read("p/a b+c%20"), pattern("p/a b+c%20", 100));
    assert_eq!(server.n_requests(LISTING), 2);
    assert!(
        run.stderr.contains("6 downloaded, 0 skipped, 0 failed"),
        "{}",
        run.stderr
    );
}

#[test]
fn several_prefixes_and_other_sources_make_one_list() {
    let server = server(&["a/1", "a/2", "b/1", "c", "d"]);
    let uri = format!("s3://{}/b/", crate::harness::BUCKET);
    let run = server
        .s3pull()
        .args(["--prefix", "a/", "--prefix", &uri, "--keys", "list", "d"])
        .file("list", "c\n")
        .run()
        .expect(0);
    assert_eq!(downloaded(&run), ["a/1", "a/2", "b/1", "c", "d", "list"]);
}

#[test]
fn an_empty_prefix_is_the_whole_bucket_and_keys_may_be_listed_plainly() {
    let server = server(&["a+b", "c%2Bd", "e f"]);
    server.quirks(Quirks {
        lists_plain_keys: true,
        ..Quirks::default()
    });
    let run = server.s3pull().args(["--prefix", ""]).run().expect(0);
    assert_eq!(downloaded(&run), ["a+b", "c%2Bd", "e f"]);
    assert!(!server.log()[0].uri.contains("prefix="));
}

#[test]
fn a_dry_run_lists_and_downloads_nothing() {
    let server = server(&SEVEN);
    let run = server
        .s3pull()
        .args(["--prefix", "p/", "--dry-run"])
        .run()
        .expect(0);
    assert_eq!(run.stdout.lines().count(), 7);
    assert!(run.stdout.starts_with("p/1 -> p/1\n"), "{}", run.stdout);
    assert!(run.stderr.contains("700 B to download"), "{}", run.stderr);
    assert_eq!(server.log().len(), server.n_requests(LISTING));
    let run = server
        .s3pull()
        .args(["--prefix", "p/", "--dry-run", "--json"])
        .run()
        .expect(0);
    let first = run.stdout.lines().next().unwrap();
    for member in [
        r#""list":"s3://bucket/p/""#,
        r#""line":1,"#,
        r#""bytes":100"#,
        r#""etag":""#,
    ] {
        assert!(first.contains(member), "{member}: {first}");
    }
}

#[test]
fn shards_divide_a_listing() {
    let server = server(&SEVEN);
    let listed = |shard| {
        let args = ["--prefix", "p/", "--dry-run", "--shard", shard];
        let run = server.s3pull().args(args).run().expect(0);
        run.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut all = [listed("0/2"), listed("1/2")].concat();
    all.sort();
    assert_eq!(all.len(), 7);
    all.dedup();
    assert_eq!(all.len(), 7);
}

#[test]
fn objects_of_a_page_are_fetched_while_the_next_page_hangs() {
    let server = server(&SEVEN);
    server.skip(LISTING, 1);
    server.script(LISTING, [Fault::Hang]);
    let (running, _stdin) = server
        .s3pull()
        .args(["--prefix", "p/", "--timeout", "1", "-j", "1"])
        .start();
    // Two pages were asked for, and the objects of the first.
    server.wait_for_requests(5);
    running.signal("TERM");
    let run = running.wait().expect(143);
    assert!(run.stderr.contains("not read to its end"), "{}", run.stderr);
}

#[test]
fn a_page_may_take_longer_than_an_object() {
    let server = server(&SEVEN);
    let gate = server.gate(LISTING);
    let (running, _stdin) = server
        .s3pull()
        .args(["--prefix", "p/", "--timeout", "1", "-vv"])
        .start();
    server.wait_for_requests(1);
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    gate.open();
    let run = running.wait().expect(0);
    assert_eq!(server.n_requests(LISTING), 3);
    assert!(
        run.stderr.contains("LIST s3://bucket/p/: "),
        "{}",
        run.stderr
    );
}

/// Each is tried again where it happens once, and breaks the listing where it happens each time.
#[test]
fn a_bad_page_is_asked_for_again_and_never_shortens_the_listing() {
    fn without(body: &str, element: &str) -> String {
        let (before, rest) = body.split_once(&format!("<{element}>")).unwrap();
        let (_, after) = rest.split_once(&format!("</{element}>")).unwrap();
        format!("{before}{after}")
    }
    let faults = [
        (
            "truncated without a token",
            Fault::Edit(|body| without(body, "NextContinuationToken")),
        ),
        (
            "no IsTruncated",
            Fault::Edit(|body| without(body, "IsTruncated")),
        ),
        (
            "not truncated with a token",
            Fault::Edit(|body| body.replace("<IsTruncated>true", "<IsTruncated>false")),
        ),
        (
            "a wrong count",
            Fault::Edit(|body| body.replace("<KeyCount>3", "<KeyCount>4")),
        ),
        (
            "an object less",
            Fault::Edit(|body| without(body, "Contents")),
        ),
        (
            "cut off",
            Fault::Edit(|body| body[..body.find("</Contents>").unwrap()].to_owned()),
        ),
        (
            "another order",
            Fault::Edit(|body| body.replace("p/5", "p/x").replace("p/4", "p/5")),
        ),
        (
            "another prefix",
            Fault::Edit(|body| body.replace("p/5", "q/5")),
        ),
        (
            "keys that are kept back",
            Fault::Edit(|body| {
                let folded = "<CommonPrefixes><Prefix>p/x/</Prefix></CommonPrefixes><IsTruncated>";
                body.replace("<IsTruncated>", folded)
                    .replace("<KeyCount>3", "<KeyCount>4")
            }),
        ),
        ("an error", Fault::Status(200, "InternalError")),
        ("a web page", Fault::Html(200)),
        ("nothing", Fault::Edit(|_| String::new())),
        ("broken off", Fault::Cut(400)),
        ("503", Fault::Status(503, "SlowDown")),
        ("500", Fault::Status(500, "InternalError")),
        ("204", Fault::As(204)),
    ];
    for (name, fault) in faults {
        let server = server(&SEVEN);
        let s3pull = || {
            server
                .s3pull()
                .args(["--prefix", "p/", "--max-attempts", "2"])
        };
        server.skip(LISTING, 1);
        server.script(LISTING, [fault.clone()]);
        let run = s3pull().run();
        assert_eq!(
            (run.code, run.files().len()),
            (Some(0), 7),
            "{name}: {}",
            run.stderr
        );
        server.skip(LISTING, 1);
        server.script(LISTING, [fault.clone(), fault]);
        let run = s3pull().run();
        assert_eq!(run.code, Some(3), "{name}: {}", run.stderr);
        assert!(
            run.stderr.contains("cannot list `s3://bucket/p/`: "),
            "{name}: {}",
            run.stderr
        );
        assert!(
            run.stderr.contains("not read to its end"),
            "{name}: {}",
            run.stderr
        );
    }
}

#[test]
fn pages_that_repeat_break_the_listing() {
    let server = server(&SEVEN);
    let first_again = |body: &str| {
        let (before, rest) = body.split_once("<NextContinuationToken>").unwrap();
        let (_, after) = rest.split_once('<').unwrap();
        format!("{before}<NextContinuationToken>after p/0<{after}")
    };
    server.script(LISTING, [Fault::Edit(first_again)]);
    let args = ["--prefix", "p/", "--max-attempts", "2", "--json"];
    let run = server.s3pull().args(args).run().expect(3);
    assert!(run.stderr.contains("not in order"), "{}", run.stderr);
    let summary = run.stdout.lines().last().unwrap();
    assert!(summary.contains(r#""list_complete":false"#), "{summary}");
}

#[test]
fn a_listing_that_is_refused_says_why_and_what_to_do() {
    let server = server(&SEVEN);
    server.script(LISTING, [Fault::Status(403, "AccessDenied")]);
    let run = server.s3pull().args(["--prefix", "p/"]).run().expect(3);
    assert!(
        run.stderr.contains("AccessDenied") && run.stderr.contains("s3:ListBucket"),
        "{}",
        run.stderr
    );
    assert_eq!(server.log().len(), 1);
}

#[test]
fn a_bucket_that_is_not_there_is_named_once() {
    let server = server(&[]);
    let run = S3pull::new()
        .args(["--bucket", "nowhere", "--prefix", "p/"])
        .env("AWS_ENDPOINT_URL_S3", &server.url())
        .run()
        .expect(3);
    assert!(
        run.stderr.contains("NoSuchBucket") && run.stderr.contains("hint: check `--bucket`"),
        "{}",
        run.stderr
    );
    let empty = server.s3pull().args(["--prefix", "p/"]).run().expect(0);
    assert!(
        empty.stderr.contains("nothing below `s3://bucket/p/`"),
        "{}",
        empty.stderr
    );
    let pattern = server
        .s3pull()
        .args(["--prefix", "p/*.jpg"])
        .run()
        .expect(0);
    assert!(pattern.stderr.contains("`--include`"), "{}", pattern.stderr);
}

#[test]
fn a_prefix_of_another_bucket_is_wrong_usage() {
    let run = S3pull::new()
        .args(["--bucket", "b", "--prefix", "s3://other/p"])
        .run()
        .expect(2);
    assert!(
        run.stderr.contains("`--prefix s3://other/p`"),
        "{}",
        run.stderr
    );
}

#[test]
fn the_region_is_learned_and_the_requester_pays() {
    let server = server(&SEVEN);
    server.script(LISTING, [Fault::Region(301, "eu-west-1")]);
    let args = ["--prefix", "p/", "--request-payer"];
    server.s3pull().args(args).run().expect(0);
    let log = server.log();
    let pages: Vec<_> = log.iter().filter(|logged| logged.key == LISTING).collect();
    let regions: Vec<_> = pages.iter().map(|page| page.region()).collect();
    assert_eq!(
        regions,
        ["us-east-1", "eu-west-1", "eu-west-1", "eu-west-1"]
    );
    for page in pages {
        assert_eq!(page.headers["x-amz-request-payer"], "requester");
        assert!(!page.headers.contains_key("x-amz-checksum-mode"));
    }
}

#[test]
fn pages_asked_for_by_the_sdk_are_read_in_the_same_way() {
    let server = server(&SEVEN);
    let s3pull = || {
        server
            .s3pull()
            .args(["--prefix", "p/", "--max-attempts", "1"])
            .env("S3PULL_SIGNER", "presigned")
    };
    let run = s3pull().run().expect(0);
    assert_eq!(downloaded(&run), SEVEN);
    server.script(
        LISTING,
        [Fault::Edit(|body| {
            body.replace("<KeyCount>3", "<KeyCount>4")
        })],
    );
    let run = s3pull().run().expect(3);
    assert!(run.stderr.contains("KeyCount"), "{}", run.stderr);
}

#[test]
fn an_outage_is_waited_out_by_a_listing_alone() {
    let server = server(&SEVEN);
    server.refuse_for(std::time::Duration::from_secs(4));
    let args = ["--prefix", "p/", "--max-attempts", "20"];
    let run = server.s3pull().args(args).run().expect(0);
    assert_eq!(run.files().len(), 7);
}

#[test]
fn a_hostile_page_is_asked_for_again_and_harms_nothing() {
    type Scripted = (&'static str, fn() -> Reply);
    fn page(before: &str, inner: &str) -> String {
        format!(
            "{before}<ListBucketResult><IsTruncated>false</IsTruncated>{inner}<Contents><Key>p/1</Key></Contents></ListBucketResult>"
        )
    }
    let replies: [Scripted; 9] = [
        ("a chunk that is cut off", || {
            let body = format!("{:x}\r\n{}", 5_000, page("", ""));
            Reply::raw("200 OK\nTransfer-Encoding: chunked", body)
        }),
        ("a chunk that is not one", || {
            let body = format!("zz\r\n{}\r\n0\r\n\r\n", page("", ""));
            Reply::raw("200 OK\nTransfer-Encoding: chunked", body)
        }),
        ("4 EiB", || {
            Reply::raw("200 OK\nContent-Length: 4611686018427387904", page("", ""))
        }),
        ("without a length and cut off", || {
            let page = page("", "");
            Reply::raw("200 OK", &page[..page.len() - 30])
        }),
        ("a token of a megabyte", || {
            let token = "t".repeat(1 << 20);
            let inner = format!("<NextContinuationToken>{token}</NextContinuationToken>");
            Reply::new("200 OK", page("", &inner).replace("false", "true"))
        }),
        ("many elements in one another", || {
            Reply::new("200 OK", page("", &"<a>".repeat(100_000)))
        }),
        ("entities that explode", || {
            let entities = (1..30).fold(String::new(), |entities, n| {
                let before = n - 1;
                entities + &format!("<!ENTITY e{n} \"&e{before};&e{before};\">")
            });
            let before = format!("<!DOCTYPE x [<!ENTITY e0 \"a\">{entities}]>");
            let object = "<Contents><Key>p/&e29;</Key></Contents>";
            Reply::new("200 OK", page(&before, object))
        }),
        ("compressed", || {
            let packed = zstd::encode_all(page("", "").as_bytes(), 0).unwrap();
            Reply::new("200 OK\nContent-Encoding: zstd", packed)
        }),
        ("nothing but blanks", || {
            Reply::new("200 OK", " ".repeat(1 << 20))
        }),
    ];
    for (name, reply) in replies {
        let mut n_pages = 0;
        let server = RawServer::start(move |head| {
            if !head.contains("list-type=2") {
                return Reply::new("200 OK", "x");
            }
            n_pages += 1;
            match n_pages {
                1 => reply(),
                _ => Reply::new("200 OK", page("", "")),
            }
        });
        let run = server.s3pull().args(["--prefix", "p/"]).run();
        assert_eq!(run.code, Some(0), "{name}: {}", run.stderr);
        assert_eq!(downloaded(&run), ["p/1"], "{name}");
        assert_eq!(server.log().len(), 3, "{name}");
    }
}

#[test]
fn an_endless_page_fills_no_memory() {
    static BLANKS: [u8; 1 << 16] = [b' '; 1 << 16];
    let server = RawServer::start(|_| {
        Reply::raw("200 OK", "<ListBucketResult>").then_again(&BLANKS, std::time::Duration::ZERO)
    });
    let args = ["--prefix", "p/", "--max-attempts", "1"];
    let run = server.s3pull().args(args).run().expect(3);
    assert!(
        run.stderr.contains("more than 16,777,216 bytes"),
        "{}",
        run.stderr
    );
}

#[test]
fn a_failed_row_names_its_listing_and_is_not_bound_to_the_listed_etag() {
    let server = server(&["p/1", "p/2"]);
    server.script("p/2", [Fault::Status(403, "AccessDenied")]);
    let run = server.s3pull().args(["--prefix", "p/"]).run().expect(1);
    let csv = String::from_utf8(run.read("s3pull-failed.csv")).unwrap();
    let row = csv.lines().nth(1).unwrap();
    assert!(
        row.starts_with("p/2,bucket,,AccessDenied,403,") && row.contains(",,,s3://bucket/p/:2,"),
        "{row}"
    );
    assert!(
        run.stderr.contains("--keys s3pull-failed.csv") && !run.stderr.contains("--prefix"),
        "{}",
        run.stderr
    );
    server.put_patterns(["p/2"], 200);
    let again = server
        .s3pull()
        .args(["--keys", "s3pull-failed.csv"])
        .again(&run)
        .run()
        .expect(0);
    assert_eq!(again.read("p/2").len(), 200);
}

#[test]
fn an_object_replaced_after_it_was_listed_is_downloaded_as_it_is_now() {
    let server = server(&["p/1"]);
    server.script(
        "p/1",
        [Fault::Replace(Box::new(Object::new(pattern("new", 77))))],
    );
    let run = server.s3pull().args(["--prefix", "p/"]).run().expect(0);
    assert_eq!(run.read("p/1"), pattern("new", 77));
}
