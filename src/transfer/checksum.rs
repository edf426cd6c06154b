//! Whether the bytes are the object's: hashed as they pass, compared with what S3 returned.

use crc_fast::{CrcAlgorithm, Digest as Crc, checksum_combine};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::fetch::plan::Plan;
use crate::options::VerifyMode;
use crate::outcome::{Class, ErrorCode, Failure, Verification};
use crate::s3::{Checksum, ChecksumAlgorithm, GetResponse};

/// What an answer says of its object's bytes, as far as `--verify` wants it compared.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    checksum: Option<Checksum>,
    md5: Option<[u8; 16]>,
    size: Option<u64>,
}

impl Expected {
    pub fn new(mode: VerifyMode, response: &GetResponse) -> Self {
        let checksum = response
            .checksum
            .clone()
            .filter(|_| mode != VerifyMode::Off);
        // With a checksum of S3's the MD5 would tell nothing more: where they disagree, the ETag is not an MD5.
        let md5 = response
            .md5
            .filter(|_| mode == VerifyMode::Etag && checksum.is_none());
        Self {
            checksum,
            md5,
            size: response.length,
        }
    }

    /// The CRC whose values of the parts add up to the object's checksum, if there is one; else the fastest, for
    /// looking after the parts themselves.
    pub fn part_algorithm(&self) -> CrcAlgorithm {
        match self.checksum.as_ref().map(|checksum| checksum.algorithm) {
            Some(ChecksumAlgorithm::Crc32c) => CrcAlgorithm::Crc32Iscsi,
            Some(ChecksumAlgorithm::Crc32) => CrcAlgorithm::Crc32IsoHdlc,
            _ => CrcAlgorithm::Crc64Nvme,
        }
    }

    /// Whether the parts' CRCs cannot answer for the whole: then the whole must be hashed in order.
    pub fn needs_one_stream(&self) -> bool {
        let is_sha = |checksum: &Checksum| {
            matches!(
                checksum.algorithm,
                ChecksumAlgorithm::Sha1 | ChecksumAlgorithm::Sha256
            )
        };
        self.md5.is_some() || self.checksum.as_ref().is_some_and(is_sha)
    }

    /// The verdict on an object of `plan` whose parts have these CRCs, in order.
    ///
    /// # Errors
    /// A transient failure when they add up to another checksum.
    pub fn check_parts(&self, plan: &Plan, crcs: &[u64]) -> Result<Verification, Failure> {
        let Some(expected) = &self.checksum else {
            return Ok(Verification::Length);
        };
        let combined = crcs.iter().enumerate().fold(0, |sum, (index, &crc)| {
            let range = plan.range(index);
            let length = range.end - range.start;
            if index == 0 {
                crc
            } else {
                checksum_combine(self.part_algorithm(), sum, crc, length)
            }
        });
        let found = combined.to_be_bytes();
        compare(expected, &found[found.len() - expected.value.len()..])
    }
}

fn compare(expected: &Checksum, found: &[u8]) -> Result<Verification, Failure> {
    let verification = match expected.algorithm {
        ChecksumAlgorithm::Crc64Nvme => Verification::Crc64Nvme,
        ChecksumAlgorithm::Crc32c => Verification::Crc32c,
        ChecksumAlgorithm::Crc32 => Verification::Crc32,
        ChecksumAlgorithm::Sha256 => Verification::Sha256,
        ChecksumAlgorithm::Sha1 => Verification::Sha1,
    };
    if found != expected.value {
        return Err(mismatch(verification, found, &expected.value));
    }
    Ok(verification)
}

fn mismatch(verification: Verification, found: &[u8], expected: &[u8]) -> Failure {
    let message = format!(
        "{verification} of the bytes is `{}`, S3 says `{}`",
        hex(found),
        hex(expected)
    );
    Failure::new(ErrorCode::ChecksumMismatch, Class::Transient, message)
}

/// Hashes an object's bytes in order, as its checksum asks for, and gives the verdict.
pub struct Verifier {
    expected: Expected,
    hasher: Option<Hasher>,
}

enum Hasher {
    /// The bytes of its value.
    Crc(Crc, usize),
    Sha1(Sha1),
    Sha256(Sha256),
    Md5(Md5),
}

