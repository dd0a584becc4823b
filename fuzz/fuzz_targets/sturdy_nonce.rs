#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| capnode::fuzzing::sturdy_nonce(data));
