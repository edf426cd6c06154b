//! Whether the bytes are the object's: hashed as they pass, compared with what S3 returned and with what the row says.

use crc_fast::{CrcAlgorithm, Digest as Crc, checksum_combine};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::fetch::plan::Plan;
use crate::options::VerifyMode;
use crate::outcome::{Class, ErrorCode, Failure, Verification};
use crate::printable::{count, number};
use crate::row::{RowAlgorithm, RowChecksum};
use crate::s3::{Checksum, ChecksumAlgorithm, GetResponse};

/// What the object's bytes are compared with: what its answer says of them, as far as `--verify` wants it, and its row.
#[derive(Debug, Clone, Default)]
pub(super) struct Expected {
    checksum: Option<Checksum>,
    md5: Option<[u8; 16]>,
    of_row: Vec<RowChecksum>,
    size: Option<u64>,
    /// Whether a checksum is to be known even if there is none to compare with.
    is_noted: bool,
}

/// What the object's bytes came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verified {
    pub verification: Verification,
    /// Those that were computed of them.
    pub checksums: Vec<RowChecksum>,
}

/// One checksum to compare with.
struct Claim<'a> {
    algorithm: RowAlgorithm,
    value: &'a [u8],
    source: Source,
}

/// Who says what the checksum is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Source {
    Checksum,
    Etag,
    Row,
}

impl Expected {
    pub(super) fn new(mode: VerifyMode, response: &GetResponse, row: &[RowChecksum]) -> Self {
        let checksum = response
            .checksum
            .clone()
            .filter(|_| mode != VerifyMode::Off);
        // With a checksum of S3's the MD5 would tell nothing more: where they disagree, the ETag is not an MD5. Without one it
        // tells whether a body was compressed on the way.
        let wants_md5 = match mode {
            VerifyMode::Etag => true,
            VerifyMode::Auto => response.is_encoded,
            VerifyMode::Off => false,
        };
        let md5 = response.md5.filter(|_| wants_md5 && checksum.is_none());
        let row = if mode == VerifyMode::Off { &[] } else { row };
        Self {
            checksum,
            md5,
            of_row: row.to_vec(),
            size: response.length,
            is_noted: false,
        }
    }

    /// Has a checksum computed even if there is none to compare with, where the run `takes_note` of it.
    pub(super) fn noted(self, takes_note: bool) -> Self {
        Self {
            is_noted: takes_note,
            ..self
        }
    }

    /// What the row says alone.
    pub(super) fn of_row(row: &[RowChecksum]) -> Self {
        Self {
            of_row: row.to_vec(),
            ..Self::default()
        }
    }

