//! Normalisation on a GPU: how positions are cut for blocks, and the kernels of `kernels/norm.cu` in their order.

use super::Sets;
use super::pass::NormPass;
use crate::device::{Cuda, Divisor, Grid, Kernel, Ptr, Source};
use crate::memory::{GradMode, Io, Param, Planner, Slot, Step};
use crate::{Error, Extent, Mode, Result};
use bytemuck::{Pod, Zeroable};

const NORM: Source = Source::new("norm", include_str!("../../../kernels/norm.cu"));

/// Threads of a block.
const THREADS: usize = 256;

/// The kernels, and the cuts that follow from the shape alone, so that the order of every sum does too.
#[derive(Debug)]
pub(super) struct Gpu {
    moments: Kernel<MomentsArgs>,
    combine_moments: Kernel<CombineArgs>,
    recall: Kernel<RecallArgs>,
    apply: Kernel<ApplyArgs>,
    gradient: Kernel<GradientArgs>,
    sums: Kernel<SumsArgs>,
    combine_slopes: Kernel<SlopesArgs>,
    columns: Kernel<ColumnsArgs>,
    parameters: Kernel<ParametersArgs>,
    pub cut: GpuCut,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct GpuCut {
    /// Sets whose channels lie side by side in a block.
    tile: usize,
    /// Positions of a unit in one chunk of its sets.
    chunk: usize,
    /// Positions of all rows in one chunk of the sums for γ and β; of batch normalisation the same chunk.
    columns: usize,
    /// Positions in one block of the sweeps that write x's size.
    sweep: usize,
}

/// Positions for each block, if every thread takes between `least` and 4096 values, and about `blocks` blocks are wanted. `c`
/// channels make `tiles` blocks of `channels` each.
fn positions(all: usize, c: usize, (channels, tiles): (usize, usize), least: usize, blocks: usize) -> usize {
    let side = (THREADS / channels).max(1);
    let each = channels.div_ceil(THREADS);
    let values = all.saturating_mul(each).div_ceil((side * blocks).div_ceil(tiles)).clamp(least, 4096);
    // Offsets within a chunk are u32.
    (side * values.div_ceil(each)).min((1 << 30) / c).max(1)
}

impl GpuCut {
    fn new(x: Extent, sets: Sets, capacity: usize) -> Self {
        let count = sets.active / sets.channels;
        let tile = (THREADS / sets.channels).clamp(1, count);
        let cut = (tile * sets.channels, count.div_ceil(tile));
        let all = x.area().saturating_mul(capacity);
        let chunk = match sets.batch {
            true => positions(all, x.c, cut, 32, 2048),
            // Other units give blocks too.
            false => positions(x.area(), x.c, cut, 64, 256),
        };
        let cut = (x.c.min(THREADS), x.c.div_ceil(THREADS));
        let columns = if sets.batch { chunk } else { positions(all, x.c, cut, 32, 2048) };
        Self { tile, chunk, columns, sweep: positions(all, x.c, cut, 8, 1 << 32) }
    }

    /// Elements of the partial sums: of the whole plan for batch normalisation, otherwise of each row.
    pub fn partial(&self, x: Extent, sets: Sets, capacity: usize) -> usize {
        let positions = if sets.batch { x.area().saturating_mul(capacity) } else { x.area() };
        let chunks = positions.div_ceil(self.chunk);
        (2 * sets.active / sets.channels).saturating_mul(chunks)
    }

    /// Elements of the sums for γ and β, where they are not the partial sums again.
    pub fn columns(&self, x: Extent, sets: Sets, capacity: usize) -> usize {
        (2 * sets.active).saturating_mul(x.area().saturating_mul(capacity).div_ceil(self.columns))
    }
}

impl Gpu {
    pub fn new(x: Extent, sets: Sets, p: &Planner<'_>) -> Result<Self> {
        if p.device().is_cuda() && (x.area() > 1 << 30 || x.c > 1 << 24) {
            let e = Error::shape("", "too many positions or channels for a GPU").expected("at most 2^30 and 2^24");
            return Err(e.got(x));
        }
        Ok(Self {
            moments: p.typed_kernel(&NORM, "moments")?,
            combine_moments: p.kernel(&NORM, "combine_moments")?,
            recall: p.kernel(&NORM, "recall")?,
            apply: p.typed_kernel(&NORM, "apply")?,
            gradient: p.typed_kernel(&NORM, "gradient")?,
            sums: p.typed_kernel(&NORM, "sums")?,
            combine_slopes: p.kernel(&NORM, "combine_slopes")?,
            columns: p.typed_kernel(&NORM, "columns")?,
            parameters: p.kernel(&NORM, "parameters")?,
            cut: GpuCut::new(x, sets, p.capacity()),
        })
    }

