//! Matrix products on sm_90a: the arguments of `gemm_sm90.cu`.

use super::gemm_cuda::{CudaProduct, GemmArgs, Layout};
use super::gemm_table::{Shape, Tile};
use crate::device::{Cuda, Grid, Kernel, Ptr, Source, TensorMap};
use crate::{DType, Result};
use bytemuck::{Pod, Zeroable};

/// `HopperArgs` in `gemm_sm90.cu`.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(super) struct HopperArgs {
    a: TensorMap,
    b: TensorMap,
    c: TensorMap,
    g: GemmArgs,
    unused: [u64; 2],
}

/// Elements of a row in shared memory: 128 bytes.
const ROW: usize = 64;

/// Bytes of shared memory: `Room` in `gemm_sm90.cuh`.
pub(super) const fn room(tile: &Tile) -> usize {
    let groups = tile.rows / 64;
    tile.stages * (tile.rows + tile.columns) * 128 + groups * 17 * 1024 + 2 * tile.stages * 8
}

/// The source of the kernels of one layout and type.
pub(super) const fn source(layout: Layout, dtype: DType) -> Source {
    match (layout, dtype) {
        (Layout::NN, DType::Bf16) => NN_BF16,
        (Layout::NT, DType::Bf16) => NT_BF16,
        (Layout::TN, DType::Bf16) => TN_BF16,
        (Layout::NN, _) => NN_F16,
        (Layout::NT, _) => NT_F16,
        (Layout::TN, _) => TN_F16,
    }
}

/// Puts the product into the stream. `args` are those of every family; C goes by the copy engine if its rows allow that.
pub(super) fn launch(
    kernel: &Kernel<HopperArgs>,
    cuda: &Cuda,
    (layout, dtype, shape): (Layout, DType, &Shape),
    product: &CudaProduct,
    g: GemmArgs,
) -> Result<()> {
    let &CudaProduct { shape: [m, n, k], a, b, c, .. } = product;
    let tile = &shape.tile;
    // Without products there is nothing to bring: maps of no elements would be refused.
    let map = |(base, ld): (Ptr, usize), [rows, columns]: [usize; 2], [box_rows, box_columns]: [usize; 2]| match k {
        0 => Ok(TensorMap::zeroed()),
        _ => cuda.tensor_map(dtype, base, &[columns, rows], &[1, ld], &[box_columns, box_rows]),
    };
    let along = |side: usize| [side, ROW];
    let across = [ROW, ROW];
    let (a, b) = match layout {
        Layout::NN => (map(a, [m, k], along(tile.rows))?, map(b, [k, n], across)?),
        Layout::NT => (map(a, [m, k], along(tile.rows))?, map(b, [n, k], along(tile.columns / tile.cluster))?),
        Layout::TN => (map(a, [k, m], across)?, map(b, [k, n], across)?),
    };
    let c = if g.sent() { cuda.tensor_map(dtype, c.0, &[n, m], &[1, c.1], &across)? } else { TensorMap::zeroed() };
    let items = tile.count(m, n) / tile.cluster * shape.splits(k);
    let clusters = items.min((cuda.multiprocessors() * tile.resident / tile.cluster).max(1));
    let grid = Grid::blocks(clusters * tile.cluster).cluster(tile.cluster).shared(room(tile));
    kernel.launch(cuda, grid, &HopperArgs { a, b, c, g, unused: [0; 2] })
}

/// The kernels of one layout and type: compiling all would take long.
macro_rules! part {
    ($name:literal, $define:literal, $file:literal) => {
        Source::new($name, concat!("#define ", $define, "\n", include_str!(concat!("../../kernels/", $file))))
    };
}
const NN_BF16: Source = part!("gemm_sm90_nn_bf16", "GEMM_NN_BF16", "gemm_sm90.cu");
const NT_BF16: Source = part!("gemm_sm90_nt_bf16", "GEMM_NT_BF16", "gemm_sm90.cu");
const TN_BF16: Source = part!("gemm_sm90_tn_bf16", "GEMM_TN_BF16", "gemm_sm90.cu");
const NN_F16: Source = part!("gemm_sm90_nn_f16", "GEMM_NN_F16", "gemm_sm90.cu");
const NT_F16: Source = part!("gemm_sm90_nt_f16", "GEMM_NT_F16", "gemm_sm90.cu");
const TN_F16: Source = part!("gemm_sm90_tn_f16", "GEMM_TN_F16", "gemm_sm90.cu");
