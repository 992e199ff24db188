//! Batch normalisation on a GPU with the maximum over windows that follows it: `kernels/norm_pool.cu`.

use super::Sets;
use super::cuda::{ParametersArgs, THREADS, positions};
use crate::device::{Cuda, Divisor, Grid, Kernel, Ptr, Source};
use crate::memory::{Planner, Slot, Step};
use crate::op::epilogue::MOST;
use crate::op::pool::Geometry;
use crate::{DType, Extent, Result};
use bytemuck::{Pod, Zeroable};

const POOL: Source = Source::new("norm_pool", include_str!("../../../kernels/norm_pool.cu"));

/// The kernels, and how windows are shared by blocks: by the shape alone.
#[derive(Debug)]
pub(super) struct Pooled {
    apply: Kernel<ApplyPoolArgs>,
    gradient: Kernel<GradientPoolArgs>,
    columns: Kernel<ColumnsPoolArgs>,
    windows: WindowsArgs,
    /// Windows of a sample.
    area: usize,
    /// Windows of a block that writes, and of one that sums.
    sweep: usize,
    sum: usize,
    /// Blocks of 256 packs of channels.
    tiles: usize,
    partial: Slot,
    arrived: Slot,
}

/// Where the operands of a normalisation lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operands {
    pub x: Ptr,
    pub table: Ptr,
    pub scale: Ptr,
    pub shift: Ptr,
    pub relu: u32,
}

impl Pooled {
    /// Whether the kernels take it: the normalisation of a batch, 16 bytes of channels at a time, offsets in a window of 32 bits.
    pub fn suits(x: Extent, sets: Sets, g: &Geometry, dtype: DType) -> bool {
        let reach = g.window.size[0].saturating_mul(x.h * x.w).saturating_mul(x.c);
        sets.batch && x.c.is_multiple_of(16 / dtype.bytes()) && g.window.taps() <= MOST && reach < 1 << 31
    }

    pub fn plan(g: &Geometry, p: &mut Planner<'_>) -> Result<Self> {
        let (x, y, size) = (g.x, g.y, g.window.size);
        let packs = x.c / (16 / p.dtype().bytes());
        let tiles = packs.div_ceil(THREADS);
        let (all, cut) = (y.area().saturating_mul(p.capacity()), (packs.min(THREADS), tiles));
        let (sweep, sum) = (positions(all, packs, cut, 4, 1 << 32), positions(all, packs, cut, 8, 256));
        let mut cells = [0; MOST];
        for (i, cell) in cells.iter_mut().take(g.window.taps()).enumerate() {
            let (d, h, w) = (i / (size[1] * size[2]), i / size[2] % size[1], i % size[2]);
            *cell = (((d * x.h + h) * x.w + w) * x.c) as u32;
        }
        let windows = WindowsArgs {
            n: 0,
            area: x.area() as u64,
            chunk: 0,
            c: x.c as u32,
            along: y.space().map(Divisor::new),
            size: size.map(|n| n as u32),
            row: x.w as u32,
            plane: (x.h * x.w) as u32,
            taps: g.window.taps() as u32,
            unused: 0,
            cells,
        };
        Ok(Self {
            apply: p.typed_kernel(&POOL, "apply_pool")?,
            gradient: p.typed_kernel(&POOL, "gradient_pool")?,
            columns: p.typed_kernel(&POOL, "columns_pool")?,
            windows,
            area: y.area(),
            sweep,
            sum,
            tiles,
            partial: p
                .scratch(DType::F64, if p.mode().differentiable() { (2 * x.c).saturating_mul(all.div_ceil(sum)) } else { 0 }),
            arrived: p.lasting(DType::U32, tiles),
        })
    }

    /// The windows of the valid rows in chunks of so many, and the grid.
    fn windows(&self, s: &Step<'_>, chunk: usize) -> (WindowsArgs, Grid) {
        let n = s.rows() * self.area;
        let windows = WindowsArgs { n: n as u64, chunk: chunk as u32, ..self.windows };
        (windows, Grid::xyz(n.div_ceil(chunk), self.tiles, 1))
    }

    pub fn forward(&self, cuda: &Cuda, s: &Step<'_>, of: &Operands, y: Ptr) -> Result<()> {
        let (windows, grid) = self.windows(s, self.sweep);
        let &Operands { x, table, scale, shift, relu } = of;
        self.apply.launch(cuda, grid, &ApplyPoolArgs { x, y, table, scale, shift, windows, relu, unused: 0 })
    }

    /// dγ, dβ and the slopes, as `to` says but for the sums that they are made of.
    pub fn parameters(&self, cuda: &Cuda, s: &Step<'_>, of: &Operands, dy: Ptr, to: ParametersArgs) -> Result<()> {
        let (windows, grid) = self.windows(s, self.sum);
        let &Operands { x, table, scale, shift, relu } = of;
        let (partial, arrived) = (s.ptr(self.partial)?, s.ptr(self.arrived)?);
        let to = to.of(partial, windows.n.div_ceil(u64::from(windows.chunk)));
        let args = ColumnsPoolArgs { x, dy, table, scale, shift, partial, arrived, to, windows, relu, unused: 0 };
        self.columns.launch(cuda, grid, &args)
    }

    /// dx, or with `add` that added to what is there. `slopes` may be null.
    pub fn gradient(&self, cuda: &Cuda, s: &Step<'_>, of: &Operands, [dy, slopes, dx]: [Ptr; 3], add: bool) -> Result<()> {
        let (windows, grid) = self.windows(s, self.sweep);
        let &Operands { x, table, scale, shift, relu } = of;
        let args = GradientPoolArgs { x, dy, dx, table, slopes, scale, shift, windows, add: u32::from(add), relu };
        self.gradient.launch(cuda, grid, &args)
    }
}

/// As `Windows` in `norm_pool.cu`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct WindowsArgs {
    n: u64,
    area: u64,
    chunk: u32,
    c: u32,
    along: [Divisor; 3],
    size: [u32; 3],
    row: u32,
    plane: u32,
    taps: u32,
    unused: u32,
    cells: [u32; MOST],
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct ApplyPoolArgs {
    x: Ptr,
    y: Ptr,
    table: Ptr,
    scale: Ptr,
    shift: Ptr,
    windows: WindowsArgs,
    relu: u32,
    unused: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct GradientPoolArgs {
    x: Ptr,
    dy: Ptr,
    dx: Ptr,
    table: Ptr,
    slopes: Ptr,
    scale: Ptr,
    shift: Ptr,
    windows: WindowsArgs,
    add: u32,
    relu: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
struct ColumnsPoolArgs {
    x: Ptr,
    dy: Ptr,
    table: Ptr,
    scale: Ptr,
    shift: Ptr,
    partial: Ptr,
    arrived: Ptr,
    to: ParametersArgs,
    windows: WindowsArgs,
    relu: u32,
    unused: u32,
}
