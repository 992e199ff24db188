//! Cases of `Mae`.

use super::mean;
use crate::loss_case::{LossCase, loss_case, loss_suite};
use kamacite::Extent;
use kamacite::loss::Mae;

fn cases() -> Vec<LossCase> {
    let absolute = |y: &[f64], t: &[f64]| mean(y.iter().zip(t).map(|(y, t)| (y - t).abs()), y.len());
    vec![loss_case("mean", Mae, Extent::flat(6), absolute), loss_case("mean", Mae, Extent::image(2, 3, 4), absolute)]
}

loss_suite!();
