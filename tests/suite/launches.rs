//! How many kernels a step on a GPU is: what tiny networks spend their time on.

use crate::cuda::gpu;
use crate::cuda_training::Emulator;
use kamacite::data::Samples;
use kamacite::optim::Sgd;
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use std::sync::Arc;

/// Kernels of a replayed step, without the one that carries its number.
fn launches(emulator: &Emulator, mut t: Trainer) -> u64 {
    // After two epochs every step is recorded.
    t.fit(2, &mut Silent).expect("a run");
    let before = emulator.counts();
    t.fit(3, &mut Silent).expect("a run");
    let after = emulator.counts();
    let [launches, graphs] = [0, 1].map(|i| after[i] - before[i]);
    assert!(graphs > 0 && launches % graphs == 0, "{launches} launches in {graphs} graphs");
    launches / graphs - 1
}

fn trainer(net: Network, batch: usize, device: &Device, precision: Precision) -> Trainer {
    trainer_for(SoftmaxCrossEntropy, net, batch, device, precision)
}

fn trainer_for(loss: impl Loss + 'static, net: Network, batch: usize, device: &Device, precision: Precision) -> Trainer {
    let (_, x) = net.inputs().next().expect("an input");
    let values = (0..2 * batch * x.len()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let data = Samples::new(x, values).and_then(|s| s.with_classes((0..2 * batch as u32).map(|i| i % 3).collect(), 10));
    let t = Trainer::builder(net, loss, Sgd::new(1e-3).momentum(0.9)).batch(batch).seed(1);
    t.device(device.clone()).precision(precision).data(data.expect("data"), None::<Samples>).build().expect("a legal trainer")
}

/// The network of `benches/gpu.rs`.
fn lenet() -> Network {
    let mut net = Network::new(Extent::image(28, 28, 1));
    for filters in [8, 16] {
        net.push(Conv::new(filters, 5).pad(2).act(Relu));
        net.push(Pool::max(2));
    }
    net.push(Dense::new(256).act(Relu));
    net.push(Dense::new(128).act(Relu));
    net.push(Dense::new(10));
    net
}

#[test]
fn a_step_of_the_network_for_digits_is_at_most_twelve_launches() {
    let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
    // In FP16, 2 more look for overflow and adapt the loss scale.
    for (precision, most) in [(Precision::FP32, 12), (Precision::TF32, 12), (Precision::BF16, 12), (Precision::FP16, 14)] {
        let n = launches(&emulator, trainer(lenet(), 8, &gpu.device, precision));
        println!("{precision:?}: {n} launches");
        assert!(n <= most, "{precision:?}: {n} launches");
    }
}

/// Three dense layers, too large for one kernel.
fn mlp() -> Network {
    let mut net = Network::new(Extent::flat(2000));
    net.push(Dense::new(64).act(Relu));
    net.push(Dense::new(64).act(Relu));
    net.push(Dense::new(10));
    net
}

/// As W6 of `benches/workloads.json`, on small images.
fn normalised() -> Network {
    let mut net = Network::new(Extent::image(32, 32, 1));
    for filters in [16, 32, 64] {
        net.push(Conv::new(filters, 3).pad(1));
        net.push(Norm::batch());
        net.push(Activate::new(Relu));
        net.push(Pool::max(2));
    }
    net.push(Dense::new(256).act(Relu));
    net.push(Dense::new(10));
    net
}

/// Convolutions with pools alone behind them, all but the first of many channels.
fn pooled() -> Network {
    let mut net = Network::new(Extent::image(32, 32, 1));
    for filters in [24, 32, 64] {
        net.push(Conv::new(filters, 3).pad(1).act(Relu));
        net.push(Pool::max(2));
    }
    net.push(Dense::new(10));
    net
}

#[test]
fn steps_of_other_networks_do_not_grow() {
    let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
    for (name, net, most) in [("mlp", mlp(), [8, 8]), ("normalised", normalised(), [26, 24]), ("pooled", pooled(), [20, 17])] {
        for (precision, most) in [Precision::FP32, Precision::BF16].into_iter().zip(most) {
            let n = launches(&emulator, trainer(net.clone(), 8, &gpu.device, precision));
            println!("{name}, {precision:?}: {n} launches");
            assert!(n <= most, "{name}, {precision:?}: {n} launches");
        }
    }
}

/// A loss adds itself to the sum of the step: a launch more than where the last layer evaluates it.
#[test]
fn a_loss_of_its_own_is_one_launch() {
    let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
    let fused = launches(&emulator, trainer(mlp(), 8, &gpu.device, Precision::FP32));
    let losses: [Arc<dyn Loss>; 3] = [Arc::new(Mse), Arc::new(Mae), Arc::new(LogisticBce::default())];
    for loss in losses {
        let n = launches(&emulator, trainer_for(loss.clone(), mlp(), 8, &gpu.device, Precision::FP32));
        assert_eq!(n, fused + 1, "{loss:?}");
    }
}

/// Whole samples of noise with a weight for each, one of them 0.
fn noise(x: Extent, n: usize, classes: usize) -> Samples {
    let mut r = Stream::new(3, Purpose::User, 0);
    let values = (0..n * x.len()).map(|_| r.normal() as f32).collect();
    let weights = (0..n).map(|i| if i == 3 { 0.0 } else { 0.5 + (i % 3) as f32 }).collect();
    let samples =
        Samples::new(x, values).and_then(|s| s.with_classes((0..n).map(|i| (i * 7 % classes) as u32).collect(), classes));
    samples.and_then(|s| s.with_weights(weights)).expect("samples")
}

/// The last layer and the loss in one launch are what they are on the CPU: with class weights, smoothing, weights of samples, batches
/// that are not full, a depth that several blocks share, in a step of one batch and of three; and two runs have equal bits.
#[test]
fn a_last_layer_with_its_loss_is_the_layer_and_the_loss() {
    let Some(gpu) = gpu() else { return };
    for (x, classes, batch, accumulate) in [(5, 3, 7, 1), (1000, 16, 20, 1), (300, 1, 40, 1), (64, 10, 7, 3)] {
        let run = |device: &Device, precision: Precision| {
            let mut net = Network::new(Extent::flat(x));
            net.push(Dense::new(classes));
            let weights: Vec<f64> = (0..classes).map(|k| 0.5 + k as f64 / 4.0).collect();
            let loss = SoftmaxCrossEntropy.label_smoothing(0.1).class_weights(&weights);
            let t =
                Trainer::builder(net, loss, Sgd::new(0.05).momentum(0.9)).batch(batch).accumulate(accumulate).loss_factor(0.7);
            let t =
                t.seed(5).device(device.clone()).precision(precision).data(noise(Extent::flat(x), 33, classes), None::<Samples>);
            let mut t = t.build().expect("a legal trainer");
            let report = t.fit(3, &mut Silent).expect("a run");
            let array = |name: &str| t.model().array(name).expect("weights");
            let kernels: Vec<String> = t.model().plans().flat_map(|p| p.nodes.iter().flat_map(|n| n.kernels.clone())).collect();
            (report.loss, [array("dense1.weight"), array("dense1.bias")].concat(), kernels)
        };
        let (loss, weights, _) = run(&Device::cpu(), Precision::FP32);
        for (precision, bound) in [(Precision::FP32, 1e-5), (Precision::FP16, 5e-3), (Precision::BF16, 2e-2)] {
            let (got, w, kernels) = run(&gpu.device, precision);
            assert!(kernels.iter().any(|k| k.starts_with("dense_loss")), "{kernels:?}");
            assert!(
                (loss - got).abs() <= bound * loss.abs().max(1e-3),
                "{x} to {classes} in {precision:?}: {loss} on the CPU, {got}"
            );
            let scale = weights.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
            for (a, b) in weights.iter().zip(&w) {
                assert!((a - b).abs() <= bound * scale, "{x} to {classes} in {precision:?}: {a} on the CPU, {b}");
            }
            assert_eq!(run(&gpu.device, precision).1, w, "other bits in a second run");
        }
    }
}

/// A forward pass that came before is one graph, between one copy to the device and one from it; weights in the type of activations
/// are made once.
#[test]
fn a_call_of_a_model_is_one_graph() {
    let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
    for precision in [Precision::FP32, Precision::BF16] {
        let mut model = Model::builder(lenet()).device(gpu.device.clone()).precision(precision).build().expect("a model");
        let x = vec![0.5_f32; 784];
        let mut call = || {
            let before = emulator.counts();
            model.forward(Mode::Infer, View::new(Extent::image(28, 28, 1), &x).expect("a row")).expect("a call");
            let after = emulator.counts();
            std::array::from_fn::<_, 8, _>(|i| after[i] - before[i])
        };
        let first = call();
        let calls: Vec<[u64; 8]> = (0..12).map(|_| call()).collect();
        for [launches, graphs, copies, _, down, allocations, waits, _] in &calls[10..] {
            println!("{precision:?}: {launches} launches in {graphs} graphs, {copies} copies to, {down} from, {waits} waits");
            assert_eq!((*graphs, *copies, *down, *allocations), (1, 1, 1, 0));
            // The step, and casts of weights, were launches of the first call.
            assert!(*launches < first[0], "{launches} launches, {} at first", first[0]);
        }
    }
}
