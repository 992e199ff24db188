//! Training steps and forward passes of whole networks, as `peer` programs of other frameworks time them:
//!
//! cargo bench --bench step -- --workload W4 --batch 64 --threads 2 --mode train --seconds 3
//!
//! One JSON line: samples per second of the median of seven blocks, and the smallest and largest. One fixed batch of normal
//! numbers, momentum SGD, dropout and batch statistics included; the first step and a warm-up are not counted. The networks are
//! those of `workloads.json`; `--networks FILE` takes others.

use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use serde_json::Value;
use std::collections::HashMap;
use std::time::Instant;

fn main() -> Result<()> {
    let mut args = pico_args::Arguments::from_env();
    let _ = args.contains("--bench");
    let wrong = |e: pico_args::Error| Error::value("command line", e);
    let name: String = args.opt_value_from_str("--workload").map_err(wrong)?.unwrap_or_else(|| "W4".into());
    let batch: Option<usize> = args.opt_value_from_str("--batch").map_err(wrong)?;
    let threads: usize = args.opt_value_from_str("--threads").map_err(wrong)?.unwrap_or(2);
    let mode: String = args.opt_value_from_str("--mode").map_err(wrong)?.unwrap_or_else(|| "train".into());
    let seconds: f64 = args.opt_value_from_str("--seconds").map_err(wrong)?.unwrap_or(3.0);
    let repeats: usize = args.opt_value_from_str("--repeats").map_err(wrong)?.unwrap_or(7);
    let file: Option<String> = args.opt_value_from_str("--networks").map_err(wrong)?;
    let text = match file {
        Some(path) => std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?,
        None => include_str!("workloads.json").to_string(),
    };
    let all: Value = serde_json::from_str(&text).map_err(|e| Error::format("workloads", e))?;
    let spec = all.get(&name).ok_or_else(|| Error::value("--workload", "no such network").got(&name))?;
    let batch = batch.unwrap_or_else(|| spec["batches"][0].as_u64().unwrap_or(1) as usize);

    let begun = Instant::now();
    let net = network(spec)?;
    let mut builder = Model::builder(net).seed(1).device(Device::cpu_threads(threads)?).input_gradients(false);
    builder =
        if spec["loss"] == "mse" { builder.loss("output", Mse, 1.0) } else { builder.loss("output", SoftmaxCrossEntropy, 1.0) };
    let mut model = builder.build()?;
    let input = model.network().inputs().next().map(|(_, e)| e).ok_or_else(|| Error::plan(&name, "no input"))?;
    let output = model.network().report(Mode::Infer, 1)?.nodes.last().map_or(Extent::flat(1), |n| n.extent);
    let mut r = Stream::new(1, Purpose::User, 0);
    let x: Vec<f32> = (0..batch * input.len()).map(|_| r.normal() as f32).collect();
    let t: Vec<f32> = (0..batch * output.len()).map(|_| r.normal() as f32).collect();
    let labels: Vec<u32> = (0..batch * output.area()).map(|_| r.below(output.c) as u32).collect();
    let sgd = optim::Sgd::new(1e-4).momentum(0.9);
    let mut step = |n: usize| -> Result<()> {
        for _ in 0..n {
            let x = View::new(input, &x)?;
            if mode == "infer" {
                model.forward(Mode::Infer, x)?;
                continue;
            }
            model.forward(Mode::Train, x)?;
            let target = if spec["loss"] == "mse" { View::new(output, &t)?.into() } else { Targets::Classes(&labels) };
            model.loss(&[target])?;
            model.backward_parameters(Seed::Loss, Grads::Write)?;
            model.step(&sgd)?;
        }
        Ok(())
    };
    let build = begun.elapsed().as_secs_f64();
    let (first, rates) = measure(&mut step, batch, seconds, repeats)?;
    let parameters = network(spec)?.report(Mode::Infer, 1)?.parameters();
    println!(
        r#"{{"peer":"kamacite","workload":"{name}","batch":{batch},"threads":{threads},"mode":"{mode}","params":{parameters},"params_spec":{},"build_s":{build:.4},"first_step_s":{first:.4},"samples_per_s":{:.1},"min":{:.1},"max":{:.1}}}"#,
        spec["params"],
        rates[rates.len() / 2],
        rates[0],
        rates[rates.len() - 1]
    );
    Ok(())
}

