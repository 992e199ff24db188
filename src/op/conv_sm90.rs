//! Convolution on sm_90a: for which shapes `conv_sm90.cu` is, and what it is told.

use super::bands::BandArgs;
use super::conv_args::{ConvArgs, Sizes, WeightArgs};
use super::gemm_table::{MULTIPROCESSORS, rounds};
use crate::device::{Cuda, Divisor, Grid, Kernel, Source, TensorMap};
use crate::{DType, Result};
use bytemuck::{Pod, Zeroable};

/// `HopperConvArgs` in `conv_sm90.cu`.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct HopperConvArgs {
    b: TensorMap,
    y: TensorMap,
    tap: Divisor,
    piece: u32,
    together: u32,
    sent: u32,
    unused: [u32; 2],
    c: ConvArgs,
    pad: [u64; 2],
}

/// Of a weight gradient.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct HopperWeightArgs {
    b: TensorMap,
    c: WeightArgs,
    pad: [u64; 2],
}

/// Of a forward pass that also finds the moments of its results.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Zeroable, Pod)]
pub(super) struct HopperMomentsArgs {
    c: HopperConvArgs,
    bands: BandArgs,
    pad: [u64; 6],
}

/// Outputs of a tile, or rows of weights.
pub(super) const ROWS: usize = 128;
/// Products of a stage, elements of a row in shared memory.
const DEPTH: usize = 64;

/// Bytes of shared memory: `Room` in `gemm_sm90.cuh` and the tables behind it.
pub(super) const fn room(columns: usize) -> usize {
    let stages = match columns {
        256 => 3,
        128 => 5,
        _ => 6,
    };
    stages * (ROWS + columns) * 128 + 2 * 17 * 1024 + 256 + 2 * 128 * 16 + ROWS * 8
}

/// The columns of a tile: the fewest that are computed in vain, in the largest tiles that keep a large GPU busy.
fn tile(columns: usize, others: usize) -> usize {
    let waste = |tile: &usize| columns.next_multiple_of(*tile);
    let busy = |tile: &usize| others.saturating_mul(columns.div_ceil(*tile)) >= MULTIPROCESSORS;
    let least = [256, 128, 64].iter().map(waste).min().unwrap_or(columns);
    let suits = |tile: &usize| waste(tile) == least && (busy(tile) || *tile == 64 || waste(&(tile / 2)) > least);
    [256, 128, 64].into_iter().find(suits).unwrap_or(64)
}

/// Whether the bits of a part's taps along all axes fit a word, one of which no tap has.
fn counted(s: &Sizes) -> bool {
    s.parts.iter().all(|p| p.taps.iter().sum::<u32>() <= 31)
}

/// Fewer columns or products would fill little of a tile.
fn fills(s: &Sizes) -> bool {
    s.columns >= 32 && s.most_rows() >= 64 && counted(s)
}

/// The columns of a tile of the forward pass, or (`flip`) of the gradient wrt the input; none where other kernels are to be taken.
pub(super) fn gathering(s: &Sizes, flip: bool, capacity: usize) -> Option<usize> {
    let tiles = capacity.saturating_mul(s.most_outputs()).div_ceil(ROWS) * s.g.groups as usize * s.parts.len();
    (fills(s) && (!flip || s.channels.is_multiple_of(16))).then(|| tile(s.columns, tiles))
}

/// The same of the weight gradient.
pub(super) fn weights(s: &Sizes) -> Option<usize> {
    let tiles = s.most_rows().div_ceil(ROWS) * s.g.groups as usize;
    // Chunks keep the GPU busy, whatever the tile.
    (fills(s) && s.whole()).then(|| tile(s.columns, tiles * MULTIPROCESSORS))
}

/// The number of chunks of the weight gradient of `total` outputs that takes the fewest cycles, and the outputs of each.
pub(super) fn chunks(tiles: usize, columns: usize, total: usize, weights: usize) -> (usize, usize) {
    let most = (total / 512).clamp(1, 64);
    let cycles = |chunks: &usize| {
        let stages = total.div_ceil(*chunks).div_ceil(DEPTH) as f64;
        let again = if *chunks == 1 { 0.0 } else { 3000.0 + (weights * 4 * (chunks + 1)) as f64 / 2048.0 };
        rounds(tiles * chunks) * (stages * (ROWS * columns * DEPTH) as f64 / 2048.0 / 0.8 + 3000.0) + again
    };
    let best = (1..=most).min_by(|a, b| cycles(a).total_cmp(&cycles(b))).unwrap_or(1);
    let length = total.div_ceil(best).next_multiple_of(DEPTH).max(DEPTH);
    (total.div_ceil(length).max(1), length)
}

