use crate::device::Isa;
use crate::memory::GradMode;
use crate::op::conv::{Conv, End, Geometry};
use crate::rng::{Purpose, Stream};
use crate::{Cpu, Extent, Math, Real, Window};

/// Tiles that are cut off, that share a block or need several, channels and filters beyond whole vectors and that alias.
fn geometries() -> Vec<(Geometry, usize)> {
    let of = |h, w, c, f, pad: usize, rows| {
        let window = Window { before: [0, pad, pad], after: [0, pad, pad], ..Window::new([1, 3, 3]) };
        (Geometry::new(Extent::image(h, w, c), f, window, 1).unwrap(), rows)
    };
    vec![
        of(8, 8, 16, 16, 1, 20),
        of(30, 27, 20, 35, 1, 3),
        of(15, 16, 33, 24, 0, 9),
        of(14, 15, 24, 70, 2, 5),
        of(64, 61, 40, 16, 1, 3),
        of(11, 12, 512, 48, 1, 16),
    ]
}

fn draw<T: Real>(n: usize, index: u64) -> Vec<T> {
    let mut r = Stream::new(3, Purpose::User, index);
    // The same numbers in both precisions.
    (0..n).map(|_| T::of(f64::from(r.normal() as f32))).collect()
}

/// y and dx, written or added, with bias and ReLU where they are written.
fn run<T: Real>(cpu: &Cpu, g: Geometry, rows: usize, math: Math, mode: GradMode) -> [Vec<T>; 2] {
    let (x, dy) = (draw::<T>(rows * g.x.len(), 1), draw::<T>(rows * g.y.len(), 2));
    let (w, b, bx) = (draw::<T>(g.weight_len().unwrap(), 3), draw::<T>(g.y.c, 4), draw::<T>(g.x.c, 5));
    // Planned for more rows than come.
    let (conv, len) = Conv::on_cpu::<T>(g, rows + 1, cpu, math).unwrap();
    assert_eq!(conv.tiled(), [math == Math::Fast; 2], "{g:?}");
    let mut scratch = vec![T::of(f64::NAN); len];
    let (mut y, mut dx) = (draw::<T>(dy.len(), 6), draw::<T>(x.len(), 7));
    let write = mode == GradMode::Write;
    let end = |b| End { bias: write.then_some(b), relu: write, ..End::plain(mode) };
    conv.forward(cpu, &x, &w, end(&b[..]), &mut y, &mut scratch);
    conv.backward(cpu, &dy, &w, end(&bx[..]), &mut dx, &mut scratch);
    [y, dx]
}

/// The largest difference in units of the root mean square.
fn distance<T: Real>(found: &[T], expected: &[f64]) -> f64 {
    let rms = (expected.iter().map(|e| e * e).sum::<f64>() / expected.len() as f64).sqrt();
    found.iter().zip(expected).map(|(f, e)| (f.to_f64() - e).abs()).fold(0.0, f64::max) / rms
}

#[test]
fn tiles_agree_with_the_direct_sum() {
    for (g, rows) in geometries() {
        for mode in [GradMode::Write, GradMode::Add] {
            let exact = run::<f64>(&Cpu::new(2).unwrap(), g, rows, Math::Exact, mode);
            for isa in Isa::ALL.into_iter().filter(|isa| isa.present()) {
                let cpu = Cpu::with_isa(2, isa).unwrap();
                let (single, double) = (run::<f32>(&cpu, g, rows, Math::Fast, mode), run::<f64>(&cpu, g, rows, Math::Fast, mode));
                for i in 0..2 {
                    let (single, double) = (distance(&single[i], &exact[i]), distance(&double[i], &exact[i]));
                    assert!(single < 1e-4 && double < 2e-13, "{single:.1e} {double:.1e} of {i}, {g:?} {mode:?} {isa}");
                    // Rearranged sums that agree to the last bit were not rearranged.
                    assert!(double > 0.0);
                }
            }
        }
    }
}

