//! Cases of `Huber`.

use super::mean;
use crate::loss_case::{LossCase, loss_case, loss_suite};
use kamacite::Extent;
use kamacite::loss::Huber;

fn cases() -> Vec<LossCase> {
    let new = |delta: f64, y: Extent| {
        loss_case(&format!("delta {delta}"), Huber::new(delta), y, move |y, t| {
            let term = |r: f64| if r.abs() <= delta { 0.5 * r * r } else { delta * (r.abs() - 0.5 * delta) };
            mean(y.iter().zip(t).map(|(y, t)| term(y - t)), y.len())
        })
    };
    vec![new(1.0, Extent::flat(9)), new(0.3, Extent::image(3, 2, 3)), new(4.0, Extent::flat(5))]
}

loss_suite!();
