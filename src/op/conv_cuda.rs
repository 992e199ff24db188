//! Convolution on a GPU: which kernel computes which direction, and its launches.
//!
//! | path | kernels | for |
//! |---|---|---|
//! | hopper | `conv_sm90.cu` | the same in bf16 and f16 from 32 columns and 64 products on, compute capability 9.0 |
//! | tensor | `conv_mma.cu` | channels and filters of a group in eighths, a reduced precision, compute capability 8.0 |
//! | few | `conv_few*`, `conv_few_weights` | one group of at most 4 input channels, at most 32 columns |
//! | grouped | `conv_grouped*` | groups of a few channels and filters: depthwise |
//! | wide, narrow | `conv.cu` | everything else, by the number of columns |
//!
//! Windows of one tap, or of a whole sample, are plain products (`conv_engine.rs`).
//!
//! The weight gradient is a long sum over the outputs of all samples. It is cut into chunks whose number depends on the
//! shape and the capacity alone; their sums go to a workspace and are added in order.

use super::activation_cuda::CudaActivation;
use super::conv::Geometry;
use super::conv_args::{ClearArgs, ConvArgs, Gather, Sizes, StartArgs, SumArgs, WeightArgs};
use super::conv_sm90::{self, Direction, HopperConvArgs, HopperWeightArgs};
use crate::device::{Cuda, Divisor, Grid, Kernel, Ptr, Source};
use crate::memory::GradMode;
use crate::{DType, Error, Precision, Result};
use bytemuck::Zeroable;
use std::fmt;

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

/// How a direction is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Path {
    /// Tensor cores by warpgroups, tiles of 128 by so many columns.
    Hopper { columns: usize },
    /// Tensor cores, tiles of 128 by so many columns.
    Tensor { columns: usize },
    /// Tiles of so many rows and columns.
    Tiles { rows: usize, columns: usize },
    /// Tiles of 2^`width` outputs side by side and so many columns.
    Few { columns: usize, width: u32 },
    /// So many columns for a thread (forward), for a block (weights).
    Grouped { columns: usize },
}

/// Outputs of a tile of `conv_few`, and of `conv_few_weights`.
const FEW: usize = 512;
const FEW_SUMMED: usize = 256;
/// The most shared memory of a block of the direct kernels: what every device has.
const SHARED: usize = 48 << 10;
/// Blocks that a weight gradient is cut into, if it is long enough: two for each multiprocessor of an H100.
const BLOCKS: usize = 264;

/// The units of a GPU that a precision may use.
#[derive(Clone, Copy, Debug)]
struct Units {
    /// The name of the tensor cores' type.
    tensor: Option<&'static str>,
    /// Warpgroups and the copy engine.
    hopper: bool,
    /// The columns of their tiles, where these are not to be chosen by the shape: for tests.
    columns: Option<usize>,
}

impl Units {
    fn new(precision: Precision, capability: (u32, u32)) -> Self {
        let tensor = match precision {
            _ if capability.0 < 8 => None,
            Precision::TF32 => Some("tf32"),
            Precision::FP32x3 => Some("tf32x3"),
            Precision::BF16 => Some("bf16"),
            Precision::FP16 => Some("f16"),
            Precision::FP32 | Precision::FP64 => None,
        };
        let hopper = capability == (9, 0) && matches!(precision, Precision::BF16 | Precision::FP16);
        Self { tensor, hopper, columns: None }
    }

    fn name(self) -> &'static str {
        self.tensor.unwrap_or_default()
    }
}

/// Shared memory of the three stages of a tensor kernel, as `conv_mma.cu` lays them out.
fn stages(precision: Precision, columns: usize, flip: bool, weights: bool) -> usize {
    let element = precision.storage().bytes();
    let (step, pad) = (64 / element, if element == 2 { 16 } else { 32 });
    let outer = |width: usize| step * (width * element + pad);
    let inner = |width: usize| width * 80;
    3 * match (weights, flip) {
        (true, _) => outer(128) + outer(columns),
        (false, true) => inner(128) + inner(columns),
        (false, false) => inner(128) + outer(columns),
    }
}

