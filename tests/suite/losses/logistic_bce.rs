//! Cases of `LogisticBce`.

use super::mean;
use crate::loss_case::{LossCase, loss_case, loss_suite};
use kamacite::Extent;
use kamacite::loss::LogisticBce;

fn logistic(y: f64) -> f64 {
    1.0 / (1.0 + (-y).exp())
}

/// v_k·[(1 − t)·ln(1 + eʸ) + u·t·ln(1 + e⁻ʸ)], averaged over the elements.
fn naive(u: f64, v: Option<[f64; 3]>) -> impl Fn(&[f64], &[f64]) -> f64 {
    move |y, t| {
        let term = |(i, (y, t)): (usize, (&f64, &f64))| {
            v.map_or(1.0, |v| v[i % 3]) * ((1.0 - t) * y.exp().ln_1p() + u * t * (-y).exp().ln_1p())
        };
        mean(y.iter().zip(t).enumerate().map(term), y.len())
    }
}

fn cases() -> Vec<LossCase> {
    let (loss, image, v) = (LogisticBce, Extent::image(2, 2, 3), [0.5, 1.0, 3.0]);
    let unit = |r: &mut kamacite::rng::Stream| r.uniform();
    let coin = |r: &mut kamacite::rng::Stream| r.below(2) as f64;
    let list = vec![
        loss_case("yes or no", loss.clone(), Extent::flat(4), naive(1.0, None)).targets(Extent::flat(4), coin),
        loss_case("soft", loss.clone(), image, naive(1.0, None)).targets(image, unit),
        loss_case("labels", loss.clone(), Extent::flat(1), naive(1.0, None)).classes(2),
        loss_case("labels of a map", loss.clone(), Extent::image(3, 2, 1), naive(1.0, None)).classes(2),
        loss_case("positives", loss.clone().pos_weight(20.0), Extent::flat(5), naive(20.0, None)).targets(Extent::flat(5), coin),
        loss_case("channels", loss.clone().class_weights(&v), image, naive(1.0, Some(v))).targets(image, unit),
        loss_case("both", loss.pos_weight(0.5).class_weights(&v), image, naive(0.5, Some(v))).targets(image, coin),
    ];
    list.into_iter().map(|case| case.prediction(|y| y.iter().map(|&y| logistic(y)).collect())).collect()
}

loss_suite!();
