#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|list: &[u8]| s3pull::fuzzing::key_list(list));
