//! What this machine can compute on, and why not on more.
//!
//! cargo run --example doctor
//!
//! Expected: one line each for the CPU, every GPU with what compiles its kernels, and the kernel cache.

fn main() {
    println!("{}", kamacite::doctor());
    println!("RESULT device={}", kamacite::Device::auto());
}
