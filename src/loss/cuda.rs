//! The losses on a GPU: how rows are cut for the kernels of `kernels/loss.cu`, and their launches.

use super::{LossIo, Target};
use crate::device::{Buffer, Cuda, Device, Grid, Kernel, Ptr, Source};
use crate::memory::{Planner, Slot, Step, Total};
use crate::{DType, Error, Result};
use bytemuck::{Pod, Zeroable};
use std::fmt::Debug;

const LOSS: Source = Source::new("loss", include_str!("../../kernels/loss.cu"));

/// Threads of a block.
const THREADS: usize = 256;
/// Items of one thread: what is added in f32 before the sum continues in f64.
const ITEMS: usize = 32;

/// The kernel of a loss with the argument `A`, and the cut of its rows.
#[derive(Debug)]
pub(super) struct Gpu<A> {
    kernel: Kernel<A>,
    fold: Kernel<FoldArgs>,
    cut: RowCut,
    indexed: bool,
    /// Sums of the chunks, where rows have several.
    partial: Option<Slot>,
    /// A counter of blocks.
    arrived: Option<Slot>,
}

/// How a row of items is shared by threads: it follows from the sizes alone, so that the order of every sum does too.
#[derive(Clone, Copy, Debug, PartialEq)]
struct RowCut {
    items: usize,
    /// Threads for a row: a power of two up to a warp, or a block.
    team: usize,
    /// Items in a chunk.
    chunk: usize,
}

impl RowCut {
    /// `lanes` threads work on each item.
    fn new(items: usize, lanes: usize) -> Self {
        let wanted = items.next_power_of_two().saturating_mul(lanes);
        let in_warp = lanes <= 32 && wanted <= 32 * ITEMS;
        let team = if in_warp { wanted.min(32) } else { THREADS };
        Self { items, team, chunk: if in_warp { items } else { items.min(THREADS / lanes * ITEMS) } }
    }

    fn chunks(&self) -> usize {
        self.items.div_ceil(self.chunk)
    }
}

/// Threads that share one position of `c` classes: about four classes each, a whole block for very many.
pub(super) fn lanes(c: usize) -> usize {
    match c.div_ceil(4).next_power_of_two() {
        n if n <= 32 => n,
        n if n <= 2048 => 32,
        _ => THREADS,
    }
}

impl<A: Pod + Debug> Gpu<A> {
    /// `items` terms in each row; `lanes` threads work on each.
    pub fn new(p: &mut Planner<'_>, name: &str, target: Target, items: usize, lanes: usize) -> Result<Self> {
        if p.device().is_cuda() && items > 1 << 30 {
            return Err(Error::shape(name, "too many elements in a sample for a GPU").expected("at most 2^30").got(items));
        }
        let cut = RowCut::new(items, lanes);
        let cut_up = p.device().is_cuda() && cut.chunks() > 1;
        Ok(Self {
            kernel: p.typed_kernel(&LOSS, name)?,
            fold: p.kernel(&LOSS, "fold")?,
            cut,
            indexed: matches!(target, Target::Index { .. }),
            partial: cut_up.then(|| p.scratch_rows(DType::F64, cut.chunks())),
            arrived: p.device().is_cuda().then(|| p.lasting(DType::U32, 1)),
        })
    }

    /// The loss as `mlp.cu` takes it: rows shared by parts of a warp. `factor` as in [`Gpu::run`], `c` classes or channels.
    pub fn in_mlp(&self, kind: MlpLossKind, factor: f64, c: usize, numbers: [f32; 2], weights: Ptr) -> Option<MlpLoss> {
        let RowCut { items, team, .. } = self.cut;
        let fits = team <= 32 && self.cut.chunks() == 1 && c < 1 << 31;
        fits.then_some(MlpLoss {
            weights,
            factor,
            kind: kind as u32,
            items: items as u32,
            team: team as u32,
            c: c as u32,
            numbers,
        })
    }

    /// Values and gradients; `factor` multiplies the sum of a row.
    pub fn run(&self, cuda: &Cuda, s: &Step<'_>, io: &LossIo, factor: f64, args: impl FnOnce(RowsArgs) -> A) -> Result<()> {
        let ptr = |slot: Option<Slot>| slot.map_or(Ok(Ptr::NULL), |slot| s.ptr(slot));
        let (target, RowCut { items, team, chunk }) = (s.ptr(io.target)?, self.cut);
        let rows = RowsArgs {
            y: s.ptr(io.y)?,
            t: if self.indexed { Ptr::NULL } else { target },
            label: if self.indexed { target } else { Ptr::NULL },
            dy: ptr(io.dy)?,
            w: s.ptr(io.weight)?,
            value: s.ptr(io.value)?,
            partial: ptr(self.partial)?,
            total: TotalArgs { control: s.control()?, arrived: ptr(self.arrived)?, ..TotalArgs::new(s.take_total()) },
            scale: io.scale,
            factor,
            rows: s.rows() as u32,
            items: items as u32,
            chunk: chunk as u32,
            chunks: self.cut.chunks() as u32,
            team: team as u32,
            unused: 0,
        };
        let teams = s.rows() * self.cut.chunks();
        self.kernel.launch(cuda, Grid::blocks(teams.div_ceil(THREADS / team)), &args(rows))?;
        if self.partial.is_none() {
            return Ok(());
        }
        let (partial, w, value, total) = (rows.partial, rows.w, rows.value, rows.total);
        let args = FoldArgs { partial, w, value, total, factor, rows: rows.rows, chunks: rows.chunks };
        self.fold.launch(cuda, Grid::cover(32 * s.rows()), &args)
    }
}

