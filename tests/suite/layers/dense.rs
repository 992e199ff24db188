//! Cases of `Dense`.

use crate::case::{Batch, Case, Given, case};
use crate::check::layer_suite;
use kamacite::layer::Dense;
use kamacite::*;

fn naive(g: &Given, units: usize) -> Batch {
    let (x, w, m) = (g.x(), g.array("weight"), g.x().extent.len());
    Batch::from_fn(x.rows, Extent::flat(units), |[n, _, _, _, j]| {
        let b = g.arrays.get("bias").map_or(0.0, |b| b[j]);
        b + (0..m).map(|i| x.v[n * m + i] * w[i * units + j]).sum::<f64>()
    })
}

fn cases() -> Vec<Case> {
    let new =
        |layer: Dense, units: usize, x: Extent| case(format!("{units} units on {x}"), layer).x(x).naive(move |g| naive(g, units));
    let mut list = vec![
        new(Dense::new(1), 1, Extent::flat(1)),
        new(Dense::new(3), 3, Extent::flat(4)).rows(1),
        new(Dense::new(17), 17, Extent::flat(33)).rows(5),
        new(Dense::new(10), 10, Extent::image(3, 4, 5)),
        new(Dense::new(2), 2, Extent::cube(2, 3, 2, 2)).rows(9),
        new(Dense::new(8).no_bias(), 8, Extent::flat(7)),
        new(Dense::new(64), 64, Extent::flat(65)).rows(66),
        new(Dense::new(1), 1, Extent::flat(500)).rows(2),
        new(Dense::new(301), 301, Extent::flat(2)).rows(4),
        // A GPU takes products of matrices from here on.
        new(Dense::new(6), 6, Extent::flat(5)).rows(130),
    ];
    let softmax = |z: Batch| {
        let sums: Vec<f64> = z.v.chunks(z.extent.c).map(|r| r.iter().map(|z| z.exp()).sum()).collect();
        Batch::from_fn(z.rows, z.extent, |i| z[i].exp() / sums[i[0]])
    };
    list.push(case("softmax", Dense::new(6).act(Softmax)).x(Extent::flat(9)).naive(move |g| softmax(naive(g, 6))));
    list.push(case("relu", Dense::new(13).act(Relu)).x(Extent::flat(11)).naive(|g| naive(g, 13).map(|z| z.max(0.0))));
    // Where a GPU sums the bias gradient with the activation's: of what the activation made, and of what it was applied to.
    list.push(
        case("many rows, tanh", Dense::new(8).act(Tanh)).x(Extent::flat(16)).rows(130).naive(|g| naive(g, 8).map(f64::tanh)),
    );
    list.push(
        case("many rows, gelu", Dense::new(16).act(Gelu))
            .x(Extent::flat(12))
            .rows(130)
            .naive(|g| naive(g, 16).map(|z| 0.5 * z * libm::erfc(-z / 2_f64.sqrt()))),
    );
    list.push(
        case("gelu", Dense::new(5).act(Gelu))
            .x(Extent::flat(8))
            .naive(|g| naive(g, 5).map(|z| 0.5 * z * libm::erfc(-z / 2_f64.sqrt()))),
    );
    list
}

layer_suite!();
