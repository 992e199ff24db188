//! Cases of `Mse`.

use super::mean;
use crate::loss_case::{LossCase, loss_case, loss_suite};
use kamacite::Extent;
use kamacite::loss::Mse;

fn cases() -> Vec<LossCase> {
    let square = |y: &[f64], t: &[f64]| mean(y.iter().zip(t).map(|(y, t)| (y - t).powi(2)), y.len());
    let half = |y: &[f64], t: &[f64]| 0.5 * y.iter().zip(t).map(|(y, t)| (y - t).powi(2)).sum::<f64>();
    vec![
        loss_case("mean", Mse, Extent::flat(1), square),
        loss_case("mean", Mse, Extent::flat(7), square),
        loss_case("mean", Mse, Extent::image(3, 4, 5), square),
        loss_case("half the sum", Mse::half(), Extent::flat(5), half),
        loss_case("half the sum", Mse::half(), Extent::cube(2, 3, 2, 1), half),
    ]
}

loss_suite!();
