//! What an ETag says of an object's content, if it is an MD5, or made of the MD5s of the parts of an upload: equal proves
//! that the content is the same; unequal proves nothing. Pure.
//!
//! `hex(md5(md5(part 1), md5(part 2), …))-N` does not tell the size of the parts, but there are not many that uploaders use.

use md5::{Digest, Md5};

use crate::etag::ETag;
use crate::row::{RowAlgorithm, RowChecksum};

const MIB: u64 = 1 << 20;

/// MiB per part: aws cli, boto3 and the CRT (8, doubled until there are few enough parts), the Go and JS SDKs and Terraform
/// (5), Cyberduck (10), s3cmd (15), MinIO (16, 64), s5cmd (50), and what people choose.
const USUAL_MIB: [u64; 16] = [
    8, 5, 16, 15, 10, 64, 50, 32, 128, 100, 256, 6, 20, 25, 512, 1024,
];
/// Bytes per part of the AWS console.
const CONSOLE: u64 = 17_179_870;

/// Sizes of parts that are tried.
const MAX_SIZES: usize = 8;

/// An ETag that may tell the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ContentTag {
    md5: [u8; 16],
    /// `None` for the MD5 of the whole object.
    n_parts: Option<u64>,
}

impl ContentTag {
    /// Reads what an ETag says of the content.
    pub(super) fn of(etag: &ETag) -> Option<Self> {
        let etag = etag.opaque();
        let (hex, n_parts) = match etag.split_once('-') {
            Some((hex, n)) => (hex, Some(n.parse().ok().filter(|&n| n > 0)?)),
            None => (etag, None),
        };
        let is_hex = hex.len() == 32 && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        let md5 = u128::from_str_radix(hex, 16).ok().filter(|_| is_hex)?;
        Some(Self {
            md5: md5.to_be_bytes(),
            n_parts,
        })
    }

    pub(super) fn is_of_parts(&self) -> bool {
        self.n_parts.is_some()
    }

    /// The MD5 of the whole object, if it is that.
    pub(super) fn checksum(&self) -> Option<RowChecksum> {
        self.n_parts.is_none().then(|| RowChecksum {
            algorithm: RowAlgorithm::Md5,
            value: self.md5.into(),
        })
    }

    /// Compares it with `size` bytes that come in order.
    pub(super) fn hasher(self, size: u64) -> TagHasher {
        let part_sizes = match self.n_parts {
            Some(n_parts) => part_sizes(size, n_parts),
            None => vec![u64::MAX],
        };
        TagHasher {
            tag: self,
            guesses: part_sizes.into_iter().map(Guess::new).collect(),
        }
    }
}

/// Sizes of parts that make `n_parts` of `size` bytes.
fn part_sizes(size: u64, n_parts: u64) -> Vec<u64> {
    if n_parts == 1 {
        return vec![size.max(1)];
    }
    let usual = USUAL_MIB.map(|mib| mib * MIB);
    // rclone's parts are as small as the number of parts allows, in whole MiB.
    let smallest = size.div_ceil(n_parts).next_multiple_of(MIB);
    let sizes = usual.into_iter().chain([CONSOLE, smallest, smallest + MIB]);
    let mut fitting: Vec<_> = sizes
        .filter(|part_size| size.div_ceil(*part_size) == n_parts)
        .collect();
    let mut seen = std::collections::HashSet::new();
    fitting.retain(|part_size| seen.insert(*part_size));
    fitting.truncate(MAX_SIZES);
    fitting
}

/// Hashes content in the ways in which its ETag may have been made.
pub(super) struct TagHasher {
    tag: ContentTag,
    guesses: Vec<Guess>,
}

struct Guess {
    part_size: u64,
    part: Md5,
    n_in_part: u64,
    /// The MD5 of the MD5s of the parts before.
    parts: Md5,
}

