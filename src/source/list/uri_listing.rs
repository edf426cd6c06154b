//! `s3cmd-ls` and `gsutil-ls`: listings for people whose lines end with the URI of an object, so that its key is certain.

use super::format::Format;
use super::listing::{self, Line, has_shape};
use crate::row::LastModified;

pub(super) static S3CMD: Format = Format {
    name: "s3cmd-ls",
    help: "The output of `s3cmd ls` or `s3cmd la`",
    magic: b"",
    waits_for_rows: false,
    recognise: |sample| {
        let reason = "its first lines are those of `s3cmd ls`";
        sample.is_listing(listing::N_ROWS, reason, s3cmd)
    },
    read: |list, emit| listing::read(list, emit, "s3cmd ls", s3cmd),
};

pub(super) static GSUTIL: Format = Format {
    name: "gsutil-ls",
    help: "The output of `gsutil ls -l`",
    magic: b"",
    waits_for_rows: false,
    recognise: |sample| {
        let reason = "its first lines are those of `gsutil ls -l`";
        sample.is_listing(listing::N_ROWS, reason, gsutil)
    },
    read: |list, emit| listing::read(list, emit, "gsutil ls -l", gsutil),
};

/// Parses a line of `s3cmd ls`: date and time, size, perhaps MD5 and storage class, and the URI after blanks
/// (`S3/../s3cmd`, `subcmd_bucket_list`). A folder's marker has `DIROBJ` for a size.
fn s3cmd(line: &[u8]) -> Option<Line<'_>> {
    const DATE: &[u8] = b"dddd-dd-dd dd:dd";
    let (date, rest) = line.split_at_checked(DATE.len())?;
    let (size, mut rest) = column(rest)?;
    if size == b"DIR" && date.trim_ascii().is_empty() {
        return rest.starts_with(b"s3://").then_some(Line::Folder);
    }
    let n_digits = size.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let is_size = n_digits > 0
        && matches!(&size[n_digits..], b"" | b"k" | b"M" | b"G" | b"T" | b"P")
        || size == b"DIROBJ";
    if !has_shape(date, DATE) || !is_size {
        return None;
    }
    // MD5 and storage class may stand between.
    for _ in 0..3 {
        if rest.starts_with(b"s3://") {
            return Some(Line::Uri {
                uri: rest,
                size: number(size),
                last_modified: None,
            });
        }
        let between;
        (between, rest) = column(rest)?;
        if !between
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte))
        {
            return None;
        }
    }
    None
}

/// Parses a line of `gsutil ls -l`: size, time and URI, with two blanks between; `-h` rounds the size, and `-r` adds lines for
/// folders. With `-a`, which adds a generation to the key, a line is not one.
fn gsutil(line: &[u8]) -> Option<Line<'_>> {
    const TIME: &[u8] = b"dddd-dd-ddTdd:dd:ddZ";
    if line.starts_with(b"TOTAL: ") || is_uri(line) && line.ends_with(b"/:") {
        return Some(Line::Total);
    }
    let trimmed = line.trim_ascii_start();
    if trimmed.len() + 20 < line.len() && is_uri(trimmed) && trimmed.ends_with(b"/") {
        return Some(Line::Folder);
    }
    let (size, mut rest) = column(line)?;
    let mut exact = number(size);
    if !rest.first()?.is_ascii_digit() || !rest.get(..5).is_some_and(|start| start.ends_with(b"-"))
    {
        let unit;
        (unit, rest) = column(rest)?;
        if !matches!(unit, b"B" | b"KiB" | b"MiB" | b"GiB" | b"TiB" | b"PiB") {
            return None;
        }
        exact = exact.filter(|_| unit == b"B");
    } else if exact.is_none() {
        return None;
    }
    let (time, uri) = rest.split_at_checked(TIME.len())?;
    let uri = uri.strip_prefix(b"  ").filter(|uri| is_uri(uri))?;
    let has_generation = memchr::memmem::find(uri, b"  metageneration=").is_some();
    if !has_shape(time, TIME) || has_generation {
        return None;
    }
    let last_modified: Option<LastModified> = std::str::from_utf8(time).ok()?.parse().ok();
    Some(Line::Uri {
        uri,
        size: exact,
        last_modified,
    })
}

fn is_uri(text: &[u8]) -> bool {
    text.starts_with(b"s3://") || text.starts_with(b"gs://")
}

