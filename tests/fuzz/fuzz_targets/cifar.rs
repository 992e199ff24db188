#![no_main]

use kamacite::data::cifar::{Variant, from_bytes};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for variant in [Variant::Ten, Variant::Coarse, Variant::Fine] {
        let _ = from_bytes(bytes, variant);
    }
});
