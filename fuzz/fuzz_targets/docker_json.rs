#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| pstree_fuzz::docker_json::check(data));
