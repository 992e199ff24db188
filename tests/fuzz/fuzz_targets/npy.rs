#![no_main]

use kamacite::data::npy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(a) = npy::from_bytes(bytes) {
        let _ = (a.to_f32(), a.to_labels(), a.samples());
    }
});
