#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| replay::reply_frame(bytes));
