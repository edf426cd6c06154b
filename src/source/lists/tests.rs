use std::io;

use super::batch::{MAX_BATCH, MAX_BATCH_BYTES};
use super::*;
use crate::row::MAX_COLUMN;
use crate::source::testing::{options, parsed, rows};

#[test]
fn the_longest_valid_key_has_1024_bytes() {
    let longest = "k".repeat(1024);
    assert_eq!(rows(longest.as_bytes(), "auto", ""), [Ok(longest.clone())]);
    let longer = rows(format!("{longest}k").as_bytes(), "auto", "");
    assert!(longer[0].as_ref().unwrap_err().contains("InvalidKey"));
}

#[test]
fn rows_are_sent_while_the_pipe_stays_open() {
    let (reader, mut writer) = io::pipe().unwrap();
    let list = OpenList {
        info: ListInfo::default(),
        input: Box::new(reader),
    };
    let mut batches = read(vec![list], Arc::new(options("auto", "")), None, |_| {});
    for key in ["first", "second"] {
        io::Write::write_all(&mut writer, format!("{key}\n").as_bytes()).unwrap();
        let batch = batches.blocking_recv().unwrap().unwrap();
        assert_eq!(batch[0].entry.as_ref().unwrap().key, key);
    }
    drop(writer);
    assert!(batches.blocking_recv().is_none());
}

#[test]
fn a_panic_of_the_thread_is_a_broken_list_and_not_its_end() {
    struct Defect;
    impl Read for Defect {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("as a decoder may")
        }
    }
    let list = OpenList {
        info: ListInfo::default(),
        input: Box::new(io::Read::chain(&b"first\n"[..], Defect)),
    };
    let mut batches = read(vec![list], Arc::new(options("auto", "")), None, |_| {});
    let mut ended = batches.blocking_recv().unwrap();
    while ended.is_ok() {
        ended = batches.blocking_recv().unwrap();
    }
    let message = ended.unwrap_err().to_string();
    assert!(message.contains("as a decoder may"), "{message}");
    assert!(batches.blocking_recv().is_none());
}

#[test]
fn batches_of_long_rows_are_bounded_in_bytes() {
    let long = "x".repeat(900_000);
    let column = "x".repeat(MAX_COLUMN);
    let lists = [
        ("", format!("{long}\n")),
        ("key,dest\n", format!("k,{long}\n")),
        ("key,bucket\n", format!("k,{long}\n")),
        (
            "key,etag,version_id,dest\n",
            format!("k,{column},{column},{column}\n"),
        ),
        ("", format!("{{\"Key\":\"{long}\"}}\n")),
    ];
    for (header, row) in lists {
        let list = header.to_owned() + &row.repeat(20);
        let input = Box::new(Cursor::new(zstd::encode_all(list.as_bytes(), 0).unwrap()));
        let info = ListInfo::default();
        let mut batches = read(
            vec![OpenList { info, input }],
            Arc::new(options("auto", "")),
            None,
            |_| {},
        );
        let mut n_rows = 0;
        while let Some(batch) = batches.blocking_recv() {
            let batch = batch.unwrap();
            let n_bytes: usize = batch.iter().map(Row::n_bytes).sum();
            assert!(n_bytes < MAX_BATCH_BYTES + 100_000, "{header}{n_bytes}");
            n_rows += batch.len();
        }
        assert_eq!(n_rows, 20, "{header}");
    }
}

#[test]
fn a_batch_is_bounded_however_many_rows_one_read_yields() {
    let list: Vec<u8> = (0..100_000)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect();
    let input = Box::new(Cursor::new(zstd::encode_all(&list[..], 0).unwrap()));
    let info = ListInfo::default();
    let mut batches = read(
        vec![OpenList { info, input }],
        Arc::new(options("auto", "")),
        None,
        |_| {},
    );
    let mut n_rows = 0;
    while let Some(batch) = batches.blocking_recv() {
        let n_in_batch = batch.unwrap().len();
        assert!(n_in_batch <= MAX_BATCH);
        n_rows += n_in_batch;
    }
    assert_eq!(n_rows, 100_000);
}

