//! A convolutional network in two dimensions on made stamps of galaxies, 48 x 48 pixels in three bands, of five shapes.
//!
//!   3 x [convolution: 8 of 5x5, 24 of 3x3, 48 of 3x3; leaky ReLU; maximum of 2x2]  ->  dense 64, dropout 0.3  ->  dense 5, softmax
//!   E = -ln p_t     Adam with a rate that falls from 0.001 to 0 along half a cosine
//!
//! cargo run --release -p kamacite-exercises cnn_galaxies_net
//!
//! Expected, in % of 500 stamps: see expected.txt. Chance is 20 %, logistic regression on the pixels finds about 66 %.
//! Conventions: 3000 stamps, of which the first 2500 train in batches of 32.

#[path = "exercise.rs"]
mod exercise;
use exercise::*;
use kamacite::data::{Dataset, Samples, synth};
use kamacite::optim::Schedule;
use kamacite::train::TrainerBuilder;
use kamacite::*;
use std::sync::Arc;

const SIDE: usize = 48;
const BANDS: usize = 3;
const CLASSES: usize = 5;

/// Stamps to train on and to test.
pub fn read_data(stamps: usize) -> Result<(Samples, Samples)> {
    let parts: (Samples, Samples);
    // >>> 1. synth::galaxies with seed 1; parts = their split after five sixths
    parts = synth::galaxies(stamps, 1)?.split(stamps * 5 / 6)?;
    // <<<
    Ok(parts)
}

/// The description of the network.
pub fn describe() -> Result<Network> {
    // With plain ReLU more than half of the dense units can die in the first steps.
    let act = LeakyRelu { slope: 0.1, saturation: None };
    let mut net = Network::new(Extent::image(SIDE, SIDE, BANDS));
    // >>> 2. Conv::new(filters, kernel), pad(kernel / 2), act(act) and Pool::max(2), three times; dense, dropout, and the last layer
    for (filters, kernel) in [(8, 5), (24, 3), (48, 3)] {
        net.push(Conv::new(filters, kernel).pad(kernel / 2).act(act));
        net.push(Pool::max(2));
    }
    net.push(Dense::new(64).act(act));
    net.push(Dropout::new(0.3));
    // Small weights before the softmax: the first loss is that of ignorance, ln 5.
    net.push(Dense::new(CLASSES).init(Init::Normal(0.01)));
    // <<<
    Ok(net)
}

/// The rules of training for so many epochs.
pub fn rules(net: Network, epochs: u64) -> TrainerBuilder {
    let rules: TrainerBuilder;
    // >>> 3. rules = Trainer::builder of net, SoftmaxCrossEntropy, Adam::new(1e-3); batch(32); Schedule::cosine(epochs, 0.0), per_epoch
    let schedule = Schedule::cosine(epochs, 0.0).per_epoch();
    rules = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(1e-3)).batch(32).schedule(schedule);
    // <<<
    rules
}

pub fn main() -> Result<()> {
    let o = Options::parse(8, "", "")?;
    let epochs = if o.smoke { 2 } else { o.epochs };
    let (train, test) = read_data(if o.smoke { 240 } else { 3000 })?;
    let trained_on = train.len();
    let (train, test): (Arc<dyn Dataset>, Arc<dyn Dataset>) = (Arc::new(train), Arc::new(test));
    let (mut accuracy, mut sum) = (Vec::new(), 0.0);
    for seed in o.runs() {
        let mut shown: Box<dyn Monitor> = if o.seeds == 1 { Box::new(Progress::default()) } else { Box::new(Silent) };
        let rules = rules(describe()?, epochs).seed(seed).validate_every(1);
        let mut t = rules.data(train.clone(), Some(test.clone())).build()?;
        t.fit(epochs, shown.as_mut())?;
        let valid = t.validate()?.ok_or_else(|| Error::order("cnn_galaxies_net", "no validation"))?;
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
