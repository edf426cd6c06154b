//! Buckets from URIs and rows: without `--bucket`, a run may be for several, each of which has its own region and errors; and
//! `--path`, which keeps their keys apart.

use crate::harness::{Fault, LISTING, Object, Run, S3pull, Server, of_bucket, pattern};

/// A server with the buckets `bucket` and `other`; the binary is not told of either.
struct Buckets(Server);

impl Buckets {
    fn start() -> Self {
        let server = Server::start();
        server.put_patterns(["a", "p/b"], 100);
        for key in ["a", "p/c"] {
            server.put(
                &of_bucket("other", key),
                Object::new(pattern(&format!("other {key}"), 100)),
            );
        }
        Self(server)
    }

    fn s3pull(&self) -> S3pull {
        S3pull::new().env("AWS_ENDPOINT_URL_S3", &self.0.url())
    }

    fn run(&self, args: &[&str]) -> Run {
        self.s3pull().args(args.iter().copied()).run()
    }
}

fn files(run: &Run) -> Vec<String> {
    run.files().into_keys().collect()
}

#[test]
fn a_uri_needs_no_bucket() {
    let run = Buckets::start().run(&["s3://bucket/a"]).expect(0);
    assert_eq!(run.read("a"), pattern("a", 100));
}

#[test]
fn rows_of_every_kind_may_be_of_several_buckets() {
    let buckets = Buckets::start();
    let run = buckets
        .s3pull()
        .args([
            "--keys",
            "uris",
            "--keys",
            "csv",
            "s3://bucket/a",
            "-o",
            "out",
            "--path",
            "{bucket}/{key}",
        ])
        .file("uris", "s3://other/a\n")
        .file("csv", "key,bucket\np/b,bucket\np/c,other\n")
        .run()
        .expect(0);
    for (path, seed) in [
        ("bucket/a", "a"),
        ("bucket/p/b", "p/b"),
        ("other/a", "other a"),
        ("other/p/c", "other p/c"),
    ] {
        assert_eq!(
            run.read(&format!("out/{path}")),
            pattern(seed, 100),
            "{path}"
        );
    }
    let piped = buckets
        .s3pull()
        .args(["--path", "{bucket}-{name}"])
        .keys(["s3://other/p/c", "s3://bucket/p/b"])
        .run();
    assert_eq!(files(&piped.expect(0)), ["bucket-b", "other-c"]);
}

#[test]
fn several_buckets_are_listed() {
    let buckets = Buckets::start();
    let args = ["--prefix", "s3://bucket/p/", "--prefix", "s3://other"];
    let run = buckets.run(&args).expect(0);
    assert_eq!(files(&run), ["a", "p/b", "p/c"]);
    assert_eq!(run.read("a"), pattern("other a", 100));
    assert_eq!(buckets.0.n_requests(LISTING), 2);
}

#[test]
fn each_bucket_has_its_own_region() {
    let buckets = Buckets::start();
    buckets.0.script("p/c", [Fault::Region(301, "eu-west-1")]);
    let args = [
        "-j",
        "1",
        "s3://bucket/p/b",
        "s3://other/p/c",
        "s3://other/a",
        "s3://bucket/p/b2",
    ];
    buckets.run(&args).expect(1);
    let log = buckets.0.log();
    let regions: Vec<_> = log
        .iter()
        .map(|logged| (logged.key.as_str(), logged.region()))
        .collect();
    let expected = [
        ("p/b", "us-east-1"),
        ("p/c", "us-east-1"),
        ("p/c", "eu-west-1"),
        ("a", "eu-west-1"),
        ("p/b2", "us-east-1"),
    ];
    assert_eq!(
        regions,
        expected.map(|(key, region)| (key, region.to_owned()))
    );
}

