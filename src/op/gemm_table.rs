//! Which kernel multiplies what on a GPU: the table of matrix products, and how k is split.
//!
//! Tile and split follow from the planned sizes and nothing else, so equal plans give equal bits.

use super::gemm_cuda::Layout;
use crate::{DType, Precision};

/// The units that multiply: kernels with one name ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Ordinary arithmetic in f32, operands of this type: `gemm.cu`.
    Plain(DType),
    /// `mma.sync`: `gemm_mma.cu`.
    Bf16,
    F16,
    Tf32,
    Tf32x3,
    /// The copy engine and warpgroups of sm_90a, operands of this type: `gemm_sm90.cu`.
    Hopper(DType),
}

impl Family {
    /// The fastest that this precision allows on a GPU of this compute capability, for a product of these sizes.
    pub fn choose(precision: Precision, capability: (u32, u32), layout: Layout, sizes: [usize; 3]) -> Self {
        match precision {
            Precision::TF32 if capability >= (8, 0) => Self::Tf32,
            Precision::FP32x3 if capability >= (8, 0) => Self::Tf32x3,
            Precision::BF16 | Precision::FP16 if capability == (9, 0) && Self::hopper(layout, sizes) => {
                Self::Hopper(precision.storage())
            }
            Precision::BF16 if capability >= (8, 0) => Self::Bf16,
            Precision::FP16 if capability >= (7, 5) => Self::F16,
            _ => Self::Plain(precision.storage()),
        }
    }

    /// Whether the copy engine can bring the operands, whose rows must be multiples of 16 bytes, and tiles are not mostly empty.
    fn hopper(layout: Layout, [m, n, k]: [usize; 3]) -> bool {
        let rows = match layout {
            Layout::NN => [k, n],
            Layout::NT => [k, k],
            Layout::TN => [m, n],
        };
        rows.iter().all(|n| n.is_multiple_of(8)) && m >= 64 && n >= 64 && k >= 64
    }

    /// Tiles from the most efficient to the smallest.
    pub const fn tiles(self) -> &'static [Tile] {
        match self {
            Self::Plain(_) => PLAIN,
            Self::Hopper(_) => HOPPER,
            _ => MMA,
        }
    }
}

/// What one block computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Tile {
    pub rows: usize,
    pub columns: usize,
    /// The least products for which a part of k pays.
    least: usize,
    /// For the kernels of sm_90a: blocks of a cluster, blocks that share a multiprocessor, stages of the ring.
    pub cluster: usize,
    pub resident: usize,
    pub stages: usize,
    /// The part of the tensor cores' rate that it reaches with long k. Estimates from the traffic through shared memory until a GPU
    /// has measured them.
    efficiency: f64,
}

impl Tile {
    const fn square(side: usize, least: usize) -> Self {
        Self { rows: side, columns: side, least, cluster: 1, resident: 1, stages: 0, efficiency: 1.0 }
    }

    /// Tiles of C.
    pub fn count(&self, m: usize, n: usize) -> usize {
        m.div_ceil(self.rows * self.cluster).saturating_mul(self.cluster).saturating_mul(n.div_ceil(self.columns))
    }

    /// Cycles of an H200 for a product whose k is cut into so many parts: rounds of blocks, each with its products and some 3000 cycles
    /// for the first tile to come and the last to go; and the sums that gemm_sum reads again, at 2 KB a cycle, in a launch of its own.
    fn cycles(&self, [m, n, k]: [usize; 3], splits: usize) -> f64 {
        let items = self.count(m, n).saturating_mul(splits);
        let sharing = self.resident.min(items.div_ceil(MULTIPROCESSORS)).max(1);
        let products = (self.rows * self.columns * sharing) as f64 * k.div_ceil(splits) as f64;
        let again = if splits == 1 { 0.0 } else { 5000.0 + m as f64 * n as f64 * 4.0 * (splits + 1) as f64 / 2048.0 };
        rounds(items.div_ceil(sharing)) * (products / 2048.0 / self.efficiency + 3000.0) + again
    }
}

const PLAIN: &[Tile] = &[Tile::square(128, 256), Tile::square(64, 128), Tile::square(32, 64)];
const MMA: &[Tile] = &[Tile::square(128, 512), Tile::square(64, 256)];
const HOPPER: &[Tile] = &[
    Tile { rows: 128, columns: 256, cluster: 2, resident: 1, stages: 4, efficiency: 0.95, least: 512 },
    Tile { rows: 128, columns: 128, cluster: 1, resident: 1, stages: 5, efficiency: 0.8, least: 512 },
    Tile { rows: 64, columns: 128, cluster: 1, resident: 2, stages: 3, efficiency: 0.65, least: 512 },
];

/// Blocks that keep a large GPU busy.
pub(super) const BLOCKS: usize = 256;
/// Multiprocessors of an H200. Not of the device: results must not depend on it.
pub(super) const MULTIPROCESSORS: usize = 132;

/// How often all multiprocessors take a block until so many are done.
pub(super) fn rounds(blocks: usize) -> f64 {
    blocks.div_ceil(MULTIPROCESSORS) as f64
}

/// The most parts of k.
pub(super) const MOST_SPLITS: usize = 128;

/// A kernel's tile, and the products in each part of k.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shape {
    pub tile: Tile,
    pub split: usize,
}

impl Shape {
    /// For a product of these sizes.
    pub fn choose(family: Family, sizes: [usize; 3]) -> Self {
        let k = sizes[2];
        let (tile, splits) = match family {
            Family::Hopper(_) => Self::quickest(family, sizes),
            _ => Self::filling(family, sizes),
        };
        let part = if matches!(family, Family::Hopper(_)) { 64 } else { 32 };
        let split = if splits == 1 { k.max(1) } else { k.div_ceil(splits).next_multiple_of(part) };
        Self { tile, split }
    }