impl Guess {
    fn new(part_size: u64) -> Self {
        Self {
            part_size,
            part: Md5::new(),
            n_in_part: 0,
            parts: Md5::new(),
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.n_in_part == self.part_size {
                self.end_part();
            }
            let rest = self.part_size - self.n_in_part;
            let n = usize::try_from(rest).map_or(bytes.len(), |rest| rest.min(bytes.len()));
            self.part.update(&bytes[..n]);
            self.n_in_part += n as u64;
            bytes = &bytes[n..];
        }
    }

    fn end_part(&mut self) {
        self.parts.update(self.part.finalize_reset());
        self.n_in_part = 0;
    }
}

impl TagHasher {
    /// Whether there is any point in hashing.
    pub(super) fn is_possible(&self) -> bool {
        !self.guesses.is_empty()
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        for guess in &mut self.guesses {
            guess.update(bytes);
        }
    }

    /// Whether the content is that of the ETag.
    pub(super) fn matches(self) -> bool {
        self.guesses.into_iter().any(|mut guess| {
            let found = if self.tag.n_parts.is_some() {
                guess.end_part();
                guess.parts.finalize()
            } else {
                guess.part.finalize()
            };
            found[..] == self.tag.md5
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(n: u64) -> Vec<u8> {
        let n = usize::try_from(n).unwrap();
        let mut bytes = (0..251).collect::<Vec<u8>>().repeat(n.div_ceil(251));
        bytes.truncate(n);
        bytes
    }

    fn hex(digest: impl AsRef<[u8]>) -> String {
        format!("{:x}", ::bytes::Bytes::copy_from_slice(digest.as_ref()))
    }

    fn etag(content: &[u8], part_size: usize) -> String {
        let mut parts = Md5::new();
        for part in content.chunks(part_size) {
            parts.update(Md5::digest(part));
        }
        format!(
            "{}-{}",
            hex(parts.finalize()),
            content.len().div_ceil(part_size)
        )
    }

    fn is_same(etag: &str, content: &[u8]) -> bool {
        let tag = ContentTag::of(&ETag::of_header(etag)).unwrap();
        let mut hasher = tag.hasher(content.len() as u64);
        for piece in content.chunks(1_000_003) {
            hasher.update(piece);
        }
        hasher.matches()
    }

    #[test]
    fn content_is_recognised_whatever_the_uploader_s_parts() {
        let mut content = bytes(40 * MIB + 12_345);
        let whole = hex(Md5::digest(&content));
        let mib = 1 << 20;
        let etags: Vec<_> = [
            5 * mib,
            7 * mib,
            8 * mib,
            15 * mib,
            16 * mib,
            17_179_870,
            32 * mib,
            64 * mib,
        ]
        .map(|part_size| etag(&content, part_size))
        .into_iter()
        .chain([whole])
        .collect();
        for etag in &etags {
            assert!(is_same(etag, &content), "{etag}");
        }
        content[30 << 20] ^= 1;
        for etag in &etags {
            assert!(!is_same(etag, &content), "{etag}");
        }
    }

    #[test]
    fn small_and_empty_objects_have_one_part() {
        for content in [&b""[..], b"123456789"] {
            let one_part = format!("{}-1", hex(Md5::digest(Md5::digest(content))));
            assert!(is_same(&one_part, content), "{one_part}");
        }
        assert!(is_same("25f9e794323b453885f5181f1b624d0b", b"123456789"));
    }

    #[test]
    fn parts_of_unknown_sizes_are_not_guessed_for_ever() {
        for n_parts in [2, 3, 100, 10_000] {
            let sizes = part_sizes(5 << 40, n_parts);
            assert!(sizes.len() <= MAX_SIZES, "{n_parts}: {sizes:?}");
        }
        assert!(part_sizes(10, 5).is_empty());
    }

    #[test]
    fn other_etags_tell_nothing() {
        for etag in [
            "",
            "abc",
            "25f9e794323b453885f5181f1b624d0",
            "25f9e794323b453885f5181f1b624d0b-0",
            "25f9e794323b453885f5181f1b624d0b-",
            "25f9e794323b453885f5181f1b624d0b-1-1",
            "+5f9e794323b453885f5181f1b624d0b",
        ] {
            assert_eq!(ContentTag::of(&ETag::of_header(etag)), None, "{etag}");
        }
    }
}
