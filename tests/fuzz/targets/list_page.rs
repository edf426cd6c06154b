//! Any bytes as a page of a listing: it is read without a panic, and no key is taken that was not asked for.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| s3pull::fuzzing::read_page(bytes));
