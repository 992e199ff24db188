//! 100 000 online steps of the course's 4-4-3 perceptron: what a step costs beyond its arithmetic.
//!
//! cargo bench --bench tiny -- --repeats 30
//!
//! Milliseconds, the least of all repeats, of one `fit`, of one call a sample, and of four calls a sample.

use kamacite::data::Samples;
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use std::time::Instant;

const SAMPLES: usize = 100;
const EPOCHS: u64 = 1000;

fn network() -> Network {
    let mut net = Network::new(Extent::flat(4));
    net.push(Dense::new(4).act(Logistic).init(Init::Uniform(0.01)));
    net.push(Dense::new(3).act(Logistic).init(Init::Uniform(0.01)));
    net
}

fn model() -> Result<Model> {
    Model::builder(network()).device(Device::cpu_threads(1)?).loss("output", Mse::half(), 1.0).input_gradients(false).build()
}

fn least(repeats: usize, mut f: impl FnMut() -> Result<f64>) -> Result<(f64, f64)> {
    let (mut least, mut loss) = (f64::MAX, 0.0);
    for _ in 0..repeats {
        let begun = Instant::now();
        loss = f()?;
        least = least.min(begun.elapsed().as_secs_f64() * 1e3);
    }
    Ok((least, loss))
}

fn main() -> Result<()> {
    let mut args = pico_args::Arguments::from_env();
    let _ = args.contains("--bench");
    let repeats = args.opt_value_from_str("--repeats").map_err(|e| Error::value("--repeats", e))?.unwrap_or(20);
    let only: Option<String> = args.opt_value_from_str("--only").map_err(|e| Error::value("--only", e))?;
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let (mut r, extent, sgd) = (Stream::new(1, Purpose::Synth, 0), Extent::flat(4), Sgd::new(0.1));
    let x: Vec<f32> = (0..SAMPLES * 4).map(|_| r.between(-1.0, 1.0) as f32).collect();
    let t: Vec<f32> = (0..SAMPLES * 3).map(|i| if i % 3 == i / 3 % 3 { 1.0 } else { 0.0 }).collect();
    let samples = Samples::new(extent, x.clone())?.with_classes((0..SAMPLES as u32).map(|i| i % 3).collect(), 3)?;
    if wanted("fit") {
        let (ms, loss) = least(repeats, || {
            let none: Option<Samples> = None;
            let builder = Trainer::builder(network(), Mse::half(), sgd.clone()).batch(1).device(Device::cpu_threads(1)?);
            Ok(builder.data(samples.clone(), none).build()?.fit(EPOCHS, &mut Silent)?.loss)
        })?;
        println!("fit          {ms:7.2} ms, loss {loss:.6}");
    }
    let row = |i: usize| -> Result<(View<'_>, Targets<'_>)> {
        let i = i % SAMPLES;
        Ok((View::new(extent, &x[4 * i..4 * i + 4])?, View::new(Extent::flat(3), &t[3 * i..3 * i + 3])?.into()))
    };
    let steps = SAMPLES * EPOCHS as usize;
    if wanted("train_batch") {
        let (ms, loss) = least(repeats, || {
            let mut model = model()?;
            (0..steps).try_fold(0.0, |_, i| {
                let (x, t) = row(i)?;
                model.train_batch(x, &[t], &sgd)
            })
        })?;
        println!("train_batch  {ms:7.2} ms, loss {loss:.6}");
    }
    if wanted("four") {
        let (ms, loss) = least(repeats, || {
            let mut model = model()?;
            (0..steps).try_fold(0.0, |_, i| {
                let (x, t) = row(i)?;
                model.forward(Mode::Train, x)?;
                let loss = model.loss(&[t])?;
                model.backward_parameters(Seed::Loss, Grads::Write)?;
                model.step(&sgd)?;
                Ok(loss)
            })
        })?;
        println!("four calls   {ms:7.2} ms, loss {loss:.6}");
    }
    Ok(())
}
