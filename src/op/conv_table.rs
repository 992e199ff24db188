//! Which kernel convolves what on a GPU: the table of convolutions.
//!
//! | path | kernels | for |
//! |---|---|---|
//! | hopper | `conv_sm90.cu` | as tensor, in bf16 and f16, from 32 columns and 64 products on, compute capability 9.0 |
//! | tensor | `conv_mma.cu` | channels and filters of a group in eighths, a reduced precision, compute capability 8.0 |
//! | few | `conv_few*`, `conv_few_weights` | one group of at most 4 input channels, at most 32 columns |
//! | grouped | `conv_grouped*` | groups of a few channels and filters: depthwise |
//! | wide, narrow | `conv.cu` | everything else, by the number of columns |
//!
//! Path and tiles follow from the shape and the planned capacity and nothing else, so equal plans give equal bits.

use super::conv_args::Sizes;
use super::conv_sm90::{self, Direction};
use crate::device::Source;
use crate::{DType, Precision};

/// How a direction is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
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
pub(super) const FEW: usize = 512;
pub(super) const FEW_SUMMED: usize = 256;
/// The most shared memory of a block of the direct kernels: what every device has.
const SHARED: usize = 48 << 10;

/// The units of a GPU that a precision may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Units {
    /// Tensor cores.
    pub tensor: bool,
    /// Warpgroups and the copy engine.
    pub hopper: bool,
    /// The columns of their tiles, where these are not to be chosen by the shape: for tests.
    pub columns: Option<usize>,
}

/// The name of the tensor cores' type.
fn unit(precision: Precision) -> &'static str {
    match precision {
        Precision::TF32 => "tf32",
        Precision::FP32x3 => "tf32x3",
        other => other.storage().suffix(),
    }
}

