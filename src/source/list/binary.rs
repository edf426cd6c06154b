//! Recognises by its first bytes what cannot be a key list, and says what to do about it.

/// Bytes that are looked at where the first row is odd.
const WINDOW: usize = 512;

/// Content that is not a list, with what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAList {
    pub what: &'static str,
    pub cure: &'static str,
}

/// The first bytes of files that are not lists. Those that consist of letters may begin a key list.
const MAGIC: &[(&[u8], NotAList)] = &[
    (
        b"\xfd7zXZ\0",
        NotAList {
            what: "xz",
            cure: "decompress it: `xz -dc LIST | s3pull …`",
        },
    ),
    (
        b"BZh",
        NotAList {
            what: "bzip2",
            cure: "decompress it: `bzip2 -dc LIST | s3pull …`",
        },
    ),
    (
        b"\x04\x22\x4d\x18",
        NotAList {
            what: "LZ4",
            cure: "decompress it: `lz4 -dc LIST | s3pull …`",
        },
    ),
    (
        b"\xff\x06\0\0sNaPpY",
        NotAList {
            what: "Snappy",
            cure: "decompress it first",
        },
    ),
    (
        b"PK\x03\x04",
        NotAList {
            what: "a zip archive or a spreadsheet",
            cure: "unpack it (`unzip -p LIST | s3pull …`), or save the spreadsheet as CSV",
        },
    ),
    (
        b"PK\x05\x06",
        NotAList {
            what: "an empty zip archive",
            cure: "give the list itself",
        },
    ),
    (
        b"7z\xbc\xaf\x27\x1c",
        NotAList {
            what: "a 7z archive",
            cure: "unpack it: `7z x -so LIST | s3pull …`",
        },
    ),
    (
        b"ORC",
        NotAList {
            what: "ORC, which cannot be read",
            cure: "have the inventory written as CSV or Parquet, or query it with Athena and use the result's CSV",
        },
    ),
    #[cfg(not(feature = "parquet"))]
    (b"PAR1", PARQUET),
    (
        b"Obj\x01",
        NotAList {
            what: "Avro",
            cure: "convert it to CSV or JSON lines",
        },
    ),
    (
        b"SQLite format 3\0",
        NotAList {
            what: "an SQLite database",
            cure: "export the keys as CSV: `sqlite3 -csv -header FILE 'SELECT …' | s3pull …`",
        },
    ),
    (
        b"\x93NUMPY",
        NotAList {
            what: "an array of NumPy",
            cure: "write it as text: `numpy.savetxt('keys.txt', keys, fmt='%s')`",
        },
    ),
    (
        b"\x89HDF\r\n\x1a\n",
        NotAList {
            what: "HDF5",
            cure: "write the keys as CSV or JSON lines",
        },
    ),
    (
        b"ARROW1\0\0",
        NotAList {
            what: "Arrow (Feather)",
            cure: "write the keys as CSV or JSON lines",
        },
    ),
    (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        NotAList {
            what: "a document of Excel or Word",
            cure: "save it as CSV",
        },
    ),
    (
        b"%PDF-",
        NotAList {
            what: "a PDF",
            cure: "give a list of keys as text",
        },
    ),
    (
        b"\x7fELF",
        NotAList {
            what: "a program",
            cure: "give a list of keys as text",
        },
    ),
];

/// Parquet where it cannot be read.
#[cfg(not(feature = "parquet"))]
pub(super) const PARQUET: NotAList = NotAList {
    what: "Parquet, which this build of s3pull cannot read",
    cure: "build s3pull with `--features parquet`, have the inventory written as CSV, or query it with Athena and use the result's CSV",
};

/// A tar archive: what its first header says at this offset (POSIX.1, "pax", ustar). Its name, before that, ends in several NULs.
const TAR_AT: usize = 257;
const TAR: NotAList = NotAList {
    what: "a tar archive",
    cure: "unpack it: `tar -xOf LIST | s3pull …`",
};
/// Bytes of the name in a tar's header.
const TAR_NAME: usize = 100;

const OTHER: NotAList = NotAList {
    what: "binary",
    cure: "give a list of keys as text; if they are keys, say so with `--keys-format lines` or `null`",
};

/// Whether a list cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Binary {
    No,
    Yes(NotAList),
    /// More bytes are needed to tell.
    Undecided,
}

/// Whether a list that starts with `text`, which is all that is looked at if `is_final`, is binary of a known kind.
pub(super) fn known(text: &[u8], is_final: bool) -> Binary {
    let Some((magic, what)) = MAGIC.iter().find(|(magic, _)| text.starts_with(magic)) else {
        return tar(text, is_final);
    };
    // A key may begin with letters, but hardly goes on with a control character.
    let is_of_letters = magic.iter().all(u8::is_ascii_graphic);
    let goes_on_oddly = text
        .get(magic.len())
        .is_some_and(|byte| n_odd(&[*byte]) > 0);
    if !is_of_letters || goes_on_oddly || is_binary(text) {
        Binary::Yes(*what)
    } else if is_final || text.len() >= WINDOW {
        Binary::No
    } else {
        Binary::Undecided
    }
}

