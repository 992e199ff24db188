//! Convolution on a GPU: the launches of its kernels. Which of them computes what says `conv_table.rs`.
//!
//! Windows of one tap, or of a whole sample, are plain products (`conv_engine.rs`).

mod weights;

use super::activation_cuda::CudaActivation;
use super::bands::{BandArgs, Statistics};
use super::conv::Geometry;
use super::conv_args::{ConvArgs, Gather, MomentsArgs, Sizes, StartArgs};
use super::conv_sm90::{self, Direction, HopperConvArgs, HopperMomentsArgs};
use super::conv_table::{FEW, Path, Units};
use super::pool::Geometry as Pooling;
use crate::device::{Cuda, Device, Divisor, Grid, Kernel, Ptr, Source};
use crate::memory::{GradMode, Planner};
use crate::{DType, Error, Precision, Result};
use bytemuck::Zeroable;
use std::fmt;
use std::sync::Arc;
use weights::Weights;

/// What happens to a result on its way to memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CudaEnd {
    /// Added to every row; may be null.
    pub bias: Ptr,
    /// Applied to the sum.
    pub act: CudaActivation,
    /// Where the values before the activation are kept, if not null.
    pub z: Ptr,
    /// Whether to overwrite, or to add to what is there (then without bias and activation).
    pub mode: GradMode,
}

impl CudaEnd {
    /// The plain result.
    pub const fn plain(mode: GradMode) -> Self {
        Self { bias: Ptr::NULL, act: CudaActivation::LINEAR, z: Ptr::NULL, mode }
    }
}

/// y = gather(x, w): the forward pass, or the gradient wrt the input.
struct Gathering {
    sizes: Sizes,
    launches: Vec<Gather>,
    path: Path,
    flip: bool,
    dtype: DType,
    /// The full name of the kernel.
    name: String,
    kernel: Gathers,
    start: Option<Kernel<StartArgs>>,
    shared: usize,
    /// Whether the kernel reads weights in the type of activations.
    narrow: bool,
}

/// A forward pass on tensor cores that can find the moments of its results.
#[derive(Debug)]
pub(crate) struct Measurable {
    name: String,
    source: &'static Source,
    hopper: bool,
    /// Blocks of columns.
    blocks: usize,
}

/// The kernel that does.
#[derive(Debug)]
pub(crate) struct Measurer(Measures);

#[derive(Debug)]
enum Measures {
    Hopper(Kernel<HopperMomentsArgs>),
    Tensor(Kernel<MomentsArgs>),
}

/// And for whom.
#[derive(Debug)]
pub(crate) struct Measuring {
    pub kernel: Measurer,
    pub statistics: Arc<Statistics>,
}

impl Measurable {
    fn kernel(&self, cuda: &Cuda) -> Result<Measurer> {
        Ok(Measurer(match self.hopper {
            true => Measures::Hopper(cuda.kernel(self.source, &self.name)?),
            false => Measures::Tensor(cuda.kernel(self.source, &self.name)?),
        }))
    }

    /// Has it done from now on. `p` plans from this forward pass to the one that wants to know.
    pub fn measure(&self, statistics: &Arc<Statistics>, p: &mut Planner<'_>) -> Result<Measuring> {
        let Device::Cuda(cuda) = p.device() else { return Err(Error::order("convolution", "planned for a CPU")) };
        let kernel = self.kernel(cuda)?;
        p.kernels.borrow_mut().push((p.node, self.name.clone()));
        statistics.find(self.blocks, p)?;
        Ok(Measuring { kernel, statistics: statistics.clone() })
    }
}

/// The kernel of a path.
enum Gathers {
    Hopper(Kernel<HopperConvArgs>),
    Other(Kernel<ConvArgs>),
}

