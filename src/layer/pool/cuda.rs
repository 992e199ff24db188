//! The kernels of pooling as passes use them.

use crate::device::{Cuda, Device, Divisor, Grid, Kernel, Layout, MAX_SIZE, Ptr, Source};
use crate::memory::{GradMode, Planner, Slot, Step};
use crate::op::packs;
use crate::op::pool::Geometry;
use crate::{Error, Result};
use bytemuck::{Pod, Zeroable};

const POOL: Source = Source::new("pool", include_str!("../../../kernels/pool.cu"));

/// Windows of more cells than this are shared by the threads of a block.
const LARGE: usize = 64;

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Pooling {
    x: Layout,
    y: Layout,
    stride: [Divisor; 3],
    size: [u32; 3],
    before: [u32; 3],
}

impl Pooling {
    fn new(p: &Planner<'_>, g: &Geometry, width: usize) -> Result<Self> {
        if let Device::Cpu(_) = p.device() {
            return Ok(Self::zeroed());
        }
        let w = &g.window;
        for axis in 0..3 {
            let reach = w.size[axis].max(g.x.space()[axis] + w.before[axis]);
            if reach > MAX_SIZE {
                return Err(Error::shape("", "the window is too large for a GPU").expected("fewer than 2^31 cells").got(reach));
            }
        }
        Ok(Self {
            x: Layout::new(g.x, width)?,
            y: Layout::new(g.y, width)?,
            // Longer strides leave one window, like this one.
            stride: w.stride.map(|n| Divisor::new(n.min(MAX_SIZE))),
            size: w.size.map(|n| n as u32),
            before: w.before.map(|n| n as u32),
        })
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct MaxArgs {
    from: Ptr,
    to: Ptr,
    winner: Ptr,
    n: u64,
    g: Pooling,
    add: u32,
    log_lanes: u32,
    large: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct AverageArgs {
    from: Ptr,
    to: Ptr,
    n: u64,
    g: Pooling,
    full: u32,
    whole: f32,
    add: u32,
    log_lanes: u32,
    unused: u32,
}

/// How threads are laid over a geometry, and the kernels of one kind of pooling for that.
#[derive(Debug)]
struct Kernels<A> {
    width: usize,
    packed: Pooling,
    single: Pooling,
    /// Of the kernel that gives a block to a window.
    log_lanes: Option<u32>,
    forward: Kernel<A>,
    backward: Kernel<A>,
}

impl<A: Pod + std::fmt::Debug> Kernels<A> {
    fn new(p: &Planner<'_>, g: &Geometry, kind: &str) -> Result<Self> {
        let width = packs::width(p, &[g.x.c]);
        // Up to 32 channels side by side, so that a warp reads whole lines; the other threads share the cells.
        let log_lanes = (g.window.taps() > LARGE).then(|| 8 - g.x.c.min(32).next_power_of_two().trailing_zeros());
        Ok(Self {
            width,
            packed: Pooling::new(p, g, width)?,
            single: Pooling::new(p, g, 1)?,
            log_lanes,
            forward: match log_lanes {
                Some(_) => p.typed_kernel(&POOL, &format!("{kind}_whole"))?,
                None => packs::kernel(p, &POOL, &format!("{kind}_forward"), width)?,
            },
            backward: packs::kernel(p, &POOL, &format!("{kind}_backward"), width)?,
        })
    }

    /// What a forward kernel works through, over which grid, with which geometry: blocks, or packs.
    fn forward(&self, g: &Geometry, rows: usize) -> (u64, Grid, Pooling) {
        match self.log_lanes {
            Some(log) => {
                let blocks = rows * g.y.area() * g.y.c.div_ceil(256 >> log);
                (blocks as u64, Grid::blocks(blocks.min(1 << 20)), self.single)
            }
            None => {
                let n = rows * g.y.len() / self.width;
                (n as u64, Grid::cover(n), self.packed)
            }
        }
    }

    fn backward(&self, g: &Geometry, rows: usize) -> (u64, Grid, Pooling) {
        let n = rows * g.x.len() / self.width;
        (n as u64, Grid::cover(n), self.packed)
    }
}

#[derive(Debug)]
pub(in crate::layer) struct MaxKernels(Kernels<MaxArgs>);

impl MaxKernels {
    pub fn new(p: &Planner<'_>, g: &Geometry) -> Result<Self> {
        Kernels::new(p, g, "max").map(Self)
    }

    /// Words of a sample that tell where the maxima came from: a byte for each, or a word where windows are large.
    pub fn winners(g: &Geometry) -> usize {
        if g.window.taps() > LARGE { g.y.len() } else { g.y.len().div_ceil(4) }
    }

    fn large(&self) -> u32 {
        u32::from(self.0.log_lanes.is_some())
    }

    pub fn forward(&self, cuda: &Cuda, g: &Geometry, s: &Step<'_>, x: Slot, y: Slot, winner: Option<Slot>) -> Result<()> {
        let (n, grid, packed) = self.0.forward(g, s.rows());
        let winner = winner.map_or(Ok(Ptr::NULL), |w| s.ptr(w))?;
        let (log_lanes, large) = (self.0.log_lanes.unwrap_or(0), self.large());
        let args = MaxArgs { from: s.ptr(x)?, to: s.ptr(y)?, winner, n, g: packed, add: 0, log_lanes, large };
        self.0.forward.launch(cuda, grid, &args)
    }

    pub fn backward(
        &self,
        cuda: &Cuda,
        g: &Geometry,
        s: &Step<'_>,
        dy: Slot,
        winner: Slot,
        (dx, mode): (Slot, GradMode),
    ) -> Result<()> {
        let (n, grid, packed) = self.0.backward(g, s.rows());
        let (from, to, winner) = (s.ptr(dy)?, s.ptr(dx)?, s.ptr(winner)?);
        let (add, large) = (u32::from(mode == GradMode::Add), self.large());
        let args = MaxArgs { from, to, winner, n, g: packed, add, log_lanes: 0, large };
        self.0.backward.launch(cuda, grid, &args)
    }
}

#[derive(Debug)]
pub(super) struct AverageKernels(Kernels<AverageArgs>);

impl AverageKernels {
    pub fn new(p: &Planner<'_>, g: &Geometry) -> Result<Self> {
        Kernels::new(p, g, "average").map(Self)
    }

    pub fn forward(&self, cuda: &Cuda, g: &Geometry, full: bool, s: &Step<'_>, x: Slot, y: Slot) -> Result<()> {
        let (n, grid, packed) = self.0.forward(g, s.rows());
        let log_lanes = self.0.log_lanes.unwrap_or(0);
        let args = AverageArgs { from: s.ptr(x)?, to: s.ptr(y)?, n, g: packed, log_lanes, ..counting(g, full) };
        self.0.forward.launch(cuda, grid, &args)
    }

    pub fn backward(
        &self,
        cuda: &Cuda,
        g: &Geometry,
        full: bool,
        s: &Step<'_>,
        dy: Slot,
        (dx, mode): (Slot, GradMode),
    ) -> Result<()> {
        let (n, grid, packed) = self.0.backward(g, s.rows());
        let add = u32::from(mode == GradMode::Add);
        let args = AverageArgs { from: s.ptr(dy)?, to: s.ptr(dx)?, n, g: packed, add, ..counting(g, full) };
        self.0.backward.launch(cuda, grid, &args)
    }
}

/// By what averages divide.
fn counting(g: &Geometry, full: bool) -> AverageArgs {
    AverageArgs { full: u32::from(full), whole: (1.0 / g.window.taps() as f64) as f32, ..Zeroable::zeroed() }
}
