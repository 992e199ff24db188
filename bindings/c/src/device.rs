//! What there is to compute on.

use crate::entry::{Answer, Fault, entry, give_text, optional_text, output};
use crate::status::kmc_status;
use kamacite::Device;
use kamacite::device::cpu::default_threads;
use std::ffi::c_char;

/// A device by its name, the CPU with this many threads (0: the default). None where the engine is to choose. "auto" is what the
/// environment names, which the engine would replace by the CPU with a word on standard error.
pub(crate) fn device(name: Option<&str>, threads: i32) -> Answer<Option<Device>> {
    let threads = usize::try_from(threads).map_err(|_| Fault::value("threads", "0 or more", threads))?;
    let named = std::env::var("KAMACITE_DEVICE").unwrap_or_default();
    let name = match name.unwrap_or("auto") {
        "auto" if !named.is_empty() => &named,
        name => name,
    };
    Ok(match (name, threads) {
        ("auto", 0) => None,
        ("cpu", n @ 1..) => Some(Device::cpu_threads(n)?),
        (name, n) => match (name.parse::<Device>().map_err(|e| e.at("device"))?, n) {
            (Device::Cpu(_), n @ 1..) => Some(Device::cpu_threads(n)?),
            (device, _) => Some(device),
        },
    })
}

/// The number of GPUs that can be used; 0 without a driver.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_device_count(out_gpus: *mut i32) -> kmc_status {
    entry("kmc_device_count", || {
        // SAFETY: the crate's contract.
        let out = unsafe { output(out_gpus, "out_gpus") }?;
        *out = (0..).take_while(|&i| Device::cuda(i).is_ok()).count() as i32;
        Ok(())
    })
}

/// What a device is: "cpu (8 threads, avx512)", "cuda:0 (NVIDIA H200, …)". NULL is "auto".
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_device_name(out: *mut *const c_char, device: *const c_char) -> kmc_status {
    entry("kmc_device_name", || {
        // SAFETY: the crate's contract.
        let name = unsafe { optional_text(device, "device") }?;
        let device = self::device(name, 0)?.unwrap_or_else(Device::auto);
        // SAFETY: as above.
        unsafe { give_text(out, &device.to_string()) }
    })
}

/// What this machine can compute on, and what keeps it from more, in a few lines.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_doctor(out: *mut *const c_char) -> kmc_status {
    // SAFETY: the crate's contract.
    entry("kmc_doctor", || unsafe { give_text(out, &kamacite::doctor()) })
}

/// The threads a CPU device has unless told otherwise: what the affinity of the process, its container and the environment allow.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kmc_default_threads(out: *mut i32) -> kmc_status {
    entry("kmc_default_threads", || {
        // SAFETY: the crate's contract.
        *unsafe { output(out, "out") }? = default_threads() as i32;
        Ok(())
    })
}
