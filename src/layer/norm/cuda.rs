//! Normalisation on a GPU: how positions are cut for blocks, and the kernels of `kernels/norm*.cu` in their order.

use super::Sets;
use super::pass::NormPass;
use super::pooled::Operands;
use crate::device::{Cuda, Divisor, Grid, Kernel, Ptr, Source};
use crate::memory::{GradMode, Io, Param, Planner, Slot, Step};
use crate::op::bands::{NORM, Table};
use crate::{DType, Error, Extent, Mode, Result};
use bytemuck::{Pod, Zeroable};

const SWEEP: Source = Source::new("norm_sweep", include_str!("../../../kernels/norm_sweep.cu"));
const SUMS: Source = Source::new("norm_sums", include_str!("../../../kernels/norm_sums.cu"));

/// Threads of a block, and packs of 16 bytes that lie side by side in one that sums them.
pub(super) const THREADS: usize = 256;
const PACKS: usize = 32;
/// Blocks of a sum of packs, if there is enough to do: two for each multiprocessor of an H100, and few for the last one to put together.
const BLOCKS: usize = 256;

/// The kernels, and the cuts that follow from the shape alone, so that the order of every sum does too.
#[derive(Debug)]
pub(super) struct Gpu {
    moments: Kernel<MomentsArgs>,
    recall: Kernel<RecallArgs>,
    apply: Kernel<ApplyArgs>,
    gradient: Kernel<GradientArgs>,
    sums: Kernel<SumsArgs>,
    columns: Kernel<ColumnsArgs>,
    parameters: Kernel<ParametersArgs>,
    /// A counter for each unit and tile of sets, or for each 256 channels; every launch leaves them at 0.
    arrived: Option<Slot>,
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
    /// Channels that a thread of these sweeps, and of the sums for γ and β, takes at once.
    pack: usize,
    /// Whether the sums of sets are by packs too.
    wide: bool,
}

/// Positions for each block that sums packs, `lanes` side by side, if about `blocks` blocks are wanted: eight for each thread, or more.
fn packed(all: usize, c: usize, lanes: usize, blocks: usize) -> usize {
    let side = THREADS / lanes;
    (side * all.div_ceil(side * blocks.max(1)).max(8)).min((1 << 30) / c).max(1)
}

/// Positions for each block, if every thread takes between `least` and 4096 values, and about `blocks` blocks are wanted. `c`
/// channels make `tiles` blocks of `channels` each.
pub(super) fn positions(all: usize, c: usize, (channels, tiles): (usize, usize), least: usize, blocks: usize) -> usize {
    let side = (THREADS / channels).max(1);
    let each = channels.div_ceil(THREADS);
    let values = all.saturating_mul(each).div_ceil((side * blocks).div_ceil(tiles)).clamp(least, 4096);
    // Offsets within a chunk are u32.
    (side * values.div_ceil(each)).min((1 << 30) / c).max(1)
}

impl GpuCut {
    fn new(x: Extent, sets: Sets, capacity: usize, dtype: DType) -> Self {
        let (count, all) = (sets.active / sets.channels, x.area().saturating_mul(capacity));
        // 16 bytes, where all channels are normalised.
        let pack = Some(16 / dtype.bytes()).filter(|pack| sets.active == x.c && x.c.is_multiple_of(*pack)).unwrap_or(1);
        // A pack is of one set, or each of its channels is one.
        let whole = sets.channels == 1 || sets.channels.is_multiple_of(pack);
        let wide = pack > 1 && whole && sets.channels <= THREADS * pack;
        let together = if wide { PACKS * pack } else { THREADS };
        let tile = (together / sets.channels).clamp(1, count);
        let (channels, tiles) = (tile * sets.channels, count.div_ceil(tile));
        let chunk = match (wide, sets.batch) {
            (true, true) => packed(all, x.c, channels / pack, BLOCKS / tiles),
            // Other units give blocks too.
            (true, false) => packed(x.area(), x.c, channels / pack, BLOCKS / tiles.saturating_mul(capacity)),
            (false, true) => positions(all, x.c, (channels, tiles), 32, 2048),
            (false, false) => positions(x.area(), x.c, (channels, tiles), 64, 256),
        };
        let packs = x.c / pack;
        let columns = match (sets.batch, pack) {
            (true, _) => chunk,
            (false, 1) => positions(all, x.c, (x.c.min(THREADS), x.c.div_ceil(THREADS)), 32, 2048),
            (false, _) => packed(all, x.c, packs.min(PACKS), BLOCKS / packs.div_ceil(PACKS)),
        };
        let sweep = positions(all, x.c, (packs.min(THREADS), packs.div_ceil(THREADS)), 8, 1 << 13);
        Self { tile, chunk, columns, sweep, pack, wide }
    }

