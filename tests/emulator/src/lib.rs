//! One shared library that is at once a CUDA driver and NVRTC, both on the CPU: the product's host code and kernels run
//! unchanged, without a GPU. See README.md.

use std::path::Path;

/// The library, or a sentence that says why there is none.
pub fn library() -> Result<&'static Path, &'static str> {
    match env!("KAMACITE_EMULATOR_LIBRARY") {
        "" => Err(env!("KAMACITE_EMULATOR_MISSING")),
        path => Ok(Path::new(path)),
    }
}

/// The environment in which kamacite takes the emulator for a GPU: the driver, the compiler, and a cache of compiled kernels
/// beside the library. Set it before the first use of `Device::cuda`.
pub fn environment() -> Result<[(&'static str, &'static Path); 3], &'static str> {
    let library = library()?;
    let cache = Path::new(env!("KAMACITE_EMULATOR_CACHE"));
    Ok([("KAMACITE_CUDA_DRIVER", library), ("KAMACITE_NVRTC", library), ("KAMACITE_CACHE", cache)])
}
