//! Compiles every kernel without a GPU. `tests/nvrtc.sh` fetches the compilers and runs this.

pub mod compile;
pub mod mix;
pub mod sources;
pub mod status;
pub mod usage;

use kamacite::device::offline::Nvrtc;
use std::env;
use std::path::{Path, PathBuf};

/// Architectures of NVRTC 13: Turing to Blackwell.
pub const NEW: &[&str] = &["sm_75", "sm_80", "sm_86", "sm_89", "sm_90a", "sm_100", "sm_120"];
/// Those that only NVRTC 12 still knows: Pascal and Volta.
pub const OLD: &[&str] = &["sm_60", "sm_70"];
/// What the prebuilt image holds. Machine code of NVRTC 12 loads on drivers of CUDA 12 and 13. PTX is for cards that none of it
/// runs on: embedded systems, and what comes after Blackwell.
pub const IMAGE: &[&str] = &[
    "sm_60",
    "sm_70",
    "sm_75",
    "sm_80",
    "sm_86",
    "sm_87",
    "sm_89",
    "sm_90a",
    "sm_100",
    "sm_120",
    "compute_60",
    "compute_80",
    "compute_90",
];

/// The folder of the workspace.
pub fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The folder of build outputs.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from)
}

/// Where compilers and what they made are kept.
pub fn folder() -> PathBuf {
    env::var_os("KAMACITE_NVRTC_FOLDER").map_or_else(|| target().join("nvrtc"), PathBuf::from)
}

/// NVRTC 12 or 13, as `tests/nvrtc.sh` installs it.
pub fn compiler(major: i32) -> Result<Nvrtc, String> {
    let inside = if major == 12 { "cuda_nvrtc/lib/libnvrtc.so.12" } else { "cu13/lib/libnvrtc.so.13" };
    let pythons = std::fs::read_dir(folder().join("lib")).into_iter().flatten().flatten();
    let mut files = pythons.map(|entry| entry.path().join("site-packages/nvidia").join(inside));
    let file = files.find(|file| file.exists());
    file.and_then(|file| Nvrtc::load(&file)).ok_or_else(|| format!("no {inside} in {}", folder().display()))
}