#[test]
fn lists_are_read_in_order_and_rows_know_their_list() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    std::fs::write(&path, "key,size\na,5\nb,\n").unwrap();
    let options = ListOptions {
        sources: vec![
            ListSource::File(path),
            ListSource::Arguments(vec!["c\nd".into(), "s3://b/e".into()]),
        ],
        ..options("auto", "")
    };
    let mut batches = read(
        open(&options.sources).unwrap(),
        Arc::new(options),
        None,
        |_| {},
    );
    let mut found = Vec::new();
    while let Some(batch) = batches.blocking_recv() {
        found.extend(
            batch
                .unwrap()
                .into_iter()
                .map(|row| (row.place.list, row.place.line, row.entry.unwrap().key)),
        );
    }
    let expected = [(0, 2, "a"), (0, 3, "b"), (1, 1, "c\nd"), (1, 2, "e")];
    assert_eq!(
        found,
        expected.map(|(list, line, key)| (list, line, key.to_owned()))
    );
}

#[test]
fn totals_cover_all_lists_if_each_can_be_read_twice() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list");
    std::fs::write(&path, "key,size\na,5\nb,\n,\n").unwrap();
    let mut options = ListOptions {
        sources: vec![
            ListSource::File(path),
            ListSource::Arguments(vec!["c".into()]),
        ],
        ..options("auto", "")
    };
    let totals = Totals {
        n_rows: 4,
        bytes: 5,
        n_without_size: 2,
    };
    assert_eq!(count(&options).unwrap(), Some(totals));
    options.sources.push(ListSource::Stdin);
    assert_eq!(count(&options).unwrap(), None);
}

#[test]
fn shards_share_the_rows_among_them() {
    let list: Vec<u8> = (0..1000)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect();
    let mut keys: Vec<_> = (0..3)
        .flat_map(|index| {
            let shard = Some(format!("{index}/3").parse().unwrap());
            let options = ListOptions {
                shard,
                ..options("auto", "p/")
            };
            parsed(&list, &options).unwrap()
        })
        .map(|row| row.entry.unwrap().key)
        .collect();
    keys.sort_by_key(|key| key[2..].parse::<u32>().unwrap());
    assert_eq!(
        keys,
        (0..1000).map(|n| format!("p/{n}")).collect::<Vec<_>>()
    );
}

/// A pipe that delivers `bytes` in pieces of these lengths, over and over.
struct Pipe<'a> {
    bytes: &'a [u8],
    lengths: std::iter::Cycle<std::slice::Iter<'a, usize>>,
}

impl Read for Pipe<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.lengths.next().copied().unwrap_or(1);
        (&mut self.bytes).take(length as u64).read(buffer)
    }
}

/// Everything that is said about a list that arrives in pieces of these lengths.
fn said(bytes: &[u8], lengths: &[usize], options: &ListOptions) -> String {
    let pipe = Pipe {
        bytes,
        lengths: lengths.iter().cycle(),
    };
    let (mut notes, mut rows) = (Vec::new(), Vec::new());
    let info = ListInfo::default();
    let reading = Reading {
        options,
        asks: None,
    };
    let read = parse(
        &info,
        0,
        pipe,
        reading,
        |note| notes.push(note),
        &mut |row| rows.push(row),
    );
    format!("{notes:?} {rows:?} {read:?}")
}

/// Pieces of lists of every kind, which mean something else where they are cut.
const PIECES: &[&str] = &[
    "[",
    "]",
    "{",
    "}",
    "\"",
    ",",
    ":",
    "a",
    "\\",
    " ",
    ";",
    "\n",
    "\n",
    "\n",
    "\r",
    "\r\n",
    "\t",
    "\0",
    "\0",
    "Key",
    "null",
    "key,size\n",
    "Key\tSize\n",
    "\"key\"\n",
    "{\"key\":\"a\"}\n",
    "{\"Contents\": [\n",
    "2024-01-02 03:04:05         12 ",
    "2024/01/02 03:04:05                12  ",
    "2024-01-02 03:04           12  s3://b/",
    "b,",
    "ORC",
    "PAR1",
    "ü",
    "cp s3://b/a x\n",
    "# c\n",
    "None\n",
    "CONTENTS\t",
    "s3://b/a",
    "        15  2024-01-02T03:04:05Z  gs://b/",
    "[2024-01-02 03:04:05 UTC] ",
    "<?xml ",
    "----------------\n",
    "None\tp/\tNone\n",
    "\"a\"\n",
    "\"a\"b\n",
    "- ",
    "     12 ",
    "0  a\n",
    "1  b\n",
    "900150983cd24fb0d6963f7d28e17f72  ",
    "gs://b/k:\n",
    "key|size\n",
    "\0\0",
];

