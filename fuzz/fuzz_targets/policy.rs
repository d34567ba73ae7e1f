#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| purlin_fuzz::parse("policy", bytes));
