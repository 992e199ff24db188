//! Cases of `BayesDense`.

use crate::case::{Batch, Case, Given, case};
use crate::check::{cpu, layer_suite};
use kamacite::data::Samples;
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

/// Outside of training the means are the weights.
fn naive(g: &Given, units: usize) -> Batch {
    let (x, w, m) = (g.x(), g.array("weight"), g.x().extent.len());
    Batch::from_fn(x.rows, Extent::flat(units), |[n, _, _, _, j]| {
        let b = g.arrays.get("bias").map_or(0.0, |b| b[j]);
        b + (0..m).map(|i| x.v[n * m + i] * w[i * units + j]).sum::<f64>()
    })
}

fn cases() -> Vec<Case> {
    let new = |layer: BayesDense, units: usize, x: Extent| {
        case(format!("{units} units on {x}"), layer).x(x).random().modes_differ().naive(move |g| naive(g, units))
    };
    vec![
        new(BayesDense::new(4), 4, Extent::flat(2)).seed(5),
        new(BayesDense::new(3), 3, Extent::flat(5)).rows(1),
        new(BayesDense::new(4).prior(0.3), 4, Extent::image(2, 3, 2)),
        new(BayesDense::new(8).no_bias(), 8, Extent::flat(7)),
        case("relu", BayesDense::new(5).act(Relu))
            .x(Extent::flat(6))
            .random()
            .modes_differ()
            .naive(|g| naive(g, 5).map(|z| z.max(0.0))),
    ]
}

layer_suite!();

/// More weights than one task or block takes.
#[test]
fn large_layers_are_the_same_for_all_threads_and_on_cuda() {
    let large = case("130 units", BayesDense::new(130)).x(Extent::flat(71)).rows(9).random();
    crate::check::all(std::slice::from_ref(&large), crate::check::threads);
    crate::check::all(&[large], crate::cuda::cuda);
}

/// A network with two drawn layers, its parameters moved away from where they begin.
fn model(samples: usize, device: Device, precision: Precision) -> Result<Model> {
    let mut net = Network::new(Extent::flat(4));
    net.push(BayesDense::new(5).act(Tanh).prior(0.7));
    net.push(BayesDense::new(2).samples(9).no_bias());
    let builder = Model::builder(net).precision(precision).device(device).seed(3).samples(samples);
    let mut model = builder.loss("output", Mse, 0.5).build()?;
    let names: Vec<String> = model.arrays().map(|(name, _)| name.to_string()).collect();
    let mut r = Stream::new(8, Purpose::User, 0);
    for name in names {
        let values: Vec<f64> = model.array(&name)?.iter().map(|v| f64::from((v + r.between(-0.3, 0.5)) as f32)).collect();
        model.set_array(&name, &values)?;
    }
    Ok(model)
}

const X: [f64; 12] = [0.5, -1.0, 0.25, 1.5, -0.75, 0.5, 1.0, 0.125, -1.5, 2.0, 0.0, 1.0];
const T: [f64; 6] = [1.0, -0.5, 0.0, 0.25, 2.0, 1.0];

fn loss(model: &mut Model, mode: Mode) -> Result<f64> {
    if model.precision() == Precision::FP64 {
        model.forward(mode, View::f64(Extent::flat(4), &X)?)?;
        return model.loss(&[View::f64(Extent::flat(2), &T)?.into()]);
    }
    let (x, t) = (X.map(|v| v as f32), T.map(|v| v as f32));
    model.forward(mode, View::new(Extent::flat(4), &x)?)?;
    model.loss(&[View::new(Extent::flat(2), &t)?.into()])
}

/// KL of N(μ, s²) from N(0, s₀²) for the arrays of one layer.
fn divergence(model: &Model, layer: &str, prior: f64) -> Result<f64> {
    let mut kl = 0.0;
    for name in ["weight", "bias"] {
        let Ok(mean) = model.array(&format!("{layer}.{name}")) else { continue };
        for (mean, rho) in mean.iter().zip(model.array(&format!("{layer}.{name}_rho"))?) {
            let s = rho.exp().ln_1p();
            kl += (prior / s).ln() + (s * s + mean * mean) / (2.0 * prior * prior) - 0.5;
        }
    }
    Ok(kl)
}