    pub fn forward(&self, cuda: &Cuda, s: &Step<'_>, io: &Io<'_>, of: &NormPass) -> Result<()> {
        match of.running {
            Some([mean, var]) if s.mode() != Mode::Train => {
                let (mean, var, c) = (s.ptr(mean)?, s.ptr(var)?, of.x.c);
                let args = RecallArgs { table: s.ptr(of.table)?, mean, var, eps: of.eps, c: c as u64 };
                self.recall.launch(cuda, Grid::cover(c), &args)?;
            }
            _ => self.measure(cuda, s, s.ptr(io.x[0])?, of)?,
        }
        let (scale, shift) = (weights(s, of.scale)?, weights(s, of.shift)?);
        let sweep = self.sweep(s, of, self.cut.sweep);
        let args = ApplyArgs { x: s.ptr(io.x[0])?, y: s.ptr(io.y)?, table: s.ptr(of.table)?, scale, shift, sweep };
        self.apply.launch(cuda, grid(&sweep, of.x.c), &args)
    }

    /// μ and ρ from the values, and the running statistics.
    fn measure(&self, cuda: &Cuda, s: &Step<'_>, x: Ptr, of: &NormPass) -> Result<()> {
        let [mean, var] = match of.running {
            Some([mean, var]) => [s.ptr(mean)?, s.ptr(var)?],
            None => [Ptr::NULL; 2],
        };
        let (eps, momentum, partial) = (of.eps, of.momentum, s.ptr(of.partial)?);
        let table = Table { table: s.ptr(of.table)?, mean, var, control: s.control()?, eps, momentum };
        let (sets, units) = self.sets(s, of);
        self.moments.launch(cuda, self.chunks(&sets, units), &MomentsArgs { x, partial, table, sets })?;
        if sets.chunks == 1 {
            return Ok(());
        }
        let count = units * sets.sets as usize;
        let args = CombineArgs { partial, table, sets, count: count as u64 };
        self.combine_moments.launch(cuda, Grid::cover(32 * count), &args)
    }

    pub fn backward(&self, cuda: &Cuda, s: &Step<'_>, io: &Io<'_>, of: &NormPass) -> Result<()> {
        let dw = [of.scale, of.shift].map(|p| s.grad(p.and_then(|p| p.dw)));
        let moves = !of.sets.batch || s.mode() == Mode::Train;
        let slopes = if moves { s.ptr(of.slopes)? } else { Ptr::NULL };
        if dw != [None, None] || (of.sets.batch && moves) {
            self.parameters(cuda, s, io, of, dw, if of.sets.batch { slopes } else { Ptr::NULL })?;
        }
        let Some((dx, mode)) = io.dx[0] else { return Ok(()) };
        if !of.sets.batch {
            self.slopes(cuda, s, io, of, slopes)?;
        }
        let sweep = self.sweep(s, of, self.cut.sweep);
        let args = GradientArgs {
            x: s.ptr(io.x[0])?,
            dy: s.ptr(io.dy)?,
            dx: s.ptr(dx)?,
            table: s.ptr(of.table)?,
            slopes,
            scale: weights(s, of.scale)?,
            sweep,
            add: u32::from(mode == GradMode::Add),
            unused: 0,
        };
        self.gradient.launch(cuda, grid(&sweep, of.x.c), &args)
    }

    /// dγ and dβ; of batch normalisation the slopes too, which are of the same sums.
    fn parameters(
        &self,
        cuda: &Cuda,
        s: &Step<'_>,
        io: &Io<'_>,
        of: &NormPass,
        dw: [Option<(Slot, GradMode)>; 2],
        slopes: Ptr,
    ) -> Result<()> {
        let (x, dy, table) = (s.ptr(io.x[0])?, s.ptr(io.dy)?, s.ptr(of.table)?);
        let partial = s.ptr(of.columns.unwrap_or(of.partial))?;
        let sweep = self.sweep(s, of, self.cut.columns);
        let grid = grid(&sweep, of.sets.active);
        self.columns.launch(cuda, grid, &ColumnsArgs { x, dy, table, partial, sweep })?;
        let count = of.sets.active / of.sets.per_scale;
        let ptr = |dw: Option<(Slot, GradMode)>| dw.map_or(Ok(Ptr::NULL), |(dw, _)| s.ptr(dw));
        let args = ParametersArgs {
            partial,
            table,
            scale: weights(s, of.scale)?,
            dscale: ptr(dw[0])?,
            dshift: ptr(dw[1])?,
            slopes,
            n: sweep.positions as f64,
            chunks: sweep.chunks() as u64,
            count: count as u32,
            per_scale: of.sets.per_scale as u32,
            add: u32::from(dw.into_iter().flatten().any(|(_, mode)| mode == GradMode::Add)),
            unused: 0,
        };
        self.parameters.launch(cuda, Grid::cover(32 * count), &args)
    }

