#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| vnode_fuzz::zip::run(bytes));
