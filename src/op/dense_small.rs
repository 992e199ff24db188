//! Fully connected layers on few rows on a GPU: one launch forward, one backward, by `kernels/dense_small.cu`.
//!
//! A product of matrices would leave most of the GPU idle there, and a step would be little more than the latencies of its
//! launches. How the depth of a tile is cut into parts follows from the planned sizes alone, so equal plans give equal bits.

use super::activation_cuda::CudaActivation;
use crate::device::{Cuda, Grid, Kernel, Ptr, Source};
use crate::loss::{Logits, LossIo};
use crate::memory::{GradMode, Planner, Slot, Step};
use crate::{DType, Precision, Result};
use bytemuck::{Pod, Zeroable};

/// Sides of a tile of y and of dx; rows and columns of a tile of dW.
const TILE: usize = 16;
const WEIGHTS: (usize, usize) = (64, 32);
/// Columns of db of a block.
const COLUMNS: usize = 32;
/// Blocks that keep a large GPU busy, and the least depth that is worth one.
const BLOCKS: usize = 264;
const DEPTH: usize = 128;

/// The most rows.
const ROWS: usize = 128;

/// Whether a layer of `n` units on `k` inputs and at most `m` rows is small.
pub(crate) fn fits([m, n, k]: [usize; 3], precision: Precision) -> bool {
    // Some microseconds of ordinary arithmetic. Tensor cores pay earlier.
    let most = if matches!(precision, Precision::FP32 | Precision::FP64) { 1 << 26 } else { 1 << 25 };
    m <= ROWS && n < 1 << 24 && k < 1 << 24 && m.saturating_mul(n).saturating_mul(k) <= most
}

/// As `Split` in `dense_small.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Split {
    sums: Ptr,
    arrived: Ptr,
    length: u32,
    parts: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct DenseArgs {
    x: Ptr,
    w: Ptr,
    bias: Ptr,
    y: Ptr,
    z: Ptr,
    split: Split,
    m: u32,
    n: u32,
    k: u32,
    across: u32,
    act: CudaActivation,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct LossArgs {
    dense: DenseArgs,
    t: Ptr,
    label: Ptr,
    dy: Ptr,
    weight: Ptr,
    value: Ptr,
    control: Ptr,
    done: Ptr,
    scale: f64,
    factor: f64,
    weights: Ptr,
    keep: f32,
    spread: f32,
    first: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct GradientArgs {
    x: Ptr,
    w: Ptr,
    dy: Ptr,
    saved: Ptr,
    dx: Ptr,
    dw: Ptr,
    db: Ptr,
    split: Split,
    m: u32,
    n: u32,
    k: u32,
    blocks: [u32; 2],
    across: [u32; 2],
    add_dx: u32,
    add_dw: u32,
    add_db: u32,
    act: CudaActivation,
}

/// How the sums of a tile are cut.
#[derive(Clone, Copy, Debug)]
struct Cut {
    length: usize,
    parts: usize,
}

impl Cut {
    /// Of tiles this many, of this depth.
    fn new(tiles: usize, depth: usize) -> Self {
        let wanted = (BLOCKS / tiles.max(1)).min(depth / DEPTH).max(1);
        let length = depth.div_ceil(wanted).next_multiple_of(4);
        Self { length, parts: depth.div_ceil(length).max(1) }
    }

    /// Floats of workspace.
    fn work(self, tiles: usize) -> usize {
        if self.parts == 1 { 0 } else { tiles * self.parts * TILE * TILE }
    }

    fn split(self, (sums, arrived): (Ptr, Ptr)) -> Split {
        Split { sums, arrived, length: self.length as u32, parts: self.parts as u32 }
    }
}

/// What a forward pass reads and writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forward {
    pub x: Ptr,
    pub w: Ptr,
    /// Null for none.
    pub bias: Ptr,
    pub y: Ptr,
    /// Where to keep what the activation is applied to, or null.
    pub z: Ptr,
    pub act: CudaActivation,
}

/// What a backward pass reads, and where it writes: only what is wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backward {
    pub x: Ptr,
    pub w: Ptr,
    pub dy: Ptr,
    /// y, or what the activation was applied to.
    pub saved: Ptr,
    pub act: CudaActivation,
    pub dx: Option<(Ptr, GradMode)>,
    pub dw: Option<(Ptr, GradMode)>,
    pub db: Option<(Ptr, GradMode)>,
}

/// A planned layer.
#[derive(Debug)]
pub(crate) struct DenseSmall {
    n: usize,
    k: usize,
    forward: Kernel<DenseArgs>,
    backward: Option<Kernel<GradientArgs>>,
    cuts: [Cut; 2],
    sums: Option<Slot>,
    /// Counters, which every launch leaves at 0.
    arrived: Option<Slot>,
}

impl DenseSmall {
    /// For at most `m` rows.
    pub fn plan([m, n, k]: [usize; 3], p: &mut Planner<'_>) -> Result<Self> {
        let tiles = [tiles(m, n), tiles(m, k)];
        let differentiable = p.mode().differentiable();
        let cuts = [Cut::new(tiles[0], k), Cut::new(tiles[1], n)];
        let work = cuts[0].work(tiles[0]).max(if differentiable { cuts[1].work(tiles[1]) } else { 0 });
        Ok(Self {
            n,
            k,
            forward: p.typed_kernel(&SMALL, "dense_forward")?,
            backward: differentiable.then(|| p.typed_kernel(&SMALL, "dense_backward")).transpose()?,
            cuts,
            sums: (work > 0).then(|| p.scratch(DType::F32, work)),
            // Memory of an arena is 0 at first.
            arrived: (work > 0).then(|| p.lasting(DType::U32, tiles[0].max(tiles[1]))),
        })
    }

