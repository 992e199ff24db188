//! Multilayer perceptron on stellar spectra, with the network API: 3753 pixels, 8 hidden neurons, 7 classes.
//!
//!   h = f(x W1 + b1), logistic     p = softmax(h W2 + b2)     E = -ln p_t     steps with momentum: v = 0.8 v + dE/dw, w = w - rate v
//!
//! cargo run --release -p kamacite-exercises mlp_spectra_net
//!
//! Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is missing).
//! Expected on made spectra, in % of 200: see expected.txt.
//! Conventions: all spectra normalised together, per pixel, (x - mean) / max |x - mean|; of the first 915, the first 5, 40, 40, 60, 60, 60,
//! 25 of each class train, in batches of 64; the last 200 test.

#[path = "exercise.rs"]
mod exercise;
#[path = "spectra.rs"]
mod spectra;
use exercise::*;
use kamacite::data::{Dataset, Normalizer, Rule, Samples, Scope};
use kamacite::train::TrainerBuilder;
use kamacite::*;
use spectra::*;
use std::path::Path;
use std::sync::Arc;

const HIDDEN: usize = 8;

/// Spectra to train on, as many of each class as it should be, and to test.
pub fn read_data(folder: Option<&Path>) -> Result<(Samples, Samples)> {
    let cap = [5, 40, 40, 60, 60, 60, 25];
    let mut all = read(folder)?;
    let (train, test): (Samples, Samples);
    // >>> 1. Normalizer::fit and apply, Rule::MeanMaxAbs over Scope::Feature; split after TRAIN; rebalance(those to train on, by cap)
    Normalizer::fit(Extent::line(PIXELS, 1), all.x(0), &[Rule::MeanMaxAbs(Scope::Feature)])?.apply(all.x_mut(0))?;
    let (first, last) = all.split(TRAIN)?;
    (train, test) = (rebalance(&first, &cap)?, last);
    // <<<
    Ok((train, test))
}

/// The description of the network.
pub fn describe() -> Result<Network> {
    let mut net = Network::new(Extent::line(PIXELS, 1));
    // >>> 2. a Dense layer of HIDDEN units, Logistic; one of CLASSES units without an activation: the loss has the softmax in it
    net.push(Dense::new(HIDDEN).act(Logistic));
    net.push(Dense::new(CLASSES));
    // <<<
    Ok(net)
}

/// The rules of training.
pub fn rules(net: Network) -> TrainerBuilder {
    // So small a network would only wait for a GPU.
    let device = Device::cpu();
    let rules: TrainerBuilder;
    // >>> 3. rules = Trainer::builder of net, SoftmaxCrossEntropy, Sgd::new(0.02) with momentum 0.8; batch(64)
    rules = Trainer::builder(net, SoftmaxCrossEntropy, Sgd::new(0.02).momentum(0.8)).batch(64);
    // <<<
    rules.device(device)
}

pub fn main() -> Result<()> {
    let o = Options::parse(1500, "", "")?;
    let epochs = if o.smoke { 2 } else { o.epochs };
    let (train, test) = read_data(o.data.as_deref())?;
    let trained_on = train.len();
    let (train, test): (Arc<dyn Dataset>, Arc<dyn Dataset>) = (Arc::new(train), Arc::new(test));
    let (mut accuracy, mut sum) = (Vec::new(), 0.0);
    for seed in o.runs() {
        let mut shown: Box<dyn Monitor> = if o.seeds == 1 { Box::new(Progress::default()) } else { Box::new(Silent) };
        let rules = rules(describe()?).seed(seed).validate_every(100);
        let mut t = rules.data(train.clone(), Some(test.clone())).build()?;
        t.fit(epochs, shown.as_mut())?;
        let valid = t.validate()?.ok_or_else(|| Error::order("mlp_spectra_net", "no validation"))?;
        accuracy.push(100.0 * valid.accuracy.unwrap_or(f64::NAN));
        sum += valid.loss;
        if seed + 1 == o.runs().end {
            valid.confusion.iter().for_each(|c| println!("{c}"));
        }
    }
    let middle = median(&mut accuracy); // sorts
    println!(
        "RESULT seeds={} trained_on={trained_on} accuracy_min={:.2} accuracy_median={middle:.2} accuracy_max={:.2} loss={:.4} sum_bits={}",
        o.seeds,
        accuracy[0],
        accuracy[accuracy.len() - 1],
        sum / o.seeds as f64,
        bits(sum)
    );
    Ok(())
}
