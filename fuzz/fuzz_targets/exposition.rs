#![no_main]

use openmetrics_parser::{openmetrics, prometheus};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let pages = pstree_fuzz::exposition::collect(data);
    // The other reader takes four times as long as all of ours, so some inputs are enough for it; which ones
    // depends on nothing but the input.
    if data.len() % 8 == 0 {
        for page in pages {
            prometheus::parse_prometheus(&page.text).unwrap_or_else(|error| panic!("{error}\n{}", page.text));
            openmetrics::parse_openmetrics(&page.openmetrics)
                .unwrap_or_else(|error| panic!("{error}\n{}", page.openmetrics));
        }
    }
});
