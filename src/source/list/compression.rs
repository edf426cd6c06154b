//! Recognises compressed lists by their first bytes, whatever their name, and decompresses them.

use std::fmt;
use std::io::{self, BufReader, ErrorKind, Read};

use flate2::bufread::MultiGzDecoder;

/// How a list is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// Recognises the magic numbers of RFC 1952, 2.3.1, and RFC 8878, 3.1.1.
    pub fn of(start: &[u8]) -> Option<Self> {
        if start.starts_with(b"\x1f\x8b") {
            Some(Self::Gzip)
        } else if start.starts_with(b"\x28\xb5\x2f\xfd") {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Returns a reader that decompresses all members or frames of `input`. The window of a decoder is bounded: 32 KiB for
    /// gzip, and up to 128 MiB for a Zstandard frame that requires it.
    pub fn decoder<'a>(self, input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let input = BufReader::with_capacity(super::format::READ_SIZE, input);
        Ok(match self {
            Self::Gzip => Box::new(Decoder(self, MultiGzDecoder::new(input))),
            Self::Zstd => Box::new(Decoder(self, zstd::Decoder::with_buffer(input)?)),
        })
    }
}

/// Says what is wrong with the data where the library only names the kind of the error.
struct Decoder<R>(Compression, R);

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self(compression, input) = self;
        input.read(buffer).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => io::Error::new(
                ErrorKind::UnexpectedEof,
                format!("its {compression} data is cut off: copy the list again"),
            ),
            kind @ (ErrorKind::InvalidInput | ErrorKind::InvalidData) => io::Error::new(
                kind,
                format!("its {compression} data is damaged ({error}): copy the list again"),
            ),
            _ => error,
        })
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use crate::source::testing::{failure, rows};

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn all_members_and_frames_are_read() {
        let expected = ["a", "b", "c"].map(|key| Ok(key.to_owned()));
        let members = [gzip(b"a\nb\n"), gzip(b"c\n")].concat();
        assert_eq!(rows(&members, "auto", ""), expected);
        let frames = [&b"a\n"[..], b"b\nc\n"].map(|text| zstd::encode_all(text, 0).unwrap());
        assert_eq!(rows(&frames.concat(), "lines", ""), expected);
    }

    #[test]
    fn format_and_line_endings_are_detected_after_decompression() {
        let found = rows(&gzip(b"\xef\xbb\xbfkey,size\r\n\" a\",1\r\n"), "auto", "");
        assert_eq!(found, [Ok(" a".to_owned())]);
    }

    #[test]
    fn a_truncated_list_is_an_error_and_not_a_short_list() {
        let list: Vec<u8> = (0..50_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect();
        for whole in [gzip(&list), zstd::encode_all(&list[..], 0).unwrap()] {
            let message = failure(&whole[..whole.len() - 9], "auto");
            assert!(message.contains("data is cut off"), "{message}");
            let garbage = [&whole[..], b"garbage"].concat();
            let message = failure(&garbage, "auto");
            assert!(message.contains("cannot read the key list"), "{message}");
        }
    }
}
