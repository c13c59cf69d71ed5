#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| authz_service::fuzzing::revision(input));