/// Rows of a box of weights along k: the most that do not reach into another tap.
fn piece(channels: usize, least: usize) -> usize {
    [64, 32, 16, 8].into_iter().find(|&n| channels.is_multiple_of(n)).unwrap_or(8).max(least)
}

/// Blocks of a launch: as many as the GPU holds at a time, each with many tiles.
fn grid(cuda: &Cuda, items: usize, columns: usize) -> Grid {
    Grid::blocks(items.min(cuda.multiprocessors())).shared(room(columns))
}

/// Whether the copy engine takes all results of a gather to y.
pub(super) fn sends(s: &Sizes, rows: usize) -> bool {
    s.whole() && s.g.groups == 1 && rows.saturating_mul(s.most_outputs()) < 1 << 31
}

/// What both directions of a gather need besides the arguments that all kernels take.
pub(super) struct Launch<'a> {
    pub s: &'a Sizes,
    pub flip: bool,
    pub columns: usize,
    pub dtype: DType,
    /// Whether results are plain: written as they come, nothing kept before the activation.
    pub plain: bool,
}

impl Launch<'_> {
    /// Puts a gather into the stream.
    pub fn run(&self, kernel: &Kernel<HopperConvArgs>, cuda: &Cuda, c: ConvArgs) -> Result<()> {
        let (args, grid) = self.args(cuda, c)?;
        kernel.launch(cuda, grid, &args)
    }

    /// The same with the moments of its results, of a gather that [`sends`] them.
    pub fn run_with_moments(&self, kernel: &Kernel<HopperMomentsArgs>, cuda: &Cuda, c: ConvArgs, bands: BandArgs) -> Result<()> {
        let (c, grid) = self.args(cuda, c)?;
        kernel.launch(cuda, grid, &HopperMomentsArgs { c, bands, pad: [0; 6] })
    }

    fn args(&self, cuda: &Cuda, c: ConvArgs) -> Result<(HopperConvArgs, Grid)> {
        let &Self { s, flip, columns, dtype, plain } = self;
        let g = &c.g;
        let (groups, rows) = (g.groups as usize, g.rows as usize);
        // The weights: filters of all groups, channels of a group, taps.
        let (filters, channels) = if flip { (s.channels * groups, s.columns) } else { (s.columns * groups, s.channels) };
        let taps = s.taps;
        let together = !flip && s.parts.len() == 1 && s.parts[0].all as usize == taps;
        let (piece, size, boxed) = match (flip, together) {
            (true, _) => {
                let piece = piece(s.channels, 16);
                (piece, [filters, channels, taps], [piece, columns, 1])
            }
            (false, true) => (DEPTH, [filters, channels * taps, 1], [DEPTH, DEPTH, 1]),
            (false, false) => {
                let piece = piece(s.channels, 8);
                (piece, [filters, channels, taps], [DEPTH, piece, 1])
            }
        };
        let b = cuda.tensor_map(dtype, c.w, &size, &[1, filters, filters * channels], &boxed)?;
        let outputs = rows * s.most_outputs();
        let sent = plain && sends(s, rows) && c.act.is_short();
        let y = match sent {
            true => cuda.tensor_map(dtype, c.y, &[s.columns, outputs], &[1, s.columns], &[DEPTH, DEPTH])?,
            false => TensorMap::zeroed(),
        };
        let items = c.m_tiles as usize * c.n_tiles as usize * groups * g.parts as usize;
        let args = HopperConvArgs {
            b,
            y,
            tap: Divisor::new(if together { s.channels * taps } else { s.channels }),
            piece: piece as u32,
            together: u32::from(together),
            sent: u32::from(sent),
            unused: [0; 2],
            c,
            pad: [0; 2],
        };
        Ok((args, grid(cuda, items, columns)))
    }
}