    /// The tile and the parts with the fewest cycles; the larger tile where they are equal.
    fn quickest(family: Family, sizes: [usize; 3]) -> (Tile, usize) {
        let parts = |tile: &Tile| (sizes[2] / tile.least).clamp(1, MOST_SPLITS);
        let all = family.tiles().iter().flat_map(|&tile| (1..=parts(&tile)).map(move |splits| (tile, splits)));
        let least = all.min_by(|a, b| a.0.cycles(sizes, a.1).total_cmp(&b.0.cycles(sizes, b.1)));
        least.unwrap_or_else(|| unreachable!("every family has a tile"))
    }

    /// The largest tile that fills the GPU, with k split or not.
    fn filling(family: Family, [m, n, k]: [usize; 3]) -> (Tile, usize) {
        let tiles = family.tiles();
        let fill = |&tile: &Tile| {
            let blocks = tile.count(m, n).max(1);
            let splits = BLOCKS.div_ceil(blocks).min(k / tile.least).clamp(1, MOST_SPLITS);
            (tile, blocks.saturating_mul(splits), splits)
        };
        let smallest = tiles.len() - 1;
        // A tile of which more than half lies outside of C computes for nothing.
        let suits = |tile: &&Tile| 2 * m.min(n) > tile.rows;
        let full = tiles[..smallest].iter().filter(suits).map(fill).find(|(_, blocks, _)| 2 * blocks >= BLOCKS);
        let (tile, _, splits) = full.unwrap_or_else(|| fill(&tiles[smallest]));
        (tile, splits)
    }

    /// Parts of k.
    pub const fn splits(&self, k: usize) -> usize {
        if k == 0 { 1 } else { k.div_ceil(self.split) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Family = Family::Plain(DType::F32);
    const HOPPER: Family = Family::Hopper(DType::Bf16);

    #[test]
    fn tiles_and_splits_follow_from_the_sizes() {
        let shape = |family, sizes: [usize; 3]| {
            let shape = Shape::choose(family, sizes);
            (shape.tile.rows, shape.tile.columns, shape.splits(sizes[2]))
        };
        // Large: no split. A weight gradient over a long batch: large tiles, many parts. A small batch: small tiles.
        assert_eq!(shape(PLAIN, [4096, 4096, 4096]), (128, 128, 1));
        assert_eq!(shape(Family::Bf16, [4096, 4096, 4096]), (128, 128, 1));
        assert_eq!(shape(Family::Bf16, [512, 512, 100_000]), (128, 128, 16));
        assert_eq!(shape(PLAIN, [16, 256, 784]), (32, 32, 9));
        assert_eq!(shape(PLAIN, [1, 1, 1]), (32, 32, 1));
        assert_eq!(shape(Family::F16, [8, 10, 0]), (64, 64, 1));
        assert_eq!(shape(HOPPER, [4096, 4096, 4096]), (128, 256, 1));
        assert_eq!(shape(HOPPER, [8192, 8192, 8192]), (128, 256, 1));
        assert_eq!(shape(HOPPER, [64, 1024, 1024]).0, 64);
        let (_, _, splits) = shape(HOPPER, [512, 512, 100_000]);
        assert!((8..=33).contains(&splits), "{splits} parts for 8 to 16 tiles and 132 multiprocessors");
        for family in [PLAIN, Family::Tf32x3, HOPPER] {
            for sizes in [[1, 1, 1 << 20], [33, 77, 5000], [1, 4096, 4096], [128, 10, 300], [64, 64, 1 << 30]] {
                let shape = Shape::choose(family, sizes);
                let (splits, blocks) = (shape.splits(sizes[2]), shape.tile.count(sizes[0], sizes[1]));
                assert!((1..=MOST_SPLITS).contains(&splits) && splits * blocks <= 2 * BLOCKS.max(blocks), "{sizes:?}: {shape:?}");
                assert!(
                    splits == 1 || shape.split.is_multiple_of(32) && shape.split * splits >= sizes[2],
                    "{sizes:?}: {shape:?}"
                );
                // A shorter k is cut at the same places.
                assert!(shape.splits(sizes[2] / 2) <= splits);
            }
        }
    }

    #[test]
    fn the_units_follow_from_the_card_and_the_rows() {
        let of = |precision, capability, layout, sizes| Family::choose(precision, capability, layout, sizes);
        let large = [512, 512, 512];
        assert_eq!(of(Precision::BF16, (9, 0), Layout::NN, large), HOPPER);
        assert_eq!(of(Precision::FP16, (9, 0), Layout::TN, large), Family::Hopper(DType::F16));
        for (capability, family) in [((10, 0), Family::Bf16), ((8, 0), Family::Bf16), ((7, 5), Family::Plain(DType::Bf16))] {
            assert_eq!(of(Precision::BF16, capability, Layout::NN, large), family);
        }
        // Rows of n in A B, rows of k in A B'.
        assert_eq!(of(Precision::BF16, (9, 0), Layout::NN, [512, 100, 512]), Family::Bf16);
        assert_eq!(of(Precision::BF16, (9, 0), Layout::NT, [512, 100, 512]), HOPPER);
        assert_eq!(of(Precision::BF16, (9, 0), Layout::NT, [512, 512, 100]), Family::Bf16);
        assert_eq!(of(Precision::BF16, (9, 0), Layout::TN, [100, 512, 512]), Family::Bf16);
        assert_eq!(of(Precision::FP32, (9, 0), Layout::NN, large), PLAIN);
    }
}