/// A kernel that turns outputs into predictions.
pub(super) fn predictor(p: &Planner<'_>, name: &str) -> Result<Kernel<PredictArgs>> {
    p.typed_kernel(&LOSS, name)
}

/// Numbers in device memory that a plan does not change: the weights of classes.
#[derive(Debug)]
pub(super) struct Constants(Option<Buffer>);

impl Constants {
    /// No numbers: no memory.
    pub fn new(p: &Planner<'_>, values: &[f64]) -> Result<Self> {
        let Device::Cuda(cuda) = p.device() else { return Ok(Self(None)) };
        if values.is_empty() {
            return Ok(Self(None));
        }
        let narrow: Vec<f32> = values.iter().map(|v| *v as f32).collect();
        let bytes: &[u8] = bytemuck::cast_slice(&narrow);
        let buffer = cuda.allocate(bytes.len())?;
        cuda.upload(buffer.ptr(), bytes.len(), &mut |to| {
            to.copy_from_slice(bytes);
            Ok(())
        })?;
        Ok(Self(Some(buffer)))
    }

    /// Their address, or null.
    pub fn ptr(&self) -> Ptr {
        self.0.as_ref().map_or(Ptr::NULL, Buffer::ptr)
    }
}

/// As `Rows` in `loss.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct RowsArgs {
    y: Ptr,
    t: Ptr,
    label: Ptr,
    dy: Ptr,
    w: Ptr,
    value: Ptr,
    partial: Ptr,
    total: TotalArgs,
    scale: f64,
    factor: f64,
    rows: u32,
    items: u32,
    chunk: u32,
    chunks: u32,
    team: u32,
    unused: u32,
}

/// As `PlainArgs` in `loss.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct PlainArgs {
    pub rows: RowsArgs,
}

/// As `LossKind` in `mlp.cuh`.
#[derive(Clone, Copy, Debug)]
pub(super) enum MlpLossKind {
    Square,
    Absolute,
    Huber,
    CrossEntropy,
    Bce,
    Gaussian,
    SoftmaxCrossEntropy,
}

/// As `LossOf` in `mlp.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub struct MlpLoss {
    weights: Ptr,
    factor: f64,
    kind: u32,
    items: u32,
    team: u32,
    c: u32,
    numbers: [f32; 2],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct FoldArgs {
    partial: Ptr,
    w: Ptr,
    value: Ptr,
    total: TotalArgs,
    factor: f64,
    rows: u32,
    chunks: u32,
}

/// As `Total` in `loss.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct TotalArgs {
    control: Ptr,
    arrived: Ptr,
    factor: f64,
    adds: u32,
    unused: u32,
}

impl TotalArgs {
    fn new(total: Option<Total>) -> Self {
        let none = Self { control: Ptr::NULL, arrived: Ptr::NULL, factor: 0.0, adds: 0, unused: 0 };
        total.map_or(none, |Total { factor, first }| Self { factor, adds: 1 + u32::from(first), ..none })
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct PredictArgs {
    pub y: Ptr,
    /// Positions, or elements.
    pub n: u64,
    pub c: u32,
    pub lanes: u32,
    pub lowest: f32,
    pub highest: f32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_has_one_thread_of_its_team() {
        for lanes in [1, 2, 8, 32, THREADS] {
            for items in [1, 2, 3, 31, 32, 33, 1000, 1024, 1025, 8192, 8193, 1_000_000] {
                let cut = RowCut::new(items, lanes);
                assert!(cut.team.is_power_of_two() && cut.team >= lanes && cut.team <= THREADS, "{cut:?}");
                // Part of a warp shuffles among itself and writes the value of its row.
                assert!(cut.team <= 32 && cut.chunks() == 1 || cut.team == THREADS, "{cut:?}");
                let each = cut.chunk.div_ceil(cut.team / lanes);
                assert!((1..=ITEMS).contains(&each) && cut.chunk * cut.chunks() >= items, "{cut:?}");
            }
        }
        assert_eq!([1, 4, 5, 10, 100, 1000, 5000, 100_000].map(lanes), [1, 1, 2, 4, 32, 32, 32, THREADS]);
    }
}