/// Puts the weight gradient into the stream.
pub(super) fn run_weights(
    kernel: &Kernel<HopperWeightArgs>,
    cuda: &Cuda,
    (s, columns, dtype): (&Sizes, usize, DType),
    c: WeightArgs,
) -> Result<()> {
    let (groups, outputs) = (c.g.groups as usize, c.g.rows as usize * s.most_outputs());
    let filters = s.columns * groups;
    let b = match outputs {
        0 => TensorMap::zeroed(),
        _ => cuda.tensor_map(dtype, c.dy, &[filters, outputs], &[1, filters], &[DEPTH, DEPTH])?,
    };
    let items = (c.m_tiles * c.n_tiles) as usize * groups * c.chunks as usize;
    let args = HopperWeightArgs { b, c, pad: [0; 2] };
    kernel.launch(cuda, grid(cuda, items, columns), &args)
}

/// The source of a direction.
pub(super) const fn source(direction: Direction, dtype: DType) -> &'static Source {
    match (direction, dtype) {
        (Direction::Forward, DType::Bf16) => &BF16,
        (Direction::Flip, DType::Bf16) => &FLIP_BF16,
        (Direction::Weights, DType::Bf16) => &WEIGHTS_BF16,
        (Direction::Moments, DType::Bf16) => &MOMENTS_BF16,
        (Direction::Forward, _) => &F16,
        (Direction::Flip, _) => &FLIP_F16,
        (Direction::Weights, _) => &WEIGHTS_F16,
        (Direction::Moments, _) => &MOMENTS_F16,
    }
}

/// What is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Flip,
    Weights,
    /// Forward, with the moments of the results.
    Moments,
}

macro_rules! part {
    ($name:literal, $define:literal, $file:literal) => {
        Source::new($name, concat!("#define ", $define, "\n", include_str!(concat!("../../kernels/", $file))))
    };
}
const BF16: Source = part!("conv_sm90_bf16", "CONV_BF16", "conv_sm90.cu");
const FLIP_BF16: Source = part!("conv_sm90_flip_bf16", "CONV_FLIP_BF16", "conv_sm90.cu");
const WEIGHTS_BF16: Source = part!("conv_sm90_weights_bf16", "CONV_WEIGHTS_BF16", "conv_sm90.cu");
const MOMENTS_BF16: Source = part!("conv_sm90_moments_bf16", "CONV_MOMENTS_BF16", "conv_sm90.cu");
const MOMENTS_F16: Source = part!("conv_sm90_moments_f16", "CONV_MOMENTS_F16", "conv_sm90.cu");
const F16: Source = part!("conv_sm90_f16", "CONV_F16", "conv_sm90.cu");
const FLIP_F16: Source = part!("conv_sm90_flip_f16", "CONV_FLIP_F16", "conv_sm90.cu");
const WEIGHTS_F16: Source = part!("conv_sm90_weights_f16", "CONV_WEIGHTS_F16", "conv_sm90.cu");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_waste_little_and_keep_the_gpu_busy() {
        assert_eq!(tile(512, 1000), 256);
        assert_eq!(tile(512, 10), 64, "few outputs: more tiles of columns");
        assert_eq!(tile(128, 1000), 128);
        assert_eq!(tile(192, 1000), 64, "192 of 192, not of 256");
        assert_eq!(tile(64, 1), 64);
        assert_eq!(tile(40, 1000), 64);
        assert_eq!(tile(300, 1000), 64, "320, not 384 or 512");
    }

    #[test]
    fn chunks_are_whole_stages_that_cover_everything() {
        for (tiles, columns, total, weights) in [
            (18, 256, 32 * 56 * 56, 9 << 16),
            (1, 64, 100, 64 * 64),
            (9, 64, 64 * 128 * 128, 9 * 64 * 64),
            (72, 256, 25_088, 9 << 18),
            (5, 128, 0, 640),
        ] {
            let (chunks, length) = chunks(tiles, columns, total, weights);
            assert!(
                length % DEPTH == 0 && chunks * length >= total && (chunks - 1) * length <= total,
                "{chunks} of {length} for {total}"
            );
            assert!(tiles * chunks <= 4 * MULTIPROCESSORS.max(tiles), "{tiles} tiles, {chunks} chunks");
        }
        // One round of a large GPU where there is enough to do.
        let (chunks, _) = chunks(18, 128, 100_352, 9 * 256 * 128);
        assert!((90..=132).contains(&(18 * chunks)), "{chunks} chunks of 18 tiles");
    }
}