fn number(text: &[u8]) -> Option<u64> {
    let is_digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text)
        .ok()
        .filter(|_| is_digits)?
        .parse()
        .ok()
}

/// Splits off the next column; the rest starts after the blanks behind it.
fn column(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = memchr::memchr(b' ', text)?;
    let (column, rest) = text.split_at(end);
    let n_blanks = rest.iter().take_while(|byte| **byte == b' ').count();
    (!column.is_empty()).then_some((column, &rest[n_blanks..]))
}

#[cfg(test)]
mod tests {
    use crate::source::testing::{entries, rows};

    fn keys(keys: &[&str]) -> Vec<Result<String, String>> {
        keys.iter().map(|key| Ok((*key).to_owned())).collect()
    }

    /// What s3cmd 2.4 prints, with `-r`, `-H`, `--list-md5`, `-l`, and for one level.
    #[test]
    fn lines_of_s3cmd_name_their_object() {
        for list in [
            "2026-11-26 00:04           15  s3://b/ lead\n2026-11-26 00:04           24  s3://b/$var `x`\n",
            "2026-11-26 00:04    15   s3://b/ lead\n2026-11-26 00:04    24   s3://b/$var `x`\n",
            "2026-11-26 00:04           15  a76f3936c45b5bbd04f19cd73f835db0     s3://b/ lead\n\
             2026-11-26 00:04           24  1abbd41677c5766e8cec1e4329dfb7b6-2   s3://b/$var `x`\n",
            "2026-11-26 00:04           15  a76f3936c45b5bbd04f19cd73f835db0     STANDARD     s3://b/ lead\n\
             2026-11-26 00:04           24  1abbd41677c5766e8cec1e4329dfb7b6     GLACIER_IR   s3://b/$var `x`\n",
            "                          DIR  s3://b/2024/\n2026-11-26 00:04           15  s3://b/ lead\n\
             2026-11-26 00:04           24  s3://b/$var `x`\n",
        ] {
            assert_eq!(
                rows(list.as_bytes(), "auto", "p/"),
                keys(&[" lead", "$var `x`"]),
                "{list}"
            );
            assert_eq!(entries(list.as_bytes(), "auto")[0].size, Some(15), "{list}");
        }
        let list = "2026-11-26 00:04       DIROBJ  s3://b/p/\n2026-11-26 00:04          12k  s3://b/k\n2026-11-26 00:04  1  s3://c/x\n";
        let found = rows(list.as_bytes(), "auto", "");
        assert_eq!(found[..2], keys(&["p/", "k"]));
        assert!(found[2].as_ref().unwrap_err().contains("WrongBucket"));
        assert_eq!(entries(list.as_bytes(), "auto")[1].size, None);
    }

    /// What gsutil 5.37 prints with `-l`, `-lh` and `-lr`.
    #[test]
    fn lines_of_gsutil_name_their_object() {
        for list in [
            "        15  2026-11-26T00:04:15Z  s3://b/ lead\n        24  2026-11-26T00:04:16Z  gs://b/$var `x`\n\
             TOTAL: 2 objects, 39 bytes (39 B)\n",
            "      15 B  2026-11-26T00:04:15Z  s3://b/ lead\n     1.5 KiB  2026-11-26T00:04:16Z  s3://b/$var `x`\n",
            "        15  2026-11-26T00:04:15Z  s3://b/ lead\ns3://b/2024/:\n        24  2026-11-26T00:04:16Z  s3://b/$var `x`\n\
             \n                                 s3://b/2024/\n",
        ] {
            assert_eq!(
                rows(list.as_bytes(), "auto", "p/"),
                keys(&[" lead", "$var `x`"]),
                "{list}"
            );
            let first = &entries(list.as_bytes(), "auto")[0];
            let time = first.last_modified.map(|time| time.to_string());
            assert_eq!(
                (first.size, time.as_deref()),
                (Some(15), Some("2026-11-26T00:04:15Z"))
            );
        }
        let list = b"        15  2026-11-26T00:04:15Z  gs://b/k#17  metageneration=1\n";
        assert!(
            rows(list, "gsutil-ls", "")[0]
                .as_ref()
                .unwrap_err()
                .contains("not a line of `gsutil ls -l`")
        );
        // `gsutil ls` alone prints URIs.
        assert_eq!(
            rows(b"gs://b/a b\ns3://b/c\n", "auto", ""),
            keys(&["a b", "c"])
        );
    }
}
