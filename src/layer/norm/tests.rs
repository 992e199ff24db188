//! [`Norm`] against its definition in f64.

use super::*;
use crate::rng::{Purpose, Stream};
use crate::{Grads, Model, Network, Precision, View};

/// Everything about one call, by the definition in f64.
struct Naive {
    y: Vec<f64>,
    dx: Vec<f64>,
    /// dγ and dβ per channel.
    dw: [Vec<f64>; 2],
}

/// `set(e)`: which set element e belongs to, or `None` to pass through.
fn naive(x: &[f64], dy: &[f64], w: [&[f64]; 2], c: usize, eps: f64, set: &dyn Fn(usize) -> Option<usize>) -> Naive {
    let sets = (0..x.len()).filter_map(set).max().map_or(0, |m| m + 1);
    let mut out = Naive { y: x.to_vec(), dx: dy.to_vec(), dw: [vec![0.0; c], vec![0.0; c]] };
    for k in 0..sets {
        let members: Vec<usize> = (0..x.len()).filter(|&e| set(e) == Some(k)).collect();
        let mean = |f: &dyn Fn(usize) -> f64| members.iter().map(|&e| f(e)).sum::<f64>() / members.len() as f64;
        let mu = mean(&|e| x[e]);
        let rho = 1.0 / (mean(&|e| (x[e] - mu).powi(2)) + eps).sqrt();
        let hat = |e: usize| (x[e] - mu) * rho;
        let g = |e: usize| w[0][e % c] * dy[e];
        let (mean_g, mean_gx) = (mean(&g), mean(&|e| g(e) * hat(e)));
        for &e in &members {
            out.y[e] = w[0][e % c] * hat(e) + w[1][e % c];
            out.dx[e] = rho * (g(e) - mean_g - hat(e) * mean_gx);
            out.dw[0][e % c] += dy[e] * hat(e);
            out.dw[1][e % c] += dy[e];
        }
    }
    out
}

fn close(what: &str, got: &[f64], expected: &[f64], bound: f64) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!((g - e).abs() <= bound, "{what}[{i}] = {g}, expected {e}, bound {bound}");
    }
}

type Kind = (Norm, fn(usize, Extent) -> Option<usize>, usize);

/// Layers on 6 channels, the set of element e, and how many channels share an element of γ.
fn kinds() -> [Kind; 6] {
    [
        (Norm::batch(), |e, x| Some(e % x.c), 1),
        (Norm::layer(), |e, x| Some(e / x.len()), 1),
        (Norm::instance(), |e, x| Some(e / x.len() * x.c + e % x.c), 1),
        (Norm::groups(3), |e, x| Some(e / x.len() * 3 + e % x.c / 2), 1),
        (Norm::cianna(2, 0), |e, x| Some(e / x.len() * 3 + e % x.c / 2), 2),
        (Norm::cianna(2, 1), |e, x| (e % x.c < 4).then_some(e / x.len() * 2 + e % x.c / 2), 2),
    ]
}

fn check(norm: &Norm, set: fn(usize, Extent) -> Option<usize>, per: usize, x_extent: Extent, precision: Precision) -> Result<()> {
    let (rows, c) = (3, x_extent.c);
    let mut net = Network::new(x_extent);
    net.push(norm.clone());
    net.name(net.outputs()[0].1, "n");
    let mut model = Model::builder(net).precision(precision).build()?;
    let mut r = Stream::new(8, Purpose::User, 0);
    // Values that f32 holds, so that both precisions see the same.
    let mut random = |n: usize| (0..n).map(|_| f64::from(r.between(-2.0, 2.0) as f32)).collect::<Vec<_>>();
    let (x, dy) = (random(rows * x_extent.len()), random(rows * x_extent.len()));
    let shared = (0..c).filter(|&i| set(i, x_extent).is_some()).count() / per;
    let (scale, shift) = (random(shared), random(shared));
    let narrow = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    let (x32, dy32) = (narrow(&x), narrow(&dy));
    let batch = |wide, narrow| match precision {
        Precision::FP64 => View::f64(x_extent, wide),
        _ => View::new(x_extent, narrow),
    };
    let values = |v: View<'_>| match precision {
        Precision::FP64 => v.as_f64().map(<[f64]>::to_vec),
        _ => v.as_f32().map(|v| v.iter().map(|&v| f64::from(v)).collect()),
    };
    // Room for more rows than come, so that rows past the valid ones must not count.
    let room = vec![9.0; (rows + 2) * x_extent.len()];
    let room32 = narrow(&room);
    model.forward(Mode::Train, batch(&room, &room32)?)?;
    model.set_array("n.scale", &scale)?;
    model.set_array("n.shift", &shift)?;
    let y = values(model.forward(Mode::Train, batch(&x, &x32)?)?)?;
    let dx = values(model.backward(batch(&dy, &dy32)?, Grads::Write)?)?;
    let wide = |w: &[f64], neutral: f64| (0..c).map(|i| w.get(i / per).copied().unwrap_or(neutral)).collect::<Vec<_>>();
    let (gamma, beta) = (wide(&scale, 1.0), wide(&shift, 0.0));
    let e = naive(&x, &dy, [&gamma, &beta], c, norm.eps, &|i| set(i, x_extent));
    // |x| ≤ 2 and ρ is of order 1 but for small sets, where it may reach the reciprocal of the least spread; sums have
    // rows·len terms at most. The factor 64 covers products of a dozen such numbers.
    let eps = if precision == Precision::FP64 { f64::EPSILON } else { f64::from(f32::EPSILON) };
    let bound = 64.0 * eps * (x.len() as f64).sqrt();
    let what = format!("{norm:?} on {x_extent} in {precision:?}");
    close(&format!("{what}: y"), &y, &e.y, bound);
    close(&format!("{what}: dx"), &dx, &e.dx, bound);
    for (name, dw) in [("n.scale", &e.dw[0]), ("n.shift", &e.dw[1])] {
        let folded: Vec<f64> = (0..shared).map(|j| dw[j * per..(j + 1) * per].iter().sum()).collect();
        close(&format!("{what}: {name}"), &model.gradient(name)?, &folded, bound);
    }
    Ok(())
}

