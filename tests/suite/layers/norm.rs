//! Cases of `Norm`.

use crate::case::{Batch, Case, Given, case, positions};
use crate::check::layer_suite;
use kamacite::layer::Norm;
use kamacite::*;

/// Mean and biased variance of the values that `set` puts together with (n, c).
fn moments(x: &Batch, same: impl Fn(usize, usize) -> bool) -> (f64, f64) {
    let mut values = Vec::new();
    for n in 0..x.rows {
        for (d, h, w, c) in positions(x.extent) {
            if same(n, c) {
                values.push(x[[n, d, h, w, c]]);
            }
        }
    }
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64)
}

/// Which channels share statistics, and γ and β.
#[derive(Clone, Copy)]
struct Sets {
    batch: bool,
    channels: usize,
    per_scale: usize,
    active: usize,
    eps: f64,
}

fn naive(g: &Given, s: Sets) -> Batch {
    let x = g.x();
    Batch::from_fn(x.rows, x.extent, |i| {
        let [n, _, _, _, c] = i;
        if c >= s.active {
            return x[i];
        }
        let (mean, variance) = if s.batch && g.mode != Mode::Train {
            (g.array("running_mean")[c], g.array("running_var")[c])
        } else {
            moments(x, |m, k| (s.batch || m == n) && k / s.channels == c / s.channels)
        };
        let affine = |name: &str, neutral: f64| g.arrays.get(name).map_or(neutral, |a| a[c / s.per_scale]);
        affine("scale", 1.0) * (x[i] - mean) / (variance + s.eps).sqrt() + affine("shift", 0.0)
    })
}

fn cases() -> Vec<Case> {
    let new = |name: &str, layer: Norm, x: Extent, s: Sets| {
        let case = case(format!("{name} on {x}"), layer).x(x).naive(move |g| naive(g, s));
        let values = s.channels * x.area() * if s.batch { 3 } else { 1 };
        let case = case.terms(values);
        if s.batch { case.couples_rows().modes_differ() } else { case }
    };
    let image = Extent::image;
    let batch = Sets { batch: true, channels: 1, per_scale: 1, active: usize::MAX, eps: 1e-5 };
    let own = |channels| Sets { batch: false, channels, ..batch };
    vec![
        new("batch", Norm::batch(), image(3, 4, 5), batch),
        new("batch", Norm::batch(), Extent::flat(17), batch).rows(7),
        new("batch", Norm::batch(), Extent::cube(2, 2, 3, 1), batch).rows(2),
        new("batch without affine, eps 0.1", Norm::batch().no_affine().eps(0.1), Extent::line(5, 3), Sets { eps: 0.1, ..batch }),
        new("layer", Norm::layer(), image(3, 2, 4), own(4)),
        new("layer", Norm::layer(), Extent::flat(9), own(9)).rows(5),
        new("instance", Norm::instance(), image(4, 3, 5), own(1)),
        new("two groups", Norm::groups(2), image(3, 3, 6), own(3)),
        new("a group per channel pair", Norm::groups(3).eps(1e-3), Extent::line(7, 6), Sets { eps: 1e-3, ..own(2) }),
        new("layer without affine", Norm::layer().no_affine(), image(2, 3, 3), own(3)),
        new("cianna", Norm::cianna(2, 0), image(3, 3, 4), Sets { per_scale: 2, eps: 1e-3, ..own(2) }),
        new(
            "cianna with an untouched group",
            Norm::cianna(2, 1),
            image(3, 2, 6),
            Sets { per_scale: 2, active: 4, eps: 1e-3, ..own(2) },
        ),
    ]
}

layer_suite!();

/// Units in several chunks, sets of more channels than a block has threads, a part of the channels left out.
#[test]
fn cuda_is_accurate_at_all_sizes() {
    let large = |layer: Norm, x: Extent, values: usize| {
        let case = case(format!("{layer:?} on {x}"), layer).x(x).terms(values);
        if values == 0 { case.terms(3 * x.area()).couples_rows().modes_differ() } else { case }
    };
    let image = Extent::image;
    let cases = [
        large(Norm::batch(), image(41, 40, 3), 0),
        large(Norm::batch(), Extent::flat(300), 0).rows(70),
        large(Norm::layer(), Extent::flat(700), 700),
        large(Norm::layer(), image(61, 60, 5), 61 * 60 * 5),
        large(Norm::layer(), image(6, 7, 700), 42 * 700),
        large(Norm::groups(2), image(3, 2, 600), 6 * 300),
        large(Norm::groups(20), image(3, 3, 520), 9 * 26),
        large(Norm::instance(), image(101, 90, 2), 101 * 90),
        large(Norm::cianna(2, 1), image(71, 70, 6), 71 * 70 * 2),
        // By 16 bytes: several chunks and tiles, sets of a channel, of a pack, of many packs, of more than a block has lanes for.
        large(Norm::batch(), image(61, 60, 24), 0),
        large(Norm::batch(), image(5, 7, 264), 0),
        large(Norm::instance(), image(64, 61, 16), 64 * 61),
        large(Norm::instance(), image(5, 7, 272), 35),
        large(Norm::groups(3), image(31, 30, 24), 31 * 30 * 8),
        large(Norm::groups(2), image(7, 9, 1040), 63 * 520),
        large(Norm::groups(4), image(9, 9, 16), 81 * 4),
        large(Norm::layer(), image(33, 32, 40), 33 * 32 * 40),
        large(Norm::layer(), Extent::flat(2056), 2056),
        large(Norm::cianna(8, 0), image(30, 31, 16), 30 * 31 * 8),
    ];
    crate::check::all(&cases, crate::cuda::cuda);
}

