//! Cases of `Lrn`.

use crate::case::{Batch, Case, case};
use crate::check::layer_suite;
use kamacite::Extent;
use kamacite::layer::Lrn;

fn cases() -> Vec<Case> {
    let new = |range: usize, k: f64, alpha: f64, beta: f64, x: Extent| {
        let layer = Lrn::new(range).k(k).alpha(alpha).beta(beta);
        case(format!("range {range}, k {k}, alpha {alpha}, beta {beta} on {x}"), layer).x(x).terms(range).naive(move |g| {
            let (x, r) = (g.x(), range / 2);
            Batch::from_fn(x.rows, x.extent, |[n, d, h, w, c]| {
                let near = (0..x.extent.c).filter(|j| j.abs_diff(c) <= r);
                let s = k + alpha / range as f64 * near.map(|j| x[[n, d, h, w, j]].powi(2)).sum::<f64>();
                x[[n, d, h, w, c]] / s.powf(beta)
            })
        })
    };
    vec![
        new(3, 1.0, 1.0, 0.5, Extent::flat(4)),
        new(5, 2.0, 0.8, 0.75, Extent::image(3, 2, 9)),
        new(4, 1.0, 2.0, 0.6, Extent::image(2, 2, 7)),
        new(1, 0.5, 1.0, 1.0, Extent::line(5, 3)),
        new(9, 1.0, 1.0, 0.75, Extent::flat(3)),
        new(5, 1.0, 1e-4, 0.75, Extent::image(2, 3, 17)),
    ]
}

layer_suite!();

/// Numbers printed in the specification of CIANNA's layer, whose forward pass this is.
#[test]
fn worked_example() -> kamacite::Result<()> {
    use kamacite::{Grads, Mode, Model, Network, Precision, View};
    let x = Extent::flat(4);
    let mut net = Network::new(x);
    net.push(Lrn::new(3).k(1.0).alpha(1.0).beta(0.5));
    let mut model = Model::builder(net).precision(Precision::FP64).build()?;
    let y = model.forward(Mode::Train, View::f64(x, &[1.0, 2.0, 3.0, 4.0])?)?.as_f64()?.to_vec();
    let dx = model.backward(View::f64(x, &[1.0, 0.0, 0.0, 1.0])?, Grads::Write)?.as_f64()?.to_vec();
    let printed = ([0.612372, 0.840168, 0.918559, 1.309307], [0.535826, -0.153093, -0.140283, 0.140283]);
    // Six decimals are printed.
    assert!(y.iter().zip(printed.0).all(|(a, b)| (a - b).abs() < 6e-7), "{y:?}");
    assert!(dx.iter().zip(printed.1).all(|(a, b)| (a - b).abs() < 6e-7), "{dx:?}");
    Ok(())
}