    /// S3's own first.
    fn claims(&self) -> impl Iterator<Item = Claim<'_>> {
        let of_s3 = self.checksum.iter().map(|checksum| Claim {
            algorithm: algorithm_of(checksum.algorithm),
            value: &checksum.value,
            source: Source::Checksum,
        });
        let of_etag = self.md5.iter().map(|md5| Claim {
            algorithm: RowAlgorithm::Md5,
            value: md5,
            source: Source::Etag,
        });
        let of_row = self.of_row.iter().map(|checksum| Claim {
            algorithm: checksum.algorithm,
            value: &checksum.value,
            source: Source::Row,
        });
        of_s3.chain(of_etag).chain(of_row)
    }

    /// The CRC whose values of the parts add up to the object's checksum, if there is one; else the fastest, for
    /// looking after the parts themselves.
    pub(super) fn part_algorithm(&self) -> CrcAlgorithm {
        crc_of(self.algorithm_of_parts()).unwrap_or(CrcAlgorithm::Crc64Nvme)
    }

    fn algorithm_of_parts(&self) -> RowAlgorithm {
        let mut algorithms = self.claims().map(|claim| claim.algorithm);
        let crc = algorithms.find(|algorithm| crc_of(*algorithm).is_some());
        crc.unwrap_or(RowAlgorithm::Crc64Nvme)
    }

    /// Whether the parts' CRCs cannot answer for the whole: then the whole must be hashed in order.
    pub(super) fn needs_one_stream(&self) -> bool {
        let of_parts = Some(self.part_algorithm());
        self.claims()
            .any(|claim| crc_of(claim.algorithm) != of_parts)
    }

    /// The verdict on an object of `plan` whose parts have these CRCs, in order.
    ///
    /// # Errors
    /// A failure when they add up to another checksum; transient unless S3's own checksum is right.
    pub(super) fn check_parts(&self, plan: &Plan, crcs: &[u64]) -> Result<Verified, Failure> {
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
        let verified = self.compare(|_| Some(&found))?;
        let algorithm = self.algorithm_of_parts();
        let checksum = || RowChecksum {
            algorithm,
            value: found[found.len() - algorithm.length()..].into(),
        };
        let is_wanted = self.is_noted || verified.is_some();
        Ok(Verified {
            verification: verified.unwrap_or(Verification::Length),
            checksums: is_wanted.then(checksum).into_iter().collect(),
        })
    }

    /// Compares each claim with the end of what was found for its algorithm. The row's checksum is the verdict, if there is
    /// one; `None` where nothing is claimed.
    fn compare<'f>(
        &self,
        found: impl Fn(RowAlgorithm) -> Option<&'f [u8]>,
    ) -> Result<Option<Verification>, Failure> {
        let mut verified = None;
        let mut is_vouched_for = false;
        for claim in self.claims() {
            // Everything that is claimed was hashed.
            let found = found(claim.algorithm).unwrap_or_default();
            let found = &found[found.len().saturating_sub(claim.value.len())..];
            if found != claim.value {
                return Err(claim.mismatch(found, is_vouched_for));
            }
            match claim.source {
                Source::Checksum => {
                    is_vouched_for = true;
                    verified = Some(claim.verification());
                }
                Source::Etag => verified = Some(claim.verification()),
                Source::Row if verified.is_none_or(|_| claim.is_first_of(&self.of_row)) => {
                    verified = Some(claim.verification());
                }
                Source::Row => {}
            }
        }
        Ok(verified)
    }
}

impl Claim<'_> {
    fn is_first_of(&self, row: &[RowChecksum]) -> bool {
        row.first()
            .is_some_and(|first| first.algorithm == self.algorithm)
    }

    fn verification(&self) -> Verification {
        match (self.algorithm, self.source) {
            (RowAlgorithm::Md5, Source::Etag) => Verification::EtagMd5,
            (RowAlgorithm::Md5, _) => Verification::Md5,
            (RowAlgorithm::Crc64Nvme, _) => Verification::Crc64Nvme,
            (RowAlgorithm::Crc32c, _) => Verification::Crc32c,
            (RowAlgorithm::Crc32, _) => Verification::Crc32,
            (RowAlgorithm::Sha256, _) => Verification::Sha256,
            (RowAlgorithm::Sha1, _) => Verification::Sha1,
        }
    }

    /// Bytes that S3's own checksum vouches for are the object's: to fetch them again changes nothing.
    fn mismatch(&self, found: &[u8], is_vouched_for: bool) -> Failure {
        let who = match self.source {
            Source::Checksum | Source::Etag => "S3",
            Source::Row => "the list",
        };
        let message = format!(
            "{} of the bytes is `{}`, {who} says `{}`",
            self.verification(),
            hex(found),
            hex(self.value)
        );
        let class = if is_vouched_for {
            Class::Permanent
        } else {
            Class::Transient
        };
        Failure::new(ErrorCode::ChecksumMismatch, class, message)
    }
}

fn algorithm_of(algorithm: ChecksumAlgorithm) -> RowAlgorithm {
    match algorithm {
        ChecksumAlgorithm::Crc64Nvme => RowAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Crc32c => RowAlgorithm::Crc32c,
        ChecksumAlgorithm::Crc32 => RowAlgorithm::Crc32,
        ChecksumAlgorithm::Sha256 => RowAlgorithm::Sha256,
        ChecksumAlgorithm::Sha1 => RowAlgorithm::Sha1,
    }
}

