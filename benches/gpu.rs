//! What a GPU makes of this crate: matrix products, and training steps of whole networks on data that lie on the device.
//!
//! cargo bench --bench gpu -- --device cuda:0 [--size 4096] [--seconds 2] [--smoke]
//!
//! One JSON line for each measurement, medians of seven. `baselines/gpu.py` measures the same in PyTorch.

use kamacite::data::{Samples, synth};
use kamacite::optim::Sgd;
use kamacite::*;
use std::time::Instant;

fn main() -> Result<()> {
    let mut args = pico_args::Arguments::from_env();
    let _ = args.contains("--bench");
    let wrong = |e: pico_args::Error| Error::value("command line", e);
    let smoke = args.contains("--smoke");
    let device: String = args.opt_value_from_str("--device").map_err(wrong)?.unwrap_or_else(|| "cuda:0".into());
    let size: usize = args.opt_value_from_str("--size").map_err(wrong)?.unwrap_or(if smoke { 256 } else { 4096 });
    let seconds: f64 = args.opt_value_from_str("--seconds").map_err(wrong)?.unwrap_or(if smoke { 0.1 } else { 2.0 });
    let device: Device = device.parse()?;
    println!(r#"{{"what":"device","device":"{device}"}}"#);
    for precision in [Precision::FP32, Precision::TF32, Precision::FP32x3, Precision::BF16, Precision::FP16] {
        gemm(&device, precision, size, seconds)?;
    }
    for precision in [Precision::FP32, Precision::TF32, Precision::BF16] {
        for batch in [16, 64, 128] {
            lenet(&device, precision, batch, smoke)?;
        }
    }
    Ok(())
}

/// C = A·B, all n by n.
fn gemm(device: &Device, precision: Precision, n: usize, seconds: f64) -> Result<()> {
    let mut times = op::gemm_on_gpu(device, precision, [n, n, n], 7, seconds / 7.0)?;
    times.sort_by(f64::total_cmp);
    let (median, flops) = (times[3], 2.0 * (n as f64).powi(3));
    let tflops = flops / median / 1e12;
    println!(
        r#"{{"what":"gemm","precision":"{precision:?}","n":{n},"ms":{:.4},"min_ms":{:.4},"tflops":{tflops:.2}}}"#,
        median * 1e3,
        times[0] * 1e3
    );
    Ok(())
}

/// The course's network for digits, momentum SGD: whole steps, gather to update.
fn lenet(device: &Device, precision: Precision, batch: usize, smoke: bool) -> Result<()> {
    let mut net = Network::new(Extent::image(28, 28, 1));
    for filters in [8, 16] {
        net.push(Conv::new(filters, 5).pad(2).act(Relu));
        net.push(Pool::max(2));
    }
    net.push(Dense::new(256).act(Relu));
    net.push(Dense::new(128).act(Relu));
    net.push(Dense::new(10));
    let steps = if smoke { 3 } else { 500 };
    let data = synth::digits(batch * steps.min(100), 1)?;
    let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(1e-3).momentum(0.9))
        .batch(batch)
        .seed(1)
        .device(device.clone())
        .precision(precision)
        .data(data, None::<Samples>)
        .build()?;
    // The first two epochs load kernels and record the step.
    t.fit(2, &mut Silent)?;
    let mut times = Vec::new();
    for _ in 0..7 {
        let (from, begun) = (t.model().updates(), Instant::now());
        let epochs = t.epoch() + (steps as u64).div_ceil(t.steps_per_epoch());
        t.fit(epochs, &mut Silent)?;
        device.synchronize()?;
        times.push(begun.elapsed().as_secs_f64() / (t.model().updates() - from) as f64);
    }
    times.sort_by(f64::total_cmp);
    let loss = t.history().last().map_or(f64::NAN, |r| r.loss);
    println!(
        r#"{{"what":"lenet","precision":"{precision:?}","batch":{batch},"us_per_step":{:.2},"min_us":{:.2},"loss":{loss:.4}}}"#,
        times[3] * 1e6,
        times[0] * 1e6
    );
    Ok(())
}
