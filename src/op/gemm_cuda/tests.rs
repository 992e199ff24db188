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
            assert!(splits == 1 || shape.split.is_multiple_of(32) && shape.split * splits >= sizes[2], "{sizes:?}: {shape:?}");
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
