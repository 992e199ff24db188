//! The weight gradient of a convolution on a GPU: a long sum over the outputs of all samples, cut into chunks whose number depends on
//! the shape and the capacity alone. Their sums go to a workspace and are added in order.

use super::{SUM, fits, unplanned};
use crate::device::{Cuda, Divisor, Grid, Kernel, Ptr};
use crate::memory::GradMode;
use crate::op::conv::Geometry;
use crate::op::conv_args::{ClearArgs, Gather, Sizes, SumArgs, WeightArgs};
use crate::op::conv_sm90::{self, Direction, HopperWeightArgs};
use crate::op::conv_table::{FEW_SUMMED, Path, Units};
use crate::{DType, Precision, Result};
use bytemuck::Zeroable;

/// Blocks that a weight gradient is cut into, if it is long enough: two for each multiprocessor of an H100.
const BLOCKS: usize = 264;

/// The kernel of a path.
enum Sums {
    Hopper(Kernel<HopperWeightArgs>, DType),
    Other(Kernel<WeightArgs>),
}

/// dw from x and dy.
pub(super) struct Weights {
    sizes: Sizes,
    launches: Vec<Gather>,
    path: Path,
    pub name: String,
    kernel: Sums,
    sum: Kernel<SumArgs>,
    /// Where some weights meet no output.
    clear: Option<Kernel<ClearArgs>>,
    shared: usize,
    /// Elements of dw.
    len: usize,
    /// Parts of the sum, and outputs (few channels: tiles) of each.
    chunks: usize,
    length: usize,
    /// Tiles of weight rows (few channels: of outputs of a sample) and of filters.
    tiles: (usize, usize),
}

impl Weights {
    pub fn new(g: &Geometry, capacity: usize, (precision, units): (Precision, Units), cuda: &Cuda) -> Result<Self> {
        let s = Sizes::new(g, false)?;
        let len = g.weight_len()?;
        let path = Path::weights(&s, units);
        let (name, source, shared) = path.kernel(Direction::Weights, &s, precision);
        let (tiles, blocks) = match path {
            Path::Tensor { columns } | Path::Hopper { columns } | Path::Tiles { columns, .. } => {
                let tiles = (s.most_rows().div_ceil(128), s.columns.div_ceil(columns));
                (tiles, tiles.0 * tiles.1 * g.groups)
            }
            Path::Few { columns, width } => {
                let tiles = (s.tiles(FEW_SUMMED, width).0, s.columns.div_ceil(columns));
                (tiles, tiles.1)
            }
            Path::Grouped { columns } => {
                let tiles = (s.most_rows().div_ceil(4), g.y.c.div_ceil(columns));
                (tiles, tiles.0 * tiles.1)
            }
        };
        // Positions to sum, and the fewest that are worth a block.
        let (total, least) = match path {
            Path::Few { .. } => (capacity.saturating_mul(tiles.0), 1),
            Path::Grouped { .. } => (capacity.saturating_mul(s.most_outputs()), 64),
            _ => (capacity.saturating_mul(s.most_outputs()), 256),
        };
        let launches = s.launches();
        let parts = launches.first().map_or(0, |g| g.parts as usize);
        let chunks = BLOCKS.div_ceil((blocks * parts).max(1)).min(total / least).max(total.div_ceil(1 << 29)).max(1);
        let (chunks, length) = match path {
            Path::Hopper { columns } => conv_sm90::chunks(blocks, columns, total, len),
            _ => (chunks, total.div_ceil(chunks).max(1)),
        };
        let kernel = match path {
            Path::Hopper { .. } => Sums::Hopper(cuda.kernel(source, &name)?, precision.storage()),
            _ => Sums::Other(cuda.kernel(source, &name)?),
        };
        let covered: usize = s.parts.iter().map(|p| p.all as usize).sum();
        let this = Self {
            kernel,
            sum: cuda.kernel(&SUM, "conv_sum")?,
            clear: (covered < g.window.taps()).then(|| cuda.kernel(&SUM, "conv_clear")).transpose()?,
            sizes: s,
            path,
            name,
            shared,
            len,
            chunks,
            length,
            tiles,
            launches,
        };
        fits([chunks, parts].into_iter().fold(blocks, usize::saturating_mul), capacity)?;
        Ok(this)
    }

    /// Elements of the workspace.
    pub fn work(&self) -> usize {
        if self.chunks > 1 { self.chunks * self.len } else { 0 }
    }

    pub fn run(&self, cuda: &Cuda, rows: usize, (x, dy, dw): (Ptr, Ptr, Ptr), mode: GradMode, work: Ptr) -> Result<()> {
        let (s, direct) = (&self.sizes, self.chunks == 1);
        let add = u32::from(mode == GradMode::Add);
        let to = if direct { dw } else { work };
        if let Some(clear) = self.clear.as_ref().filter(|_| !direct || mode == GradMode::Write) {
            let n = self.chunks * self.len;
            clear.launch(cuda, Grid::cover(n), &ClearArgs { dw: to, n: n as u64 })?;
        }
        let mut args = WeightArgs {
            x,
            dy,
            dw: to,
            weights: self.len as u64,
            m_tiles: self.tiles.0 as u32,
            n_tiles: self.tiles.1 as u32,
            chunks: self.chunks as u32,
            length: self.length as u32,
            add: if direct { add } else { 0 },
            group: Divisor::new(s.columns),
            ..WeightArgs::zeroed()
        };
        let each = match self.path {
            Path::Few { columns, width } => {
                (args.width, args.filters) = (width, columns.ilog2());
                self.tiles.1
            }
            Path::Grouped { .. } => self.tiles.0 * self.tiles.1,
            _ => self.tiles.0 * self.tiles.1 * s.g.groups as usize,
        };
        for g in &self.launches {
            args.g = *g;
            args.g.rows = rows as u32;
            let grid = Grid::blocks(each * self.chunks * g.parts as usize).shared(self.shared);
            match (&self.kernel, self.path) {
                (Sums::Hopper(kernel, dtype), Path::Hopper { columns }) => {
                    conv_sm90::run_weights(kernel, cuda, (s, columns, *dtype), args)?;
                }
                (Sums::Other(kernel), _) => kernel.launch(cuda, grid, &args)?,
                (Sums::Hopper(..), _) => return Err(unplanned()),
            }
        }
        if direct {
            return Ok(());
        }
        let args = SumArgs { parts: work, dw, n: self.len as u64, chunks: self.chunks as u32, add };
        self.sum.launch(cuda, Grid::cover(self.len), &args)
    }
}
