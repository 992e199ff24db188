//! Cases of the losses, one file per stem.

mod cross_entropy;
mod gaussian_nll;
mod huber;
mod logistic_bce;
mod mae;
mod mse;
mod nt_xent;
mod softmax_cross_entropy;

/// Softmax of one row over the channels of each position.
fn softmax(y: &[f64], c: usize) -> Vec<f64> {
    let mut p = Vec::new();
    for z in y.chunks(c) {
        let sum: f64 = z.iter().map(|z| z.exp()).sum();
        p.extend(z.iter().map(|z| z.exp() / sum));
    }
    p
}

fn mean(terms: impl Iterator<Item = f64>, n: usize) -> f64 {
    terms.sum::<f64>() / n as f64
}

/// Outputs of sizes at which the sweep is split over threads.
#[test]
fn large_outputs_do_not_depend_on_threads() {
    use crate::loss_case::{all, loss_case, threads};
    use kamacite::Extent;
    use kamacite::loss::*;
    // Only bits are compared here, so the value by another route is not needed.
    let none = |_: &[f64], _: &[f64]| 0.0;
    let image = Extent::image(96, 80, 10);
    let cases = [
        loss_case("mse", Mse, image, none),
        loss_case("mae", Mae, image, none),
        loss_case("huber", Huber::new(0.5), image, none),
        loss_case("labels", SoftmaxCrossEntropy, image, none).classes(10),
        loss_case("soft", SoftmaxCrossEntropy.label_smoothing(0.1), image, none).soft(),
        loss_case("probabilities", CrossEntropy, image, none).probabilities().soft(),
        loss_case("bce", LogisticBce.pos_weight(2.0), image, none).targets(image, |r| r.uniform()),
        loss_case("nll", GaussianNll, image, none).targets(image.with_channels(5), |r| r.between(-2.0, 2.0)),
    ];
    all(&cases, threads);
}

/// Few and many threads for a row, rows in several chunks, classes in the thousands, more rows than a block has teams.
#[test]
fn cuda_is_accurate_at_all_sizes() {
    use crate::loss_case::{all, cuda, loss_case};
    use kamacite::Extent;
    use kamacite::loss::*;
    let none = |_: &[f64], _: &[f64]| 0.0;
    let (flat, map) = (Extent::flat, Extent::image(101, 97, 3));
    let weights = [0.5, 0.0, 2.0];
    let cases = [
        loss_case("mse", Mse, flat(1), none).rows(300),
        loss_case("mse", Mse, flat(33), none).rows(70),
        loss_case("mae", Mae, flat(1500), none),
        loss_case("mse", Mse::half(), flat(8193), none),
        loss_case("labels", SoftmaxCrossEntropy, flat(3), none).rows(300).classes(3),
        loss_case("labels", SoftmaxCrossEntropy, Extent::line(33, 5), none).classes(5),
        loss_case("labels", SoftmaxCrossEntropy.label_smoothing(0.1), flat(9000), none).classes(9000),
        loss_case("labels", SoftmaxCrossEntropy.class_weights(&weights), map, none).classes(3),
        loss_case("soft", SoftmaxCrossEntropy, Extent::line(70, 40), none).soft(),
        loss_case("probabilities", CrossEntropy, map, none).probabilities().soft(),
        loss_case("bce", LogisticBce.pos_weight(2.0).class_weights(&weights), map, none).targets(map, |r| r.uniform()),
        loss_case("nll", GaussianNll, map.with_channels(4), none).targets(map.with_channels(2), |r| r.between(-2.0, 2.0)),
    ];
    all(&cases, cuda);
}

/// A step on a GPU cannot fail for a target it does not like; it shows as a loss that is not a number.
#[test]
fn targets_out_of_range_make_cuda_losses_nan() -> kamacite::Result<()> {
    use kamacite::loss::*;
    use kamacite::*;
    let Some(gpu) = crate::cuda::gpu() else { return Ok(()) };
    let extent = Extent::flat(2);
    let mut net = Network::new(extent);
    net.push(Activate::new(Linear));
    let mut model = Model::builder(net).device(gpu.device.clone()).loss("output", LogisticBce, 1.0).build()?;
    for (t, good) in [([0.0, 1.0], true), ([0.0, 1.5], false), ([-0.1, 1.0], false), ([f32::NAN, 1.0], false)] {
        model.forward(Mode::Train, View::new(extent, &[0.3, -0.2])?)?;
        let loss = model.loss(&[View::new(extent, &t)?.into()])?;
        assert_eq!(loss.is_finite(), good, "targets {t:?} give {loss}");
    }
    Ok(())
}
