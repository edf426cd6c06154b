//! The checksums that a row of a list gives for its object.

use std::fmt;

use base64_simd::STANDARD;

/// The algorithms of a list's checksum columns, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RowAlgorithm {
    Sha256,
    Sha1,
    Md5,
    Crc64Nvme,
    Crc32c,
    Crc32,
}

impl RowAlgorithm {
    /// All of them, in the order of the failed-keys CSV.
    pub const ALL: [Self; 6] = [
        Self::Md5,
        Self::Sha256,
        Self::Sha1,
        Self::Crc32,
        Self::Crc32c,
        Self::Crc64Nvme,
    ];

    /// The name of its column.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha1 => "sha1",
            Self::Md5 => "md5",
            Self::Crc64Nvme => "crc64nvme",
            Self::Crc32c => "crc32c",
            Self::Crc32 => "crc32",
        }
    }

    /// Length of a value in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha1 => 20,
            Self::Md5 => 16,
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
        }
    }
}

/// A checksum of a whole object, as its row gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RowChecksum {
    pub algorithm: RowAlgorithm,
    /// Big-endian; its length depends on the algorithm.
    pub value: Box<[u8]>,
}

impl RowChecksum {
    /// Parses hex, as `sha256sum` prints it, or base64, as S3 does. The two cannot be confused: their
    /// lengths differ, or the base64 ends in `=`.
    /// Returns `None` for any other text, such as the composite checksum of a multipart upload, which ends in `-N`.
    pub fn parse(algorithm: RowAlgorithm, text: &str) -> Option<Self> {
        let length = algorithm.length();
        let text = text.trim_matches([' ', '"']);
        let of_hex = (text.len() == 2 * length).then(|| from_hex(text)).flatten();
        let value = of_hex.or_else(|| STANDARD.decode_to_vec(text).ok())?;
        let value = (value.len() == length).then_some(value)?;
        Some(Self {
            algorithm,
            value: value.into_boxed_slice(),
        })
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| {
        let digit = char::from(byte).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    let pairs = text.as_bytes().chunks_exact(2);
    pairs
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
}

impl fmt::Display for RowChecksum {
    /// Writes the value in hex.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_and_base64_are_read_and_hex_is_written() {
        for (algorithm, text, hex) in [
            (
                RowAlgorithm::Md5,
                "JfnnlDI7RTiF9RgfG2JNCw==",
                "25f9e794323b453885f5181f1b624d0b",
            ),
            (
                RowAlgorithm::Md5,
                "25F9E794323B453885F5181F1B624D0B",
                "25f9e794323b453885f5181f1b624d0b",
            ),
            (RowAlgorithm::Crc32, "y/Q5Jg==", "cbf43926"),
            (RowAlgorithm::Crc32c, " \"e3069283\" ", "e3069283"),
            (RowAlgorithm::Crc64Nvme, "rosUhgp5mIg=", "ae8b14860a799888"),
            (
                RowAlgorithm::Sha1,
                "98O8HYCOBHMq32eZZczDTKeuNEE=",
                "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
            ),
        ] {
            let read = RowChecksum::parse(algorithm, text).unwrap();
            assert_eq!(read.to_string(), hex, "{text}");
            assert_eq!(RowChecksum::parse(algorithm, hex), Some(read), "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_checksums() {
        for (algorithm, text) in [
            (RowAlgorithm::Md5, "25f9e794323b453885f5181f1b624d0b-3"),
            (RowAlgorithm::Md5, "25f9e794323b453885f5181f1b624d0"),
            (RowAlgorithm::Sha256, "25f9e794323b453885f5181f1b624d0b"),
            (RowAlgorithm::Crc32, "cbf4392é"),
            (RowAlgorithm::Crc32, "+bf43926"),
            (RowAlgorithm::Crc32, "y/Q5Jg==-2"),
            (RowAlgorithm::Crc32c, "0"),
        ] {
            assert_eq!(RowChecksum::parse(algorithm, text), None, "{text}");
        }
    }
}