/// The loss that is reported holds KL/N of every layer, and its gradient is that of all of it, in training and in evaluation.
#[test]
fn the_divergence_is_part_of_the_loss_and_of_its_gradient() -> Result<()> {
    let new = || model(40, cpu(2), Precision::FP64);
    let kl = divergence(&new()?, "bayes_dense1", 0.7)? / 40.0 + divergence(&new()?, "bayes_dense2", 1.0)? / 9.0;
    let mut alone = new()?;
    alone.forward(Mode::Eval, View::f64(Extent::flat(4), &X)?)?;
    let y = alone.output(0)?.as_f64()?.to_vec();
    let mse = 0.5 * y.iter().zip(&T).map(|(y, t)| (y - t).powi(2)).sum::<f64>() / 6.0;
    for mode in [Mode::Eval, Mode::Infer] {
        let total = loss(&mut new()?, mode)?;
        assert!((total - mse - kl).abs() < 1e-12 * total, "{mode:?}: {total}, expected {mse} + {kl}");
    }
    for mode in [Mode::Train, Mode::Eval] {
        let mut exact = new()?;
        loss(&mut exact, mode)?;
        exact.backward(Seed::Loss, Grads::Write)?;
        let names: Vec<String> = exact.arrays().map(|(name, _)| name.to_string()).collect();
        assert_eq!(names.len(), 6);
        for name in &names {
            let gradient = exact.gradient(name)?;
            for (i, got) in gradient.iter().enumerate() {
                let at = |h: f64| {
                    // A new model draws the same numbers.
                    let mut moved = new()?;
                    let mut values = moved.array(name)?;
                    values[i] += h;
                    moved.set_array(name, &values)?;
                    loss(&mut moved, mode)
                };
                let slope = (at(1e-5)? - at(-1e-5)?) / 2e-5;
                assert!((slope - got).abs() < 1e-9 * (1.0 + slope.abs()), "{mode:?} {name}[{i}]: {slope}, backward {got}");
            }
        }
        // Twice the gradient where it is added to itself, and none of the divergence where the user gives one of the output.
        loss(&mut exact, Mode::Eval)?;
        exact.backward(Seed::Loss, Grads::Write)?;
        let once = exact.gradient("bayes_dense1.weight_rho")?;
        loss(&mut exact, Mode::Eval)?;
        exact.backward(Seed::Loss, Grads::Add)?;
        assert!(exact.gradient("bayes_dense1.weight_rho")?.iter().zip(&once).all(|(twice, once)| *twice == 2.0 * once));
        loss(&mut exact, Mode::Eval)?;
        exact.backward(View::f64(Extent::flat(2), &[0.0; 6])?, Grads::Write)?;
        assert!(exact.gradient("bayes_dense1.weight_rho")?.iter().all(|g| *g == 0.0));
    }
    Ok(())
}

/// The weights of many passes have the mean and the deviation that the parameters say, and no two draws agree.
#[test]
fn draws_have_their_mean_and_deviation() -> Result<()> {
    let (units, draws) = (50, 400);
    let mut net = Network::new(Extent::flat(1));
    net.push(BayesDense::new(units).no_bias().deviation(0.2));
    let mut model = Model::builder(net).seed(5).build()?;
    let mean = model.array("bayes_dense1.weight")?;
    let mut z = Vec::new();
    for _ in 0..draws {
        let y = model.forward(Mode::MonteCarlo, View::new(Extent::flat(1), &[1.0])?)?.to_vec();
        z.extend(y.iter().zip(&mean).map(|(y, mean)| (f64::from(*y) - mean) / 0.2));
    }
    let n = z.len() as f64;
    let (first, second) = (z.iter().sum::<f64>() / n, z.iter().map(|z| z * z).sum::<f64>() / n);
    let neighbours = z.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / n;
    let passes = z.windows(units + 1).map(|w| w[0] * w[units]).sum::<f64>() / n;
    // Five standard errors.
    assert!(first.abs() < 5.0 / n.sqrt() && (second - 1.0).abs() < 5.0 * (2.0 / n).sqrt(), "{first} {second}");
    assert!(neighbours.abs() < 5.0 / n.sqrt() && passes.abs() < 5.0 / n.sqrt(), "{neighbours} {passes}");
    Ok(())
}

