//! Convolutions of few channels and filters on a GPU, with their activation and the maximum over windows behind them: one launch
//! forward, one backward, by `kernels/conv_unit.cu`.
//!
//! A product of matrices would be mostly padding there, and what a small network takes is the latency of its launches: convolution,
//! pooling, their gradients, sums of columns and sums of parts, each on its own, are a dozen. How blocks share the work follows from
//! the planned sizes alone, so equal plans give equal bits.

mod layout;

use super::activation::{Activation, Reads};
use super::activation_cuda::CudaActivation;
use super::bands::Statistics;
use super::conv::Geometry;
use super::conv_args::DeviceExtent;
use super::epilogue::Epilogue;
use crate::device::{Cuda, Divisor, Grid, Kernel, Ptr, Source};
use crate::layer::Head;
use crate::memory::{GradMode, Planner, Slot, Step};
use crate::{DType, Error, Precision, Result};
use bytemuck::{Pod, Zeroable};
use layout::{Forward, Layout};
use std::sync::{Arc, OnceLock};

/// Shared memory of a block, in floats: what every device has, without what the kernels declare themselves.
const SHARED: usize = (46 << 10) / 4;
/// The most blocks that sum one weight.
const CHUNKS: usize = 64;
/// Threads of a block, those that share the weights of a filter, and the most weights of one of them.
const THREADS: usize = 256;
const SPAN: usize = 64;
const EACH: usize = 8;

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Unit {
    x: DeviceExtent,
    y: DeviceExtent,
    p: DeviceExtent,
    size: [u32; 3],
    dilation: [u32; 3],
    before: [u32; 3],
    stride: [Divisor; 3],
    pool: [Divisor; 3],
    cell: [u32; 8],
    rows: u32,
    taps: u32,
    winner_row: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct Slab {
    d: u32,
    h: u32,
    w: u32,
    slab: u32,
    line: Divisor,
    high: Divisor,
    channels: Divisor,
}

impl Slab {
    /// Of a tile of this size, and its floats; none where that is more than a block has.
    fn new([d, h, w]: [usize; 3], channels: usize) -> Option<(Self, usize)> {
        // Odd, so that the planes of neighbouring channels begin in different banks.
        let slab = d.checked_mul(h)?.checked_mul(w)? | 1;
        let floats = slab.checked_mul(channels).filter(|&floats| floats <= SHARED)?;
        let (line, high, channels) = (Divisor::new(w * channels), Divisor::new(h), Divisor::new(channels));
        Some((Self { d: d as u32, h: h as u32, w: w as u32, slab: slab as u32, line, high, channels }, floats))
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct UnitArgs {
    x: Ptr,
    w: Ptr,
    bias: Ptr,
    y: Ptr,
    winner: Ptr,
    u: Unit,
    s: Slab,
    act: CudaActivation,
    lines: u32,
    bands: u32,
    log_filters: u32,
    groups: u32,
    high: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
struct GradientArgs {
    x: Ptr,
    w: Ptr,
    dy: Ptr,
    saved: Ptr,
    winner: Ptr,
    dx: Ptr,
    dw: Ptr,
    db: Ptr,
    sums: Ptr,
    arrived: Ptr,
    u: Unit,
    s: Slab,
    z: Slab,
    act: CudaActivation,
    blocks: u32,
    lines: u32,
    bands: u32,
    high: u32,
    length: u32,
    chunks: u32,
    groups: u32,
    span: u32,
    x_lines: u32,
    x_bands: u32,
    filters: u32,
    add_dx: u32,
    add_dw: u32,
    add_db: u32,
}

/// What the plan added.
#[derive(Debug)]
struct Taken {
    layout: Layout,
    relu: bool,
    winner: Option<Slot>,
}

/// A planned unit.
#[derive(Debug)]
pub(crate) struct ConvUnit {
    alone: Layout,
    linear: bool,
    /// For windows of 1, 2, 4 and 8 cells.
    forward: [Kernel<UnitArgs>; 4],
    backward: Option<Kernel<GradientArgs>>,
    sums: Option<Slot>,
    arrived: Option<Slot>,
    taken: OnceLock<Taken>,
}

/// Where the gradients go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gradients {
    pub dx: Option<(Slot, GradMode)>,
    pub dw: Option<(Slot, GradMode)>,
    pub db: Option<(Slot, GradMode)>,
}

impl ConvUnit {
    /// Whether it is the faster way: few channels and filters, not more products than ordinary arithmetic does in some 10 µs where
    /// there are faster units, and an activation that does not decrease, so that it may follow the maximum.
    pub fn suits(g: &Geometry, act: Activation, p: &Planner<'_>) -> bool {
        let (w, channels) = (&g.window, g.x.c);
        let plain = g.groups == 1 && w.gap == [0; 3] && w.taps() > 1 && g.y.area() > 1;
        let few = channels <= 16 && g.y.c <= 32 && w.taps().saturating_mul(channels) < SPAN * EACH;
        let tensor = p.precision() != Precision::FP32 && channels.is_multiple_of(8) && g.y.c.is_multiple_of(8);
        let most = if tensor { 1 << 27 } else { 1 << 29 };
        let work = g.products().saturating_mul(p.capacity()) <= most && g.x.len().max(g.y.len()) < 1 << 28;
        let known = act.reads() == Reads::Y && act != Activation::Softmax;
        let coordinates = w.before.iter().chain(&w.dilation).chain(&w.stride).all(|&n| n < 1 << 20);
        let fits = plain && few && work && known && coordinates;
        fits && Layout::new(g, None, p.capacity(), p.mode().differentiable()).is_some()
    }

    /// The unit, if it suits.
    pub fn plan(g: &Geometry, act: Activation, p: &mut Planner<'_>) -> Result<Option<Self>> {
        if !Self::suits(g, act, p) {
            return Ok(None);
        }
        let Some(alone) = Layout::new(g, None, p.capacity(), p.mode().differentiable()) else { return Ok(None) };
        let source = match p.dtype() {
            DType::Bf16 => &UNIT_BF16,
            DType::F16 => &UNIT_F16,
            _ => &UNIT_F32,
        };
        let kernel = |p: &Planner<'_>, cells: usize| p.typed_kernel(source, &format!("unit_forward{cells}"));
        let differentiable = p.mode().differentiable();
        // As many chunks as windows of any size make.
        let sums = g.y.c.div_ceil(4) * CHUNKS * (alone.of.rows() + 1) * 4;
        Ok(Some(Self {
            alone,
            linear: act == Activation::Linear,
            forward: [kernel(p, 1)?, kernel(p, 2)?, kernel(p, 4)?, kernel(p, 8)?],
            backward: differentiable.then(|| p.typed_kernel(source, "unit_backward")).transpose()?,
            sums: differentiable.then(|| p.scratch(DType::F32, sums)),
            // Memory of an arena is 0 at first, and every launch leaves its counters at 0.
            arrived: differentiable.then(|| p.lasting(DType::U32, g.y.c.div_ceil(4))),
            taken: OnceLock::new(),
        }))
    }

    fn layout(&self) -> &Layout {
        self.taken.get().map_or(&self.alone, |taken| &taken.layout)
    }

    fn unit(&self, rows: usize) -> Unit {
        Unit { rows: rows as u32, ..self.layout().unit }
    }

    fn winner(&self, s: &Step<'_>) -> Result<Ptr> {
        self.taken.get().and_then(|taken| taken.winner).map_or(Ok(Ptr::NULL), |winner| s.ptr(winner))
    }

    /// y = max over windows of act(conv(x, w) + bias), of (x, w, y).
    pub fn forward(
        &self,
        s: &Step<'_>,
        cuda: &Cuda,
        (x, w, y): (Slot, Slot, Slot),
        bias: Ptr,
        act: CudaActivation,
    ) -> Result<()> {
        let (l, rows) = (self.layout(), s.rows());
        let Forward { s: slab, bands, log_filters, groups, shared } = l.forward;
        let relu = self.taken.get().is_some_and(|taken| taken.relu);
        let args = UnitArgs {
            x: s.ptr(x)?,
            w: s.ptr(w)?,
            bias,
            y: s.ptr(y)?,
            winner: self.winner(s)?,
            u: self.unit(rows),
            s: slab,
            act: if relu { CudaActivation::RELU } else { act },
            lines: bands.lines as u32,
            bands: bands.count as u32,
            log_filters,
            groups: groups as u32,
            high: bands.high as u32,
        };
        let cells: usize = l.of.pool.iter().product();
        let grid = Grid::blocks(rows * bands.count * groups).shared(shared);
        self.forward[cells.ilog2() as usize].launch(cuda, grid, &args)
    }

    /// All gradients that are wanted, of (x, w, y, dy).
    ///
    /// # Errors
    /// [`ErrorKind::Order`](crate::ErrorKind::Order) in plans without gradients.
    pub fn backward(
        &self,
        s: &Step<'_>,
        cuda: &Cuda,
        (x, w, y, dy): (Slot, Slot, Slot, Slot),
        act: CudaActivation,
        to: Gradients,
    ) -> Result<()> {
        let (l, rows) = (self.layout(), s.rows());
        let (Some(b), Some(kernel)) = (&l.backward, &self.backward) else {
            return Err(Error::order("convolution", "planned without a backward pass"));
        };
        let ptr = |slot: Option<Slot>| slot.map_or(Ok(Ptr::NULL), |slot| s.ptr(slot));
        let put = |to: Option<(Slot, GradMode)>| {
            Ok::<_, Error>((ptr(to.map(|t| t.0))?, u32::from(to.is_some_and(|t| t.1 == GradMode::Add))))
        };
        let ((dx, add_dx), (dw, add_dw), (db, add_db)) = (put(to.dx)?, put(to.dw)?, put(to.db)?);
        let winner = self.winner(s)?;
        let blocks = if to.dx.is_some() { rows * b.x_bands.count } else { 0 };
        let args = GradientArgs {
            x: s.ptr(x)?,
            w: s.ptr(w)?,
            dy: s.ptr(dy)?,
            saved: s.ptr(y)?,
            winner,
            dx,
            dw,
            db,
            sums: ptr(self.sums)?,
            arrived: ptr(self.arrived)?,
            u: self.unit(rows),
            s: b.s,
            z: b.z,
            // Where a rectifier was off is written down with the winners.
            act: if winner != Ptr::NULL && act == CudaActivation::RELU { CudaActivation::LINEAR } else { act },
            blocks: blocks as u32,
            lines: b.bands.lines as u32,
            bands: b.bands.count as u32,
            high: b.bands.high as u32,
            length: b.length as u32,
            chunks: b.chunks as u32,
            groups: b.groups as u32,
            span: b.span as u32,
            x_lines: b.x_bands.lines as u32,
            x_bands: b.x_bands.count as u32,
            filters: b.filters as u32,
            add_dx,
            add_dw,
            add_db,
        };
        let weights = if to.dw.is_some() || to.db.is_some() { b.groups * b.chunks } else { 0 };
        kernel.launch(cuda, Grid::blocks(blocks + weights).shared(b.shared), &args)
    }
}

impl Head for ConvUnit {
    fn fits(&self, epilogue: &Epilogue) -> bool {
        let &Epilogue { norm, relu, pool } = epilogue;
        let cells = pool.map_or(1, |g| g.window.taps());
        let small = matches!(cells, 1 | 2 | 4 | 8) && (!relu || self.linear) && norm.is_none();
        let Layout { of, backward, .. } = &self.alone;
        small && Layout::new(&of.g, pool.as_ref(), of.capacity, backward.is_some()).is_some()
    }

    fn take(&self, epilogue: Epilogue, p: &mut Planner<'_>) -> Result<()> {
        let Epilogue { relu, pool, .. } = epilogue;
        let Layout { of, backward, .. } = &self.alone;
        let Some(layout) = Layout::new(&of.g, pool.as_ref(), of.capacity, backward.is_some()) else { return Ok(()) };
        let marks = backward.is_some() && (pool.is_some() || relu);
        let winner = marks.then(|| p.saved(DType::U32, layout.unit.winner_row as usize / 4));
        // A second call would find the place taken; there is none.
        let _ = self.taken.set(Taken { layout, relu, winner });
        Ok(())
    }

    fn measure(&self, _: &Arc<Statistics>, _: &mut Planner<'_>) -> Result<()> {
        Ok(())
    }
}

macro_rules! part {
    ($name:literal, $define:literal, $file:literal) => {
        Source::new($name, concat!("#define ", $define, "\n", include_str!(concat!("../../kernels/", $file))))
    };
}
const UNIT_F32: Source = part!("conv_unit_f32", "CONV_F32", "conv_unit.cu");
const UNIT_BF16: Source = part!("conv_unit_bf16", "CONV_BF16", "conv_unit.cu");
const UNIT_F16: Source = part!("conv_unit_f16", "CONV_F16", "conv_unit.cu");
