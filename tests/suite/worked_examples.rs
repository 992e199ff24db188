//! Numbers printed in the course and its notes.

use crate::user::Quadratic;
use kamacite::data::Samples;
use kamacite::optim::{EarlyStopping, EarlyStoppingState, Goal, Sgd, Verdict};
use kamacite::*;

fn run(net: Network, x: &[f32], arrays: &[(&str, &[f64])]) -> Result<Vec<f32>> {
    let extent = net.inputs().next().map(|(_, e)| e).unwrap_or(Extent::flat(1));
    let mut model = Model::builder(net).build()?;
    for (name, values) in arrays {
        model.set_array(name, values)?;
    }
    Ok(model.forward(Mode::Infer, View::new(extent, x)?)?.to_vec())
}

#[test]
fn activations() -> Result<()> {
    let mut net = Network::new(Extent::flat(3));
    net.push(Activate::new(Softmax));
    let y = run(net, &[2.0, 1.0, 0.1], &[])?;
    // Two decimals are printed.
    assert!(y.iter().zip([0.66, 0.24, 0.10]).all(|(y, p)| (y - p).abs() < 0.005), "{y:?}");
    let mut net = Network::new(Extent::flat(3));
    net.push(Activate::new(Relu));
    assert_eq!(run(net, &[-5.0, 0.0, 3.0], &[])?, [0.0, 0.0, 3.0]);
    Ok(())
}

/// Linear layers on top of each other are one linear layer.
#[test]
fn linear_layers_collapse() -> Result<()> {
    let mut two = Network::new(Extent::flat(2));
    two.push(Dense::new(2));
    two.push(Dense::new(1));
    let arrays: [(&str, &[f64]); 4] = [
        ("dense1.weight", &[1.0, 2.0, 3.0, 4.0]),
        ("dense1.bias", &[1.0, -1.0]),
        ("dense2.weight", &[2.0, -1.0]),
        ("dense2.bias", &[0.5]),
    ];
    let mut one = Network::new(Extent::flat(2));
    one.push(Dense::new(1));
    let x = [0.5, -2.0, 3.0, 1.0];
    assert_eq!(run(two, &x, &arrays)?, run(one, &x, &[("dense1.weight", &[0.0, 2.0]), ("dense1.bias", &[3.5])])?);
    Ok(())
}

/// The patch 1..9 under [−1 0 1] on each row gives 2 + 2 + 2 = 6: the window is not flipped.
#[test]
fn convolution_gives_6() -> Result<()> {
    let mut net = Network::new(Extent::image(3, 3, 1));
    net.push(Conv::new(1, 3).no_bias());
    let x: Vec<f32> = (1..=9).map(|v| v as f32).collect();
    let y = run(net, &x, &[("conv1.weight", &[-1.0, 0.0, 1.0, -1.0, 0.0, 1.0, -1.0, 0.0, 1.0])])?;
    assert_eq!(y, [6.0]);
    Ok(())
}

/// 2×2 maxima of an input of ours whose result is the printed [[6, 4], [3, 3]].
#[test]
fn pooling() -> Result<()> {
    let mut net = Network::new(Extent::image(4, 4, 1));
    net.push(Pool::max(2));
    #[rustfmt::skip]
    let x = [1.0, 3.0, 2.0, 4.0,
             5.0, 6.0, 1.0, 2.0,
             3.0, 1.0, 0.0, 3.0,
             2.0, 2.0, 1.0, 1.0];
    assert_eq!(run(net, &x, &[])?, [6.0, 4.0, 3.0, 3.0]);
    Ok(())
}

fn parameters(net: &Network) -> usize {
    // The report alone: no weights are allocated.
    net.report(Mode::Infer, 1).unwrap().parameters()
}

