//! Cases of `CrossEntropy`.

use crate::loss_case::{LossCase, loss_case, loss_suite};
use kamacite::Extent;
use kamacite::loss::CrossEntropy;

fn cases() -> Vec<LossCase> {
    let new = |y: Extent| {
        let area = y.area() as f64;
        loss_case("probabilities", CrossEntropy, y, move |y, t| {
            -y.iter().zip(t).map(|(y, t)| t * y.max(1e-6).ln()).sum::<f64>() / area
        })
        .probabilities()
    };
    vec![new(Extent::flat(5)).soft(), new(Extent::flat(4)).classes(4).one_hot(), new(Extent::image(2, 3, 3)).soft()]
}

loss_suite!();
