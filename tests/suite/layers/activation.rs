//! Cases of `Activate` and `PRelu`.

use crate::case::{Batch, Case, case};
use crate::check::layer_suite;
use kamacite::layer::{Activate, PRelu};
use kamacite::*;

fn softmax(x: &Batch) -> Batch {
    Batch::from_fn(x.rows, x.extent, |[n, d, h, w, c]| {
        let channel = |j: usize| x[[n, d, h, w, j]].exp();
        channel(c) / (0..x.extent.c).map(channel).sum::<f64>()
    })
}

fn cases() -> Vec<Case> {
    let curve = |act: Activation, x: Extent, f: fn(f64) -> f64| {
        case(format!("{act:?} on {x}"), Activate::new(act))
            .x(x)
            .values(|r| r.between(-3.0, 3.0))
            .naive(move |g| g.x().clone().map(f))
    };
    let (flat, image) = (Extent::flat(37), Extent::image(3, 4, 5));
    let mut list = vec![
        curve(Linear, image, |x| x),
        curve(Relu, flat, |x| x.max(0.0)),
        curve(LeakyRelu { slope: 0.05, saturation: None }, flat, |x| if x < 0.0 { 0.05 * x } else { x }),
        curve(LeakyRelu { slope: 0.1, saturation: Some(1.0) }, image, |x| match x {
            x if x < 0.0 => 0.1 * x,
            x if x > 1.0 => 1.0 + 0.1 * (x - 1.0),
            x => x,
        }),
        curve(Elu { alpha: 0.7 }, flat, |x| if x > 0.0 { x } else { 0.7 * x.exp_m1() }),
        curve(Selu, flat, |x| 1.050_700_987_355_480_5 * if x > 0.0 { x } else { 1.673_263_242_354_377_2 * x.exp_m1() }),
        curve(Gelu, flat, |x| 0.5 * x * libm::erfc(-x / 2_f64.sqrt())),
        curve(Silu, image, |x| x / (1.0 + (-x).exp())),
        curve(Tanh, flat, f64::tanh),
        curve(Logistic, image, |x| 1.0 / (1.0 + (-x).exp())),
        curve(ScaledLogistic { slope: 1.5, saturation: None }, flat, |x| 1.0 / (1.0 + (-1.5 * x).exp())),
        // Between −2/1.5 and 3 the bound is not met; where it is, the gradient is CIANNA's and no derivative (below).
        curve(ScaledLogistic { slope: 1.5, saturation: Some(2.0) }, flat, |x| 1.0 / (1.0 + (-1.5 * x).exp().min(2_f64.exp())))
            .values(|r| r.between(-1.3, 3.0)),
        curve(Softplus, flat, |x| x.exp().ln_1p()),
    ];
    for x in [Extent::flat(10), Extent::image(3, 2, 4), Extent::flat(1001)] {
        list.push(case(format!("Softmax on {x}"), Activate::new(Softmax)).x(x).naive(|g| softmax(g.x())).terms(x.c).rows(2));
    }
    for (name, layer, shared) in [("prelu", PRelu::new(), false), ("shared prelu", PRelu::new().shared(), true)] {
        for x in [Extent::image(4, 5, 3), Extent::flat(17), Extent::line(7, 1)] {
            list.push(case(format!("{name} on {x}"), layer.clone()).x(x).naive(move |g| {
                let a = g.array("slope");
                let x = g.x();
                Batch::from_fn(x.rows, x.extent, |i| {
                    let a = a[if shared { 0 } else { i[4] }];
                    if x[i] > 0.0 { x[i] } else { a * x[i] }
                })
            }));
        }
    }
    list
}

layer_suite!();

/// At a kink y′ is that of the flat or leaky side; a saturated logistic keeps slope·y·(1 − y).
#[test]
fn slopes_at_kinks() -> Result<()> {
    let saturated = 1.0 / (1.0 + 2_f64.exp());
    let table = [
        (Relu, 0.0, 0.0),
        (LeakyRelu { slope: 0.1, saturation: Some(2.0) }, 0.0, 0.1),
        (LeakyRelu { slope: 0.1, saturation: Some(2.0) }, 2.0, 0.1),
        (LeakyRelu { slope: 0.1, saturation: Some(2.0) }, 1.0, 1.0),
        (LeakyRelu { slope: 0.1, saturation: Some(2.0) }, 3.0, 0.1),
        (Elu { alpha: 0.5 }, 0.0, 0.5),
        (Selu, 0.0, 1.050_700_987_355_480_5 * 1.673_263_242_354_377_2),
        (ScaledLogistic { slope: 1.5, saturation: Some(2.0) }, -9.0, 1.5 * saturated * (1.0 - saturated)),
    ];
    for (act, x, slope) in table {
        let one = Extent::flat(1);
        let mut net = Network::new(one);
        net.push(Activate::new(act));
        let mut model = Model::builder(net).precision(Precision::FP64).build()?;
        model.forward(Mode::Train, View::f64(one, &[x])?)?;
        let dx = model.backward(View::f64(one, &[1.0])?, Grads::Write)?.as_f64()?[0];
        // Three roundings: of y, of 1 − y and of the product.
        assert!((dx - slope).abs() <= 3.0 * f64::EPSILON * slope, "{act:?} at {x}: expected {slope}, got {dx}");
    }
    Ok(())
}

/// Extreme inputs give limits and no NaN, forward and backward, in both precisions.
#[test]
fn limits_are_finite() -> Result<()> {
    let x = [-1e30_f32, -1e4, -90.0, -0.0, 0.0, 90.0, 1e4, 1e30];
    let extent = Extent::flat(x.len());
    let acts = [
        Linear,
        Relu,
        LeakyRelu { slope: 0.1, saturation: Some(1.0) },
        Elu { alpha: 1.0 },
        Selu,
        Gelu,
        Silu,
        Tanh,
        Logistic,
        ScaledLogistic { slope: 2.0, saturation: Some(6.0) },
        Softplus,
        Softmax,
    ];
    for act in acts {
        for precision in [Precision::FP32, Precision::FP64] {
            let mut net = Network::new(extent);
            net.push(Activate::new(act));
            let mut model = Model::builder(net).precision(precision).build()?;
            let wide: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let (view, dy) = match precision {
                Precision::FP64 => (View::f64(extent, &wide)?, View::f64(extent, &[1.0; 8])?),
                _ => (View::new(extent, &x)?, View::new(extent, &[1.0; 8])?),
            };
            let y = model.forward(Mode::Train, view)?.to_vec();
            let dx = model.backward(dy, Grads::Write)?.to_vec();
            assert!(y.iter().chain(&dx).all(|v| v.is_finite()), "{act:?} in {precision:?}: {y:?}, {dx:?}");
        }
    }
    Ok(())
}
