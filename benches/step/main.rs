//! Training steps and forward passes of whole networks, with the command line and the result line of the peers in `../peers`:
//!
//! cargo bench --bench step -- --workload W4 --batch 64 --threads 2 --mode train --seconds 3
//!
//! One JSON line: samples per second of the median of seven blocks, and the smallest and largest. One fixed batch of normal
//! numbers, momentum SGD, dropout and batch statistics included; the first step and a warm-up are not counted. The networks are
//! those of `workloads.json`; `--networks FILE` takes others. With `--weights FILE` training begins at given weights:
//! `--loss-steps N` lists the losses of N steps on the file's batch, `--to-loss L` times training until the validation loss is L.

mod clock;
mod file;
mod network;

use file::{File, Samples};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use serde_json::{Value, json};
use std::time::Instant;

/// The command line.
struct Options {
    workload: String,
    batch: usize,
    threads: usize,
    train: bool,
    seconds: f64,
    repeats: usize,
    variant: String,
    optimizer: String,
    rate: f64,
    spec: Value,
    weights: Option<String>,
    loss_steps: usize,
    to_loss: Option<f64>,
    epochs: usize,
}

fn options() -> Result<Options> {
    let mut args = pico_args::Arguments::from_env();
    let _ = args.contains("--bench");
    let wrong = |e: pico_args::Error| Error::value("command line", e);
    let mut text = |key: &'static str| args.opt_value_from_str::<_, String>(key).map_err(wrong);
    let workload = text("--workload")?.unwrap_or_else(|| "W4".into());
    let mode = text("--mode")?.unwrap_or_else(|| "train".into());
    let variant = text("--variant")?.unwrap_or_else(|| "exact".into());
    let optimizer = text("--optimizer")?.unwrap_or_else(|| "sgd".into());
    let (weights, networks) = (text("--weights")?, text("--networks")?);
    let networks = match networks {
        Some(path) => std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?,
        None => include_str!("../workloads.json").to_string(),
    };
    let all: Value = serde_json::from_str(&networks).map_err(|e| Error::format("workloads", e))?;
    let spec = all.get(&workload).ok_or_else(|| Error::value("--workload", "no such network").got(&workload))?.clone();
    let listed = spec["batches"][0].as_u64().unwrap_or(1) as usize;
    for (key, value, known) in [("--mode", &mode, ["train", "infer"]), ("--optimizer", &optimizer, ["sgd", "adam"])] {
        if !known.contains(&value.as_str()) {
            return Err(Error::value(key, "unknown").expected(known.join(" or ")).got(value));
        }
    }
    let batch: usize = args.opt_value_from_str("--batch").map_err(wrong)?.unwrap_or(listed);
    let o = Options {
        batch: if batch == 0 { listed } else { batch },
        threads: args.opt_value_from_str("--threads").map_err(wrong)?.unwrap_or(2),
        train: mode == "train",
        seconds: args.opt_value_from_str("--seconds").map_err(wrong)?.unwrap_or(3.0),
        repeats: args.opt_value_from_str("--repeats").map_err(wrong)?.unwrap_or(7),
        rate: args.opt_value_from_str("--lr").map_err(wrong)?.unwrap_or(1e-4),
        loss_steps: args.opt_value_from_str("--loss-steps").map_err(wrong)?.unwrap_or(0),
        to_loss: args.opt_value_from_str("--to-loss").map_err(wrong)?,
        epochs: args.opt_value_from_str("--epochs").map_err(wrong)?.unwrap_or(50),
        workload,
        variant,
        optimizer,
        spec,
        weights,
    };
    match args.finish().first() {
        Some(unknown) => Err(Error::value("command line", "unknown argument").got(unknown.to_string_lossy())),
        None => Ok(o),
    }
}

