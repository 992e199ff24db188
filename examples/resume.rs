//! Interrupted and resumed, a run ends with the same bits as one that was left alone.
//!
//! cargo run --release --example resume                     one run, start to end, with a checkpoint after each epoch
//! (interrupt it with Ctrl-C, or kill -9 it)
//! cargo run --release --example resume -- --resume auto    goes on where it was
//!
//! Expected: the hash of the weights in the last line is the same, however often it was interrupted.

mod options;
use kamacite::data::synth;
use kamacite::rng::hash;
use kamacite::*;
use options::Options;

fn main() -> Result<()> {
    let o = Options::parse((6, 2))?;
    let path = o.file("resume.safetensors")?;
    if !o.resume {
        std::fs::remove_file(&path).ok();
    }
    let digits = synth::digits(if o.smoke { 600 } else { 6000 }, o.seed)?;
    let (train, valid) = digits.split(digits.len() * 5 / 6)?;
    let mut net = Network::new(Extent::image(28, 28, 1));
    net.push(Conv::new(8, 5).pad(2));
    net.push(Norm::batch());
    net.push(Activate::new(Relu));
    net.push(Pool::max(4));
    net.push(Dropout::new(0.3));
    net.push(Dense::new(10));
    let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(2e-3))
        .batch(64)
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .data(train, Some(valid))
        .checkpoint(&path)
        .checkpoint_every(20)
        .resume(&path)
        .build()?;
    options::stop_on_signals(&t.stop_handle())?;
    o.show_profile(|| t.profile())?;
    println!("begins at epoch {}, step {}", t.epoch(), t.model().updates());
    let report = t.fit(o.epochs, &mut Progress::default())?;

    let model = t.model();
    let names: Vec<String> = model.arrays().map(|(name, _)| name.to_string()).collect();
    let mut bytes = Vec::new();
    for name in &names {
        bytes.extend(model.array(name)?.iter().flat_map(|x| x.to_le_bytes()));
    }
    println!("RESULT epochs={} steps={} ended={:?} weights={:016x}", report.epochs, report.steps, report.ended, hash(&bytes));
    Ok(())
}