    /// Blocks side by side of the sums for γ and β of so many channels.
    fn across(&self, channels: usize) -> usize {
        if self.pack > 1 { channels.div_ceil(PACKS * self.pack) } else { channels.div_ceil(THREADS) }
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
    pub fn new(x: Extent, sets: Sets, p: &mut Planner<'_>) -> Result<Self> {
        if p.device().is_cuda() && (x.area() > 1 << 30 || x.c > 1 << 24) {
            let e = Error::shape("", "too many positions or channels for a GPU").expected("at most 2^30 and 2^24");
            return Err(e.got(x));
        }
        let cut = GpuCut::new(x, sets, p.capacity(), p.dtype());
        let units = if sets.batch { 1 } else { p.capacity() };
        let counters = units.saturating_mul((sets.active / sets.channels).div_ceil(cut.tile)).max(cut.across(sets.active));
        let name = |wide: bool, name: &str| if wide { format!("{name}_wide") } else { name.to_string() };
        let packs = cut.pack > 1;
        Ok(Self {
            moments: p.typed_kernel(&NORM, &name(cut.wide, "moments"))?,
            recall: p.kernel(&NORM, "recall")?,
            apply: p.typed_kernel(&SWEEP, &name(packs, "apply"))?,
            gradient: p.typed_kernel(&SWEEP, &name(packs, "gradient"))?,
            sums: p.typed_kernel(&SUMS, &name(cut.wide, "sums"))?,
            columns: p.typed_kernel(&SUMS, &name(packs, "columns"))?,
            parameters: p.kernel(&SUMS, "parameters")?,
            // Memory of an arena is 0 at first.
            arrived: p.device().is_cuda().then(|| p.lasting(DType::U32, counters)),
            cut,
        })
    }

    pub fn forward(&self, cuda: &Cuda, s: &Step<'_>, io: &Io<'_>, of: &NormPass) -> Result<()> {
        match of.running {
            Some([mean, var]) if s.mode() != Mode::Train => {
                let (mean, var, c) = (s.ptr(mean)?, s.ptr(var)?, of.x.c);
                let args = RecallArgs { table: s.ptr(of.table)?, mean, var, eps: of.eps, c: c as u64 };
                self.recall.launch(cuda, Grid::cover(c), &args)?;
            }
            _ => match of.statistics.as_ref().filter(|statistics| statistics.found()) {
                Some(statistics) => statistics.finish(s, cuda)?,
                None => self.measure(cuda, s, s.ptr(io.x[0])?, of)?,
            },
        }
        if let Some(pooled) = of.end.pooled() {
            return pooled.forward(cuda, s, &operands(s, io, of)?, s.ptr(io.y)?);
        }
        let (scale, shift) = (weights(s, of.scale)?, weights(s, of.shift)?);
        let sweep = self.sweep(s, of, self.cut.sweep);
        let (x, y, table, relu) = (s.ptr(io.x[0])?, s.ptr(io.y)?, s.ptr(of.table)?, u32::from(of.end.rectifies()));
        let args = ApplyArgs { x, y, table, scale, shift, sweep, relu, unused: 0 };
        self.apply.launch(cuda, grid(&sweep, of.x.c / self.cut.pack), &args)
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
        let args = MomentsArgs { x, partial, arrived: self.arrived(s)?, table, sets };
        self.moments.launch(cuda, self.chunks(&sets, units), &args)
    }

    fn arrived(&self, s: &Step<'_>) -> Result<Ptr> {
        self.arrived.map_or(Ok(Ptr::NULL), |arrived| s.ptr(arrived))
    }

    pub fn backward(&self, cuda: &Cuda, s: &Step<'_>, io: &Io<'_>, of: &NormPass) -> Result<()> {
        let dw = [of.scale, of.shift].map(|p| s.grad(p.and_then(|p| p.dw)));
        let moves = !of.sets.batch || s.mode() == Mode::Train;
        let slopes = if moves { s.ptr(of.slopes)? } else { Ptr::NULL };
        if dw != [None, None] || (of.sets.batch && moves) {
            self.parameters(cuda, s, io, of, dw, if of.sets.batch { slopes } else { Ptr::NULL })?;
        }
        let Some((dx, mode)) = io.dx[0] else { return Ok(()) };
        if let Some(pooled) = of.end.pooled() {
            let pointers = [s.ptr(io.dy)?, slopes, s.ptr(dx)?];
            return pooled.gradient(cuda, s, &operands(s, io, of)?, pointers, mode == GradMode::Add);
        }
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
            shift: weights(s, of.shift)?,
            sweep,
            add: u32::from(mode == GradMode::Add),
            relu: u32::from(of.end.rectifies()),
        };
        self.gradient.launch(cuda, grid(&sweep, of.x.c / self.cut.pack), &args)
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
        let (scale, shift) = (weights(s, of.scale)?, weights(s, of.shift)?);
        let count = of.sets.active / of.sets.per_scale;
        let ptr = |dw: Option<(Slot, GradMode)>| dw.map_or(Ok(Ptr::NULL), |(dw, _)| s.ptr(dw));
        let to = ParametersArgs {
            partial,
            table,
            scale,
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
        if let Some(pooled) = of.end.pooled() {
            return pooled.parameters(cuda, s, &operands(s, io, of)?, dy, to);
        }
        let own = of.sets.per_scale == 1;
        let (arrived, relu) = (if own { self.arrived(s)? } else { Ptr::NULL }, u32::from(of.end.rectifies()));
        let args = ColumnsArgs { x, dy, table, scale, shift, partial, arrived, to, sweep, relu, unused: 0 };
        self.columns.launch(cuda, Grid::xyz(sweep.chunks(), self.cut.across(of.sets.active), 1), &args)?;
        if own { Ok(()) } else { self.parameters.launch(cuda, Grid::cover(32 * count), &to) }
    }

    /// q and r of the sets of each sample.
    fn slopes(&self, cuda: &Cuda, s: &Step<'_>, io: &Io<'_>, of: &NormPass, slopes: Ptr) -> Result<()> {
        let (x, dy, table, partial) = (s.ptr(io.x[0])?, s.ptr(io.dy)?, s.ptr(of.table)?, s.ptr(of.partial)?);
        let ((sets, units), scale, shift) = (self.sets(s, of), weights(s, of.scale)?, weights(s, of.shift)?);
        let (per_scale, relu, arrived) = (of.sets.per_scale as u32, u32::from(of.end.rectifies()), self.arrived(s)?);
        let args = SumsArgs { x, dy, table, scale, shift, partial, arrived, slopes, sets, per_scale, relu };
        self.sums.launch(cuda, self.chunks(&sets, units), &args)
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

/// Where the operands of a normalisation of a batch lie.
fn operands(s: &Step<'_>, io: &Io<'_>, of: &NormPass) -> Result<Operands> {
    let (scale, shift) = (weights(s, of.scale)?, weights(s, of.shift)?);
    Ok(Operands { x: s.ptr(io.x[0])?, table: s.ptr(of.table)?, scale, shift, relu: u32::from(of.end.rectifies()) })
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
struct MomentsArgs {
    x: Ptr,
    partial: Ptr,
    arrived: Ptr,
    table: Table,
    sets: SetsArgs,
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
    relu: u32,
    unused: u32,
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
    shift: Ptr,
    sweep: Sweep,
    add: u32,
    relu: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct SumsArgs {
    x: Ptr,
    dy: Ptr,
    table: Ptr,
    scale: Ptr,
    shift: Ptr,
    partial: Ptr,
    arrived: Ptr,
    slopes: Ptr,
    sets: SetsArgs,
    per_scale: u32,
    relu: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct ColumnsArgs {
    x: Ptr,
    dy: Ptr,
    table: Ptr,
    scale: Ptr,
    shift: Ptr,
    partial: Ptr,
    arrived: Ptr,
    to: ParametersArgs,
    sweep: Sweep,
    relu: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct ParametersArgs {
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

impl ParametersArgs {
    /// The same of other sums: those of so many chunks.
    pub fn of(self, partial: Ptr, chunks: u64) -> Self {
        Self { partial, chunks, ..self }
    }
}
