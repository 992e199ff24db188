//! Cases of the losses, one file per stem.

mod cross_entropy;
mod gaussian_nll;
mod huber;
mod logistic_bce;
mod mae;
mod mse;
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