#[test]
fn parameter_counts() {
    let mut cnn = Network::new(Extent::image(256, 256, 1));
    for filters in [32, 64, 128] {
        cnn.push(Conv::new(filters, 3).pad(1).act(Relu));
        cnn.push(Pool::max(2));
    }
    cnn.push(Dense::new(512).act(Relu));
    cnn.push(Dense::new(128).act(Relu));
    cnn.push(Dense::new(5));
    assert_eq!(parameters(&cnn), 67_268_357);

    let mut classifier = Network::new(Extent::flat(100));
    for units in [256, 128] {
        classifier.push(Dense::new(units).act(Relu));
        classifier.push(Dropout::new(0.3));
    }
    classifier.push(Dense::new(5));
    assert_eq!(parameters(&classifier), 59_397);

    let blocks = |size: usize, filters: [usize; 4], units: &[usize], classes: usize| {
        let mut net = Network::new(Extent::image(size, size, 1));
        for f in filters {
            net.push(Conv::new(f, 3).pad(1));
            net.push(Norm::batch());
            net.push(Activate::new(Relu));
            net.push(Pool::max(2));
        }
        for &u in units {
            net.push(Dense::new(u).act(Relu));
            net.push(Dropout::new(0.5));
        }
        net.push(Dense::new(classes));
        net
    };
    assert_eq!(parameters(&blocks(256, [32, 64, 128, 256], &[512, 128], 5)), 34_010_053);
    assert_eq!(parameters(&blocks(128, [16, 32, 64, 128], &[256], 3)), 2_195_811);
}

/// Validation accuracies of nine epochs: the sixth is kept, and the run stops at the seventh or eighth.
#[test]
fn early_stopping_keeps_epoch_6() {
    let accuracies = [70.0, 78.0, 84.0, 88.0, 90.0, 91.0, 91.0, 90.0, 89.0];
    for (patience, stop) in [(1, 7), (2, 8)] {
        let (rule, mut state) = (EarlyStopping::new(Goal::Max).patience(patience), EarlyStoppingState::default());
        let verdicts: Vec<Verdict> = accuracies.iter().map(|&a| rule.update(&mut state.clone(), a)).collect();
        assert_eq!(verdicts[0], Verdict::Best);
        let end = accuracies.iter().position(|&a| rule.update(&mut state, a) == Verdict::Stop).map(|i| i + 1);
        assert_eq!((end, state.best_at, state.best), (Some(stop), 6, Some(91.0)));
    }
}

/// y = x² + 3x + 1: y(2) = 11, dy/dx(2) = 7.
#[test]
fn derivative_is_7() -> Result<()> {
    let x = Extent::flat(1);
    let mut net = Network::new(x);
    net.push(Quadratic { linear: 3.0 });
    let mut model = Model::builder(net).build()?;
    assert_eq!(model.forward(Mode::Train, View::new(x, &[2.0])?)?.row(0)?, [11.0]);
    assert_eq!(model.backward(View::new(x, &[1.0])?, Grads::Write)?.row(0)?, [7.0]);
    Ok(())
}

/// The line of `examples/regression.rs`, trained as there: the least squares of four stars.
#[test]
fn four_stars_lie_on_their_least_squares() -> Result<()> {
    let (x, kelvin) = ([0.8, 1.2, 1.5, 2.0], [5000.0, 6500.0, 8000.0, 11_000.0]);
    let mean = |of: [f64; 4]| of.iter().sum::<f64>() / 4.0;
    let (at, height) = (mean(x), mean(kelvin));
    let w = mean(std::array::from_fn(|i| (x[i] - at) * (kelvin[i] - height))) / mean(x.map(|x| (x - at) * (x - at)));
    let b = height - w * at;
    let rms = mean(std::array::from_fn(|i| (w * x[i] + b - kelvin[i]).powi(2))).sqrt();
    let stars = Samples::new(Extent::flat(1), x.map(|x| x as f32).to_vec())?
        .with_values(Extent::flat(1), kelvin.map(|t| t as f32).to_vec())?;
    let mut net = Network::new(Extent::flat(1));
    net.push(Dense::new(1).init(Init::Constant(1000.0)).bias_init(2000.0));
    let mut t =
        Trainer::builder(net, Mse, Sgd::new(0.3)).batch(4).data(stars.clone(), Some(stars)).validate_every(1000).build()?;
    let found = t.fit(1000, &mut Silent)?.valid.and_then(|v| v.rmse).unwrap_or(f64::NAN);
    let found = [t.model().array("dense1.weight")?[0], t.model().array("dense1.bias")?[0], found];
    println!("{found:?} {:?}", [w, b, rms]);
    assert!(found.iter().zip([w, b, rms]).all(|(f, e)| (f - e).abs() < 1e-3 * e), "{found:?}, expected {w}, {b}, {rms}");
    // What the header of the example says.
    assert_eq!(format!("T = {w:.2} x + {b:.2}, {rms:.1} K"), "T = 5032.57 x + 705.21, 249.6 K");
    Ok(())
}
