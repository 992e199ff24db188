use super::*;
use crate::device::{Buffer, testing};
use crate::memory::plan::Request;
use crate::memory::{Planner, Store};
use crate::op::activation::Activation;
use crate::rng::{Purpose, Stream};
use crate::shape::Axes;
use crate::{Mode, Precision};
use std::cell::RefCell;

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
    /// What the activation is applied to.
    keep: bool,
    pad: usize,
    offset: usize,
}

/// Runs one product of the kernels of `family` twice and compares with f64.
fn check(cuda: &Cuda, p: &Planner<'_>, (family, tile): (Family, Tile), layout: Layout, sizes: [usize; 3], how: Variant) {
    let what = format!("{family:?} {layout:?} {sizes:?} in tiles of {} x {}, {how:?}", tile.rows, tile.columns);
    let ([m, n, k], Variant { pad, offset, .. }) = (sizes, how);
    let dtype = match family {
        Family::Plain(dtype) | Family::Hopper(dtype) => dtype,
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
    let split = if how.splits == 1 { k.max(1) } else { k.div_ceil(how.splits).next_multiple_of(64) };
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
        z: if how.keep { z.at().0 } else { Ptr::NULL },
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
        assert!(!how.keep || (got_z[place] - x).abs() <= bound(x), "{what}: Z({i}, {j}) = {}, expected {x}", got_z[place]);
    }
    let padding = |v: &[f64]| v.iter().enumerate().all(|(i, v)| i % c.ld < n || v.is_nan());
    assert!(padding(&got_c) && padding(&got_z), "{what}: padding was written");
    if !how.add {
        gemm.launch(cuda, &product, work.ptr()).unwrap();
        assert!(c.read(cuda).iter().zip(&got_c).all(|(a, b)| a.to_bits() == b.to_bits()), "{what}: other bits");
    }
}

fn planner<'a>(
    device: &'a Device,
    store: &'a mut Store,
    requests: &'a mut Vec<Request>,
    kernels: &'a RefCell<Vec<(u32, String)>>,
) -> Planner<'a> {
    let (precision, mode, axes) = (Precision::FP32, Mode::Infer, Axes::default());
    Planner { device, precision, mode, capacity: 1, axes, store, requests, node: 0, name: "gemm", times: (0, 0), kernels }
}

#[test]
fn every_kernel_multiplies() {
    let Some(device) = testing::gpu() else { return };
    let Device::Cuda(cuda) = &device else { return };
    let (mut store, mut requests) = (Store::new(&device, DType::F32), Vec::new());
    let kernels = RefCell::default();
    let p = planner(&device, &mut store, &mut requests, &kernels);
    let plain = [DType::F32, DType::Bf16, DType::F16].map(Family::Plain);
    let mut families = plain.to_vec();
    if cuda.capability() >= (8, 0) {
        families.extend([Family::Bf16, Family::F16, Family::Tf32, Family::Tf32x3]);
    }
    let first =
        Variant { splits: 1, wide: false, add: false, act: Activation::Linear, bias: true, keep: true, pad: 0, offset: 0 };
    let variants = [
        first,
        Variant { splits: 3, wide: true, act: Activation::Relu, pad: 8, ..first },
        Variant { wide: true, act: Activation::Tanh, pad: 3, offset: 1, ..first },
        Variant { splits: 4, add: true, bias: false, keep: false, pad: 16, ..first },
    ];
    let sizes = [[1, 1, 1], [1, 7, 100], [33, 31, 127], [5, 150, 300], [64, 64, 64], [140, 129, 33], [16, 10, 0]];
    for family in families {
        for (i, &tile) in family.tiles().iter().enumerate() {
            for (j, layout) in LAYOUTS.into_iter().enumerate() {
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

const LAYOUTS: [Layout; 3] = [Layout::NN, Layout::NT, Layout::TN];

/// The kernels of sm_90a: rows of 16 bytes, sides that end within tiles and within what the copy engine takes to C at a time, an odd number
/// of tile rows, more tiles than blocks, parts of k that end at the end or before it, no products at all.
#[test]
fn kernels_of_sm_90a_multiply() {
    let Some(device) = testing::gpu() else { return };
    let Device::Cuda(cuda) = &device else { return };
    if cuda.capability() != (9, 0) {
        eprintln!("SKIPPED sm_90a: {cuda}");
        return;
    }
    let (mut store, mut requests) = (Store::new(&device, DType::F32), Vec::new());
    let kernels = RefCell::default();
    let p = planner(&device, &mut store, &mut requests, &kernels);
    let first =
        Variant { splits: 1, wide: false, add: false, act: Activation::Linear, bias: true, keep: false, pad: 0, offset: 0 };
    let variants = [
        first,
        Variant { act: Activation::Relu, bias: false, pad: 8, offset: 8, ..first },
        Variant { splits: 3, wide: true, keep: true, act: Activation::Relu, pad: 8, ..first },
        Variant { keep: true, act: Activation::Tanh, ..first },
        Variant { splits: 2, add: true, bias: false, pad: 16, ..first },
    ];
    let sizes = [[64, 64, 64], [200, 264, 72], [8, 520, 200], [264, 8, 328], [136, 72, 0]];
    for (f, family) in [Family::Hopper(DType::Bf16), Family::Hopper(DType::F16)].into_iter().enumerate() {
        for (i, &tile) in family.tiles().iter().enumerate() {
            for (j, layout) in LAYOUTS.into_iter().enumerate() {
                for (l, &sizes) in sizes.iter().enumerate() {
                    for v in [0, 2] {
                        check(cuda, &p, (family, tile), layout, sizes, variants[(f + i + j + l + v) % 5]);
                    }
                }
            }
        }
        // More tiles than there are blocks, the last of them in an incomplete band and cluster.
        let tile = family.tiles()[f];
        let rows = tile.rows * (2 * cuda.multiprocessors() + 1) - 8;
        check(cuda, &p, (family, tile), Layout::NT, [rows, 72, 64], first);
    }
}
