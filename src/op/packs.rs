//! Kernels whose threads each move a pack of neighbouring channels: 16 bytes of them where their number allows it, else one.

use crate::device::{Device, Kernel, Layout, Source};
use crate::memory::Planner;
use crate::{Extent, Result};
use bytemuck::{Pod, Zeroable};

/// Channels in a pack, where each of these numbers of channels must consist of whole packs.
pub(crate) fn width(p: &Planner<'_>, channels: &[usize]) -> usize {
    let most = 16 / p.dtype().bytes();
    if channels.iter().all(|c| c % most == 0) { most } else { 1 }
}

/// The variant of a kernel for packs of this width: `name` or `name_wide`.
pub(crate) fn kernel<A: Pod + std::fmt::Debug>(p: &Planner<'_>, source: &Source, name: &str, width: usize) -> Result<Kernel<A>> {
    p.typed_kernel(source, &format!("{name}{}", if width > 1 { "_wide" } else { "" }))
}

/// The sizes of `x` in packs of this width. Plans for the CPU, which have no kernels, get an empty one.
pub(crate) fn layout(p: &Planner<'_>, x: Extent, width: usize) -> Result<Layout> {
    match p.device() {
        Device::Cpu(_) => Ok(Layout::zeroed()),
        Device::Cuda(_) => Layout::new(x, width),
    }
}
