#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| replay::spool_entry(bytes));
