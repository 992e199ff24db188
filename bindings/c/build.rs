//! The name by which programs find the shared library again: libkamacite.so.ABI.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        // The same number as ABI_VERSION in src/status.rs; a test compares them.
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libkamacite.so.2");
    }
}
