//! The kernels against the definition, product by product, on whatever takes the place of a GPU.
//!
//! All numbers are small integers: products and their sums are exact in every precision and order, so that results must
//! have the very bits of the rounded exact value.

use super::*;
use crate::device::{Buffer, Device, testing};
use crate::op::activation::Activation;
use crate::op::bands::{self, CombineArgs};
use crate::op::conv::tests::geometries;
use crate::rng::{Purpose, Stream};
use crate::{DType, Extent, Window};
use std::collections::BTreeSet;

mod pooled;

const PRECISIONS: [Precision; 5] = [Precision::FP32, Precision::TF32, Precision::FP32x3, Precision::BF16, Precision::FP16];

fn gpu() -> Option<Cuda> {
    match testing::gpu()? {
        Device::Cuda(cuda) => Some(cuda),
        Device::Cpu(_) => None,
    }
}

fn encode(v: &[f64], dtype: DType) -> Vec<u8> {
    match dtype {
        DType::F32 => v.iter().flat_map(|&v| (v as f32).to_le_bytes()).collect(),
        DType::Bf16 => v.iter().flat_map(|&v| half::bf16::from_f64(v).to_le_bytes()).collect(),
        DType::F16 => v.iter().flat_map(|&v| half::f16::from_f64(v).to_le_bytes()).collect(),
        _ => unreachable!("no kernel stores {dtype:?}"),
    }
}

fn decode(bytes: &[u8], dtype: DType) -> Vec<f64> {
    match dtype {
        DType::F32 => bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect(),
        DType::Bf16 => bytes.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
        DType::F16 => bytes.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f64()).collect(),
        _ => unreachable!("no kernel stores {dtype:?}"),
    }
}

/// An array on the device.
pub(in crate::op) struct Array {
    buffer: Buffer,
    len: usize,
    dtype: DType,
}

impl Array {
    pub fn new(cuda: &Cuda, v: &[f64], dtype: DType) -> Self {
        let bytes = encode(v, dtype);
        let buffer = cuda.allocate(bytes.len()).unwrap();
        let mut fill = |to: &mut [u8]| {
            to.copy_from_slice(&bytes);
            Ok(())
        };
        if !bytes.is_empty() {
            cuda.upload(buffer.ptr(), bytes.len(), &mut fill).unwrap();
        }
        Self { buffer, len: v.len(), dtype }
    }

    pub fn ptr(&self) -> Ptr {
        self.buffer.ptr()
    }

    pub fn read(&self, cuda: &Cuda) -> Vec<f64> {
        let mut bytes = vec![0; self.len * self.dtype.bytes()];
        cuda.download(self.ptr(), &mut bytes).unwrap();
        decode(&bytes, self.dtype)
    }
}

/// As a slot of this type holds it.
fn stored(v: &[f64], dtype: DType) -> Vec<f64> {
    decode(&encode(v, dtype), dtype)
}

/// What one case computes with: arrays of `rows` samples and one more that must stay as it is.
struct Data {
    rows: usize,
    x: Vec<f64>,
    dy: Vec<f64>,
    w: Vec<f64>,
    /// Biases of y, and of x for the transposed convolution.
    b: Vec<f64>,
    bx: Vec<f64>,
}

impl Data {
    fn new(g: &Geometry, rows: usize, seed: u64) -> Self {
        let mut r = Stream::new(31, Purpose::User, seed);
        let mut draw = |n: usize| (0..n).map(|_| r.below(7) as f64 - 3.0).collect::<Vec<f64>>();
        let (x, dy) = (draw((rows + 1) * g.x.len()), draw((rows + 1) * g.y.len()));
        Self { rows, x, dy, w: draw(g.weight_len().unwrap()), b: draw(g.y.c), bx: draw(g.x.c) }
    }

    /// y, dx, dw without biases.
    fn expected(&self, g: &Geometry) -> [Vec<f64>; 3] {
        let (c, f) = (g.x.c / g.groups, g.y.c / g.groups);
        let (mut y, mut dx, mut dw) =
            (vec![0.0; self.rows * g.y.len()], vec![0.0; self.rows * g.x.len()], vec![0.0; self.w.len()]);
        for n in 0..self.rows {
            g.meet(|p, t, q| {
                for i in 0..g.x.c {
                    let (to, from) = (n * g.y.len() + p * g.y.c + i / c * f, n * g.x.len() + q * g.x.c + i);
                    let row = (t * c + i % c) * g.y.c + i / c * f;
                    for j in 0..f {
                        y[to + j] += self.x[from] * self.w[row + j];
                        dx[from] += self.dy[to + j] * self.w[row + j];
                        dw[row + j] += self.x[from] * self.dy[to + j];
                    }
                }
            });
        }
        [y, dx, dw]
    }
}

