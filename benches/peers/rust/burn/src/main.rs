//! burn on the CPU with its backend flex. Momentum, without dampening, and Adam are burn's own.

mod net;

use burn::nn::loss::{CrossEntropyLossConfig, MseLoss, Reduction};
use burn::optim::{AdamConfig, GradientsParams, SgdConfig, momentum::MomentumConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};
use net::{Batch, build};
use peer_common::{Built, Options, cli, emit, measure, normal, sizes};
use std::time::Instant;

fn inputs(o: &Options, device: &Device) -> Batch {
    let mut shape = vec![o.batch];
    shape.extend(sizes(&o.spec["input"]));
    let data = TensorData::new(normal(shape.iter().product(), 1), shape.clone());
    match shape.len() {
        2 => Batch::D2(Tensor::from_data(data, device)),
        3 => Batch::D3(Tensor::from_data(data, device)),
        4 => Batch::D4(Tensor::from_data(data, device)),
        _ => Batch::D5(Tensor::from_data(data, device)),
    }
}

fn main() {
    let o = cli(&["flex"]);
    let begun = Instant::now();
    let plain = Device::flex();
    let device = if o.train { plain.clone().autodiff() } else { plain.clone() };
    let (mut net, plan) = build(&o.spec, &device);
    let (x, output) = (inputs(&o, &device), sizes(&o.spec["output"]));
    let mut macs = 0;
    let y = net.forward(&plan, x.clone(), Some(&mut macs));
    assert_eq!(y.dims()[1..], output, "output");
    let built = Built { params: net.trainable(), macs: macs / o.batch };

    let labels: Vec<i64> = (0..o.batch as i64).map(|i| i * 7 % output[0] as i64).collect();
    let classes: Tensor<1, Int> = Tensor::from_data(TensorData::new(labels, [o.batch]), &device);
    let values: Option<Tensor<4>> = (o.spec["loss"] == "mse").then(|| {
        let dims = y.dims();
        Tensor::from_data(TensorData::new(normal(dims.iter().product(), 2), dims), &device)
    });
    let cross_entropy = CrossEntropyLossConfig::new().init(&device);
    let momentum = MomentumConfig { momentum: 0.9, dampening: 0.0, nesterov: false };
    let mut rule =
        if o.optimizer == "adam" { AdamConfig::new().init() } else { SgdConfig::new().with_momentum(Some(momentum)).init() };
    let build_s = begun.elapsed().as_secs_f64();
    let measured = measure(&o, |n| {
        for _ in 0..n {
            let y = net.forward(&plan, x.clone(), None);
            if !o.train {
                std::hint::black_box(y);
                continue;
            }
            let loss: Tensor<1> = match (y, &values) {
                (Batch::D2(y), _) => cross_entropy.forward(y, classes.clone()),
                (Batch::D4(y), Some(values)) => MseLoss::new().forward(y, values.clone(), Reduction::Mean),
                _ => panic!("a loss of this rank is not written here"),
            };
            let grads = GradientsParams::from_grads(loss.backward(), &net);
            net = rule.step(o.rate, net.clone(), grads);
        }
        plain.sync().expect("the device works");
    });
    emit(&o, "burn", "0.22.1", build_s, &built, &measured);
}
