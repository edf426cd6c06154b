#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|key: &str| s3pull::fuzzing::key_path(key));