fn main() -> Result<()> {
    let o = options()?;
    let begun = Instant::now();
    let mut model = model(&o)?;
    let file = o.weights.as_deref().map(File::open).transpose()?;
    if let Some(file) = &file {
        file.load(&mut model)?;
    }
    let rule: Box<dyn Optimizer> =
        if o.optimizer == "adam" { Box::new(Adam::new(o.rate)) } else { Box::new(Sgd::new(o.rate).momentum(0.9)) };
    let parameters = model.network().report(Mode::Infer, 1)?.parameters();
    let mut line = json!({
        "peer": "kamacite", "variant": o.variant, "version": env!("CARGO_PKG_VERSION"), "workload": o.workload, "batch": o.batch,
        "threads": o.threads, "mode": if o.train { "train" } else { "infer" }, "optimizer": o.optimizer, "params": parameters,
        "params_spec": o.spec["params"], "macs": network::macs(&model)?, "isa": isa(&model), "import_s": 0.0,
    });
    let result = match (&file, o.to_loss) {
        (Some(file), _) if o.loss_steps > 0 => losses(&o, &mut model, file, &*rule)?,
        (Some(file), Some(target)) => to_loss(&o, &mut model, file, &*rule, target)?,
        (None, None) if o.loss_steps == 0 => timing(&o, &mut model, &*rule, begun)?,
        _ => {
            return Err(
                Error::value("--loss-steps, --to-loss", "no file").hint("--weights FILE, written by benches/peers/run.py")
            );
        }
    };
    let merge = |line: &mut Value, more: Value| {
        if let (Some(line), Value::Object(more)) = (line.as_object_mut(), more) {
            line.extend(more);
        }
    };
    merge(&mut line, result);
    if o.variant == "fast" {
        merge(&mut line, json!({"error": deviation(&o, &mut model)?}));
    }
    let planned = model.plans().map(|p| p.local_bytes).sum::<usize>() + model.plans().map(|p| p.store_bytes).max().unwrap_or(0);
    merge(&mut line, json!({"planned_bytes": planned, "peak_rss_mb": round(clock::peak_rss(), 1)}));
    println!("{line}");
    Ok(())
}