fn tar(text: &[u8], is_final: bool) -> Binary {
    let may_be = memchr::memmem::find(&text[..text.len().min(TAR_NAME)], b"\0\0").is_some();
    match text.get(TAR_AT..TAR_AT + 5) {
        Some(b"ustar") => Binary::Yes(TAR),
        None if may_be && !is_final => Binary::Undecided,
        Some(_) | None => Binary::No,
    }
}

/// Whether `text` begins with `magic`, which is not empty, and goes on as no text does.
pub(super) fn begins_with(text: &[u8], magic: &[u8]) -> bool {
    let rest = text.strip_prefix(magic).filter(|_| !magic.is_empty());
    rest.and_then(<[u8]>::first)
        .is_some_and(|byte| n_odd(&[*byte]) > 0)
}

/// Whether it is binary of any other kind. Single rows may be odd: only a start that is mostly so counts.
pub(super) fn other(text: &[u8], is_final: bool) -> Binary {
    let first = text.split(|&byte| matches!(byte, b'\n' | b'\0')).next();
    let first = first.unwrap_or_default();
    let is_odd = text.starts_with(b"\0") || n_odd(first) > 0;
    if !is_odd {
        return Binary::No;
    }
    if text.len() < WINDOW && !is_final {
        return Binary::Undecided;
    }
    if is_binary(text) && text.len() >= WINDOW {
        Binary::Yes(OTHER)
    } else {
        Binary::No
    }
}

/// Whether more than a tenth of the first bytes are none that a text has.
fn is_binary(text: &[u8]) -> bool {
    let start = &text[..text.len().min(WINDOW)];
    10 * n_odd(start) > start.len()
}

/// Bytes that are control characters or not UTF-8, and each NUL that follows another one.
fn n_odd(text: &[u8]) -> usize {
    let is_control = |byte: &&u8| matches!(byte, 1..=8 | 11 | 12 | 14..=31 | 127);
    let n_controls = text.iter().filter(is_control).count();
    let n_double_nuls = text.windows(2).filter(|pair| **pair == [0, 0]).count();
    let n_invalid: usize = text.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    n_controls + n_double_nuls + n_invalid
}

#[cfg(test)]
mod tests {
    use crate::source::testing::{failure, rows};

    #[test]
    fn what_is_not_a_list_is_refused_with_the_cure() {
        let noise: Vec<u8> = (0..2000_u32)
            .map(|n| ((n * n) >> 3).to_le_bytes()[0])
            .collect();
        for (start, said) in [
            (&b"\xfd7zXZ\0\0\x04"[..], "xz -dc"),
            (b"BZh91AY&SY\x1f\xd0", "bzip2 -dc"),
            (b"PK\x03\x04\x14\0", "save the spreadsheet as CSV"),
            (b"ORC\n\x1e\n", "Athena"),
            (b"\x04\x22\x4d\x18\x64", "lz4 -dc"),
            (b"7z\xbc\xaf\x27\x1c\0", "7z x"),
            (b"\x7fELF\x02\x01\x01\0\0\0\0", "a program"),
            (b"\0\0\0\x18ftypmp42", "it is binary"),
            (b"\x89PNG\r\n\x1a\n", "it is binary"),
        ] {
            let list = [start, &noise].concat();
            let message = failure(&list, "auto");
            assert!(message.contains(said), "{start:?}: {message}");
        }
    }

    #[test]
    fn a_tar_archive_is_refused_and_empty_rows_are_not_one() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(4);
        header.set_cksum();
        builder
            .append_data(&mut header, "keys.txt", &b"a\nb\n"[..])
            .unwrap();
        let message = failure(&builder.into_inner().unwrap(), "auto");
        assert!(message.contains("tar -xOf"), "{message}");
        for n in [0, 400] {
            let list = format!("a\0\0b\0{}", "c\0".repeat(n));
            assert_eq!(rows(list.as_bytes(), "auto", "").len(), n + 2);
        }
    }

    #[test]
    fn keys_that_begin_like_a_file_or_are_odd_are_keys() {
        for list in [
            "ORCHID.jpg\nb\n",
            "ORC\n",
            "PAR1.txt\nb\n",
            "BZh\n",
            "a\u{1}b\nc\n",
            "\u{1}\n",
            "Obj\n",
        ] {
            let expected: Vec<_> = list.lines().map(|key| Ok(key.to_owned())).collect();
            assert_eq!(rows(list.as_bytes(), "auto", ""), expected, "{list:?}");
        }
        let found = rows(b"\xff\xfb\xfc\nkey\n", "auto", "");
        assert_eq!(found[1], Ok("key".to_owned()));
    }
}
