//! Matrix products on a GPU: which kernel of `gemm.cu` and `gemm_mma.cu`, how k is split, the launch.
//!
//! Tile and split follow from the planned sizes and nothing else, so equal plans give equal bits.

use super::activation_cuda::CudaActivation;
use crate::device::{Cuda, Device, Grid, Kernel, Ptr, Source};
use crate::memory::Planner;
use crate::{DType, Error, Precision, Result};
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

/// The units that multiply: kernels with one name ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    /// Ordinary arithmetic in f32, operands of this type.
    Plain(DType),
    Bf16,
    F16,
    Tf32,
    Tf32x3,
}

impl Family {
    /// The fastest that this precision allows on a GPU of this compute capability.
    fn choose(precision: Precision, capability: (u32, u32)) -> Self {
        match precision {
            Precision::TF32 if capability >= (8, 0) => Self::Tf32,
            Precision::FP32x3 if capability >= (8, 0) => Self::Tf32x3,
            Precision::BF16 if capability >= (8, 0) => Self::Bf16,
            Precision::FP16 if capability >= (7, 5) => Self::F16,
            _ => Self::Plain(precision.storage()),
        }
    }

    const fn suffix(self) -> &'static str {
        match self {
            Self::Plain(dtype) => dtype.suffix(),
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
            Self::Tf32 => "tf32",
            Self::Tf32x3 => "tf32x3",
        }
    }

    const fn source(self) -> Source {
        match self {
            Self::Plain(DType::Bf16) => PLAIN_BF16,
            Self::Plain(DType::F16) => PLAIN_F16,
            Self::Plain(_) => PLAIN_F32,
            Self::Bf16 => BF16,
            Self::F16 => F16,
            Self::Tf32 => TF32,
            Self::Tf32x3 => TF32X3,
        }
    }

    const fn plain(self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Bytes of dynamic shared memory: the stages of `gemm_mma.cu`, each 64 bytes deep.
    const fn shared(self, tile: usize) -> usize {
        match (self, tile) {
            (Self::Plain(_), _) => 0,
            (_, 128) => 3 * 2 * 128 * 64,
            _ => 4 * 2 * 64 * 64,
        }
    }

    /// Tiles from the most efficient to the smallest, each with the least products for which a part of k pays.
    const fn tiles(self) -> &'static [(usize, usize)] {
        if self.plain() { &[(128, 256), (64, 128), (32, 64)] } else { &[(128, 512), (64, 256)] }
    }
}

/// Blocks that keep a large GPU busy.
const BLOCKS: usize = 256;
/// The most parts of k.
const MOST_SPLITS: usize = 128;

/// A kernel's tile, and the products in each part of k.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    tile: usize,
    split: usize,
}

impl Shape {
    /// For a product of these sizes: the largest tile that fills the GPU, with k split or not.
    fn choose(family: Family, [m, n, k]: [usize; 3]) -> Self {
        let tiles = family.tiles();
        let fill = |&(tile, least): &(usize, usize)| {
            let blocks = m.div_ceil(tile).saturating_mul(n.div_ceil(tile)).max(1);
            let splits = BLOCKS.div_ceil(blocks).min(k / least).clamp(1, MOST_SPLITS);
            (tile, blocks.saturating_mul(splits), splits)
        };
        let smallest = tiles.len() - 1;
        // A tile of which more than half lies outside of C computes for nothing.
        let suits = |&(tile, _): &(usize, usize)| 2 * m.min(n) > tile;
        let full = tiles[..smallest].iter().filter(|t| suits(t)).map(fill).find(|(_, blocks, _)| 2 * blocks >= BLOCKS);
        let (tile, _, splits) = full.unwrap_or_else(|| fill(&tiles[smallest]));
        let split = if splits == 1 { k.max(1) } else { k.div_ceil(splits).next_multiple_of(32) };
        Self { tile, split }
    }

