//! Lists as people have them, from files and pipes.

use std::io::Write;

use crate::harness::{Server, pattern};

fn server(keys: &[&str]) -> Server {
    let server = Server::start();
    server.put_patterns(keys.iter().copied(), 100);
    server
}

#[test]
fn a_recursive_listing_is_taken_as_it_is_piped() {
    let server = server(&["p/a b.txt", "p/ c"]);
    let list = "2024-01-02 03:04:05        100 p/a b.txt\n2024-01-02 03:04:05        100 p/ c\n\nTotal Objects: 2\n   Total Size: 200\n";
    let run = server.s3pull().stdin(list).arg("-v").run().expect(0);
    assert!(
        run.stderr.contains("the key list is read as `aws-s3-ls`"),
        "{}",
        run.stderr
    );
    assert_eq!(run.read("p/ c"), pattern("p/ c", 100));
    assert_eq!(run.files().len(), 2);
}

#[test]
fn a_listing_of_one_level_needs_its_prefix() {
    let server = server(&["p/a"]);
    let list = "                           PRE sub/\n2024-01-02 03:04:05        100 a\n";
    let run = server
        .s3pull()
        .stdin(list)
        .args(["--key-prefix", "p/"])
        .run()
        .expect(0);
    assert_eq!(run.read("p/a"), pattern("p/a", 100));
}

#[test]
fn lines_may_be_uris_and_have_bom_and_crlf() {
    let server = server(&["a", "b c", "d "]);
    let run = server
        .s3pull()
        .file("list", "\u{feff}a\r\ns3://bucket/b c\r\n\r\nd \r\n")
        .args(["--keys", "list"])
        .run()
        .expect(0);
    assert_eq!(run.read("d "), pattern("d ", 100));
    assert!(run.stderr.contains("3 downloaded"), "{}", run.stderr);
}

#[test]
fn a_dash_is_stdin() {
    let server = server(&["a"]);
    let run = server
        .s3pull()
        .keys(["a"])
        .args(["--keys", "-"])
        .run()
        .expect(0);
    assert_eq!(run.read("a"), pattern("a", 100));
}

#[test]
fn rows_that_cannot_be_used_fail_with_their_line_and_stop_nothing() {
    let server = server(&["a", "b"]);
    let mut list = b"a\ns3://other/x\n\xff\xff\nb\n".to_vec();
    list.extend("k".repeat(1025).bytes());
    let run = server.s3pull().stdin(list).run().expect(1);
    let codes: Vec<_> = run.failed().into_iter().map(|(_, code)| code).collect();
    assert_eq!(codes, ["InvalidRow", "InvalidKey", "WrongBucket"]);
    assert!(
        run.stderr.contains("failed: line 3: InvalidRow: not UTF-8"),
        "{}",
        run.stderr
    );
    assert!(
        run.stderr.contains("2 downloaded, 0 skipped, 3 failed"),
        "{}",
        run.stderr
    );
    // As their own list they fail again, with the same story.
    let again = server
        .s3pull()
        .again(&run)
        .args(["--keys", "s3pull-failed.csv"])
        .run()
        .expect(1);
    assert!(
        again
            .stderr
            .contains("failed: line 2: InvalidRow: not UTF-8")
            || again.stderr.contains("line 3: InvalidRow: not UTF-8"),
        "{}",
        again.stderr
    );
    assert_eq!(again.failed().len(), 3);
}

#[test]
fn downloads_start_while_the_list_is_still_arriving() {
    let server = server(&["first", "last"]);
    let (running, mut stdin) = server.s3pull().start();
    stdin.write_all(b"first\n").unwrap();
    server.wait_for_requests(1);
    stdin.write_all(b"last\n").unwrap();
    server.wait_for_requests(2);
    drop(stdin);
    let run = running.wait().expect(0);
    assert_eq!(run.files().len(), 2);
}

#[test]
fn an_empty_list_is_done_at_once() {
    let server = server(&[]);
    let run = server.s3pull().run().expect(0);
    assert!(
        run.stderr.contains("0 downloaded, 0 skipped, 0 failed"),
        "{}",
        run.stderr
    );
    assert!(run.files().is_empty());
}

#[test]
fn a_list_that_cannot_be_read_is_said_so() {
    let server = server(&[]);
    let missing = server
        .s3pull()
        .args(["--keys", "nowhere.txt"])
        .run()
        .expect(3);
    assert!(
        missing
            .stderr
            .contains("s3pull: error: cannot open the key list `nowhere.txt`: No such file"),
        "{}",
        missing.stderr
    );
    let folder = server.s3pull().args(["--keys", "."]).run().expect(3);
    assert!(
        folder.stderr.contains("cannot open the key list `.`"),
        "{}",
        folder.stderr
    );
    let utf16 = server
        .s3pull()
        .stdin(b"\xff\xfea\0\n\0".to_vec())
        .run()
        .expect(3);
    assert!(utf16.stderr.contains("iconv"), "{}", utf16.stderr);
    let header = server
        .s3pull()
        .stdin("name,size\na,1\n")
        .args(["--keys-format", "csv"])
        .run()
        .expect(3);
    assert!(
        header
            .stderr
            .contains("no `key` column, only `name`, `size`"),
        "{}",
        header.stderr
    );
}

#[test]
fn the_csv_goes_back_in_even_as_its_own_list() {
    let server = server(&["good", "with,comma"]);
    let run = server
        .s3pull()
        .keys(["good", "late", "with,comma", "later\ttab"])
        .run()
        .expect(1);
    assert_eq!(run.failed().len(), 2);
    server.put_patterns(["late"], 100);
    let retry = server
        .s3pull()
        .again(&run)
        .args(["--keys", "s3pull-failed.csv"])
        .run()
        .expect(1);
    assert_eq!(
        retry.failed(),
        [("later\ttab".to_owned(), "NoSuchKey".to_owned())]
    );
    assert_eq!(server.n_requests("good"), 1);
    server.put_patterns(["later\ttab"], 100);
    let last = server
        .s3pull()
        .again(&run)
        .args(["--keys", "s3pull-failed.csv"])
        .run()
        .expect(0);
    assert_eq!(last.failed(), []);
    assert_eq!(last.files().len(), 5, "{:?}", last.files().keys());
}

#[test]
fn a_run_without_failures_makes_no_csv() {
    let server = server(&["a"]);
    let run = server.s3pull().keys(["a"]).run().expect(0);
    assert_eq!(run.files().keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn the_csv_s_keys_are_whole_so_that_the_retry_needs_no_prefix() {
    let server = server(&[]);
    let run = server
        .s3pull()
        .keys(["a"])
        .args(["--key-prefix", "p/", "-j", "7"])
        .run()
        .expect(1);
    assert_eq!(run.failed(), [("p/a".to_owned(), "NoSuchKey".to_owned())]);
    assert!(
        run.stderr
            .contains("\n  s3pull --bucket bucket --concurrency 7 --keys s3pull-failed.csv\n"),
        "{}",
        run.stderr
    );
}

#[cfg(unix)]
#[test]
fn a_pipe_by_the_name_of_a_file_is_read_once() {
    let keys: Vec<_> = (0..3_000).map(|n| format!("{n:05}")).collect();
    let server = Server::start();
    server.put_patterns(keys.iter().map(String::as_str), 10);
    let run = server
        .s3pull()
        .keys(keys.iter().map(String::as_str))
        .args(["--keys", "/dev/stdin"])
        .run()
        .expect(0);
    assert_eq!(run.files().len(), 3_000);
    assert!(run.stderr.contains("3,000 downloaded"), "{}", run.stderr);
}
