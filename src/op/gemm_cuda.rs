//! Matrix products on a GPU: the kernels of `gemm.cu`, `gemm_mma.cu` and `gemm_sm90.cu`, and their launch. Which of them, and how k is
//! split, says `gemm_table.rs`.

use super::activation_cuda::CudaActivation;
use super::gemm_sm90::{self, HopperArgs};
use super::gemm_table::{Family, Shape, Tile};
use crate::device::{Cuda, Device, Grid, Kernel, Ptr, Source};
use crate::memory::Planner;
use crate::{DType, Error, Result};
use bytemuck::{Pod, Zeroable};

/// How A (m by k) and B (k by n) are stored: rows as they are, or those of the transpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// m rows of k times k rows of n.
    NN,
    /// m rows of k times n rows of k.
    NT,
    /// k rows of m times k rows of n.
    TN,
}

impl Layout {
    const fn name(self) -> &'static str {
        match self {
            Self::NN => "nn",
            Self::NT => "nt",
            Self::TN => "tn",
        }
    }
}

/// `GemmArgs` in `gemm.cuh`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub(crate) struct GemmArgs {
    a: Ptr,
    b: Ptr,
    c: Ptr,
    z: Ptr,
    bias: Ptr,
    work: Ptr,
    m: u32,
    n: u32,
    k: u32,
    lda: u32,
    ldb: u32,
    ldc: u32,
    split: u32,
    splits: u32,
    add: u32,
    wide: u32,
    alpha: f32,
    aligned: u32,
    act: CudaActivation,
}

impl GemmArgs {
    /// Whether the copy engine takes the results to C: `sendable` in `gemm_sm90.cuh`.
    pub(super) fn sent(&self) -> bool {
        let plain = self.work == Ptr::NULL && self.z == Ptr::NULL && self.add == 0 && self.wide == 0;
        plain && self.aligned & 4 != 0 && self.act.is_short()
    }
}

impl Family {
    const fn suffix(self) -> &'static str {
        match self {
            Self::Plain(dtype) | Self::Hopper(dtype) => dtype.suffix(),
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Tf32 => "tf32",
            Self::Tf32x3 => "tf32x3",
        }
    }

    const fn source(self, layout: Layout) -> Source {
        match self {
            Self::Plain(DType::Bf16) => PLAIN_BF16,
            Self::Plain(DType::F16) => PLAIN_F16,
            Self::Plain(_) => PLAIN_F32,
            Self::Bf16 => BF16,
            Self::F16 => F16,
            Self::Tf32 => TF32,
            Self::Tf32x3 => TF32X3,
            Self::Hopper(dtype) => gemm_sm90::source(layout, dtype),
        }
    }

    /// Bytes of dynamic shared memory: the stages of `gemm_mma.cu`, each 64 bytes deep, or of `gemm_sm90.cu`.
    const fn shared(self, tile: &Tile) -> usize {
        match (self, tile.rows) {
            (Self::Plain(_), _) => 0,
            (Self::Hopper(_), _) => gemm_sm90::room(tile),
            (_, 128) => 3 * 2 * 128 * 64,
            _ => 4 * 2 * 64 * 64,
        }
    }

    /// Bytes of an element of A and B.
    const fn element(self) -> usize {
        match self {
            Self::Bf16 | Self::F16 | Self::Hopper(_) | Self::Plain(DType::Bf16 | DType::F16) => 2,
            _ => 4,
        }
    }
}

/// C = act(alpha·A·B + bias), or C += alpha·A·B.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CudaProduct {
    /// m, n, k: at most the planned ones.
    pub shape: [usize; 3],
    /// Address and elements from row to row as stored, in the type of activations.
    pub a: (Ptr, usize),
    pub b: (Ptr, usize),
    /// In the type of activations, or f32 where `wide`.
    pub c: (Ptr, usize),
    pub wide: bool,
    /// C += instead of C =.
    pub add: bool,
    pub alpha: f32,
    /// n values in f32, or null.
    pub bias: Ptr,
    /// Where to keep what the activation is applied to, as C; or null.
    pub z: Ptr,
    pub act: CudaActivation,
}

impl CudaProduct {
    /// C = A·B in the type of activations.
    pub fn new(shape: [usize; 3], a: (Ptr, usize), b: (Ptr, usize), c: (Ptr, usize)) -> Self {
        let act = CudaActivation::LINEAR;
        Self { shape, a, b, c, wide: false, add: false, alpha: 1.0, bias: Ptr::NULL, z: Ptr::NULL, act }
    }
}

/// The kernel of a family.
#[derive(Clone, Debug)]
enum Multiply {
    Tiles(Kernel<GemmArgs>),
    Hopper(DType, Kernel<HopperArgs>),
}

/// A planned product; without kernels in plans for the CPU.
#[derive(Clone, Debug)]
pub(crate) struct CudaGemm {
    planned: [usize; 3],
    layout: Layout,
    family: Family,
    shape: Shape,
    multiply: Multiply,
    sum: Kernel<GemmArgs>,
}

