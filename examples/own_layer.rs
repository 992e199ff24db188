//! A layer of one's own, with a CUDA kernel of its own: fluxes over five decades, three classes of spectra, and a network that
//! learns how to stretch them. The layer is in `asinh/`.
//!
//! cargo run --release --example own_layer -- --device auto
//!
//! Expected: 97 % or more (chance 33 %), and softenings that have moved from where they began.

mod asinh;
mod options;
use asinh::Asinh;
use kamacite::data::Samples;
use kamacite::rng::{Purpose, Stream};
use kamacite::*;
use options::Options;

const BANDS: usize = 8;

fn main() -> Result<()> {
    let o = Options::parse((30, 8))?;
    let (train, valid) = (spectra(if o.smoke { 600 } else { 3000 }, o.seed)?, spectra(600, o.seed + 1000)?);
    let mut net = Network::new(Extent::line(1, BANDS));
    let stretch = net.push(Asinh { scale: 1.0 });
    net.push(Dense::new(24).act(Relu));
    net.push(Dense::new(3));
    let name = format!("{}.log_scale", net.name_of(stretch));
    let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(5e-3))
        .batch(32)
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .data(train, Some(valid))
        .build()?;
    o.show_profile(|| t.profile())?;
    let report = t.fit(o.epochs, &mut Silent)?;
    let accuracy = report.valid.and_then(|v| v.accuracy).unwrap_or(0.0);
    let scales: Vec<f64> = t.model().array(&name)?.iter().map(|s| s.exp()).collect();
    let moved = scales.iter().fold(0.0_f64, |m, a| m.max((a - 1.0).abs()));
    println!("softening of the bands: {scales:.3?} on {}", t.model().device());
    println!("RESULT accuracy={accuracy:.4} loss={:.4} moved={moved:.3}", report.loss);
    Ok(())
}

/// Power laws with slopes −1.2, 0 and 1.2, a flux between 10⁻² and 10³, and noise of 10 % and 0.02.
fn spectra(n: usize, seed: u64) -> Result<Samples> {
    let mut r = Stream::new(seed, Purpose::Synth, 0);
    let (mut x, mut labels) = (Vec::with_capacity(n * BANDS), Vec::with_capacity(n));
    for i in 0..n {
        let class = i % 3;
        let (slope, flux) = (1.2 * (class as f64 - 1.0), 10_f64.powf(r.between(-2.0, 3.0)));
        for band in 0..BANDS {
            let mean = flux * ((band + 1) as f64 / 4.0).powf(slope);
            x.push((mean * (1.0 + 0.1 * r.normal()) + 0.02 * r.normal()) as f32);
        }
        labels.push(class as u32);
    }
    Samples::new(Extent::line(1, BANDS), x)?.with_classes(labels, 3)
}