impl Gathering {
    fn new(g: &Geometry, flip: bool, capacity: usize, (precision, units): (Precision, Units), cuda: &Cuda) -> Result<Self> {
        let s = Sizes::new(g, flip)?;
        let path = Path::gathering(&s, flip, capacity, units);
        let direction = if flip { Direction::Flip } else { Direction::Forward };
        let (name, source, shared) = path.kernel(direction, &s, precision);
        let kernel = match path {
            Path::Hopper { .. } => Gathers::Hopper(cuda.kernel(source, &name)?),
            _ => Gathers::Other(cuda.kernel(source, &name)?),
        };
        let start = s.sparse.then(|| cuda.kernel(&SUM, &format!("conv_start_{}", precision.storage().suffix()))).transpose()?;
        let narrow = matches!(path, Path::Tensor { .. } | Path::Hopper { .. });
        let (launches, dtype) = (s.launches(), precision.storage());
        let this = Self { launches, sizes: s, path, flip, dtype, name, kernel, start, shared, narrow };
        fits(this.blocks(capacity), capacity)?;
        Ok(this)
    }

    /// Tiles of outputs of a part and group (few channels: of a sample), and of columns.
    fn tiles(&self, rows: usize) -> (usize, usize) {
        let (m, n) = match self.path {
            Path::Tensor { columns } | Path::Hopper { columns } => (128, columns),
            Path::Tiles { rows, columns } => (rows, columns),
            Path::Few { columns, width } => return (self.sizes.tiles(FEW, width).0, self.sizes.columns.div_ceil(columns)),
            Path::Grouped { .. } => (1, 1),
        };
        (rows.saturating_mul(self.sizes.most_outputs()).div_ceil(m), self.sizes.columns.div_ceil(n))
    }

    /// Blocks of a launch of all parts.
    fn blocks(&self, rows: usize) -> usize {
        let ((m, n), parts) = (self.tiles(rows), self.launches.first().map_or(0, |g| g.parts as usize));
        let each = match self.path {
            Path::Few { .. } => rows,
            // In x; samples lie in y.
            Path::Grouped { columns } => return (self.sizes.most_outputs() * self.across(columns)).div_ceil(256),
            _ => self.sizes.g.groups as usize,
        };
        [n, each, parts].into_iter().fold(m, usize::saturating_mul)
    }

    /// Columns of all groups, by so many.
    fn across(&self, columns: usize) -> usize {
        self.sizes.columns * self.sizes.g.groups as usize / columns
    }

    /// The forward pass with the moments of its results, where each output is there once.
    fn measurable(&self, capacity: usize, precision: Precision) -> Option<Measurable> {
        let s = &self.sizes;
        let hopper = match self.path {
            Path::Hopper { .. } if conv_sm90::sends(s, capacity) => true,
            Path::Tensor { .. } if s.whole() => false,
            _ => return None,
        };
        if self.flip || s.sparse {
            return None;
        }
        let (name, source, _) = self.path.kernel(Direction::Moments, s, precision);
        Some(Measurable { name, source, hopper, blocks: self.tiles(capacity).1 * s.g.groups as usize })
    }

