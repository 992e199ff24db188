//! Labels drawn at random: whatever a network learns from them, on samples it has not seen it must guess (B10).
//!
//! cargo run --release -p kamacite-gallery -- random_labels --seeds 10      (1 second)
//!
//! 1000 points of 100 normal numbers, five classes by lot, other points for every seed; 800 to train on. Dense 256, 128 and 5 with dropout 0.3: 59 397
//! parameters; Adam 10⁻³, batch 32, 20 epochs. The accuracy on the other 200 scatters by 2.8 % about 20 %, its mean over ten seeds by 0.9 %: more
//! than that would mean that the labels leak into the training.
//!
//! | | chance | linear | the same network in PyTorch | here |
//! |---|---|---|---|---|
//! | accuracy, mean of seeds 1 to 10 | 20 % | 20.2 % | 19.8 % | 20.2 % |

use crate::options::Options;
use crate::sky;
use kamacite::*;

/// Trains and judges, for each seed.
pub fn run(o: &Options) -> Result<()> {
    let (mut accuracy, mut loss) = (0.0, 0.0);
    for seed in o.seed..o.seed + o.seeds.max(1) {
        let (train, valid) = sky::random_labels(1000, seed)?.split(800)?;
        let mut net = Network::new(Extent::flat(100));
        for units in [256, 128] {
            net.push(Dense::new(units).act(Relu));
            net.push(Dropout::new(0.3));
        }
        net.push(Dense::new(5).init(Init::Normal(0.01)));
        let mut t = Trainer::builder(net, SoftmaxCrossEntropy, Adam::new(1e-3))
            .seed(seed)
            .device(o.device.clone())
            .precision(o.precision)
            .data(train, Some(valid))
            .build()?;
        let found = t.fit(o.epochs, &mut Silent)?.valid.and_then(|v| v.accuracy).unwrap_or(f64::NAN);
        if seed == o.seed {
            plot::history(o.file("random_labels.svg")?, t.history())?;
        }
        let last = t.history().last().map_or(f64::NAN, |r| r.loss);
        println!("seed {seed}: {:.1} % right, loss in training {last:.3}", 100.0 * found);
        accuracy += found / o.seeds.max(1) as f64;
        loss += last / o.seeds.max(1) as f64;
    }
    println!("RESULT accuracy={accuracy:.4} loss={loss:.4} seeds={}", o.seeds.max(1));
    Ok(())
}