/// In a trainer the data set's size is what the divergence is divided by, batch for batch, accumulated or not, on a GPU as well.
#[test]
fn trainers_weigh_the_divergence_by_their_samples() -> Result<()> {
    let n = 20;
    let mut r = Stream::new(4, Purpose::User, 0);
    let x: Vec<f32> = (0..4 * n).map(|_| r.normal() as f32).collect();
    let t: Vec<f32> = (0..n).map(|_| r.normal() as f32).collect();
    let data = Samples::new(Extent::flat(4), x)?.with_values(Extent::flat(1), t)?;
    let run = |device: Device, batch: usize, accumulate: usize| -> Result<(Vec<f64>, Vec<f64>)> {
        let mut net = Network::new(Extent::flat(4));
        net.push(BayesDense::new(6).act(Tanh).deviation(1e-4));
        net.push(Dense::new(1));
        let b = Trainer::builder(net, Mse, Sgd::new(0.05)).batch(batch).accumulate(accumulate).seed(2).device(device);
        let mut t = b.data(data.clone(), Some(data.clone())).build()?;
        let report = t.fit(3, &mut Silent)?;
        let mut losses =
            vec![report.loss, report.valid.as_ref().map_or(0.0, |v| v.loss), report.valid.map_or(0.0, |v| v.losses[0])];
        losses.push(divergence(t.model(), "bayes_dense1", 1.0)? / n as f64);
        Ok((losses, t.model().array("bayes_dense1.weight_rho")?))
    };
    let (whole, rho) = run(cpu(2), 20, 1)?;
    // Validation: mean loss and divergence.
    assert!((whole[1] - whole[2] - whole[3]).abs() < 1e-5 * whole[1], "{whole:?}");
    assert!(rho.iter().all(|rho| *rho > libm::log(libm::expm1(1e-4)) + 0.005), "the prior widens narrow weights");
    // Deviations of 1e-4: which numbers are drawn hardly matters.
    let close = |a: &[f64], b: &[f64], bound: f64| a.iter().zip(b).all(|(a, b)| (a - b).abs() < bound * b.abs().max(1.0));
    let (parts, rho_parts) = run(cpu(1), 6, 4)?;
    assert!(close(&parts, &whole, 2e-3) && close(&rho_parts, &rho, 2e-3), "{parts:?} {whole:?}");
    if let Some(gpu) = crate::cuda::gpu() {
        let (device, rho_device) = run(gpu.device.clone(), 20, 1)?;
        assert!(close(&device, &whole, 1e-5) && close(&rho_device, &rho, 1e-5), "{device:?} {whole:?}");
    }
    Ok(())
}

#[test]
fn deviations_and_numbers_of_samples_are_checked() {
    let refused = |layer: BayesDense| {
        let mut net = Network::new(Extent::flat(3));
        net.push(layer);
        Model::builder(net).build().err().map(|e| e.kind())
    };
    assert_eq!(refused(BayesDense::new(2)), None);
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(refused(BayesDense::new(2).prior(bad)), Some(ErrorKind::Value), "{bad}");
        assert_eq!(refused(BayesDense::new(2).deviation(bad)), Some(ErrorKind::Value), "{bad}");
    }
    assert_eq!(refused(BayesDense::new(2).samples(0)), Some(ErrorKind::Value));
    assert_eq!(refused(BayesDense::new(0)), Some(ErrorKind::Shape));
}

/// Weights whose deviation is next to nothing, or huge, keep finite values and gradients.
#[test]
fn extreme_deviations_stay_finite() -> Result<()> {
    for precision in [Precision::FP32, Precision::FP64] {
        let mut model = model(40, cpu(1), precision)?;
        let extremes = [-200.0, -90.0, -37.5, -36.5, 30.0];
        for name in ["bayes_dense1.weight_rho", "bayes_dense1.bias_rho"] {
            let values: Vec<f64> = (0..model.array(name)?.len()).map(|i| extremes[i % 5]).collect();
            model.set_array(name, &values)?;
        }
        let total = loss(&mut model, Mode::Train)?;
        model.backward(Seed::Loss, Grads::Write)?;
        assert!(total.is_finite());
        for name in ["bayes_dense1.weight", "bayes_dense1.weight_rho", "bayes_dense1.bias_rho"] {
            assert!(model.gradient(name)?.iter().all(|g| g.is_finite()), "{precision:?} {name}");
        }
    }
    Ok(())
}