    fn measure(&self, cuda: &Cuda, rows: usize, p: (Ptr, Ptr, Ptr), end: CudaEnd, by: (&Measurer, BandArgs)) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let (Some(g), (kernel, bands)) = (self.launches.first(), by) else { return Err(unplanned()) };
        let args = ConvArgs { g: Gather { rows: rows as u32, ..*g }, ..self.args(rows, p, end) };
        match &kernel.0 {
            Measures::Hopper(kernel) => self.hopper(&args)?.run_with_moments(kernel, cuda, args, bands),
            Measures::Tensor(kernel) => {
                let grid = Grid::blocks(self.blocks(rows)).shared(self.shared);
                kernel.launch(cuda, grid, &MomentsArgs { c: args, bands })
            }
        }
    }

    /// The arguments of a launch, but for its parts.
    fn args(&self, rows: usize, (x, w, y): (Ptr, Ptr, Ptr), end: CudaEnd) -> ConvArgs {
        let CudaEnd { bias, act, z, mode } = end;
        let (m_tiles, n_tiles) = self.tiles(rows);
        let mut args = ConvArgs {
            x,
            w,
            bias,
            y,
            z,
            act,
            m_tiles: m_tiles as u32,
            n_tiles: n_tiles as u32,
            add: u32::from(mode == GradMode::Add),
            group: Divisor::new(self.sizes.columns),
            ..ConvArgs::zeroed()
        };
        match self.path {
            Path::Few { width, .. } => args.width = width,
            Path::Grouped { columns } => args.across = Divisor::new(self.across(columns)),
            _ => {}
        }
        args
    }

    fn run(&self, cuda: &Cuda, rows: usize, p: (Ptr, Ptr, Ptr), end: CudaEnd) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let s = &self.sizes;
        if let (Some(start), GradMode::Write) = (&self.start, end.mode) {
            let (n, CudaEnd { bias, act, z, .. }) = (rows * s.y_len(), end);
            let channels = Divisor::new(s.columns * s.g.groups as usize);
            start.launch(cuda, Grid::cover(n), &StartArgs { bias, y: p.2, z, n: n as u64, act, channels, unused: 0 })?;
        }
        let args = self.args(rows, p, end);
        self.launches.iter().try_for_each(|g| {
            let g = Gather { rows: rows as u32, ..*g };
            self.launch(cuda, rows, ConvArgs { g, ..args })
        })
    }

    /// One launch of those for so many rows.
    fn launch(&self, cuda: &Cuda, rows: usize, args: ConvArgs) -> Result<()> {
        let kernel = match &self.kernel {
            Gathers::Hopper(kernel) => return self.hopper(&args)?.run(kernel, cuda, args),
            Gathers::Other(kernel) => kernel,
        };
        let parts = args.g.parts as usize;
        let grid = match self.path {
            Path::Grouped { .. } => Grid::xyz(self.blocks(rows), rows.min(65535), parts),
            _ => Grid::blocks(self.blocks(rows) / self.launches[0].parts as usize * parts),
        };
        kernel.launch(cuda, grid.shared(self.shared), &args)
    }

    /// Whether it can take the maximum over windows of its results.
    fn pools(&self) -> bool {
        let (s, tensor) = (&self.sizes, matches!(self.path, Path::Hopper { .. } | Path::Tensor { .. }));
        tensor && !self.flip && !s.sparse && s.whole()
    }

    fn pooled(&self, cuda: &Cuda, rows: usize, p: (Ptr, Ptr, Ptr), end: CudaEnd, (pool, winner): (&Pooling, Ptr)) -> Result<()> {
        let Some(g) = self.launches.first().filter(|_| rows > 0) else { return Ok(()) };
        let g = Gather { rows: rows as u32, ..g.pooled(pool) };
        self.launch(cuda, rows, ConvArgs { g, winner, ..self.args(rows, p, end) })
    }

    fn hopper(&self, args: &ConvArgs) -> Result<conv_sm90::Launch<'_>> {
        let Path::Hopper { columns } = self.path else { return Err(unplanned()) };
        let plain = args.add == 0 && args.z == Ptr::NULL && args.g.cells == [0; 3];
        Ok(conv_sm90::Launch { s: &self.sizes, flip: self.flip, columns, dtype: self.dtype, plain })
    }
}

fn fits(blocks: usize, capacity: usize) -> Result<()> {
    if blocks <= i32::MAX as usize && capacity <= i32::MAX as usize {
        return Ok(());
    }
    Err(Error::shape("convolution on a GPU", "too many tiles")
        .expected("at most 2^31 - 1")
        .got(blocks)
        .hint("use a smaller batch"))
}

/// The convolution of one geometry on a GPU, without memory of its own.
pub(crate) struct CudaConv {
    forward: Option<Gathering>,
    backward: Option<Gathering>,
    weights: Option<Weights>,
}

impl CudaConv {
    /// Plans all directions, or only the one that inference takes: forward, or (`flip`) backward.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for sizes that do not fit the kernels' indices, and those of
    /// [`Cuda::kernel`].
    pub fn new(g: &Geometry, capacity: usize, precision: Precision, only: Option<bool>, cuda: &Cuda) -> Result<Self> {
        Self::by(Units::new(precision, cuda.capability()), g, capacity, precision, only, cuda)
    }