    /// q and r of the sets of each sample.
    fn slopes(&self, cuda: &Cuda, s: &Step<'_>, io: &Io<'_>, of: &NormPass, slopes: Ptr) -> Result<()> {
        let (x, dy, table, partial) = (s.ptr(io.x[0])?, s.ptr(io.dy)?, s.ptr(of.table)?, s.ptr(of.partial)?);
        let ((sets, units), scale) = (self.sets(s, of), weights(s, of.scale)?);
        let per_scale = of.sets.per_scale as u32;
        let args = SumsArgs { x, dy, table, scale, partial, slopes, sets, per_scale, unused: 0 };
        self.sums.launch(cuda, self.chunks(&sets, units), &args)?;
        if sets.chunks == 1 {
            return Ok(());
        }
        let count = units * sets.sets as usize;
        let (n, chunks) = ((sets.positions * u64::from(sets.channels)) as f64, u64::from(sets.chunks));
        let args = SlopesArgs { partial, table, slopes, n, count: count as u64, chunks };
        self.combine_slopes.launch(cuda, Grid::cover(32 * count), &args)
    }

    /// The cut of the sets for the valid rows, and the number of units.
    fn sets(&self, s: &Step<'_>, of: &NormPass) -> (SetsArgs, usize) {
        let (rows, units) = if of.sets.batch { (s.rows(), 1) } else { (1, s.rows()) };
        let positions = of.x.area() * rows;
        let args = SetsArgs {
            positions: positions as u64,
            chunk: self.cut.chunk as u32,
            chunks: positions.div_ceil(self.cut.chunk) as u32,
            c: of.x.c as u32,
            channels: of.sets.channels as u32,
            sets: (of.sets.active / of.sets.channels) as u32,
            tile: self.cut.tile as u32,
        };
        (args, units)
    }

    fn chunks(&self, sets: &SetsArgs, units: usize) -> Grid {
        Grid::xyz(units * sets.chunks as usize, (sets.sets as usize).div_ceil(self.cut.tile), 1)
    }

    fn sweep(&self, s: &Step<'_>, of: &NormPass, chunk: usize) -> Sweep {
        Sweep {
            positions: (of.x.area() * s.rows()) as u64,
            chunk: chunk as u32,
            c: of.x.c as u32,
            active: of.sets.active as u32,
            channels: of.sets.channels as u32,
            per_scale: of.sets.per_scale as u32,
            row_sets: if of.sets.batch { 0 } else { (of.sets.active / of.sets.channels) as u32 },
            area: Divisor::new(of.x.area()),
            unused: 0,
        }
    }
}

fn grid(sweep: &Sweep, channels: usize) -> Grid {
    Grid::xyz(sweep.chunks(), channels.div_ceil(THREADS), 1)
}

fn weights(s: &Step<'_>, p: Option<Param>) -> Result<Ptr> {
    p.map_or(Ok(Ptr::NULL), |p| s.ptr(p.w))
}

/// As `Sets` in `norm.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct SetsArgs {
    positions: u64,
    chunk: u32,
    chunks: u32,
    c: u32,
    channels: u32,
    sets: u32,
    tile: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct Table {
    table: Ptr,
    mean: Ptr,
    var: Ptr,
    control: Ptr,
    eps: f64,
    momentum: f64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct MomentsArgs {
    x: Ptr,
    partial: Ptr,
    table: Table,
    sets: SetsArgs,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct CombineArgs {
    partial: Ptr,
    table: Table,
    sets: SetsArgs,
    count: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct RecallArgs {
    table: Ptr,
    mean: Ptr,
    var: Ptr,
    eps: f64,
    c: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct Sweep {
    positions: u64,
    chunk: u32,
    c: u32,
    active: u32,
    channels: u32,
    per_scale: u32,
    row_sets: u32,
    area: Divisor,
    unused: u32,
}

impl Sweep {
    fn chunks(&self) -> usize {
        self.positions.div_ceil(u64::from(self.chunk)) as usize
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct ApplyArgs {
    x: Ptr,
    y: Ptr,
    table: Ptr,
    scale: Ptr,
    shift: Ptr,
    sweep: Sweep,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct GradientArgs {
    x: Ptr,
    dy: Ptr,
    dx: Ptr,
    table: Ptr,
    slopes: Ptr,
    scale: Ptr,
    sweep: Sweep,
    add: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct SumsArgs {
    x: Ptr,
    dy: Ptr,
    table: Ptr,
    scale: Ptr,
    partial: Ptr,
    slopes: Ptr,
    sets: SetsArgs,
    per_scale: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct SlopesArgs {
    partial: Ptr,
    table: Ptr,
    slopes: Ptr,
    n: f64,
    count: u64,
    chunks: u64,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct ColumnsArgs {
    x: Ptr,
    dy: Ptr,
    table: Ptr,
    partial: Ptr,
    sweep: Sweep,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct ParametersArgs {
    partial: Ptr,
    table: Ptr,
    scale: Ptr,
    dscale: Ptr,
    dshift: Ptr,
    slopes: Ptr,
    n: f64,
    chunks: u64,
    count: u32,
    per_scale: u32,
    add: u32,
    unused: u32,
}
