//! Batch normalisation behind a convolution on a GPU: the convolution's kernel finds the statistics of its own results.

use crate::check::close;
use crate::cuda::gpu;
use kamacite::optim::Sgd;
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

/// A convolution, a normalisation whose running statistics are those of the last batch, and a dense layer.
fn network(x: Extent, conv: Conv) -> (Network, NodeId) {
    let mut net = Network::new(x);
    let node = net.push(conv);
    net.push(layer::Norm::batch().momentum(1.0));
    net.push(Activate::new(Relu));
    net.push(Dense::new(3));
    (net, node)
}

fn found(model: &Model, mode: Mode) -> bool {
    let report = model.plans().filter(|p| p.mode == mode).last().expect("a plan");
    report.nodes.iter().any(|n| n.kernels.iter().any(|k| k.contains("moments_") && k.starts_with("conv")))
}

fn draw(n: usize, seed: u64) -> Vec<f32> {
    let mut r = Stream::new(seed, Purpose::User, 2);
    (0..n).map(|_| r.normal() as f32).collect()
}

/// From few bands and from many, of batches that are not full, in one to three dimensions; two calls give the same bits. The convolution
/// keeps to itself where its kernel cannot, and where nobody asks.
#[test]
fn a_convolution_finds_what_the_normalisation_behind_it_reads() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let (image, same) = (Extent::image, |filters: usize, size: usize| Conv::new(filters, size).same());
    let cases = [
        (image(9, 11, 32), same(48, 3), 5, true),
        (image(33, 40, 16), same(40, 3).bias_init(20.0), 7, true),
        (image(12, 12, 32), same(64, 3).stride(2), 3, true),
        (Extent::line(700, 16), same(40, 9).no_bias(), 9, true),
        (Extent::cube(5, 6, 7, 32), same(32, 3), 3, true),
        (image(9, 9, 20), same(33, 3), 3, false),
        (image(9, 9, 32), same(48, 3).act(Relu), 3, false),
        (image(9, 9, 32), same(48, 1), 3, false),
    ];
    for (x, conv, rows, can) in cases {
        let (net, node) = network(x, conv.clone());
        for precision in [Precision::FP32, Precision::TF32, Precision::BF16, Precision::FP16] {
            let what = format!("{conv:?} on {x} in {precision:?}");
            let mut model = Model::builder(net.clone()).device(gpu.device.clone()).precision(precision).seed(4).build()?;
            model.keep(node);
            let mut bits = Vec::new();
            // Room for more rows than come.
            for rows in [rows + 3, rows, rows] {
                model.forward(Mode::Train, View::new(x, &draw(rows * x.len(), rows as u64))?)?;
                let y = model.node(node)?.to_vec();
                let arrays = [model.array("norm1.running_mean")?, model.array("norm1.running_var")?];
                bits = [bits, vec![arrays.concat()]].concat();
                let c = arrays[0].len();
                let n = (y.len() / c) as f64;
                let column = |j: usize| y.iter().skip(j).step_by(c).map(|&v| f64::from(v));
                let means: Vec<f64> = (0..c).map(|j| column(j).sum::<f64>() / n).collect();
                let variances: Vec<f64> =
                    (0..c).map(|j| column(j).map(|v| (v - means[j]).powi(2)).sum::<f64>() / (n - 1.0)).collect();
                // As `kernels/moments.cuh` has it: a mean of f32 in relation to the deviation, sums of 64 in f32.
                let eps = f64::from(f32::EPSILON);
                for j in 0..c {
                    let (m, s) = (means[j].abs(), variances[j].sqrt());
                    let near = |i: usize, expected: f64, bound: f64| {
                        let got = arrays[i][j];
                        assert!((got - expected).abs() <= bound, "{what}: [{j}] is {got}, expected {expected}, bound {bound}");
                    };
                    near(0, means[j], eps * (m + 4.0 * s));
                    near(1, variances[j], eps * s * (32.0 * s + m));
                }
            }
            assert_eq!(bits[1], bits[2], "other bits in a second run: {what}");
            let tensor = precision != Precision::FP32;
            assert_eq!(found(&model, Mode::Train), can && tensor, "{what}");
            // By the running statistics.
            model.forward(Mode::Infer, View::new(x, &draw(x.len(), 1))?)?;
            assert!(!found(&model, Mode::Infer), "{what}");
        }
    }
    Ok(())
}

/// Training with it goes as on the CPU, and as where a view stands between, so that the normalisation measures for itself.
#[test]
fn training_with_found_statistics_is_training() -> Result<()> {
    let Some(gpu) = gpu() else { return Ok(()) };
    let x = Extent::image(16, 16, 8);
    let run = |device: &Device, precision: Precision, n: usize, apart: bool| -> Result<(f64, Vec<f64>)> {
        let mut net = Network::new(x);
        for (filters, side) in [(32, 16), (40, 8)] {
            net.push(Conv::new(filters, 3).pad(1));
            if apart {
                net.push(layer::Reshape::to(Extent::image(side, side, filters)));
            }
            net.push(layer::Norm::batch());
            net.push(Activate::new(Relu));
            net.push(Pool::max(2));
        }
        net.push(Dense::new(5));
        let labels = (0..n).map(|i| (i * 7 % 5) as u32).collect();
        let data = data::Samples::new(x, draw(n * x.len(), 9))?.with_classes(labels, 5)?;
        let t = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.02).momentum(0.9)).batch(8).seed(3);
        let mut t = t.device(device.clone()).precision(precision).data(data, None::<data::Samples>).build()?;
        let report = t.fit(n as u64 / 12, &mut Silent)?;
        assert_eq!(found(t.model(), Mode::Train), device.is_cuda() && !apart);
        let arrays = ["norm1.running_mean", "norm2.running_var", "norm2.scale", "conv2.weight"];
        let all: Result<Vec<Vec<f64>>> = arrays.iter().map(|name| t.model().array(name)).collect();
        Ok((report.loss, all?.concat()))
    };
    let near = |what: &str, got: &(f64, Vec<f64>), expected: &(f64, Vec<f64>), bound: f64| {
        assert!((got.0 - expected.0).abs() <= bound * expected.0, "{what}: loss {}, expected {}", got.0, expected.0);
        close(what, &got.1, &expected.1, bound).expect("arrays");
    };
    near(
        "beside the CPU",
        &run(&gpu.device, Precision::FP32x3, 36, false)?,
        &run(&Device::cpu(), Precision::FP32, 36, false)?,
        2e-4,
    );
    // Two steps, before differences in the last place have grown by all the roundings to fewer bits.
    for (precision, bound) in [(Precision::TF32, 1e-5), (Precision::BF16, 1e-3), (Precision::FP16, 1e-4)] {
        near(&format!("{precision:?}"), &run(&gpu.device, precision, 12, false)?, &run(&gpu.device, precision, 12, true)?, bound);
        let twice = [run(&gpu.device, precision, 36, false)?, run(&gpu.device, precision, 36, false)?];
        assert_eq!(twice[0], twice[1], "other bits in a second run");
    }
    Ok(())
}
