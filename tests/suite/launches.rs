//! How many kernels a step on a GPU is: what tiny networks spend their time on.

use crate::cuda::gpu;
use crate::cuda_training::Emulator;
use kamacite::data::Samples;
use kamacite::optim::Sgd;
use kamacite::*;

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
    let (_, x) = net.inputs().next().expect("an input");
    let values = (0..2 * batch * x.len()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let data = Samples::new(x, values).and_then(|s| s.with_classes((0..2 * batch as u32).map(|i| i % 3).collect(), 10));
    let t = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(1e-3).momentum(0.9)).batch(batch).seed(1);
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
fn a_step_of_the_network_for_digits_is_few_launches() {
    let (Some(gpu), Some(emulator)) = (gpu(), Emulator::get()) else { return };
    for (precision, most) in [(Precision::FP32, 16), (Precision::TF32, 16), (Precision::BF16, 16), (Precision::FP16, 18)] {
        let n = launches(&emulator, trainer(lenet(), 8, &gpu.device, precision));
        println!("{precision:?}: {n} launches");
        assert!(n <= most, "{precision:?}: {n} launches");
    }
}
