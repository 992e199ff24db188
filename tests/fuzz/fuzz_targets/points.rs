#![no_main]

use kamacite::data::points;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = points::from_bytes(bytes);
});