/// Whether tensor cores apply: their copies take 16 bytes.
fn eighths(s: &Sizes) -> bool {
    s.channels.is_multiple_of(8) && s.columns.is_multiple_of(8)
}

/// Whether groups are so small that a tile of a product would be mostly padding.
fn small(s: &Sizes) -> bool {
    s.g.groups > 1 && s.channels * s.columns <= 16
}

/// Shared memory of `conv_few`.
fn few_shared(s: &Sizes, columns: usize, width: u32) -> usize {
    let input = s.tiles(FEW, width).1;
    4 * (s.most_rows() * columns).saturating_add(input).max(128 * (columns + 4))
}

/// Shared memory of `conv_few_weights`.
fn few_weights_shared(s: &Sizes, filters: usize, width: u32) -> usize {
    4 * (FEW_SUMMED * filters).saturating_add(s.tiles(FEW_SUMMED, width).1).max(256 * 36)
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

/// The kernel of a path.
enum Gathers {
    Hopper(Kernel<HopperConvArgs>),
    Other(Kernel<ConvArgs>),
}

impl Gathering {
    fn new(g: &Geometry, flip: bool, capacity: usize, (precision, units): (Precision, Units), cuda: &Cuda) -> Result<Self> {
        let s = Sizes::new(g, flip)?;
        let suffix = precision.storage().suffix();
        let path = Self::path(&s, flip, capacity, units);
        let four = if s.channels.is_multiple_of(4) { "4" } else { "" };
        let name = match path {
            Path::Hopper { columns } => format!("conv_sm90_{}{suffix}_{columns}", if flip { "flip_" } else { "" }),
            Path::Tensor { columns } => format!("conv_{}{}_{columns}", if flip { "flip_" } else { "" }, units.name()),
            Path::Tiles { columns: 16, .. } => format!("conv_narrow{four}_{suffix}"),
            Path::Tiles { .. } => format!("conv_wide{four}_{suffix}"),
            Path::Few { columns, .. } => format!("conv_few{columns}_{suffix}"),
            Path::Grouped { columns } => format!("conv_grouped{}_{suffix}", if columns == 4 { "4" } else { "" }),
        };
        let shared = match path {
            Path::Tensor { columns } => stages(precision, columns, flip, false),
            Path::Few { columns, width } => few_shared(&s, columns, width),
            _ => 0,
        };
        let direction = if flip { Direction::Flip } else { Direction::Forward };
        let source = source(path, direction, precision);
        let kernel = match path {
            Path::Hopper { .. } => Gathers::Hopper(cuda.kernel(source, &name)?),
            _ => Gathers::Other(cuda.kernel(source, &name)?),
        };
        let start = s.sparse.then(|| cuda.kernel(&SUM, &format!("conv_start_{suffix}"))).transpose()?;
        let narrow = matches!(path, Path::Tensor { .. } | Path::Hopper { .. });
        let (launches, dtype) = (s.launches(), precision.storage());
        let this = Self { launches, sizes: s, path, flip, dtype, name, kernel, start, shared, narrow };
        fits(this.blocks(capacity), capacity)?;
        Ok(this)
    }

    fn path(s: &Sizes, flip: bool, capacity: usize, units: Units) -> Path {
        if units.tensor.is_some() && eighths(s) {
            let hopper = conv_sm90::gathering(s, flip, capacity).filter(|_| units.hopper);
            let columns = if s.columns > 64 { 128 } else { 64 };
            return hopper.map_or(Path::Tensor { columns }, |chosen| Path::Hopper { columns: units.columns.unwrap_or(chosen) });
        }
        if small(s) {
            let four = s.channels == 1 && s.columns == 1 && s.g.groups.is_multiple_of(4);
            return Path::Grouped { columns: if four { 4 } else { 1 } };
        }
        let (columns, width) = (if s.columns > 8 { 16 } else { 8 }, s.width(FEW));
        if s.g.groups == 1 && s.channels <= 4 && s.columns <= 32 && few_shared(s, columns, width) <= SHARED {
            return Path::Few { columns, width };
        }
        if s.columns <= 16 { Path::Tiles { rows: 256, columns: 16 } } else { Path::Tiles { rows: 128, columns: 64 } }
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

    fn run(&self, cuda: &Cuda, rows: usize, (x, w, y): (Ptr, Ptr, Ptr), end: CudaEnd) -> Result<()> {
        if rows == 0 {
            return Ok(());
        }
        let CudaEnd { bias, act, z, mode } = end;
        let s = &self.sizes;
        if let (Some(start), GradMode::Write) = (&self.start, mode) {
            let n = rows * s.y_len();
            let channels = Divisor::new(s.columns * s.g.groups as usize);
            start.launch(cuda, Grid::cover(n), &StartArgs { bias, y, z, n: n as u64, act, channels, unused: 0 })?;
        }
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
            group: Divisor::new(s.columns),
            ..ConvArgs::zeroed()
        };
        match self.path {
            Path::Few { width, .. } => args.width = width,
            Path::Grouped { columns } => args.across = Divisor::new(self.across(columns)),
            _ => {}
        }
        for g in &self.launches {
            args.g = *g;
            args.g.rows = rows as u32;
            let kernel = match &self.kernel {
                Gathers::Hopper(kernel) => {
                    self.on_hopper(kernel, cuda, args)?;
                    continue;
                }
                Gathers::Other(kernel) => kernel,
            };
            let parts = g.parts as usize;
            let grid = match self.path {
                Path::Grouped { .. } => Grid::xyz(self.blocks(rows), rows.min(65535), parts),
                _ => Grid::blocks(self.blocks(rows) / self.launches[0].parts as usize * parts),
            };
            kernel.launch(cuda, grid.shared(self.shared), &args)?;
        }
        Ok(())
    }

    fn on_hopper(&self, kernel: &Kernel<HopperConvArgs>, cuda: &Cuda, args: ConvArgs) -> Result<()> {
        let Path::Hopper { columns } = self.path else { return Err(unplanned()) };
        let plain = args.add == 0 && args.z == Ptr::NULL;
        conv_sm90::Launch { s: &self.sizes, flip: self.flip, columns, dtype: self.dtype, plain }.run(kernel, cuda, args)
    }
}

/// The kernel of a path.
enum Sums {
    Hopper(Kernel<HopperWeightArgs>, DType),
    Other(Kernel<WeightArgs>),
}

/// dw from x and dy.
struct Weights {
    sizes: Sizes,
    launches: Vec<Gather>,
    path: Path,
    name: String,
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
    fn new(g: &Geometry, capacity: usize, (precision, units): (Precision, Units), cuda: &Cuda) -> Result<Self> {
        let s = Sizes::new(g, false)?;
        let len = g.weight_len()?;
        let suffix = precision.storage().suffix();
        let path = Self::path(&s, units);
        let four = if s.channels.is_multiple_of(4) { "4" } else { "" };
        let name = match path {
            Path::Hopper { columns } => format!("conv_sm90_weights_{suffix}_{columns}"),
            Path::Tensor { columns } => format!("conv_weights_{}_{columns}", units.name()),
            Path::Tiles { columns: 16, .. } => format!("conv_weights_narrow{four}_{suffix}"),
            Path::Tiles { .. } => format!("conv_weights_wide{four}_{suffix}"),
            Path::Few { .. } => format!("conv_few_weights_{suffix}"),
            Path::Grouped { .. } => format!("conv_grouped_weights_{suffix}"),
        };
        let (shared, tiles, blocks) = match path {
            Path::Tensor { columns } => {
                let tiles = (s.most_rows().div_ceil(128), s.columns.div_ceil(columns));
                (stages(precision, columns, false, true), tiles, tiles.0 * tiles.1 * g.groups)
            }
            Path::Hopper { columns } => {
                let tiles = (s.most_rows().div_ceil(conv_sm90::ROWS), s.columns.div_ceil(columns));
                (0, tiles, tiles.0 * tiles.1 * g.groups)
            }
            Path::Tiles { rows, columns } => {
                let tiles = (s.most_rows().div_ceil(rows), s.columns.div_ceil(columns));
                (0, tiles, tiles.0 * tiles.1 * g.groups)
            }
            Path::Few { columns, width } => {
                let tiles = (s.tiles(FEW_SUMMED, width).0, s.columns.div_ceil(columns));
                (few_weights_shared(&s, columns, width), tiles, tiles.1)
            }
            Path::Grouped { columns } => {
                let tiles = (s.most_rows().div_ceil(4), g.y.c.div_ceil(columns));
                (0, tiles, tiles.0 * tiles.1)
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
        let source = source(path, Direction::Weights, precision);
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

    fn path(s: &Sizes, units: Units) -> Path {
        if units.tensor.is_some() && eighths(s) {
            let hopper = conv_sm90::weights(s).filter(|_| units.hopper);
            let columns = if s.columns > 64 { 128 } else { 64 };
            return hopper.map_or(Path::Tensor { columns }, |chosen| Path::Hopper { columns: units.columns.unwrap_or(chosen) });
        }
        if small(s) {
            return Path::Grouped { columns: 32 };
        }
        let (columns, width) = (s.columns.next_power_of_two().clamp(8, 32), s.width(FEW_SUMMED));
        let items = s.most_rows().div_ceil(4) * (columns / 8);
        if s.g.groups == 1 && s.channels <= 4 && items <= 256 && few_weights_shared(s, columns, width) <= SHARED {
            return Path::Few { columns, width };
        }
        Path::Tiles { rows: 128, columns: if s.columns <= 16 { 16 } else { 64 } }
    }

    /// Elements of the workspace.
    fn work(&self) -> usize {
        if self.chunks > 1 { self.chunks * self.len } else { 0 }
    }

    fn run(&self, cuda: &Cuda, rows: usize, (x, dy, dw): (Ptr, Ptr, Ptr), mode: GradMode, work: Ptr) -> Result<()> {
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

/// The part of a file that has kernels of one path for one precision: compiling all would take seconds.
fn source(path: Path, direction: Direction, precision: Precision) -> &'static Source {
    use crate::DType::{Bf16, F16};
    match (path, precision, precision.storage()) {
        (Path::Hopper { .. }, _, dtype) => conv_sm90::source(direction, dtype),
        (Path::Tensor { .. }, Precision::TF32, _) => &MMA_TF32,
        (Path::Tensor { .. }, Precision::FP32x3, _) => &MMA_TF32X3,
        (Path::Tensor { .. }, _, Bf16) => &MMA_BF16,
        (Path::Tensor { .. }, _, _) => &MMA_F16,
        (Path::Tiles { .. }, _, Bf16) => &TILES_BF16,
        (Path::Tiles { .. }, _, F16) => &TILES_F16,
        (Path::Tiles { .. }, _, _) => &TILES_F32,
        (Path::Few { .. } | Path::Grouped { .. }, _, Bf16) => &DIRECT_BF16,
        (Path::Few { .. } | Path::Grouped { .. }, _, F16) => &DIRECT_F16,
        (Path::Few { .. } | Path::Grouped { .. }, _, _) => &DIRECT_F32,
    }
}

macro_rules! part {
    ($name:literal, $define:literal, $file:literal) => {
        Source::new($name, concat!("#define ", $define, "\n", include_str!(concat!("../../kernels/", $file))))
    };
}
const SUM: Source = Source::new("conv_sum", include_str!("../../kernels/conv_sum.cu"));
const TILES_F32: Source = part!("conv_f32", "CONV_F32", "conv.cu");
const TILES_BF16: Source = part!("conv_bf16", "CONV_BF16", "conv.cu");
const TILES_F16: Source = part!("conv_f16", "CONV_F16", "conv.cu");
const DIRECT_F32: Source = part!("conv_direct_f32", "CONV_F32", "conv_direct.cu");
const DIRECT_BF16: Source = part!("conv_direct_bf16", "CONV_BF16", "conv_direct.cu");
const DIRECT_F16: Source = part!("conv_direct_f16", "CONV_F16", "conv_direct.cu");
const MMA_BF16: Source = part!("conv_mma_bf16", "CONV_BF16", "conv_mma.cu");
const MMA_F16: Source = part!("conv_mma_f16", "CONV_F16", "conv_mma.cu");
const MMA_TF32: Source = part!("conv_mma_tf32", "CONV_TF32", "conv_mma.cu");
const MMA_TF32X3: Source = part!("conv_mma_tf32x3", "CONV_TF32X3", "conv_mma.cu");

#[cfg(test)]
pub(super) mod tests;
