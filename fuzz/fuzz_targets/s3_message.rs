#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| replay::s3_message(bytes));