    fn by(units: Units, g: &Geometry, capacity: usize, precision: Precision, only: Option<bool>, cuda: &Cuda) -> Result<Self> {
        let how = (precision, units);
        let gathering = |flip: bool| {
            let wanted = only.is_none_or(|only| only == flip);
            wanted.then(|| Gathering::new(g, flip, capacity, how, cuda)).transpose()
        };
        let weights = only.is_none().then(|| Weights::new(g, capacity, how, cuda)).transpose()?;
        Ok(Self { forward: gathering(false)?, backward: gathering(true)?, weights })
    }

    /// The kernels of the planned directions: forward, backward, weights.
    pub fn path(&self) -> [&str; 3] {
        let [forward, backward] = [&self.forward, &self.backward].map(|g| g.as_ref().map_or("", |g| &*g.name));
        [forward, backward, self.weights.as_ref().map_or("", |w| &*w.name)]
    }

    /// Elements (f32) of the workspace for weight gradients.
    pub fn work(&self) -> usize {
        self.weights.as_ref().map_or(0, Weights::work)
    }

    /// Whether the forward and the backward pass read weights in the type of activations; otherwise they read f32.
    pub fn narrow(&self) -> bool {
        [&self.forward, &self.backward].into_iter().flatten().any(|g| g.narrow)
    }

    /// y = conv(x, w), with an end, of (x, w, y).
    pub fn forward(&self, cuda: &Cuda, rows: usize, p: (Ptr, Ptr, Ptr), end: CudaEnd) -> Result<()> {
        self.forward.as_ref().ok_or_else(unplanned)?.run(cuda, rows, p, end)
    }

    /// A forward pass without activation that finds the moments of its results, if there is one for this geometry.
    pub fn measurable(&self, capacity: usize, precision: Precision) -> Option<Measurable> {
        self.forward.as_ref()?.measurable(capacity, precision)
    }

    /// y = conv(x, w) with a bias, of (x, w, y), and the moments of y.
    pub fn measure(&self, cuda: &Cuda, rows: usize, p: (Ptr, Ptr, Ptr), end: CudaEnd, by: (&Measurer, BandArgs)) -> Result<()> {
        self.forward.as_ref().ok_or_else(unplanned)?.measure(cuda, rows, p, end, by)
    }

    /// Whether the forward pass can take the maximum over windows of its results, if they are such that [`Gather::pools`] them.
    pub fn pools(&self) -> bool {
        self.forward.as_ref().is_some_and(Gathering::pools)
    }

    /// y = the maximum over windows of conv(x, w) with an end, of (x, w, y), and which cell of its window each came from, a byte for
    /// each, if `winner` is not null.
    pub fn pooled(&self, cuda: &Cuda, rows: usize, p: (Ptr, Ptr, Ptr), end: CudaEnd, by: (&Pooling, Ptr)) -> Result<()> {
        self.forward.as_ref().ok_or_else(unplanned)?.pooled(cuda, rows, p, end, by)
    }

    /// dx, of (dy, w, dx); with a bias it is the forward pass of the transposed convolution.
    pub fn backward(&self, cuda: &Cuda, rows: usize, p: (Ptr, Ptr, Ptr), end: CudaEnd) -> Result<()> {
        self.backward.as_ref().ok_or_else(unplanned)?.run(cuda, rows, p, end)
    }

    /// dw, of (x, dy, dw).
    pub fn weights(&self, cuda: &Cuda, rows: usize, p: (Ptr, Ptr, Ptr), mode: GradMode, work: Ptr) -> Result<()> {
        self.weights.as_ref().ok_or_else(unplanned)?.run(cuda, rows, p, mode, work)
    }
}

impl fmt::Debug for CudaConv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [forward, backward, weights] = self.path();
        write!(f, "CudaConv(forward {forward}, backward {backward}, weights {weights})")
    }
}

fn unplanned() -> Error {
    Error::order("convolution", "this direction was not planned").hint("plan with gradients")
}

const SUM: Source = Source::new("conv_sum", include_str!("../../kernels/conv_sum.cu"));

#[cfg(test)]
pub(super) mod tests;
