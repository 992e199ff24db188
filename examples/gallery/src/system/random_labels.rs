//! Labels drawn at random: whatever a network learns from them, on samples it has not seen it must guess.
//!
//! cargo run --release -p kamacite-gallery -- random_labels
//!
//! 1000 points of 100 normal numbers, five classes by lot, 800 to train on; dense 256, 128 and 5 with dropout 0.3, Adam. An accuracy on the other
//! 200 beyond 20 ± 2.8 % (one standard deviation) again and again would mean that they leak into the training.
//!
//! | chance | linear | the same network in PyTorch | here |
//! |---|---|---|---|
//! | 20 % | - | - | - |

use crate::options::Options;
use kamacite::data::Samples;
use kamacite::rng::{Purpose, Stream};
use kamacite::*;

/// Trains and judges.
pub fn run(o: &Options) -> Result<()> {
    let mut r = Stream::new(1, Purpose::User, 0);
    let x = (0..1000 * 100).map(|_| r.normal() as f32).collect();
    let t = (0..1000).map(|_| r.below(5) as u32).collect();
    let (train, valid) = Samples::new(Extent::flat(100), x)?.with_classes(t, 5)?.split(800)?;
    let mut net = Network::new(Extent::flat(100));
    for units in [256, 128] {
        net.push(Dense::new(units).act(Relu));
        net.push(Dropout::new(0.3));
    }
    net.push(Dense::new(5));
    let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(1e-3))
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .data(train, Some(valid))
        .build()?;
    let report = t.fit(o.epochs, &mut o.monitor(&[])?)?;
    let accuracy = report.valid.and_then(|v| v.accuracy).unwrap_or(f64::NAN);
    let loss = t.history().last().map_or(f64::NAN, |r| r.loss);
    println!("RESULT accuracy={accuracy:.4} loss={loss:.4}");
    Ok(())
}