impl Verifier {
    pub fn new(expected: Expected) -> Self {
        let of_checksum = expected
            .checksum
            .as_ref()
            .map(|checksum| Hasher::new(checksum.algorithm));
        let hasher = of_checksum.or_else(|| expected.md5.map(|_| Hasher::Md5(Md5::new())));
        Self { expected, hasher }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
    }

    /// The verdict on an object of which `n_bytes` arrived.
    ///
    /// # Errors
    /// A transient failure when length or checksum differ.
    pub fn finish(self, n_bytes: u64) -> Result<Verification, Failure> {
        let Self { expected, hasher } = self;
        if let Some(size) = expected.size.filter(|&size| size != n_bytes) {
            let message = format!("the body has {n_bytes} bytes, the object {size}");
            return Err(Failure::new(
                ErrorCode::IncompleteBody,
                Class::Transient,
                message,
            ));
        }
        let Some(found) = hasher.map(Hasher::finish) else {
            return Ok(if expected.size.is_some() {
                Verification::Length
            } else {
                Verification::Unverified
            });
        };
        match (&expected.checksum, expected.md5) {
            (Some(checksum), _) => compare(checksum, &found),
            (None, Some(md5)) if md5 != found[..] => {
                Err(mismatch(Verification::EtagMd5, &found, &md5))
            }
            (None, _) => Ok(Verification::EtagMd5),
        }
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
            Self::Md5(md5) => md5.update(bytes),
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
            Self::Md5(md5) => md5.finalize().to_vec(),
        }
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

    fn bytes_of(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect()
    }

    fn expected(
        checksum: Option<(ChecksumAlgorithm, &str)>,
        md5: Option<[u8; 16]>,
        size: Option<u64>,
    ) -> Expected {
        let checksum = checksum.map(|(algorithm, value)| Checksum {
            algorithm,
            value: bytes_of(value),
        });
        Expected {
            checksum,
            md5,
            size,
        }
    }

    fn verify(expected: Expected, body: &[u8]) -> Result<Verification, Failure> {
        let mut verifier = Verifier::new(expected);
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
        for check in CHECKS {
            let expected = || expected(Some(check), None, Some(9));
            assert!(verify(expected(), b"123456789").is_ok());
            assert_eq!(
                verify(expected(), b"123456788").unwrap_err().code,
                ErrorCode::ChecksumMismatch
            );
            assert_eq!(
                verify(expected(), b"12345678").unwrap_err().code,
                ErrorCode::IncompleteBody
            );
        }
    }

    #[test]
    fn an_md5_is_compared_where_it_is_all_there_is() {
        let md5 = bytes_of("25f9e794323b453885f5181f1b624d0b")
            .try_into()
            .unwrap();
        assert_eq!(
            verify(expected(None, Some(md5), Some(9)), b"123456789").unwrap(),
            Verification::EtagMd5
        );
        assert!(verify(expected(None, Some(md5), Some(9)), b"123456788").is_err());
    }

    #[test]
    fn without_a_checksum_the_length_decides() {
        assert_eq!(
            verify(expected(None, None, Some(3)), b"123").unwrap(),
            Verification::Length
        );
        assert_eq!(
            verify(expected(None, None, None), b"123").unwrap(),
            Verification::Unverified
        );
        assert!(verify(expected(None, None, Some(3)), b"1234").is_err());
    }

    #[test]
    fn crcs_of_parts_add_up_to_the_object_s() {
        for check in &CHECKS[..3] {
            let expected = expected(Some(*check), None, Some(9));
            let algorithm = expected.part_algorithm();
            for part_size in [1, 2, 4, 8, 9, 100] {
                let plan = Plan::new(9, part_size);
                let parts = b"123456789".chunks(usize::try_from(plan.part_size).unwrap());
                let mut crcs: Vec<_> = parts
                    .map(|part| crc_fast::checksum(algorithm, part))
                    .collect();
                assert!(
                    expected.check_parts(&plan, &crcs).is_ok(),
                    "{check:?} in parts of {part_size}"
                );
                crcs.reverse();
                let is_symmetric = crcs.len() == 1;
                assert_eq!(
                    expected.check_parts(&plan, &crcs).is_ok(),
                    is_symmetric,
                    "{check:?} in parts of {part_size}"
                );
            }
        }
    }
}