/// The first step's seconds, and the sorted rates of the timed blocks.
fn measure(step: &mut dyn FnMut(usize) -> Result<()>, batch: usize, seconds: f64, repeats: usize) -> Result<(f64, Vec<f64>)> {
    let time = |step: &mut dyn FnMut(usize) -> Result<()>, n: usize| -> Result<f64> {
        let begun = Instant::now();
        step(n)?;
        Ok(begun.elapsed().as_secs_f64())
    };
    let first = time(step, 1)?;
    let warm_up = Instant::now();
    let mut done = 0;
    while done < 4 || warm_up.elapsed().as_secs_f64() < 0.5 {
        let n = if done < 8 { 1 } else { done / 4 };
        step(n)?;
        done += n;
    }
    let n = (done / 8).max(1);
    let per = time(step, n)? / n as f64;
    let n = ((seconds / repeats as f64 / per).round() as usize).max(1);
    let mut rates = (0..repeats).map(|_| time(step, n).map(|t| (n * batch) as f64 / t)).collect::<Result<Vec<f64>>>()?;
    rates.sort_by(f64::total_cmp);
    Ok((first, rates))
}

/// A network of `workloads.json`: sizes there are channels first.
fn network(spec: &Value) -> Result<Network> {
    let sizes = |v: &Value| -> Vec<usize> {
        v.as_array().map_or(vec![], |a| a.iter().map(|x| x.as_u64().unwrap_or(0) as usize).collect())
    };
    let axes = |v: &Value| -> Sizes {
        match (v.as_u64(), sizes(v)[..].as_ref()) {
            (Some(n), _) => Sizes::All(n as usize),
            (_, [w]) => [*w].into(),
            (_, [h, w]) => [*h, *w].into(),
            (_, [d, h, w]) => [*d, *h, *w].into(),
            _ => Sizes::All(1),
        }
    };
    let input = match sizes(&spec["input"])[..] {
        [c] => Extent::flat(c),
        [c, w] => Extent::line(w, c),
        [c, h, w] => Extent::image(h, w, c),
        [c, d, h, w] => Extent::cube(d, h, w, c),
        _ => return Err(Error::format("workloads", "input").got(&spec["input"])),
    };
    let mut net = Network::new(input);
    let mut saved = HashMap::new();
    let mut last = net.node("input").ok_or_else(|| Error::plan("workloads", "no input"))?;
    let layers = spec["layers"].as_array().cloned().unwrap_or_default();
    let number = |l: &Value, key: &str| l[key].as_u64().unwrap_or(0) as usize;
    let mut i = 0;
    while let Some(l) = layers.get(i) {
        // An activation belongs to the convolution or dense layer before it.
        let relu = layers.get(i + 1).is_some_and(|next| next["t"] == "relu");
        let act = if relu { Relu } else { Linear };
        let fused = relu && matches!(l["t"].as_str(), Some("conv" | "convt" | "dense"));
        last = match l["t"].as_str().unwrap_or("") {
            "dense" => net.push(Dense::new(number(l, "n")).act(act)),
            "conv" => net.push(Conv::new(number(l, "c"), axes(&l["k"])).stride(axes(&l["s"])).pad(axes(&l["p"])).act(act)),
            "convt" => {
                net.push(ConvTranspose::new(number(l, "c"), axes(&l["k"])).stride(axes(&l["s"])).pad(axes(&l["p"])).act(act))
            }
            "relu" => net.push(Activate::new(Relu)),
            "maxpool" => net.push(Pool::max(axes(&l["k"]))),
            "gap" => net.push(Pool::global_average()),
            "bn" => net.push(Norm::batch()),
            "gn" => net.push(Norm::groups(number(l, "g"))),
            "dropout" => net.push(Dropout::new(l["p"].as_f64().unwrap_or(0.0))),
            "flatten" => net.push(Flatten::new()),
            "save" => {
                saved.insert(l["n"].to_string(), last);
                last
            }
            "concat" => net.add(Merge::concat(), &[last, saved[&l["n"].to_string()]]),
            other => return Err(Error::format("workloads", "layer").got(other)),
        };
        i += if fused { 2 } else { 1 };
    }
    Ok(net)
}