#[test]
fn no_cut_changes_a_list_of_a_known_format() {
    for list in [
        "{\"key\":\"a\"}\n{\"key\":\"b\"}\n",
        "{\"key\":\"a\n{\"key\":\"b\"}\n",
        "{\n  \"Contents\": [\n    {\"Key\": \"a\"}\n  ]\n}\n",
        "2024-01-02 03:04:05         12 a\nplain\n",
        "2024-01-02 03:04:05         12 a\n2024-01-02 03:04:05         12 b\n",
        "key,size\r\na,1\r\n",
        "key,size\na,1\n\"b\"c,2\nd",
        "key,size\n\"a\nb",
        "\"a\"\n\"b\"\n",
        "\"a\"\nb\n",
        "- a\n- b\n",
        "- a\nb\n",
        "     12 a\n     13 b\n",
        "0  a\n1  b\n",
        "gs://b/k:\n  a\n",
        "  a\n---\n",
        "a\r\nb\n",
        "ab\0c\nd\0",
        "a\0b\nc\nd\n",
        "\n\na\n",
        "\u{feff}key,size\na,1\n",
        "b,a\nb,c\n",
        "b,a\nx\n",
        "ORC\u{1}\u{2}\n\0\n",
        "s\0i\0x\0\n\0",
    ] {
        let options = options("auto", "");
        let whole = said(list.as_bytes(), &[1 << 20], &options);
        for length in 1..list.len() {
            assert_eq!(
                said(list.as_bytes(), &[length], &options),
                whole,
                "{list:?} by {length}"
            );
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_cut_of_a_pipe_changes_anything(
        list in proptest::collection::vec(proptest::num::u8::ANY, 0..600),
        lengths in proptest::collection::vec(1_usize..20, 1..5),
    ) {
        let options = options("auto", "");
        proptest::prop_assert_eq!(said(&list, &lengths, &options), said(&list, &[1 << 20], &options));
    }

    #[test]
    fn no_cut_changes_what_looks_like_a_format(
        pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..60),
        lengths in proptest::collection::vec(1_usize..20, 1..5),
    ) {
        let list = pieces.concat();
        let packed = zstd::encode_all(list.as_bytes(), 0).unwrap();
        for format in FORMATS.iter().map(|format| format.name).chain(["auto"]) {
            let options = options(format, "");
            let whole = said(list.as_bytes(), &[1 << 20], &options);
            proptest::prop_assert_eq!(said(list.as_bytes(), &lengths, &options), whole);
        }
        let options = options("auto", "");
        let whole = said(&packed, &[1 << 20], &options);
        proptest::prop_assert_eq!(said(&packed, &lengths, &options), whole);
    }

    #[test]
    fn any_bytes_in_any_format_never_panic(list in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        for format in FORMATS.iter().map(|format| format.name).chain(["auto"]) {
            // Such a list may be unusable; only a panic fails this test.
            let _ = parsed(&list, &options(format, ""));
        }
    }

    #[test]
    fn what_looks_like_a_format_never_panics(list in "([\\[\\]{}\",:a\\\\ \n]|Key|null|key,size\n|2024-01-02 03:04:05         12 |2024/01/02 03:04:05                12  |b,){0,40}") {
        for format in FORMATS.iter().map(|format| format.name).chain(["auto"]) {
            let _ = parsed(list.as_bytes(), &options(format, ""));
        }
    }
}