impl Units {
    pub fn new(precision: Precision, capability: (u32, u32)) -> Self {
        let tensor = capability.0 >= 8 && !matches!(precision, Precision::FP32 | Precision::FP64);
        let hopper = capability == (9, 0) && matches!(precision, Precision::BF16 | Precision::FP16);
        Self { tensor, hopper, columns: None }
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

impl Path {
    /// Of the forward pass, or (`flip`) of the gradient wrt the input.
    pub fn gathering(s: &Sizes, flip: bool, capacity: usize, units: Units) -> Self {
        if units.tensor && eighths(s) {
            let hopper = conv_sm90::gathering(s, flip, capacity).filter(|_| units.hopper);
            let columns = if s.columns > 64 { 128 } else { 64 };
            return hopper.map_or(Self::Tensor { columns }, |chosen| Self::Hopper { columns: units.columns.unwrap_or(chosen) });
        }
        if small(s) {
            let four = s.channels == 1 && s.columns == 1 && s.g.groups.is_multiple_of(4);
            return Self::Grouped { columns: if four { 4 } else { 1 } };
        }
        let (columns, width) = (if s.columns > 8 { 16 } else { 8 }, s.width(FEW));
        if s.g.groups == 1 && s.channels <= 4 && s.columns <= 32 && few_shared(s, columns, width) <= SHARED {
            return Self::Few { columns, width };
        }
        if s.columns <= 16 { Self::Tiles { rows: 256, columns: 16 } } else { Self::Tiles { rows: 128, columns: 64 } }
    }

    /// Of the weight gradient.
    pub fn weights(s: &Sizes, units: Units) -> Self {
        if units.tensor && eighths(s) {
            let hopper = conv_sm90::weights(s).filter(|_| units.hopper);
            let columns = if s.columns > 64 { 128 } else { 64 };
            return hopper.map_or(Self::Tensor { columns }, |chosen| Self::Hopper { columns: units.columns.unwrap_or(chosen) });
        }
        if small(s) {
            return Self::Grouped { columns: 32 };
        }
        let (columns, width) = (s.columns.next_power_of_two().clamp(8, 32), s.width(FEW_SUMMED));
        let items = s.most_rows().div_ceil(4) * (columns / 8);
        if s.g.groups == 1 && s.channels <= 4 && items <= 256 && few_weights_shared(s, columns, width) <= SHARED {
            return Self::Few { columns, width };
        }
        Self::Tiles { rows: 128, columns: if s.columns <= 16 { 16 } else { 64 } }
    }

    /// The full name of a direction's kernel, its source, the bytes of shared memory (hopper's launches add theirs).
    pub fn kernel(self, direction: Direction, s: &Sizes, precision: Precision) -> (String, &'static Source, usize) {
        let (dtype, weights) = (precision.storage(), direction == Direction::Weights);
        let suffix = dtype.suffix();
        let of = match direction {
            Direction::Forward => "",
            Direction::Flip => "flip_",
            Direction::Weights => "weights_",
            Direction::Moments => "moments_",
        };
        let (of_tiles, four) = (if weights { of } else { "" }, if s.channels.is_multiple_of(4) { "4" } else { "" });
        let name = match self {
            Self::Hopper { columns } => format!("conv_sm90_{of}{suffix}_{columns}"),
            Self::Tensor { columns } => format!("conv_{of}{}_{columns}", unit(precision)),
            Self::Tiles { columns: 16, .. } => format!("conv_{of_tiles}narrow{four}_{suffix}"),
            Self::Tiles { .. } => format!("conv_{of_tiles}wide{four}_{suffix}"),
            Self::Few { .. } if weights => format!("conv_few_weights_{suffix}"),
            Self::Few { columns, .. } => format!("conv_few{columns}_{suffix}"),
            Self::Grouped { .. } if weights => format!("conv_grouped_weights_{suffix}"),
            Self::Grouped { columns: 4 } => format!("conv_grouped4_{suffix}"),
            Self::Grouped { .. } => format!("conv_grouped_{suffix}"),
        };
        let shared = match self {
            Self::Tensor { columns } => stages(precision, columns, direction == Direction::Flip, weights),
            Self::Few { columns, width } if weights => few_weights_shared(s, columns, width),
            Self::Few { columns, width } => few_shared(s, columns, width),
            _ => 0,
        };
        (name, self.source(direction, precision), shared)
    }

    /// The part of a file that has kernels of one path for one precision: compiling all would take seconds.
    fn source(self, direction: Direction, precision: Precision) -> &'static Source {
        use DType::{Bf16, F16};
        match (self, precision, precision.storage()) {
            (Self::Hopper { .. }, _, dtype) => conv_sm90::source(direction, dtype),
            (Self::Tensor { .. }, precision, dtype) => mma(direction, precision, dtype),
            (Self::Tiles { .. }, _, Bf16) => &TILES_BF16,
            (Self::Tiles { .. }, _, F16) => &TILES_F16,
            (Self::Tiles { .. }, _, _) => &TILES_F32,
            (Self::Few { .. } | Self::Grouped { .. }, _, Bf16) => &DIRECT_BF16,
            (Self::Few { .. } | Self::Grouped { .. }, _, F16) => &DIRECT_F16,
            (Self::Few { .. } | Self::Grouped { .. }, _, _) => &DIRECT_F32,
        }
    }
}

/// The part of `conv_mma.cu` for a precision.
fn mma(direction: Direction, precision: Precision, dtype: DType) -> &'static Source {
    let [plain, moments] = match (precision, dtype) {
        (Precision::TF32, _) => [&MMA_TF32, &MMA_MOMENTS_TF32],
        (Precision::FP32x3, _) => [&MMA_TF32X3, &MMA_MOMENTS_TF32X3],
        (_, DType::Bf16) => [&MMA_BF16, &MMA_MOMENTS_BF16],
        _ => [&MMA_F16, &MMA_MOMENTS_F16],
    };
    if direction == Direction::Moments { moments } else { plain }
}

macro_rules! part {
    ($name:literal, $define:literal, $file:literal) => {
        Source::new($name, concat!("#define ", $define, "\n", include_str!(concat!("../../kernels/", $file))))
    };
}
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
const MMA_MOMENTS_BF16: Source = part!("conv_mma_moments_bf16", "CONV_MOMENTS_BF16", "conv_mma.cu");
const MMA_MOMENTS_F16: Source = part!("conv_mma_moments_f16", "CONV_MOMENTS_F16", "conv_mma.cu");
const MMA_MOMENTS_TF32: Source = part!("conv_mma_moments_tf32", "CONV_MOMENTS_TF32", "conv_mma.cu");
const MMA_MOMENTS_TF32X3: Source = part!("conv_mma_moments_tf32x3", "CONV_MOMENTS_TF32X3", "conv_mma.cu");
