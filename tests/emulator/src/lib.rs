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

/// The environment in which kamacite takes the emulator for a GPU. Set it before the first use of `Device::cuda`.
pub fn environment() -> Result<[(&'static str, &'static Path); 2], &'static str> {
    let library = library()?;
    Ok([("KAMACITE_CUDA_DRIVER", library), ("KAMACITE_NVRTC", library)])
}
