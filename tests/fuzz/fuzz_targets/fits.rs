#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../fits_input.rs"]
mod fits_input;

fuzz_target!(|bytes: &[u8]| {
    let _ = fits_input::read(bytes);
});