/// r ← 0.7·r + 0.3·statistic over the valid rows, the variance unbiased; only training does it.
#[test]
fn running_statistics() -> Result<()> {
    running(Precision::FP64, Device::cpu(), Extent::image(2, 3, 4), 1e-13)
}

/// The same in f32 on a GPU, from one chunk of positions and from several.
#[test]
fn running_statistics_on_cuda() -> Result<()> {
    let Some(gpu) = crate::cuda::gpu() else { return Ok(()) };
    for extent in [Extent::image(2, 3, 4), Extent::image(41, 40, 4)] {
        running(Precision::FP32, gpu.device.clone(), extent, 8.0 * f64::from(f32::EPSILON))?;
    }
    Ok(())
}

fn running(precision: Precision, device: Device, extent: Extent, bound: f64) -> Result<()> {
    let mut net = Network::new(extent);
    net.push(Norm::batch().momentum(0.3));
    let mut model = Model::builder(net).precision(precision).device(device).build()?;
    let (mut mean, mut variance) = (vec![0.0; 4], vec![1.0; 4]);
    for rows in [3, 5, 2] {
        // Three rows in a plan for four: the fourth must not count.
        let mut r = kamacite::rng::Stream::new(rows as u64, kamacite::rng::Purpose::User, 0);
        let x = Batch::from_fn(rows, extent, |_| f64::from(r.between(-2.0, 3.0) as f32));
        let narrow: Vec<f32> = x.v.iter().map(|v| *v as f32).collect();
        for mode in [Mode::Train, Mode::Eval, Mode::Infer, Mode::MonteCarlo] {
            let wide = precision == Precision::FP64;
            model.forward(mode, if wide { View::f64(extent, &x.v)? } else { View::new(extent, &narrow)? })?;
        }
        let n = (rows * extent.area()) as f64;
        for c in 0..4 {
            let (m, v) = moments(&x, |_, k| k == c);
            mean[c] += 0.3 * (m - mean[c]);
            variance[c] += 0.3 * (v * n / (n - 1.0) - variance[c]);
        }
        crate::check::close("mean", &model.array("norm1.running_mean")?, &mean, bound).unwrap();
        crate::check::close("variance", &model.array("norm1.running_var")?, &variance, bound).unwrap();
    }
    Ok(())
}

/// A large mean does not eat the variance: values 10⁴ ± 1 in f32 have variance 1 within the rounding of the inputs.
#[test]
fn large_means() -> Result<()> {
    large_means_on(&Device::cpu())
}

#[test]
fn large_means_on_cuda() -> Result<()> {
    crate::cuda::gpu().map_or(Ok(()), |gpu| large_means_on(&gpu.device))
}

fn large_means_on(device: &Device) -> Result<()> {
    for (layer, c) in
        [Norm::batch(), Norm::instance(), Norm::layer()].into_iter().flat_map(|layer| [2, 8].map(|c| (layer.clone(), c)))
    {
        let extent = Extent::line(64, c);
        let x: Vec<f32> = (0..2 * extent.len()).map(|i| 1e4 + if i / c % 2 == 0 { 1.0 } else { -1.0 }).collect();
        let mut net = Network::new(extent);
        net.push(layer.clone());
        let mut model = Model::builder(net).device(device.clone()).build()?;
        let y = model.forward(Mode::Train, View::new(extent, &x)?)?.to_vec();
        // 1e4 ± 1 is exact in f32; a mean off by one unit of 1e4 (1e-3) would show.
        assert!(y.iter().all(|y| (y.abs() - 1.0).abs() < 1e-4), "{layer:?}: {:?}", &y[..4]);
    }
    Ok(())
}

/// Nor does a hot pixel, be it the first value of all, from which deviations are counted.
#[test]
fn hot_pixels_on_cuda() -> Result<()> {
    let Some(gpu) = crate::cuda::gpu() else { return Ok(()) };
    for (c, hot) in [(3, 0), (8, 0), (8, 3000), (24, 5)] {
        let extent = Extent::line(2500, c);
        let mut r = kamacite::rng::Stream::new(1, kamacite::rng::Purpose::User, 0);
        let mut x: Vec<f32> = (0..2 * extent.len()).map(|_| r.normal() as f32).collect();
        x[hot * c..][..c].fill(3e5);
        let mut net = Network::new(extent);
        net.push(Norm::batch().momentum(1.0));
        let mut model = Model::builder(net).device(gpu.device.clone()).build()?;
        model.forward(Mode::Train, View::new(extent, &x)?)?;
        for j in 0..c {
            let column = || x.iter().skip(j).step_by(c).map(|&v| f64::from(v));
            let m = column().sum::<f64>() / 5000.0;
            let v = column().map(|v| (v - m).powi(2)).sum::<f64>() / 4999.0;
            let got = [model.array("norm1.running_mean")?[j], model.array("norm1.running_var")?[j]];
            let bound = 8.0 * f64::from(f32::EPSILON);
            assert!((got[0] - m).abs() <= bound * v.sqrt(), "{c} channels: mean {}, expected {m}", got[0]);
            assert!((got[1] - v).abs() <= bound * v, "{c} channels: variance {}, expected {v}", got[1]);
        }
    }
    Ok(())
}