    const fn splits(self, k: usize) -> usize {
        if k == 0 { 1 } else { k.div_ceil(self.split) }
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

/// A planned product; without kernels in plans for the CPU.
#[derive(Clone, Debug)]
pub(crate) struct CudaGemm {
    planned: [usize; 3],
    family: Family,
    shape: Shape,
    product: Kernel<GemmArgs>,
    sum: Kernel<GemmArgs>,
}

impl CudaGemm {
    /// For products of at most these sizes (m, n, k). The caller provides [`CudaGemm::workspace`] floats for each launch.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) for sizes of 2³¹ and more, and what [`Planner::kernel`] returns.
    pub fn plan(layout: Layout, sizes: [usize; 3], p: &Planner<'_>) -> Result<Self> {
        let family = match p.device() {
            Device::Cpu(_) => Family::Plain(p.dtype()),
            Device::Cuda(cuda) => Family::choose(p.precision(), cuda.capability()),
        };
        let shape = Shape::choose(family, sizes);
        let blocks = sizes[0].div_ceil(shape.tile).saturating_mul(sizes[1].div_ceil(shape.tile));
        if matches!(p.device(), Device::Cuda(_)) && sizes.into_iter().chain([blocks]).any(|n| n >= 1 << 31) {
            return Err(Error::shape("gemm", "a matrix is too large for a GPU kernel")
                .expected("sides below 2^31")
                .got(format!("{} x {} x {}", sizes[0], sizes[1], sizes[2])));
        }
        Self::of(layout, sizes, family, shape, p)
    }

    fn of(layout: Layout, sizes: [usize; 3], family: Family, shape: Shape, p: &Planner<'_>) -> Result<Self> {
        let (source, suffix) = (family.source(), family.suffix());
        let product = p.kernel(&source, &format!("gemm_{}_{}_{suffix}", layout.name(), shape.tile))?;
        let sum = p.kernel(&source, &format!("gemm_sum_{suffix}"))?;
        Ok(Self { planned: sizes, family, shape, product, sum })
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
        let blocks = m.div_ceil(self.shape.tile) * n.div_ceil(self.shape.tile);
        let grid = Grid::xyz(blocks, 1, splits).shared(self.family.shared(self.shape.tile));
        debug_assert!(a.1 < 1 << 31 && b.1 < 1 << 31 && c.1 < 1 << 31);
        self.product.launch(cuda, grid, &args)?;
        if splits > 1 {
            self.sum.launch(cuda, Grid::cover(m * n.div_ceil(4)), &args)?;
        }
        Ok(())
    }

    fn args(&self, product: &CudaProduct, work: Ptr, splits: usize) -> GemmArgs {
        let &CudaProduct { shape: [m, n, k], a, b, c, wide, add, alpha, bias, z, act } = product;
        let narrow =
            if matches!(self.family, Family::Bf16 | Family::F16 | Family::Plain(DType::Bf16 | DType::F16)) { 2 } else { 4 };
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
mod tests {
    use super::*;
    use crate::Mode;
    use crate::device::{Buffer, testing};
    use crate::memory::Store;
    use crate::op::activation::Activation;
    use crate::rng::{Purpose, Stream};
    use crate::shape::Axes;
    use std::cell::RefCell;

    #[test]
    fn tiles_and_splits_follow_from_the_sizes() {
        let shape = |family, sizes| {
            let Shape { tile, split } = Shape::choose(family, sizes);
            (tile, Shape { tile, split }.splits(sizes[2]))
        };
        let plain = Family::Plain(DType::F32);
        // Large: no split. A weight gradient over a long batch: large tiles, many parts. A small batch: small tiles.
        assert_eq!(shape(plain, [4096, 4096, 4096]), (128, 1));
        assert_eq!(shape(Family::Bf16, [4096, 4096, 4096]), (128, 1));
        assert_eq!(shape(Family::Bf16, [512, 512, 100_000]), (128, 16));
        assert_eq!(shape(plain, [16, 256, 784]), (32, 9));
        assert_eq!(shape(plain, [1, 1, 1]), (32, 1));
        assert_eq!(shape(Family::F16, [8, 10, 0]), (64, 1));
        for family in [plain, Family::Tf32x3] {
            for sizes in [[1, 1, 1 << 20], [33, 77, 5000], [1, 4096, 4096], [128, 10, 300], [64, 64, 1 << 30]] {
                let shape = Shape::choose(family, sizes);
                let (splits, blocks) = (shape.splits(sizes[2]), sizes[0].div_ceil(shape.tile) * sizes[1].div_ceil(shape.tile));
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

    /// A matrix in device memory: `rows` of `columns` random values, then `pad` that are NaN; `offset` elements in front.
    struct Matrix {
        buffer: Buffer,
        dtype: DType,
        ld: usize,
        offset: usize,
        v: Vec<f64>,
    }

    impl Matrix {
        fn new(cuda: &Cuda, dtype: DType, [rows, columns, pad, offset]: [usize; 4], mut value: impl FnMut() -> f64) -> Self {
            let ld = columns + pad;
            let v: Vec<f64> = (0..rows * ld).map(|i| if i % ld < columns { narrow(dtype, value()) } else { f64::NAN }).collect();
            let bytes = (rows * ld + offset) * dtype.bytes();
            let buffer = cuda.allocate(bytes).unwrap();
            let all = || std::iter::repeat_n(f64::NAN, offset).chain(v.iter().copied());
            let fill = &mut |to: &mut [u8]| {
                for (to, v) in to.chunks_exact_mut(dtype.bytes()).zip(all()) {
                    match dtype {
                        DType::Bf16 => to.copy_from_slice(&half::bf16::from_f64(v).to_le_bytes()),
                        DType::F16 => to.copy_from_slice(&half::f16::from_f64(v).to_le_bytes()),
                        _ => to.copy_from_slice(&(v as f32).to_le_bytes()),
                    }
                }
                Ok(())
            };
            cuda.upload(buffer.ptr(), bytes, fill).unwrap();
            Self { buffer, dtype, ld, offset, v }
        }

        fn at(&self) -> (Ptr, usize) {
            (self.buffer.ptr().offset(self.offset * self.dtype.bytes()), self.ld)
        }

        /// What the device holds now.
        fn read(&self, cuda: &Cuda) -> Vec<f64> {
            let mut bytes = vec![0; self.v.len() * self.dtype.bytes()];
            cuda.download(self.at().0, &mut bytes).unwrap();
            let widen = |b: &[u8]| match *b {
                [a, b] if self.dtype == DType::Bf16 => half::bf16::from_le_bytes([a, b]).to_f64(),
                [a, b] => half::f16::from_le_bytes([a, b]).to_f64(),
                [a, b, c, d] => f64::from(f32::from_le_bytes([a, b, c, d])),
                _ => f64::NAN,
            };
            bytes.chunks_exact(self.dtype.bytes()).map(widen).collect()
        }
    }

    fn narrow(dtype: DType, v: f64) -> f64 {
        match dtype {
            DType::Bf16 => half::bf16::from_f64(v).to_f64(),
            DType::F16 => half::f16::from_f64(v).to_f64(),
            _ => f64::from(v as f32),
        }
    }

    /// How one product deviates from the plainest: part of k, where C goes, alignment.
    #[derive(Clone, Copy, Debug)]
    struct Variant {
        splits: usize,
        wide: bool,
        add: bool,
        act: Activation,
        bias: bool,
        pad: usize,
        offset: usize,
    }

    /// Runs one product of the kernels of `family` twice and compares with f64.
    fn check(cuda: &Cuda, p: &Planner<'_>, (family, tile): (Family, usize), layout: Layout, sizes: [usize; 3], how: Variant) {
        let what = format!("{family:?} {layout:?} {sizes:?} in tiles of {tile}, {how:?}");
        let ([m, n, k], Variant { pad, offset, .. }) = (sizes, how);
        let dtype = match family {
            Family::Plain(dtype) => dtype,
            Family::Bf16 => DType::Bf16,
            Family::F16 => DType::F16,
            _ => DType::F32,
        };
        let mut r = Stream::new(sizes.iter().sum::<usize>() as u64, Purpose::User, 0);
        let mut matrix = |dtype, rows, columns| Matrix::new(cuda, dtype, [rows, columns, pad, offset], || r.between(-1.0, 1.0));
        let out = if how.wide { DType::F32 } else { dtype };
        let a = if layout == Layout::TN { matrix(dtype, k, m) } else { matrix(dtype, m, k) };
        let b = if layout == Layout::NT { matrix(dtype, n, k) } else { matrix(dtype, k, n) };
        let (c, z, bias) = (matrix(out, m, n), matrix(out, m, n), matrix(DType::F32, 1, n));
        let split = if how.splits == 1 { k.max(1) } else { k.div_ceil(how.splits).next_multiple_of(32) };
        // Planned for more products than there are.
        let planned = [m + 1, n + 1, k + split];
        let gemm = CudaGemm::of(layout, planned, family, Shape { tile, split }, p).unwrap();
        let work = cuda.allocate(gemm.workspace() * 4).unwrap();
        let plain = CudaProduct::new(sizes, a.at(), b.at(), c.at());
        let product = CudaProduct {
            wide: how.wide,
            add: how.add,
            alpha: 0.75,
            bias: if how.bias { bias.at().0 } else { Ptr::NULL },
            z: if how.add { Ptr::NULL } else { z.at().0 },
            act: CudaActivation::new(how.act, out),
            ..plain
        };
        gemm.launch(cuda, &product, work.ptr()).unwrap();
        let (got_c, got_z) = (c.read(cuda), z.read(cuda));
        // Of one product, and of one rounding to C.
        let unit = match family {
            Family::Tf32 => 2.0_f64.powi(-10),
            Family::Tf32x3 => 2.0_f64.powi(-21),
            _ => f64::from(f32::EPSILON),
        };
        let rounding = match out {
            DType::Bf16 => 2.0_f64.powi(-8),
            DType::F16 => 2.0_f64.powi(-11),
            _ => f64::from(f32::EPSILON),
        };
        for (i, j) in (0..m).flat_map(|i| (0..n).map(move |j| (i, j))) {
            let terms = (0..k).map(|p| {
                let a = if layout == Layout::TN { a.v[p * a.ld + i] } else { a.v[i * a.ld + p] };
                a * if layout == Layout::NT { b.v[j * b.ld + p] } else { b.v[p * b.ld + j] }
            });
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), v| (sum + v, size + v.abs()));
            let x = 0.75 * sum + if how.bias { bias.v[j] } else { 0.0 };
            let y = match how.act {
                Activation::Relu => x.max(0.0),
                Activation::Tanh => x.tanh(),
                _ => x,
            } + if how.add { c.v[i * c.ld + j] } else { 0.0 };
            // Products round independently; sums round with their own size, which stays below that of all terms.
            let products = (size / (k as f64).sqrt().max(1.0) + 4.0) * 2.0 * unit;
            let bound = |v: f64| products + size * f64::from(f32::EPSILON) + rounding * v.abs();
            let place = i * c.ld + j;
            assert!((got_c[place] - y).abs() <= bound(y), "{what}: C({i}, {j}) = {}, expected {y}", got_c[place]);
            assert!(how.add || (got_z[place] - x).abs() <= bound(x), "{what}: Z({i}, {j}) = {}, expected {x}", got_z[place]);
        }
        let padding = |v: &[f64]| v.iter().enumerate().all(|(i, v)| i % c.ld < n || v.is_nan());
        assert!(padding(&got_c) && padding(&got_z), "{what}: padding was written");
        if !how.add {
            gemm.launch(cuda, &product, work.ptr()).unwrap();
            assert!(c.read(cuda).iter().zip(&got_c).all(|(a, b)| a.to_bits() == b.to_bits()), "{what}: other bits");
        }
    }

    #[test]
    fn every_kernel_multiplies() {
        let Some(device) = testing::gpu() else { return };
        let Device::Cuda(cuda) = &device else { return };
        let (mut store, mut requests) = (Store::new(&device, DType::F32), Vec::new());
        let p = Planner {
            device: &device,
            precision: Precision::FP32,
            mode: Mode::Infer,
            capacity: 1,
            axes: Axes::default(),
            store: &mut store,
            requests: &mut requests,
            node: 0,
            name: "gemm",
            times: (0, 0),
            kernels: &RefCell::default(),
        };
        let plain = [DType::F32, DType::Bf16, DType::F16].map(Family::Plain);
        let kinds = [Precision::BF16, Precision::FP16, Precision::TF32, Precision::FP32x3];
        let mut families: Vec<Family> = kinds.map(|kind| Family::choose(kind, cuda.capability())).to_vec();
        families.retain(|family| !family.plain());
        let first = Variant { splits: 1, wide: false, add: false, act: Activation::Linear, bias: true, pad: 0, offset: 0 };
        let variants = [
            first,
            Variant { splits: 3, wide: true, act: Activation::Relu, pad: 8, ..first },
            Variant { wide: true, act: Activation::Tanh, pad: 3, offset: 1, ..first },
            Variant { splits: 4, add: true, bias: false, pad: 16, ..first },
        ];
        let sizes = [[1, 1, 1], [1, 7, 100], [33, 31, 127], [5, 150, 300], [64, 64, 64], [140, 129, 33], [16, 10, 0]];
        for family in families.into_iter().chain(plain) {
            for (i, &(tile, _)) in family.tiles().iter().enumerate() {
                for (j, layout) in [Layout::NN, Layout::NT, Layout::TN].into_iter().enumerate() {
                    for (l, &sizes) in sizes.iter().enumerate() {
                        // Every size in two of the four variants, which change places between tiles and layouts.
                        for v in [0, 1] {
                            check(cuda, &p, (family, tile), layout, sizes, variants[(i + j + l + 2 * v + v) % 4]);
                        }
                    }
                }
            }
        }
    }
}
