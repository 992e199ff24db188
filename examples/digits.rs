//! Handwritten digits with the course's LeNet: two convolutions with pooling, three dense layers, 238 570 parameters.
//!
//! cargo run --release --example digits -- --seed 1
//!
//! Expected: a first loss of ln 10 = 2.303, at least 99.5 % of 2000 generated digits after 5 epochs. Chance is 10 %,
//! logistic regression on the pixels finds 98.1 %, the same network in PyTorch 99.85 % (benches/baselines/digits.py).
//! `--data DIR` takes MNIST itself: the four files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
//! `t10k-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, of which about 99 % are expected.

mod options;
use kamacite::data::{Samples, idx, synth};
use kamacite::optim::Sgd;
use kamacite::*;
use options::{Options, stop_on_signals};

fn main() -> Result<()> {
    let o = Options::parse((5, 2))?;
    let (train, valid) = digits(&o)?;
    let mut net = Network::new(Extent::image(28, 28, 1));
    for filters in [8, 16] {
        net.push(Conv::new(filters, 5).pad(2).act(Relu));
        net.push(Pool::max(2));
    }
    net.push(Dense::new(256).act(Relu));
    net.push(Dropout::new(0.5));
    net.push(Dense::new(128).act(Relu));
    net.push(Dropout::new(0.2));
    // Small weights before the softmax: the first loss is that of ignorance, ln 10.
    net.push(Dense::new(10).init(Init::Normal(0.01)));
    let checkpoint = o.file("digits.safetensors")?;
    let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.008).momentum(0.9))
        .batch(32)
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .checkpoint(&checkpoint);
    if o.resume {
        t = t.resume(&checkpoint);
    }
    let mut t = t.data(train, Some(valid)).build()?;
    stop_on_signals(&t.stop_handle())?;
    o.show_profile(|| t.profile())?;
    let first = t.validate()?.map_or(f64::NAN, |v| v.loss);
    let report = t.fit(o.epochs, &mut Progress::default())?;
    let (seconds, device) = (report.seconds, t.model().device().clone());
    let accuracy = t.validate()?.and_then(|v| v.accuracy).unwrap_or(f64::NAN);
    println!("RESULT accuracy={accuracy:.4} first_loss={first:.3} seconds={seconds:.1} device={device}");
    Ok(())
}

fn digits(o: &Options) -> Result<(Samples, Samples)> {
    let Some(folder) = &o.data else {
        let n = if o.smoke { 480 } else { 12_000 };
        return synth::digits(n, 1)?.split(n * 5 / 6);
    };
    // Bytes to the interval 0..1.
    let read = |part: &str| -> Result<Samples> {
        let file = |what: &str| folder.join(format!("{part}-{what}"));
        Ok(idx::read_pair(file("images-idx3-ubyte"), file("labels-idx1-ubyte"))?.scaled(1.0 / 255.0))
    };
    Ok((read("train")?, read("t10k")?))
}