fn crc_of(algorithm: RowAlgorithm) -> Option<CrcAlgorithm> {
    match algorithm {
        RowAlgorithm::Crc64Nvme => Some(CrcAlgorithm::Crc64Nvme),
        RowAlgorithm::Crc32c => Some(CrcAlgorithm::Crc32Iscsi),
        RowAlgorithm::Crc32 => Some(CrcAlgorithm::Crc32IsoHdlc),
        RowAlgorithm::Sha256 | RowAlgorithm::Sha1 | RowAlgorithm::Md5 => None,
    }
}

/// Hashes an object's bytes in order, as its checksums ask for, and gives the verdict.
pub(super) struct Verifier {
    expected: Expected,
    /// One per algorithm.
    hashers: Vec<(RowAlgorithm, Hasher)>,
}

enum Hasher {
    /// The bytes of its value.
    Crc(Crc, usize),
    Sha1(Sha1),
    Sha256(Sha256),
    Md5(Md5),
}

impl Verifier {
    pub(super) fn new(expected: Expected) -> Self {
        let mut hashers: Vec<(RowAlgorithm, Hasher)> = Vec::new();
        for Claim { algorithm, .. } in expected.claims() {
            if !hashers.iter().any(|&(other, _)| other == algorithm) {
                hashers.push((algorithm, Hasher::new(algorithm)));
            }
        }
        if expected.is_noted && hashers.is_empty() {
            // The fastest.
            let algorithm = RowAlgorithm::Crc64Nvme;
            hashers.push((algorithm, Hasher::new(algorithm)));
        }
        Self { expected, hashers }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        for (_, hasher) in &mut self.hashers {
            hasher.update(bytes);
        }
    }

    /// The verdict on an object of which `n_bytes` arrived.
    ///
    /// # Errors
    /// A failure when length or checksum differ; transient unless S3's own checksum is right.
    pub(super) fn finish(self, n_bytes: u64) -> Result<Verified, Failure> {
        let Self { expected, hashers } = self;
        if let Some(size) = expected.size.filter(|&size| size != n_bytes) {
            let (body, object) = (count(n_bytes, "byte"), number(size));
            let message = format!("the body has {body}, the object {object}");
            return Err(Failure::new(
                ErrorCode::IncompleteBody,
                Class::Transient,
                message,
            ));
        }
        let found: Vec<_> = hashers
            .into_iter()
            .map(|(algorithm, hasher)| RowChecksum {
                algorithm,
                value: hasher.finish().into_boxed_slice(),
            })
            .collect();
        let verified = expected.compare(|wanted| {
            let found = found.iter().find(|found| found.algorithm == wanted)?;
            Some(&found.value)
        })?;
        let without = if expected.size.is_some() {
            Verification::Length
        } else {
            Verification::Unverified
        };
        Ok(Verified {
            verification: verified.unwrap_or(without),
            checksums: found,
        })
    }
}

impl Hasher {
    fn new(algorithm: RowAlgorithm) -> Self {
        match algorithm {
            RowAlgorithm::Crc64Nvme => Self::Crc(Crc::new(CrcAlgorithm::Crc64Nvme), 8),
            RowAlgorithm::Crc32c => Self::Crc(Crc::new(CrcAlgorithm::Crc32Iscsi), 4),
            RowAlgorithm::Crc32 => Self::Crc(Crc::new(CrcAlgorithm::Crc32IsoHdlc), 4),
            RowAlgorithm::Sha256 => Self::Sha256(Sha256::new()),
            RowAlgorithm::Sha1 => Self::Sha1(Sha1::new()),
            RowAlgorithm::Md5 => Self::Md5(Md5::new()),
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
mod tests;
