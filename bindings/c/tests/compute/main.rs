//! Low-level compute through the C functions: against loops, against each other, and every misuse that can be detected.

mod calls;
mod products;
mod values;
mod windows;

use kamacite_capi::compute::random::kmc_random_uniform_f32;
use kamacite_capi::status::{kmc_last_error, kmc_status};
use std::ffi::CStr;

fn last_error() -> String {
    // SAFETY: never NULL, valid until the next failing call of this thread.
    unsafe { CStr::from_ptr(kmc_last_error()) }.to_str().unwrap().to_string()
}

fn ok(status: kmc_status) {
    assert_eq!(status, kmc_status::KMC_OK, "{}", last_error());
}

/// A refusal with its status, whose sentence names the function and the argument.
fn refused(got: kmc_status, expected: kmc_status, words: &[&str]) {
    assert_eq!(got, expected, "{}", last_error());
    let sentence = last_error();
    assert!(words.iter().all(|word| sentence.contains(word)), "{sentence:?} lacks one of {words:?}");
}

fn numbers(n: usize, seed: u64) -> Vec<f32> {
    let mut x = vec![0.0; n];
    // SAFETY: room for n.
    ok(unsafe { kmc_random_uniform_f32(x.as_mut_ptr(), n as i64, -1.0, 1.0, seed) });
    x
}

fn near(a: &[f32], b: &[f32], bound: f32) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= bound * (1.0 + b.abs()))
}
