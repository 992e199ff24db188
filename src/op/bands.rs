//! Mean and variance of a convolution's results, found by its own kernel while they are on their way to memory, for the batch
//! normalisation that reads them: one sweep over them less. As in `kernels/moments.cuh`.

use crate::device::{Cuda, Grid, Kernel, Ptr, Source};
use crate::memory::{Planner, Slot, Step};
use crate::{DType, Error, Extent, Result};
use bytemuck::{Pod, Zeroable};
use std::sync::OnceLock;

/// The kernels that make the tables of a normalisation.
pub(crate) const NORM: Source = Source::new("norm", include_str!("../../kernels/norm.cu"));

/// Outputs whose moments are found together.
const BAND: usize = 64;
/// The most bands that a last block puts together; for more there is a kernel of many blocks.
const FEW: usize = 64;
/// Bands that a block puts together, at least, and the most parts that come of it.
const CHUNK: usize = 128;
const CHUNKS: usize = 64;

/// Where mean and deviation go, and what becomes of the running statistics: `Table` in `moments.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(crate) struct Table {
    pub table: Ptr,
    pub mean: Ptr,
    pub var: Ptr,
    pub control: Ptr,
    pub eps: f64,
    pub momentum: f64,
}

/// `Bands` in `moments.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(crate) struct BandArgs {
    pub(super) parts: Ptr,
    pub(super) arrived: Ptr,
    pub(super) table: Table,
    pub(super) positions: u64,
    pub(super) c: u32,
    pub(super) bands: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct CombineArgs {
    pub bands: BandArgs,
    pub partial: Ptr,
    pub arrived: Ptr,
    pub chunk: u32,
    pub chunks: u32,
}

/// What a batch normalisation wants to know of its input in training.
#[derive(Debug)]
pub(crate) struct Statistics {
    pub x: Extent,
    /// Mean and 1/√(v + ε) of each channel.
    pub table: Slot,
    /// Mean and variance.
    pub running: [Slot; 2],
    pub eps: f64,
    pub momentum: f64,
    /// Filled if the layer before finds them.
    found: OnceLock<Bands>,
}

/// Where the layer before leaves them.
#[derive(Debug)]
struct Bands {
    parts: Slot,
    /// A counter for each of its blocks of columns, the last of which makes the table.
    arrived: Option<Slot>,
    combine: Option<Combine>,
}

/// What puts many bands together.
#[derive(Debug)]
struct Combine {
    kernel: Kernel<CombineArgs>,
    chunk: usize,
    partial: Slot,
    arrived: Slot,
}

impl Combine {
    fn plan(c: usize, bands: usize, p: &mut Planner<'_>) -> Result<Self> {
        let chunk = CHUNK.max(bands.div_ceil(CHUNKS));
        let partial = p.saved_fixed(DType::F64, 2 * c * bands.div_ceil(chunk));
        let arrived = p.lasting(DType::U32, c.div_ceil(32));
        Ok(Self { kernel: p.typed_kernel(&NORM, "combine")?, chunk, partial, arrived })
    }
}

impl Statistics {
    pub fn new(x: Extent, table: Slot, running: [Slot; 2], eps: f64, momentum: f64) -> Self {
        Self { x, table, running, eps, momentum, found: OnceLock::new() }
    }

    /// Has them found by a layer whose results lie in `blocks` blocks of columns. `p` plans from the forward pass of that layer to
    /// the one of the normalisation.
    ///
    /// # Errors
    /// Those of [`Planner::kernel`].
    pub fn find(&self, blocks: usize, p: &mut Planner<'_>) -> Result<()> {
        let bands = p.capacity().saturating_mul(self.x.area()).div_ceil(BAND);
        // The mean of f32 values would lose in f32 what tells them apart.
        let dtype = if p.dtype() == DType::F32 { DType::F64 } else { DType::F32 };
        let parts = p.saved_fixed(dtype, (2 * self.x.c).saturating_mul(bands));
        // Memory of an arena is 0 at first, and every launch leaves its counters at 0.
        let (arrived, combine) = match bands <= FEW {
            true => {
                // The table is made before the normalisation runs.
                p.requests[self.table.index as usize].spans.iter_mut().for_each(|span| span.0 = span.0.min(p.times.0));
                (Some(p.lasting(DType::U32, blocks)), None)
            }
            false => (None, Some(Combine::plan(self.x.c, bands, p)?)),
        };
        // A second call would find the place taken; there is none.
        let _ = self.found.set(Bands { parts, arrived, combine });
        Ok(())
    }

    /// Whether the layer before finds them.
    pub fn found(&self) -> bool {
        self.found.get().is_some()
    }

    fn bands(&self) -> Result<&Bands> {
        self.found.get().ok_or_else(|| Error::order("normalisation", "statistics that nobody planned"))
    }

    /// Where they go in the end.
    pub fn table(&self, s: &Step<'_>) -> Result<Table> {
        let [mean, var] = self.running;
        let (eps, momentum) = (self.eps, self.momentum);
        Ok(Table { table: s.ptr(self.table)?, mean: s.ptr(mean)?, var: s.ptr(var)?, control: s.control()?, eps, momentum })
    }

    /// What the kernel that finds them is told.
    pub fn args(&self, s: &Step<'_>) -> Result<BandArgs> {
        let (bands, positions) = (self.bands()?, s.rows() * self.x.area());
        Ok(BandArgs {
            parts: s.ptr(bands.parts)?,
            arrived: bands.arrived.map_or(Ok(Ptr::NULL), |arrived| s.ptr(arrived))?,
            table: self.table(s)?,
            positions: positions as u64,
            c: self.x.c as u32,
            bands: positions.div_ceil(BAND) as u32,
        })
    }

    /// Makes the table, where the kernel that found them has not.
    pub fn finish(&self, s: &Step<'_>, cuda: &Cuda) -> Result<()> {
        let Some(combine) = &self.bands()?.combine else { return Ok(()) };
        let bands = self.args(s)?;
        let chunks = (bands.bands as usize).div_ceil(combine.chunk);
        let (partial, arrived, chunk) = (s.ptr(combine.partial)?, s.ptr(combine.arrived)?, combine.chunk as u32);
        let args = CombineArgs { bands, partial, arrived, chunk, chunks: chunks as u32 };
        combine.kernel.launch(cuda, Grid::xyz(chunks, self.x.c.div_ceil(32), 1), &args)
    }
}
