//! Cases of `GaussianNll`.

use crate::loss_case::{LossCase, loss_case, loss_suite};
use kamacite::Extent;
use kamacite::loss::GaussianNll;

fn cases() -> Vec<LossCase> {
    let new = |c: usize, y: Extent| {
        let t = y.with_channels(c);
        loss_case("default", GaussianNll, y, move |y, t| {
            let mut sum = 0.0;
            for (position, t) in y.chunks(2 * c).zip(t.chunks(c)) {
                for k in 0..c {
                    let (mean, v) = (position[k], position[c + k].exp());
                    sum += 0.5 * (v.ln() + (t[k] - mean).powi(2) / v);
                }
            }
            sum / t.len() as f64
        })
        .targets(t, |r| r.between(-2.0, 2.0))
        .prediction(move |y| {
            y.chunks(2 * c).flat_map(|p| p.iter().enumerate().map(|(k, v)| if k < c { *v } else { v.exp() })).collect::<Vec<_>>()
        })
    };
    vec![new(1, Extent::flat(2)), new(3, Extent::flat(6)), new(2, Extent::image(2, 3, 4))]
}

loss_suite!();
