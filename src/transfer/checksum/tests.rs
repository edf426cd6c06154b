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
        of_row: Vec::new(),
        size,
        is_noted: false,
    }
}

fn verify(expected: Expected, body: &[u8]) -> Result<Verification, Failure> {
    Ok(verified(expected, body)?.verification)
}

fn verified(expected: Expected, body: &[u8]) -> Result<Verified, Failure> {
    let mut verifier = Verifier::new(expected);
    for piece in body.chunks(4) {
        verifier.update(piece);
    }
    verifier.finish(body.len() as u64)
}

#[test]
fn algorithms_give_their_published_check_values() {
    for (algorithm, expected) in CHECKS {
        let mut hasher = Hasher::new(algorithm_of(algorithm));
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

fn row(algorithm: RowAlgorithm, hex: &str) -> RowChecksum {
    RowChecksum::parse(algorithm, hex).unwrap()
}

/// The check values of the algorithms in a row.
fn row_checks() -> Vec<RowChecksum> {
    let mut checks: Vec<_> = CHECKS
        .iter()
        .map(|&(algorithm, hex)| row(algorithm_of(algorithm), hex))
        .collect();
    checks.push(row(RowAlgorithm::Md5, "25f9e794323b453885f5181f1b624d0b"));
    checks
}

#[test]
fn the_row_s_checksums_are_compared_too_and_are_the_verdict() {
    for of_row in row_checks() {
        for of_s3 in [None, Some(CHECKS[0]), Some(CHECKS[3])] {
            let expected = Expected {
                of_row: vec![of_row.clone()],
                ..expected(of_s3, None, Some(9))
            };
            let verdict = verify(expected.clone(), b"123456789").unwrap();
            assert_eq!(verdict.to_string(), of_row.algorithm.name());
            let failure = verify(expected, b"123456788").unwrap_err();
            assert_eq!(failure.code, ErrorCode::ChecksumMismatch);
            // S3's own checksum is compared first.
            assert_eq!(failure.class, Class::Transient, "{failure}");
        }
    }
}

#[test]
fn a_row_that_contradicts_bytes_for_which_s3_vouches_fails_for_good() {
    let wrong = row(RowAlgorithm::Crc32, "00000000");
    for (of_s3, class) in [
        (Some(CHECKS[0]), Class::Permanent),
        (None, Class::Transient),
    ] {
        let expected = Expected {
            of_row: vec![wrong.clone()],
            ..expected(of_s3, None, Some(9))
        };
        let failure = verify(expected, b"123456789").unwrap_err();
        assert_eq!(failure.class, class);
        assert_eq!(
            failure.message,
            "crc32 of the bytes is `cbf43926`, the list says `00000000`"
        );
    }
}

#[test]
fn parts_answer_for_a_row_s_crc_and_need_one_stream_for_anything_else() {
    for of_row in row_checks() {
        for of_s3 in [None, Some(CHECKS[1])] {
            let expected = Expected {
                of_row: vec![of_row.clone()],
                ..expected(of_s3, None, Some(9))
            };
            let of_parts = expected.part_algorithm();
            let is_covered = crc_of(of_row.algorithm) == Some(of_parts);
            assert_eq!(expected.needs_one_stream(), !is_covered);
            if !is_covered {
                continue;
            }
            let plan = Plan::new(9, 4);
            let crcs: Vec<_> = [&b"1234"[..], b"5678", b"9"]
                .iter()
                .map(|part| crc_fast::checksum(of_parts, part))
                .collect();
            let verdict = expected.check_parts(&plan, &crcs).unwrap();
            assert_eq!(verdict.verification.to_string(), of_row.algorithm.name());
            assert_eq!(verdict.checksums, std::slice::from_ref(&of_row));
            let wrong = [crcs[0], crcs[0], crcs[2]];
            assert!(expected.check_parts(&plan, &wrong).is_err());
        }
    }
}

#[test]
fn what_is_noted_is_what_was_computed_and_nothing_unless_it_is_wanted() {
    let parts = Plan::new(9, 4);
    let crcs_of = |expected: &Expected| -> Vec<u64> {
        let pieces = [&b"1234"[..], b"5678", b"9"].into_iter();
        let crc = |piece| crc_fast::checksum(expected.part_algorithm(), piece);
        pieces.map(crc).collect()
    };
    let checksums = |expected: Expected| {
        let whole = verified(expected.clone(), b"123456789").unwrap().checksums;
        if !expected.needs_one_stream() {
            let of_parts = expected.check_parts(&parts, &crcs_of(&expected)).unwrap();
            assert_eq!(of_parts.checksums, whole);
        }
        whole
    };
    for check in CHECKS {
        for takes_note in [false, true] {
            let expected = expected(Some(check), None, Some(9)).noted(takes_note);
            let of_row = row(algorithm_of(check.0), check.1);
            assert_eq!(checksums(expected), [of_row]);
        }
    }
    let nothing = expected(None, None, Some(9));
    assert_eq!(checksums(nothing.clone()), []);
    let crc = row(RowAlgorithm::Crc64Nvme, CHECKS[0].1);
    assert_eq!(checksums(nothing.noted(true)), [crc]);
}
