//! The temperature of stars from their blue/red flux ratio: a straight line by gradient descent, then a small network.
//!
//! cargo run --release --example regression -- --seed 1
//!
//! Expected: from (1000, 2000) to the least squares of four stars, T = 5032.57 x + 705.21 with an error of 249.6 K; then, for
//! 2000 generated stars, 263 K with a line and 154 K with a network, since black bodies are no straight line.
//! `--data FILE` takes a table of two columns, ratio and kelvin.

mod options;
use kamacite::data::{Column, Normalizer, Rule, Samples, Scope, TableReader, synth};
use kamacite::optim::{Adam, Schedule, Sgd};
use kamacite::*;
use options::{Options, stop_on_signals};

fn main() -> Result<()> {
    let o = Options::parse((60, 3))?;
    let four = Samples::new(Extent::flat(1), vec![0.8, 1.2, 1.5, 2.0])?
        .with_values(Extent::flat(1), vec![5000.0, 6500.0, 8000.0, 11_000.0])?;
    let (w, b, rms) = line(&four, &o)?;
    println!("four stars: T = {w:.2} x + {b:.2}, error {rms:.1} K");

    let (train, valid) = stars(&o)?;
    let mut net = Network::new(Extent::flat(1));
    net.push(Dense::new(1));
    let straight = fit(net, &train, &valid, &o)?;
    let mut net = Network::new(Extent::flat(1));
    net.push(Dense::new(16).act(Tanh));
    net.push(Dense::new(16).act(Tanh));
    net.push(Dense::new(1));
    let curved = fit(net, &train, &valid, &o)?;
    println!("RESULT w={w:.2} b={b:.2} rms={rms:.1} line_kelvin={straight:.0} network_kelvin={curved:.0}");
    Ok(())
}

/// T = w x + b by full-batch gradient descent on the mean squared error, whose largest eigenvalue bounds the rate by 0.331.
fn line(stars: &Samples, o: &Options) -> Result<(f64, f64, f64)> {
    let mut net = Network::new(Extent::flat(1));
    net.push(Dense::new(1).init(Init::Constant(1000.0)).bias_init(2000.0));
    let mut t = Trainer::builder(net, Mse, Sgd::new(0.3))
        .batch(stars.len())
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .data(stars.clone(), Some(stars.clone()))
        .validate_every(1000)
        .build()?;
    let rms = t.fit(1000, &mut Silent)?.valid.and_then(|v| v.rmse).unwrap_or(f64::NAN);
    Ok((t.model().array("dense1.weight")?[0], t.model().array("dense1.bias")?[0], rms))
}

/// Trains on standardised numbers; the error on the validation stars in kelvin.
fn fit(net: Network, train: &Samples, valid: &Samples, o: &Options) -> Result<f64> {
    let one = Extent::flat(1);
    let rule = [Rule::Standard(Scope::Feature)];
    let truth = |s: &Samples| s.t(0).unwrap_or_default().to_vec();
    let (x, kelvin) = (Normalizer::fit(one, train.x(0), &rule)?, Normalizer::fit(one, &truth(train), &rule)?);
    let standard = |s: &Samples| -> Result<Samples> {
        let (mut input, mut target) = (s.x(0).to_vec(), truth(s));
        x.apply(&mut input)?;
        kelvin.apply(&mut target)?;
        Samples::new(one, input)?.with_values(one, target)
    };
    let mut t = Trainer::builder(net, Mse, Adam::new(0.01))
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .schedule(Schedule::cosine(o.epochs, 0.01).per_epoch())
        .data(standard(train)?, Some(standard(valid)?))
        .build()?;
    stop_on_signals(&t.stop_handle())?;
    o.show_profile(|| t.profile())?;
    t.fit(o.epochs, &mut Silent)?;
    let mut y = t.model_mut().predict_data(standard(valid)?, 256, Mode::Infer)?;
    kelvin.undo(&mut y)?;
    Ok(metrics::Residuals::of(&y, &truth(valid))?.rmse())
}

fn stars(o: &Options) -> Result<(Samples, Samples)> {
    let all = match &o.data {
        Some(file) => TableReader::new().features([Column::First]).targets([Column::Last]).read(file)?,
        None => synth::stars(if o.smoke { 200 } else { 4000 }, 1)?,
    };
    all.split(all.len() / 2)
}