    fn shared(&self, s: &Step<'_>) -> Result<(Ptr, Ptr)> {
        let ptr = |slot: Option<Slot>| slot.map_or(Ok(Ptr::NULL), |slot| s.ptr(slot));
        Ok((ptr(self.sums)?, ptr(self.arrived)?))
    }

    /// y = act(x·W + b) of the step's rows.
    pub fn forward(&self, s: &Step<'_>, cuda: &Cuda, of: &Forward) -> Result<()> {
        let (args, grid) = self.args(s.rows(), of, self.shared(s)?);
        self.forward.launch(cuda, grid, &args)
    }

    fn args(&self, m: usize, of: &Forward, shared: (Ptr, Ptr)) -> (DenseArgs, Grid) {
        let (&Self { n, k, .. }, cut) = (self, self.cuts[0]);
        let &Forward { x, w, bias, y, z, act } = of;
        let (split, across) = (cut.split(shared), n.div_ceil(TILE) as u32);
        let args = DenseArgs { x, w, bias, y, z, split, m: m as u32, n: n as u32, k: k as u32, across, act };
        (args, Grid::blocks(tiles(m, n) * cut.parts))
    }

    /// Inputs and units.
    pub fn sizes(&self) -> (usize, usize) {
        (self.k, self.n)
    }

    /// dx, dW and db of the step's rows.
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) in plans without gradients.
    pub fn backward(&self, s: &Step<'_>, cuda: &Cuda, of: &Backward) -> Result<()> {
        let (m, &Self { n, k, .. }, cut) = (s.rows(), self, self.cuts[1]);
        let kernel = self.backward.as_ref().ok_or_else(|| crate::Error::order("dense", "planned without a backward pass"))?;
        let &Backward { x, w, dy, saved, act, dx, dw, db } = of;
        let to = |wanted: Option<(Ptr, GradMode)>, blocks: usize| match wanted {
            Some((to, mode)) => (to, u32::from(mode == GradMode::Add), blocks),
            None => (Ptr::NULL, 0, 0),
        };
        let (dx, add_dx, inputs) = to(dx, tiles(m, k) * cut.parts);
        let (dw, add_dw, weights) = to(dw, k.div_ceil(WEIGHTS.0) * n.div_ceil(WEIGHTS.1));
        let (db, add_db, biases) = to(db, n.div_ceil(COLUMNS));
        let args = GradientArgs {
            x,
            w,
            dy,
            saved,
            dx,
            dw,
            db,
            split: cut.split(self.shared(s)?),
            m: m as u32,
            n: n as u32,
            k: k as u32,
            blocks: [inputs as u32, weights as u32],
            across: [k.div_ceil(TILE) as u32, n.div_ceil(WEIGHTS.1) as u32],
            add_dx,
            add_dw,
            add_db,
            act,
        };
        kernel.launch(cuda, Grid::blocks(inputs + weights + biases), &args)
    }
}

/// A layer of few units with the softmax and cross entropy of what it yields.
#[derive(Debug)]
pub(crate) struct WithLoss {
    kernel: Kernel<LossArgs>,
    sums: Option<Slot>,
    /// For each tile, and one more.
    arrived: Slot,
    done: Slot,
}

/// The most classes: a tile holds all of them.
pub(crate) const CLASSES: usize = TILE;

impl WithLoss {
    /// At most [`CLASSES`] units on `k` inputs and `m` rows.
    pub fn plan([m, n, k]: [usize; 3], p: &mut Planner<'_>) -> Result<Self> {
        let tiles = tiles(m, n);
        let work = Cut::new(tiles, k).work(tiles);
        Ok(Self {
            kernel: p.typed_kernel(&SMALL, "dense_loss")?,
            sums: (work > 0).then(|| p.scratch(DType::F32, work)),
            arrived: p.lasting(DType::U32, tiles),
            done: p.lasting(DType::U32, 1),
        })
    }

    /// y, the loss of each row and its gradient, and the sum of the losses in `Control`.
    pub fn run(
        &self,
        s: &Step<'_>,
        cuda: &Cuda,
        (small, of): (&DenseSmall, &Forward),
        (io, loss): (&LossIo, &Logits),
        factor: f64,
        first: bool,
    ) -> Result<()> {
        let sums = self.sums.map_or(Ok(Ptr::NULL), |sums| s.ptr(sums))?;
        let (dense, grid) = small.args(s.rows(), of, (sums, s.ptr(self.arrived)?));
        let (target, &Logits { indexed, weights, keep, spread, .. }) = (s.ptr(io.target)?, loss);
        let dy = io.dy.ok_or_else(|| crate::Error::order("dense", "planned without a backward pass"))?;
        let args = LossArgs {
            dense,
            t: if indexed { Ptr::NULL } else { target },
            label: if indexed { target } else { Ptr::NULL },
            dy: s.ptr(dy)?,
            weight: s.ptr(io.weight)?,
            value: s.ptr(io.value)?,
            control: s.control()?,
            done: s.ptr(self.done)?,
            scale: io.scale,
            factor,
            weights,
            keep,
            spread,
            first: u32::from(first),
            unused: 0,
        };
        self.kernel.launch(cuda, grid, &args)
    }
}

/// Tiles of y, or of dx.
fn tiles(rows: usize, columns: usize) -> usize {
    rows.div_ceil(TILE) * columns.div_ceil(TILE)
}

const SMALL: Source = Source::new("dense_small", include_str!("../../kernels/dense_small.cu"));