fn model(o: &Options) -> Result<Model> {
    let net = network::network(&o.spec, o.loss_steps == 0)?;
    let builder = Model::builder(net).seed(1).device(Device::cpu_threads(o.threads)?).input_gradients(false);
    let builder = match o.variant.as_str() {
        "exact" => builder,
        "fast" => builder.math(Math::Fast),
        other => return Err(Error::value("--variant", "unknown").expected("exact or fast").got(other)),
    };
    let model =
        if o.spec["loss"] == "mse" { builder.loss("output", Mse, 1.0) } else { builder.loss("output", SoftmaxCrossEntropy, 1.0) };
    let model = model.build()?;
    let [_, output] = extents(&model)?;
    let expected: Vec<u64> = o.spec["output"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let (channels, area) = (expected.first().copied().unwrap_or(0) as usize, expected.iter().skip(1).product::<u64>() as usize);
    if (output.c, output.area()) != (channels, area) {
        return Err(Error::shape(&o.workload, "output").expected(format!("{expected:?}")).got(output));
    }
    Ok(model)
}

/// How far the outputs of this model are from those of `Math::Exact` with equal weights: the largest difference in units of the
/// root mean square.
fn deviation(o: &Options, model: &mut Model) -> Result<f64> {
    let exact = Options { variant: "exact".into(), ..options()? };
    let mut exact = self::model(&exact)?;
    exact.restore(&model.checkpoint()?)?;
    let [input, _] = extents(model)?;
    let mut r = Stream::new(2, Purpose::User, 0);
    let x: Vec<f32> = (0..o.batch * input.len()).map(|_| r.normal() as f32).collect();
    let outputs = |model: &mut Model| -> Result<Vec<f32>> { Ok(model.forward(Mode::Infer, View::new(input, &x)?)?.to_vec()) };
    let (fast, exact) = (outputs(model)?, outputs(&mut exact)?);
    let rms = (exact.iter().map(|y| f64::from(*y).powi(2)).sum::<f64>() / exact.len() as f64).sqrt();
    Ok(fast.iter().zip(&exact).map(|(a, b)| f64::from(a - b).abs()).fold(0.0, f64::max) / rms)
}

/// Of the input and the output.
fn extents(model: &Model) -> Result<[Extent; 2]> {
    let input = model.network().inputs().next().map(|(_, e)| e).ok_or_else(|| Error::plan("network", "no input"))?;
    Ok([input, model.network().report(Mode::Infer, 1)?.nodes.last().map_or(input, |n| n.extent)])
}

fn isa(model: &Model) -> String {
    match model.device() {
        Device::Cpu(cpu) => cpu.isa().to_string(),
        other => format!("{other:?}"),
    }
}

fn round(x: f64, digits: i32) -> f64 {
    let scale = 10.0_f64.powi(digits);
    (x * scale).round() / scale
}

/// One fixed batch, again and again.
fn timing(o: &Options, model: &mut Model, rule: &dyn Optimizer, begun: Instant) -> Result<Value> {
    let [input, output] = extents(model)?;
    let mut r = Stream::new(1, Purpose::User, 0);
    let mut normal = |n: usize| -> Vec<f32> { (0..n).map(|_| r.normal() as f32).collect() };
    let (x, values) = (normal(o.batch * input.len()), normal(if o.spec["loss"] == "mse" { o.batch * output.len() } else { 0 }));
    let labels = (0..o.batch * output.area()).map(|_| r.below(output.c) as u32).collect();
    let samples = Samples { input, output, x, labels, values };
    let mut step = |n: usize| -> Result<()> {
        for _ in 0..n {
            let (x, targets) = samples.batch(0, o.batch)?;
            if o.train {
                model.train_batch(x, &[targets], rule)?;
            } else {
                model.forward(Mode::Infer, x)?;
            }
        }
        Ok(())
    };
    let build = begun.elapsed().as_secs_f64();
    let m = clock::measure(&mut step, [o.batch, o.threads, o.repeats], o.seconds)?;
    let median = m.rates[m.rates.len() / 2];
    Ok(json!({
        "build_s": round(build, 4), "rq_wait": round(m.waited, 4), "first_step_s": round(m.first, 5), "steps_per_repeat": m.steps,
        "repeats": m.rates.len(), "samples_per_s": round(median, 4), "min": round(m.rates[0], 4),
        "max": round(m.rates[m.rates.len() - 1], 4), "steps_per_s": round(median / o.batch as f64, 5),
    }))
}

/// The loss of the file's batch, before the first update and after each.
fn losses(o: &Options, model: &mut Model, file: &File, rule: &dyn Optimizer) -> Result<Value> {
    let samples = file.samples("", &o.spec, extents(model)?)?;
    let mut losses = vec![];
    for _ in 0..=o.loss_steps {
        let (x, targets) = samples.batch(0, samples.len())?;
        losses.push(model.train_batch(x, &[targets], rule)?);
    }
    Ok(json!({ "losses": losses }))
}

/// Seconds of training, validation included, until the validation loss is at most `target`. Batches come in the file's order.
fn to_loss(o: &Options, model: &mut Model, file: &File, rule: &dyn Optimizer, target: f64) -> Result<Value> {
    let extents = extents(model)?;
    let (train, valid) = (file.samples("", &o.spec, extents)?, file.samples("valid.", &o.spec, extents)?);
    let (mut history, begun) = (vec![], Instant::now());
    while history.len() < o.epochs && history.last().is_none_or(|&loss| loss > target) {
        for i in 0..train.len() / o.batch {
            let (x, targets) = train.batch(i * o.batch, o.batch)?;
            model.train_batch(x, &[targets], rule)?;
        }
        let (mut sum, batches) = (0.0, valid.len() / o.batch);
        for i in 0..batches {
            let (x, targets) = valid.batch(i * o.batch, o.batch)?;
            model.forward(Mode::Infer, x)?;
            sum += model.loss(&[targets])?;
        }
        history.push(sum / batches as f64);
    }
    let reached = history.last().is_some_and(|&loss| loss <= target);
    let seconds = round(begun.elapsed().as_secs_f64(), 4);
    Ok(json!({"target": target, "reached": reached, "epochs": history.len(), "history": history, "seconds": seconds}))
}
