//! Any bytes as a reply: its head is read without a panic, and so is the body of an error.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| s3pull::fuzzing::read_reply(bytes));
