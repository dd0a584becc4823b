#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| capnode_model::run(data));