/// What the card has for a precision, and what older ones have.
fn units(cuda: &Cuda, precision: Precision) -> Vec<Units> {
    let units = Units::new(precision, cuda.capability());
    if units.hopper { vec![units, Units { hopper: false, ..units }] } else { vec![units] }
}

/// Runs all directions in a precision on some units and compares; the kernels that ran.
fn check(
    cuda: &Cuda,
    what: &str,
    g: &Geometry,
    data: &Data,
    expected: &[Vec<f64>; 3],
    (precision, units): (Precision, Units),
) -> [String; 3] {
    let dtype = precision.storage();
    let conv = CudaConv::by(units, g, data.rows + 2, precision, None, cuda).unwrap();
    let w = Array::new(cuda, &data.w, if conv.narrow() { dtype } else { DType::F32 });
    let (x, dy) = (Array::new(cuda, &data.x, dtype), Array::new(cuda, &data.dy, dtype));
    let (b, bx) = (Array::new(cuda, &data.b, DType::F32), Array::new(cuda, &data.bx, DType::F32));
    let work = Array::new(cuda, &vec![f64::NAN; conv.work()], DType::F32);
    let mut r = Stream::new(37, Purpose::User, 0);
    for mode in [GradMode::Write, GradMode::Add] {
        let mut start = |n: usize| match mode {
            GradMode::Write => vec![f64::NAN; n],
            GradMode::Add => (0..n).map(|_| r.below(7) as f64 - 3.0).collect(),
        };
        let [y0, dx0, dw0] = [data.dy.len(), data.x.len(), data.w.len()].map(&mut start);
        let [y, dx] = [&y0, &dx0].map(|v| Array::new(cuda, v, dtype));
        let (z, dw) = (Array::new(cuda, &vec![f64::NAN; y0.len()], dtype), Array::new(cuda, &dw0, DType::F32));
        let plain = CudaEnd::plain(mode);
        let (end, end_x) = match mode {
            GradMode::Add => (plain, plain),
            GradMode::Write => {
                let act = CudaActivation::new(Activation::Relu, dtype);
                (CudaEnd { bias: b.ptr(), act, z: z.ptr(), ..plain }, CudaEnd { bias: bx.ptr(), ..plain })
            }
        };
        conv.forward(cuda, data.rows, (x.ptr(), w.ptr(), y.ptr()), end).unwrap();
        conv.backward(cuda, data.rows, (dy.ptr(), w.ptr(), dx.ptr()), end_x).unwrap();
        conv.weights(cuda, data.rows, (x.ptr(), dy.ptr(), dw.ptr()), mode, work.ptr()).unwrap();
        let with = |i: usize, start: &[f64], bias: &[f64]| -> Vec<f64> {
            let add = |(k, e): (usize, &f64)| if mode == GradMode::Add { e + start[k] } else { e + bias[k % bias.len()] };
            expected[i].iter().enumerate().map(add).collect()
        };
        let (ez, edx, edw) = (with(0, &y0, &data.b), with(1, &dx0, &data.bx), with(2, &dw0, &[0.0]));
        let ey = if mode == GradMode::Write { ez.iter().map(|v| v.max(0.0)).collect() } else { ez.clone() };
        let same = |name: &str, array: &Array, e: &[f64], start: &[f64]| {
            let (computed, e) = (array.read(cuda), stored(e, array.dtype));
            let wrong = (0..e.len()).find(|&i| computed[i] != e[i]);
            let at = wrong.map(|i| format!("[{i}] is {}, expected {}", computed[i], e[i]));
            assert!(wrong.is_none(), "{name}{} of {what}, {precision:?} {mode:?} {conv:?}", at.unwrap_or_default());
            let rest = stored(&start[e.len()..], array.dtype);
            let kept = computed[e.len()..].iter().zip(&rest).all(|(a, b)| a.to_bits() == b.to_bits());
            assert!(kept, "{name} past the valid rows of {what}, {precision:?}");
        };
        same("y", &y, &ey, &y0);
        same("dx", &dx, &edx, &dx0);
        same("dw", &dw, &edw, &dw0);
        if mode == GradMode::Write {
            same("z", &z, &ez, &vec![f64::NAN; y0.len()]);
        }
    }
    conv.path().map(str::to_owned)
}