#[test]
fn a_bucket_that_is_not_there_fails_its_rows_only() {
    let buckets = Buckets::start();
    let args = [
        "s3://nowhere/a",
        "s3://bucket/a",
        "s3://nowhere/b",
        "--json",
    ];
    let run = buckets.run(&args).expect(1);
    assert_eq!(
        run.failed(),
        [
            ("a".into(), "NoSuchBucket".into()),
            ("b".into(), "NoSuchBucket".into())
        ]
    );
    assert_eq!(run.read("a"), pattern("a", 100));
    assert!(
        run.stderr.contains("failed: s3://nowhere/a: NoSuchBucket"),
        "{}",
        run.stderr
    );
    assert!(
        run.stdout.contains(r#""key":"a","bucket":"nowhere""#),
        "{}",
        run.stdout
    );
    // The retry asks for the same objects of the same buckets.
    assert!(
        run.stderr
            .contains("  s3pull --json --keys s3pull-failed.csv"),
        "{}",
        run.stderr
    );
    buckets
        .0
        .put(&of_bucket("nowhere", "b"), Object::new("late"));
    let again = buckets
        .s3pull()
        .args(["--keys", "s3pull-failed.csv"])
        .again(&run)
        .run()
        .expect(1);
    assert_eq!(again.failed(), [("a".into(), "NoSuchKey".into())]);
    assert_eq!(again.read("b"), b"late");
    // It is the run's end if the run is for that bucket.
    let run = buckets.run(&["--bucket", "nowhere2", "a"]).expect(3);
    assert!(run.stderr.contains("NoSuchBucket"), "{}", run.stderr);
}

#[test]
fn with_a_bucket_others_are_wrong() {
    let run = Buckets::start()
        .run(&["--bucket", "bucket", "s3://other/a", "p/b"])
        .expect(1);
    assert_eq!(run.failed(), [("a".into(), "WrongBucket".into())]);
}

#[test]
fn equal_keys_of_two_buckets_are_two_objects() {
    let buckets = Buckets::start();
    for jobs in ["1", "8"] {
        let run = buckets
            .run(&["-j", jobs, "s3://bucket/a", "s3://other/a"])
            .expect(1);
        assert_eq!(run.failed()[0].1, "PathConflict");
        assert!(
            run.stderr.contains("`--path '{bucket}/{key}'`"),
            "{}",
            run.stderr
        );
    }
    let dry = buckets
        .run(&["--dry-run", "s3://bucket/a", "s3://other/a"])
        .expect(1);
    assert_eq!(dry.stdout, "s3://bucket/a -> a\n");
    assert!(
        dry.stderr.contains("`--path '{bucket}/{key}'`"),
        "{}",
        dry.stderr
    );
    let dry = buckets
        .run(&[
            "--dry-run",
            "s3://bucket/a",
            "s3://other/a",
            "--path={bucket}/{key}",
        ])
        .expect(0);
    assert_eq!(
        dry.stdout,
        "s3://bucket/a -> bucket/a\ns3://other/a -> other/a\n"
    );
}

#[test]
fn a_row_that_names_no_bucket_fails_and_a_list_that_never_does_is_wrong_usage() {
    let buckets = Buckets::start();
    let run = buckets
        .s3pull()
        .keys(["s3://bucket/a", "p/b", "s3://other/p/c"])
        .run()
        .expect(1);
    assert_eq!(run.failed(), [("p/b".into(), "InvalidRow".into())]);
    assert_eq!(files(&run), ["a", "p/c", "s3pull-failed.csv"]);
    let (running, stdin) = {
        let (running, mut stdin) = buckets.s3pull().start();
        std::io::Write::write_all(&mut stdin, b"a\np/b\n").unwrap();
        (running, stdin)
    };
    // It does not wait for the rest of the list.
    let run = running.wait_with(stdin).expect(2);
    assert!(
        run.stderr
            .contains("its first row names no bucket: use `--bucket"),
        "{}",
        run.stderr
    );
    for (args, said) in [
        (&[][..], "--bucket"),
        (&["a"], "the key `a` names no bucket"),
        (&["s3://bucket/a", "b"], "the key `b` names no bucket"),
        (&["cp", "s3://bucket/a", "."], "s3pull has no `cp` command"),
        (&["--prefix", "p/"], "`--prefix p/` names no bucket"),
        (&["--prefix", "s3:///p"], "is not `s3://bucket/prefix`"),
    ] {
        let run = buckets.run(args).expect(2);
        assert!(run.stderr.contains(said), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn templates_make_paths_and_stay_in_the_retry() {
    let buckets = Buckets::start();
    let args = ["s3://bucket/p/b", "s3://bucket/a", "s3://bucket/gone"];
    let template = ["--path", "x/{dir}/{hash:2}-{name}"];
    let run = buckets.s3pull().args(args).args(template).run().expect(1);
    let files = files(&run);
    assert_eq!(files.len(), 3);
    assert!(
        files
            .iter()
            .any(|path| path.starts_with("x/p/") && path.ends_with("-b")),
        "{files:?}"
    );
    assert!(
        files
            .iter()
            .any(|path| path.starts_with("x/") && path.ends_with("-a") && path.len() == 6),
        "{files:?}"
    );
    assert!(
        run.stderr
            .contains("--path 'x/{dir}/{hash:2}-{name}' --keys"),
        "{}",
        run.stderr
    );
    for bad in ["../{key}", "/{key}", "{bucket}", "{what}", ""] {
        let run = buckets.run(&["s3://bucket/a", "--path", bad]).expect(2);
        assert!(run.stderr.contains("--path"), "{bad}: {}", run.stderr);
    }
    let run = buckets.run(&[
        "s3://bucket/p/..",
        "--path",
        "{dir}/{name}",
        "--unsafe-keys",
        "encode",
    ]);
    assert_eq!(run.failed(), [("p/..".into(), "NoSuchKey".into())]);
}
