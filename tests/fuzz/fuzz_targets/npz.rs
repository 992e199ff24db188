#![no_main]

use kamacite::data::npz::Npz;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(npz) = Npz::from_bytes(bytes) {
        let mut npz = npz.limit(1 << 20);
        for name in npz.names().into_iter().take(16) {
            let _ = npz.array(&name).and_then(|a| a.to_f32());
        }
    }
});
