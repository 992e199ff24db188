//! Finds strong gravitational lenses among galaxies with companions (BO4, in the manner of the lens-finding challenge, Metcalf et al. 2019).
//!
//! cargo run --release -p kamacite-gallery -- lenses      (25 s of one core)
//!
//! 64×64 stamps of 0.1″ pixels: an early-type galaxy, and behind half of them a source that a singular isothermal ellipsoid of 0.8 to 2.2″ bends
//! to arcs; up to three companions beside the others; noise and seeing that vary. Four convolutions of 8 to 64 filters with batch norm, ReLU and
//! pooling, the mean over the map, one logit: 24 689 parameters; Adam 10⁻³ with a cosine, batch 32, 10 epochs, 6000 stamps to train, 2000 to judge.
//! TPR0 is the share of lenses that score above every other galaxy. `--data DIR`: `lenses-x.npy` (n, 64, 64, 1), `lenses-t.npy`, of which a quarter judges.
//!
//! | | chance | linear | the same network in PyTorch | here |
//! |---|---|---|---|---|
//! | area under the curve | 0.5 | 0.931 | 0.971 to 0.992 | 0.972 to 0.993 |
//! | TPR0 | 0.1 % | 39.3 % | 57.4 to 80.0 % | 62.3 to 79.7 % |

use crate::options::Options;
use crate::sky;
use kamacite::data::{Samples, npy};
use kamacite::metrics::Roc;
use kamacite::*;

/// Trains and draws the curve.
pub fn run(o: &Options) -> Result<()> {
    let all = match &o.data {
        Some(folder) => {
            let stamps = npy::read(folder.join("lenses-x.npy"))?.samples()?;
            stamps.with_classes(npy::read(folder.join("lenses-t.npy"))?.to_labels()?, 2)?
        }
        None => sky::lenses(if o.smoke { 240 } else { 8000 }, 1)?,
    };
    let (train, test) = all.split(all.len() * 3 / 4)?;
    let mut t = Trainer::builder(network(&train), LogisticBce, Adam::new(1e-3))
        .seed(o.seed)
        .device(o.device.clone())
        .precision(o.precision)
        .schedule(Schedule::cosine(o.epochs, 0.0).per_epoch())
        .data(train, Some(test.clone()))
        .build()?;
    o.show_profile(|| t.profile())?;
    t.fit(o.epochs, &mut Progress::default())?;
    let scores = t.model_mut().predict_data(test.clone(), 250, Mode::Infer)?;
    let truth: Vec<bool> = test.labels(0).unwrap_or_default().iter().map(|&l| l == 1).collect();
    let roc = Roc::of(&scores, &truth)?;
    kamacite::plot::roc(o.file("lenses.svg")?, &[("network", &roc)])?;
    println!("RESULT auc={:.4} tpr0={:.4} tpr01={:.4}", roc.auc(), roc.recall_at(0.0), roc.recall_at(0.01));
    Ok(())
}

fn network(stamps: &Samples) -> Network {
    let mut net = Network::new(stamps.inputs()[0]);
    for filters in [8, 16, 32, 64] {
        net.push(Conv::new(filters, 3).pad(1).init(Init::HeNormal));
        net.push(Norm::batch());
        net.push(Activate::new(Relu));
        net.push(Pool::max(2));
    }
    net.push(Pool::global_average());
    net.push(Dense::new(1).init(Init::Normal(0.01)));
    net
}