#[test]
fn bits_do_not_depend_on_threads() {
    for (g, rows) in geometries() {
        let bits = |threads: usize| {
            let cpu = Cpu::new(threads).unwrap();
            run::<f32>(&cpu, g, rows, Math::Fast, GradMode::Write).map(|v| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>())
        };
        let one = bits(1);
        assert!(one == bits(2) && one == bits(7), "{g:?}");
    }
}

#[test]
fn only_windows_that_gain_are_computed_in_tiles() {
    let cpu = Cpu::new(1).unwrap();
    let tiled = |x: Extent, f: usize, window: Window, groups: usize| {
        let g = Geometry::new(x, f, window, groups).unwrap();
        Conv::on_cpu::<f32>(g, 4, &cpu, Math::Fast).unwrap().0.tiled()
    };
    let (x, window) = (Extent::image(16, 16, 32), Window::new([1, 3, 3]));
    assert_eq!(tiled(x, 32, window, 1), [true; 2]);
    assert_eq!(tiled(x, 32, window, 2), [false; 2]);
    for c in [1, 3] {
        assert_eq!(tiled(Extent { c, ..x }, 32, window, 1), [false; 2]);
    }
    // Too few tiles for so many weights.
    assert_eq!(tiled(Extent { c: 300, ..x }, 300, window, 1), [false; 2]);
    assert_eq!(tiled(Extent { d: 2, ..x }, 32, window, 1), [false; 2]);
    for other in [
        Window { stride: [1, 2, 1], ..window },
        Window { dilation: [1, 1, 2], ..window },
        Window { gap: [0, 1, 0], ..window },
        Window::new([1, 3, 2]),
    ] {
        assert_eq!(tiled(x, 32, other, 1), [false; 2], "{other:?}");
    }
}

/// The gradient is that of the function computed: by differences, through a network in double precision.
#[test]
fn gradients_are_those_of_the_network() {
    use crate::layer::{Conv, Flatten};
    use crate::{Activation, Device, Grads, Mode, Model, Network, Precision, Seed, View};
    let x = Extent::image(9, 8, 16);
    let mut net = Network::new(x);
    net.push(Conv::new(16, 3).pad(1).act(Activation::Tanh));
    net.push(Conv::new(17, 3).pad(1).act(Activation::Tanh));
    net.push(Flatten::new());
    let builder = Model::builder(net).math(Math::Fast).precision(Precision::FP64).device(Device::cpu_threads(2).unwrap());
    let mut model = builder.build().unwrap();
    let (data, seed) = (draw::<f64>(4 * x.len(), 8), draw::<f64>(4 * 9 * 8 * 17, 9));
    let value = |model: &mut Model, data: &[f64]| -> f64 {
        let y = model.forward(Mode::Train, View::f64(x, data).unwrap()).unwrap();
        y.as_f64().unwrap().iter().zip(&seed).map(|(y, s)| y * s).sum()
    };
    value(&mut model, &data);
    let out = View::f64(Extent::flat(9 * 8 * 17), &seed).unwrap();
    let dx = model.backward(Seed::Output(out), Grads::Write).unwrap().as_f64().unwrap().to_vec();
    let dw = model.gradient("conv1.weight").unwrap();
    let h = 1e-5;
    for i in (0..data.len()).step_by(379) {
        let mut at = |step: f64| {
            let mut data = data.clone();
            data[i] += step;
            value(&mut model, &data)
        };
        let slope = (at(h) - at(-h)) / (2.0 * h);
        assert!((slope - dx[i]).abs() < 1e-6 * (1.0 + slope.abs()), "dx {i}: {slope} {}", dx[i]);
    }
    let w = model.array("conv1.weight").unwrap();
    for i in (0..w.len()).step_by(191) {
        let mut at = |step: f64| {
            let mut w = w.clone();
            w[i] += step;
            model.set_array("conv1.weight", &w).unwrap();
            value(&mut model, &data)
        };
        let slope = (at(h) - at(-h)) / (2.0 * h);
        assert!((slope - dw[i]).abs() < 1e-6 * (1.0 + slope.abs()), "dw {i}: {slope} {}", dw[i]);
    }
}
