//! candle on the CPU. Its SGD has no momentum, so that update is written here (v ← 0.9·v + g, w ← w − η·v); Adam is its AdamW
//! without weight decay. It has no convolution in three dimensions.

mod net;

use candle_core::{Device, Result, Tensor, Var};
use candle_nn::{AdamW, Optimizer, ParamsAdamW, VarMap};
use net::Net;
use peer_common::{Built, Options, cli, emit, measure, normal, refuse, sizes};
use std::time::Instant;

/// Whichever rule was asked for.
enum Rule {
    Momentum(Vec<Option<Tensor>>),
    Adam(AdamW),
}

fn update(o: &Options, rule: &mut Rule, vars: &[Var], loss: &Tensor) -> Result<()> {
    let grads = loss.backward()?;
    let velocities = match rule {
        Rule::Adam(adam) => return adam.step(&grads),
        Rule::Momentum(velocities) => velocities,
    };
    for (w, kept) in vars.iter().zip(velocities) {
        if let Some(g) = grads.get(w) {
            let v = match kept.take() {
                Some(v) => ((v * 0.9)? + g)?,
                None => g.clone(),
            };
            let v = v.detach();
            w.set(&w.as_tensor().detach().sub(&(&v * o.rate)?)?)?;
            *kept = Some(v);
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let o = cli(&[if cfg!(feature = "x86-v4") { "avx512" } else { "default" }]);
    let begun = Instant::now();
    let mut shape = sizes(&o.spec["input"]);
    if shape.len() > 3 {
        refuse(&o, "candle", "no convolution in three dimensions");
        return Ok(());
    }
    let device = Device::Cpu;
    let map = VarMap::new();
    let net = Net::new(&o.spec, &map, &device)?;
    shape.insert(0, o.batch);
    let x = Tensor::from_vec(normal(shape.iter().product(), 1), shape, &device)?;
    let (y, macs) = net.forward(&x, false)?;
    let output = sizes(&o.spec["output"]);
    assert_eq!(y.dims()[1..], output, "output");
    let ce = o.spec["loss"] == "ce";
    let target = if ce {
        let labels: Vec<u32> = (0..o.batch as u32).map(|i| i * 7 % output[0] as u32).collect();
        Tensor::from_vec(labels, o.batch, &device)?
    } else {
        Tensor::from_vec(normal(y.elem_count(), 2), y.dims(), &device)?
    };
    // Running statistics live in the same map.
    let vars: Vec<Var> = {
        let data = map.data().lock().expect("no other thread");
        data.iter().filter(|(name, _)| !name.contains("running_")).map(|(_, v)| v.clone()).collect()
    };
    let built = Built { params: vars.iter().map(|v| v.elem_count()).sum(), macs: macs / o.batch };
    let mut rule = if o.optimizer == "adam" {
        Rule::Adam(AdamW::new(vars.clone(), ParamsAdamW { lr: o.rate, weight_decay: 0.0, ..Default::default() })?)
    } else {
        Rule::Momentum(vec![None; vars.len()])
    };
    let build_s = begun.elapsed().as_secs_f64();
    let mut step = || -> Result<()> {
        let (y, _) = net.forward(&x, o.train)?;
        if !o.train {
            std::hint::black_box(y);
            return Ok(());
        }
        let loss = if ce { candle_nn::loss::cross_entropy(&y, &target)? } else { candle_nn::loss::mse(&y, &target)? };
        update(&o, &mut rule, &vars, &loss)
    };
    let measured = measure(&o, |n| (0..n).for_each(|_| step().expect("a step")));
    emit(&o, "candle", "0.11.1", build_s, &built, &measured);
    Ok(())
}
