//! What a GPU makes of this crate: copies, matrix products, single layers, optimizers, and whole networks.
//!
//! cargo bench --bench gpu -- [--device cuda:0] [--only gemm,conv] [--seconds 0.3] [--smoke]
//! cargo bench --bench gpu -- --compile gemm_f32.cu       that source into the cache of kernels, and nothing else
//!
//! One JSON line for each measurement: medians and minima of seven blocks of about `--seconds` together, each a replayed recording.
//! `baselines/gpu.py` and `gpu_jax.py` measure the cases of the same names; `gpu/table.py` puts them side by side.
//! A case that fails is a line on stderr, and the rest goes on.

#[allow(dead_code)]
#[path = "step/network.rs"]
mod network;

use kamacite::data::Samples;
use kamacite::optim::{Adam, Optimizer, Sgd};
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use std::path::{Path, PathBuf};
use std::time::Instant;

const BLOCKS: usize = 7;

type Group = (&'static str, fn(&mut Bench));

struct Bench {
    device: Device,
    seconds: f64,
    smoke: bool,
    failed: usize,
}

fn main() -> Result<()> {
    let mut args = pico_args::Arguments::from_env();
    let _ = args.contains("--bench");
    let wrong = |e: pico_args::Error| Error::value("command line", e);
    let smoke = args.contains("--smoke");
    let device: String = args.opt_value_from_str("--device").map_err(wrong)?.unwrap_or_else(|| "cuda:0".into());
    let seconds: f64 = args.opt_value_from_str("--seconds").map_err(wrong)?.unwrap_or(if smoke { 0.01 } else { 0.3 });
    let only: Option<String> = args.opt_value_from_str("--only").map_err(wrong)?;
    let source: Option<PathBuf> = args.opt_value_from_str("--compile").map_err(wrong)?;
    let mut bench = Bench { device: device.parse()?, seconds, smoke, failed: 0 };
    let Device::Cuda(cuda) = &bench.device else { return Err(Error::value("--device", "a GPU is measured here").got(device)) };
    if let Some(source) = source {
        return compile(cuda, &source);
    }
    println!(r#"{{"what":"device","device":"{cuda}","kernels":"{}"}}"#, cuda.compiler());
    let groups: [Group; 8] = [
        ("copy", copy),
        ("gemm", gemm),
        ("conv", conv),
        ("few", few_channels),
        ("memory", memory),
        ("optim", optimizers),
        ("step", steps),
        ("network", networks),
    ];
    for (name, run) in groups {
        if only.as_ref().is_none_or(|only| only.split(',').any(|group| group == name)) {
            run(&mut bench);
        }
    }
    match bench.failed {
        0 => Ok(()),
        n => Err(Error::value("gpu", format!("{n} cases failed"))),
    }
}

/// Leaves the machine code of `name.cu` in the cache: the first program that needs it would wait, and for one source after another.
fn compile(cuda: &device::Cuda, source: &Path) -> Result<()> {
    let text = std::fs::read_to_string(source).map_err(|e| Error::value("--compile", e).got(source.display()))?;
    let name = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    // Its code has been compiled and loaded when the driver finds that it has no kernel `none`.
    match cuda.kernel::<u32>(&device::Source::new(name.leak(), text.leak()), "none") {
        Err(e) if e.to_string().contains("not in its source") => Ok(()),
        other => other.map(|_| ()),
    }
}

impl Bench {
    /// Runs a case; what it returns are block means of seconds, operations and least bytes.
    fn case(&mut self, what: &str, case: &str, run: impl FnOnce(&Self) -> Result<(Vec<f64>, f64, f64)>) {
        let begun = Instant::now();
        let done = run(self).and_then(|done| match median(&done.0) > 0.0 {
            true => Ok(done),
            false => Err(Error::value("gpu", "noise swallowed the difference of two times").hint("more --seconds")),
        });
        match done {
            Ok((times, flops, bytes)) => {
                let (us, least) = (median(&times) * 1e6, times.iter().copied().fold(f64::INFINITY, f64::min) * 1e6);
                let took = begun.elapsed().as_secs_f64();
                println!(
                    r#"{{"what":"{what}","case":"{case}","us":{us:.3},"min_us":{least:.3},"flops":{flops},"bytes":{bytes},"took_s":{took:.1}}}"#
                );
            }
            Err(e) => {
                self.failed += 1;
                eprintln!("{what} {case}: {e}");
            }
        }
    }

    fn pick<T>(&self, full: T, smoke: T) -> T {
        if self.smoke { smoke } else { full }
    }

    fn model(&self, net: Network, precision: Precision) -> Result<Model> {
        let builder = Model::builder(net).device(self.device.clone()).precision(precision).seed(1);
        builder.loss("output", Mse, 1.0).build()
    }

    /// Seconds of forward pass, losses, gradients and update of a network on a batch, each block by itself.
    fn parts(&self, model: &Model, batch: usize, optimizer: &dyn Optimizer, input_gradient: bool) -> Result<[Vec<f64>; 4]> {
        let mut sums = model.clock_on_gpu(batch, Some(optimizer), input_gradient, BLOCKS, self.seconds / 2.0)?;
        for part in (1..4).rev() {
            let before = median(&sums[part - 1]);
            sums[part].iter_mut().for_each(|t| *t = (*t - before).max(0.0));
        }
        sums.try_into().map_err(|_| Error::value("gpu", "four parts"))
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn size_of_storage(precision: Precision) -> f64 {
    if matches!(precision, Precision::BF16 | Precision::FP16) { 2.0 } else { 4.0 }
}

fn copy(b: &mut Bench) {
    b.case("copy", "copy", |b| {
        let bytes = b.pick(1 << 30, 1 << 16);
        Ok((op::copy_on_gpu(&b.device, bytes, BLOCKS, b.seconds)?, 0.0, 2.0 * bytes as f64))
    });
}

/// C = A·B, all n by n. The error of some entries goes to a line of its own.
fn gemm(b: &mut Bench) {
    for n in b.pick([4096, 8192], [64, 96]) {
        for precision in [Precision::BF16, Precision::FP16, Precision::TF32, Precision::FP32x3, Precision::FP32] {
            for layout in ["nn", "nt", "tn"] {
                let case = format!("{precision:?} {layout} {n}");
                b.case("gemm", &case, |b| {
                    let (times, error) = op::gemm_on_gpu(&b.device, precision, layout, [n; 3], (BLOCKS, b.seconds))?;
                    // JSON has no number for a product that is none.
                    let error = if error.is_finite() { format!("{error:e}") } else { "null".into() };
                    println!(r#"{{"what":"error","case":"{case}","error":{error}}}"#);
                    let size = size_of_storage(precision);
                    Ok((times, 2.0 * (n as f64).powi(3), 3.0 * size * (n * n) as f64))
                });
            }
        }
    }
}

/// 3x3 convolutions whose inputs and outputs together exceed the second-level cache.
fn conv(b: &mut Bench) {
    let shapes = [(64, 112, 64), (128, 56, 64), (256, 28, 128), (512, 14, 256)];
    for (channels, side, batch) in b.pick(&shapes[..], &[(64, 6, 2)]).iter().copied() {
        for precision in [Precision::BF16, Precision::TF32] {
            let case = |part: &str| format!("{precision:?} 3x3 {channels} {part}");
            let flops = 2.0 * 9.0 * (channels * channels * side * side * batch) as f64;
            let bytes = size_of_storage(precision) * (2 * channels * side * side * batch + 9 * channels * channels) as f64;
            let net = || {
                let mut net = Network::new(Extent::image(side, side, channels));
                let node = net.push(Conv::new(channels, 3).pad(1));
                (net, node)
            };
            let mut weights = None;
            b.case("conv", &case("fwd"), |b| {
                let model = b.model(net().0, precision)?;
                let [forward, _, backward, _] = b.parts(&model, batch, &Sgd::new(0.1), false)?;
                weights = Some(backward);
                Ok((forward, flops, bytes))
            });
            if let Some(times) = weights {
                b.case("conv", &case("wgrad"), |_| Ok((times, flops, bytes)));
            }
            b.case("conv", &case("dgrad"), |b| {
                let (net, node) = net();
                let mut model = b.model(net, precision)?;
                model.freeze(node);
                let [_, _, backward, _] = b.parts(&model, batch, &Sgd::new(0.1), true)?;
                Ok((backward, flops, bytes))
            });
        }
    }
}

/// Convolutions with bias and relu as course networks have them: forward and all gradients, without dx for a first layer.
fn few_channels(b: &mut Bench) {
    let shapes = [(1, 8, 5, 28, 1024), (8, 16, 5, 14, 1024), (1, 16, 5, 256, 16), (3, 16, 3, 128, 64), (16, 16, 3, 128, 64)];
    for (from, to, window, side, batch) in shapes {
        let (side, batch) = b.pick((side, batch), (8, 2));
        for precision in [Precision::FP32, Precision::BF16] {
            b.case("few", &format!("{precision:?} {from}-{to} {window}x{window}"), |b| {
                let mut net = Network::new(Extent::image(side, side, from));
                net.push(Conv::new(to, window).pad(window / 2).act(Relu));
                let model = b.model(net, precision)?;
                let inner = from > 3;
                let [forward, _, backward, _] = b.parts(&model, batch, &Sgd::new(0.1), inner)?;
                let products = (from * to * window * window * side * side * batch) as f64;
                // x, y; y, dy, x, and dx.
                let (x, y) = ((from * side * side * batch) as f64, (to * side * side * batch) as f64);
                let bytes = size_of_storage(precision) * (2.0 * x + 3.0 * y + if inner { x } else { 0.0 });
                Ok((sum(&forward, &backward), if inner { 6.0 } else { 4.0 } * products, bytes))
            });
        }
    }
}

/// Layers that do little but move memory.
fn memory(b: &mut Bench) {
    let (side, channels, batch) = b.pick((64, 64, 128), (4, 16, 2));
    let n = (side * side * channels * batch) as f64;
    type Add = fn(&mut Network) -> NodeId;
    // Least values moved, forward and backward: a norm reads its input for the statistics, and again.
    let layers: [(&str, Add, f64, f64); 5] = [
        ("relu", |net| net.push(Activate::new(Relu)), 2.0, 3.0),
        ("batch norm", |net| net.push(Norm::batch()), 3.0, 5.0),
        ("group norm", |net| net.push(Norm::groups(8)), 3.0, 5.0),
        ("max pool", |net| net.push(Pool::max(2)), 1.25, 1.25),
        ("average pool", |net| net.push(Pool::average(2)), 1.25, 1.25),
    ];
    for (name, add, fwd, bwd) in layers {
        for precision in [Precision::FP32, Precision::BF16] {
            let size = size_of_storage(precision);
            let mut gradients = None;
            b.case("memory", &format!("{precision:?} {name} fwd"), |b| {
                let mut net = Network::new(Extent::image(side, side, channels));
                add(&mut net);
                let [forward, _, backward, _] = b.parts(&b.model(net, precision)?, batch, &Sgd::new(0.1), true)?;
                gradients = Some(backward);
                Ok((forward, 0.0, fwd * n * size))
            });
            if let Some(times) = gradients {
                b.case("memory", &format!("{precision:?} {name} bwd"), |_| Ok((times, 0.0, bwd * n * size)));
            }
        }
    }
}

fn optimizers(b: &mut Bench) {
    let (inputs, outputs) = b.pick((8192, 4096), (64, 32));
    for precision in [Precision::FP32, Precision::BF16] {
        let sgd = Sgd::new(0.1).momentum(0.9);
        let adam = Adam::new(0.1);
        let rules: [(&str, &dyn Optimizer, f64); 2] = [("sgd momentum", &sgd, 5.0), ("adam", &adam, 7.0)];
        for (name, rule, words) in rules {
            b.case("optim", &format!("{precision:?} {name}"), |b| {
                let mut net = Network::new(Extent::flat(inputs));
                net.push(Dense::new(outputs));
                let [_, _, _, update] = b.parts(&b.model(net, precision)?, 8, rule, false)?;
                // Weights and state read and written, gradients read; the copy of 16 bits written.
                let copies = if precision == Precision::BF16 { 2.0 } else { 0.0 };
                Ok((update, 0.0, (4.0 * words + copies) * ((inputs + 1) * outputs) as f64))
            });
        }
    }
}

/// Batches of an epoch. At its end the host waits for the sum of the losses, which loops of peers never do: a thousand steps share it.
const EPOCH: usize = 1000;

/// Whole training steps on data that lie on the device, gather to update; and what the host spends on one.
fn steps(b: &mut Bench) {
    for precision in [Precision::FP32, Precision::TF32, Precision::BF16] {
        for batch in b.pick([16, 64, 128], [2, 4, 6]) {
            let case = format!("lenet {precision:?} {batch}");
            training(b, &case, |b| {
                let mut net = Network::new(Extent::image(28, 28, 1));
                for filters in [8, 16] {
                    net.push(Conv::new(filters, 5).pad(2).act(Relu));
                    net.push(Pool::max(2));
                }
                net.push(Dense::new(256).act(Relu));
                net.push(Dense::new(128).act(Relu));
                net.push(Dense::new(10));
                Ok((net, points(batch * b.pick(EPOCH, 3), Extent::image(28, 28, 1), 10)?, batch, precision))
            });
        }
    }
    training(b, "iris FP32 8", |b| {
        let mut net = Network::new(Extent::flat(4));
        net.push(Dense::new(8).act(Relu));
        net.push(Dense::new(3));
        Ok((net, points(8 * b.pick(EPOCH, 3), Extent::flat(4), 3)?, 8, Precision::FP32))
    });
    for precision in [Precision::FP32, Precision::BF16] {
        for batch in b.pick([128, 16384], [16, 32]) {
            training(b, &format!("mlp64 {precision:?} {batch}"), |b| {
                let mut net = Network::new(Extent::flat(64));
                for _ in 0..3 {
                    net.push(Dense::new(64).act(Relu));
                }
                net.push(Dense::new(10));
                // As many as fit well: 64 large batches are 256 MiB.
                let batches = b.pick(EPOCH.min((1 << 20) / batch), 3);
                Ok((net, points(batch * batches, Extent::flat(64), 10)?, batch, precision))
            });
        }
    }
}

/// Normal numbers in classes; the same few again and again, for speed.
fn points(n: usize, inputs: Extent, classes: usize) -> Result<Samples> {
    let mut r = Stream::new(1, Purpose::User, 0);
    let numbers: Vec<f32> = (0..65_521).map(|_| r.normal() as f32).collect();
    let x = numbers.iter().copied().cycle().take(n * inputs.len()).collect();
    Samples::new(inputs, x)?.with_classes((0..n).map(|i| (i % classes) as u32).collect(), classes)
}

fn training(b: &mut Bench, case: &str, made: impl Fn(&Bench) -> Result<(Network, Samples, usize, Precision)>) {
    let trainer = |b: &Bench| {
        let (net, data, batch, precision) = made(b)?;
        // Peers take the same index in every step: shuffling, which the host does, is no part of what is compared.
        let builder =
            Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(1e-3).momentum(0.9)).batch(batch).seed(1).shuffle(false);
        let mut t = builder.device(b.device.clone()).precision(precision).data(data, None::<Samples>).build()?;
        // Kernels are loaded and the step is recorded.
        t.fit(2, &mut Silent)?;
        Ok(t)
    };
    b.case("step", case, |b| {
        let mut t = trainer(b)?;
        let mut run = |seconds: f64, per: f64| -> Result<f64> {
            let epochs = (seconds / per / t.steps_per_epoch() as f64).max(1.0) as u64;
            let (from, begun) = (t.model().updates(), Instant::now());
            t.fit(t.epoch() + epochs, &mut Silent)?;
            b.device.synchronize()?;
            Ok(begun.elapsed().as_secs_f64() / (t.model().updates() - from) as f64)
        };
        let per = run(0.0, 1.0)?;
        let times = (0..BLOCKS).map(|_| run(b.seconds / BLOCKS as f64, per)).collect::<Result<Vec<_>>>()?;
        Ok((times, 0.0, 0.0))
    });
    b.case("host", case, |b| {
        let mut t = trainer(b)?;
        let times = (0..BLOCKS).map(|_| t.host_seconds(b.pick(200, 3))).collect::<Result<Vec<_>>>()?;
        Ok((times, 0.0, 0.0))
    });
}

/// AstronomyCNN in training, the detector in inference, as `workloads.json` has them.
fn networks(b: &mut Bench) {
    let spec = |name: &str| -> Result<serde_json::Value> {
        let all: serde_json::Value =
            serde_json::from_str(include_str!("workloads.json")).map_err(|e| Error::format("workloads", e))?;
        Ok(all[name].clone())
    };
    let batch = b.pick(64, 1);
    b.case("network", "W7 train BF16 64", |b| {
        let mut spec = spec("W7")?;
        let side = b.pick(256, 32);
        spec["input"] = serde_json::json!([1, side, side]);
        let builder = Model::builder(network::network(&spec, true)?).device(b.device.clone()).precision(Precision::BF16);
        let model = builder.seed(1).loss("output", SoftmaxCrossEntropy, 1.0).build()?;
        let flops = 2.0 * network::macs(&model)? as f64 * 3.0 * batch as f64;
        let sums = model.clock_on_gpu(batch, Some(&Sgd::new(1e-3).momentum(0.9)), false, BLOCKS, 2.0 * b.seconds)?;
        Ok((sums[3].clone(), flops, 0.0))
    });
    for batch in b.pick([1, 8], [1, 2]) {
        b.case("network", &format!("W9 infer BF16 {batch}"), |b| {
            let mut spec = spec("W9")?;
            let side = b.pick(512, 32);
            spec["input"] = serde_json::json!([1, side, side]);
            let builder = Model::builder(network::network(&spec, false)?).device(b.device.clone()).precision(Precision::BF16);
            let model = builder.seed(1).build()?;
            let flops = 2.0 * network::macs(&model)? as f64 * batch as f64;
            let sums = model.clock_on_gpu(batch, None, false, BLOCKS, 2.0 * b.seconds)?;
            Ok((sums[0].clone(), flops, 0.0))
        });
    }
}
