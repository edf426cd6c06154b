//! Whether the bytes are the object's: hashed as they pass, compared with what S3 returned.

use crc_fast::{CrcAlgorithm, Digest as Crc};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::outcome::{Class, ErrorCode, Failure, Verification};
use crate::s3::{Checksum, ChecksumAlgorithm};

/// Hashes an object's bytes in order, with the algorithm that S3's checksum asks for.
pub struct Verifier {
    expected: Option<(Hasher, Checksum)>,
    /// Bytes the object has, where the server said so.
    size: Option<u64>,
}

enum Hasher {
    /// With the bytes of its value.
    Crc(Crc, usize),
    Sha1(Sha1),
    Sha256(Sha256),
}

impl Verifier {
    pub fn new(checksum: Option<Checksum>, size: Option<u64>) -> Self {
        Self {
            expected: checksum.map(|checksum| (Hasher::new(checksum.algorithm), checksum)),
            size,
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        if let Some((hasher, _)) = &mut self.expected {
            hasher.update(bytes);
        }
    }

    /// The verdict on an object of which `n_bytes` arrived.
    ///
    /// # Errors
    /// A transient failure when length or checksum differ.
    pub fn finish(self, n_bytes: u64) -> Result<Verification, Failure> {
        if let Some(size) = self.size.filter(|&size| size != n_bytes) {
            let message = format!("the body has {n_bytes} bytes, the object {size}");
            return Err(Failure::new(
                ErrorCode::IncompleteBody,
                Class::Transient,
                message,
            ));
        }
        let Some((hasher, expected)) = self.expected else {
            return Ok(if self.size.is_some() {
                Verification::Length
            } else {
                Verification::Unverified
            });
        };
        let verification = verification(expected.algorithm);
        let found = hasher.finish();
        if found != expected.value {
            let message = format!(
                "{verification} of the body is `{}`, S3 says `{}`",
                hex(&found),
                hex(&expected.value)
            );
            return Err(Failure::new(
                ErrorCode::ChecksumMismatch,
                Class::Transient,
                message,
            ));
        }
        Ok(verification)
    }
}

impl Hasher {
    fn new(algorithm: ChecksumAlgorithm) -> Self {
        match algorithm {
            ChecksumAlgorithm::Crc64Nvme => Self::Crc(Crc::new(CrcAlgorithm::Crc64Nvme), 8),
            ChecksumAlgorithm::Crc32c => Self::Crc(Crc::new(CrcAlgorithm::Crc32Iscsi), 4),
            ChecksumAlgorithm::Crc32 => Self::Crc(Crc::new(CrcAlgorithm::Crc32IsoHdlc), 4),
            ChecksumAlgorithm::Sha256 => Self::Sha256(Sha256::new()),
            ChecksumAlgorithm::Sha1 => Self::Sha1(Sha1::new()),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Crc(crc, _) => crc.update(bytes),
            Self::Sha1(sha) => sha.update(bytes),
            Self::Sha256(sha) => sha.update(bytes),
        }
    }

    /// Big-endian, as long as S3's values are.
    fn finish(self) -> Vec<u8> {
        match self {
            Self::Crc(crc, width) => {
                let value = crc.finalize().to_be_bytes();
                value[value.len() - width..].to_vec()
            }
            Self::Sha1(sha) => sha.finalize().to_vec(),
            Self::Sha256(sha) => sha.finalize().to_vec(),
        }
    }
}

fn verification(algorithm: ChecksumAlgorithm) -> Verification {
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme => Verification::Crc64Nvme,
        ChecksumAlgorithm::Crc32c => Verification::Crc32c,
        ChecksumAlgorithm::Crc32 => Verification::Crc32,
        ChecksumAlgorithm::Sha256 => Verification::Sha256,
        ChecksumAlgorithm::Sha1 => Verification::Sha1,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |hex, byte| hex + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check values of the CRC catalogue and FIPS 180-4 for `123456789`.
    const CHECKS: [(ChecksumAlgorithm, &str); 5] = [
        (ChecksumAlgorithm::Crc64Nvme, "ae8b14860a799888"),
        (ChecksumAlgorithm::Crc32c, "e3069283"),
        (ChecksumAlgorithm::Crc32, "cbf43926"),
        (
            ChecksumAlgorithm::Sha256,
            "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
        ),
        (
            ChecksumAlgorithm::Sha1,
            "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
        ),
    ];

    fn verify(
        algorithm: ChecksumAlgorithm,
        value: Vec<u8>,
        body: &[u8],
    ) -> Result<Verification, Failure> {
        let mut verifier = Verifier::new(Some(Checksum { algorithm, value }), Some(9));
        for piece in body.chunks(4) {
            verifier.update(piece);
        }
        verifier.finish(body.len() as u64)
    }

    #[test]
    fn algorithms_give_their_published_check_values() {
        for (algorithm, expected) in CHECKS {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(b"1234");
            hasher.update(b"56789");
            assert_eq!(hex(&hasher.finish()), expected, "{algorithm:?}");
        }
    }

    #[test]
    fn a_flipped_bit_is_a_mismatch_and_a_missing_byte_an_incomplete_body() {
        for (algorithm, value) in CHECKS {
            let value: Vec<_> = (0..value.len())
                .step_by(2)
                .map(|i| u8::from_str_radix(&value[i..i + 2], 16).unwrap())
                .collect();
            assert!(verify(algorithm, value.clone(), b"123456789").is_ok());
            assert_eq!(
                verify(algorithm, value.clone(), b"123456788")
                    .unwrap_err()
                    .code,
                ErrorCode::ChecksumMismatch
            );
            assert_eq!(
                verify(algorithm, value, b"12345678").unwrap_err().code,
                ErrorCode::IncompleteBody
            );
        }
    }

    #[test]
    fn without_a_checksum_the_length_decides() {
        assert_eq!(
            Verifier::new(None, Some(3)).finish(3).unwrap(),
            Verification::Length
        );
        assert_eq!(
            Verifier::new(None, None).finish(3).unwrap(),
            Verification::Unverified
        );
        assert!(Verifier::new(None, Some(3)).finish(4).is_err());
    }
}