impl CudaGemm {
    /// For products of at most these sizes (m, n, k), the rows of A, B and C as long as the sizes say. The caller provides
    /// [`CudaGemm::workspace`] floats for each launch.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for sizes of 2³¹ and more, and what [`Planner::kernel`] returns.
    pub fn plan(layout: Layout, sizes: [usize; 3], p: &Planner<'_>) -> Result<Self> {
        let family = match p.device() {
            Device::Cpu(_) => Family::Plain(p.dtype()),
            Device::Cuda(cuda) => Family::choose(p.precision(), cuda.capability(), layout, sizes),
        };
        let shape = Shape::choose(family, sizes);
        let blocks = shape.tile.count(sizes[0], sizes[1]);
        if matches!(p.device(), Device::Cuda(_)) && sizes.into_iter().chain([blocks]).any(|n| n >= 1 << 31) {
            return Err(Error::shape("gemm", "a matrix is too large for a GPU kernel")
                .expected("sides below 2^31")
                .got(format!("{} x {} x {}", sizes[0], sizes[1], sizes[2])));
        }
        Self::of(layout, sizes, family, shape, p)
    }

    fn of(layout: Layout, sizes: [usize; 3], family: Family, shape: Shape, p: &Planner<'_>) -> Result<Self> {
        let (source, suffix, tile) = (family.source(layout), family.suffix(), &shape.tile);
        let (multiply, sum) = match family {
            Family::Hopper(dtype) => {
                let stem = format!("gemm_sm90_{}", layout.name());
                let kernel = p.kernel(&source, &format!("{stem}_{}x{}_{suffix}", tile.rows, tile.columns))?;
                (Multiply::Hopper(dtype, kernel), format!("{stem}_sum_{suffix}"))
            }
            _ => {
                let kernel = p.kernel(&source, &format!("gemm_{}_{}_{suffix}", layout.name(), tile.rows))?;
                (Multiply::Tiles(kernel), format!("gemm_sum_{suffix}"))
            }
        };
        Ok(Self { planned: sizes, layout, family, shape, multiply, sum: p.kernel(&source, &sum)? })
    }

    /// Floats of workspace.
    pub fn workspace(&self) -> usize {
        let [m, n, k] = self.planned;
        if matches!(self.shape.splits(k), 0 | 1) { 0 } else { self.shape.splits(k) * m * n }
    }

    /// Puts the product into the stream; `work` has [`CudaGemm::workspace`] floats.
    pub fn launch(&self, cuda: &Cuda, product: &CudaProduct, work: Ptr) -> Result<()> {
        let &CudaProduct { shape: [m, n, k], a, b, c, .. } = product;
        debug_assert!(m <= self.planned[0] && n <= self.planned[1] && k <= self.planned[2]);
        if m == 0 || n == 0 {
            return Ok(());
        }
        let splits = self.shape.splits(k);
        let args = self.args(product, if splits > 1 { work } else { Ptr::NULL }, splits);
        debug_assert!(a.1 < 1 << 31 && b.1 < 1 << 31 && c.1 < 1 << 31);
        match &self.multiply {
            Multiply::Tiles(kernel) => {
                let grid = Grid::xyz(self.shape.tile.count(m, n), 1, splits);
                kernel.launch(cuda, grid.shared(self.family.shared(&self.shape.tile)), &args)?;
            }
            Multiply::Hopper(dtype, kernel) => {
                gemm_sm90::launch(kernel, cuda, (self.layout, *dtype, &self.shape), product, args)?;
            }
        }
        if splits > 1 {
            self.sum.launch(cuda, Grid::cover(m * n.div_ceil(4)), &args)?;
        }
        Ok(())
    }

    fn args(&self, product: &CudaProduct, work: Ptr, splits: usize) -> GemmArgs {
        let &CudaProduct { shape: [m, n, k], a, b, c, wide, add, alpha, bias, z, act } = product;
        let narrow = self.family.element();
        let aligned = |(ptr, ld): (Ptr, usize), bytes: usize| u32::from(ptr.0 % 16 == 0 && (ld * bytes).is_multiple_of(16));
        let out = if wide { 4 } else { narrow };
        let c_aligned = aligned(c, out) & aligned((z, c.1), out);
        GemmArgs {
            a: a.0,
            b: b.0,
            c: c.0,
            z,
            bias,
            work,
            m: m as u32,
            n: n as u32,
            k: k as u32,
            lda: a.1 as u32,
            ldb: b.1 as u32,
            ldc: c.1 as u32,
            split: self.shape.split as u32,
            splits: splits as u32,
            add: u32::from(add),
            wide: u32::from(wide),
            alpha,
            aligned: aligned(a, narrow) | aligned(b, narrow) << 1 | c_aligned << 2,
            act,
        }
    }
}

/// One family of a file that holds several: compiling all would take seconds.
macro_rules! part {
    ($name:literal, $define:literal, $file:literal) => {
        Source::new($name, concat!("#define ", $define, "\n", include_str!(concat!("../../kernels/", $file))))
    };
}
const PLAIN_F32: Source = part!("gemm_f32", "GEMM_F32", "gemm.cu");
const PLAIN_BF16: Source = part!("gemm_bf16", "GEMM_BF16", "gemm.cu");
const PLAIN_F16: Source = part!("gemm_f16", "GEMM_F16", "gemm.cu");
const BF16: Source = part!("gemm_mma_bf16", "GEMM_BF16", "gemm_mma.cu");
const F16: Source = part!("gemm_mma_f16", "GEMM_F16", "gemm_mma.cu");
const TF32: Source = part!("gemm_mma_tf32", "GEMM_TF32", "gemm_mma.cu");
const TF32X3: Source = part!("gemm_mma_tf32x3", "GEMM_TF32X3", "gemm_mma.cu");

#[cfg(test)]
mod tests;
