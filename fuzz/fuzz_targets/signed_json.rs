#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| capnode::fuzzing::signed_json(data));
