// Starter: write what the blanks say, in their order; then delete the next line.
#![allow(unused, unreachable_code)]
//! A convolutional network in one dimension on stellar spectra, with the network API: 3753 pixels, 7 classes.
//!
//!   3 x [convolution: 8, 16, 32 filters of 8 pixels, stride 4; ReLU]  ->  2 x [dense 256, ReLU, dropout 0.4]  ->  dense 7, softmax
//!   E = -ln p_t     steps with momentum: v = 0.8 v + dE/dw + 0.001 w, w = w - rate v
//!
//! cargo run --release -p kamacite-exercises cnn_spectra_net
//!
//! Without --data FOLDER the spectra are made; with it, FOLDER/train.dat and target.dat are read (made, if only train.dat is missing).
//! Expected on made spectra, in % of 200: see expected.txt.
//! Conventions: pixels become tanh(40 x); of the first 915 spectra the first 10, 30, 30, 20, 20, 30, 10 of each class train, in batches of
//! 16; the last 200 test. None of them is trained on.

#[path = "../exercise.rs"]
mod exercise;
#[path = "../spectra.rs"]
mod spectra;
use exercise::*;
use kamacite::data::{Dataset, Normalizer, Rule, Samples};
use kamacite::train::TrainerBuilder;
use kamacite::*;
use spectra::*;
use std::path::Path;
use std::sync::Arc;

const PADDED: usize = 3776;

/// Spectra to train on, as many of each class as it should be, and to test; PADDED pixels, of which three strides of 4 leave 59.
pub fn read_data(folder: Option<&Path>) -> Result<(Samples, Samples)> {
    let cap = [10, 30, 30, 20, 20, 30, 10];
    let mut all = read(folder)?;
    let (train, test): (Samples, Samples);
    blank!("1. Normalizer with Rule::Tanh (gain 40, low 0, high 1); all.padded to Extent::line(PADDED, 1) with 0; split; rebalance by cap");
    Ok((train, test))
}

/// The description of the network.
pub fn describe() -> Result<Network> {
    let mut net = Network::new(Extent::line(PADDED, 1));
    blank!("2. the three convolutions, Conv::new(filters, [8]), stride([4]), pad([2]); Dense and Dropout twice; the last Dense is linear");
    Ok(net)
}

/// The rules of training.
pub fn rules(net: Network) -> TrainerBuilder {
    let rules: TrainerBuilder;
    blank!("3. rules = Trainer::builder of net, SoftmaxCrossEntropy, Sgd::new(0.02) with momentum 0.8 and weight_decay 0.001; batch(16)");
    rules
}

pub fn main() -> Result<()> {
    let o = Options::parse(200, "", "")?;
    let epochs = if o.smoke { 2 } else { o.epochs };
    let (train, test) = read_data(o.data.as_deref())?;
    let trained_on = train.len();
    let (train, test): (Arc<dyn Dataset>, Arc<dyn Dataset>) = (Arc::new(train), Arc::new(test));
    let (mut accuracy, mut sum) = (Vec::new(), 0.0);
    for seed in o.runs() {
        let mut shown: Box<dyn Monitor> = if o.seeds == 1 { Box::new(Progress::default()) } else { Box::new(Silent) };
        let rules = rules(describe()?).seed(seed).validate_every(20);
        let mut t = rules.data(train.clone(), Some(test.clone())).build()?;
        t.fit(epochs, shown.as_mut())?;
        let valid = t.validate()?.ok_or_else(|| Error::order("cnn_spectra_net", "no validation"))?;
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
