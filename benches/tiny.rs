//! 100 000 online steps of the course's 4-4-3 perceptron: what a step costs beyond its arithmetic.
//!
//! cargo bench --bench tiny -- --repeats 30
//!
//! Milliseconds, the least of all repeats, of one `fit`, of one call a sample, and of four calls a sample. Then nanoseconds that one more node
//! adds to a step on one sample (forward and backward, or inference): for nodes that do nothing, the walk of the graph alone.

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

/// Nanoseconds of a step for each of 40 more nodes like this one: the least of training and of inference.
fn per_node(repeats: usize, layer: impl kamacite::layer::Layer + Clone + 'static) -> Result<[f64; 2]> {
    const STEPS: usize = 2000;
    let step = |nodes: usize| -> Result<[f64; 2]> {
        let mut net = Network::new(Extent::flat(4));
        net.push(Dense::new(4));
        for _ in 0..nodes {
            net.push(layer.clone());
        }
        let mut model = Model::builder(net).device(Device::cpu_threads(1)?).loss("output", Mse, 1.0).build()?;
        let (x, sgd) = ([0.1_f32, 0.2, 0.3, 0.4], Sgd::new(1e-6));
        let mut time = |train: bool| {
            least(repeats, || {
                for _ in 0..STEPS {
                    let view = View::new(Extent::flat(4), &x)?;
                    if train {
                        model.train_batch(view, &[view.into()], &sgd)?;
                    } else {
                        model.forward(Mode::Infer, view)?;
                    }
                }
                Ok(0.0)
            })
        };
        Ok([time(true)?.0, time(false)?.0].map(|ms| ms * 1e6 / STEPS as f64))
    };
    let (few, many) = (step(10)?, step(50)?);
    Ok([0, 1].map(|k| (many[k] - few[k]) / 40.0))
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
    if wanted("nodes") {
        let show = |name: &str, [train, infer]: [f64; 2]| {
            println!("{name:12} {train:7.1} ns a node in training, {infer:.1} in inference")
        };
        show("views", per_node(repeats, Flatten::new())?);
        show("in place", per_node(repeats, Activate::new(Relu))?);
        show("dense 4-4", per_node(repeats, Dense::new(4))?);
    }
    Ok(())
}
