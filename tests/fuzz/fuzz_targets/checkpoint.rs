#![no_main]

use kamacite::{Checkpoint, Device, Registry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(c) = Checkpoint::from_bytes(bytes) {
        let device = Device::cpu_threads(1).expect("one thread");
        let _ = (c.model(&Registry::standard(), device), c.to_bytes());
    }
});