fn window(size: [usize; 3], stride: [usize; 3], pad: [usize; 3]) -> Window {
    Window { stride, before: pad, after: pad, ..Window::new(size) }
}

fn plane(k: usize, s: usize, p: usize) -> Window {
    window([1, k, k], [1, s, s], [0, p, p])
}

fn cube(k: usize, s: usize, p: usize) -> Window {
    window([k; 3], [s; 3], [p; 3])
}

fn line(k: usize, s: usize, p: usize) -> Window {
    window([1, 1, k], [1, 1, s], [0, 0, p])
}

type Case = (&'static str, Geometry, usize);

fn with(name: &'static str, x: Extent, f: usize, window: Window, groups: usize, rows: usize) -> Case {
    (name, Geometry::new(x, f, window, groups).unwrap(), rows)
}

/// Cases for each path beyond the random ones: name, geometry, rows.
fn cases() -> Vec<Case> {
    let image = Extent::image;
    vec![
        with("first layer", image(28, 28, 1), 8, plane(5, 1, 2), 1, 5),
        with("first layer, three channels", image(33, 21, 3), 32, plane(3, 1, 1), 1, 2),
        with("first layer, strided", image(40, 37, 3), 20, plane(7, 2, 3), 1, 2),
        with("first layer of a cube", Extent::cube(9, 12, 20, 2), 17, cube(3, 1, 1), 1, 2),
        with("spectrum", Extent::line(1300, 1), 12, line(8, 4, 2), 1, 3),
        with("last layer, one filter", image(17, 19, 12), 1, plane(3, 1, 1), 1, 2),
        with("wide and ragged", image(13, 11, 33), 70, plane(3, 1, 1), 1, 2),
        with("wide by four", image(13, 11, 36), 68, plane(3, 2, 1), 1, 2),
        with("narrow by four", image(9, 31, 20), 12, plane(3, 1, 1), 1, 2),
        with("narrow", image(9, 31, 7), 5, plane(3, 1, 1), 1, 3),
        with("eighths", image(12, 11, 16), 24, plane(3, 1, 1), 1, 3),
        with("eighths, many filters", image(7, 9, 24), 136, plane(3, 2, 1), 1, 3),
        with("eighths, many channels", image(6, 5, 136), 16, plane(2, 1, 0), 1, 2),
        with("eighths in groups", image(6, 9, 24), 48, plane(3, 1, 1), 3, 2),
        with("eighths of a cube", Extent::cube(5, 6, 7, 8), 16, cube(3, 2, 1), 1, 2),
        with("eighths of a line", Extent::line(300, 8), 8, line(9, 1, 4), 1, 2),
        with("eighths with gaps", image(5, 6, 8), 16, Window { gap: [0, 2, 1], dilation: [1, 2, 1], ..plane(3, 2, 2) }, 1, 2),
        with("depthwise", image(14, 9, 37), 37, plane(3, 1, 1), 37, 2),
        with("depthwise by four", image(14, 9, 40), 40, plane(5, 2, 2), 40, 2),
        with("depthwise, three filters each", image(9, 8, 10), 30, plane(3, 1, 1), 10, 2),
        with("stride above the window", image(20, 20, 2), 3, plane(2, 5, 0), 1, 2),
        with("more parts than a launch takes", image(26, 25, 5), 6, plane(4, 4, 0), 1, 2),
        with("strides that meet nothing", image(4, 4, 8), 8, Window { gap: [0, 6, 6], ..plane(2, 2, 0) }, 1, 2),
    ]
}

/// For the kernels of sm_90a: outputs and columns that end within tiles, taps that end within stages, pieces of weights of every size,
/// parts, groups, more tiles than there are blocks; windows with more taps than are counted go elsewhere.
fn hopper_cases() -> Vec<Case> {
    let image = Extent::image;
    vec![
        with("whole stages", image(12, 12, 64), 64, plane(3, 1, 1), 1, 2),
        with("pieces of 16", image(9, 10, 48), 48, plane(3, 1, 1), 1, 2),
        with("pieces of 8, and of 32", image(8, 7, 40), 96, plane(3, 1, 1), 1, 2),
        with("strided", image(11, 9, 64), 144, plane(3, 2, 1), 1, 2),
        with("dilated", image(10, 9, 32), 40, Window { dilation: [1, 2, 3], ..plane(3, 1, 2) }, 1, 2),
        with("groups", image(6, 9, 96), 96, plane(3, 1, 1), 3, 2),
        with("groups of whole boxes", image(6, 5, 128), 128, plane(3, 1, 1), 2, 2),
        with("a cube", Extent::cube(4, 5, 6, 32), 32, cube(3, 2, 1), 1, 2),
        with("a line", Extent::line(300, 32), 64, line(9, 1, 4), 1, 2),
        with("gaps", image(5, 6, 32), 48, Window { gap: [0, 2, 1], dilation: [1, 2, 1], ..plane(3, 2, 2) }, 1, 2),
        with("many tiles", image(21, 20, 32), 264, plane(3, 1, 1), 1, 3),
        with("many taps", Extent::line(90, 32), 32, line(40, 1, 20), 1, 2),
    ]
}

#[test]
fn kernels_of_sm_90a_have_the_bits_of_the_exact_value() {
    let Some(cuda) = gpu() else { return };
    if cuda.capability() != (9, 0) {
        eprintln!("SKIPPED sm_90a: {cuda}");
        return;
    }
    let mut seen = BTreeSet::new();
    for (i, (name, g, rows)) in hopper_cases().into_iter().enumerate() {
        let data = Data::new(&g, rows, i as u64);
        let expected = data.expected(&g);
        for (j, columns) in [None, Some(64), Some(128), Some(256)].into_iter().enumerate() {
            let precision = [Precision::BF16, Precision::FP16][(i + j) % 2];
            let units = Units { columns, ..Units::new(precision, cuda.capability()) };
            seen.extend(check(&cuda, name, &g, &data, &expected, (precision, units)));
        }
    }
    for (direction, dtype) in ["", "flip_", "weights_"].iter().flat_map(|d| ["bf16", "f16"].map(|t| (d, t))) {
        for tile in [64, 128, 256] {
            let kernel = format!("conv_sm90_{direction}{dtype}_{tile}");
            assert!(seen.contains(&kernel), "{kernel} did not run: {seen:?}");
        }
    }
}

#[test]
fn every_direction_has_the_bits_of_the_exact_value() {
    let Some(cuda) = gpu() else { return };
    let mut seen = BTreeSet::new();
    for (i, (name, g, rows)) in cases().into_iter().enumerate() {
        let data = Data::new(&g, rows, i as u64);
        let expected = data.expected(&g);
        for precision in PRECISIONS {
            for units in units(&cuda, precision) {
                seen.extend(check(&cuda, name, &g, &data, &expected, (precision, units)));
            }
        }
    }
    // The bases of all kernel names: with the types and tiles behind them.
    for base in ["few8", "few16", "few_weights", "grouped", "grouped4", "grouped_weights", "wide", "wide4", "narrow", "narrow4"] {
        assert!(seen.contains(&format!("conv_{base}_f32")), "conv_{base} did not run: {seen:?}");
    }
    for base in ["wide", "narrow", "wide4", "narrow4"] {
        assert!(seen.contains(&format!("conv_weights_{base}_f32")), "conv_weights_{base} did not run: {seen:?}");
    }
    if cuda.capability().0 >= 8 {
        for (direction, name) in ["", "flip_", "weights_"].iter().flat_map(|d| ["tf32", "tf32x3", "bf16", "f16"].map(|n| (d, n)))
        {
            for tile in [64, 128] {
                let kernel = format!("conv_{direction}{name}_{tile}");
                assert!(seen.contains(&kernel), "{kernel} did not run: {seen:?}");
            }
        }
    }
}

/// The moments of the columns of y, as stored, against f64; by the last block to come and by a kernel of its own, twice.
fn check_moments(cuda: &Cuda, what: &str, g: &Geometry, rows: usize, (precision, units): (Precision, Units)) -> Option<String> {
    let (dtype, capacity, c) = (precision.storage(), rows + 2, g.y.c);
    let conv = CudaConv::by(units, g, capacity, precision, Some(false), cuda).unwrap();
    let measurable = conv.measurable(capacity, precision)?;
    let kernel = measurable.kernel(cuda).unwrap();
    let mut r = Stream::new(41, Purpose::User, 0);
    let mut draw = |n: usize, scale: f64| (0..n).map(|_| scale * r.normal()).collect::<Vec<f64>>();
    let (x, w) = (draw((rows + 1) * g.x.len(), 1.0), draw(g.weight_len().unwrap(), 0.1));
    // Means large beside the deviations, up to where values of this type hardly differ.
    let b: Vec<f64> = draw(c, 1.0).iter().enumerate().map(|(i, v)| v * [0.0, 1.0, 30.0, 1000.0][i % 4]).collect();
    let (x, w, b) = (Array::new(cuda, &x, dtype), Array::new(cuda, &w, dtype), Array::new(cuda, &b, DType::F32));
    let positions = rows * g.y.area();
    let (bands, parts_of) = (positions.div_ceil(64), if dtype == DType::F32 { 4 } else { 2 });
    let combine = cuda.kernel::<CombineArgs>(&bands::NORM, &format!("combine_{}", dtype.suffix())).unwrap();
    let control = Array::new(cuda, &[0.0; 64], DType::F32);
    let mut bits: Vec<Vec<f64>> = Vec::new();
    for (alone, again) in [(true, false), (true, true), (false, false), (false, true)] {
        let y = Array::new(cuda, &vec![f64::NAN; (rows + 1) * g.y.len()], dtype);
        let parts = Array::new(cuda, &vec![f64::NAN; parts_of * c * bands], DType::F32);
        let arrived = Array::new(cuda, &vec![0.0; measurable.blocks.max(c.div_ceil(32))], DType::F32);
        let [table, mean, var] = [2 * c, c, c].map(|n| Array::new(cuda, &vec![1.0; n], DType::F32));
        let args = BandArgs {
            parts: parts.ptr(),
            arrived: if alone { arrived.ptr() } else { Ptr::NULL },
            table: bands::Table {
                table: table.ptr(),
                mean: mean.ptr(),
                var: var.ptr(),
                control: control.ptr(),
                eps: 1e-9,
                momentum: 1.0,
            },
            positions: positions as u64,
            c: c as u32,
            bands: bands as u32,
        };
        conv.measure(
            cuda,
            rows,
            (x.ptr(), w.ptr(), y.ptr()),
            CudaEnd { bias: b.ptr(), ..CudaEnd::plain(GradMode::Write) },
            (&kernel, args),
        )
        .unwrap();
        if !alone {
            let (chunk, partial) = (3, Array::new(cuda, &vec![f64::NAN; 4 * c * bands], DType::F32));
            let chunks = bands.div_ceil(chunk);
            let args =
                CombineArgs { bands: args, partial: partial.ptr(), arrived: arrived.ptr(), chunk: 3, chunks: chunks as u32 };
            combine.launch(cuda, Grid::xyz(chunks, c.div_ceil(32), 1), &args).unwrap();
        }
        assert!(arrived.read(cuda).iter().all(|&n| n == 0.0), "counters of {what}");
        // The same y as without.
        let plain = Array::new(cuda, &vec![f64::NAN; (rows + 1) * g.y.len()], dtype);
        conv.forward(cuda, rows, (x.ptr(), w.ptr(), plain.ptr()), CudaEnd { bias: b.ptr(), ..CudaEnd::plain(GradMode::Write) })
            .unwrap();
        let (y, plain) = (y.read(cuda), plain.read(cuda));
        assert!(y.iter().zip(&plain).all(|(a, b)| a.to_bits() == b.to_bits()), "y of {what}, {precision:?} {conv:?}");
        let (table, mean, var) = (table.read(cuda), mean.read(cuda), var.read(cuda));
        for j in 0..c {
            let column = || (0..positions).map(|p| y[p * c + j]);
            let m = column().sum::<f64>() / positions as f64;
            let squares = column().map(|v| (v - m) * (v - m)).sum::<f64>();
            let (v, n, eps) = (squares / positions as f64, positions as f64, f64::from(f32::EPSILON));
            let what = || {
                format!(
                    "channel {j} of {what}, {precision:?}, {}, by {}",
                    measurable.name,
                    if alone { "the last" } else { "a kernel" }
                )
            };
            // One rounding of the mean, and sums of 64 deviations; in 16 bits the means of bands are kept in f32 too.
            let narrow = if dtype == DType::F32 { 0.0 } else { m.abs() * v.sqrt() };
            let (near, far) = (eps * (m.abs() + 4.0 * v.sqrt()), eps * (32.0 * v + narrow));
            let (unbiased, rho) = (squares / (n - 1.0), 1.0 / (v + 1e-9).sqrt());
            let close = |name: &str, got: f64, expected: f64, bound: f64| {
                let ok = (got - expected).abs() <= bound;
                assert!(ok, "{name} {got} of {}, expected {expected}, bound {bound}", what());
            };
            close("mean", mean[j], m, near);
            close("centre", table[2 * j], m, near);
            close("variance", var[j], unbiased, far * n / (n - 1.0));
            close("deviation", table[2 * j + 1], rho, rho * (eps + far / (v + 1e-9)));
        }
        let all = [table, mean, var].concat();
        if again {
            assert!(bits.pop().unwrap() == all, "other bits in a second run of {what}");
        } else {
            bits.push(all);
        }
    }
    Some(measurable.name)
}

#[test]
fn moments_are_those_of_the_results_as_stored() {
    let Some(cuda) = gpu() else { return };
    let image = Extent::image;
    // Outputs that end within bands and tiles, more bands than rows of a tile, columns that end within tiles, a single value.
    let more = [
        with("many bands", image(40, 33, 16), 40, plane(3, 1, 1), 1, 3),
        with("a tile and one output", image(43, 3, 32), 64, plane(3, 1, 1), 1, 1),
        with("a band", image(8, 8, 32), 72, plane(3, 1, 1), 1, 1),
        with("short of a band", image(3, 3, 32), 32, plane(3, 1, 1), 1, 2),
    ];
    let mut seen = BTreeSet::new();
    for (i, (name, g, rows)) in hopper_cases().into_iter().chain(cases()).chain(more).enumerate() {
        for (j, precision) in PRECISIONS.into_iter().enumerate() {
            for units in units(&cuda, precision) {
                let columns = [None, Some(64), Some(128), Some(256)][(i + j) % 4].filter(|_| units.hopper);
                seen.extend(check_moments(&cuda, name, &g, rows, (precision, Units { columns, ..units })));
            }
        }
    }
    if cuda.capability().0 >= 8 {
        let tensor = ["tf32", "tf32x3", "bf16", "f16"].map(|n| [64, 128].map(|tile| format!("conv_moments_{n}_{tile}")));
        let hopper = ["bf16", "f16"].map(|n| [64, 128, 256].map(|tile| format!("conv_sm90_moments_{n}_{tile}")));
        let hopper = hopper.into_iter().flatten().filter(|_| cuda.capability() == (9, 0));
        for kernel in tensor.into_iter().flatten().chain(hopper) {
            assert!(seen.contains(&kernel), "{kernel} did not run: {seen:?}");
        }
    }
}

#[test]
fn random_windows_have_the_bits_of_the_exact_value() {
    let Some(cuda) = gpu() else { return };
    for (i, g) in geometries().into_iter().enumerate() {
        let data = Data::new(&g, 1 + i % 3, i as u64);
        let expected = data.expected(&g);
        let precision = PRECISIONS[i % 5];
        for units in units(&cuda, precision) {
            check(&cuda, &format!("{g:?}"), &g, &data, &expected, (precision, units));
        }
    }
}

#[test]
fn no_rows_leave_y_alone_and_make_zero_gradients() {
    let Some(cuda) = gpu() else { return };
    for (i, (name, g, _)) in cases().into_iter().chain(hopper_cases()).enumerate() {
        let data = Data::new(&g, 0, i as u64);
        let expected = data.expected(&g);
        let precision = PRECISIONS[i % 5];
        for units in units(&cuda, precision) {
            check(&cuda, name, &g, &data, &expected, (precision, units));
        }
    }
}

#[test]
fn sizes_beyond_the_indices_are_refused() {
    let Some(cuda) = gpu() else { return };
    let window = Window::new([1, 1, 3]);
    let refused = |g: Geometry| {
        let error = CudaConv::new(&g, 1, Precision::FP32, None, &cuda).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Shape, "{error}");
    };
    refused(Geometry::new(Extent::line(1 << 30, 1), 1, window, 1).unwrap());
    refused(Geometry::new(Extent::line(1 << 20, 1), 1 << 11, window, 1).unwrap());
    let far = Window { before: [0, 0, 1 << 29], stride: [1, 1, 1 << 29], ..window };
    refused(Geometry::new(Extent::line(8, 1), 1, far, 1).unwrap());
}