#[test]
fn values_and_gradients_follow_the_definition() -> Result<()> {
    for (norm, set, per) in kinds() {
        for x in [Extent::image(5, 4, 6), Extent::line(7, 6), Extent::cube(2, 3, 2, 6)] {
            check(&norm, set, per, x, Precision::FP64)?;
            check(&norm, set, per, x, Precision::FP32)?;
        }
    }
    // Many chunks in a unit, with a remainder in the batch.
    for (norm, set, per) in kinds() {
        check(&norm, set, per, Extent::image(90, 85, 6), Precision::FP64)?;
    }
    let plain = Extent::flat(6);
    check(&Norm::layer(), |e, x| Some(e / x.len()), 1, plain, Precision::FP64)?;
    check(&Norm::batch(), |e, x| Some(e % x.c), 1, plain, Precision::FP64)
}

#[test]
fn running_statistics_follow_the_batches_and_serve_evaluation() -> Result<()> {
    let e = Extent::line(2, 1);
    let mut net = Network::new(e);
    net.push(Norm::batch().momentum(0.25));
    net.name(net.outputs()[0].1, "n");
    let mut model = Model::builder(net).precision(Precision::FP64).build()?;
    let near = |got: f64, expected: f64| assert!((got - expected).abs() < 1e-14, "{got}, expected {expected}");
    // Mean 3, Σ(x − mean)² = 20: unbiased variance 20/3.
    model.forward(Mode::Train, View::f64(e, &[0.0, 2.0, 4.0, 6.0])?)?;
    let (mean, var) = (0.25 * 3.0, 0.75 + 0.25 * 20.0 / 3.0);
    near(model.array("n.running_mean")?[0], mean);
    near(model.array("n.running_var")?[0], var);
    model.set_array("n.scale", &[2.0])?;
    let y = model.forward(Mode::Eval, View::f64(e, &[5.0, -1.0])?)?.as_f64()?.to_vec();
    let rho = 1.0 / (var + 1e-5).sqrt();
    near(y[0], 2.0 * (5.0 - mean) * rho);
    near(y[1], 2.0 * (-1.0 - mean) * rho);
    let dx = model.backward(View::f64(e, &[1.0, 10.0])?, Grads::Write)?.as_f64()?.to_vec();
    near(dx[0], 2.0 * rho);
    near(dx[1], 20.0 * rho);
    near(model.gradient("n.scale")?[0], ((5.0 - mean) + 10.0 * (-1.0 - mean)) * rho);
    near(model.gradient("n.shift")?[0], 11.0);
    let infer = model.forward(Mode::Infer, View::f64(e, &[5.0, -1.0])?)?.as_f64()?.to_vec();
    assert_eq!(infer, y);
    near(model.array("n.running_mean")?[0], mean);
    Ok(())
}

#[test]
fn impossible_sets_are_refused() {
    let x = Extent::image(2, 2, 6);
    for norm in [
        Norm::groups(0),
        Norm::groups(4),
        Norm::cianna(0, 0),
        Norm::cianna(4, 0),
        Norm::cianna(2, 3),
        Norm::batch().eps(0.0),
        Norm::layer().eps(f64::NAN),
        Norm::batch().momentum(1.5),
    ] {
        assert!(norm.sets(x).is_err(), "{norm:?}");
    }
    assert!(Norm::instance().sets(Extent::flat(6)).is_err());
    assert!(Norm::layer().sets(Extent::flat(1)).is_err());
    assert!(Norm::batch().sets(Extent::flat(1)).is_ok());
    let mut net = Network::new(Extent::flat(6));
    net.push(Norm::batch());
    let mut model = Model::builder(net).build().expect("a batch may be larger than one row");
    let one_row = |mode, model: &mut Model| model.forward(mode, View::new(Extent::flat(6), &[1.0; 6])?).map(|_| ());
    assert!(one_row(Mode::Train, &mut model).is_err());
    assert!(one_row(Mode::Infer, &mut model).is_ok());
}
