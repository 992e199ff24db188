//! A GPU for unit tests: a real one, or the emulator on any machine with a C++ compiler.
#![allow(unsafe_code)]

use super::Device;
use std::sync::OnceLock;

/// The GPU of this machine, or what `KAMACITE_CUDA_DRIVER` leads to, or the emulated one. Without any the test is left out, and says so.
pub fn gpu() -> Option<Device> {
    static OPENED: OnceLock<Result<Device, String>> = OnceLock::new();
    let open = || -> Result<Device, String> {
        if !cfg!(feature = "cuda") {
            return Err("built without the feature cuda".into());
        }
        let real = ["/dev/nvidiactl", "/dev/dxg"].iter().any(|file| std::path::Path::new(file).exists());
        if !real && std::env::var_os("KAMACITE_CUDA_DRIVER").is_none() {
            // First of all the choice of the other tests, which want the CPU.
            let chosen = std::env::var_os("KAMACITE_DEVICE").unwrap_or_else(|| "cpu".into());
            // SAFETY: these three are read by this crate alone, under the lock of the standard library.
            unsafe { std::env::set_var("KAMACITE_DEVICE", chosen) };
            for (name, value) in kamacite_emulator::environment()? {
                // SAFETY: as above.
                unsafe { std::env::set_var(name, value) };
            }
        }
        Device::cuda(0).map_err(|e| e.to_string())
    };
    match OPENED.get_or_init(open) {
        Ok(device) => Some(device.clone()),
        Err(e) => {
            let required = std::env::var("KAMACITE_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|what| what == "gpu"), "KAMACITE_REQUIRE: no gpu: {e}");
            eprintln!("SKIPPED gpu: {e}");
            None
        }
    }
}
