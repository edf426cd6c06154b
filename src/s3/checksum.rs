//! Checksums that S3 returns.

/// A checksum of a whole object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Checksum {
    pub algorithm: ChecksumAlgorithm,
    /// Big-endian; its length depends on the algorithm.
    pub value: Vec<u8>,
}

/// The checksum algorithms of S3 that a stream can be checked with, fastest and strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChecksumAlgorithm {
    Crc64Nvme,
    Crc32c,
    Crc32,
    Sha256,
    Sha1,
}

impl ChecksumAlgorithm {
    /// Length of a value in bytes.
    pub(super) fn length(self) -> usize {
        match self {
            Self::Crc64Nvme => 8,
            Self::Crc32c | Self::Crc32 => 4,
            Self::Sha256 => 32,
            Self::Sha1 => 20,
        }
    }
}
